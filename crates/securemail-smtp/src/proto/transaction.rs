//! One mail transaction of a client session: what is sent together, and what the replies mean.

use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use securemail_core::backend::{Lack, RecipientOutcome, SessionOutcome};
use securemail_core::vocab::{Address, Content, Demands, Reply, RequireTls, ReversePath};

use super::command::{Chunk, Command, Parameter};
use super::extension::Extensions;
use super::reply::WireReply;

/// One message for one session.
pub struct Mail<'a> {
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// RCPT TO.
    pub recipients: &'a [Address],
    /// What the peer must offer.
    pub demands: Demands,
    /// The message, without what DATA or BDAT adds.
    pub content: Arc<dyn Content>,
    /// Whether it has octets above 127.
    pub eight_bit: EightBit,
    /// The first octet of the content, where it may go in chunks.
    pub first: Option<u8>,
}

/// Whether content has octets above 127.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EightBit {
    /// It has none.
    Absent,
    /// It has, or it was not looked for.
    Possible,
}

/// One mail transaction: which commands to send together, and what the replies mean.
pub struct Transaction {
    commands: Vec<Command>,
    content: Arc<dyn Content>,
    pipelining: bool,
    spelling: Spelling,
    /// The peer announced CHUNKING and does not know a chunk with octets.
    failed_by_chunks: bool,
    /// How many commands were sent, and how many answered.
    sent: usize,
    answered: usize,
    recipients: Vec<Recipient>,
    /// How many commands come before the first RCPT.
    before_recipients: usize,
    /// The peer said yes to MAIL.
    taken: bool,
    /// It said 421 before the end of data: it closes, whatever the message is.
    closing: bool,
    phase: Phase,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Commands are sent and answered.
    Commands,
    /// The peer waits for the content: it said 354 to DATA, or 250 to the first chunk.
    Content,
    /// The end of data may have left.
    Dot,
    /// Nothing more is to be done; the session can go on.
    Ended,
    /// The session must be closed without a further octet.
    Broken,
}

/// How content is spelled, and its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spelling {
    /// Behind BDAT, as it is, until `BDAT 0 LAST` (RFC 3030). The first octet goes ahead.
    Chunks {
        /// It.
        first: u8,
    },
    /// Behind DATA, dots doubled, until the final dot (RFC 5321, section 4.5.2).
    Lines,
}

#[derive(Clone, Debug)]
enum Recipient {
    Waiting,
    Accepted,
    Settled(RecipientOutcome),
}

impl Transaction {
    pub(super) fn new(extensions: &Extensions, mail: Mail<'_>) -> Result<Self, SessionOutcome> {
        let parameters = parameters(extensions, &mail)?;
        let mut commands = vec![Command::Mail {
            reverse_path: mail.reverse_path.clone(),
            parameters,
        }];
        commands.extend(mail.recipients.iter().map(|recipient| Command::Rcpt {
            recipient: recipient.clone(),
            parameters: Vec::new(),
        }));
        let spelling = match mail.first.filter(|_| extensions.chunking) {
            Some(first) => Spelling::Chunks { first },
            None => Spelling::Lines,
        };
        commands.push(spelling.opening());
        Ok(Self {
            commands,
            content: mail.content,
            pipelining: extensions.pipelining,
            spelling,
            failed_by_chunks: false,
            sent: 0,
            answered: 0,
            recipients: vec![Recipient::Waiting; mail.recipients.len()],
            before_recipients: 1,
            taken: false,
            closing: false,
            phase: Phase::Commands,
        })
    }

    /// The same, with RSET before it: whatever the peer thinks of the last message ends there.
    pub(super) fn after_reset(mut self) -> Self {
        self.commands.insert(0, Command::Rset);
        self.before_recipients = self.before_recipients.saturating_add(1);
        self
    }

    /// Whether the reply to RSET comes next, which no peer needs time for.
    #[must_use]
    pub fn awaits_reset(&self) -> bool {
        self.answered == 0 && matches!(self.commands.first(), Some(Command::Rset))
    }

