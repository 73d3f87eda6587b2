//! `check DOMAIN` says in its exit code what would happen.

use super::relay::command;

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
fn evidence_and_decision_come_as_json() {
    let output = command(&["check", "dane.test", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said.is_object(), "{said}");
}
