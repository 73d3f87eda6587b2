//! What `doctor` says among real name servers, and of a listener of OpenSSL with old settings.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use securemail_testkit::lab::Lab;
use serde_json::Value;
use tempfile::TempDir;

use super::relay::{PASSWORD_SHA256, PROGRAM, eventually, free_port};

/// `relay.model.test`, whose names are published as they should be.
const HERE: &str = "127.0.0.25";

/// Its settings, as an operator would write them.
fn write_settings(lab: &Lab, folder: &Path, submissions: u16) -> PathBuf {
    let (certificate, key) = lab.certificate("model");
    let (resolver, (vantage, name)) = (lab.resolver(), lab.vantage());
    let (anchor, ca) = (lab.trust_anchor(), lab.ca_file());
    let dkim = lab.dkim_key("lab-rsa").unwrap();
    let data = folder.join("data");
    fs::create_dir_all(&data).unwrap();
    let master_key = folder.join("master.key");
    fs::write(&master_key, PASSWORD_SHA256).unwrap();
    let text = format!(
        r#"
[relay]
hostname = "relay.model.test"
data_dir = {data:?}
[listen]
submission = "{HERE}:587"
submissions = "{HERE}:{submissions}"
web = "{HERE}:443"
bounces = "{HERE}:25"
[tls]
certificate = {certificate:?}
key = {key:?}
[dns]
servers = ["{resolver}"]
trust_anchor = {anchor:?}
second_opinion = ["{resolver}"]
vantage = [{{ server = "{vantage}", name = "{name}" }}]
[route]
ca_file = {ca:?}
allow_networks = ["127.0.0.0/8"]
[portal]
url = "https://portal.model.test"
[notice]
from = "notice@model.test"
dkim_selector = "lab-rsa"
dkim_key = {dkim:?}
[keys]
master_key_file = {master_key:?}
[sms]
provider = "console"
[[tenant]]
name = "model"
display_name = "Model"
domains = ["model.test"]
[[tenant.account]]
username = "model"
password = "sha256:{PASSWORD_SHA256}"
domains = ["model.test"]
"#
    );
    let file = folder.join("relay.toml");
    fs::write(&file, text).unwrap();
    file
}

/// A program that ends with its value.
struct Running(Child);

impl Running {
    fn start(command: &mut Command, addresses: &[SocketAddr]) -> Self {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let running = Self(child);
        let listens = |address: &SocketAddr| TcpStream::connect(address).is_ok();
        eventually("it listens", || addresses.iter().all(listens));
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// The exit code of `doctor`, and what it finds that is not good: `check subject`, level, text.
fn findings(settings: &Path) -> (Option<i32>, Vec<(String, String)>, Value) {
    let output = Command::new(PROGRAM)
        .args(["doctor", "--json", "--config"])
        .arg(settings)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    let findings = findings
        .filter(|finding| finding["level"] != "good")
        .map(|finding| {
            let what = format!("{} {}", text(finding, "check"), text(finding, "subject"));
            (what, text(finding, "level"))
        });
    (output.status.code(), findings.collect(), report.clone())
}

#[test]
fn nothing_is_wrong_with_a_relay_whose_zone_has_all_that_internet_nl_asks_for() {
    let (lab, folder) = (Lab::here().unwrap(), TempDir::new().unwrap());
    let settings = write_settings(&lab, folder.path(), 465);
    let at = |port: u16| format!("{HERE}:{port}").parse().unwrap();
    let mut relay = Command::new(PROGRAM);
    relay.args(["run", "--config"]).arg(&settings);
    let _relay = Running::start(&mut relay, &[587, 465, 443, 25].map(at));
    let (code, not_good, report) = findings(&settings);
    // No host of the lab serves a policy for it.
    let expected = [("mta_sts relay.model.test", "advice")];
    let expected = expected.map(|(what, level)| (what.to_owned(), level.to_owned()));
    assert_eq!(not_good, expected, "{report:#}");
    assert_eq!(code, Some(0));
    let asked = report["findings"].as_array().unwrap().iter();
    let asked: Vec<&str> = asked.map(|one| one["check"].as_str().unwrap()).collect();
    for check in [
        "ns_reach",
        "mx_reach",
        "renegotiation_client",
        "web_caa",
        "dane_rollover",
    ] {
        assert!(asked.contains(&check), "{check} was not looked at");
    }
}

/// OpenSSL with everything that it can still be talked into.
#[test]
fn a_listener_of_openssl_with_old_settings_is_found() {
    let (lab, folder) = (Lab::here().unwrap(), TempDir::new().unwrap());
    let port = free_port();
    let settings = write_settings(&lab, folder.path(), port);
    let address: SocketAddr = format!("{HERE}:{port}").parse().unwrap();
    // With a key of ECDSA it takes no curve but that of the key.
    let file = |name| folder.path().join(name);
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "30",
    ]);
    openssl.args(["-subj", "/CN=relay.model.test", "-keyout"]);
    openssl
        .arg(file("rsa.key"))
        .arg("-out")
        .arg(file("rsa.pem"));
    let made = openssl.output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut openssl = Command::new("openssl");
    openssl.args(["s_server", "-quiet", "-accept", &address.to_string()]);
    openssl
        .arg("-cert")
        .arg(file("rsa.pem"))
        .arg("-key")
        .arg(file("rsa.key"));
    openssl.args(["-min_protocol", "TLSv1", "-cipher", "ALL:@SECLEVEL=0"]);
    openssl.args(["-groups", "secp224r1:P-256:X25519", "-client_renegotiation"]);
    let _openssl = Running::start(&mut openssl, &[address]);
    let (code, not_good, report) = findings(&settings);
    assert_eq!(code, Some(1));
    let subject = format!(" submissions {address}");
    let of_listener = not_good.iter().filter_map(|(what, level)| {
        let check = what.strip_suffix(&subject)?;
        Some((check, level.as_str()))
    });
    let expected = [
        ("fs_params", "advice"),
        ("cert_trust", "fail"),
        ("tls_old", "fail"),
        ("tls_ciphers", "fail"),
        ("fs_params", "fail"),
        ("kex_hash_func", "advice"),
        ("tls_cipher_order", "fail"),
        ("renegotiation_client", "fail"),
    ];
    assert_eq!(of_listener.collect::<Vec<_>>(), expected, "{report:#}");
}
