//! Records, reports and their reader, against the standard's examples and another implementation.

use mail_auth::report::tlsrpt::TlsReport;
use proptest::prelude::*;
use securemail_core::limits::{TLS_REPORT_COUNT_MAX, TLS_REPORT_JSON_OCTETS_MAX};
use securemail_core::mail::TlsReportMail;
use securemail_core::tlsrpt::{
    Failure, Policy, PolicyType, ReportDefect, ReportHead, ReportUri, ResultType, Session, UtcDay,
    compress, expand, read_report, report_uris,
};
use securemail_core::vocab::{QueueId, UnixTime};

use crate::flow_world::{address, name};

const EXAMPLE: &str = include_str!("../../../../vectors/tlsrpt/rfc8460-appendix-b.json");
const RECORDS: &str = include_str!("../../../../vectors/tlsrpt/rfc8460-appendix-a.json");
const OURS: &str = include_str!("../../../../vectors/tlsrpt/ours.json");

/// Where a record says that reports go.
#[derive(serde::Deserialize)]
struct Wanted {
    records: Vec<String>,
    uris: Vec<String>,
}

fn shown(uri: &ReportUri) -> String {
    match uri {
        ReportUri::Https(uri) => {
            let port = uri.port().map_or(String::new(), |port| format!(":{port}"));
            format!("https://{}{port}{}", uri.host(), uri.path())
        }
        ReportUri::Mailto(address) => format!("mailto:{address}"),
    }
}

fn head() -> ReportHead {
    ReportHead {
        organisation: "Gemeente Voorbeeld".to_owned(),
        contact: address("veilig@gemeente.example"),
        domain: name("taker.example"),
        day: UtcDay::of(UnixTime::from_secs(1_795_262_400)),
    }
}

pub(crate) fn sessions() -> Vec<(Session, u64)> {
    let tlsa = Policy {
        kind: PolicyType::Tlsa,
        domain: name("mx.host.example"),
        strings: vec!["3 1 1 0707".to_owned()],
        mx_hosts: vec!["mx.host.example".to_owned()],
    };
    let sts = Policy {
        kind: PolicyType::Sts,
        domain: name("taker.example"),
        strings: vec!["version: STSv1".to_owned(), "mode: enforce".to_owned()],
        mx_hosts: vec!["*.host.example".to_owned()],
    };
    let failure = Failure {
        result: ResultType::ValidationFailure,
        sending_ip: Some([192, 0, 2, 7].into()),
        mx_host: Some(name("mx.host.example")),
        helo: Some("mx.host.example".to_owned()),
        receiving_ip: Some([198, 51, 100, 25].into()),
        reason: Some("dane-no-match".to_owned()),
    };
    let other = Failure {
        result: ResultType::StarttlsNotSupported,
        sending_ip: None,
        helo: None,
        receiving_ip: None,
        reason: Some("not-advertised".to_owned()),
        ..failure.clone()
    };
    let session = |policy: &Policy, failure: Option<&Failure>| Session {
        policy: policy.clone(),
        failure: failure.cloned(),
    };
    vec![
        (session(&tlsa, None), 40),
        (session(&tlsa, Some(&failure)), 2),
        (session(&tlsa, Some(&other)), 3),
        (session(&sts, None), 7),
    ]
}

fn txt(records: &[&str]) -> Option<Vec<ReportUri>> {
    let records: Vec<String> = records.iter().map(|text| (*text).to_owned()).collect();
    report_uris(&records)
}

#[test]
fn the_examples_of_the_standard_are_read() {
    let records: Vec<Wanted> = serde_json::from_str(RECORDS).unwrap();
    for Wanted { records, uris } in records {
        let found = report_uris(&records).unwrap();
        let shown: Vec<String> = found.iter().map(shown).collect();
        assert_eq!(shown, uris, "{records:?}");
    }
    let report = read_report(EXAMPLE.as_bytes()).unwrap();
    assert_eq!(report.organization_name, "Company-X");
    assert_eq!(report.policies[0].summary.total_failure_session_count, 303);
    assert_eq!(report.policies[0].failure_details.len(), 3);
    let written = read_report(&report.to_json()).unwrap();
    assert_eq!(written, report, "what is read is written again");
}

