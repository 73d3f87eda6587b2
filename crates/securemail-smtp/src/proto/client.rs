//! Sans-IO client session. Each state is a type; only a proved session has `mail` for content.

use std::sync::Arc;

use securemail_core::backend::SessionOutcome;
use securemail_core::mail::ContentFree;
use securemail_core::route::{Hop, PeerAuthenticated, PeerFailure};
use securemail_core::vocab::{Address, Demands, MemoryContent, RequireTls, ReversePath};

use super::extension::Extensions;
use super::reply::WireReply;
use super::transaction::{EightBit, Mail, Transaction};

/// Connected; the greeting is awaited. Nothing that is said before TLS is ever permanent, since
/// anybody on the way can say it (RFC 3207, section 6).
#[derive(Debug)]
#[must_use]
pub struct Connected(());

/// Greeted; send EHLO.
#[derive(Debug)]
#[must_use]
pub struct Greeted(());

/// EHLO was answered in clear.
#[derive(Debug)]
#[must_use]
pub struct Clear(Extensions);

/// STARTTLS was answered with 220: the handshake begins.
#[derive(Debug)]
#[must_use]
pub struct Handshaking(());

/// TLS is up, and the peer is proved to be its hop; send EHLO.
#[derive(Debug)]
#[must_use]
pub struct Proved(PeerAuthenticated);

/// TLS is up, and nothing is proved; send EHLO. For content-free mail only.
#[derive(Debug)]
#[must_use]
pub struct Unproved(());

/// A proved session that can take mail.
#[derive(Debug)]
pub struct Ready {
    proof: PeerAuthenticated,
    peer: Peer,
    /// The session has carried a message before.
    rested: bool,
}

/// A proved session between two messages. What was proved for the last one opens nothing for the next.
#[derive(Debug)]
#[must_use]
pub struct Resting(Peer);

/// An unproved session. It has no way for a sender's content.
#[derive(Debug)]
pub struct NoticeReady(Peer);

/// What the peer said of itself in its last reply to EHLO.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// What it offers.
    pub extensions: Extensions,
}

impl Connected {
    /// A session begins.
    pub const fn new() -> Self {
        Self(())
    }

    /// Takes the greeting.
    ///
    /// # Errors
    /// Unless it is 220 (C-02).
    pub fn handle_greeting(self, reply: &WireReply) -> Result<Greeted, SessionOutcome> {
        match reply.code() {
            220 => Ok(Greeted(())),
            _ => Err(SessionOutcome::Unreachable(format!(
                "greeting: {}",
                reply.to_reply()
            ))),
        }
    }
}

impl Default for Connected {
    fn default() -> Self {
        Self::new()
    }
}

impl Greeted {
    /// Takes the reply to EHLO. There is no HELO: it could not lead to STARTTLS (C-03).
    ///
    /// # Errors
    /// Unless it is a well-formed 250.
    pub fn handle_ehlo(self, reply: &WireReply) -> Result<Clear, SessionOutcome> {
        match Extensions::parse(reply) {
            Some((_, extensions)) => Ok(Clear(extensions)),
            None => Err(SessionOutcome::Unreachable(format!(
                "EHLO: {}",
                reply.to_reply()
            ))),
        }
    }
}

impl Clear {
    /// Whether STARTTLS was offered. Without proof of the contrary the offer may have been cut out, so
    /// STARTTLS is sent in any case (C-04).
    #[must_use]
    pub const fn offers_starttls(&self) -> bool {
        self.0.starttls
    }

    /// Takes the reply to STARTTLS. `octets_behind` is what has come behind it.
    ///
    /// # Errors
    /// Where octets came behind it (C-07), or it is anything but 220 (C-05, C-06).
    pub fn handle_starttls(
        self,
        reply: &WireReply,
        octets_behind: usize,
    ) -> Result<Handshaking, SessionOutcome> {
        match (reply.code(), octets_behind) {
            (220, 0) => Ok(Handshaking(())),
            (220, _) => Err(SessionOutcome::Injected),
            _ => Err(SessionOutcome::NoStartTls(Some(reply.to_reply()))),
        }
    }

    /// For content-free mail: the session in clear, which its caller must have been allowed.
    #[must_use]
    pub fn without_tls(self, name: String) -> NoticeReady {
        NoticeReady(Peer {
            name,
            extensions: self.0,
        })
    }
}

impl Handshaking {
    /// The connection begins with the handshake (RFC 8314, section 3.3); the greeting comes inside.
    pub const fn at_once() -> Self {
        Self(())
    }

    /// TLS is up and the peer is proved. The proof is taken by value, so that it cannot open another
    /// session, and must be for this hop and the certificate of this handshake.
    ///
    /// # Errors
    /// Where it is not.
    pub fn prove(
        self,
        proof: PeerAuthenticated,
        hop: &Hop,
        leaf: &[u8],
    ) -> Result<Proved, SessionOutcome> {
        check_proof(&proof, hop, leaf)?;
        Ok(Proved(proof))
    }

