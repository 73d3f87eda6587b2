//! A running server, a raw client that says anything, and a handler that remembers.
#![expect(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod mx;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use securemail_core::backend::Directory;
use securemail_core::vocab::{
    Account, AccountId, AccountKind, Address, Credential, Demands, DnsName, Envelope, Identity,
    Reply,
};
use securemail_smtp::{
    Access, Listener, MailHandler, ServerParts, ServerSettings, SessionFacts, SmtpServer,
    Submission, TlsMode, TransactionFacts, server_config,
};
use securemail_testkit::ca::{Issued, TestCa};
use securemail_testkit::memory::{MemoryDirectory, collect};
use securemail_testkit::sim::{ManualClock, SeededEntropy};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub const SECRET: &str = "a-generated-secret-of-128-bits";
pub const PASSWORD: &str = "correct horse battery staple";

/// What a handler was given.
#[derive(Clone, Debug)]
pub struct Taken {
    pub envelope: Envelope,
    pub demands: Demands,
    pub octets: Vec<u8>,
    pub tls: bool,
    pub debug: String,
}

/// Takes everything, unless told otherwise by the local part of an address.
#[derive(Debug, Default)]
pub struct Recorder {
    pub taken: Mutex<Vec<Taken>>,
    pub delay: Mutex<Duration>,
    pub begun: Mutex<usize>,
    /// Codes with which the session refused what was handed in.
    pub not_taken: Mutex<Vec<u16>>,
}

impl Recorder {
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

pub fn ok() -> Reply {
    Reply::new(250, None, "2.0.0 taken")
}

#[async_trait]
impl MailHandler for Recorder {
    async fn sender(&self, _session: &SessionFacts, tx: &TransactionFacts) -> Reply {
        match tx.reverse_path.mailbox().map(Address::local) {
            Some("suspended") => Reply::new(550, None, "suspended"),
            Some("nonsense") => Reply::new(99, None, "no reply at all"),
            _ => Reply::new(250, None, "sender ok"),
        }
    }

    async fn recipient(
        &self,
        _session: &SessionFacts,
        _tx: &TransactionFacts,
        recipient: &Address,
    ) -> Reply {
        match recipient.local() {
            "refused" => Reply::new(550, None, "no such recipient"),
            _ => Reply::new(250, None, "recipient ok"),
        }
    }

    fn not_taken(&self, reply: &Reply) {
        self.not_taken.lock().unwrap().push(reply.code());
    }

    async fn message(&self, submission: Submission) -> Reply {
        *self.begun.lock().unwrap() += 1;
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        let octets = collect(submission.content.as_ref()).await.unwrap().to_vec();
        self.taken.lock().unwrap().push(Taken {
            debug: format!("{submission:?}"),
            envelope: submission.envelope,
            demands: submission.demands,
            octets,
            tls: submission.session.tls.is_some(),
        });
        ok()
    }
}

/// A server with two listeners on loopback.
pub struct Running {
    pub handler: Arc<Recorder>,
    pub directory: Arc<MemoryDirectory>,
    pub clock: Arc<ManualClock>,
    pub submission: std::net::SocketAddr,
    pub submissions: std::net::SocketAddr,
    pub bounces: std::net::SocketAddr,
    pub shutdown: watch::Sender<bool>,
    pub served: tokio::task::JoinHandle<()>,
    pub ca: TestCa,
    pub data_dir: tempfile::TempDir,
}

pub async fn start() -> Running {
    start_with(|_| {}).await
}

/// A server over another directory.
pub async fn start_over(directory: Arc<dyn Directory>) -> Running {
    launch(|_| {}, Some(directory)).await
}

pub async fn start_with(change: impl FnOnce(&mut ServerSettings)) -> Running {
    launch(change, None).await
}

async fn launch(
    change: impl FnOnce(&mut ServerSettings),
    other: Option<Arc<dyn Directory>>,
) -> Running {
    let data_dir = tempfile::tempdir().unwrap();
    let mut settings = ServerSettings::new(
        DnsName::parse("relay.test").unwrap(),
        data_dir.path().to_owned(),
    );
    change(&mut settings);
    let ca = TestCa::new().unwrap();
    let (chain, key) = pem(&ca.issue(&["relay.test"]).unwrap());
    let handler = Arc::new(Recorder::default());
    let directory = Arc::new(MemoryDirectory::default());
    let clock = Arc::new(ManualClock::default());
    accounts(&directory).await;
    let server = SmtpServer::new(ServerParts {
        settings,
        tls: Arc::new(server_config(chain, key).unwrap()),
        handler: handler.clone(),
        directory: other.unwrap_or_else(|| directory.clone()),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(7)),
    })
    .unwrap();
    let clear = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let implicit = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (submission, submissions) = (clear.local_addr().unwrap(), implicit.local_addr().unwrap());
    let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bounces = open.local_addr().unwrap();
    let (shutdown, over) = watch::channel(false);
    let served = tokio::spawn(async move {
        let secret = Credential::Secret([0; 32]);
        let as_account = account("bounces", AccountKind::Connector, secret);
        let listeners = vec![
            Listener {
                socket: open,
                tls: TlsMode::StartTls,
                access: Access::Anybody(Box::new(as_account)),
            },
            Listener {
                socket: clear,
                tls: TlsMode::StartTls,
                access: Access::Accounts,
            },
            Listener {
                socket: implicit,
                tls: TlsMode::Implicit,
                access: Access::Accounts,
            },
        ];
        server.serve(listeners, over).await;
    });
    Running {
        handler,
        directory,
        clock,
        submission,
        submissions,
        bounces,
        shutdown,
        served,
        ca,
        data_dir,
    }
}

