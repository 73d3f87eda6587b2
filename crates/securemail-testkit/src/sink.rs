//! A receiving mail server in process: it keeps what it is given, and goes wrong when told to.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::ServerConfig;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::ca::Issued;
use crate::memory::lock;

/// What a [`Sink`] does.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// The name in its greeting.
    pub host: String,
    /// The certificate for STARTTLS; without it STARTTLS is neither offered nor known.
    pub certificate: Option<Issued>,
    /// How it behaves.
    pub conduct: Conduct,
}

/// How a [`Sink`] behaves.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Conduct {
    /// Takes everything.
    #[default]
    Accept,
    /// Takes everything, and answers the final dot after this time.
    DelayAtDot(Duration),
    /// Answers the final dot with this line.
    ReplyAtDot(String),
    /// Answers RCPT with this line.
    ReplyAtRcpt(String),
    /// Closes the connection when the final dot came, having kept the message.
    CloseAtDot,
}

/// One message that a sink took.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Received {
    /// The reverse-path, without brackets.
    pub from: String,
    /// The forward-paths, without brackets.
    pub to: Vec<String>,
    /// The octets between DATA and the dot, dots unstuffed.
    pub data: Vec<u8>,
    /// It came over TLS.
    pub tls: bool,
}

/// A running sink. Dropping it ends it.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    host: String,
    tls: Option<Arc<ServerConfig>>,
    conduct: Mutex<Conduct>,
    messages: Mutex<Vec<Received>>,
    /// The response of AUTH PLAIN without which nothing is taken.
    login: Mutex<Option<String>>,
    /// Commands seen in clear, to prove that nothing of a message was among them.
    clear: Mutex<Vec<String>>,
}

impl Sink {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// Where the address cannot be had or the certificate not be used.
    pub async fn start(address: SocketAddr, options: SinkOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let tls = options
            .certificate
            .as_ref()
            .map(Issued::server_config)
            .transpose()?;
        let shared = Arc::new(Shared {
            host: options.host,
            tls,
            conduct: Mutex::new(options.conduct),
            messages: Mutex::default(),
            login: Mutex::default(),
            clear: Mutex::default(),
        });
        let address = listener.local_addr()?;
        let task = tokio::spawn(serve(listener, shared.clone()));
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it took so far.
    #[must_use]
    pub fn messages(&self) -> Vec<Received> {
        self.shared
            .messages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The command lines that came in clear.
    #[must_use]
    pub fn clear_commands(&self) -> Vec<String> {
        self.shared
            .clear
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From now on it takes nothing inside TLS from who has not logged in so (AUTH PLAIN, RFC 4616).
    pub fn demand_login(&self, username: &str, password: &str) {
        let response = BASE64.encode(format!("\0{username}\0{password}"));
        *self
            .shared
            .login
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(response);
    }

    /// From now on it behaves so.
    pub fn behave(&self, conduct: Conduct) {
        *self
            .shared
            .conduct
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = conduct;
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            // A session that breaks is the peer's affair.
            drop(session(stream, &shared).await);
        });
    }
}

async fn session(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut clear = BufStream::new(stream);
    reply(&mut clear, &format!("220 {} ESMTP sink", shared.host)).await?;
    if dialogue(&mut clear, shared, false).await? == Next::Close {
        return Ok(());
    }
    let Some(config) = &shared.tls else {
        return Ok(());
    };
    reply(&mut clear, "220 2.0.0 ready").await?;
    let tls = TlsAcceptor::from(config.clone())
        .accept(clear.into_inner())
        .await?;
    dialogue(&mut BufStream::new(tls), shared, true).await?;
    Ok(())
}

#[derive(Debug, Eq, PartialEq)]
enum Next {
    Close,
    Command,
    StartTls,
}

async fn dialogue<S>(stream: &mut BufStream<S>, shared: &Shared, tls: bool) -> io::Result<Next>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut from = String::new();
    let mut to = Vec::new();
    let demanded = lock(&shared.login).clone().filter(|_| tls);
    let mut is_let_in = demanded.is_none();
    loop {
        let Some(line) = line(stream).await? else {
            return Ok(Next::Close);
        };
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !tls {
            lock(&shared.clear).push(line.clone());
        }
        let verb = line.split(' ').next().unwrap_or("").to_ascii_uppercase();
        let conduct = lock(&shared.conduct).clone();
        match verb.as_str() {
            "EHLO" => reply(stream, &offers(shared, tls, demanded.is_some())).await?,
            "STARTTLS" if shared.tls.is_some() && !tls => return Ok(Next::StartTls),
            "AUTH" if demanded.is_some() => {
                let given = log_in(stream, &line).await?;
                is_let_in = given == demanded;
                let answer = if is_let_in {
                    "235 2.7.0 in"
                } else {
                    "535 5.7.8 no"
                };
                reply(stream, answer).await?;
            }
            "MAIL" if !is_let_in => reply(stream, "530 5.7.0 log in first").await?,
            "MAIL" => {
                from = path(&line);
                to.clear();
                reply(stream, "250 2.1.0 ok").await?;
            }
            "RCPT" => {
                if let Conduct::ReplyAtRcpt(text) = &conduct {
                    reply(stream, text).await?;
                } else {
                    to.push(path(&line));
                    reply(stream, "250 2.1.5 ok").await?;
                }
            }
            "DATA" if to.is_empty() => reply(stream, "554 5.5.1 no recipients").await?,
            "DATA" => {
                reply(stream, "354 go on").await?;
                let envelope = (from.clone(), to.clone());
                if take(stream, shared, envelope, tls, conduct).await? == Next::Close {
                    return Ok(Next::Close);
                }
            }
            "RSET" | "NOOP" => reply(stream, "250 2.0.0 ok").await?,
            "QUIT" => {
                reply(stream, "221 2.0.0 bye").await?;
                return Ok(Next::Close);
            }
            _ => reply(stream, "502 5.5.1 not known here").await?,
        }
    }
}

