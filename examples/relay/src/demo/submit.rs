//! A mail program for the demo: hands in one message over STARTTLS with AUTH PLAIN.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A relay to hand messages to.
#[derive(Clone, Debug)]
pub struct Submitter {
    pub relay: SocketAddr,
    pub certificate: CertificateDer<'static>,
    pub username: String,
    pub secret: String,
}

impl Submitter {
    /// Hands in `message` (whole, CRLF) and returns the reply to the end of data.
    ///
    /// # Errors
    /// Where the session breaks, or a command before the end of data is refused.
    pub async fn submit(&self, from: &str, to: &[&str], message: &[u8]) -> io::Result<String> {
        let mut clear = BufStream::new(TcpStream::connect(self.relay).await?);
        expect(&mut clear, 220).await?;
        command(&mut clear, "EHLO demo.test", 250).await?;
        command(&mut clear, "STARTTLS", 220).await?;
        let tls = self
            .connector()?
            .connect(self.name()?, clear.into_inner())
            .await?;
        let mut session = BufStream::new(tls);
        command(&mut session, "EHLO demo.test", 250).await?;
        let credentials = format!("\0{}\0{}", self.username, self.secret);
        let auth = format!("AUTH PLAIN {}", STANDARD.encode(credentials));
        command(&mut session, &auth, 235).await?;
        command(&mut session, &format!("MAIL FROM:<{from}>"), 250).await?;
        for recipient in to {
            command(&mut session, &format!("RCPT TO:<{recipient}>"), 250).await?;
        }
        command(&mut session, "DATA", 354).await?;
        for line in message.split_inclusive(|octet| *octet == b'\n') {
            if line.starts_with(b".") {
                session.write_all(b".").await?;
            }
            session.write_all(line).await?;
        }
        session.write_all(b".\r\n").await?;
        session.flush().await?;
        let answer = reply(&mut session).await?;
        command(&mut session, "QUIT", 221).await?;
        Ok(answer)
    }

    /// Trusts the relay's own certificate and no other.
    fn connector(&self) -> io::Result<TlsConnector> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(self.certificate.clone())
            .map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn name(&self) -> io::Result<ServerName<'static>> {
        ServerName::try_from("localhost").map_err(io::Error::other)
    }
}

async fn command<S>(stream: &mut BufStream<S>, line: &str, code: u16) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    stream.flush().await?;
    expect(stream, code).await
}

async fn expect<S>(stream: &mut BufStream<S>, code: u16) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = reply(stream).await?;
    if answer.starts_with(&code.to_string()) {
        Ok(())
    } else {
        Err(io::Error::other(answer))
    }
}

/// The last line of a reply.
async fn reply<S>(stream: &mut BufStream<S>) -> io::Result<String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(line.trim_end().to_owned());
        }
    }
}
