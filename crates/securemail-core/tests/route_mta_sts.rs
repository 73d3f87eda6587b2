//! MTA-STS texts: what announces a policy, what is one, and which hosts it names (RFC 8461).

use std::time::Duration;

use serde::Deserialize;

use securemail_core::backend::{CachedPolicy, SessionOutcome, TransportPolicy, VantageView};
use securemail_core::route::{
    Asked, AttemptEvidence, Corroboration, Evidence, MessageFacts, PeerFailure, PolicyDefect,
    Route, StandardPolicy, StsMode, StsPolicy, announced_id,
};
use securemail_core::vocab::{
    Answer, DnsName, Mx, MxTarget, Outcome, Profile, Question, RecordKind, Security, UnixTime,
};

/// 2026-11-21.
const NOW: UnixTime = UnixTime::from_secs(1_795_219_200);

const EXAMPLE: &str = include_str!("../../../vectors/mta-sts/rfc8461-appendix-a.txt");
const ENFORCED: &str = include_str!("../../../vectors/mta-sts/rfc8461-section-3.2.txt");
const VECTORS: &str = include_str!("../../../vectors/mta-sts/rfc8461.json");

/// The file.
#[derive(Deserialize)]
struct Vectors {
    announcements: Vec<Announcement>,
    policies: Vec<Policy>,
    patterns: Vec<Pattern>,
    deliveries: Vec<Delivery>,
}

#[derive(Deserialize)]
struct Announcement {
    records: Vec<String>,
    id: Option<String>,
}

#[derive(Deserialize)]
struct Policy {
    file: String,
    mode: String,
    max_age: u64,
    names: Vec<String>,
    names_not: Vec<String>,
}

#[derive(Deserialize)]
struct Pattern {
    pattern: String,
    host: String,
    matches: bool,
}

/// A host, and whether it gets the message (appendix B).
#[derive(Deserialize)]
struct Delivery {
    section: String,
    mode: String,
    named: bool,
    starttls: bool,
    certificate: bool,
    delivers: bool,
}

fn vectors() -> Vectors {
    serde_json::from_str(VECTORS).unwrap()
}