/// The reply to EHLO.
fn offers(shared: &Shared, tls: bool, wants_login: bool) -> String {
    let starttls = if shared.tls.is_some() && !tls {
        "250-STARTTLS\r\n"
    } else {
        ""
    };
    let auth = if wants_login {
        "250-AUTH PLAIN\r\n"
    } else {
        ""
    };
    format!(
        "250-{}\r\n250-PIPELINING\r\n250-8BITMIME\r\n{starttls}{auth}250 SIZE 104857600",
        shared.host
    )
}

/// The response of AUTH PLAIN: with the command, or to an empty challenge.
async fn log_in<S>(stream: &mut BufStream<S>, command: &str) -> io::Result<Option<String>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(initial) = command.split(' ').nth(2) {
        return Ok(Some(initial.to_owned()));
    }
    reply(stream, "334 ").await?;
    let line = line(stream).await?;
    Ok(line.map(|line| String::from_utf8_lossy(&line).trim_end().to_owned()))
}

/// Reads a message to its dot, keeps it and answers.
async fn take<S>(
    stream: &mut BufStream<S>,
    shared: &Shared,
    (from, to): (String, Vec<String>),
    tls: bool,
    conduct: Conduct,
) -> io::Result<Next>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(data) = data(stream).await? else {
        return Ok(Next::Close);
    };
    if let Conduct::ReplyAtDot(text) = &conduct {
        reply(stream, text).await?;
        return Ok(Next::Command);
    }
    let message = Received {
        from,
        to,
        data,
        tls,
    };
    shared
        .messages
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(message);
    match conduct {
        Conduct::CloseAtDot => return Ok(Next::Close),
        Conduct::DelayAtDot(time) => tokio::time::sleep(time).await,
        Conduct::Accept | Conduct::ReplyAtDot(_) | Conduct::ReplyAtRcpt(_) => {}
    }
    reply(stream, "250 2.0.0 kept").await?;
    Ok(Next::Command)
}

/// What stands between the angle brackets.
fn path(line: &str) -> String {
    let inner = line
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or_else(String::new, |(path, _)| path.to_owned())
}

async fn line<S>(stream: &mut BufStream<S>) -> io::Result<Option<Vec<u8>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = Vec::new();
    let read = stream.read_until(b'\n', &mut line).await?;
    Ok((read > 0).then_some(line))
}

async fn data<S>(stream: &mut BufStream<S>) -> io::Result<Option<Vec<u8>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut data = Vec::new();
    loop {
        let Some(line) = line(stream).await? else {
            return Ok(None);
        };
        if line == b".\r\n" {
            return Ok(Some(data));
        }
        data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

async fn reply<S>(stream: &mut BufStream<S>, text: &str) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(format!("{text}\r\n").as_bytes()).await?;
    stream.flush().await
}
