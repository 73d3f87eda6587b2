//! One connection of the server: reads lines for the session and does what it says.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use securemail_core::vocab::{Address, Content, EnhancedStatus, Envelope, Reply};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::receive::{Incoming, Received, Taken, bad_line, receive, skip};
use super::server::{Access, Alive, Shared, TlsMode, wait_for};
use super::tls::facts;
use super::wire::{COMMAND_ROOM, Io, Wire, WireError};
use crate::handler::{SessionFacts, Submission, TlsFacts};
use crate::proto::answers::say;
use crate::proto::command::Chunk;
use crate::proto::line::find_control;
use crate::proto::reply::WireReply;
use crate::proto::sasl::Credentials;
use crate::proto::server::{Login, ServerSession, SessionOptions, Step};

/// Serves one connection to its end.
pub(crate) async fn run(
    shared: Arc<Shared>,
    (stream, client): (TcpStream, IpAddr),
    (mode, access): (TlsMode, Access),
    (shutdown, alive): (watch::Receiver<bool>, Alive),
) {
    if let Err(error) = stream.set_nodelay(true) {
        return tracing::debug!(kind = ?error.kind(), "the connection was gone at once");
    }
    let options = SessionOptions {
        hostname: shared.settings.hostname.clone(),
        message_bytes: shared.settings.message_bytes,
        recipients: shared.settings.recipients,
    };
    let login = match access {
        Access::Accounts => Login::Anonymous,
        Access::Anybody(account) => Login::Listener(account),
    };
    let shared_login = shared.settings.timeouts.login;
    let mut visit = Visit {
        shared,
        session: ServerSession::new(options, login),
        client,
        login_until: Instant::now() + shared_login,
        tls: None,
        out: BytesMut::new(),
        incoming: None,
        shutdown,
        alive,
    };
    let ended = match mode {
        TlsMode::Implicit => visit.over_tls(stream, Greeting::Due).await,
        TlsMode::StartTls => visit.in_clear(stream).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a session ended before QUIT");
    }
}

struct Visit {
    shared: Arc<Shared>,
    session: ServerSession,
    client: IpAddr,
    login_until: Instant,
    tls: Option<TlsFacts>,
    out: BytesMut,
    /// A message that comes in chunks.
    incoming: Option<Incoming>,
    shutdown: watch::Receiver<bool>,
    alive: Alive,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Greeting {
    Due,
    Said,
}

/// How the command loop ended.
enum Left {
    Closing,
    StartTls,
}

impl Visit {
    async fn in_clear(&mut self, stream: TcpStream) -> Result<(), WireError> {
        let mut wire = Wire::new(stream);
        match self.converse(&mut wire, Greeting::Due).await? {
            Left::Closing => {
                wire.close().await;
                Ok(())
            }
            // The input was empty when STARTTLS was obeyed; what came since is for the handshake.
            Left::StartTls => self.over_tls(wire.io, Greeting::Said).await,
        }
    }

    async fn over_tls(&mut self, stream: TcpStream, greeting: Greeting) -> Result<(), WireError> {
        let accepting = TlsAcceptor::from(Arc::clone(&self.shared.tls)).accept(stream);
        let until = self.until(self.shared.settings.timeouts.handshake);
        let stream = timeout_at(until, accepting)
            .await
            .map_err(|_| WireError::TimedOut)?
            .map_err(WireError::Io)?;
        self.secured(&stream).await;
        let mut wire = Wire::new(stream);
        let Left::Closing = self.converse(&mut wire, greeting).await? else {
            return Ok(());
        };
        wire.close().await;
        Ok(())
    }

    async fn secured(&mut self, stream: &TlsStream<TcpStream>) {
        let (_, tls) = stream.get_ref();
        self.tls = Some(facts(tls));
        let login = match tls.peer_certificates().and_then(<[_]>::first) {
            Some(certificate) if !self.session.is_open() => {
                self.shared.authenticator.identify(certificate).await
            }
            Some(_) | None => Login::Anonymous,
        };
        self.session.secured(login);
    }

