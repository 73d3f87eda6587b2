//! Our own listeners, seen from outside: what they agree to, and what they refuse (NCSC-NL, TLS guidelines).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs::default_provider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, NamedGroup, ProtocolVersion,
    RootCertStore, SignatureScheme,
};
use securemail_core::backend::Clock as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::choices;
use super::hello::{Offer, Reply, read_reply};
use super::report::{Level, Report, advice, fail, good, unknown};
use crate::system::SystemClock;

/// For each step of a session with ourselves.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// For an answer that nothing depends on.
pub const SILENCE: Duration = Duration::from_secs(3);
/// Longer lines and greetings are not ours.
const LINE_OCTETS_MAX: u64 = 1024;
const GREETING_LINES_MAX: usize = 64;

/// How TLS begins on a listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Begins {
    /// At once.
    AtOnce,
    /// After STARTTLS.
    WithStartTls,
}

/// One of our listeners.
#[derive(Clone, Debug)]
pub struct Target {
    /// What it is for, as the settings name it.
    pub name: &'static str,
    pub address: SocketAddr,
    pub begins: Begins,
    /// The name that clients check.
    pub host: ServerName<'static>,
    /// Whether clients of the public must be able to check it.
    pub needs_trust: bool,
}

impl Target {
    /// Something that it answers.
    pub fn word(&self) -> &'static [u8] {
        if self.begins == Begins::AtOnce && self.name == "web" {
            b"GET / HTTP/1.0\r\n\r\n"
        } else {
            b"NOOP\r\n"
        }
    }
}

/// Looks at one listener.
pub async fn look(target: &Target, roots: &Arc<RootCertStore>) -> Report {
    let mut report = Report::default();
    let subject = format!("{} {}", target.name, target.address);
    if let Err(error) = until_tls(target).await {
        let text = format!("no TLS session: {error}; is the relay running?");
        report.add(&subject, "starttls", unknown(text));
        return report;
    }
    match handshake(target).await {
        Ok(seen) => {
            for (check, found) in judge(target, &seen, roots) {
                report.add(&subject, check, found);
            }
        }
        Err(error) => {
            let text = format!("no TLS session: {error}");
            report.add(&subject, "starttls", unknown(text));
        }
    }
    for (check, found) in choices::look(target).await {
        report.add(&subject, check, found);
    }
    report
}

fn judge(
    target: &Target,
    seen: &Seen,
    roots: &Arc<RootCertStore>,
) -> Vec<(&'static str, (Level, String))> {
    let early_data = if seen.early_data {
        fail("early data is offered; it can be replayed")
    } else {
        good("no early data")
    };
    let mut found = vec![
        ("starttls", good("TLS begins")),
        ("tls_version", judge_version(seen.version)),
        ("fs_params", judge_group(seen.group)),
        ("zero_rtt", early_data),
    ];
    found.extend(super::certificate::judge(&seen.chain, SystemClock.now()));
    found.push(("cert_trust", judge_trust(target, seen, roots)));
    found
}

/// What a session with ourselves shows.
struct Seen {
    version: Option<ProtocolVersion>,
    group: Option<NamedGroup>,
    chain: Vec<CertificateDer<'static>>,
    early_data: bool,
}

async fn handshake(target: &Target) -> io::Result<Seen> {
    let config = Arc::new(config().map_err(io::Error::other)?);
    let stream = until_tls(target).await?.into_inner();
    let connector = TlsConnector::from(config.clone());
    let session = connector.connect(target.host.clone(), stream);
    let mut session = timeout(PATIENCE, session).await??;
    // Tickets come after the handshake; a word makes the server speak.
    session.write_all(target.word()).await?;
    session.flush().await?;
    let mut octet = [0; 1];
    // Whoever says nothing has a session all the same.
    let _silence = timeout(SILENCE, session.read(&mut octet)).await;
    let again = ClientConnection::new(config, target.host.clone()).map_err(io::Error::other)?;
    Ok(facts(session.get_ref().1, again))
}

/// `again` is a second session with the ticket of the first; it says whether the ticket allows early data.
fn facts(session: &ClientConnection, mut again: ClientConnection) -> Seen {
    Seen {
        version: session.protocol_version(),
        group: session
            .negotiated_key_exchange_group()
            .map(|group| group.name()),
        chain: session
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect(),
        early_data: again.early_data().is_some(),
    }
}

