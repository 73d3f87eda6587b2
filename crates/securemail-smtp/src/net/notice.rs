//! Delivery of content-free mail to hosts that cannot be proved.

use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use securemail_core::backend::{
    AttemptReport, DotClosed, FinalDot, NoticeAttempt, NoticeTransport, SessionOutcome,
};
use securemail_core::limits;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::client::{SmtpTransport, in_time, is_late, peer_facts};
use super::tried::Tried;
use super::wire::{Io, Wire};
use crate::proto::client::NoticeReady;
use crate::proto::transaction::Phase;

#[async_trait]
impl NoticeTransport for SmtpTransport {
    async fn attempt_notice(&self, attempt: NoticeAttempt) -> AttemptReport {
        let started = self.clock.now();
        let mut tried = Tried::nothing();
        let until = self.proof_until();
        for &address in attempt
            .addresses
            .iter()
            .take(limits::ADDRESSES_PER_HOST_MAX)
        {
            let next = self.try_notice((address, until), &attempt).await;
            let is_over = next.is_final() || is_late(until);
            tried = tried.or(next);
            if is_over {
                break;
            }
        }
        let ended = self.clock.now();
        tried.report(attempt.host, ended, ended.since(started))
    }
}

impl SmtpTransport {
    async fn try_notice(
        &self,
        (address, until): (IpAddr, Instant),
        attempt: &NoticeAttempt,
    ) -> Tried {
        let mut tried = Tried::at(address);
        let opening = self.open_notice((address, until), attempt, &mut tried);
        match in_time(until, opening).await {
            Ok((Session::Clear(wire), ready)) => {
                self.hand_notice(wire, &ready, attempt, &mut tried).await;
            }
            Ok((Session::Tls(wire), ready)) => {
                self.hand_notice(*wire, &ready, attempt, &mut tried).await;
            }
            Err(outcome) => tried.outcome = outcome,
        }
        tried
    }

    /// The best TLS offered; clear text only where STARTTLS is absent and the caller allows it. A
    /// handshake that fails never leads to clear text, unless the caller asks for it after that: somebody
    /// may have made it fail.
    async fn open_notice(
        &self,
        (address, until): (IpAddr, Instant),
        attempt: &NoticeAttempt,
        tried: &mut Tried,
    ) -> Result<(Session, NoticeReady), SessionOutcome> {
        let socket = SocketAddr::new(address, attempt.port);
        let (wire, clear, name) = self.open(socket).await?;
        if attempt.without_tls || attempt.may_be_clear && !clear.offers_starttls() {
            return Ok((Session::Clear(wire), clear.without_tls(name)));
        }
        let (mut wire, handshaking) = self
            .upgrade((socket, until), wire, clear, &attempt.host)
            .await?;
        let peer = tried.peer.insert(peer_facts(&wire, self.clock.now()));
        let ready = handshaking
            .unproved()
            .handle_ehlo(&self.inner_ehlo(&mut wire).await?)?;
        ready.peer().name.clone_into(&mut peer.ehlo);
        Ok((Session::Tls(Box::new(wire)), ready))
    }

    async fn hand_notice<S: Io + 'static>(
        &self,
        mut wire: Wire<S>,
        ready: &NoticeReady,
        attempt: &NoticeAttempt,
        tried: &mut Tried,
    ) {
        match ready.mail(&attempt.reverse_path, &attempt.recipient, &attempt.mail) {
            Ok(mut transaction) => {
                tried.outcome = self
                    .transact(&mut wire, &mut transaction, &AlwaysOpen)
                    .await;
                let in_order = transaction.phase() == Phase::Ended;
                tried.recipients = transaction.into_outcomes();
                if in_order {
                    self.quit(wire);
                }
            }
            Err(outcome) => {
                tried.outcome = outcome;
                self.quit(wire);
            }
        }
    }
}

enum Session {
    Clear(Wire<TcpStream>),
    Tls(Box<Wire<TlsStream<TcpStream>>>),
}

/// A mail of ours needs no leave: sent twice, it says the same.
#[derive(Debug)]
pub(super) struct AlwaysOpen;

#[async_trait]
impl FinalDot for AlwaysOpen {
    async fn open(&self) -> Result<(), DotClosed> {
        Ok(())
    }
}