    /// Whether what the peer said is about the message. Before its yes to MAIL, or out of order, it may
    /// be about the session: how long that lives, or how many messages it takes.
    #[must_use]
    pub fn is_about_message(&self) -> bool {
        match self.phase {
            Phase::Dot => true,
            Phase::Ended | Phase::Broken => self.taken && !self.closing && self.all_settled(),
            Phase::Commands | Phase::Content => false,
        }
    }

    /// Where it stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// What to send.
    #[must_use]
    pub fn content(&self) -> &Arc<dyn Content> {
        &self.content
    }

    /// How to send it.
    #[must_use]
    pub const fn spelling(&self) -> Spelling {
        self.spelling
    }

    /// How many chunks may be without a reply, with PIPELINING (RFC 3030, section 2) and without.
    #[must_use]
    pub const fn chunks_ahead(&self) -> usize {
        match self.pipelining {
            true => CHUNKS_AHEAD_MAX,
            false => 1,
        }
    }

    /// Whether the peer announced CHUNKING, and then did not know what a chunk is. It took nothing; but
    /// whether it passed the octets over (RFC 3030, section 2) or waits for the end of a command, nobody
    /// knows: the message needs another session, and DATA.
    #[must_use]
    pub const fn failed_by_chunks(&self) -> bool {
        self.failed_by_chunks
    }

    /// Appends the next commands, to be sent in one write; tells how many replies they will have.
    /// With PIPELINING they are many; DATA is always the last (RFC 2920, section 3.1), or the first chunk
    /// in its place.
    pub fn next_group(&mut self, out: &mut BytesMut) -> usize {
        let size = if self.pipelining { GROUP_MAX } else { 1 };
        let group: Vec<_> = self.commands.iter().skip(self.sent).take(size).collect();
        for command in &group {
            out.put_slice(format!("{command}\r\n").as_bytes());
            if let (Command::Bdat(_), Spelling::Chunks { first }) = (command, self.spelling) {
                out.put_u8(first);
            }
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
            self.closing = true;
            self.settle_rest(&reply);
            self.phase = Phase::Broken;
            return;
        }
        match self.commands.get(index) {
            Some(Command::Rset) if reply.code() == 250 => {}
            Some(Command::Rset) => self.phase = Phase::Broken,
            Some(Command::Mail { .. }) => self.handle_mail(&reply),
            Some(Command::Rcpt { .. }) => {
                self.handle_rcpt(index.saturating_sub(self.before_recipients), &reply);
            }
            Some(Command::Bdat(_)) if is_syntax(&reply) && self.any_accepted() => {
                self.failed_by_chunks = true;
                self.phase = Phase::Broken;
            }
            Some(_) => self.handle_opening(&reply),
            None => self.phase = Phase::Broken,
        }
    }

    /// Takes the reply to a chunk that is not the last. One refusal and the message failed; no chunk
    /// goes out behind it, and nothing was taken (RFC 3030, section 2).
    pub fn handle_chunk(&mut self, reply: &WireReply) {
        let reply = reply.to_reply();
        if reply.code() == 250 || self.phase != Phase::Content {
            return;
        }
        if reply.code() == 421 {
            self.closing = true;
            self.settle_rest(&reply);
        } else if is_syntax(&reply) {
            self.failed_by_chunks = true;
        } else if refusal(&reply).is_some() {
            self.settle_rest(&reply);
            self.phase = Phase::Ended;
            return;
        }
        self.phase = Phase::Broken;
    }

    /// The end of data is about to leave: from here on silence means that nobody knows.
    pub fn dot_leaves(&mut self) {
        for recipient in &mut self.recipients {
            if matches!(recipient, Recipient::Accepted) {
                *recipient = Recipient::Settled(RecipientOutcome::Unconfirmed);
            }
        }
        self.phase = Phase::Dot;
    }

