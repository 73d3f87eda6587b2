//! Delivery: connects, proves the peer, hands over. Nothing is decided here but what comes next.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use rustls_pki_types::{CertificateDer, ServerName};
use securemail_core::backend::{
    Attempt, AttemptReport, Clock, PeerFacts, SessionOutcome, Transport,
};
use securemail_core::limits;
use securemail_core::route::{Hop, PeerAuthenticated, PeerFailure, Trust, authenticate};
use securemail_core::vocab::{Content, DnsName, UnixTime};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::chunkless::Chunkless;
use super::pool::{Line, Pool};
use super::tls::{ClientConfigs, HelloSize, facts};
use super::tried::{Tried, says_more};
use super::wire::{Io, Wire, WireError};
use crate::proto::client::{Clear, Connected, Handshaking, Peer, Proved, Ready};
use crate::proto::command::Command;
use crate::proto::reply::{WireReply, printable};
use crate::proto::transaction::{EightBit, Mail, Phase, Spelling};
use crate::settings::ClientSettings;

/// Hands messages to hosts over SMTP. Build it once.
pub struct SmtpTransport {
    pub(super) settings: ClientSettings,
    pub(super) clock: Arc<dyn Clock>,
    trust: Arc<Trust>,
    tls: ClientConfigs,
    pub(super) kept: Arc<Pool>,
    chunkless: Chunkless,
}

impl SmtpTransport {
    /// A transport that takes as proof what `trust` allows; see [`trust`](crate::trust).
    #[must_use]
    pub fn new(settings: ClientSettings, trust: Arc<Trust>, clock: Arc<dyn Clock>) -> Self {
        Self {
            kept: Arc::new(Pool::new(settings.keeping, settings.timeouts.quit)),
            settings,
            clock,
            trust,
            tls: ClientConfigs::new(),
            chunkless: Chunkless::default(),
        }
    }
}

#[async_trait]
impl Transport for SmtpTransport {
    async fn attempt(&self, attempt: Attempt) -> AttemptReport {
        let started = self.clock.now();
        let tried = match self.try_kept(&attempt).await {
            Some(tried) => tried,
            None => self.try_addresses(&attempt).await,
        };
        let ended = self.clock.now();
        tried.report(attempt.hop.host, ended, ended.since(started))
    }
}

impl SmtpTransport {
    /// Address by address, until one has its say.
    async fn try_addresses(&self, attempt: &Attempt) -> Tried {
        let mut tried = Tried::nothing();
        let until = self.proof_until();
        let addresses = attempt.hop.addresses.iter();
        for &address in addresses.take(limits::ADDRESSES_PER_HOST_MAX) {
            let next = self.try_address(address, attempt, until).await;
            let is_over = next.is_final() || is_late(until);
            tried = tried.or(next);
            if is_over {
                break;
            }
        }
        tried
    }

    async fn try_address(&self, address: IpAddr, attempt: &Attempt, until: Instant) -> Tried {
        let session = (address, until);
        let host = SocketAddr::new(address, attempt.hop.port);
        let chunking = self.settings.chunking && !self.chunkless.has(host, self.clock.now());
        let (tried, said) = self.try_session(session, attempt, chunking).await;
        if said != Said::NoChunks {
            return tried;
        }
        // Nothing was taken, and leave was not asked for.
        tracing::debug!(host = %attempt.hop.host, "announces CHUNKING and does not know it");
        self.chunkless.add(host, self.clock.now());
        self.try_session(session, attempt, false).await.0
    }

    async fn try_session(
        &self,
        (address, until): (IpAddr, Instant),
        attempt: &Attempt,
        chunking: bool,
    ) -> (Tried, Said) {
        let mut tried = Tried::at(address);
        let proving = self.prove((address, until), &attempt.hop, &mut tried);
        match in_time(until, proving).await {
            Ok((wire, mut ready)) => {
                if !chunking {
                    ready.forgo_chunking();
                }
                let line = Line::new(wire, address);
                let said = self.hand_over(line, ready, attempt, &mut tried).await;
                (tried, said)
            }
            Err(outcome) => {
                tried.outcome = outcome;
                (tried, Said::OfSession)
            }
        }
    }

    /// Until when a host that is tried from now on must have proved itself, at whatever address.
    pub(super) fn proof_until(&self) -> Instant {
        Instant::now() + self.settings.timeouts.proof
    }

