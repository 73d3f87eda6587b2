//! A host that is delivered to, and that does whatever its script says.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rustls::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use securemail_core::backend::{
    Attempt, AttemptReport, Connection, DotClosed, FinalDot, RecipientOutcome, Transport,
};
use securemail_core::route::{Authentication, Authority, Hop, Trust};
use securemail_core::vocab::{Address, Demands, DnsName, MemoryContent, ReversePath, Tlsa};
use securemail_smtp::{ClientSettings, SmtpTransport, trust};
use securemail_testkit::ca::{Issued, TestCa};
use securemail_testkit::sim::ManualClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Io, pem};

/// Where a line was said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    Clear,
    Tls,
}

/// What the host does about a line.
#[derive(Clone, Debug)]
pub enum Reaction {
    /// Takes the octets that BDAT announced, then says this.
    Chunk(String),
    Close,
    Data(String),
    Hang,
    Say(String),
    SayTwice(String, Duration, String),
    SayAndClose(String),
    StartTls(String),
}

pub fn say(text: &str) -> Reaction {
    Reaction::Say(format!("{text}\r\n"))
}

/// `<connect>` and `<dot>` stand for the connection and the end of data, the final dot or the last chunk. `None` is what an honest host
/// does.
pub type Script = Arc<dyn Fn(Stage, &str) -> Option<Reaction> + Send + Sync>;

pub fn honest() -> Script {
    Arc::new(|_, _| None)
}

/// The same host, offering CHUNKING inside TLS.
pub fn offering_chunks(script: Script) -> Script {
    Arc::new(move |stage, line: &str| {
        let offer = "250-mx.test hello\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME";
        let is_ehlo = stage == Stage::Tls && line.starts_with("EHLO");
        script(stage, line).or_else(|| is_ehlo.then(|| say(offer)))
    })
}

#[derive(Debug, Default)]
pub struct Seen {
    pub lines: Mutex<Vec<(Stage, String)>>,
    pub messages: Mutex<Vec<Vec<u8>>>,
    /// Octets written and read inside TLS.
    pub written: Mutex<usize>,
    pub read: Mutex<usize>,
    pub connections: Mutex<usize>,
    /// Reactions of which the second half was not said yet.
    pub owed: Mutex<usize>,
}

impl Seen {
    fn count_connection(&self) -> usize {
        let mut connections = self.connections.lock().unwrap();
        *connections += 1;
        *connections
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// Whether all was said that a script says in two halves.
    pub fn owes_nothing(&self) -> bool {
        *self.owed.lock().unwrap() == 0
    }

    /// How many lines inside TLS begin so.
    pub fn count(&self, begins: &str) -> usize {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .filter(|(at, line)| *at == Stage::Tls && line.starts_with(begins))
            .count()
    }

    pub fn said(&self, stage: Stage, begins: &str) -> bool {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .any(|(at, line)| *at == stage && line.starts_with(begins))
    }
}

/// After how many octets inside TLS the connection is cut.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cut {
    pub written: Option<usize>,
    pub read: Option<usize>,
    /// The connections after the first are left whole.
    pub first_only: bool,
}

pub struct Mx {
    pub port: u16,
    pub seen: Arc<Seen>,
    pub ca: TestCa,
    pub issued: Issued,
}

impl Mx {
    pub async fn start(script: Script) -> Self {
        Self::start_cut(script, Cut::default()).await
    }

    pub async fn start_cut(script: Script, cut: Cut) -> Self {
        let ca = TestCa::new().unwrap();
        let issued = ca.issue(&["mx.test"]).unwrap();
        let (chain, key) = pem(&issued);
        let config = server_config(chain, key, rustls::DEFAULT_VERSIONS);
        Self::start_tls(script, cut, config, (ca, issued)).await
    }