    /// TLS is up, for content-free mail.
    pub fn unproved(self) -> Unproved {
        Unproved(())
    }
}

impl Proved {
    /// Takes the greeting, where TLS came before it.
    ///
    /// # Errors
    /// Unless it is 220 (C-02).
    pub fn handle_greeting(self, reply: &WireReply) -> Result<Self, SessionOutcome> {
        Connected::new().handle_greeting(reply).map(|_| self)
    }

    /// Takes the reply to EHLO inside TLS. What was learnt before TLS counts no more (C-11).
    ///
    /// # Errors
    /// Unless it is a well-formed 250.
    pub fn handle_ehlo(self, reply: &WireReply) -> Result<Ready, SessionOutcome> {
        handle_inner_ehlo(reply).map(|peer| Ready {
            proof: self.0,
            peer,
            rested: false,
        })
    }
}

impl Unproved {
    /// As [`Proved::handle_ehlo`].
    ///
    /// # Errors
    /// Unless it is a well-formed 250.
    pub fn handle_ehlo(self, reply: &WireReply) -> Result<NoticeReady, SessionOutcome> {
        handle_inner_ehlo(reply).map(NoticeReady)
    }
}

impl Ready {
    /// What the peer said of itself inside TLS.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// From here on content goes by DATA, though the peer offers CHUNKING.
    pub const fn forgo_chunking(&mut self) {
        self.peer.extensions.chunking = false;
    }

    /// What was proved.
    pub const fn proof(&self) -> &PeerAuthenticated {
        &self.proof
    }

    /// Begins a transaction; with RSET, where the session has carried another one.
    ///
    /// # Errors
    /// Where the peer has said that it cannot take such a message (RFC 1870, RFC 6152).
    pub fn mail(&self, mail: Mail<'_>) -> Result<Transaction, SessionOutcome> {
        let transaction = Transaction::new(&self.peer.extensions, mail)?;
        if self.rested {
            return Ok(transaction.after_reset());
        }
        Ok(transaction)
    }

    /// The message is through, and the session waits for another. The proof ends here.
    pub fn rest(self) -> Resting {
        Resting(self.peer)
    }
}

impl Resting {
    /// The peer is proved once more, to be the hop of the next message, by the certificate that the
    /// handshake showed. What it said of itself inside TLS still counts.
    ///
    /// # Errors
    /// Where the proof is of another session.
    pub fn prove(
        self,
        proof: PeerAuthenticated,
        hop: &Hop,
        leaf: &[u8],
    ) -> Result<Ready, SessionOutcome> {
        check_proof(&proof, hop, leaf)?;
        Ok(Ready {
            proof,
            peer: self.0,
            rested: true,
        })
    }
}

impl NoticeReady {
    /// What the peer said of itself.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        &self.0
    }

    /// Begins a transaction for content-free mail.
    ///
    /// # Errors
    /// Where the peer has said that it cannot take such a message.
    pub fn mail(
        &self,
        reverse_path: &ReversePath,
        recipient: &Address,
        mail: &ContentFree,
    ) -> Result<Transaction, SessionOutcome> {
        let octets = mail.octets().clone();
        let eight_bit = if octets.is_ascii() {
            EightBit::Absent
        } else {
            EightBit::Possible
        };
        let mail = Mail {
            reverse_path,
            recipients: std::slice::from_ref(recipient),
            demands: Demands {
                // Our own mail is in seven bits, but for an address in its header.
                smtp_utf8: eight_bit == EightBit::Possible,
                require_tls: RequireTls::No,
            },
            content: Arc::new(MemoryContent::new(octets)),
            eight_bit,
            // It is small, and a second copy of it harms nobody.
            first: None,
        };
        Transaction::new(&self.0.extensions, mail)
    }
}

fn check_proof(proof: &PeerAuthenticated, hop: &Hop, leaf: &[u8]) -> Result<(), SessionOutcome> {
    if proof.is_for(hop, leaf) {
        return Ok(());
    }
    Err(SessionOutcome::NotAuthenticated(PeerFailure::Certificate(
        "the proof is of another session".to_owned(),
    )))
}

fn handle_inner_ehlo(reply: &WireReply) -> Result<Peer, SessionOutcome> {
    match (Extensions::parse(reply), reply.code()) {
        (Some((name, extensions)), _) => Ok(Peer { name, extensions }),
        (None, 400..) => Err(SessionOutcome::Unreachable(format!(
            "EHLO in TLS: {}",
            reply.to_reply()
        ))),
        // A second greeting: the session was begun by somebody else (ALPACA).
        (None, _) => Err(SessionOutcome::Injected),
    }
}
