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
fn evidence_and_decision_come_as_json() {
    let output = command(&["check", "dane.test", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said.is_object(), "{said}");
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
