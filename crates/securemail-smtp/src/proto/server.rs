//! Sans-IO server session (RFC 5321, section 4.1.4; RFC 3207; RFC 4954; RFC 6409).

use securemail_core::limits;
use securemail_core::vocab::{Account, Address, DnsName, Reply, ReversePath};

use super::answers::{answer, check_reverse_path, close, refuse_command, sane, say};
use super::command::{Chunk, Command, CommandError, Parameter};
use super::extension::Extensions;
use super::parameters::{MailParameters, Offered};
use super::reply::WireReply;
use super::sasl::{Credentials, Exchange, MECHANISMS, SaslFault, SaslStep};
use crate::handler::TransactionFacts;

/// What a session promises and allows.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Our name.
    pub hostname: DnsName,
    /// Octets of one message.
    pub message_bytes: u64,
    /// Recipients of one message.
    pub recipients: usize,
}

/// The state of one session.
#[derive(Debug)]
pub struct ServerSession {
    options: SessionOptions,
    secured: bool,
    hello: Option<Hello>,
    login: Login,
    exchange: Option<Exchange>,
    transaction: Option<Transaction>,
    failed_logins: u32,
    errors: u32,
    idle_commands: u32,
}

/// What the driver does next.
#[derive(Debug)]
pub enum Step {
    /// Send it and go on.
    Answer(WireReply),
    /// Ask the handler, then call [`ServerSession::recipient_answered`].
    AskRecipient(Address),
    /// Ask the handler, then call [`ServerSession::sender_answered`].
    AskSender(TransactionFacts),
    /// Check them, then call [`ServerSession::credentials_checked`].
    CheckCredentials(Credentials),
    /// Send it and close the connection. Whatever the client sent behind is never looked at.
    Close(WireReply),
    /// Read the octets of this chunk; then call [`ServerSession::chunk_answered`], or, behind the last
    /// one, hand the message over and call [`ServerSession::message_answered`].
    ReadChunk(Chunk),
    /// Send it and read the content; hand it over, then call [`ServerSession::message_answered`].
    ReadContent(WireReply),
    /// Read the octets of this chunk, keep nothing, then send the refusal. Where they are too many to be
    /// read, send it and close.
    SkipChunk(Chunk, WireReply),
    /// Send it and begin TLS; then call [`ServerSession::secured`].
    StartTls(WireReply),
}

/// How a check of credentials ended.
#[derive(Debug)]
pub enum LoginOutcome {
    /// They are wrong; which part is not said to anybody.
    Denied,
    /// They are right.
    Granted(Box<Account>),
    /// Too many failures came from this address.
    Throttled,
    /// The directory cannot be asked now.
    Unavailable,
}

/// Who the client has shown to be.
#[derive(Debug)]
pub enum Login {
    /// Nobody yet.
    Anonymous,
    /// By its TLS certificate. AUTH may still name another account.
    Certificate(Box<Account>),
    /// Nobody asks: all mail of this listener is handed in as this account, by whatever server
    /// delivers it, in clear too, and with any reverse-path. The handler knows its own recipients.
    Listener(Box<Account>),
    /// By AUTH; there is no second one (RFC 4954, section 4).
    Password(Box<Account>),
    /// By a certificate that the directory could not be asked about.
    Unknown,
}

#[derive(Debug)]
struct Hello {
    name: String,
    extended: bool,
}

#[derive(Debug)]
struct Transaction {
    facts: TransactionFacts,
    recipients_tried: usize,
    chunks: u32,
}

impl ServerSession {
    /// A session that begins in clear, or behind the handshake of implicit TLS once
    /// [`secured`](Self::secured) is called; `login` is `Anonymous` or that of the listener.
    #[must_use]
    pub const fn new(options: SessionOptions, login: Login) -> Self {
        Self {
            options,
            secured: false,
            hello: None,
            login,
            exchange: None,
            transaction: None,
            failed_logins: 0,
            errors: 0,
            idle_commands: 0,
        }
    }

    /// The greeting.
    #[must_use]
    pub fn greeting(&self) -> WireReply {
        WireReply::new(220, vec![format!("{} ESMTP", self.options.hostname)])
    }

    /// TLS is up. Everything learnt before is forgotten (RFC 3207, section 4.2).
    pub fn secured(&mut self, login: Login) {
        self.secured = true;
        self.hello = None;
        self.exchange = None;
        self.transaction = None;
        if !self.is_open() {
            self.login = login;
        }
    }

