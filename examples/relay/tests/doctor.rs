//! `doctor` sees our own listeners and names as others do, and no key is shown before its TLSA record.

mod common;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use common::Place;
use common::world::World;
use securemail_core::dkim::LocalDkimKey;
use securemail_core::secret::SecretText;
use securemail_core::vocab::DnsName;
use securemail_testkit::dns::Fault;
use securemail_testkit::ports;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A relay whose names are published as they should be.
struct Model {
    world: World,
    place: Place,
    /// The TLSA record of its key.
    own: String,
}

impl Model {
    async fn new() -> Self {
        let world = World::start().await;
        let mut place = Place::new(&world);
        let bounces = ports::free(Ipv4Addr::LOCALHOST).unwrap();
        place.set("listen.bounces", &format!("\"{bounces}\""));
        // The port that other mail servers would use.
        place.set("route.port", &bounces.port().to_string());
        let own = format!("_25._tcp.relay.test. TLSA {}", certify(&world, &mut place));
        let policy_host = serve_policy(&world).await;
        place.set("route.mta_sts_port", &policy_host.port().to_string());
        for domain in ["sender.test", "relay.test"] {
            let pem = fs::read_to_string(place.folder().join(format!("{domain}.pem"))).unwrap();
            let name = DnsName::parse(domain).unwrap();
            let key = LocalDkimKey::from_pem(name, "test", &SecretText::new(pem.as_str())).unwrap();
            for line in [
                format!("{domain}. TXT \"v=spf1 ip4:192.0.2.1 -all\""),
                format!("_dmarc.{domain}. TXT \"v=DMARC1; p=reject; rua=mailto:d@{domain}\""),
                format!("{}. TXT \"{}\"", key.dns_name(), key.dns_record()),
            ] {
                world.dns.add(&line).unwrap();
            }
        }
        for line in [
            "relay.test. MX 10 relay.test.".to_owned(),
            "relay.test. A 127.0.0.1".to_owned(),
            // A mapped address leads to the same listener.
            "relay.test. AAAA ::ffff:127.0.0.1".to_owned(),
            "_mta-sts.relay.test. TXT \"v=STSv1; id=1\"".to_owned(),
            "_mta-sts.relay.test. TXT \"something else\"".to_owned(),
            "mta-sts.relay.test. A 127.0.0.1".to_owned(),
            "_smtp._tls.relay.test. TXT \"v=TLSRPTv1; rua=mailto:tls@relay.test\"".to_owned(),
            own.clone(),
            format!("_25._tcp.relay.test. TLSA 3 1 1 {}", "ab".repeat(32)),
        ] {
            world.dns.add(&line).unwrap();
        }
        let ns = world.host(99);
        for zone in ["test", "sender.test"] {
            world
                .dns
                .replace(&format!("{zone}. NS ns1.relay.test."))
                .unwrap();
            world
                .dns
                .add(&format!("{zone}. NS ns2.relay.test."))
                .unwrap();
        }
        for line in [
            format!("ns1.relay.test. A {ns}"),
            "ns1.relay.test. AAAA ::1".to_owned(),
            format!("ns2.relay.test. A {ns}"),
            "ns2.relay.test. AAAA ::1".to_owned(),
            "test. CAA 0 issue \"ca.test\"".to_owned(),
            "test. CAA 0 issuemail \";\"".to_owned(),
            "test. CAA 0 issuevmc \";\"".to_owned(),
        ] {
            world.dns.add(&line).unwrap();
        }
        Self { world, place, own }
    }

    /// What `doctor` finds, by `check subject`, and its exit code.
    fn findings(&self) -> (Option<i32>, Vec<(String, String)>) {
        let said = self.place.relay(&["doctor", "--config", "{}", "--json"]);
        let report: Value = serde_json::from_str(&said.out)
            .unwrap_or_else(|error| panic!("{error}: {} {}", said.out, said.err));
        let findings = report["findings"].as_array().unwrap().iter();
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
        let findings = findings
            .map(|finding| {
                let what = format!("{} {}", text(finding, "check"), text(finding, "subject"));
                (what, text(finding, "level"))
            })
            // No name server listens here on port 53; the lab has some.
            .filter(|(what, _)| !what.starts_with("ns_reach "))
            .collect();
        (said.code, findings)
    }

