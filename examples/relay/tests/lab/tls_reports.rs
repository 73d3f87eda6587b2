//! Reports about TLS of a day among real servers: what the relay met is what its receivers read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mail_auth::report::tlsrpt::{ResultType, TlsReport};
use mail_parser::{MessageParser, MimeHeaders as _};
use securemail_core::backend::Clock as _;
use securemail_core::tlsrpt::UtcDay;
use securemail_testkit::lab::{Lab, WallClock, later, swaks};
use serde_json::Value;

use super::relay::{PROGRAM, Relay, Start, replies};

/// What a report says: kind of the policy, sessions that were safe, failures by kind and reason.
type Told = (
    &'static str,
    u64,
    &'static [(&'static str, Option<&'static str>, u64)],
);

/// What one message to each domain must lead to, and what RFC 8460 calls it.
const EXPECTED: [(&str, Told); 12] = [
    ("dane.test", ("tlsa", 1, &[])),
    ("pkix.test", ("no-policy-found", 1, &[])),
    ("sts.test", ("sts", 1, &[])),
    (
        "bogusmx.test",
        ("tlsa", 0, &[("dnssec-invalid", Some("address-bogus"), 1)]),
    ),
    (
        "oldtlsa.test",
        ("tlsa", 0, &[("tlsa-invalid", Some("all-unusable"), 1)]),
    ),
    (
        "stsbad.test",
        ("sts", 0, &[("sts-policy-invalid", Some("malformed"), 1)]),
    ),
    (
        "stscert.test",
        ("sts", 0, &[("sts-webpki-invalid", None, 1)]),
    ),
    (
        "stsdown.test",
        (
            "sts",
            0,
            &[("sts-policy-fetch-error", Some("http-status"), 1)],
        ),
    ),
    (
        "notls.test",
        (
            "no-policy-found",
            0,
            &[("starttls-not-supported", Some("smtp-502"), 1)],
        ),
    ),
    (
        "stsexpired.test",
        ("sts", 0, &[("certificate-expired", None, 1)]),
    ),
    (
        "stsname.test",
        ("sts", 0, &[("certificate-host-mismatch", None, 1)]),
    ),
    (
        "wrongtlsa.test",
        (
            "tlsa",
            0,
            &[("validation-failure", Some("dane-no-match"), 2)],
        ),
    ),
];

/// These ask for a mail; the others for a post.
const BY_MAIL: [&str; 4] = [
    "notls.test",
    "stsexpired.test",
    "stsname.test",
    "wrongtlsa.test",
];

/// Nothing is tried twice within the test.
const SECTIONS: &str = "
[tls_reports]
organisation = \"Kliniek Zuid\"
poll_every = \"1s\"
";

#[test]
fn what_happened_in_a_day_is_what_receivers_read_of_it() {
    let one_look = ["env", "SECUREMAIL__ROUTE__CONFIRM_AFTER=1h"];
    let mut relay = Relay::start_with(&Start {
        sections: SECTIONS,
        under: &one_look,
        ..Start::default()
    });
    for (domain, _) in EXPECTED {
        relay.accepted(&[&format!("reported@{domain}")], &[]);
    }
    let passed = until_reports_are_due();
    let tomorrow = later(passed);
    let tomorrow: Vec<&str> = tomorrow
        .iter()
        .map(String::as_str)
        .chain([one_look[1]])
        .collect();
    relay.again(&tomorrow);
    let reports = gathered(&mut relay);
    for (domain, told) in EXPECTED {
        let report = &reports[domain];
        assert_eq!(report.by_mail(), BY_MAIL.contains(&domain), "{domain}");
        read_by_parsedmarc(&relay, domain, report, &told);
        read_by_mail_auth(domain, report, &told);
        if let Report::Mailed(mail) = report {
            let verdicts = relay.lab.dkimpy_after(mail, passed).unwrap();
            assert_eq!(verdicts, [true, true], "{domain}");
        }
    }
}