    pub async fn start_tls(
        script: Script,
        cut: Cut,
        config: ServerConfig,
        (ca, issued): (TestCa, Issued),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let (host, config) = (seen.clone(), Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let number = host.count_connection();
                let host = Host {
                    script: script.clone(),
                    seen: host.clone(),
                    cut: if cut.first_only && number > 1 {
                        Cut::default()
                    } else {
                        cut
                    },
                };
                tokio::spawn(host.serve(stream, config.clone()));
            }
        });
        Self {
            port,
            seen,
            ca,
            issued,
        }
    }

    /// A host where the connection begins with TLS.
    pub async fn start_at_once(script: Script) -> Self {
        let ca = TestCa::new().unwrap();
        let issued = ca.issue(&["mx.test"]).unwrap();
        let (chain, key) = pem(&issued);
        let config = Arc::new(server_config(chain, key, rustls::DEFAULT_VERSIONS));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let kept = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let host = Host {
                    script: script.clone(),
                    seen: kept.clone(),
                    cut: Cut::default(),
                };
                let config = config.clone();
                tokio::spawn(async move {
                    if let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await {
                        let greeting = "220 mx.test ESMTP\r\n";
                        if host.write(&mut stream, Stage::Tls, greeting).await.is_ok() {
                            drop(host.converse(&mut stream, Stage::Tls).await);
                        }
                    }
                });
            }
        });
        Self {
            port,
            seen,
            ca,
            issued,
        }
    }

    pub fn hop(&self) -> Hop {
        let host = DnsName::parse("mx.test").unwrap();
        Hop {
            domain: DnsName::parse("example.test").unwrap(),
            host: host.clone(),
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            port: self.port,
            sni: host.clone(),
            authenticate: Authentication::Pkix { name: host },
            authority: Authority::Dnssec,
            must_name_domain: false,
        }
    }

    pub fn dane_hop(&self) -> Hop {
        let records = vec![Tlsa {
            usage: 3,
            selector: 1,
            matching: 1,
            data: self.issued.spki_sha256.to_vec(),
        }];
        Hop {
            authenticate: Authentication::Dane {
                records,
                names: Vec::new(),
            },
            ..self.hop()
        }
    }

    pub fn transport(&self) -> SmtpTransport {
        self.transport_with(|_| {})
    }

    pub fn transport_with(&self, change: impl FnOnce(&mut ClientSettings)) -> SmtpTransport {
        let mut settings = ClientSettings::new(DnsName::parse("relay.test").unwrap());
        let short = Duration::from_secs(5);
        settings.timeouts.greeting = short;
        settings.timeouts.command = short;
        settings.timeouts.final_dot = short;
        change(&mut settings);
        SmtpTransport::new(
            settings,
            Arc::new(self.trust()),
            Arc::new(ManualClock::default()),
        )
    }

    pub fn trust(&self) -> Trust {
        let root = self.ca.root_der();
        trust(vec![
            webpki::anchor_from_trusted_cert(&root).unwrap().to_owned(),
        ])
    }

    pub async fn attempt(&self, attempt: Attempt) -> AttemptReport {
        self.transport().attempt(attempt).await
    }
}

pub fn server_config(
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    key: rustls::pki_types::PrivateKeyDer<'static>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let signer = provider.key_provider.load_private_key(key).unwrap();
    let resolver = SingleCertAndKey::from(CertifiedKey::new(chain, signer));
    ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver))
}

/// Leave for the final dot, counted.
#[derive(Debug)]
pub struct Dot {
    pub opened: Mutex<usize>,
    pub leave: bool,
}

impl Dot {
    pub fn new(leave: bool) -> Arc<Self> {
        Arc::new(Self {
            opened: Mutex::new(0),
            leave,
        })
    }

    pub fn opened(&self) -> usize {
        *self.opened.lock().unwrap()
    }
}

#[async_trait]
impl FinalDot for Dot {
    async fn open(&self) -> Result<(), DotClosed> {
        *self.opened.lock().unwrap() += 1;
        if self.leave { Ok(()) } else { Err(DotClosed) }
    }
}

pub const MESSAGE: &[u8] = b"Subject: x\r\n\r\n.dot\r\nend\r\n";

