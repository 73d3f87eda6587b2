//! MTA-STS policies from a local HTTPS server: what is taken, and everything that is not.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::resolver;
use rustls::RootCertStore;
use securemail_core::backend::{FetchError, PolicyFetcher as _};
use securemail_core::vocab::DnsName;
use securemail_resolver::{PolicyClient, PolicySettings};
use securemail_testkit::ca::{Issued, TestCa};
use securemail_testkit::dns::{Fault, RunningDns, SignedDns, ZoneSpec};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const POLICY: &str = "version: STSv1\r\nmode: enforce\r\nmx: mx.shop.test\r\nmax_age: 86400\r\n";
const HOST: &str = "mta-sts.shop.test";

/// What the server does with a request.
#[derive(Clone)]
enum Behaviour {
    /// Sends this and closes.
    Send(Vec<u8>),
    /// Sends the head and a little of the body again and again.
    Drip,
    /// Says nothing.
    Silent,
}

struct Site {
    addr: SocketAddr,
    requests: Arc<AtomicUsize>,
}

fn reply(status: &str, kind: &str, body: &str) -> Behaviour {
    let length = body.len();
    Behaviour::Send(
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
             Location: https://{HOST}/elsewhere\r\nConnection: close\r\n\r\n{body}"
        )
        .into_bytes(),
    )
}

async fn serve(certificate: &Issued, behaviour: Behaviour) -> Site {
    let acceptor = TlsAcceptor::from(certificate.server_config().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = Site {
        addr: listener.local_addr().unwrap(),
        requests: Arc::default(),
    };
    let requests = Arc::clone(&site.requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behaviour) = (acceptor.clone(), behaviour.clone());
            let requests = Arc::clone(&requests);
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(stream).await else {
                    return;
                };
                assert_eq!(tls.get_ref().1.server_name(), Some(HOST));
                let mut request = vec![0; 4096];
                let length = tls.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                assert!(request.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n"));
                requests.fetch_add(1, Ordering::SeqCst);
                answer(&mut tls, behaviour).await;
            });
        }
    });
    site
}

