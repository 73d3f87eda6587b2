//! The server's session: any commands, and messages in chunks over a real connection.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use securemail_core::vocab::{
    Account, AccountId, AccountKind, Address, Credential, DnsName, Reply, TenantId,
};
use securemail_smtp::proto::server::{Login, ServerSession, SessionOptions, Step};
use securemail_smtp::{
    Access, Listener, MailHandler, ServerParts, ServerSettings, SessionFacts, SmtpServer,
    Submission, TlsMode, TransactionFacts, server_config,
};
use securemail_testkit::ca::TestCa;
use securemail_testkit::memory::{MemoryDirectory, collect};
use securemail_testkit::sim::{ManualClock, SeededEntropy};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Lines that a client says in clear: nothing of a transaction is ever asked or read before TLS.
pub(crate) fn commands(octets: &[u8]) {
    let Ok(hostname) = DnsName::parse("relay.test") else {
        return;
    };
    let options = SessionOptions {
        hostname,
        message_bytes: 1000,
        recipients: 3,
    };
    let mut session = ServerSession::new(options, Login::Anonymous);
    for line in octets.split(|octet| *octet == b'\n') {
        let is_obeyed = match session.handle_line(line, false) {
            Step::Answer(reply) => !(200..600).contains(&reply.code()),
            Step::Close(_) | Step::StartTls(_) => return,
            Step::SkipChunk(..)
            | Step::AskRecipient(_)
            | Step::AskSender(_)
            | Step::CheckCredentials(_)
            | Step::ReadChunk(_)
            | Step::ReadContent(_) => true,
        };
        assert!(
            !is_obeyed,
            "{:?} is obeyed in clear",
            line.escape_ascii().to_string()
        );
        assert!(session.transaction().is_none() && !session.is_known());
    }
}

/// A message in chunks, cut anywhere and sent in any pieces: it arrives whole or not at all, and none of its octets is
/// ever a command. The first octet says how many chunks there are, the next ones how long they are, one more how many
/// octets are sent at once; the rest is the message.
pub(crate) fn chunks(octets: &[u8]) {
    let Some(plan) = Plan::of(octets) else {
        return;
    };
    let Some(server) = &*SERVER else {
        return assert!(octets.is_empty(), "no server could be started");
    };
    let _alone = lock(&server.turn);
    *lock(&server.desk.seen) = Seen::default();
    let replies = server.runtime.block_on(server.says(&plan));
    let seen = std::mem::take(&mut *lock(&server.desk.seen));
    assert_eq!(seen.senders, 1);
    assert_eq!(seen.recipients, [TO]);
    let codes: Vec<u16> = replies.iter().map(|reply| code(reply)).collect();
    match plan.fate() {
        Fate::Taken => {
            assert_eq!(seen.messages, [plan.content.to_vec()]);
            assert_eq!(codes, plan.codes(250));
        }
        Fate::Refused => {
            assert!(seen.messages.is_empty());
            assert_eq!(codes, plan.codes(554));
        }
        Fate::Over => {
            assert!(seen.messages.is_empty());
            assert_eq!(codes.last(), Some(&521), "{replies:?}");
            assert!(codes.len() < plan.codes(250).len());
        }
    }
}

const TO: &str = "a@b.test";

struct Plan<'a> {
    sizes: Vec<usize>,
    at_once: usize,
    content: &'a [u8],
}

enum Fate {
    Taken,
    /// A line is too long, or the last one is open.
    Refused,
    /// A line ends as none may.
    Over,
}

impl<'a> Plan<'a> {
    fn of(octets: &'a [u8]) -> Option<Self> {
        let (count, rest) = octets.split_first()?;
        let (sizes, rest) = rest.split_at_checked(usize::from(count % 8))?;
        let (at_once, content) = rest.split_first()?;
        let mut left = content.len();
        let mut of_chunks = Vec::new();
        for size in sizes {
            let size = usize::from(*size).min(left);
            left -= size;
            of_chunks.push(size);
        }
        of_chunks.push(left);
        Some(Self {
            sizes: of_chunks,
            at_once: usize::from(*at_once).max(1),
            content,
        })
    }

    /// All that is said behind the reply to EHLO.
    fn octets(&self) -> Vec<u8> {
        let mut out = format!("MAIL FROM:<>\r\nRCPT TO:<{TO}>\r\n").into_bytes();
        let (mut rest, last) = (self.content, self.sizes.len() - 1);
        for (number, size) in self.sizes.iter().enumerate() {
            let (chunk, behind) = rest.split_at(*size);
            let last = if number == last { " LAST" } else { "" };
            out.extend_from_slice(format!("BDAT {size}{last}\r\n").as_bytes());
            out.extend_from_slice(chunk);
            rest = behind;
        }
        out.extend_from_slice(b"NOOP\r\n");
        out
    }

    /// The replies to greeting, EHLO, MAIL, RCPT, chunks, NOOP and QUIT, where the session goes to its end.
    fn codes(&self, last_chunk: u16) -> Vec<u16> {
        let mut codes = vec![220, 250, 250, 250];
        codes.resize(codes.len() + self.sizes.len() - 1, 250);
        codes.extend([last_chunk, 250, 221]);
        codes
    }

