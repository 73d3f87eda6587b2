//! Responses of DNS servers, before anybody validates them.

use securemail_core::limits::{
    CAA_RECORDS_MAX, MX_RECORDS_MAX, NS_RECORDS_MAX, TLSA_RECORDS_MAX, TXT_RECORDS_MAX,
};
use securemail_core::vocab::{DnsName, Outcome, Question, RecordKind, Security, UnixTime};
use securemail_resolver::{count_anchors, read_octets};

const NOW: UnixTime = UnixTime::from_secs(1_795_262_400);

/// However octets are read, they prove nothing, and bring no more than the limits allow.
pub(crate) fn response(octets: &[u8]) {
    let Ok(name) = DnsName::parse("example.org") else {
        return;
    };
    for kind in [
        RecordKind::A,
        RecordKind::Aaaa,
        RecordKind::Caa,
        RecordKind::Cname,
        RecordKind::Mx,
        RecordKind::Ns,
        RecordKind::Tlsa,
        RecordKind::Txt,
    ] {
        for answer in read_octets(octets, &Question::new(name.clone(), kind), NOW) {
            assert_ne!(answer.security, Security::Secure, "{answer:?}");
            match &answer.outcome {
                Outcome::Caa(records) => assert!(records.len() <= CAA_RECORDS_MAX),
                Outcome::NameServers(servers) => assert!(servers.len() <= NS_RECORDS_MAX),
                Outcome::Mx(records) => assert!(records.len() <= MX_RECORDS_MAX),
                Outcome::Tlsa(records) => assert!(records.len() <= TLSA_RECORDS_MAX),
                Outcome::Txt(texts) => assert!(texts.len() <= TXT_RECORDS_MAX),
                Outcome::Addresses(_)
                | Outcome::Alias(_)
                | Outcome::Failed(_)
                | Outcome::NoData
                | Outcome::NxDomain => {}
            }
        }
    }
}

/// Each anchor has a line of its own, and every sign of it is one of a zone file.
pub(crate) fn anchors(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let Ok((keys, digests)) = count_anchors(&text) else {
        return;
    };
    let lines = text
        .lines()
        .map(|line| line.split(';').next().unwrap_or(line));
    let lines: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    assert!(keys + digests > 0 && keys + digests <= lines.len());
    for line in lines {
        assert!(line.trim_start().starts_with('.'), "{line}");
        let upper = line.to_ascii_uppercase();
        // Base64 has a plus sign; a number or a digest has none.
        assert!(upper.contains("DNSKEY") || !line.contains('+'), "{line}");
    }
}
