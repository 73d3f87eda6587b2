//! Tries to hand a message to one host.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::mail::ContentFree;
use crate::route::{Hop, PeerFailure, PeerProof};
use crate::vocab::{Address, Content, Demands, DnsName, Reply, ReversePath, TenantId, UnixTime};

/// Hands messages to hosts. Whatever happens is a report; there is no error.
///
/// # Contract
/// - **T1** No octet of MAIL, RCPT or content leaves before `route::authenticate` gave the proof of
///   this hop for the certificate of this session.
/// - **T2** The end of data, the final dot or the last chunk, leaves only after `final_dot.open()`
///   returned `Ok`.
/// - **T3** Dropping the future before that is a clean cancellation; after it, the attempt must be
///   driven to its end.
/// - **T4** Once the end of data may have left, a missing reply is `Unconfirmed`, never anything else.
/// - **T5** A connection carries a second message only where both attempts allow it, for the same
///   tenant; and `route::authenticate` gives a proof of its own for the second hop, at that time, of the
///   chain that the session showed.
/// - **T6** A connection kept from an earlier message that fails before the end of data says nothing
///   about the host: the attempt goes on over a fresh one.
/// - **T7** Where several addresses were tried, each session is in the report: the one that says most, which
///   is the one that handed over where one did, and the others beside it.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Tries.
    async fn attempt(&self, attempt: Attempt) -> AttemptReport;
}

/// One attempt at one host.
#[derive(Debug)]
pub struct Attempt {
    /// The host, and what it must prove.
    pub hop: Hop,
    /// Over which connection.
    pub connection: Connection,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, all of the hop's domain. None: a look, which ends behind the proof and what the host
    /// offers, without MAIL.
    pub recipients: Vec<Address>,
    /// What the host must offer besides.
    pub demands: Demands,
    /// The message, without what DATA or BDAT adds.
    pub content: Arc<dyn Content>,
    /// Asked before the end of data.
    pub final_dot: Arc<dyn FinalDot>,
}

/// Over which connection an attempt may go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Connection {
    /// Over one that this tenant's mail may share, one message after the other.
    OfTenant(TenantId),
    /// Over one of its own: what its handshake proves is about this message alone.
    Own,
}

/// Gives leave for the end of data: the final dot, or the last chunk (RFC 3030).
#[async_trait]
pub trait FinalDot: fmt::Debug + Send + Sync + 'static {
    /// Returns when the intent is durable. From then on the attempt is driven to its end.
    ///
    /// # Errors
    /// Where the attempt is called off; nothing has been handed over then.
    async fn open(&self) -> Result<(), DotClosed>;
}

/// The attempt is called off before its final dot.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("called off before the end of data")]
pub struct DotClosed;

/// Hands content-free mail to hosts that cannot be proved: with the best TLS they offer, or in clear
/// where STARTTLS is absent and the caller allows it. A sender's content has no way into it, because
/// [`ContentFree`] is made by core's own templates only.
#[async_trait]
pub trait NoticeTransport: fmt::Debug + Send + Sync + 'static {
    /// Tries.
    async fn attempt_notice(&self, attempt: NoticeAttempt) -> AttemptReport;
}

/// One attempt to hand a notice to one host.
#[derive(Clone, Debug)]
pub struct NoticeAttempt {
    /// The host.
    pub host: DnsName,
    /// Where to connect, in this order.
    pub addresses: Vec<IpAddr>,
    /// The TCP port.
    pub port: u16,
    /// Clear text may be used where STARTTLS is not offered: nothing is published that forbids it.
    pub may_be_clear: bool,
    /// TLS is not even tried: it failed, and this mail is to arrive all the same (RFC 8460, section 3).
    pub without_tls: bool,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO.
    pub recipient: Address,
    /// The mail.
    pub mail: ContentFree,
}

/// What happened: of the sessions with the host, the one that says most.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AttemptReport {
    /// The host.
    pub host: DnsName,
    /// The address of that session, if any.
    pub address: Option<IpAddr>,
    /// The address of ours that leads there, where it is known.
    #[serde(default)]
    pub own_address: Option<IpAddr>,
    /// Facts of the session, once TLS was up.
    pub peer: Option<PeerFacts>,
    /// What proved the peer; there is one exactly where MAIL was reached on a proved session.
    pub proof: Option<PeerProof>,
    /// How far the session came.
    pub outcome: SessionOutcome,
    /// One for each recipient, in their order; empty where MAIL was not reached.
    pub recipients: Vec<RecipientOutcome>,
    /// The sessions at other addresses of the host, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherSession>,
    /// When it ended.
    pub ended: UnixTime,
    /// How long it took.
    pub took: Duration,
}

/// A session of an attempt at one address, where another one says more.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OtherSession {
    /// The address.
    pub address: Option<IpAddr>,
    /// The address of ours that leads there, where it is known.
    pub own_address: Option<IpAddr>,
    /// Facts of the session, once TLS was up; of the chain the leaf alone.
    pub peer: Option<PeerFacts>,
    /// How far it came.
    pub outcome: SessionOutcome,
}

/// What the TLS session showed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PeerFacts {
    /// `TLSv1.3`.
    pub version: String,
    /// The cipher suite.
    pub cipher: String,
    /// The key exchange group.
    pub group: String,
    /// The chain as sent, DER, the leaf first.
    pub chain: Vec<Vec<u8>>,
    /// The host's name in its EHLO reply, made printable.
    pub ehlo: String,
    /// When the handshake ended: before the attempt began, where the connection was kept from an
    /// earlier message.
    pub secured: UnixTime,
}

/// How far a session came.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum SessionOutcome {
    /// Called off before the final dot.
    CalledOff,
    /// MAIL was sent; the recipients say how it went. Where there are none: the host could take it.
    Completed,
    /// TLS came up but the peer is not proved; the session ended before MAIL.
    NotAuthenticated(PeerFailure),
    /// STARTTLS is not offered or was refused. Nothing said before TLS is ever permanent.
    NoStartTls(Option<Reply>),
    /// Octets were found behind the reply to STARTTLS (CVE-2011-0411), or came unasked, or are no SMTP,
    /// or a second greeting came inside TLS (ALPACA): an attack, or a broken peer.
    Injected,
    /// The handshake failed by what TLS said of it, there or here.
    TlsFailed(String),
    /// No TCP connection, or it broke, fell silent or was refused by the host before it could take mail.
    Unreachable(String),
    /// The host cannot take the message. It was said on the proved session.
    Incapable(Lack),
}

/// What a host lacks for a message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Lack {
    /// 8BITMIME (RFC 6152).
    #[error("8BITMIME is not offered")]
    EightBitMime,
    /// REQUIRETLS (RFC 8689).
    #[error("REQUIRETLS is not offered")]
    RequireTls,
    /// Room: it takes so many octets at most (RFC 1870).
    #[error("it takes {0} octets at most")]
    Size(u64),
    /// SMTPUTF8 (RFC 6531).
    #[error("SMTPUTF8 is not offered")]
    SmtpUtf8,
}

/// How one recipient fared.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum RecipientOutcome {
    /// 4yz on the proved session.
    Deferred(Reply),
    /// 250 to the end of data.
    HandedOver(Reply),
    /// The session ended before anything was said about it.
    NotTried,
    /// 5yz on the proved session.
    Refused(Reply),
    /// The end of data may have left, and no reply came.
    Unconfirmed,
}
