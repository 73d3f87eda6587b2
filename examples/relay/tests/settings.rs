//! Every key that outsiders are told of is known, and what a key asks for is done or refused.

mod common;

use std::fs;
use std::path::Path;

use common::relay;
use securemail_core::backend::DkimAlgorithm;
use securemail_core::dkim::LocalDkimKey;
use securemail_core::vocab::DnsName;
use securemail_testkit::ca::TestCa;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// All keys of the design, each with a value that fits.
fn every_key(at: &Path) -> String {
    let at = at.display();
    format!(
        r#"
[relay]
hostname = "relay.example.org"
data_dir = "{at}/data"
[listen]
submission = "127.0.0.1:2525"
submissions = "127.0.0.1:2465"
web = "127.0.0.1:8443"
bounces = "127.0.0.1:2526"
metrics = "127.0.0.1:9464"
[tls]
certificate = "{at}/certificate.pem"
key = "{at}/key.pem"
[dns]
servers = ["127.0.0.1:53"]
trust_anchor = "{at}/anchor"
second_opinion = ["127.0.0.1:53"]
vantage = [{{ server = "192.0.2.53:853", name = "dns.example.net" }}]
[route]
profile = "standard"
port = 25
mta_sts_port = 443
ca_file = "{at}/ca.pem"
budget = "20s"
confirm_after = "15m"
confirm_absence_after = "10m"
divert_after = "4h"
hold_for = "5d"
allow_networks = []
[portal]
url = "https://mail.example.org"
trusted_proxies = []
[notice]
from = "post@example.org"
dkim_selector = "2026a"
dkim_key = "{at}/dkim.pem"
[store]
url = "sqlite:{at}/store.db"
[vault]
url = "file:{at}/vault"
retention_days = 30
grace_days = 7
[keys]
url = "sqlite:{at}/keys.db"
master_key_file = "{at}/master.key"
[limits]
message_bytes = 62914560
memory_bytes = 268435456
[sms]
provider = "twilio"
base_url = "https://api.example.net"
account_sid = "AC00000000000000000000000000000000"
auth_token_file = "{at}/token"
from = "+31612345678"
[[tenant]]
name = "example"
domains = ["example.org"]
profile = "strict"
languages = ["nl", "en"]
lists = ["all@example.org"]
return_route = {{ host = "mail.example.org", username = "relay", password_file = "{at}/password" }}
forget_link = false
evidence = "standard"
[[tenant.account]]
username = "printer"
password = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
domains = ["example.org"]
[[tenant.account]]
username = "platform"
client_certificate = "0000000000000000000000000000000000000000000000000000000000000000"
domains = ["example.org"]
[[tenant.dkim]]
domain = "example.org"
selector = "2026a"
key = "{at}/dkim.pem"
[[tenant.phone]]
address = "jan@example.net"
number = "+31612345678"
"#
    )
}

/// Every file that they name.
fn every_file(at: &Path) {
    let ca = TestCa::new().unwrap();
    let own = ca.issue(&["relay.example.org"]).unwrap();
    let domain = DnsName::parse("example.org").unwrap();
    let (_, dkim) = LocalDkimKey::generate(domain, "2026a", DkimAlgorithm::Ed25519Sha256).unwrap();
    for (name, text) in [
        ("ca.pem", ca.root_pem().as_str()),
        ("certificate.pem", &own.chain_pem),
        ("dkim.pem", dkim.expose()),
        ("key.pem", &own.key_pem),
        ("password", "a password\n"),
        ("token", "00000000000000000000000000000000\n"),
    ] {
        fs::write(at.join(name), text).unwrap();
    }
    fs::write(at.join("master.key"), Sha256::digest("a key")).unwrap();
}

/// What `config check` says about these settings, and its exit code.
fn checked(change: impl FnOnce(String) -> String) -> (Option<i32>, String) {
    let folder = TempDir::new().unwrap();
    every_file(folder.path());
    let file = folder.path().join("relay.toml");
    fs::write(&file, change(every_key(folder.path()))).unwrap();
    let said = relay(&["config", "check", "--config", file.to_str().unwrap()]);
    (said.code, format!("{}{}", said.out, said.err))
}

#[test]
fn a_tenant_is_never_laxer_than_all() {
    for own in [
        "profile = \"basic\"\n",
        "domain_profiles = { \"example.net\" = \"basic\" }\n",
    ] {
        let (code, said) = checked(|text| text.replace("profile = \"strict\"\n", own));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("laxer than route.profile"), "{said}");
    }
}

#[test]
fn every_key_that_outsiders_are_told_of_is_known() {
    let (code, said) = checked(|text| text);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn evidence_that_cannot_be_kept_is_refused_with_the_way_out() {
    let (code, said) =
        checked(|text| text.replace("evidence = \"standard\"", "evidence = \"handshake\""));
    assert_eq!(code, Some(2), "{said}");
    for word in [
        "tenant example",
        "this version cannot",
        "evidence = \"standard\"",
    ] {
        assert!(said.contains(word), "`{word}` is missing: {said}");
    }
    let (code, said) =
        checked(|text| text.replace("evidence = \"standard\"", "evidence = \"best\""));
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("standard") && said.contains("handshake"),
        "{said}"
    );
}

#[test]
fn what_run_would_refuse_is_refused_before() {
    for (from, to, about) in [
        (
            "retention_days = 30",
            "retention_days = 91",
            "vault.retention_days",
        ),
        ("grace_days = 7", "grace_days = 0", "vault.grace_days"),
        ("sha256:0000", "sha256:xx00", "account printer"),
        (
            "username = \"platform\"",
            "username = \"platform\"\npassword = \"x\"",
            "account platform",
        ),
        ("number = \"+31", "number = \"31", "phone number"),
        ("url = \"sqlite:", "url = \"postgres:", "store.url"),
        ("url = \"file:", "url = \"s3:", "vault.url"),
        (
            "trusted_proxies = []",
            "trusted_proxies = [\"nginx\"]",
            "trusted_proxies",
        ),
        ("budget = \"20s\"", "budget = \"0s\"", "route.budget"),
        ("[tls]\ncertificate", "[tls]\n# certificate", "certificate"),
        (
            "selector = \"2026a\"\nkey = ",
            "selector = \"b\"\nkey = \"none.pem\" # ",
            "none.pem",
        ),
        ("/master.key", "/none.key", "none.key"),
        ("/token", "/none.token", "none.token"),
        ("/certificate.pem", "/none.pem", "none.pem"),
        ("/ca.pem", "/none.pem", "none.pem"),
        ("account_sid = \"AC", "account_sid = \"XX", "AC"),
    ] {
        let (code, said) = checked(|text| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        assert_eq!(code, Some(2), "{to}: {said}");
        assert!(said.contains(about), "{to}: {said}");
    }
}
