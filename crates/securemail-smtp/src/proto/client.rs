//! Sans-IO client session. Each state is a type; only a proved session has `mail` for content.

use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use securemail_core::backend::{RecipientOutcome, SessionOutcome};
use securemail_core::mail::ContentFree;
use securemail_core::route::{Hop, PeerAuthenticated, PeerFailure};
use securemail_core::vocab::{Address, Content, MemoryContent, Reply, ReversePath};

use super::command::{Command, Parameter};
use super::extension::Extensions;
use super::reply::WireReply;

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
}

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

/// One message for one session.
pub struct Mail<'a> {
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// RCPT TO.
    pub recipients: &'a [Address],
    /// What follows DATA, before dot-stuffing.
    pub content: Arc<dyn Content>,
    /// Whether it has octets above 127.
    pub eight_bit: EightBit,
}

/// Whether content has octets above 127.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EightBit {
    /// It has none.
    Absent,
    /// It has, or it was not looked for.
    Possible,
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

    /// For content-free mail: the session in clear, only where STARTTLS is not offered.
    #[must_use]
    pub fn without_tls(self, name: String) -> Option<NoticeReady> {
        (!self.0.starttls).then_some(NoticeReady(Peer {
            name,
            extensions: self.0,
        }))
    }
}

impl Handshaking {
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
        if proof.is_for(hop, leaf) {
            return Ok(Proved(proof));
        }
        Err(SessionOutcome::NotAuthenticated(PeerFailure::Certificate(
            "the proof is of another session".to_owned(),
        )))
    }

    /// TLS is up, for content-free mail.
    pub fn unproved(self) -> Unproved {
        Unproved(())
    }
}