    /// How bad this is, as `check subject`; `None` where it was not looked at.
    fn level(&self, what: &str) -> Option<String> {
        let (_, findings) = self.findings();
        let found = findings.into_iter().find(|(found, _)| found == what);
        found.map(|(_, level)| level)
    }

    /// What is wrong, each as `check subject`.
    fn wrong(&self) -> Vec<String> {
        let (code, findings) = self.findings();
        let wrong = findings.into_iter().filter(|(_, level)| level == "fail");
        let wrong: Vec<String> = wrong.map(|(what, _)| what).collect();
        assert_eq!(code == Some(1), !wrong.is_empty(), "{wrong:?}");
        wrong
    }
}

/// A certificate that the world's root vouches for; the data of its TLSA record.
fn certify(world: &World, place: &mut Place) -> String {
    let issued = world.ca.issue(&["relay.test", "localhost"]).unwrap();
    for (setting, file, text) in [
        ("tls.certificate", "own.pem", &issued.chain_pem),
        ("tls.key", "own.key", &issued.key_pem),
    ] {
        let file = place.folder().join(file);
        fs::write(&file, text).unwrap();
        place.set(setting, &format!("{:?}", file.to_str().unwrap()));
    }
    issued.tlsa_3_1_1()
}

/// A policy host for `relay.test`, until the test ends.
async fn serve_policy(world: &World) -> SocketAddr {
    let issued = world.ca.issue(&["mta-sts.relay.test"]).unwrap();
    let acceptor = TlsAcceptor::from(issued.server_config().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let policy = "version: STSv1\r\nmode: enforce\r\nmx: relay.test\r\nmx: mx.plain.test\r\nmax_age: 604800\r\n";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{policy}",
        policy.len()
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 4096];
            // Whoever leaves early is not asked why.
            if stream.read(&mut request).await.is_ok() {
                drop(stream.write_all(answer.as_bytes()).await);
                drop(stream.shutdown().await);
            }
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_wrong_with_a_relay_that_is_published_as_it_should_be() {
    let model = Model::new().await;
    let _relay = model.place.start();
    let (code, findings) = model.findings();
    let not_good: Vec<_> = findings
        .iter()
        .filter(|(_, level)| level != "good")
        .collect();
    assert!(not_good.is_empty(), "{not_good:?}");
    assert_eq!(code, Some(3), "the name servers cannot be asked");
    let checks: Vec<&str> = findings
        .iter()
        .filter_map(|(what, _)| what.split(' ').next())
        .collect();
    for check in [
        "starttls",
        "tls_version",
        "tls_old",
        "tls_ciphers",
        "fs_params",
        "zero_rtt",
        "cert_trust",
        "cert_pubkey",
        "cert_expiry",
        "dnssec",
        "spf",
        "spf_policy",
        "spf_lookups",
        "dmarc",
        "dmarc_policy",
        "dkim",
        "mx",
        "mta_sts",
        "tlsrpt",
        "kex_hash_func",
        "tls_cipher_order",
        "tls_compression",
        "renegotiation_secure",
        "renegotiation_client",
        "extended_master_secret",
        "null_mx",
        "dmarc_reports",
        "mail_caa",
        "ns_exist",
        "ns_aaaa",
        "mx_aaaa",
        "mx_reach",
        "dnssec_mx",
        "dane_exists",
        "dane_valid",
        "dane_rollover",
    ] {
        assert!(checks.contains(&check), "{check} was not looked at");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_names_is_found() {
    let model = Model::new().await;
    let _relay = model.place.start();
    let dns = &model.world.dns;
    let faults = [
        (
            "relay.test. TXT \"v=spf1 mx a mx a mx a mx a mx a mx -all\"",
            "spf_lookups relay.test",
        ),
        ("sender.test. TXT \"v=spf1 +all\"", "spf_policy sender.test"),
        (
            "_dmarc.sender.test. TXT \"v=DMARC1; p=none\"",
            "dmarc_policy sender.test",
        ),
        (
            "test._domainkey.sender.test. TXT \"v=DKIM1; p=AAAA\"",
            "dkim sender.test",
        ),
        (
            "_smtp._tls.relay.test. TXT \"v=TLSRPTv1; rua=relay.test\"",
            "tlsrpt relay.test",
        ),
    ];
    let mut expected = Vec::new();
    for (line, found) in faults {
        dns.replace(line).unwrap();
        expected.push(found.to_owned());
    }
    assert_eq!(model.wrong(), expected);
    dns.replace("relay.test. MX 0 .").unwrap();
    let others = expected.len() - 1;
    expected.truncate(others);
    // What comes back is lost, and so are answers to what it sends.
    expected.insert(0, "null_mx relay.test".to_owned());
    expected.push("mx relay.test".to_owned());
    assert_eq!(model.wrong(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_does_not_name_our_host_is_found() {
    let model = Model::new().await;
    let _relay = model.place.start();
    let dns = &model.world.dns;
    dns.replace("relay.test. MX 10 mail.relay.test.").unwrap();
    let tlsa = format!("_25._tcp.mail.relay.test. TLSA 3 1 1 {}", "ab".repeat(32));
    for line in [
        "mail.relay.test. A 127.0.0.1",
        "mail.relay.test. AAAA ::ffff:127.0.0.1",
        &tlsa,
    ] {
        dns.add(line).unwrap();
    }
    assert_eq!(model.wrong(), ["mta_sts relay.test"]);
}

/// Internet.nl asks for IPv6, for a signed zone of each host, and for a TLSA record; a second one is better.
#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_the_way_in_is_found() {
    let model = Model::new().await;
    let _relay = model.place.start();
    let dns = &model.world.dns;
    let level = |what: &str| model.level(what);
    dns.replace(&model.own).unwrap();
    assert_eq!(level("dane_exists relay.test").as_deref(), Some("good"));
    let spare = level("dane_rollover relay.test");
    assert_eq!(spare.as_deref(), Some("advice"), "only one key");
    assert_eq!(model.wrong(), [""; 0]);
    dns.remove("_25._tcp.relay.test.", "TLSA").unwrap();
    assert_eq!(model.wrong(), ["dane_exists relay.test"]);
    dns.add(&model.own).unwrap();
    dns.remove("relay.test.", "AAAA").unwrap();
    assert_eq!(model.wrong(), ["mx_aaaa relay.test"]);
    dns.add("relay.test. AAAA ::ffff:127.0.0.1").unwrap();
    // A host whose zone is not signed: DANE cannot protect mail to it.
    dns.replace("relay.test. MX 10 mx.plain.test.").unwrap();
    dns.replace("mx.plain.test. A 127.0.0.1").unwrap();
    dns.add("mx.plain.test. AAAA ::ffff:127.0.0.1").unwrap();
    assert_eq!(level("mx relay.test").as_deref(), Some("advice"));
    let unsigned = ["dnssec_mx mx.plain.test", "dane_exists mx.plain.test"];
    assert_eq!(model.wrong(), unsigned);
}

/// Internet.nl connects over each family; so an address without a listener is found, while the listener answers.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_ours_on_which_nobody_listens_is_found() {
    let model = Model::new().await;
    model.world.dns.add("relay.test. AAAA ::1").unwrap();
    let what = "mx_reach relay.test";
    assert_eq!(model.level(what).as_deref(), Some("unknown"), "nobody runs");
    let _relay = model.place.start();
    assert_eq!(model.wrong(), [what]);
}

/// Each of these is of the network, and an operator can have it mended.
#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_zones_and_reports_is_found() {
    let model = Model::new().await;
    let _relay = model.place.start();
    let dns = &model.world.dns;
    dns.replace("test. NS ns1.relay.test.").unwrap();
    assert_eq!(model.wrong(), ["ns_exist test", "ns_aaaa test"]);
    dns.add("test. NS ns2.relay.test.").unwrap();
    dns.remove("ns2.relay.test.", "AAAA").unwrap();
    assert_eq!(model.wrong(), ["ns_aaaa sender.test", "ns_aaaa test"]);
    dns.add("ns2.relay.test. AAAA ::1").unwrap();
    let elsewhere = "_dmarc.sender.test. TXT \"v=DMARC1; p=reject; rua=mailto:d@proved.test\"";
    dns.replace(elsewhere).unwrap();
    assert_eq!(model.wrong(), ["dmarc_reports sender.test"]);
    dns.add("sender.test._report._dmarc.proved.test. TXT \"v=DMARC1\"")
        .unwrap();
    assert_eq!(model.wrong(), [""; 0]);
    dns.remove("test.", "CAA").unwrap();
    for (what, level) in [
        ("mail_caa sender.test", "advice"),
        ("mail_caa relay.test", "advice"),
    ] {
        assert_eq!(model.level(what).as_deref(), Some(level), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_of_ours_that_is_not_signed_is_found() {
    let mut model = Model::new().await;
    model.place.set("notice.from", "\"post@plain.test\"");
    for line in [
        "plain.test. TXT \"v=spf1 -all\"",
        "_dmarc.plain.test. TXT \"v=DMARC1; p=reject\"",
    ] {
        model.world.dns.add(line).unwrap();
    }
    let level = model.level("dnssec plain.test");
    assert_eq!(level.as_deref(), Some("fail"));
    let signed = model.level("dnssec sender.test");
    assert_eq!(signed.as_deref(), Some("good"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_a_tlsa_record_is_not_shown() {
    let mut model = Model::new().await;
    let next = certify(&model.world, &mut model.place);
    let said = model.place.try_start().map(drop).unwrap_err();
    assert!(said.contains("tls.certificate"), "{said}");
    let line = format!("_25._tcp.relay.test TLSA {next}");
    assert!(said.contains(&line), "{said}");
    assert_eq!(model.wrong(), ["dane_valid relay.test"]);

    // The record comes first, beside the old one; then the key.
    model
        .world
        .dns
        .add(&format!("_25._tcp.relay.test. TLSA {next}"))
        .unwrap();
    let _relay = model.place.start();
    assert_eq!(model.wrong(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tlsa_records_or_without_dns_any_key_is_shown() {
    let model = Model::new().await;
    let dns = &model.world.dns;
    dns.remove("_25._tcp.relay.test.", "TLSA").unwrap();
    drop(model.place.start());
    dns.add(&format!(
        "_25._tcp.relay.test. TLSA 3 1 1 {}",
        "ab".repeat(32)
    ))
    .unwrap();
    assert!(model.place.try_start().is_err());
    dns.inject(Fault::Code {
        name: "_25._tcp.relay.test.".to_owned(),
        code: 2,
    });
    drop(model.place.start());
}

/// A listener that goes on with whatever it is offered: what no server of ours does, and no library would do.
async fn takes_anything(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut octets = [0; 2048];
            if stream.write_all(b"220 here\r\n").await.is_err() {
                return;
            }
            for answer in [
                &b"250 here\r\n"[..],
                b"220 go on\r\n",
                &[22, 3, 2, 0, 2, 2, 0],
            ] {
                let read = stream.read(&mut octets).await;
                if read.is_err() || stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_takes_old_versions_or_weak_ciphers_is_found() {
    let mut model = Model::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    model.place.set("listen.bounces", &format!("\"{address}\""));
    let serving = tokio::spawn(takes_anything(listener));
    let (_, findings) = model.findings();
    serving.abort();
    let of = |check: &str| {
        let what = format!("{check} bounces {address}");
        findings
            .iter()
            .find(|(found, _)| *found == what)
            .map(|(_, level)| level.as_str())
    };
    assert_eq!(of("tls_old"), Some("fail"), "{findings:?}");
    assert_eq!(of("tls_ciphers"), Some("fail"));
}