fn host(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

fn id(records: &[&str]) -> Option<String> {
    let records: Vec<String> = records.iter().map(|record| (*record).to_owned()).collect();
    announced_id(&records)
}

fn with(line: &str) -> Result<StsPolicy, PolicyDefect> {
    StsPolicy::parse(&format!(
        "version: STSv1\nmode: enforce\nmax_age: 86400\n{line}\n"
    ))
}

#[test]
fn the_announcement_of_rfc_8461_is_read() {
    for Announcement { records, id } in vectors().announcements {
        assert_eq!(announced_id(&records), id, "{records:?}");
    }
    assert_eq!(id(&["v=STSv1; id=1"]).as_deref(), Some("1"));
    assert_eq!(id(&["v=STSv1;\t id=1 ; x.y-z_1=a/b"]).as_deref(), Some("1"));
    assert_eq!(
        id(&["v=spf1 -all", "v=STSv1; id=1"]).as_deref(),
        Some("1"),
        "others are ignored"
    );
}

#[test]
fn p_05_two_announcements_or_a_malformed_one_count_for_nothing() {
    for records in [
        &[][..],
        &["v=STSv1; id=1", "v=STSv1; id=1"],
        &["v=STSv2; id=1"],
        &["v=STSv1"],
        &["v=STSv1;"],
        &["v=STSv1; x=1"],
        &["v=STSv1; id="],
        &["v=STSv1; id=a-b"],
        &["v=STSv1; id=123456789012345678901234567890123"],
        &["v=STSv1; id=1; nonsense"],
        &["v=STSv1; id=1; ; x=1"],
        &["v=STSv1; id=1; x=a=b"],
        &["V=STSv1; id=1"],
        &[" v=STSv1; id=1"],
    ] {
        assert_eq!(id(records), None, "{records:?}");
    }
    let long = format!("v=STSv1; id=1; x={}", "a".repeat(5000));
    assert_eq!(announced_id(&[long]), None);
}

#[test]
fn the_policy_of_rfc_8461_is_read() {
    for vector in vectors().policies {
        let body = match vector.file.as_str() {
            "rfc8461-appendix-a.txt" => EXAMPLE,
            "rfc8461-section-3.2.txt" => ENFORCED,
            other => panic!("{other} is not read"),
        };
        let policy = StsPolicy::parse(body).unwrap();
        assert_eq!(policy.mode.to_string(), vector.mode);
        assert_eq!(policy.max_age, Duration::from_secs(vector.max_age));
        for named in &vector.names {
            assert!(policy.names(&host(named)), "{named}");
            assert!(policy.names(&host(&named.to_uppercase())), "{named}");
        }
        for other in &vector.names_not {
            assert!(!policy.names(&host(other)), "{other}");
        }
    }
}

#[test]
fn patterns_of_rfc_8461_match_what_it_says() {
    for Pattern {
        pattern,
        host: asked,
        matches,
    } in vectors().patterns
    {
        let policy = with(&format!("mx: {pattern}")).unwrap();
        assert_eq!(
            policy.names(&host(&asked)),
            matches,
            "{pattern} and {asked}"
        );
    }
}

/// The pseudocode of appendix B, host by host, on an unsigned domain whose list other places see too. What
/// a policy under test lets pass without proof stays here without it.
#[test]
fn a_host_gets_the_message_where_appendix_b_of_rfc_8461_gives_it() {
    for delivery in vectors().deliveries {
        let decision = StandardPolicy::default().decide(&gathered(&delivery), NOW);
        let delivers = matches!(decision.route, Route::Deliver(_));
        assert_eq!(
            delivers, delivery.delivers,
            "{}: {decision}",
            delivery.section
        );
    }
}

/// What is known where the session with the one host ended as `delivery` says, or is still to come.
fn gathered(delivery: &Delivery) -> Evidence {
    let pattern = if delivery.named {
        "*.host.example"
    } else {
        "other.example"
    };
    let mx = || {
        Outcome::Mx(vec![Mx {
            preference: 10,
            target: MxTarget::Host(host("mx.host.example")),
        }])
    };
    let address = Outcome::Addresses(vec!["192.0.2.1".parse().unwrap()]);
    let message = MessageFacts::at(NOW);
    let mut evidence = Evidence::new(host("example.com"), Profile::Standard, message);
    let mut answer = |owner: &str, kind, outcome| {
        let question = Question::new(host(owner), kind);
        let answer = Answer::new(outcome, Security::Insecure, UnixTime::MAX);
        evidence.dns.push(Asked { question, answer });
    };
    answer("example.com", RecordKind::Mx, mx());
    answer("_mta-sts.example.com", RecordKind::Txt, Outcome::NxDomain);
    answer("mx.host.example", RecordKind::A, address);
    answer("mx.host.example", RecordKind::Aaaa, Outcome::NoData);
    evidence.vantages = vec![Corroboration {
        question: Question::new(host("example.com"), RecordKind::Mx),
        views: vec![VantageView {
            vantage: "elsewhere".to_owned(),
            answer: Answer::new(mx(), Security::Insecure, UnixTime::MAX),
        }],
    }];
    evidence.sts.cached = Some(CachedPolicy {
        id: "1".to_owned(),
        body: format!(
            "version: STSv1\nmode: {}\nmx: {pattern}\nmax_age: 86400\n",
            delivery.mode
        ),
        fetched: NOW,
        expires: UnixTime::MAX,
    });
    let outcome = match (delivery.starttls, delivery.certificate) {
        (false, _) => Some(SessionOutcome::NoStartTls(None)),
        (true, false) => Some(SessionOutcome::NotAuthenticated(PeerFailure::Name)),
        (true, true) => None,
    };
    evidence
        .attempts
        .extend(outcome.map(|outcome| AttemptEvidence {
            host: host("mx.host.example"),
            at: NOW,
            outcome,
            recipient: None,
        }));
    evidence
}

#[test]
fn p_22_line_ends_and_blanks_do_not_matter() {
    assert_eq!(
        StsPolicy::parse(&EXAMPLE.replace('\n', "\r\n")),
        StsPolicy::parse(EXAMPLE)
    );
    assert_eq!(
        StsPolicy::parse(&EXAMPLE.replace('\n', " \t\n")),
        StsPolicy::parse(EXAMPLE)
    );
    assert_eq!(
        StsPolicy::parse(EXAMPLE.trim_end()),
        StsPolicy::parse(EXAMPLE)
    );
    assert_eq!(
        StsPolicy::parse(&format!("{EXAMPLE}\r\n\n")),
        StsPolicy::parse(EXAMPLE)
    );
}

#[test]
fn p_19_what_is_missing_or_malformed_makes_it_no_policy() {
    let without = |key: &str| {
        let lines: Vec<&str> = EXAMPLE
            .lines()
            .filter(|line| !line.starts_with(key))
            .collect();
        StsPolicy::parse(&lines.join("\n"))
    };
    assert_eq!(without("version"), Err(PolicyDefect::Version));
    assert_eq!(without("mode"), Err(PolicyDefect::Mode));
    assert_eq!(without("max_age"), Err(PolicyDefect::MaxAge));
    assert_eq!(without("mx"), Err(PolicyDefect::Mx));
    let swapped = |from: &str, to: &str| StsPolicy::parse(&EXAMPLE.replace(from, to));
    assert_eq!(swapped("STSv1", "STSv2"), Err(PolicyDefect::Version));
    assert_eq!(swapped("testing", "Testing"), Err(PolicyDefect::Mode));
    for age in ["", "-1", "1d", "12345678901", "+5"] {
        assert_eq!(swapped("1296000", age), Err(PolicyDefect::MaxAge), "{age}");
    }
    assert_eq!(StsPolicy::parse("<html>"), Err(PolicyDefect::Line));
    assert_eq!(StsPolicy::parse(""), Err(PolicyDefect::Version));
    let large = format!("{EXAMPLE}x: {}", "a".repeat(70_000));
    assert_eq!(StsPolicy::parse(&large), Err(PolicyDefect::TooLarge));
}

#[test]
fn p_20_and_21_the_first_of_a_repeated_key_counts_and_unknown_keys_do_not() {
    let repeated = format!("{EXAMPLE}mode: none\nmax_age: 1\nversion: STSv9\nfuture: x:y\n");
    assert_eq!(StsPolicy::parse(&repeated), StsPolicy::parse(EXAMPLE));
}

#[test]
fn p_23_a_policy_lives_for_a_year_at_most() {
    let policy = StsPolicy::parse(&EXAMPLE.replace("1296000", "9999999999")).unwrap();
    assert_eq!(policy.max_age, Duration::from_secs(31_557_600));
}

#[test]
fn p_25_patterns_of_other_forms_make_it_no_policy() {
    for pattern in [
        "*",
        "*.",
        ".example.com",
        "*.*.example.com",
        "mx.*.example.com",
        "mx*.example.com",
        "bücher.example",
        "a b",
        "",
    ] {
        assert_eq!(
            with(&format!("mx: {pattern}")),
            Err(PolicyDefect::Mx),
            "{pattern}"
        );
    }
    assert!(with("mx: xn--bcher-kva.example").is_ok());
}

#[test]
fn a_wildcard_names_just_one_label_more() {
    let policy = with("mx: *.example.com").unwrap();
    assert!(policy.names(&host("mail.example.com")));
    assert!(!policy.names(&host("example.com")));
    assert!(!policy.names(&host("foo.bar.example.com")));
    assert!(!policy.names(&host("mailexample.com")));
}

#[test]
fn p_26_opting_out_needs_no_hosts() {
    let policy = StsPolicy::parse("version: STSv1\nmode: none\nmax_age: 60\n").unwrap();
    assert_eq!(policy.mode, StsMode::None);
}