pub fn attempt(hop: Hop, dot: Arc<Dot>) -> Attempt {
    attempt_with(hop, dot, MESSAGE, &["a@example.test", "b@example.test"])
}

pub fn attempt_with(
    hop: Hop,
    dot: Arc<Dot>,
    message: &'static [u8],
    recipients: &[&str],
) -> Attempt {
    Attempt {
        hop,
        connection: Connection::OfTenant("clinic".parse().unwrap()),
        reverse_path: ReversePath::Mailbox(Address::parse("ward@clinic.test").unwrap()),
        recipients: recipients
            .iter()
            .map(|text| Address::parse(text).unwrap())
            .collect(),
        demands: Demands::default(),
        content: Arc::new(MemoryContent::new(Bytes::from_static(message))),
        final_dot: dot,
    }
}

pub fn handed_over(report: &AttemptReport) -> usize {
    report
        .recipients
        .iter()
        .filter(|r| matches!(r, RecipientOutcome::HandedOver(_)))
        .count()
}

pub fn unconfirmed(report: &AttemptReport) -> usize {
    report
        .recipients
        .iter()
        .filter(|r| **r == RecipientOutcome::Unconfirmed)
        .count()
}

struct Host {
    script: Script,
    seen: Arc<Seen>,
    cut: Cut,
}

/// The connection is over.
struct Over;

impl Host {
    async fn serve(self, mut stream: tokio::net::TcpStream, config: Arc<ServerConfig>) {
        let Ok(true) = self.converse(&mut stream, Stage::Clear).await else {
            return;
        };
        if let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await {
            drop(self.converse(&mut stream, Stage::Tls).await);
            drop(stream.shutdown().await);
        }
    }

    /// True: go on with TLS.
    async fn converse<S: Io>(&self, stream: &mut S, stage: Stage) -> Result<bool, Over> {
        let (mut input, mut chunks) = (Vec::new(), Vec::new());
        let mut line = match stage {
            Stage::Clear => "<connect>".to_owned(),
            Stage::Tls => self.line(stream, stage, &mut input).await?,
        };
        loop {
            match (self.script)(stage, &line).unwrap_or_else(|| self.honest(stage, &line)) {
                Reaction::Close => return Err(Over),
                Reaction::Hang => tokio::time::sleep(Duration::from_mins(5)).await,
                Reaction::Say(text) => self.write(stream, stage, &text).await?,
                Reaction::SayTwice(text, pause, more) => {
                    *self.seen.owed.lock().unwrap() += 1;
                    self.write(stream, stage, &text).await?;
                    tokio::time::sleep(pause).await;
                    self.write(stream, stage, &more).await?;
                    *self.seen.owed.lock().unwrap() -= 1;
                }
                Reaction::SayAndClose(text) => {
                    self.write(stream, stage, &text).await?;
                    return Err(Over);
                }
                Reaction::StartTls(text) => {
                    self.write(stream, stage, &text).await?;
                    return Ok(true);
                }
                Reaction::Chunk(text) => {
                    let mut words = line.split(' ').skip(1);
                    let size: usize = words.next().unwrap().parse().unwrap();
                    while input.len() < size {
                        self.more(stream, stage, &mut input).await?;
                    }
                    chunks.extend(input.drain(..size));
                    if words.next() == Some("LAST") {
                        let message = std::mem::take(&mut chunks);
                        self.seen.messages.lock().unwrap().push(message);
                        line = "<dot>".to_owned();
                        continue;
                    }
                    self.write(stream, stage, &text).await?;
                }
                Reaction::Data(text) => {
                    self.write(stream, stage, &text).await?;
                    self.message(stream, stage, &mut input).await?;
                    line = "<dot>".to_owned();
                    continue;
                }
            }
            line = self.line(stream, stage, &mut input).await?;
        }
    }