#[test]
fn a_second_relay_takes_the_signed_report_of_the_first_and_no_other() {
    let mut receiver = Relay::start_with(&Start {
        sections: "[tls_reports]\naddress = \"tls@inbox.test\"\n",
        under: &["env", "SECUREMAIL__LISTEN__BOUNCES=127.0.0.24:25"],
        ..Start::default()
    });
    let mut sender = Relay::start_with(&Start {
        sections: &SECTIONS.replace("Zuid", "Noord"),
        ..Start::default()
    });
    sender.accepted(&["reported@sender.test"], &[]);
    let tomorrow = later(until_reports_are_due());
    let tomorrow: Vec<&str> = tomorrow.iter().map(String::as_str).collect();
    sender.again(&tomorrow);
    let wanted = "Kliniek Noord: mx.sender.test (DANE): 1 sessions were safe, 0 failed";
    receiver.wait_until("a report of the other relay", |relay| {
        shown(relay).contains(wanted)
    });
    let unsigned = forged();
    let output = swaks(&[
        "--server",
        "127.0.0.24",
        "--ehlo",
        "mx.pkix.test",
        "--from",
        "x@pkix.test",
        "--to",
        "tls@inbox.test",
        "--data",
        &unsigned,
    ])
    .unwrap();
    let said = replies(&output);
    assert!(said.contains("550 5.7.20"), "{said}");
    assert!(!shown(&receiver).contains("Forger"), "{}", shown(&receiver));
}

