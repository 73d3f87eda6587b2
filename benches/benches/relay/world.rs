//! What the relay needs around it: signed DNS, a sink that DANE proves, keys and settings.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use securemail_core::backend::DkimAlgorithm;
use securemail_core::dkim::LocalDkimKey;
use securemail_core::vocab::DnsName;
use securemail_testkit::ca::TestCa;
use securemail_testkit::dns::{RunningDns, SignedDns, ZoneSpec};
use securemail_testkit::sink::{Conduct, Sink, SinkOptions};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const SECRET: &str = "worth-nothing-outside-this-bench";

/// Dropping it ends the servers and removes the folder.
pub(crate) struct World {
    pub(crate) sink: Sink,
    pub(crate) settings: PathBuf,
    _dns: RunningDns,
    _folder: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        let ca = TestCa::new().expect("a test CA");
        let certificate = ca.issue(&["mx.proved.test"]).expect("a certificate");
        let options = SinkOptions {
            host: "mx.proved.test".to_owned(),
            certificate: Some(certificate.clone()),
            conduct: Conduct::Accept,
        };
        let anywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let sink = Sink::start(anywhere, options).await.expect("a sink");
        let port = sink.address().port();
        let dns = SignedDns::new()
            .zone(ZoneSpec::signed("test."))
            .zone(ZoneSpec::signed("proved.test."))
            .mx("proved.test.", 10, "mx.proved.test.")
            .address("mx.proved.test.", IpAddr::V4(Ipv4Addr::LOCALHOST))
            .tlsa("mx.proved.test.", port, &certificate.tlsa_3_1_1())
            .start()
            .await
            .expect("signed DNS");
        let folder = TempDir::new().expect("a folder");
        let settings = write(&folder, &dns, &ca.root_pem(), port);
        Self {
            sink,
            settings,
            _dns: dns,
            _folder: folder,
        }
    }

    /// User name and password of the one account.
    pub(crate) fn account(&self) -> (String, String) {
        ("bench".to_owned(), SECRET.to_owned())
    }
}

fn write(folder: &TempDir, dns: &RunningDns, ca_pem: &str, port: u16) -> PathBuf {
    let at = |name: &str| folder.path().join(name);
    let put = |name: &str, octets: &[u8]| fs::write(at(name), octets).expect("a file");
    put("master.key", &Sha256::digest("a key"));
    put("anchor", dns.anchor().as_bytes());
    put("ca.pem", ca_pem.as_bytes());
    for domain in ["sender.test", "relay.test"] {
        let name = DnsName::parse(domain).expect("a name");
        // As most senders sign today.
        let key = LocalDkimKey::generate(name, "bench", DkimAlgorithm::RsaSha256);
        let (_, pem) = key.expect("a DKIM key");
        put(&format!("{domain}.pem"), pem.expose().as_bytes());
    }
    let secret: String = Sha256::digest(SECRET)
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    let text = format!(
        r#"
[relay]
hostname = "relay.test"
data_dir = "{at}/data"
[listen]
submission = "127.0.0.1:0"
[dns]
servers = ["{servers}"]
trust_anchor = "{at}/anchor"
second_opinion = ["{validator}"]
[route]
profile = "strict"
port = {port}
ca_file = "{at}/ca.pem"
allow_networks = ["127.0.0.0/8"]
[portal]
url = "https://localhost"
[notice]
from = "post@relay.test"
dkim_selector = "bench"
dkim_key = "{at}/relay.test.pem"
[keys]
master_key_file = "{at}/master.key"
[sms]
provider = "console"
[[tenant]]
name = "bench"
domains = ["sender.test"]
[[tenant.account]]
username = "bench"
password = "sha256:{secret}"
domains = ["sender.test"]
[[tenant.dkim]]
domain = "sender.test"
selector = "bench"
key = "{at}/sender.test.pem"
"#,
        at = folder.path().display(),
        servers = dns.addr(),
        validator = dns.validator_addr(),
    );
    put("relay.toml", text.as_bytes());
    at("relay.toml")
}
