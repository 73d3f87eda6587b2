//! A mail program that can also be rude: it says any line and sends any octets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::visitor::client_config;

/// A relay to hand messages to, and who does.
#[derive(Clone, Debug)]
pub(crate) struct Submitter {
    pub(crate) relay: SocketAddr,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) username: String,
    pub(crate) secret: String,
}

/// A session behind STARTTLS.
pub(crate) struct Session(BufStream<TlsStream<TcpStream>>);

impl Submitter {
    /// Hands in `message` (whole, CRLF): the last reply, the one to the end of data or the refusal that came first.
    pub(crate) async fn submit(&self, to: &[&str], message: &[u8]) -> io::Result<String> {
        let mut session = self.login().await?;
        session.submit(super::ANNA, to, message).await
    }

    /// A session that has logged in.
    pub(crate) async fn login(&self) -> io::Result<Session> {
        let mut session = self.connect().await?;
        let credentials = STANDARD.encode(format!("\0{}\0{}", self.username, self.secret));
        let reply = session.say(&format!("AUTH PLAIN {credentials}")).await?;
        if reply.starts_with("235") {
            Ok(session)
        } else {
            Err(io::Error::other(reply))
        }
    }

    /// A session that has not.
    pub(crate) async fn connect(&self) -> io::Result<Session> {
        let stream = TcpStream::connect(self.relay).await?;
        stream.set_nodelay(true)?;
        let mut clear = BufStream::new(stream);
        expect(&reply(&mut clear).await?, "220")?;
        expect(&say(&mut clear, "EHLO anna.test").await?, "250")?;
        expect(&say(&mut clear, "STARTTLS").await?, "220")?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let tls = connector(&self.certificate).connect(name, clear.into_inner());
        let mut session = Session(BufStream::new(tls.await?));
        expect(&session.say("EHLO anna.test").await?, "250")?;
        Ok(session)
    }
}

impl Session {
    /// Says one line; the whole reply.
    pub(crate) async fn say(&mut self, line: &str) -> io::Result<String> {
        say(&mut self.0, line).await
    }

    /// One transaction: the last reply.
    pub(crate) async fn submit(
        &mut self,
        from: &str,
        to: &[&str],
        message: &[u8],
    ) -> io::Result<String> {
        let answer = self.say(&format!("MAIL FROM:<{from}>")).await?;
        if !answer.starts_with("250") {
            return Ok(answer);
        }
        for recipient in to {
            let answer = self.say(&format!("RCPT TO:<{recipient}>")).await?;
            if !answer.starts_with("250") {
                return Ok(answer);
            }
        }
        self.data(&stuffed(message)).await
    }

    /// DATA and these octets as they are, then the end of data: the last reply.
    pub(crate) async fn data(&mut self, octets: &[u8]) -> io::Result<String> {
        let answer = self.say("DATA").await?;
        if !answer.starts_with("354") {
            return Ok(answer);
        }
        self.0.write_all(octets).await?;
        self.0.write_all(b".\r\n").await?;
        self.0.flush().await?;
        reply(&mut self.0).await
    }

    /// Sends octets and no more.
    pub(crate) async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.write_all(octets).await?;
        self.0.flush().await
    }

    /// The next reply.
    pub(crate) async fn reply(&mut self) -> io::Result<String> {
        reply(&mut self.0).await
    }
}

fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            octets.push(b'.');
        }
        octets.extend_from_slice(line);
    }
    octets
}

fn connector(certificate: &CertificateDer<'static>) -> TlsConnector {
    TlsConnector::from(Arc::new(client_config(certificate)))
}

fn expect(answer: &str, code: &str) -> io::Result<()> {
    if answer.starts_with(code) {
        Ok(())
    } else {
        Err(io::Error::other(answer.to_owned()))
    }
}

async fn say<S>(stream: &mut BufStream<S>, line: &str) -> io::Result<String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    stream.flush().await?;
    reply(stream).await
}

/// A whole reply, its lines joined by LF.
async fn reply<S>(stream: &mut BufStream<S>) -> io::Result<String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut whole = String::new();
    loop {
        let mut line = String::new();
        let read = timeout(REPLY_PATIENCE, stream.read_line(&mut line));
        if read.await.map_err(io::Error::other)?? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        whole.push_str(line.trim_end());
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(whole);
        }
        whole.push('\n');
    }
}

const REPLY_PATIENCE: Duration = Duration::from_secs(120);
