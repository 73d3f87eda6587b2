//! `check DOMAIN` says in its exit code what would happen.

use super::relay::{Start, command, command_with};

const DIRECT: i32 = 0;
const VAULT: i32 = 10;
const REFUSE: i32 = 20;
const HELD: i32 = 30;

#[test]
fn exit_code_says_how_mail_would_go() {
    let cases = [
        ("dane.test", DIRECT),
        ("pkix.test", DIRECT),
        ("insecure.test", DIRECT),
        ("sts.test", DIRECT),
        ("hosted.test", DIRECT),
        ("notls.test", VAULT),
        ("notls-signed.test", VAULT),
        ("expired.test", VAULT),
        ("nowhere.test", REFUSE),
        ("example.nowhere", REFUSE),
        ("nullmx.test", REFUSE),
        ("badtlsa.test", HELD),
        ("bogus.test", HELD),
    ];
    let wrong: Vec<String> = cases
        .into_iter()
        .filter_map(|(domain, expected)| {
            let output = command(&["check", domain, "--connect"]);
            let code = output.status.code();
            let said =
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            (code != Some(expected)).then(|| format!("{domain}: {code:?}, not {expected}\n{said}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_domain_that_takes_part_in_nta_7516_is_reached_by_the_norm_alone() {
    for (words, expected, rule) in [
        (&["check", "nta.test", "--nta7516"][..], DIRECT, "NTA-02"),
        (&["check", "nta.test", "--connect"], VAULT, "MX-01"),
    ] {
        let output = command(words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(expected), "{said}");
        assert!(said.contains(rule), "{said}");
    }
}

#[test]
fn what_was_asked_and_what_came_back_is_shown() {
    let signed = "(signed, two validators)";
    let cases: [(&str, &[&str]); 6] = [
        (
            "dane.test",
            &[
                &format!("MX dane.test -> 10 mx.dane.test {signed}"),
                "TLSA _25._tcp.mx.dane.test -> 3 1 1 ",
                "mx.dane.test at 127.0.0.11, port 25 -> TLSv1.3, ",
                "; proved: its own certificate matches a TLSA record",
            ],
        ),
        (
            "pkix.test",
            &[
                "proved: its certificate is valid, and leads to the trusted root ",
                "; the key that mx.pkix.test showed us: compare it with your own",
            ],
        ),
        (
            "sts.test",
            &[
                "MTA-STS policy of sts.test -> fetched: mode enforce, mx mx.sts.test, max_age ",
                "MX sts.test at vantage.test -> 10 mx.sts.test (not signed)",
            ],
        ),
        (
            "expired.test",
            &[
                "certificate valid until 2024-",
                "not proved, so it ended before MAIL: the certificate has expired",
                "What the owner of the domain can do:\n  - give mx.expired.test a valid certificate",
            ],
        ),
        (
            "notls.test",
            &[
                "mx.notls.test at 127.0.0.15, port 25 -> STARTTLS is refused: 502",
                "  - switch on STARTTLS at mx.notls.test",
            ],
        ),
        (
            "bogusmx.test",
            &[
                "A mx.bogus.test -> failed: the signatures are wrong",
                "  - repair the signatures (DNSSEC) of mx.bogus.test",
            ],
        ),
    ];
    for (domain, wanted) in cases {
        let output = command(&["check", domain, "--connect"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        for text in wanted {
            assert!(said.contains(text), "{text}\n{said}");
        }
    }
}

#[test]
fn without_a_session_it_says_that_nobody_was_connected_to() {
    let said = |words: &[&str]| String::from_utf8_lossy(&command(words).stdout).into_owned();
    let hint = "No host was connected to";
    assert!(said(&["check", "badtlsa.test"]).contains(hint));
    assert!(!said(&["check", "dane.test", "--connect"]).contains(hint));
}

#[test]
fn evidence_and_decision_come_as_json() {
    let output = command(&["check", "dane.test", "--connect", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for field in [
        "/sentence",
        "/advice",
        "/decision/findings/0/rule",
        "/decision/route/Deliver/0/host",
        "/evidence/dns",
        "/settings",
        "/explanation/asked/0",
        "/explanation/sessions/0",
        "/explanation/publish",
    ] {
        assert!(said.pointer(field).is_some(), "{field}: {said}");
    }
}

#[test]
fn a_tenant_is_answered_by_its_own_rules() {
    let start = Start {
        tenant: r#"domain_profiles = { "pkix.test" = "dane-only" }"#,
        ..Start::default()
    };
    for (words, expected) in [
        (&["check", "pkix.test"][..], DIRECT),
        (&["check", "pkix.test", "--tenant", "clinic"], VAULT),
        (&["check", "dane.test", "--tenant", "clinic"], DIRECT),
        (&["check", "dane.test", "--tenant", "nobody"], 2),
    ] {
        let output = command_with(&start, words);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(expected), "{words:?}\n{said}");
    }
}

/// Debian's Postfix does not speak REQUIRETLS; what Nodemailer runs does.
#[test]
fn a_demand_for_requiretls_needs_a_host_that_offers_it() {
    for (words, expected) in [
        (
            &["check", "nodemailer.test", "--requiretls", "--connect"][..],
            DIRECT,
        ),
        (&["check", "dane.test", "--requiretls"], DIRECT),
        (&["check", "dane.test", "--requiretls", "--connect"], REFUSE),
        (&["check", "insecure.test", "--requiretls"], REFUSE),
    ] {
        let output = command(words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(expected), "{words:?}\n{said}");
    }
}