    fn fate(&self) -> Fate {
        let text = self.content;
        let before = |at: usize| at.checked_sub(1).and_then(|at| text.get(at));
        let is_bad = |(at, octet): (usize, &u8)| match octet {
            0 => true,
            b'\r' => text.get(at + 1) != Some(&b'\n'),
            b'\n' => before(at) != Some(&b'\r'),
            _ => false,
        };
        if text.iter().enumerate().any(is_bad) {
            return Fate::Over;
        }
        let is_open = !(text.is_empty() || text.ends_with(b"\r\n"));
        // 998 octets and the CR; the LF is where it is cut.
        let is_long = text
            .split(|octet| *octet == b'\n')
            .any(|line| line.len() > 999);
        if is_open || is_long {
            return Fate::Refused;
        }
        Fate::Taken
    }
}

/// What the server asked of its handler.
#[derive(Debug, Default)]
struct Seen {
    senders: usize,
    recipients: Vec<String>,
    messages: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Desk {
    seen: Mutex<Seen>,
}

#[async_trait]
impl MailHandler for Desk {
    async fn sender(&self, _: &SessionFacts, _: &TransactionFacts) -> Reply {
        lock(&self.seen).senders += 1;
        Reply::new(250, None, "ok")
    }

    async fn recipient(&self, _: &SessionFacts, _: &TransactionFacts, to: &Address) -> Reply {
        lock(&self.seen).recipients.push(to.to_string());
        Reply::new(250, None, "ok")
    }

    fn not_taken(&self, _: &Reply) {}

    async fn message(&self, submission: Submission) -> Reply {
        let octets = collect(&*submission.content).await;
        let octets = octets.map(|octets| octets.to_vec()).unwrap_or_default();
        lock(&self.seen).messages.push(octets);
        Reply::new(250, None, "taken")
    }
}

/// A server that lives as long as the process.
struct Server {
    runtime: Runtime,
    address: SocketAddr,
    desk: Arc<Desk>,
    turn: Mutex<()>,
    _running: watch::Sender<bool>,
}

static SERVER: LazyLock<Option<Server>> = LazyLock::new(|| Server::start().ok());

impl Server {
    fn start() -> Result<Self, Box<dyn std::error::Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let desk = Arc::new(Desk::default());
        let issued = TestCa::new()?.issue(&["relay.test"])?;
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes())
                .collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes())?;
        let hostname = DnsName::parse("relay.test")?;
        let server = SmtpServer::new(ServerParts {
            settings: ServerSettings::new(hostname, std::env::temp_dir()),
            tls: Arc::new(server_config(chain, key)?),
            handler: desk.clone(),
            directory: Arc::new(MemoryDirectory::default()),
            clock: Arc::new(ManualClock::default()),
            entropy: Arc::new(SeededEntropy::new(7)),
        })?;
        let socket = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = socket.local_addr()?;
        let (running, over) = watch::channel(false);
        let anybody = Account {
            id: AccountId::new("anybody"),
            tenant: TenantId::nobody(),
            kind: AccountKind::Connector,
            credential: Credential::Certificate([0; 32]),
            domains: Vec::new(),
        };
        let listener = Listener {
            socket,
            tls: TlsMode::StartTls,
            access: Access::Anybody(Box::new(anybody)),
        };
        runtime.spawn(async move { server.serve(vec![listener], over).await });
        Ok(Self {
            runtime,
            address,
            desk,
            turn: Mutex::default(),
            _running: running,
        })
    }

    /// Says what was planned; the replies.
    async fn says(&self, plan: &Plan<'_>) -> Vec<String> {
        let talk = async {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            let (read, mut write) = stream.split();
            let mut lines = BufReader::new(read);
            let mut replies = vec![reply(&mut lines).await?];
            write.write_all(b"EHLO fuzz.test\r\n").await?;
            replies.push(reply(&mut lines).await?);
            for piece in plan.octets().chunks(plan.at_once) {
                // The server may have closed; what it said is read below.
                if write.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let wanted = plan.codes(250).len() - 1;
            while replies.len() < wanted {
                match reply(&mut lines).await {
                    Ok(text) if !text.is_empty() => replies.push(text),
                    _ => return Ok(replies),
                }
            }
            write.write_all(b"QUIT\r\n").await?;
            replies.push(reply(&mut lines).await?);
            let mut more = Vec::new();
            lines.read_to_end(&mut more).await?;
            assert!(more.is_empty(), "a reply too many: {more:?}");
            std::io::Result::Ok(replies)
        };
        // Whoever hears nothing misses replies, and that is noticed.
        talk.await.unwrap_or_default()
    }
}

/// A whole reply; empty at the end.
async fn reply<R: tokio::io::AsyncBufRead + Unpin>(lines: &mut R) -> std::io::Result<String> {
    let mut whole = String::new();
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).await?;
        let goes_on = line.as_bytes().get(3) == Some(&b'-');
        whole.push_str(&line);
        if !goes_on {
            return Ok(whole);
        }
    }
}

fn code(reply: &str) -> u16 {
    reply
        .get(..3)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
