//! MTA-STS texts: what announces a policy, what is one, and which hosts it names (RFC 8461).

use std::time::Duration;

use securemail_core::route::{PolicyDefect, StsMode, StsPolicy, announced_id};
use securemail_core::vocab::DnsName;

/// RFC 8461, appendix A.
const EXAMPLE: &str = "version: STSv1\nmode: enforce\nmx: mx1.example.com\nmx: mx2.example.com\n\
                       mx: mx.backup-example.com\nmax_age: 1296000\n";

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
    assert_eq!(
        id(&["v=STSv1; id=20160831085700Z;"]).as_deref(),
        Some("20160831085700Z")
    );
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
    let policy = StsPolicy::parse(EXAMPLE).unwrap();
    assert_eq!(
        (policy.mode, policy.max_age),
        (StsMode::Enforce, Duration::from_secs(1_296_000))
    );
    assert!(policy.names(&host("mx1.example.com")));
    assert!(policy.names(&host("MX.Backup-Example.com")));
    assert!(!policy.names(&host("mx3.example.com")));
    assert!(!policy.names(&host("a.mx1.example.com")));
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
    assert_eq!(swapped("enforce", "Enforce"), Err(PolicyDefect::Mode));
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