#[test]
fn several_places_are_kept_in_order_and_useless_ones_left_out() {
    let uris =
        txt(&["v=TLSRPTv1; rua=mailto:a@example.com , ftp://x/ ,https://r.example/x?y=1; x=y;"]);
    let uris = uris.unwrap();
    assert_eq!(uris.len(), 2, "{uris:?}");
    assert_eq!(uris[0], ReportUri::Mailto(address("a@example.com")));
    let encoded = txt(&["v=TLSRPTv1; rua=mailto:a%2Bb@example.com?subject=x"]).unwrap();
    assert_eq!(encoded, [ReportUri::Mailto(address("a+b@example.com"))]);
    let many = format!("v=TLSRPTv1; rua={}", ["mailto:a@example.com"; 50].join(","));
    assert!(txt(&[&many]).unwrap().len() < 10, "bounded");
}

#[test]
fn what_is_no_record_asks_for_nothing() {
    for records in [
        &["v=TLSRPTv1"][..],
        &["v=TLSRPTv1;"],
        &["v=TLSRPTv2; rua=mailto:a@example.com"],
        &[" v=TLSRPTv1; rua=mailto:a@example.com"],
        &["v=tlsrptv1; rua=mailto:a@example.com"],
        &["v=TLSRPTv1; rua=mailto:a@example.com;; x=y"],
        &["v=TLSRPTv1; rua=mailto:a@example.com; x"],
        &[
            "v=TLSRPTv1; rua=mailto:a@example.com",
            "v=TLSRPTv1; rua=mailto:b@example.com",
        ],
    ] {
        assert_eq!(txt(records), None, "{records:?}");
    }
    let beside = txt(&["v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@example.com"]);
    assert_eq!(beside.unwrap().len(), 1, "other records do not count");
}

#[test]
fn urls_that_could_lead_elsewhere_are_refused() {
    for url in [
        "http://r.example/",
        "https:/r.example/",
        "https://user@r.example/",
        "https://192.0.2.1/",
        "https://[2001:db8::1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://r.example:0/",
        "https://r.example:99999/",
        "https://r.example/a b",
        "https://r.example/\r\nX: y",
        "https://r.example\\@elsewhere.example/",
        "mailto:",
        "mailto:nobody",
        "mailto:a@example.com%0d%0aBcc:b@example.com",
    ] {
        assert!(ReportUri::parse(url).is_err(), "{url}");
    }
    let fine = ReportUri::parse("HTTPS://R.example:8443?key=1#part").unwrap();
    let ReportUri::Https(uri) = fine else {
        panic!("{fine:?}");
    };
    assert_eq!((uri.port(), uri.path()), (Some(8443), "/?key=1"));
}

#[test]
fn our_report_is_as_blessed_and_reads_back() {
    let report = head().report(&sessions());
    let json: serde_json::Value = serde_json::from_slice(&report.to_json()).unwrap();
    let wanted: serde_json::Value = serde_json::from_str(OURS).unwrap();
    assert_eq!(json, wanted, "{json:#}");
    assert_eq!(read_report(&report.to_json()).unwrap(), report);
    assert_eq!(read_report(&compress(&report.to_json())).unwrap(), report);
}

