//! Delivery of content-free mail to a host that the operator named: proved, and logged in where it asks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use securemail_core::backend::{
    Login, RecipientOutcome, ReturnAttempt, ReturnOutcome, ReturnTransport, SessionOutcome,
    TlsStart,
};
use securemail_core::limits;
use securemail_core::vocab::{DnsName, MemoryContent};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::client::{SmtpTransport, in_time, is_late, peer_facts};
use super::notice::AlwaysOpen;
use super::tls::HelloSize;
use super::tried::says_more;
use super::wire::{Io, Wire};
use crate::proto::client::{Handshaking, Ready};
use crate::proto::command::Command;
use crate::proto::sasl;
use crate::proto::transaction::{EightBit, Mail, Phase};

type Tls = Wire<TlsStream<TcpStream>>;

#[async_trait]
impl ReturnTransport for SmtpTransport {
    async fn attempt_return(&self, attempt: ReturnAttempt) -> ReturnOutcome {
        let mut said = SessionOutcome::Unreachable("the host has no address".to_owned());
        let until = self.proof_until();
        let addresses = attempt.hop.addresses.iter();
        for &address in addresses.take(limits::ADDRESSES_PER_HOST_MAX) {
            match self.try_return((address, until), &attempt).await {
                // Another address may be up, or show the right certificate.
                ReturnOutcome::Unanswered(next) => said = says_more(said, next),
                outcome @ (ReturnOutcome::Answered(_) | ReturnOutcome::NotLetIn(_)) => {
                    return outcome;
                }
            }
            if is_late(until) {
                break;
            }
        }
        ReturnOutcome::Unanswered(said)
    }
}

impl SmtpTransport {
    async fn try_return(
        &self,
        (address, until): (IpAddr, Instant),
        attempt: &ReturnAttempt,
    ) -> ReturnOutcome {
        let proving = self.prove_named((address, until), attempt);
        let (mut wire, ready) = match in_time(until, proving).await {
            Ok(proved) => proved,
            Err(outcome) => return ReturnOutcome::Unanswered(outcome),
        };
        if let Some(login) = &attempt.login
            && let Err(outcome) = self.log_in(&mut wire, &ready, login).await
        {
            self.quit(wire);
            return outcome;
        }
        self.hand_back(wire, &ready, attempt).await
    }

    /// From nothing to a session that is proved to be with the host that was named.
    async fn prove_named(
        &self,
        (address, until): (IpAddr, Instant),
        attempt: &ReturnAttempt,
    ) -> Result<(Tls, Ready), SessionOutcome> {
        let hop = &attempt.hop;
        let socket = SocketAddr::new(address, hop.port);
        let (mut wire, handshaking) = match attempt.start {
            TlsStart::StartTls => self.secure((socket, until), &hop.sni).await?,
            TlsStart::AtOnce => self.secure_at_once((socket, until), &hop.sni).await?,
        };
        let peer = peer_facts(&wire, self.clock.now());
        let proved = self
            .authenticate(&peer, hop)
            .and_then(|(proof, leaf)| handshaking.prove(proof, hop, leaf));
        let proved = match proved {
            Ok(proved) => proved,
            Err(outcome) => {
                self.end_unproved(wire, attempt.start);
                return Err(outcome);
            }
        };
        let proved = match attempt.start {
            TlsStart::StartTls => proved,
            TlsStart::AtOnce => proved.handle_greeting(&self.greeting(&mut wire).await?)?,
        };
        let ready = proved.handle_ehlo(&self.inner_ehlo(&mut wire).await?)?;
        Ok((wire, ready))
    }

    /// As `secure`, without anything said in clear.
    async fn secure_at_once(
        &self,
        (socket, until): (SocketAddr, Instant),
        sni: &DnsName,
    ) -> Result<(Tls, Handshaking), SessionOutcome> {
        let stream = self.connect(socket).await?;
        let wire = match self.handshake(stream, sni, HelloSize::Full).await {
            Ok(wire) => wire,
            Err(first) => {
                let again = async {
                    let stream = self.connect(socket).await?;
                    self.handshake(stream, sni, HelloSize::Conservative).await
                };
                let again = in_time(until, again).await;
                again.map_err(|second| says_more(first, second))?
            }
        };
        Ok((wire, Handshaking::at_once()))
    }

    /// Whoever is not the host hears QUIT at most, and where it was to speak first not even that.
    fn end_unproved(&self, wire: Tls, start: TlsStart) {
        match start {
            TlsStart::StartTls => self.quit(wire),
            TlsStart::AtOnce => drop(wire),
        }
    }

    /// AUTH PLAIN, its response by itself: with the command it could be longer than a line may be
    /// (RFC 4954, section 4). It needs a proved session, so that no password goes to anybody else.
    async fn log_in<S: Io>(
        &self,
        wire: &mut Wire<S>,
        ready: &Ready,
        login: &Login,
    ) -> Result<(), ReturnOutcome> {
        let offered = &ready.peer().extensions.auth;
        if !offered.iter().any(|mechanism| mechanism == PLAIN) {
            return Err(ReturnOutcome::NotLetIn(None));
        }
        let command = Command::Auth {
            mechanism: PLAIN.to_owned(),
            initial: None,
        };
        let mut reply = self.command(wire, &command).await;
        if matches!(&reply, Ok(challenge) if challenge.code() == 334) {
            reply = self.line(wire, &sasl::plain_response(login)).await;
        }
        let reply = reply.map_err(ReturnOutcome::Unanswered)?;
        match reply.code() {
            235 => Ok(()),
            // RFC 4954, section 6: the server cannot check it now.
            400..=499 => Err(ReturnOutcome::Answered(RecipientOutcome::Deferred(
                reply.to_reply(),
            ))),
            _ => Err(ReturnOutcome::NotLetIn(Some(reply.to_reply()))),
        }
    }

    async fn hand_back(
        &self,
        mut wire: Tls,
        ready: &Ready,
        attempt: &ReturnAttempt,
    ) -> ReturnOutcome {
        let octets = attempt.mail.octets().clone();
        let eight_bit = if octets.is_ascii() {
            EightBit::Absent
        } else {
            EightBit::Possible
        };
        let mail = Mail {
            reverse_path: &attempt.reverse_path,
            recipients: std::slice::from_ref(&attempt.recipient),
            demands: attempt.demands,
            content: Arc::new(MemoryContent::new(octets)),
            eight_bit,
            first: None,
        };
        let mut transaction = match ready.mail(mail) {
            Ok(transaction) => transaction,
            Err(outcome) => {
                self.quit(wire);
                return ReturnOutcome::Unanswered(outcome);
            }
        };
        let outcome = self
            .transact(&mut wire, &mut transaction, &AlwaysOpen)
            .await;
        if transaction.phase() == Phase::Ended {
            self.quit(wire);
        }
        match (transaction.into_outcomes().pop(), outcome) {
            (Some(RecipientOutcome::NotTried) | None, SessionOutcome::Completed) => {
                let ended = "the session ended before an answer".to_owned();
                ReturnOutcome::Unanswered(SessionOutcome::Unreachable(ended))
            }
            (Some(RecipientOutcome::NotTried) | None, outcome) => {
                ReturnOutcome::Unanswered(outcome)
            }
            (Some(recipient), _) => ReturnOutcome::Answered(recipient),
        }
    }
}

/// The one mechanism that we use.
const PLAIN: &str = "PLAIN";