/// What an operator sees of the reports that came in.
fn shown(relay: &Relay) -> String {
    let output = Command::new(PROGRAM)
        .args(["events", "--tls-reports", "--config"])
        .arg(relay.folder.path().join("relay.toml"))
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A report that is right in everything, but nobody signed it.
fn forged() -> String {
    let day = UtcDay::of(WallClock.now());
    let report = format!(
        "{{\"organization-name\":\"Forger\",\"date-range\":{{\"start-datetime\":\"{day}T00:00:00Z\",\
         \"end-datetime\":\"{day}T23:59:59Z\"}},\"contact-info\":\"x@pkix.test\",\"report-id\":\"1\",\
         \"policies\":[{{\"policy\":{{\"policy-type\":\"no-policy-found\",\
         \"policy-domain\":\"sender.test\"}},\"summary\":{{\"total-successful-session-count\":0,\
         \"total-failure-session-count\":9}}}}]}}"
    );
    format!(
        "From: <x@pkix.test>\r\nTLS-Report-Domain: sender.test\r\nTLS-Report-Submitter: pkix.test\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=tlsrpt; boundary=b\r\n\r\n\
         --b\r\nContent-Type: application/tlsrpt+json\r\n\r\n{report}\r\n--b--\r\n.\r\n"
    )
}

/// To the latest moment at which reports of today are due: four hours into tomorrow.
fn until_reports_are_due() -> Duration {
    let now = WallClock.now();
    let over = UtcDay::of(now).ends().since(now);
    over + Duration::from_secs(4 * 3600 + 60)
}

/// A report as it reached whoever asked for it.
#[derive(Debug)]
enum Report {
    /// The body of a post: JSON in gzip.
    Posted(Vec<u8>),
    /// A mail as it lies in the mailbox.
    Mailed(Vec<u8>),
}

impl Report {
    fn by_mail(&self) -> bool {
        matches!(self, Self::Mailed(_))
    }

    fn gzip(&self) -> Vec<u8> {
        match self {
            Self::Posted(gzip) => gzip.clone(),
            Self::Mailed(mail) => {
                let mail = MessageParser::default().parse(mail).unwrap();
                let attached = mail.attachments().next().unwrap();
                assert!(attached.is_content_type("application", "tlsrpt+gzip"));
                attached.contents().to_vec()
            }
        }
    }
}

/// The first report about each domain, once all are there.
fn gathered(relay: &mut Relay) -> BTreeMap<String, Report> {
    let mut reports = BTreeMap::new();
    relay.wait_until("a report about every domain", |Relay { lab, .. }| {
        for (kind, gzip) in lab.posted_reports().unwrap() {
            assert_eq!(kind, "application/tlsrpt+gzip");
            let about = about(&gzip);
            reports.entry(about).or_insert(Report::Posted(gzip));
        }
        for domain in BY_MAIL {
            let mails = lab.mail_for(domain).unwrap();
            let wanted = format!("TLS-Report-Domain: {domain}");
            let of_domain = |mail: &&Vec<u8>| String::from_utf8_lossy(mail).contains(&wanted);
            if let Some(mail) = mails.iter().find(of_domain) {
                let report = Report::Mailed(mail.clone());
                reports.entry(domain.to_owned()).or_insert(report);
            }
        }
        EXPECTED
            .iter()
            .all(|(domain, _)| reports.contains_key(*domain))
    });
    reports
}

/// The domain that a posted report is about: its id begins with the day and its file has no name.
fn about(gzip: &[u8]) -> String {
    let report = TlsReport::parse_json(&unfolded(gzip)).unwrap();
    let policies = report.policies.iter();
    let mut named = policies.map(|entry| entry.policy.policy_domain.clone());
    let first = named.next().unwrap();
    let asks =
        |domain: &&(&str, Told)| first == domain.0 || first.ends_with(&format!(".{}", domain.0));
    let of_host = EXPECTED
        .iter()
        .find(asks)
        .map(|(domain, _)| (*domain).to_owned());
    match first.as_str() {
        "mx.bogus.test" => "bogusmx.test".to_owned(),
        _ => of_host.unwrap_or(first),
    }
}

fn unfolded(gzip: &[u8]) -> Vec<u8> {
    securemail_core::tlsrpt::expand(gzip, 1 << 20).unwrap()
}

/// JSON, gzip and (where it was one) the whole mail.
fn read_by_parsedmarc(relay: &Relay, domain: &str, report: &Report, told: &Told) {
    let folder = relay.folder.path().join(format!("parsedmarc-{domain}"));
    fs::create_dir_all(&folder).unwrap();
    let gzip = report.gzip();
    fs::write(folder.join("report.json"), unfolded(&gzip)).unwrap();
    fs::write(folder.join("report.json.gz"), &gzip).unwrap();
    let mut files = vec!["report.json", "report.json.gz"];
    if let Report::Mailed(mail) = report {
        fs::write(folder.join("report.eml"), mail).unwrap();
        files.push("report.eml");
    }
    let read = parsedmarc(&relay.lab, &folder, &files);
    assert_eq!(read.len(), files.len(), "{domain}: {read:#?}");
    for read in read {
        assert_eq!(read["organization_name"], "Kliniek Zuid");
        assert_eq!(read["contact_info"], "notice@sender.test");
        let policies = read["policies"].as_array().unwrap();
        let (kind, safe, failures) = told;
        assert!(
            policies.iter().all(|policy| policy["policy_type"] == *kind),
            "{domain}: {read:#}"
        );
        let sum = |key: &str| {
            policies
                .iter()
                .filter_map(|policy| policy[key].as_u64())
                .sum::<u64>()
        };
        assert_eq!(sum("successful_session_count"), *safe, "{domain}: {read:#}");
        let failed: u64 = failures.iter().map(|(_, _, count)| count).sum();
        assert_eq!(sum("failed_session_count"), failed, "{domain}: {read:#}");
        let details = policies
            .iter()
            .filter_map(|policy| policy["failure_details"].as_array());
        let kinds = sums(details.flatten().map(|detail| {
            let text = |key: &str| detail[key].as_str().map(str::to_owned);
            let count = detail["failed_session_count"].as_u64().unwrap();
            (
                (text("result_type").unwrap(), text("failure_reason_code")),
                count,
            )
        }));
        assert_eq!(kinds, expected(failures), "{domain}: {read:#}");
    }
}

fn parsedmarc(lab: &Lab, folder: &Path, files: &[&str]) -> Vec<Value> {
    let output = Command::new(lab.program("parsedmarc"))
        .arg("--offline")
        .args(files)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    read["smtp_tls_reports"].as_array().unwrap().clone()
}

fn read_by_mail_auth(domain: &str, report: &Report, told: &Told) {
    let read = match report {
        Report::Posted(gzip) => TlsReport::parse_json(&unfolded(gzip)).unwrap(),
        Report::Mailed(mail) => TlsReport::parse_rfc5322(mail, 1 << 20).unwrap(),
    };
    let (_, safe, failures) = told;
    let succeeded = read
        .policies
        .iter()
        .map(|entry| u64::from(entry.summary.total_success));
    assert_eq!(succeeded.sum::<u64>(), *safe, "{domain}");
    let details = read
        .policies
        .iter()
        .flat_map(|entry| &entry.failure_details);
    let kinds = sums(details.map(|detail| {
        let kind = serde_json::to_value(detail.result_type).unwrap();
        let key = (
            kind.as_str().unwrap().to_owned(),
            detail.failure_reason_code.clone(),
        );
        assert_ne!(detail.result_type, ResultType::Other, "{domain}");
        (key, u64::from(detail.failed_session_count))
    }));
    assert_eq!(kinds, expected(failures), "{domain}");
}

type Kinds = BTreeMap<(String, Option<String>), u64>;

fn sums(counted: impl Iterator<Item = ((String, Option<String>), u64)>) -> Kinds {
    let mut sums = Kinds::new();
    for (kind, count) in counted {
        *sums.entry(kind).or_default() += count;
    }
    sums
}

fn expected(failures: &[(&str, Option<&str>, u64)]) -> Kinds {
    sums(
        failures
            .iter()
            .map(|(kind, reason, count)| (((*kind).to_owned(), reason.map(str::to_owned)), *count)),
    )
}
