//! The receiver of bounces, over loopback.

mod common;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::{Raw, pem};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use securemail_core::mail::verp;
use securemail_core::secret::Key32;
use securemail_core::vocab::{Address, DnsName, VaultId};
use securemail_smtp::{
    BounceHandler, BounceParts, BounceServer, BounceUnkept, ServerSettings, server_config,
};
use securemail_testkit::ca::TestCa;
use securemail_testkit::memory::MemoryDirectory;
use securemail_testkit::sim::{ManualClock, SeededEntropy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

#[derive(Debug)]
struct Book {
    key: Key32,
    bounced: Mutex<Vec<VaultId>>,
    is_down: AtomicBool,
}

#[async_trait]
impl BounceHandler for Book {
    fn is_ours(&self, address: &Address) -> bool {
        verp::check(&self.key, address).is_some()
    }

    async fn bounced(&self, address: &Address) -> Result<(), BounceUnkept> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(BounceUnkept("told to fail".into()));
        }
        let id = verp::check(&self.key, address).unwrap();
        self.bounced.lock().unwrap().push(id);
        Ok(())
    }
}

struct Running {
    book: Arc<Book>,
    at: SocketAddr,
    ca: TestCa,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
    data_dir: tempfile::TempDir,
}

fn host() -> DnsName {
    DnsName::parse("relay.test").unwrap()
}

async fn start() -> Running {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut ServerSettings)) -> Running {
    let ca = TestCa::new().unwrap();
    let (chain, key) = pem(&ca.issue(&["relay.test"]).unwrap());
    let book = Arc::new(Book {
        key: Key32::from_bytes([7; 32]),
        bounced: Mutex::default(),
        is_down: AtomicBool::new(false),
    });
    let data_dir = tempfile::tempdir().unwrap();
    let mut settings = ServerSettings::for_bounces(host(), data_dir.path().to_owned());
    change(&mut settings);
    let server = BounceServer::new(BounceParts {
        settings,
        tls: Arc::new(server_config(chain, key).unwrap()),
        handler: book.clone(),
        reports: None,
        directory: Arc::new(MemoryDirectory::default()),
        clock: Arc::new(ManualClock::default()),
        entropy: Arc::new(SeededEntropy::new(1)),
    })
    .unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(async move {
        server.serve(socket, stopped).await;
    });
    Running {
        book,
        at,
        ca,
        stop,
        served,
        data_dir,
    }
}

impl Running {
    async fn client(&self) -> Raw<TcpStream> {
        let mut raw = Raw::over(TcpStream::connect(self.at).await.unwrap());
        raw.expect("220 relay.test").await;
        raw.ask("EHLO mx.test", "250").await;
        raw
    }

    fn path(&self, n: u8) -> Address {
        verp::make(&self.book.key, VaultId::from_bytes([n; 16]), &host()).unwrap()
    }

    fn bounced(&self) -> Vec<VaultId> {
        self.book.bounced.lock().unwrap().clone()
    }
}

fn report(action: &str, status: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.test\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.test\r\n\r\n\
         Final-Recipient: rfc822; jan@open.test\r\nAction: {action}\r\nStatus: {status}\r\n\r\n\
         --b--\r\n.\r\n"
    )
}

async fn hand_in<S: common::Io>(raw: &mut Raw<S>, to: &Address, content: &str, answer: &str) {
    raw.ask("MAIL FROM:<>", "250 2.1.0").await;
    raw.ask(&format!("RCPT TO:<{to}>"), "250 2.1.5").await;
    raw.ask("DATA", "354").await;
    raw.send(content).await;
    raw.expect(answer).await;
}

#[tokio::test]
async fn a_permanent_failure_to_a_signed_address_is_noted_for_its_message() {
    let running = start().await;
    let mut raw = running.client().await;
    hand_in(
        &mut raw,
        &running.path(3),
        &report("failed", "5.1.1"),
        "250 2.0.0",
    )
    .await;
    assert_eq!(running.bounced(), [VaultId::from_bytes([3; 16])]);
    raw.ask("QUIT", "221").await;
}

#[tokio::test]
async fn a_bounce_comes_over_tls_too() {
    let running = start().await;
    let mut clear = running.client().await;
    clear.ask("STARTTLS", "220").await;
    let mut roots = RootCertStore::empty();
    roots.add(running.ca.root_der()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    let name = ServerName::try_from("relay.test").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, clear.io);
    let mut raw = Raw::over(connecting.await.unwrap());
    // RFC 3207, section 4.2: nothing that was said in clear is remembered.
    raw.ask("MAIL FROM:<>", "503").await;
    let offers = raw.ask("EHLO mx.test", "250").await;
    assert!(!offers.contains("STARTTLS"), "{offers}");
    hand_in(
        &mut raw,
        &running.path(4),
        &report("failed", "5.2.2"),
        "250 2.0.0",
    )
    .await;
    assert_eq!(running.bounced(), [VaultId::from_bytes([4; 16])]);
}