    fn honest(&self, stage: Stage, line: &str) -> Reaction {
        match (stage, line.split(' ').next().unwrap()) {
            (_, "<connect>") => say("220 mx.test ESMTP"),
            (Stage::Clear, "EHLO") => say("250-mx.test\r\n250-PIPELINING\r\n250 STARTTLS"),
            (Stage::Tls, "EHLO") => {
                say("250-mx.test hello\r\n250-PIPELINING\r\n250-SIZE 100000\r\n250 8BITMIME")
            }
            (Stage::Clear, "STARTTLS") => Reaction::StartTls("220 go\r\n".to_owned()),
            (_, "MAIL" | "RCPT" | "RSET") => say("250 2.1.0 ok"),
            (_, "BDAT") => Reaction::Chunk("250 2.0.0 chunk\r\n".to_owned()),
            (_, "DATA") => Reaction::Data("354 go\r\n".to_owned()),
            (_, "<dot>") => say("250 2.0.0 queued"),
            (_, "QUIT") => Reaction::SayAndClose("221 bye\r\n".to_owned()),
            _ => say("500 what"),
        }
    }

    /// Reads to the final dot and keeps the message: from here on it is the host's.
    async fn message<S: Io>(
        &self,
        stream: &mut S,
        stage: Stage,
        input: &mut Vec<u8>,
    ) -> Result<(), Over> {
        let mut message = Vec::new();
        loop {
            let line = self.octets(stream, stage, input).await?;
            match line.as_slice() {
                b"." => break,
                [b'.', rest @ ..] => message.extend_from_slice(rest),
                line => message.extend_from_slice(line),
            }
            message.extend_from_slice(b"\r\n");
        }
        self.seen.messages.lock().unwrap().push(message);
        Ok(())
    }

    async fn line<S: Io>(
        &self,
        stream: &mut S,
        stage: Stage,
        input: &mut Vec<u8>,
    ) -> Result<String, Over> {
        let line = String::from_utf8(self.octets(stream, stage, input).await?).unwrap();
        self.seen.lines.lock().unwrap().push((stage, line.clone()));
        Ok(line)
    }

    async fn octets<S: Io>(
        &self,
        stream: &mut S,
        stage: Stage,
        input: &mut Vec<u8>,
    ) -> Result<Vec<u8>, Over> {
        loop {
            if let Some(end) = input.windows(2).position(|two| two == b"\r\n") {
                let mut line: Vec<u8> = input.drain(..end + 2).collect();
                line.truncate(end);
                return Ok(line);
            }
            self.more(stream, stage, input).await?;
        }
    }

    async fn more<S: Io>(
        &self,
        stream: &mut S,
        stage: Stage,
        input: &mut Vec<u8>,
    ) -> Result<(), Over> {
        let spent = |most| *self.seen.read.lock().unwrap() >= most;
        if stage == Stage::Tls && self.cut.read.is_some_and(spent) {
            return Err(Over);
        }
        let mut more = vec![0; 16 * 1024];
        let Ok(mut count @ 1..) = stream.read(&mut more).await else {
            return Err(Over);
        };
        if stage == Stage::Tls {
            let mut read = self.seen.read.lock().unwrap();
            let room = self
                .cut
                .read
                .map_or(usize::MAX, |most| most.saturating_sub(*read));
            count = count.min(room);
            *read += count;
        }
        input.extend_from_slice(&more[..count]);
        Ok(())
    }

    async fn write<S: Io>(&self, stream: &mut S, stage: Stage, text: &str) -> Result<(), Over> {
        let mut octets = text.as_bytes();
        if stage == Stage::Tls {
            let mut written = self.seen.written.lock().unwrap();
            let room = self
                .cut
                .written
                .map_or(usize::MAX, |most| most.saturating_sub(*written));
            octets = &octets[..octets.len().min(room)];
            *written += octets.len();
        }
        stream.write_all(octets).await.map_err(|_| Over)?;
        stream.flush().await.map_err(|_| Over)?;
        if octets.len() < text.len() {
            Err(Over)
        } else {
            Ok(())
        }
    }
}