    /// From nothing to a session that is proved to be with this hop.
    async fn prove(
        &self,
        (address, until): (IpAddr, Instant),
        hop: &Hop,
        tried: &mut Tried,
    ) -> Result<(Wire<TlsStream<TcpStream>>, Ready), SessionOutcome> {
        let socket = SocketAddr::new(address, hop.port);
        let (mut wire, handshaking) = self.secure((socket, until), &hop.sni).await?;
        let peer = tried.peer.insert(peer_facts(&wire, self.clock.now()));
        let proved = self
            .authenticate(peer, hop)
            .and_then(|(proof, leaf)| handshaking.prove(proof, hop, leaf));
        let proved: Proved = match proved {
            Ok(proved) => proved,
            Err(outcome) => {
                self.quit(wire);
                return Err(outcome);
            }
        };
        let ready = proved.handle_ehlo(&self.inner_ehlo(&mut wire).await?)?;
        ready.peer().name.clone_into(&mut peer.ehlo);
        tried.proof = Some(ready.proof().proof().clone());
        Ok((wire, ready))
    }

    /// The proof that whoever showed these certificates is `hop`, now; and the leaf.
    pub(super) fn authenticate<'p>(
        &self,
        peer: &'p PeerFacts,
        hop: &Hop,
    ) -> Result<(PeerAuthenticated, &'p [u8]), SessionOutcome> {
        let chain: Vec<_> = peer
            .chain
            .iter()
            .map(|certificate| CertificateDer::from(certificate.as_slice()))
            .collect();
        let proof = authenticate(hop, &chain, self.clock.now(), &self.trust)
            .map_err(SessionOutcome::NotAuthenticated)?;
        let leaf = peer.chain.first();
        let leaf = leaf.ok_or(SessionOutcome::NotAuthenticated(PeerFailure::NoCertificate))?;
        Ok((proof, leaf))
    }

    /// Connects and brings TLS up.
    pub(super) async fn secure(
        &self,
        (socket, until): (SocketAddr, Instant),
        sni: &DnsName,
    ) -> Result<(Wire<TlsStream<TcpStream>>, Handshaking), SessionOutcome> {
        let (wire, clear, _) = self.open(socket).await?;
        self.upgrade((socket, until), wire, clear, sni).await
    }

    /// Brings TLS up; over another connection with a smaller ClientHello where the handshake fails.
    pub(super) async fn upgrade(
        &self,
        (socket, until): (SocketAddr, Instant),
        wire: Wire<TcpStream>,
        clear: Clear,
        sni: &DnsName,
    ) -> Result<(Wire<TlsStream<TcpStream>>, Handshaking), SessionOutcome> {
        let (stream, handshaking) = self.starttls(wire, clear).await?;
        match self.handshake(stream, sni, HelloSize::Full).await {
            Ok(wire) => Ok((wire, handshaking)),
            Err(first) => self.upgrade_again((socket, until), sni, first).await,
        }
    }

    async fn upgrade_again(
        &self,
        (socket, until): (SocketAddr, Instant),
        sni: &DnsName,
        first: SessionOutcome,
    ) -> Result<(Wire<TlsStream<TcpStream>>, Handshaking), SessionOutcome> {
        let again = async {
            let (wire, clear, _) = self.open(socket).await?;
            let (stream, handshaking) = self.starttls(wire, clear).await?;
            let wire = self.handshake(stream, sni, HelloSize::Conservative).await?;
            Ok((wire, handshaking))
        };
        let again = in_time(until, again).await;
        again.map_err(|second| says_more(first, second))
    }

    /// Connects, and learns what is offered in clear, which nobody vouches for.
    pub(super) async fn open(
        &self,
        socket: SocketAddr,
    ) -> Result<(Wire<TcpStream>, Clear, String), SessionOutcome> {
        let mut wire = Wire::new(self.connect(socket).await?);
        let greeting = self.greeting(&mut wire).await?;
        let greeted = Connected::new().handle_greeting(&greeting)?;
        let reply = self.ehlo(&mut wire).await?;
        let name = reply
            .lines()
            .first()
            .map_or("", |line| line.split(' ').next().unwrap_or(""));
        let clear = greeted.handle_ehlo(&reply)?;
        Ok((wire, clear, name.to_owned()))
    }

    pub(super) async fn connect(&self, socket: SocketAddr) -> Result<TcpStream, SessionOutcome> {
        let connecting = timeout(self.settings.timeouts.connect, TcpStream::connect(socket));
        let stream = connecting
            .await
            .map_err(|_| unreachable(&WireError::TimedOut))?
            .map_err(|error| unreachable(&WireError::Io(error)))?;
        stream
            .set_nodelay(true)
            .map_err(|error| unreachable(&WireError::Io(error)))?;
        Ok(stream)
    }

    pub(super) async fn greeting<S: Io>(
        &self,
        wire: &mut Wire<S>,
    ) -> Result<WireReply, SessionOutcome> {
        let greeting = wire.read_reply(self.settings.timeouts.greeting).await;
        greeting.map_err(|error| unreachable(&error))
    }

    /// STARTTLS, which is sent whether offered or not (C-04), up to the handshake.
    async fn starttls(
        &self,
        mut wire: Wire<TcpStream>,
        clear: Clear,
    ) -> Result<(TcpStream, Handshaking), SessionOutcome> {
        let reply = self.command(&mut wire, &Command::StartTls).await?;
        let handshaking = clear.handle_starttls(&reply, wire.input.len())?;
        Ok((wire.io, handshaking))
    }

    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        sni: &DnsName,
        hello: HelloSize,
    ) -> Result<Wire<TlsStream<TcpStream>>, SessionOutcome> {
        let name = ServerName::try_from(sni.as_str().to_owned()).map_err(|_| {
            SessionOutcome::TlsFailed("the host's name cannot be an SNI".to_owned())
        })?;
        let config = self.tls.of(hello).map_err(|error| tls_failed(&error))?;
        let connecting = TlsConnector::from(config).connect(name, stream);
        match timeout(self.settings.timeouts.handshake, connecting).await {
            Ok(Ok(stream)) => Ok(Wire::new(stream)),
            Ok(Err(error)) => Err(handshake_failed(error)),
            Err(_) => Err(silent_in_handshake(&WireError::TimedOut)),
        }
    }

    /// EHLO inside TLS. Whoever answers with anything but SMTP is another service, to which the octets
    /// of this session were led (ALPACA; RFC 9325, section 3.7).
    pub(super) async fn inner_ehlo<S: Io>(
        &self,
        wire: &mut Wire<S>,
    ) -> Result<WireReply, SessionOutcome> {
        self.ehlo(wire).await.map_err(|outcome| match outcome {
            SessionOutcome::Unreachable(why) => {
                SessionOutcome::Unreachable(format!("in TLS: {why}"))
            }
            other => other,
        })
    }

    async fn ehlo<S: Io>(&self, wire: &mut Wire<S>) -> Result<WireReply, SessionOutcome> {
        let command = Command::Ehlo(self.settings.hostname.to_string());
        self.command(wire, &command).await
    }

    /// One command and its reply, before MAIL. Octets that came unasked are somebody's who answers in
    /// the peer's place.
    pub(super) async fn command<S: Io>(
        &self,
        wire: &mut Wire<S>,
        command: &Command,
    ) -> Result<WireReply, SessionOutcome> {
        self.line(wire, &command.to_string()).await
    }

    /// One line and the reply to it, before MAIL.
    pub(super) async fn line<S: Io>(
        &self,
        wire: &mut Wire<S>,
        line: &str,
    ) -> Result<WireReply, SessionOutcome> {
        let limit = self.settings.timeouts.command;
        let octets = Zeroizing::new(format!("{line}\r\n"));
        let exchange = async {
            if !wire.input.is_empty() {
                return Err(WireError::Unasked);
            }
            wire.send(octets.as_bytes(), limit).await?;
            wire.read_reply(limit).await
        };
        match exchange.await {
            Ok(reply) => Ok(reply),
            Err(WireError::Line(_) | WireError::Reply(_) | WireError::Unasked) => {
                Err(SessionOutcome::Injected)
            }
            Err(error @ (WireError::Closed | WireError::Io(_) | WireError::TimedOut)) => {
                Err(unreachable(&error))
            }
        }
    }

    /// One message over a proved session, which rests afterwards or ends. Tells what that is about which
    /// came of it.
    pub(super) async fn hand_over(
        &self,
        mut line: Line,
        mut ready: Ready,
        attempt: &Attempt,
        tried: &mut Tried,
    ) -> Said {
        let Some(eight_bit) = eight_bit(&attempt.content, ready.peer()).await else {
            tried.outcome = SessionOutcome::CalledOff;
            return Said::OfMessage;
        };
        let mail = Mail {
            reverse_path: &attempt.reverse_path,
            recipients: &attempt.recipients,
            demands: attempt.demands,
            content: Arc::clone(&attempt.content),
            eight_bit,
            first: first(&attempt.content).await,
        };
        let mut transaction = match ready.mail(mail) {
            Ok(transaction) => transaction,
            Err(outcome) => {
                // Nothing was sent: the session stays good for messages that it can take. Another session with the
                // host may offer more.
                tried.outcome = outcome;
                self.keep(line, ready, attempt, tried);
                return Said::OfSession;
            }
        };
        if attempt.recipients.is_empty() {
            // A look: the host is proved and can take such a message. Without RCPT there is nothing to say.
            self.quit(line.wire);
            tried.outcome = SessionOutcome::Completed;
            return Said::OfMessage;
        }
        tried.outcome = self
            .transact(&mut line.wire, &mut transaction, &*attempt.final_dot)
            .await;
        let in_order = transaction.phase() == Phase::Ended;
        let said = if tried.outcome == SessionOutcome::CalledOff || transaction.is_about_message() {
            Said::OfMessage
        } else if transaction.failed_by_chunks() {
            Said::NoChunks
        } else {
            Said::OfSession
        };
        if transaction.spelling() == Spelling::Lines {
            ready.forgo_chunking();
        }
        tried.recipients = transaction.into_outcomes();
        if in_order {
            self.keep(line, ready, attempt, tried);
        }
        said
    }

    /// QUIT, while the caller goes on: nothing depends on its reply.
    pub(super) fn quit<S: Io + 'static>(&self, wire: Wire<S>) {
        tokio::spawn(wire.quit(self.settings.timeouts.quit));
    }
}