impl Proved {
    /// Takes the reply to EHLO inside TLS. What was learnt before TLS counts no more (C-11).
    ///
    /// # Errors
    /// Unless it is a well-formed 250.
    pub fn handle_ehlo(self, reply: &WireReply) -> Result<Ready, SessionOutcome> {
        handle_inner_ehlo(reply).map(|peer| Ready {
            proof: self.0,
            peer,
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

    /// What was proved.
    pub const fn proof(&self) -> &PeerAuthenticated {
        &self.proof
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// Where the peer has said that it cannot take such a message (RFC 1870, RFC 6152).
    pub fn mail(&self, mail: Mail<'_>) -> Result<Transaction, SessionOutcome> {
        Transaction::new(&self.peer.extensions, mail)
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
            content: Arc::new(MemoryContent::new(octets)),
            eight_bit,
        };
        Transaction::new(&self.0.extensions, mail)
    }
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

/// One mail transaction: which commands to send together, and what the replies mean.
pub struct Transaction {
    commands: Vec<Command>,
    content: Arc<dyn Content>,
    pipelining: bool,
    /// How many commands were sent, and how many answered.
    sent: usize,
    answered: usize,
    recipients: Vec<Recipient>,
    phase: Phase,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Commands are sent and answered.
    Commands,
    /// The peer said 354: send the content.
    Content,
    /// The final dot may have left.
    Dot,
    /// Nothing more is to be done; the session can go on.
    Ended,
    /// The session must be closed without a further octet.
    Broken,
}

#[derive(Clone, Debug)]
enum Recipient {
    Waiting,
    Accepted,
    Settled(RecipientOutcome),
}

impl Transaction {
    fn new(extensions: &Extensions, mail: Mail<'_>) -> Result<Self, SessionOutcome> {
        let size = mail.content.size();
        if let Some(most) = extensions.size.filter(|&most| most > 0 && most < size) {
            return Err(SessionOutcome::Incapable(format!(
                "takes {most} octets at most"
            )));
        }
        if mail.eight_bit == EightBit::Possible && !extensions.eight_bit_mime {
            return Err(SessionOutcome::Incapable(
                "8BITMIME is not offered".to_owned(),
            ));
        }
        let parameter = |keyword: &str, value: String| Parameter {
            keyword: keyword.to_owned(),
            value: Some(value),
        };
        let mut parameters = Vec::new();
        if extensions.size.is_some() {
            parameters.push(parameter("SIZE", size.to_string()));
        }
        if extensions.eight_bit_mime && mail.eight_bit == EightBit::Possible {
            parameters.push(parameter("BODY", "8BITMIME".to_owned()));
        }
        let mut commands = vec![Command::Mail {
            reverse_path: mail.reverse_path.clone(),
            parameters,
        }];
        commands.extend(mail.recipients.iter().map(|recipient| Command::Rcpt {
            recipient: recipient.clone(),
            parameters: Vec::new(),
        }));
        commands.push(Command::Data);
        Ok(Self {
            commands,
            content: mail.content,
            pipelining: extensions.pipelining,
            sent: 0,
            answered: 0,
            recipients: vec![Recipient::Waiting; mail.recipients.len()],
            phase: Phase::Commands,
        })
    }

    /// Where it stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// What to send after 354.
    #[must_use]
    pub fn content(&self) -> &Arc<dyn Content> {
        &self.content
    }

    /// Appends the next commands, to be sent in one write; tells how many replies they will have.
    /// With PIPELINING they are many; DATA is always the last (RFC 2920, section 3.1).
    pub fn next_group(&mut self, out: &mut BytesMut) -> usize {
        let size = if self.pipelining { GROUP_MAX } else { 1 };
        let group: Vec<_> = self.commands.iter().skip(self.sent).take(size).collect();
        for command in &group {
            out.put_slice(format!("{command}\r\n").as_bytes());
        }
        let count = group.len();
        self.sent = self.sent.saturating_add(count);
        count
    }

    /// Takes the reply to the oldest command without one: by count, never by text (RFC 2920,
    /// section 3.1).
    pub fn handle_reply(&mut self, reply: &WireReply) {
        if self.phase == Phase::Broken {
            return;
        }
        let index = self.answered;
        self.answered = index.saturating_add(1);
        let reply = reply.to_reply();
        if reply.code() == 421 {
            self.settle_rest(&reply);
            self.phase = Phase::Broken;
            return;
        }
        match self.commands.get(index) {
            Some(Command::Mail { .. }) => self.handle_mail(&reply),
            Some(Command::Rcpt { .. }) => self.handle_rcpt(index.saturating_sub(1), &reply),
            Some(_) => self.handle_data(&reply),
            None => self.phase = Phase::Broken,
        }
    }

    /// The final dot is about to leave: from here on silence means that nobody knows.
    pub fn dot_leaves(&mut self) {
        for recipient in &mut self.recipients {
            if matches!(recipient, Recipient::Accepted) {
                *recipient = Recipient::Settled(RecipientOutcome::Unconfirmed);
            }
        }
        self.phase = Phase::Dot;
    }

    /// Takes the reply to the final dot. Only 250 is a hand-over; what is neither that nor 4yz nor 5yz
    /// leaves it unconfirmed.
    pub fn handle_final(&mut self, reply: &WireReply) {
        let reply = reply.to_reply();
        let outcome = match reply.code() {
            250 => RecipientOutcome::HandedOver(reply),
            400..=499 => RecipientOutcome::Deferred(reply),
            500..=599 => RecipientOutcome::Refused(reply),
            _ => RecipientOutcome::Unconfirmed,
        };
        for recipient in &mut self.recipients {
            if matches!(recipient, Recipient::Settled(RecipientOutcome::Unconfirmed)) {
                *recipient = Recipient::Settled(outcome.clone());
            }
        }
        self.phase = Phase::Ended;
    }

    /// How each recipient fared, at whatever moment the session ended.
    #[must_use]
    pub fn into_outcomes(self) -> Vec<RecipientOutcome> {
        self.recipients
            .into_iter()
            .map(|recipient| match recipient {
                Recipient::Settled(outcome) => outcome,
                Recipient::Accepted | Recipient::Waiting => RecipientOutcome::NotTried,
            })
            .collect()
    }

    fn handle_mail(&mut self, reply: &Reply) {
        if reply.is_positive() {
            return;
        }
        self.settle_rest(reply);
        self.phase = if refusal(reply).is_some() {
            Phase::Ended
        } else {
            Phase::Broken
        };
    }

    fn handle_rcpt(&mut self, index: usize, reply: &Reply) {
        let Some(recipient) = self.recipients.get_mut(index) else {
            return;
        };
        // Where MAIL was refused, these replies say nothing new.
        if matches!(recipient, Recipient::Waiting) {
            *recipient = match refusal(reply) {
                Some(outcome) => Recipient::Settled(outcome),
                None if reply.is_positive() => Recipient::Accepted,
                None => {
                    self.phase = Phase::Broken;
                    return;
                }
            };
        }
        let all_settled = self
            .recipients
            .iter()
            .all(|r| matches!(r, Recipient::Settled(_)));
        if all_settled && self.phase == Phase::Commands {
            self.phase = Phase::Ended;
        }
    }

    fn handle_data(&mut self, reply: &Reply) {
        let anybody = self
            .recipients
            .iter()
            .any(|r| matches!(r, Recipient::Accepted));
        self.phase = match (reply.code(), anybody) {
            (354, true) => Phase::Content,
            // The lone dot of RFC 2920, section 3.1, would be a final dot without leave: close.
            (354, false) => Phase::Broken,
            _ if refusal(reply).is_none() => Phase::Broken,
            _ => {
                self.settle_rest(reply);
                Phase::Ended
            }
        };
    }

    fn settle_rest(&mut self, reply: &Reply) {
        let Some(outcome) = refusal(reply) else {
            return;
        };
        for recipient in &mut self.recipients {
            if !matches!(recipient, Recipient::Settled(_)) {
                *recipient = Recipient::Settled(outcome.clone());
            }
        }
    }
}

fn refusal(reply: &Reply) -> Option<RecipientOutcome> {
    if reply.is_transient() {
        return Some(RecipientOutcome::Deferred(reply.clone()));
    }
    reply
        .is_permanent()
        .then(|| RecipientOutcome::Refused(reply.clone()))
}

impl fmt::Debug for Mail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mail({} recipients)", self.recipients.len())
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("phase", &self.phase)
            .field("recipients", &self.recipients.len())
            .finish_non_exhaustive()
    }
}

/// Commands of one group. Their replies fit into any socket buffer, so that writing them before the
/// first reply is read cannot lock both ends.
const GROUP_MAX: usize = 100;