fn judge_version(version: Option<ProtocolVersion>) -> (Level, String) {
    match version {
        Some(ProtocolVersion::TLSv1_3) => good("TLS 1.3"),
        Some(ProtocolVersion::TLSv1_2) => advice("TLS 1.2 only"),
        _ => fail("an old version"),
    }
}

fn judge_group(group: Option<NamedGroup>) -> (Level, String) {
    match group {
        Some(
            NamedGroup::X25519MLKEM768
            | NamedGroup::secp256r1MLKEM768
            | NamedGroup::MLKEM768
            | NamedGroup::MLKEM1024,
        ) => good("a key exchange that stands against quantum computers"),
        Some(
            NamedGroup::X25519
            | NamedGroup::X448
            | NamedGroup::secp256r1
            | NamedGroup::secp384r1
            | NamedGroup::secp521r1,
        ) => advice("an elliptic curve; X25519MLKEM768 is better"),
        _ => fail("no key exchange that is known to be safe"),
    }
}

fn judge_trust(target: &Target, seen: &Seen, roots: &Arc<RootCertStore>) -> (Level, String) {
    let Some((leaf, issuers)) = seen.chain.split_first() else {
        return fail("no certificate");
    };
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider).build();
    let verifier = match verifier {
        Ok(verifier) => verifier,
        Err(error) => return unknown(error.to_string()),
    };
    let host = target.host.to_str();
    match verifier.verify_server_cert(leaf, issuers, &target.host, &[], UnixTime::now()) {
        Ok(_) => good(format!("a trusted root vouches for {host}")),
        Err(error) if target.needs_trust => fail(format!(
            "people's programs will not accept it for {host}: {error}"
        )),
        // Senders of mail go by DANE or not at all.
        Err(error) => advice(format!("no trusted root vouches for {host}: {error}")),
    }
}

/// Makes an offer on a connection of its own; what the server answers, or why that is not known.
pub async fn offer(target: &Target, offer: &Offer<'_>) -> Result<Reply, String> {
    let answered = async {
        let mut stream = until_tls(target).await?;
        stream.write_all(&offer.record()).await?;
        stream.flush().await?;
        read_reply(&mut stream).await
    };
    match timeout(PATIENCE, answered).await {
        Ok(answered) => answered.map_err(|error: io::Error| error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

/// A connection on which TLS may begin now.
pub async fn until_tls(target: &Target) -> io::Result<BufStream<TcpStream>> {
    let stream = timeout(PATIENCE, TcpStream::connect(reachable(target.address))).await??;
    let mut stream = BufStream::new(stream);
    if target.begins == Begins::AtOnce {
        return Ok(stream);
    }
    timeout(PATIENCE, async {
        expect(&mut stream, "220").await?;
        for (command, answer) in [("EHLO localhost\r\n", "250"), ("STARTTLS\r\n", "220")] {
            stream.write_all(command.as_bytes()).await?;
            stream.flush().await?;
            expect(&mut stream, answer).await?;
        }
        Ok::<_, io::Error>(())
    })
    .await??;
    Ok(stream)
}

/// A listener on every address is reached on loopback.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        let loopback = match address.ip() {
            IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        };
        address.set_ip(loopback);
    }
    address
}

/// Reads one reply, of one line or more, and checks its code.
async fn expect(stream: &mut BufStream<TcpStream>, code: &str) -> io::Result<()> {
    for _ in 0..GREETING_LINES_MAX {
        let mut line = Vec::new();
        let mut limited = (&mut *stream).take(LINE_OCTETS_MAX);
        limited.read_until(b'\n', &mut line).await?;
        let is_last = line.get(3) != Some(&b'-');
        if !line.starts_with(code.as_bytes()) {
            let said = String::from_utf8_lossy(&line);
            return Err(io::Error::other(format!("it said {:?}", said.trim_end())));
        }
        if is_last {
            return Ok(());
        }
    }
    Err(io::Error::other("the reply has no end"))
}

/// As a client that wants all that it can get; who the peer is, is judged afterwards.
fn config() -> Result<ClientConfig, Error> {
    let provider: CryptoProvider = default_provider();
    let any = AnyCertificate(provider.clone());
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(any))
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(1);
    config.enable_early_data = true;
    Ok(config)
}

/// Accepts whatever we show ourselves, so that it can be looked at. Nothing is sent over such a session.
#[derive(Debug)]
pub struct AnyCertificate(pub CryptoProvider);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