/// What that is about which came of a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Said {
    /// It does not know the chunks that it announced, and took none.
    NoChunks,
    /// The message.
    OfMessage,
    /// The session only.
    OfSession,
}

/// Whether the time of a host is over. Its further addresses are then not tried, and not told of as if they were.
pub(super) fn is_late(until: Instant) -> bool {
    Instant::now() >= until
}

/// What `opening` gives, or silence where its host takes longer than all addresses together may.
pub(super) async fn in_time<T>(
    until: Instant,
    opening: impl Future<Output = Result<T, SessionOutcome>>,
) -> Result<T, SessionOutcome> {
    let opened = timeout_at(until, opening).await;
    opened.unwrap_or_else(|_| Err(unreachable(&WireError::TimedOut)))
}

pub(super) fn peer_facts(wire: &Wire<TlsStream<TcpStream>>, secured: UnixTime) -> PeerFacts {
    let (_, session) = wire.io.get_ref();
    let tls = facts(session);
    let chain = session.peer_certificates().unwrap_or_default();
    PeerFacts {
        version: tls.version,
        cipher: tls.cipher,
        group: tls.group,
        chain: chain
            .iter()
            .take(limits::CHAIN_CERTIFICATES_MAX)
            .map(|certificate| certificate.to_vec())
            .collect(),
        ehlo: String::new(),
        secured,
    }
}