async fn answer<S: tokio::io::AsyncWrite + Unpin>(tls: &mut S, behaviour: Behaviour) {
    match behaviour {
        Behaviour::Send(octets) => {
            drop(tls.write_all(&octets).await);
            drop(tls.shutdown().await);
        }
        Behaviour::Drip => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";
            drop(tls.write_all(head.as_bytes()).await);
            while tls.write_all(b"mx: a.test\r\n").await.is_ok() {
                drop(tls.flush().await);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Behaviour::Silent => tokio::time::sleep(Duration::from_secs(60)).await,
    }
}

async fn dns() -> RunningDns {
    SignedDns::new()
        .zone(ZoneSpec::signed("shop.test"))
        .cname(HOST, "web.shop.test")
        .record("web.shop.test. A 127.0.0.1")
        .start()
        .await
        .unwrap()
}

fn client(ca: &TestCa, dns: &RunningDns, port: u16, allow: &[&str]) -> PolicyClient {
    let mut roots = RootCertStore::empty();
    roots.add(ca.root_der()).unwrap();
    let mut settings = PolicySettings::new(Arc::new(roots));
    settings.port = port;
    settings.allow_networks = allow.iter().map(|text| text.parse().unwrap()).collect();
    settings.timeout = Duration::from_secs(5);
    PolicyClient::new(settings, Arc::new(resolver(dns))).unwrap()
}

fn shop() -> DnsName {
    DnsName::parse("shop.test").unwrap()
}

/// Fetches from a server that behaves so; with a good certificate.
async fn fetched(behaviour: Behaviour) -> Result<Vec<u8>, FetchError> {
    let (ca, dns) = (TestCa::new().unwrap(), dns().await);
    let site = serve(&ca.issue(&[HOST]).unwrap(), behaviour).await;
    let client = client(&ca, &dns, site.addr.port(), &["127.0.0.0/8"]);
    let result = client.fetch(&shop()).await;
    assert_eq!(site.requests.load(Ordering::SeqCst), 1, "asked once");
    result.map(|policy| policy.body.to_vec())
}

#[tokio::test]
async fn a_policy_is_taken_as_served() {
    for kind in ["text/plain", "Text/Plain; charset=utf-8"] {
        let body = fetched(reply("200 OK", kind, POLICY)).await.unwrap();
        assert_eq!(body, POLICY.as_bytes());
    }
}

/// Nothing between two fetches is kept, whatever the host says about that (RFC 8461, section 3.3).
#[tokio::test]
async fn each_fetch_asks_the_host_anew() {
    let (ca, dns) = (TestCa::new().unwrap(), dns().await);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: max-age=86400\r\n";
    let length = POLICY.len();
    let lasting = format!("{head}Content-Length: {length}\r\n\r\n{POLICY}");
    let behaviour = Behaviour::Send(lasting.into_bytes());
    let site = serve(&ca.issue(&[HOST]).unwrap(), behaviour).await;
    let client = client(&ca, &dns, site.addr.port(), &["127.0.0.0/8"]);
    for count in 1..=3 {
        client.fetch(&shop()).await.unwrap();
        assert_eq!(site.requests.load(Ordering::SeqCst), count);
    }
}

#[tokio::test]
async fn a_policy_of_exactly_64_kib_is_taken() {
    let body = "x".repeat(64 * 1024);
    let taken = fetched(reply("200 OK", "text/plain", &body)).await.unwrap();
    assert_eq!(taken.len(), body.len());
}

#[tokio::test]
async fn a_larger_policy_is_not_read() {
    let body = "x".repeat(64 * 1024 + 1);
    let large = fetched(reply("200 OK", "text/plain", &body)).await;
    assert_eq!(large, Err(FetchError::TooLarge));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for (status, code) in [("301 Moved", 301), ("302 Found", 302), ("307 There", 307)] {
        let moved = fetched(reply(status, "text/plain", POLICY)).await;
        assert_eq!(moved, Err(FetchError::Status(code)));
    }
}

#[tokio::test]
async fn only_status_200_is_taken() {
    for (status, code) in [("404 None", 404), ("203 Other", 203), ("500 Sorry", 500)] {
        let other = fetched(reply(status, "text/plain", POLICY)).await;
        assert_eq!(other, Err(FetchError::Status(code)));
    }
}

#[tokio::test]
async fn other_media_types_are_refused() {
    for kind in ["text/html", "application/octet-stream", "text/plainx", ""] {
        let other = fetched(reply("200 OK", kind, POLICY)).await;
        assert_eq!(other, Err(FetchError::MediaType), "{kind}");
    }
}

#[tokio::test]
async fn a_server_that_is_slow_is_given_up() {
    for behaviour in [Behaviour::Silent, Behaviour::Drip] {
        let begun = tokio::time::Instant::now();
        assert_eq!(fetched(behaviour).await, Err(FetchError::Unreachable));
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}

#[tokio::test]
async fn a_body_cut_short_is_no_policy() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 500\r\n\r\nversion: STSv1\r\n";
    let result = fetched(Behaviour::Send(cut.into())).await;
    assert_eq!(result, Err(FetchError::Unreachable));
}

#[tokio::test]
async fn bad_certificates_are_refused_before_anything_is_asked() {
    let (ca, other, dns) = (TestCa::new().unwrap(), TestCa::new().unwrap(), dns().await);
    let certificates = [
        ("expired", ca.issue_expired(&[HOST]).unwrap()),
        ("not yet", ca.issue_future(&[HOST]).unwrap()),
        ("wrong name", ca.issue_wrong_name().unwrap()),
        (
            "of the alias' target",
            ca.issue(&["web.shop.test"]).unwrap(),
        ),
        ("of the domain", ca.issue(&["shop.test"]).unwrap()),
        ("self-signed", TestCa::self_signed(&[HOST]).unwrap()),
        ("other root", other.issue(&[HOST]).unwrap()),
    ];
    for (what, certificate) in certificates {
        let site = serve(&certificate, reply("200 OK", "text/plain", POLICY)).await;
        let client = client(&ca, &dns, site.addr.port(), &["127.0.0.0/8"]);
        let refused = client.fetch(&shop()).await;
        assert_eq!(refused, Err(FetchError::Certificate), "{what}");
        assert_eq!(site.requests.load(Ordering::SeqCst), 0, "{what}");
    }
}

#[tokio::test]
async fn private_addresses_are_not_connected_to() {
    let (ca, dns) = (TestCa::new().unwrap(), dns().await);
    let certificate = ca.issue(&[HOST]).unwrap();
    let site = serve(&certificate, reply("200 OK", "text/plain", POLICY)).await;
    for allow in [&[] as &[&str], &["10.0.0.0/8"]] {
        let client = client(&ca, &dns, site.addr.port(), allow);
        assert_eq!(client.fetch(&shop()).await, Err(FetchError::NoAddress));
    }
    assert_eq!(site.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_host_without_address_has_no_policy_and_one_in_doubt_is_unreachable() {
    let (ca, dns) = (TestCa::new().unwrap(), dns().await);
    let client = client(&ca, &dns, 443, &["127.0.0.0/8"]);
    let none = DnsName::parse("none.shop.test").unwrap();
    assert_eq!(client.fetch(&none).await, Err(FetchError::NoAddress));
    dns.inject(Fault::Code {
        name: HOST.into(),
        code: 2,
    });
    assert_eq!(client.fetch(&shop()).await, Err(FetchError::Unreachable));
}
