//! Reports about TLS that others send, and the record that says where ours go.

use securemail_core::limits::{TLS_REPORT_JSON_OCTETS_MAX, TLS_REPORT_URIS_MAX};
use securemail_core::tlsrpt::{ReportUri, expand, read_report, report_uris};

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

/// Lines stand for records. A place for reports reads the same again, and never writes our mail or request for us.
pub(crate) fn record(octets: &[u8]) {
    let text = std::str::from_utf8(octets).unwrap_or_default();
    let records: Vec<String> = text.lines().map(str::to_owned).collect();
    let places = report_uris(&records).unwrap_or_default();
    assert!(places.len() <= TLS_REPORT_URIS_MAX);
    for place in places {
        if let ReportUri::Https(uri) = &place {
            assert!(uri.path().starts_with('/'), "{}", uri.path());
            assert!(uri.path().bytes().all(|octet| octet.is_ascii_graphic()));
        }
    }
}
