//! What testssl.sh and sslyze say of our listeners: nothing.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use super::relay::Relay;

#[test]
fn testssl_and_sslyze_have_nothing_to_complain_of() {
    let relay = Relay::start();
    let listeners = [(relay.submission(), true), (relay.web(), false)];
    let complaints: Vec<String> = std::thread::scope(|scope| {
        let looking = listeners.map(|(address, with_starttls)| {
            let relay = &relay;
            scope.spawn(move || {
                let mut complaints = testssl(relay, address, with_starttls);
                complaints.extend(sslyze(relay, address, with_starttls));
                complaints
            })
        });
        looking
            .into_iter()
            .flat_map(|one| one.join().unwrap())
            .collect()
    });
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// Protocols, ciphers, server's defaults, forward secrecy and every known hole. The certificate is the relay's own,
/// self-signed for the test, so what is said of it is left out.
fn testssl(relay: &Relay, address: SocketAddr, with_starttls: bool) -> Vec<String> {
    let file = relay
        .folder
        .path()
        .join(format!("testssl-{}.json", address.port()));
    let mut testssl = Command::new("testssl");
    testssl.args([
        "--quiet",
        "--color",
        "0",
        "--warnings",
        "off",
        "--ip",
        "one",
    ]);
    testssl
        .args(["-p", "-s", "-f", "-P", "-U", "--jsonfile"])
        .arg(&file);
    if with_starttls {
        testssl.args(["--starttls", "smtp"]);
    }
    let output = testssl.arg(address.to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let findings = fs::read(&file).unwrap_or_else(|error| panic!("{error}: {said}"));
    let findings: Vec<Value> = serde_json::from_slice(&findings).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let ids: Vec<String> = findings.iter().map(|finding| text(finding, "id")).collect();
    for looked_at in ["TLS1_3", "cipherlist_NULL", "heartbleed", "cipher_order"] {
        assert!(
            ids.iter().any(|id| id.contains(looked_at)),
            "{looked_at}: {ids:?}"
        );
    }
    findings
        .iter()
        .filter(|finding| {
            let severity = text(finding, "severity");
            ["LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL"].contains(&severity.as_str())
        })
        .map(|finding| {
            format!(
                "testssl {address} {}: {}",
                text(finding, "id"),
                text(finding, "finding")
            )
        })
        .collect()
}

/// All that Mozilla's "intermediate" asks for, but for the certificate.
fn sslyze(relay: &Relay, address: SocketAddr, with_starttls: bool) -> Vec<String> {
    let mut sslyze = Command::new(relay.lab.program("sslyze"));
    sslyze.arg("--mozilla_config=intermediate");
    if with_starttls {
        sslyze.args(["--starttls", "smtp"]);
    }
    let output = sslyze.arg(address.to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("COMPLIANCE AGAINST"), "{said}");
    let lines = said.lines().map(str::trim);
    let complaints: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("* "))
        .filter(|line| is_complaint(line))
        .collect();
    // Its verdict and what was read must fit each other: lines of another form would else say that all is well.
    let is_compliant = said.contains(" OK - Compliant.");
    assert_ne!(is_compliant, said.contains("Not compliant."), "{said}");
    assert_eq!(is_compliant, complaints.is_empty(), "{said}");
    complaints
        .into_iter()
        .filter(|line| !is_of_the_certificate(line))
        .map(|line| format!("sslyze {address} {line}"))
        .collect()
}

/// Complaints are keys of the configuration in lower case; headings of results are words.
fn is_complaint(line: &str) -> bool {
    let key = line.split(':').next().unwrap_or_default();
    !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

fn is_of_the_certificate(line: &str) -> bool {
    line.starts_with("certificate_path_validation")
        || line.starts_with("maximum_certificate_lifespan")
}
