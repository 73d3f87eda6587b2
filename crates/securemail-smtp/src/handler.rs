//! The joint to the main flow: what a server session asks, and what it hands over.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use securemail_core::vocab::{
    Account, Address, Content, Demands, Envelope, Reply, ReversePath, UnixTime,
};

/// Answers MAIL, RCPT and the end of DATA.
///
/// # Contract
/// - **H1** A 2yz from [`message`](Self::message) means what the relay promises with `250`: for every
///   recipient the message is handed over, or durable, or its DSN is durable.
/// - **H2** `message` is driven to its end even where the client hangs up or the session is ended.
/// - **H3** A reply that is neither 2yz, 4yz nor 5yz is sent as `451 4.3.0`.
/// - **H4** [`not_taken`](Self::not_taken) hears, once for each message, a reply of the session's own to its content; of such
///   a message `message` never hears.
#[async_trait]
pub trait MailHandler: fmt::Debug + Send + Sync + 'static {
    /// MAIL: whether a message may begin. The reverse-path was already found to be the account's.
    async fn sender(&self, session: &SessionFacts, transaction: &TransactionFacts) -> Reply;

    /// RCPT: whether this recipient can be taken at all. `transaction` holds those taken before.
    async fn recipient(
        &self,
        session: &SessionFacts,
        transaction: &TransactionFacts,
        recipient: &Address,
    ) -> Reply;

    /// End of DATA: takes responsibility, or not.
    async fn message(&self, submission: Submission) -> Reply;

    /// The session itself refused what came behind DATA or BDAT: it was too large or ill-formed, or found no room. It
    /// only tells; the session waits for it.
    fn not_taken(&self, reply: &Reply);
}

/// One message, complete.
pub struct Submission {
    /// Who hands it in.
    pub account: Account,
    /// From whom and for whom.
    pub envelope: Envelope,
    /// What MAIL asked for: SMTPUTF8, REQUIRETLS.
    pub demands: Demands,
    /// The octets between DATA and the final dot, dots unstuffed: whole lines, each ending in CRLF.
    pub content: Arc<dyn Content>,
    /// When the end of data came.
    pub received: UnixTime,
    /// The session that it came over, for the Received field.
    pub session: SessionFacts,
}

/// What is known of a session.
#[derive(Clone)]
pub struct SessionFacts {
    /// The client's address, from the socket. Personal.
    pub client: IpAddr,
    /// The name the client gave in EHLO, made printable.
    pub helo: String,
    /// The TLS session.
    pub tls: Option<TlsFacts>,
}

/// What is known of a TLS session, in the words of RFC 8314, section 4.3.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFacts {
    /// `TLSv1.3`.
    pub version: String,
    /// `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// `X25519MLKEM768`; empty where there was none.
    pub group: String,
}

/// What is known of a mail transaction before its content.
#[derive(Clone)]
pub struct TransactionFacts {
    /// Who hands the message in.
    pub account: Account,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, those taken so far.
    pub recipients: Vec<Address>,
    /// SIZE of MAIL (RFC 1870), if it was given. A claim, not a fact.
    pub declared_size: Option<u64>,
    /// What MAIL asked for: SMTPUTF8, REQUIRETLS.
    pub demands: Demands,
}

impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission")
            .field("tenant", &self.account.tenant)
            .field("recipients", &self.envelope.recipients.len())
            .field("size", &self.content.size())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionFacts")
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TransactionFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionFacts")
            .field("tenant", &self.account.tenant)
            .field("recipients", &self.recipients.len())
            .finish_non_exhaustive()
    }
}
