//! Reports about TLS that others send, and the record that says where ours go.

use securemail_core::limits::{TLS_REPORT_JSON_OCTETS_MAX, TLS_REPORT_URIS_MAX};
use securemail_core::tlsrpt::{ReportUri, compress, expand, read_report, report_uris};

/// A report that is read says the same when it is written and read again.
pub(crate) fn report(octets: &[u8]) {
    if let Some(expanded) = expand(octets, 10_000) {
        assert!(expanded.len() <= 10_000);
    }
    let Ok(report) = read_report(octets) else {
        return;
    };
    drop((report.day(), report.in_words()));
    let written = report.to_json();
    // What JSON writes in fewer octets than it was read from can only grow by escapes.
    if written.len() <= TLS_REPORT_JSON_OCTETS_MAX {
        assert_eq!(read_report(&written), Ok(report));
    }
}

/// What is compressed comes out as it was, also in two members, and not where one octet more comes out than may.
pub(crate) fn gzip(octets: &[u8]) {
    if let Some(expanded) = expand(octets, EXPANDED_MAX) {
        assert!(expanded.len() <= EXPANDED_MAX);
    }
    let compressed = compress(octets);
    assert_eq!(expand(&compressed, octets.len()).as_deref(), Some(octets));
    if let Some(less) = octets.len().checked_sub(1) {
        assert_eq!(expand(&compressed, less), None);
    }
    let twice = [compressed.as_slice(), &compressed].concat();
    let expected = [octets, octets].concat();
    assert_eq!(expand(&twice, expected.len()), Some(expected));
}

const EXPANDED_MAX: usize = 10_000;

/// Lines stand for records. A place for reports reads the same again, and never writes our mail or request for us.
pub(crate) fn record(octets: &[u8]) {
    let text = std::str::from_utf8(octets).unwrap_or_default();
    let records: Vec<String> = text.lines().map(str::to_owned).collect();
    let places = report_uris(&records).unwrap_or_default();
    assert!(places.len() <= TLS_REPORT_URIS_MAX);
    for place in places {
        if let ReportUri::Https(uri) = &place {
            let port = uri.port().map_or(String::new(), |port| format!(":{port}"));
            let written = format!("https://{}{port}{}", uri.host(), uri.path());
            assert_eq!(ReportUri::parse(&written).as_ref(), Ok(&place));
            // RFC 3986, section 3.2.3: a port is digits.
            assert!(!text.contains(":+"), "{text}");
            assert!(uri.path().starts_with('/'), "{}", uri.path());
            assert!(uri.path().bytes().all(|octet| octet.is_ascii_graphic()));
        }
    }
}