/// Whether the content needs 8BITMIME. It is looked through only where the peer does not offer it.
/// `None` where it cannot be read.
async fn eight_bit(content: &Arc<dyn Content>, peer: &Peer) -> Option<EightBit> {
    if peer.extensions.eight_bit_mime {
        return Some(EightBit::Possible);
    }
    let mut offset = 0;
    while offset < content.size() {
        let block = content
            .read(offset, BLOCK)
            .await
            .ok()
            .filter(|block| !block.is_empty())?;
        if !block.is_ascii() {
            return Some(EightBit::Possible);
        }
        offset = offset.saturating_add(block.len() as u64);
    }
    Some(EightBit::Absent)
}

/// The first octet, where it cannot end a line: every header begins so.
async fn first(content: &Arc<dyn Content>) -> Option<u8> {
    let block = content.read(0, 1).await.ok()?;
    block.first().copied().filter(u8::is_ascii_graphic)
}

fn unreachable(error: &WireError) -> SessionOutcome {
    SessionOutcome::Unreachable(error.to_string())
}

/// What TLS itself says of the peer proves that it cannot be proved. Silence, and a connection that is cut, prove
/// nothing: whoever can do that could also have kept the session from beginning.
fn handshake_failed(error: std::io::Error) -> SessionOutcome {
    let inner = error.get_ref();
    if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
        return tls_failed(&error);
    }
    silent_in_handshake(&WireError::Io(error))
}

fn silent_in_handshake(error: &WireError) -> SessionOutcome {
    SessionOutcome::Unreachable(format!("in the handshake: {error}"))
}

fn tls_failed(error: &dyn std::error::Error) -> SessionOutcome {
    let mut text = printable(error.to_string().as_bytes());
    text.truncate(200);
    SessionOutcome::TlsFailed(text)
}

impl fmt::Debug for SmtpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpTransport")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Octets of content that are read and sent at once.
pub(super) const BLOCK: usize = 64 * 1024;
