//! A mail program that hands in as fast as it is answered: STARTTLS, one session, one message at a time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Who hands in.
#[derive(Clone, Debug)]
pub(crate) enum Login {
    None,
    /// User name and password.
    Plain((String, String)),
}

/// A client of one server.
#[derive(Clone)]
pub(crate) struct Client {
    server: SocketAddr,
    login: Login,
    tls: TlsConnector,
}

impl Client {
    pub(crate) fn new(server: SocketAddr, login: Login) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        Self {
            server,
            login,
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    /// One session with `count` messages of `octets`, each its own.
    pub(crate) async fn send(&self, name: &str, count: usize, octets: usize) -> io::Result<()> {
        let stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        let mut clear = BufStream::new(stream);
        expect(&mut clear, "220").await?;
        say(&mut clear, "EHLO client.test", "250").await?;
        say(&mut clear, "STARTTLS", "220").await?;
        let host = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let tls = self.tls.connect(host, clear.into_inner()).await?;
        let mut session = BufStream::new(tls);
        say(&mut session, "EHLO client.test", "250").await?;
        if let Login::Plain((user, password)) = &self.login {
            let credentials = STANDARD.encode(format!("\0{user}\0{password}"));
            say(&mut session, &format!("AUTH PLAIN {credentials}"), "235").await?;
        }
        for number in 0..count {
            say(&mut session, "MAIL FROM:<anna@sender.test>", "250").await?;
            say(&mut session, "RCPT TO:<eva@proved.test>", "250").await?;
            say(&mut session, "DATA", "354").await?;
            let message = message(&format!("{name}-{number}"), octets);
            session.write_all(message.as_bytes()).await?;
            say(&mut session, ".", "250").await?;
        }
        say(&mut session, "QUIT", "221").await
    }
}

fn message(id: &str, octets: usize) -> String {
    let mut message = format!(
        "From: Anna <anna@sender.test>\r\nTo: <eva@proved.test>\r\nSubject: {id}\r\n\
         Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{id}@sender.test>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    );
    while message.len() < octets {
        message
            .push_str("The quick brown fox jumps over the lazy dog, and then does it again.\r\n");
    }
    message
}

async fn say<S>(stream: &mut BufStream<S>, line: &str, answer: &str) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    stream.flush().await?;
    expect(stream, answer).await
}

async fn expect<S>(stream: &mut BufStream<S>, answer: &str) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = String::new();
    while line.as_bytes().get(3) != Some(&b' ') {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if line.starts_with(answer) {
        Ok(())
    } else {
        Err(io::Error::other(line))
    }
}

/// Takes any certificate whose key signs: who the server is, is not what is measured.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
