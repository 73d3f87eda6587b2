//! Reports about TLS, posted to a local HTTPS server: what is sent, and to whom nothing is.

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use common::resolver;
use rustls::RootCertStore;
use securemail_core::backend::{PostError, ReportPoster as _};
use securemail_core::tlsrpt::{HttpsUri, ReportUri};
use securemail_resolver::{PolicyClient, PolicySettings, ReportClient};
use securemail_testkit::ca::{Issued, TestCa};
use securemail_testkit::dns::{RunningDns, SignedDns, ZoneSpec};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const HOST: &str = "reports.shop.test";
const REPORT: &[u8] = b"a report";

/// A server that answers each request so, and keeps what it got.
struct Site {
    addr: SocketAddr,
    got: Arc<Mutex<Vec<String>>>,
}

impl Site {
    async fn start(certificate: &Issued, answer: &'static str) -> Self {
        let acceptor = TlsAcceptor::from(certificate.server_config().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Self {
            addr: listener.local_addr().unwrap(),
            got: Arc::default(),
        };
        let got = site.got.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut tls) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut request = Vec::new();
                while !request.ends_with(REPORT) {
                    let mut part = [0; 4096];
                    match tls.read(&mut part).await {
                        Ok(0) | Err(_) => break,
                        Ok(length) => request.extend_from_slice(&part[..length]),
                    }
                }
                let text = String::from_utf8_lossy(&request).into_owned();
                got.lock().unwrap().push(text);
                drop(tls.write_all(answer.as_bytes()).await);
                drop(tls.shutdown().await);
            }
        });
        site
    }

    fn uri(&self) -> HttpsUri {
        let url = format!("https://{HOST}:{}/tls?of=shop", self.addr.port());
        match ReportUri::parse(&url).unwrap() {
            ReportUri::Https(uri) => uri,
            ReportUri::Mailto(_) => unreachable!("it is https"),
        }
    }

    fn got(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }
}

async fn dns() -> RunningDns {
    SignedDns::new()
        .zone(ZoneSpec::signed("shop.test"))
        .record(format!("{HOST}. A 127.0.0.1"))
        .start()
        .await
        .unwrap()
}

fn client(ca: &TestCa, dns: &RunningDns, allow: &[&str]) -> ReportClient {
    let mut roots = RootCertStore::empty();
    roots.add(ca.root_der()).unwrap();
    let mut settings = PolicySettings::new(Arc::new(roots));
    settings.allow_networks = allow.iter().map(|text| text.parse().unwrap()).collect();
    settings.timeout = Duration::from_secs(10);
    ReportClient::new(PolicyClient::new(settings, Arc::new(resolver(dns))).unwrap())
}

/// Posts to a server that answers so, with a good certificate.
async fn posted(answer: &'static str) -> (Result<(), PostError>, Vec<String>) {
    let (ca, dns) = (TestCa::new().unwrap(), dns().await);
    let site = Site::start(&ca.issue(&[HOST]).unwrap(), answer).await;
    let client = client(&ca, &dns, &["127.0.0.0/8"]);
    let result = client.post(&site.uri(), Bytes::from_static(REPORT)).await;
    (result, site.got())
}

#[tokio::test]
async fn a_report_is_posted_as_gzip_to_the_path_that_was_asked_for() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 204 None\r\n\r\n",
    ] {
        let (result, got) = posted(answer).await;
        assert_eq!(result, Ok(()), "{answer}");
        let [request] = got.as_slice() else {
            panic!("{got:?}");
        };
        assert!(
            request.starts_with("POST /tls?of=shop HTTP/1.1\r\n"),
            "{request}"
        );
        let lower = request.to_ascii_lowercase();
        assert!(
            lower.contains("\r\ncontent-type: application/tlsrpt+gzip\r\n"),
            "{request}"
        );
        assert!(request.ends_with("\r\n\r\na report"), "{request}");
    }
}

#[tokio::test]
async fn another_status_is_a_refusal_and_redirects_are_not_followed() {
    for (answer, code) in [
        (
            "HTTP/1.1 302 Found\r\nLocation: https://reports.shop.test/\r\nContent-Length: 0\r\n\r\n",
            302,
        ),
        (
            "HTTP/1.1 307 There\r\nLocation: https://elsewhere.test/\r\nContent-Length: 0\r\n\r\n",
            307,
        ),
        ("HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n", 404),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503),
    ] {
        let (result, got) = posted(answer).await;
        assert_eq!(result, Err(PostError::Status(code)));
        assert_eq!(got.len(), 1, "asked once");
    }
}

#[tokio::test]
async fn whoever_is_not_the_host_gets_nothing() {
    let (ca, other, dns) = (TestCa::new().unwrap(), TestCa::new().unwrap(), dns().await);
    for (what, certificate) in [
        ("expired", ca.issue_expired(&[HOST]).unwrap()),
        ("wrong name", ca.issue_wrong_name().unwrap()),
        ("self-signed", TestCa::self_signed(&[HOST]).unwrap()),
        ("other root", other.issue(&[HOST]).unwrap()),
    ] {
        let site = Site::start(&certificate, "HTTP/1.1 200 OK\r\n\r\n").await;
        let client = client(&ca, &dns, &["127.0.0.0/8"]);
        let refused = client.post(&site.uri(), Bytes::from_static(REPORT)).await;
        assert_eq!(refused, Err(PostError::Certificate), "{what}");
        assert!(site.got().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn addresses_that_are_not_public_get_nothing() {
    let (ca, dns) = (TestCa::new().unwrap(), dns().await);
    let site = Site::start(&ca.issue(&[HOST]).unwrap(), "HTTP/1.1 200 OK\r\n\r\n").await;
    let client = client(&ca, &dns, &["10.0.0.0/8"]);
    let refused = client.post(&site.uri(), Bytes::from_static(REPORT)).await;
    assert_eq!(refused, Err(PostError::NoAddress));
    assert!(site.got().is_empty());
}