    async fn converse<S: Io>(
        &mut self,
        wire: &mut Wire<S>,
        greeting: Greeting,
    ) -> Result<Left, WireError> {
        if greeting == Greeting::Due && self.greet(wire).await? == Early::Yes {
            return Ok(Left::Closing);
        }
        loop {
            let Some(line) = self.next_line(wire).await? else {
                return Ok(Left::Closing);
            };
            let mut step = self.session.handle_line(&line, !wire.input.is_empty());
            step = match step {
                Step::AskRecipient(recipient) => self.ask_recipient(recipient).await,
                Step::AskSender(transaction) => {
                    let reply = self
                        .shared
                        .handler
                        .sender(&self.facts(), &transaction)
                        .await;
                    self.session.sender_answered(transaction, &reply)
                }
                Step::CheckCredentials(credentials) => self.check(credentials).await,
                Step::ReadChunk(chunk) => self.chunk(wire, chunk).await?,
                Step::ReadContent(go_ahead) => self.message(wire, &go_ahead).await?,
                Step::SkipChunk(chunk, refusal) => self.skip(wire, chunk, refusal).await?,
                other => other,
            };
            if !self.session.is_in_chunks() {
                self.incoming = None;
            }
            match step {
                Step::Answer(reply) => reply.print(&mut self.out),
                Step::StartTls(reply) => {
                    reply.print(&mut self.out);
                    self.flush(wire).await?;
                    return Ok(Left::StartTls);
                }
                Step::Close(reply) => {
                    reply.print(&mut self.out);
                    self.flush(wire).await?;
                    return Ok(Left::Closing);
                }
                Step::AskRecipient(_)
                | Step::AskSender(_)
                | Step::CheckCredentials(_)
                | Step::ReadChunk(_)
                | Step::ReadContent(_)
                | Step::SkipChunk(..) => return Ok(Left::Closing),
            }
        }
    }

    /// Sends the greeting, unless the client spoke first (RFC 5321, section 4.3.1): it does not listen,
    /// so what it says was meant for somebody else.
    async fn greet<S: Io>(&mut self, wire: &mut Wire<S>) -> Result<Early, WireError> {
        if timeout(Duration::ZERO, wire.fill(COMMAND_ROOM))
            .await
            .is_ok()
        {
            say(554, (5, 5, 0), "wait for the greeting").print(&mut self.out);
            self.flush(wire).await?;
            return Ok(Early::Yes);
        }
        self.session.greeting().print(&mut self.out);
        Ok(Early::No)
    }

    /// The next line; `None` where the session is over, and said so. Replies are sent before waiting,
    /// so that those of a pipelined group leave in one write.
    async fn next_line<S: Io>(&mut self, wire: &mut Wire<S>) -> Result<Option<Bytes>, WireError> {
        if find_control(&wire.input).is_none() {
            self.flush(wire).await?;
        }
        let deadline = self.until(self.shared.settings.timeouts.command);
        let of_message = self.incoming.as_ref().map(Incoming::deadline);
        let deadline = of_message.map_or(deadline, |end| end.min(deadline));
        let max = self.session.line_max();
        let read = tokio::select! {
            biased;
            () = wait_for(&mut self.shutdown) => {
                say(421, (4, 3, 2), "shutting down; try again later").print(&mut self.out);
                self.flush(wire).await?;
                return Ok(None);
            }
            read = wire.read_line(max, deadline) => read,
        };
        let last_word = match read {
            Ok(line) => return Ok(Some(line)),
            Err(WireError::Line(fault)) => bad_line(fault),
            Err(WireError::TimedOut) => say(421, (4, 4, 2), "no command came in time"),
            Err(error) => return Err(error),
        };
        last_word.print(&mut self.out);
        self.flush(wire).await?;
        Ok(None)
    }

    async fn ask_recipient(&mut self, recipient: Address) -> Step {
        let facts = self.facts();
        let Some(transaction) = self.session.transaction() else {
            return Step::Close(say(451, (4, 3, 0), "local error"));
        };
        let reply = self
            .shared
            .handler
            .recipient(&facts, transaction, &recipient)
            .await;
        self.session.recipient_answered(recipient, &reply)
    }

    async fn check(&mut self, credentials: Credentials) -> Step {
        let now = self.shared.clock.now();
        let outcome = self
            .shared
            .authenticator
            .check(credentials, self.client, now)
            .await;
        self.session.credentials_checked(outcome)
    }

    async fn message<S: Io>(
        &mut self,
        wire: &mut Wire<S>,
        go_ahead: &WireReply,
    ) -> Result<Step, WireError> {
        go_ahead.print(&mut self.out);
        self.flush(wire).await?;
        let received = receive(wire, &self.shared.bodies, &self.shared.settings).await?;
        Ok(self.received(received).await)
    }

