//! One address, or a slow client, does not hold the listener for others.

use std::net::Ipv4Addr;

use axum::body::Body;
use axum::routing::{get, post};
use rustls::pki_types::ServerName;
use securemail_testkit::ca::TestCa;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

const SOON: Duration = Duration::from_secs(10);

struct Web {
    address: SocketAddr,
    ca: TestCa,
    stop: watch::Sender<bool>,
    served: JoinHandle<io::Result<()>>,
}

impl Web {
    async fn start(change: impl FnOnce(&mut WebLimits)) -> Self {
        let mut limits = WebLimits::new(Vec::new());
        change(&mut limits);
        let ca = TestCa::new().unwrap();
        let issued = ca.issue(&["portal.test"]).unwrap();
        let tls = issued.server_config().unwrap();
        let large = get(async || Body::from(vec![b'x'; 64 * 1024 * 1024]));
        let router = Router::new()
            .route("/", get(async || "here"))
            .route("/large", large)
            .route("/form", post(async |body: String| body));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(https(listener, tls, router, limits, stopped));
        Self {
            address,
            ca,
            stop,
            served,
        }
    }

    /// A connection from 127.0.0.`last`; `None` where it is one too many.
    async fn connect(&self, last: u8) -> Option<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4().unwrap();
        let from = Ipv4Addr::new(127, 0, 0, last);
        socket.bind((from, 0).into()).unwrap();
        let stream = socket.connect(self.address).await.ok()?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca.root_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("portal.test").unwrap();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        timeout(SOON, connecting).await.unwrap().ok()
    }

    /// Waits until there is a place for 127.0.0.`last`.
    async fn place(&self, last: u8) {
        let until = Instant::now() + SOON;
        while self.connect(last).await.is_none() {
            assert!(Instant::now() < until, "the place is still held");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn ask(stream: &mut TlsStream<TcpStream>, request: &str) {
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn one_address_holds_no_more_than_its_places() {
    let web = Web::start(|limits| limits.per_address = 2).await;
    let held = (web.connect(1).await.unwrap(), web.connect(1).await.unwrap());
    assert!(web.connect(1).await.is_none());
    let mut other = web.connect(2).await.unwrap();
    ask(
        &mut other,
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("here"), "{answer}");
    drop(held);
    web.place(1).await;
}

#[tokio::test]
async fn a_proxy_that_is_trusted_carries_as_many_as_there_are_places() {
    let web = Web::start(|limits| {
        limits.per_address = 1;
        limits.proxies = vec!["127.0.0.9/32".parse().unwrap()];
    })
    .await;
    let first = web.connect(9).await;
    assert!(first.is_some() && web.connect(9).await.is_some());
}

#[tokio::test]
async fn a_form_that_does_not_come_is_given_up() {
    let web = Web::start(|limits| limits.request = Duration::from_millis(100)).await;
    let mut slow = web.connect(1).await.unwrap();
    let head = "POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx";
    ask(&mut slow, head).await;
    let mut answer = Vec::new();
    // How the connection ends is of no interest.
    drop(timeout(SOON, slow.read_to_end(&mut answer)).await.unwrap());
    assert!(answer.starts_with(b"HTTP/1.1 408 "));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    let web = Web::start(|limits| {
        limits.connections = 1;
        limits.write = Duration::from_millis(100);
    })
    .await;
    let mut deaf = web.connect(1).await.unwrap();
    ask(&mut deaf, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    web.place(2).await;
    drop(deaf);
}

#[tokio::test]
async fn a_full_listener_still_stops() {
    let web = Web::start(|limits| limits.connections = 1).await;
    let held = web.connect(1).await.unwrap();
    web.stop.send_replace(true);
    timeout(SOON, web.served).await.unwrap().unwrap().unwrap();
    drop(held);
}