#[test]
fn another_implementation_reads_our_report_and_our_mail() {
    let report = head().report(&sessions());
    let theirs = TlsReport::parse_json(&report.to_json()).unwrap();
    assert_eq!(theirs.report_id, head().report_id());
    assert_eq!(
        theirs.contact_info.as_deref(),
        Some("veilig@gemeente.example")
    );
    let tlsa = &theirs.policies[1];
    assert_eq!(
        (tlsa.summary.total_success, tlsa.summary.total_failure),
        (40, 5)
    );
    assert_eq!(tlsa.failure_details.len(), 2);
    let gzip = compress(&report.to_json());
    let mail = TlsReportMail {
        id: QueueId::from_bytes([1; 16]),
        host: &name("relay.example"),
        now: UnixTime::from_secs(1_795_300_000),
        head: &head(),
        from: &address("veilig@gemeente.example"),
        to: &address("reports@taker.example"),
        gzip: &gzip,
    };
    let mail = mail.mail();
    let parsed = TlsReport::parse_rfc5322(mail.octets(), 1 << 20).unwrap();
    assert_eq!(parsed.report_id, head().report_id());
    assert_eq!(parsed.policies.len(), 2);
}

#[test]
fn the_mail_has_the_fields_of_the_standard() {
    let long =
        "a-very-long-label-of-a-domain-that-fills-a-line.and-another-one-that-is-long.example";
    let head = ReportHead {
        domain: name(long),
        ..head()
    };
    let mail = TlsReportMail {
        id: QueueId::from_bytes([1; 16]),
        host: &name("relay.example"),
        now: UnixTime::from_secs(1_795_300_000),
        head: &head,
        from: &address("veilig@gemeente.example"),
        to: &address("reports@taker.example"),
        gzip: &compress(b"{}"),
    };
    let mail = mail.mail();
    let text = String::from_utf8(mail.octets().to_vec()).unwrap();
    let unfolded = text.replace("\r\n ", " ");
    let subject = format!(
        "Subject: Report Domain: {long} Submitter: gemeente.example Report-ID: <{}>\r\n",
        head.report_id()
    );
    assert!(unfolded.contains(&subject), "{unfolded}");
    assert!(unfolded.contains(&format!("\r\nTLS-Report-Domain: {long}\r\n")));
    assert!(unfolded.contains("\r\nTLS-Report-Submitter: gemeente.example\r\n"));
    assert!(unfolded.contains("multipart/report; report-type=\"tlsrpt\""));
    assert!(unfolded.contains(&format!("filename=\"{}\"", head.file_name())));
    assert!(text.is_ascii());
    assert!(text.lines().all(|line| line.len() < 998));
    let file = head.file_name();
    let parts: Vec<&str> = file.split('!').collect();
    // RFC 8460, section 5.1.
    assert_eq!(
        parts[..4],
        ["gemeente.example", long, "1795219200", "1795305599"]
    );
    assert!(parts[4].ends_with(".json.gz"), "{file}");
}

#[test]
fn the_id_of_a_report_is_its_own_and_stays() {
    let id = head().report_id();
    assert_eq!(id, head().report_id());
    let other_day = ReportHead {
        day: head().day.minus(1),
        ..head()
    };
    let other_domain = ReportHead {
        domain: name("other.example"),
        ..head()
    };
    assert_ne!(id, other_day.report_id());
    assert_ne!(id, other_domain.report_id());
}

#[test]
fn what_is_wrong_is_refused_with_its_reason() {
    let example: serde_json::Value = serde_json::from_str(EXAMPLE).unwrap();
    let with = |pointer: &str, value: serde_json::Value| {
        let mut report = example.clone();
        *report.pointer_mut(pointer).unwrap() = value;
        read_report(report.to_string().as_bytes()).unwrap_err()
    };
    let total = "/policies/0/summary/total-failure-session-count";
    assert_eq!(with(total, 302.into()), ReportDefect::Counts);
    assert_eq!(
        with(total, (TLS_REPORT_COUNT_MAX + 1).into()),
        ReportDefect::Counts
    );
    assert_eq!(with(total, (-1).into()), ReportDefect::Json);
    let start = "/date-range/start-datetime";
    for date in [
        "2016-04-01",
        "2016-13-01T00:00:00Z",
        "2017-04-01T00:00:00Z",
        "yesterday",
    ] {
        assert_eq!(with(start, date.into()), ReportDefect::Dates, "{date}");
    }
    let domain = "/policies/0/policy/policy-domain";
    assert_eq!(with(domain, "not a domain".into()), ReportDefect::Domain);
    let kind = "/policies/0/policy/policy-type";
    assert_eq!(with(kind, "spf".into()), ReportDefect::PolicyType);
    assert_eq!(read_report(b"{}"), Err(ReportDefect::Json));
    assert_eq!(read_report(b""), Err(ReportDefect::Json));
    assert_eq!(read_report(&[0x1f, 0x8b, 8, 0]), Err(ReportDefect::Gzip));
    let lines = vec!["x"; 10_000];
    assert_eq!(
        with("/policies/0/policy/mx-host", lines.into()),
        ReportDefect::TooLarge
    );
}