    /// Takes the reply to the end of data. Only 250 is a hand-over; what is neither that nor 4yz nor 5yz
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
            self.taken = true;
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
        if self.all_settled() && self.phase == Phase::Commands {
            self.phase = Phase::Ended;
        }
    }

    fn handle_opening(&mut self, reply: &Reply) {
        let go_ahead = match self.spelling {
            Spelling::Chunks { .. } => 250,
            Spelling::Lines => 354,
        };
        self.phase = match (reply.code() == go_ahead, self.any_accepted()) {
            (true, true) => Phase::Content,
            // The lone dot of RFC 2920, section 3.1, would be a final dot without leave: close.
            (true, false) => Phase::Broken,
            _ if refusal(reply).is_none() => Phase::Broken,
            _ => {
                self.settle_rest(reply);
                Phase::Ended
            }
        };
    }

    fn any_accepted(&self) -> bool {
        let accepted = |one: &Recipient| matches!(one, Recipient::Accepted);
        self.recipients.iter().any(accepted)
    }

    fn all_settled(&self) -> bool {
        let settled = |one: &Recipient| matches!(one, Recipient::Settled(_));
        self.recipients.iter().all(settled)
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

impl Spelling {
    /// What opens the content. A chunk of one octet takes the place of DATA and costs no round trip: who
    /// does not know BDAT says so before it has a line that it could take for a command. A chunk without
    /// octets would do as well, but Postfix refuses it (551, "Null BDAT request").
    const fn opening(self) -> Command {
        match self {
            Self::Chunks { .. } => Command::Bdat(Chunk {
                size: 1,
                is_last: false,
            }),
            Self::Lines => Command::Data,
        }
    }
}

/// The parameters of MAIL, where the peer can take such a message.
fn parameters(extensions: &Extensions, mail: &Mail<'_>) -> Result<Vec<Parameter>, SessionOutcome> {
    let size = mail.content.size();
    let lacks = |lack| Err(SessionOutcome::Incapable(lack));
    // RFC 8689, section 4.2.1, step 6, comes first: who may not have it need not be asked more.
    if mail.demands.require_tls == RequireTls::Always && !extensions.require_tls {
        return lacks(Lack::RequireTls);
    }
    if let Some(most) = extensions.size.filter(|&most| most > 0 && most < size) {
        return lacks(Lack::Size(most));
    }
    if mail.needs_utf8() && !extensions.takes_utf8() {
        return lacks(Lack::SmtpUtf8);
    }
    if mail.eight_bit == EightBit::Possible && !extensions.eight_bit_mime {
        return lacks(Lack::EightBitMime);
    }
    let mut parameters = Vec::new();
    if extensions.size.is_some() {
        parameters.push(Parameter::new("SIZE", Some(size.to_string())));
    }
    if extensions.eight_bit_mime && mail.eight_bit == EightBit::Possible {
        parameters.push(Parameter::new("BODY", Some("8BITMIME".to_owned())));
    }
    if mail.needs_utf8() {
        parameters.push(Parameter::new("SMTPUTF8", None));
    }
    if mail.demands.require_tls != RequireTls::No && extensions.require_tls {
        parameters.push(Parameter::new("REQUIRETLS", None));
    }
    Ok(parameters)
}

impl Mail<'_> {
    /// No address in letters outside ASCII leaves without SMTPUTF8, whatever the caller found out.
    fn needs_utf8(&self) -> bool {
        self.demands.smtp_utf8
            || self.reverse_path.needs_utf8()
            || self.recipients.iter().any(Address::needs_utf8)
    }
}

/// The command is not known, or not so, or not now (RFC 5321, section 4.2.1: the second digit is 0). That is
/// about the command, and not about the message.
fn is_syntax(reply: &Reply) -> bool {
    (500..=509).contains(&reply.code())
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
/// Chunks without a reply: enough to keep a distant peer busy, and no more is sent in vain than these.
const CHUNKS_AHEAD_MAX: usize = 4;