#[tokio::test]
async fn what_is_transient_or_unreadable_is_taken_and_ignored() {
    let running = start().await;
    let mut raw = running.client().await;
    for content in [
        report("delayed", "4.4.1"),
        report("failed", "4.4.1"),
        "Subject: away\r\n\r\nI am on holiday.\r\n.\r\n".to_owned(),
        ".\r\n".to_owned(),
    ] {
        hand_in(&mut raw, &running.path(5), &content, "250 2.0.0").await;
    }
    assert!(running.bounced().is_empty());
}

#[tokio::test]
async fn nobody_but_the_null_sender_may_send() {
    let running = start().await;
    let mut raw = running.client().await;
    raw.ask("MAIL FROM:<someone@mx.test>", "550 5.7.1").await;
    raw.ask(&format!("RCPT TO:<{}>", running.path(1)), "503")
        .await;
    raw.ask("AUTH PLAIN AGFubmEAcGFzcw==", "503").await;
}

#[tokio::test]
async fn an_address_that_we_did_not_sign_is_refused() {
    let running = start().await;
    let mut raw = running.client().await;
    raw.ask("MAIL FROM:<> BODY=8BITMIME SIZE=2000", "250").await;
    let id = VaultId::from_bytes([1; 16]);
    let foreign = verp::make(&Key32::from_bytes([8; 32]), id, &host()).unwrap();
    for forged in [
        foreign.to_string(),
        "postmaster@relay.test".to_owned(),
        format!("{}@elsewhere.test", running.path(1).local()),
    ] {
        raw.ask(&format!("RCPT TO:<{forged}>"), "550 5.1.1").await;
    }
    raw.ask("DATA", "554").await;
    raw.ask(&format!("RCPT TO:<{}>", running.path(1)), "250")
        .await;
}

#[tokio::test]
async fn addresses_cannot_be_tried_without_end() {
    let running = start_with(|settings| settings.recipients = 5).await;
    let mut raw = running.client().await;
    raw.ask("MAIL FROM:<>", "250").await;
    for n in 0..5 {
        raw.ask(&format!("RCPT TO:<bounce+{n}.x@relay.test>"), "550")
            .await;
    }
    raw.ask(&format!("RCPT TO:<{}>", running.path(1)), "452")
        .await;
}

#[tokio::test]
async fn a_bounce_above_the_limit_is_refused_whether_or_not_its_size_was_told() {
    let running = start_with(|settings| settings.message_bytes = 4000).await;
    let mut raw = running.client().await;
    raw.ask("MAIL FROM:<> SIZE=4001", "552 5.3.4").await;
    let line = format!("{}\r\n", "x".repeat(98));
    let big = format!("{}.\r\n", line.repeat(60));
    hand_in(&mut raw, &running.path(1), &big, "552 5.3.4").await;
    // It was read to its end: the session goes on.
    hand_in(
        &mut raw,
        &running.path(2),
        &report("failed", "5.1.1"),
        "250",
    )
    .await;
    assert_eq!(running.bounced(), [VaultId::from_bytes([2; 16])]);
    let endless = line.repeat(100);
    hand_in(&mut raw, &running.path(1), &endless, "552 5.3.4").await;
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn what_cannot_be_written_down_is_asked_for_again() {
    let running = start().await;
    let mut raw = running.client().await;
    running.book.is_down.store(true, Ordering::SeqCst);
    hand_in(
        &mut raw,
        &running.path(6),
        &report("failed", "5.1.1"),
        "451 4.3.0",
    )
    .await;
    running.book.is_down.store(false, Ordering::SeqCst);
    hand_in(
        &mut raw,
        &running.path(6),
        &report("failed", "5.1.1"),
        "250",
    )
    .await;
    assert_eq!(running.bounced(), [VaultId::from_bytes([6; 16])]);
}

#[tokio::test]
async fn a_bare_line_feed_ends_the_session_before_anything_behind_it_is_read() {
    let running = start().await;
    let mut raw = running.client().await;
    raw.ask("MAIL FROM:<>", "250").await;
    raw.ask(&format!("RCPT TO:<{}>", running.path(1)), "250")
        .await;
    raw.ask("DATA", "354").await;
    raw.send("x\r\n\n.\r\nNOOP\r\n").await;
    raw.expect("521").await;
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn commands_behind_starttls_are_not_obeyed() {
    let running = start().await;
    let mut raw = running.client().await;
    raw.send("STARTTLS\r\nNOOP\r\n").await;
    raw.expect("554 5.5.0").await;
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn connections_are_counted_and_shutdown_is_said() {
    let running = start_with(|settings| {
        settings.connections_per_address = 1;
        settings.timeouts.drain = Duration::from_secs(5);
    })
    .await;
    let mut first = running.client().await;
    let mut second = Raw::over(TcpStream::connect(running.at).await.unwrap());
    second.expect("421").await;
    running.stop.send_replace(true);
    first.expect("421 4.3.2").await;
    drop((first, second));
    running.served.await.unwrap();
    let left = std::fs::read_dir(running.data_dir.path()).unwrap().count();
    assert_eq!(left, 0);
}
