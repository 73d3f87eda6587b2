//! What TLS must be: recent, and a full handshake each time (rules C-09, C-12).

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::mx::{Cut, Dot, Mx, attempt, handed_over, honest, server_config};
use common::pem;
use rustls::pki_types::ServerName;
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig,
    ServerConnection, SideData, SupportedProtocolVersion,
};
use securemail_core::backend::{Connection, SessionOutcome, Transport};
use securemail_testkit::ca::TestCa;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// `protocol_version`, as a server says it that knows TLS 1.0 only.
const TOO_NEW_FOR_ME: [u8; 7] = [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46];

async fn old_server(stream: TcpStream, lines: Arc<std::sync::Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mx.test\r\n").await.unwrap();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        lines.lock().unwrap().push(line.trim().to_owned());
        if line.starts_with("EHLO") {
            stream
                .write_all(b"250-mx.test\r\n250 STARTTLS\r\n")
                .await
                .unwrap();
        } else if line.starts_with("STARTTLS") {
            stream.write_all(b"220 go\r\n").await.unwrap();
            let mut hello = [0; 512];
            assert!(stream.read(&mut hello).await.unwrap() > 0);
            stream.write_all(&TOO_NEW_FOR_ME).await.unwrap();
            return;
        } else {
            stream.write_all(b"250 ok\r\n").await.unwrap();
        }
    }
}

#[tokio::test]
async fn c_09_a_host_that_knows_only_old_tls_gets_nothing() {
    let mx = Mx::start(honest()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut hop = mx.hop();
    hop.port = listener.local_addr().unwrap().port();
    let lines = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = lines.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(old_server(stream, seen.clone()));
        }
    });
    let dot = Dot::new(true);
    let report = mx.attempt(attempt(hop, dot.clone())).await;
    let outcome = &report.outcome;
    assert!(
        matches!(outcome, SessionOutcome::TlsFailed(_)),
        "{outcome:?}"
    );
    assert_eq!(dot.opened(), 0);
    let said = lines.lock().unwrap();
    assert!(
        said.iter().all(|line| !line.starts_with("MAIL")),
        "{said:?}"
    );
}

#[tokio::test]
async fn c_09_tls_1_2_is_recent_enough() {
    let ca = TestCa::new().unwrap();
    let issued = ca.issue(&["mx.test"]).unwrap();
    let (chain, key) = pem(&issued);
    let config = server_config(chain, key, &[&rustls::version::TLS12]);
    let mx = Mx::start_tls(honest(), Cut::default(), config, (ca, issued)).await;
    let report = mx.attempt(attempt(mx.hop(), Dot::new(true))).await;
    assert!(handed_over(&report) > 0, "{:?}", report.outcome);
}

/// Counts sessions that a client goes on with.
#[derive(Debug)]
struct Counting(Arc<ServerSessionMemoryCache>, Arc<AtomicUsize>);

impl Counting {
    fn found(&self, session: Option<Vec<u8>>) -> Option<Vec<u8>> {
        if session.is_some() {
            self.1.fetch_add(1, Ordering::SeqCst);
        }
        session
    }
}

impl StoresServerSessions for Counting {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.0.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.found(self.0.get(key))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.found(self.0.take(key))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// A handshake in memory, and everything that follows it: tickets come after TLS 1.3's.
fn shake_hands(client: &Arc<ClientConfig>, server: &ServerConfig) {
    let name = ServerName::try_from("mx.test").unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server.clone())).unwrap();
    while client.wants_write() || server.wants_write() {
        pass(&mut client, &mut server);
        pass(&mut server, &mut client);
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
}

fn pass<A, B>(from: &mut ConnectionCommon<A>, to: &mut ConnectionCommon<B>)
where
    A: SideData,
    B: SideData,
{
    let mut octets = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut octets).unwrap();
    }
    let mut octets = octets.as_slice();
    while !octets.is_empty() {
        to.read_tls(&mut octets).unwrap();
        to.process_new_packets().unwrap();
    }
}

/// As any program has it: it resumes where it can.
fn plain_client(ca: &TestCa, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.root_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

#[tokio::test]
async fn c_12_no_session_is_resumed() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let ca = TestCa::new().unwrap();
        let issued = ca.issue(&["mx.test"]).unwrap();
        let (chain, key) = pem(&issued);
        let resumed = Arc::new(AtomicUsize::new(0));
        let mut config = server_config(chain, key, &[version]);
        let sessions = ServerSessionMemoryCache::new(16);
        config.session_storage = Arc::new(Counting(sessions, resumed.clone()));
        let plain = plain_client(&ca, version);
        shake_hands(&plain, &config);
        assert_eq!(resumed.swap(0, Ordering::SeqCst), 0, "nothing to resume");
        shake_hands(&plain, &config);
        let seen = resumed.swap(0, Ordering::SeqCst);
        assert!(
            seen > 0,
            "{version:?}: a session that is resumed is not seen"
        );
        let mx = Mx::start_tls(honest(), Cut::default(), config, (ca, issued)).await;
        let transport = mx.transport();
        for _ in 0..3 {
            // A connection that is kept would leave nothing to resume.
            let mut own = attempt(mx.hop(), Dot::new(true));
            own.connection = Connection::Own;
            let report = transport.attempt(own).await;
            assert!(handed_over(&report) > 0);
            assert!(report.proof.is_some());
        }
        assert_eq!(resumed.load(Ordering::SeqCst), 0, "{version:?}");
    }
}