    /// Whether mail is taken from anybody.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.login, Login::Listener(_))
    }

    /// Whether the client has shown to be somebody, by a login or a certificate.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        matches!(self.login, Login::Certificate(_) | Login::Password(_))
    }

    /// The most octets that the next line may have.
    #[must_use]
    pub const fn line_max(&self) -> usize {
        if self.secured {
            limits::AUTH_LINE_MAX
        } else {
            limits::COMMAND_LINE_MAX
        }
    }

    /// The name of the last EHLO or HELO; empty before.
    #[must_use]
    pub fn hello(&self) -> &str {
        self.hello.as_ref().map_or("", |hello| &hello.name)
    }

    /// The transaction, once MAIL was accepted.
    #[must_use]
    pub fn transaction(&self) -> Option<&TransactionFacts> {
        self.transaction
            .as_ref()
            .map(|transaction| &transaction.facts)
    }

    /// Takes one line without its CRLF. `more_follows` says that octets behind it have come already.
    pub fn handle_line(&mut self, line: &[u8], more_follows: bool) -> Step {
        if let Some(exchange) = self.exchange.take() {
            if more_follows {
                return close(554, (5, 5, 0), "send nothing behind an AUTH response");
            }
            return self.continue_login(exchange.respond(line));
        }
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(error @ CommandError::Chunk) => return Step::Close(refuse_command(error, line)),
            Err(error) => return self.error(refuse_command(error, line)),
        };
        if line.len().saturating_add(2) > limits::COMMAND_LINE_MAX
            && !matches!(command, Command::Auth { .. })
        {
            return close(500, (5, 5, 2), "the line is too long");
        }
        if more_follows && !matches!(command, Command::Quit) && !self.may_pipeline(&command) {
            return close(554, (5, 5, 0), "improper use of pipelining");
        }
        if self.lacks_utf8(&command, line) {
            return self.error(refuse_command(CommandError::NeedsUtf8, line));
        }
        self.obey(command)
    }

    /// The handler answered MAIL.
    pub fn sender_answered(&mut self, facts: TransactionFacts, reply: &Reply) -> Step {
        if reply.is_positive() {
            self.transaction = Some(Transaction {
                facts,
                recipients_tried: 0,
                chunks: 0,
            });
        }
        Step::Answer(WireReply::from(&sane(reply)))
    }

    /// The handler answered RCPT.
    pub fn recipient_answered(&mut self, recipient: Address, reply: &Reply) -> Step {
        if let Some(transaction) = self.transaction.as_mut().filter(|_| reply.is_positive()) {
            transaction.facts.recipients.push(recipient);
        }
        Step::Answer(WireReply::from(&sane(reply)))
    }

    /// Whether a part of a message has come by BDAT, and more of it may.
    #[must_use]
    pub fn is_in_chunks(&self) -> bool {
        self.chunks() > 0
    }

    /// The reading of a chunk that is not the last ended so. After a refusal the transaction is over:
    /// what still comes of the message is skipped (RFC 3030, section 2).
    pub fn chunk_answered(&mut self, reply: &Reply) -> Step {
        if !reply.is_positive() {
            self.transaction = None;
        }
        Step::Answer(WireReply::from(&sane(reply)))
    }

    /// The handler, or the reading of the content, answered the end of the message. Whatever the reply,
    /// the transaction is over.
    pub fn message_answered(&mut self, reply: &Reply) -> Step {
        self.transaction = None;
        if reply.is_positive() {
            self.idle_commands = 0;
        }
        Step::Answer(WireReply::from(&sane(reply)))
    }

    /// The check of credentials ended.
    pub fn credentials_checked(&mut self, outcome: LoginOutcome) -> Step {
        match outcome {
            LoginOutcome::Granted(account) => {
                self.login = Login::Password(account);
                answer(235, (2, 7, 0), "authenticated")
            }
            LoginOutcome::Throttled => close(
                421,
                (4, 7, 0),
                "too many failed logins from your address; wait and try again",
            ),
            LoginOutcome::Unavailable => answer(
                454,
                (4, 7, 0),
                "logins cannot be checked now; try again later",
            ),
            LoginOutcome::Denied => {
                self.failed_logins = self.failed_logins.saturating_add(1);
                if self.failed_logins >= FAILED_LOGINS_MAX {
                    return close(421, (4, 7, 0), "too many failed logins");
                }
                answer(535, (5, 7, 8), "user name or password is wrong")
            }
        }
    }

    /// RFC 2920, section 3.1: what may have octets behind it. STARTTLS never may: what came in clear
    /// must not be read as if it had come over TLS (CVE-2011-0411).
    fn may_pipeline(&self, command: &Command) -> bool {
        !command.ends_group() && self.hello.as_ref().is_some_and(|hello| hello.extended)
    }

    /// In TLS alone (RFC 8689, section 4.1), and not to those whose mail goes no further.
    const fn offers_require_tls(&self) -> bool {
        self.secured && !self.is_open()
    }

    /// RFC 6531, section 3.4: what MAIL said counts for the whole transaction.
    fn lacks_utf8(&self, command: &Command, line: &[u8]) -> bool {
        let said = |transaction: &Transaction| transaction.facts.demands.smtp_utf8;
        matches!(command, Command::Rcpt { .. })
            && !line.is_ascii()
            && !self.transaction.as_ref().is_some_and(said)
    }

    const fn is_logged_in_for_good(&self) -> bool {
        matches!(self.login, Login::Listener(_) | Login::Password(_))
    }

    fn obey(&mut self, command: Command) -> Step {
        match command {
            Command::Ehlo(name) => self.idle(|session| session.ehlo(name)),
            Command::Helo(name) => self.idle(|session| session.helo(name)),
            Command::Noop => self.idle(|_| answer(250, (2, 0, 0), "ok")),
            Command::Quit => close(221, (2, 0, 0), "bye"),
            Command::Rset => self.idle(|session| {
                session.transaction = None;
                answer(250, (2, 0, 0), "ok")
            }),
            Command::StartTls => self.starttls(),
            Command::Bdat(chunk) => self.bdat(chunk),
            _ if !(self.secured || self.is_open()) => {
                self.error(say(530, (5, 7, 0), "issue STARTTLS first"))
            }
            _ if self.hello.is_none() => self.error(say(503, (5, 5, 1), "send EHLO first")),
            Command::Auth { mechanism, initial } => {
                self.auth(&mechanism, initial.as_ref().map(|line| line.0.as_str()))
            }
            Command::Mail {
                reverse_path,
                parameters,
            } => self.idle(|session| session.mail(reverse_path, &parameters)),
            Command::Rcpt {
                recipient,
                parameters,
            } => self.rcpt(recipient, &parameters),
            Command::Data => self.data(),
            Command::Vrfy => self.idle(|_| answer(252, (2, 5, 0), "send mail to find out")),
        }
    }

    fn ehlo(&mut self, name: String) -> Step {
        self.transaction = None;
        self.hello = Some(Hello {
            name,
            extended: true,
        });
        let may_log_in = self.secured && !self.is_logged_in_for_good();
        let extensions = Extensions {
            eight_bit_mime: true,
            chunking: true,
            enhanced_status_codes: true,
            pipelining: true,
            size: Some(self.options.message_bytes),
            smtp_utf8: true,
            require_tls: self.offers_require_tls(),
            starttls: !self.secured,
            auth: MECHANISMS
                .iter()
                .filter(|_| may_log_in)
                .map(|&name| name.to_owned())
                .collect(),
        };
        Step::Answer(extensions.to_reply(self.options.hostname.as_str()))
    }

    fn helo(&mut self, name: String) -> Step {
        self.transaction = None;
        self.hello = Some(Hello {
            name,
            extended: false,
        });
        Step::Answer(WireReply::new(250, vec![self.options.hostname.to_string()]))
    }

    fn starttls(&mut self) -> Step {
        if self.secured || self.hello.is_none() {
            return self.error(say(
                503,
                (5, 5, 1),
                "STARTTLS is for after EHLO, and only once",
            ));
        }
        Step::StartTls(say(220, (2, 0, 0), "ready to start TLS"))
    }

    fn auth(&mut self, mechanism: &str, initial: Option<&str>) -> Step {
        if self.transaction.is_some() || self.is_logged_in_for_good() {
            return self.error(say(
                503,
                (5, 5, 1),
                "AUTH is for before MAIL, and only once",
            ));
        }
        self.continue_login(Exchange::begin(mechanism, initial))
    }

    fn continue_login(&mut self, step: Result<SaslStep, SaslFault>) -> Step {
        match step {
            Ok(SaslStep::Challenge(exchange, challenge)) => {
                self.exchange = Some(exchange);
                Step::Answer(WireReply::new(334, vec![challenge.to_owned()]))
            }
            Ok(SaslStep::Check(credentials)) => Step::CheckCredentials(credentials),
            Err(SaslFault::Cancelled) => self.error(say(501, (5, 7, 0), "cancelled")),
            Err(SaslFault::Form) => self.error(say(
                501,
                (5, 5, 2),
                "the response has not the form of the mechanism",
            )),
            Err(SaslFault::Mechanism) => self.error(say(504, (5, 5, 4), "use AUTH PLAIN or LOGIN")),
        }
    }

    fn mail(&mut self, reverse_path: ReversePath, parameters: &[Parameter]) -> Step {
        let account = match &self.login {
            Login::Certificate(account) | Login::Listener(account) | Login::Password(account) => {
                account.as_ref()
            }
            Login::Unknown => {
                return answer(
                    451,
                    (4, 3, 0),
                    "your certificate cannot be looked up now; try later",
                );
            }
            Login::Anonymous => return self.error(say(530, (5, 7, 0), "authentication required")),
        };
        if self.transaction.is_some() {
            return self.error(say(
                503,
                (5, 5, 1),
                "a transaction is open; end it or send RSET",
            ));
        }
        let offered = Offered {
            message_bytes: self.options.message_bytes,
            require_tls: self.offers_require_tls(),
        };
        let parameters = match MailParameters::read(parameters, &reverse_path, offered) {
            Ok(parameters) => parameters,
            Err(reply) => return Step::Answer(reply),
        };
        if !self.is_open()
            && let Err(reply) = check_reverse_path(account, &reverse_path)
        {
            return Step::Answer(reply);
        }
        let account = account.clone();
        Step::AskSender(TransactionFacts {
            account,
            reverse_path,
            recipients: Vec::new(),
            declared_size: parameters.declared_size,
            demands: parameters.demands,
        })
    }

    fn rcpt(&mut self, recipient: Address, parameters: &[Parameter]) -> Step {
        if self.is_in_chunks() {
            return self.error(say(
                503,
                (5, 5, 1),
                "the message has begun; end it or send RSET",
            ));
        }
        let Some(transaction) = self.transaction.as_mut() else {
            return self.error(say(503, (5, 5, 1), "send MAIL first"));
        };
        if !parameters.is_empty() {
            return answer(555, (5, 5, 4), "RCPT takes no parameters here");
        }
        // Refused ones count: a client must not try names without end in one transaction.
        if transaction.recipients_tried >= self.options.recipients {
            return answer(
                452,
                (4, 5, 3),
                "too many recipients; send the rest as another message",
            );
        }
        transaction.recipients_tried = transaction.recipients_tried.saturating_add(1);
        if transaction.facts.recipients.contains(&recipient) {
            return answer(250, (2, 1, 5), "ok, already there");
        }
        Step::AskRecipient(recipient)
    }

    /// A chunk that is refused is read all the same, or the session ends: its octets must never be read
    /// as commands (A33).
    fn bdat(&mut self, chunk: Chunk) -> Step {
        let is_offered = self.hello.as_ref().is_some_and(|hello| hello.extended);
        if !is_offered || !(self.secured || self.is_open()) {
            return close(503, (5, 5, 1), "BDAT is for after EHLO, in TLS");
        }
        let Some(transaction) = &mut self.transaction else {
            return self.skip(chunk, say(503, (5, 5, 1), "send MAIL and RCPT first"));
        };
        if transaction.facts.recipients.is_empty() {
            return self.skip(chunk, say(554, (5, 5, 1), "no valid recipients"));
        }
        transaction.chunks = transaction.chunks.saturating_add(1);
        if transaction.chunks > limits::CHUNKS_MAX {
            return close(554, (5, 5, 0), "too many chunks; send larger ones");
        }
        Step::ReadChunk(chunk)
    }

    fn skip(&mut self, chunk: Chunk, refusal: WireReply) -> Step {
        match self.error(refusal) {
            Step::Answer(refusal) => Step::SkipChunk(chunk, refusal),
            other => other,
        }
    }

    fn chunks(&self) -> u32 {
        self.transaction
            .as_ref()
            .map_or(0, |transaction| transaction.chunks)
    }

    fn data(&mut self) -> Step {
        if self.is_in_chunks() {
            // RFC 3030, section 3: the two are never mixed.
            return self.error(say(
                503,
                (5, 5, 1),
                "the message came by BDAT; go on so, or send RSET",
            ));
        }
        match &self.transaction {
            None => self.error(say(503, (5, 5, 1), "send MAIL and RCPT first")),
            Some(transaction) if transaction.facts.recipients.is_empty() => {
                self.error(say(554, (5, 5, 1), "no valid recipients"))
            }
            Some(_) => Step::ReadContent(WireReply::new(
                354,
                vec!["send the message, end with <CRLF>.<CRLF>".to_owned()],
            )),
        }
    }

    /// Commands that bring no message further are free up to a number.
    fn idle(&mut self, obey: impl FnOnce(&mut Self) -> Step) -> Step {
        self.idle_commands = self.idle_commands.saturating_add(1);
        if self.idle_commands > IDLE_COMMANDS_MAX {
            return close(421, (4, 7, 0), "too many commands without a message");
        }
        obey(self)
    }

    fn error(&mut self, reply: WireReply) -> Step {
        self.errors = self.errors.saturating_add(1);
        if self.errors > ERRORS_MAX {
            return close(421, (4, 7, 0), "too many errors");
        }
        Step::Answer(reply)
    }
}

/// Commands without a message, after which a client is shown out.
const IDLE_COMMANDS_MAX: u32 = 100;
/// Errors after which a client is shown out.
const ERRORS_MAX: u32 = 10;
/// Failed logins after which a client is shown out.
const FAILED_LOGINS_MAX: u32 = 3;