pub fn pem(issued: &Issued) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    (
        chain,
        PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap(),
    )
}

pub fn account(id: &str, kind: AccountKind, credential: Credential) -> Account {
    Account {
        id: AccountId::new(id),
        tenant: "tenant".parse().unwrap(),
        kind,
        credential,
        domains: vec![DnsName::parse("clinic.test").unwrap()],
    }
}

async fn accounts(directory: &MemoryDirectory) {
    use argon2::password_hash::PasswordHasher;
    let secret = Credential::Secret(Sha256::digest(SECRET).into());
    let hash = argon2::Argon2::default()
        .hash_password_with_salt(PASSWORD.as_bytes(), b"a salt for tests")
        .unwrap()
        .to_string();
    let connector = account("connector", AccountKind::Connector, secret);
    let person = account("person", AccountKind::Sender, Credential::Argon2id(hash));
    for account in [connector, person] {
        let identity = Identity::Username(account.id.as_str().to_owned());
        directory.put_account(&identity, &account).await.unwrap();
    }
}

/// A client that sends exactly what it is told.
pub struct Raw<S> {
    pub io: S,
    pub input: Vec<u8>,
}

pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

impl<S: Io> Raw<S> {
    pub fn over(io: S) -> Self {
        Self {
            io,
            input: Vec::new(),
        }
    }

    pub async fn send(&mut self, octets: impl AsRef<[u8]>) {
        // The server may have closed already; what it said is what counts.
        drop(self.io.write_all(octets.as_ref()).await);
        drop(self.io.flush().await);
    }

    /// The next whole reply; empty where the connection ended.
    pub async fn reply(&mut self) -> String {
        let reading = async {
            let mut reply = String::new();
            loop {
                while let Some(end) = self.input.windows(2).position(|two| two == b"\r\n") {
                    let line: Vec<u8> = self.input.drain(..end + 2).collect();
                    let line = String::from_utf8(line).unwrap();
                    reply.push_str(&line);
                    if line.as_bytes().get(3) == Some(&b' ') {
                        return reply;
                    }
                }
                let mut more = [0; 4096];
                match self.io.read(&mut more).await {
                    Ok(0) | Err(_) => return reply,
                    Ok(count) => self.input.extend_from_slice(&more[..count]),
                }
            }
        };
        timeout(Duration::from_secs(20), reading)
            .await
            .expect("a reply in time")
    }

    /// Sends a line and checks how the reply begins.
    pub async fn ask(&mut self, line: &str, begins: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.expect(begins).await
    }

    pub async fn expect(&mut self, begins: &str) -> String {
        let reply = self.reply().await;
        assert!(
            reply.starts_with(begins),
            "{begins} expected, got {reply:?}"
        );
        reply
    }

    /// Everything up to the end of the connection.
    pub async fn rest(&mut self) -> String {
        let reading = async {
            let mut more = [0; 4096];
            while let Ok(count @ 1..) = self.io.read(&mut more).await {
                self.input.extend_from_slice(&more[..count]);
            }
        };
        timeout(Duration::from_secs(20), reading)
            .await
            .expect("an end in time");
        String::from_utf8(std::mem::take(&mut self.input)).unwrap()
    }
}

impl<S: Io> Raw<S> {
    /// Everything up to the end of the connection, whatever it is.
    pub async fn io_rest(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.input);
        let reading = timeout(Duration::from_secs(20), self.io.read_to_end(&mut all));
        // A reset is an end too.
        drop(reading.await.expect("an end in time"));
        all
    }
}

pub type TlsRaw = Raw<tokio_rustls::client::TlsStream<TcpStream>>;

impl Running {
    pub async fn clear(&self) -> Raw<TcpStream> {
        let mut raw = Raw::over(TcpStream::connect(self.submission).await.unwrap());
        raw.expect("220 relay.test").await;
        raw
    }

    pub async fn tls_with(&self, config: ClientConfig) -> TlsRaw {
        let stream = TcpStream::connect(self.submissions).await.unwrap();
        let name = ServerName::try_from("relay.test").unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap();
        let mut raw = Raw::over(stream);
        raw.expect("220 relay.test").await;
        raw
    }

    /// After implicit TLS and EHLO.
    pub async fn tls(&self) -> TlsRaw {
        let mut raw = self.tls_with(self.client_config()).await;
        raw.ask("EHLO client.test", "250").await;
        raw
    }

    /// After AUTH as the connector.
    pub async fn connector(&self) -> TlsRaw {
        let mut raw = self.tls().await;
        raw.ask(&plain("connector", SECRET), "235 2.7.0").await;
        raw
    }

    pub fn client_config(&self) -> ClientConfig {
        self.config_builder().with_no_client_auth()
    }

    pub fn config_builder(
        &self,
    ) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.root_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
    }
}

pub fn plain(username: &str, password: &str) -> String {
    use base64::Engine;
    let response = format!("\0{username}\0{password}");
    format!(
        "AUTH PLAIN {}",
        base64::engine::general_purpose::STANDARD.encode(response)
    )
}

/// Waits until `is_so`, and fails where it never is.
pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}