    async fn chunk<S: Io>(&mut self, wire: &mut Wire<S>, chunk: Chunk) -> Result<Step, WireError> {
        self.flush(wire).await?;
        let (bodies, settings) = (&self.shared.bodies, &self.shared.settings);
        let mut incoming = match self.incoming.take() {
            Some(incoming) => incoming,
            None => Incoming::new(bodies, settings),
        };
        Ok(match incoming.take(wire, chunk, settings).await? {
            Taken::More => {
                self.incoming = Some(incoming);
                let text = format!("{} octets received", chunk.size);
                let reply = Reply::new(250, Some(EnhancedStatus::new(2, 0, 0)), &text);
                self.session.chunk_answered(&reply)
            }
            Taken::Over(reply) => {
                self.tell(&reply);
                Step::Close(reply)
            }
            Taken::Refused(reply) => {
                self.tell(&reply);
                if chunk.is_last {
                    self.session.message_answered(&reply.to_reply())
                } else {
                    self.session.chunk_answered(&reply.to_reply())
                }
            }
            Taken::Whole => {
                let received = incoming.finish().await;
                self.received(received).await
            }
        })
    }

    async fn skip<S: Io>(
        &mut self,
        wire: &mut Wire<S>,
        chunk: Chunk,
        refusal: WireReply,
    ) -> Result<Step, WireError> {
        self.flush(wire).await?;
        let until = self.until(self.shared.settings.timeouts.data);
        let over = skip(wire, chunk, until, &self.shared.settings).await?;
        Ok(over.map_or(Step::Answer(refusal), Step::Close))
    }

    async fn received(&mut self, received: Received) -> Step {
        let reply = match received {
            Received::Content(content) => match self.submission(content) {
                Some(submission) => self.hand_in(submission).await,
                None => local_error(),
            },
            Received::Over(reply) => {
                self.tell(&reply);
                return Step::Close(reply);
            }
            Received::Refused(reply) => {
                self.tell(&reply);
                reply.to_reply()
            }
        };
        self.session.message_answered(&reply)
    }

    /// Tells of a message that goes no further (H4). What a `421` ends is the connection (RFC 5321, section 3.8).
    fn tell(&self, reply: &WireReply) {
        let reply = reply.to_reply();
        if reply.code() != 421 {
            self.shared.handler.not_taken(&reply);
        }
    }

    fn submission(&self, content: Arc<dyn Content>) -> Option<Submission> {
        let transaction = self.session.transaction()?;
        let account = transaction.account.clone();
        let demands = transaction.demands;
        let envelope = Envelope {
            tenant: account.tenant.clone(),
            account: account.id.clone(),
            reverse_path: transaction.reverse_path.clone(),
            recipients: transaction.recipients.clone(),
            helo: self.session.hello().to_owned(),
            client: self.client,
        };
        let (received, session) = (self.shared.clock.now(), self.facts());
        Some(Submission {
            account,
            envelope,
            demands,
            content,
            received,
            session,
        })
    }

    /// The handler runs as a task of its own, so that it goes on where the client hangs up (H2).
    async fn hand_in(&self, submission: Submission) -> Reply {
        let (handler, alive) = (Arc::clone(&self.shared.handler), self.alive.clone());
        let handling = tokio::spawn(async move {
            let reply = handler.message(submission).await;
            drop(alive);
            reply
        });
        handling.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the handler of a message failed");
            local_error()
        })
    }

    fn facts(&self) -> SessionFacts {
        SessionFacts {
            client: self.client,
            helo: self.session.hello().to_owned(),
            tls: self.tls.clone(),
        }
    }

    /// When a wait for the client ends: after `limit`, and before the login earlier where its time is up.
    fn until(&self, limit: Duration) -> Instant {
        let until = Instant::now() + limit;
        if self.session.is_known() {
            return until;
        }
        until.min(self.login_until)
    }

    async fn flush<S: Io>(&mut self, wire: &mut Wire<S>) -> Result<(), WireError> {
        if self.out.is_empty() {
            return Ok(());
        }
        // The last word is said behind the time, and must have a chance.
        let until = self.until(self.shared.settings.timeouts.write);
        let limit = until
            .saturating_duration_since(Instant::now())
            .max(LAST_WORD);
        let sent = wire.send(&self.out, limit).await;
        self.out.clear();
        sent
    }
}

/// For a client to take what is said behind its time.
const LAST_WORD: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Eq, PartialEq)]
enum Early {
    No,
    Yes,
}

fn local_error() -> Reply {
    Reply::new(
        451,
        Some(EnhancedStatus::new(4, 3, 0)),
        "local error; try again later",
    )
}