#[test]
fn what_others_write_otherwise_is_read_all_the_same() {
    let one_host = EXAMPLE.replace(
        "[\"*.mail.company-y.example\"]",
        "\"*.mail.company-y.example\"",
    );
    assert_ne!(one_host, EXAMPLE);
    let report = read_report(one_host.as_bytes()).unwrap();
    assert_eq!(
        report.policies[0].policy.mx_host,
        ["*.mail.company-y.example"]
    );
    let zone = EXAMPLE.replace("2016-04-01T00:00:00Z", "2016-04-01T02:00:00.000+02:00");
    assert!(read_report(zone.as_bytes()).is_ok());
    let marked = format!("\u{feff}{EXAMPLE}");
    assert!(read_report(marked.as_bytes()).is_ok());
    let new_type = EXAMPLE.replace("certificate-expired", "some-later-type");
    assert!(read_report(new_type.as_bytes()).is_ok());
}

#[test]
fn a_few_octets_that_unfold_into_too_many_are_refused() {
    let bomb = compress(&vec![b' '; TLS_REPORT_JSON_OCTETS_MAX + 1]);
    assert!(bomb.len() < 20_000, "{}", bomb.len());
    assert_eq!(read_report(&bomb), Err(ReportDefect::Gzip));
    assert_eq!(expand(&compress(b"four"), 4).as_deref(), Some(&b"four"[..]));
    assert_eq!(expand(&compress(b"five!"), 4), None);
}

#[test]
fn days_are_those_of_utc() {
    let day = UtcDay::of(UnixTime::from_secs(1_795_219_199));
    assert_eq!(day.to_string(), "2026-11-20");
    assert_eq!(day.ends(), UnixTime::from_secs(1_795_219_200));
    assert_eq!("2026-11-20".parse(), Ok(day));
    for wrong in ["2026-02-29", "2026-11-31", "26-11-20", "2026-11-20 ", ""] {
        assert!(wrong.parse::<UtcDay>().is_err(), "{wrong}");
    }
    assert!("2028-02-29".parse::<UtcDay>().is_ok());
}

proptest! {
    #[test]
    fn no_octets_make_a_reader_panic(octets: Vec<u8>, text: String) {
        drop(read_report(&octets));
        drop(read_report(&[&[0x1f, 0x8b][..], &octets].concat()));
        drop(read_report(&compress(&octets)));
        drop(expand(&octets, 100));
        drop(report_uris(&[format!("v=TLSRPTv1;{text}")]));
        drop(ReportUri::parse(&format!("https://{text}")));
        drop(ReportUri::parse(&format!("mailto:{text}")));
        prop_assert!(text.parse::<UtcDay>().is_ok_and(|day| day.to_string() == text) || text.parse::<UtcDay>().is_err());
    }

    #[test]
    fn a_report_that_is_changed_somewhere_is_read_or_refused(at in 0..1500_usize, octet: u8) {
        let mut octets = EXAMPLE.as_bytes().to_vec();
        if let Some(place) = octets.get_mut(at) {
            *place = octet;
        }
        drop(read_report(&octets));
    }
}
