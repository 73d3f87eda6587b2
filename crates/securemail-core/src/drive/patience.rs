//! How long a round may take before its final dot, and what ends where the relay does.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt as _;
use futures_util::future::{self, Either, Shared};

use super::Relay;
use super::gate::SeenDot;
use crate::backend::{AttemptReport, FinalDot, SessionOutcome};
use crate::limits::{ROUND_OCTETS_PER_SEC_MIN, ROUND_SECS_MAX};
use crate::vocab::{DnsName, UnixTime};

type Stopped = Shared<oneshot::Receiver<()>>;

/// Tells retries that the relay ends.
#[derive(Debug)]
pub(super) struct Stopping {
    /// Dropped to tell.
    running: Mutex<Option<oneshot::Sender<()>>>,
    stopped: Stopped,
}

impl Default for Stopping {
    fn default() -> Self {
        let (running, stopped) = oneshot::channel();
        Self {
            running: Mutex::new(Some(running)),
            stopped: stopped.shared(),
        }
    }
}

impl Stopping {
    /// The relay ends.
    pub(super) fn tell(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = None;
    }

    /// Whether it was told.
    pub(super) fn is_told(&self) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.is_none()
    }
}

/// When the final dot of a round may leave, and until when the round goes on without it.
#[derive(Clone, Debug)]
pub(super) struct Leave {
    gate: Arc<dyn FinalDot>,
    until: UnixTime,
    /// Of a retry: it ends with the relay.
    stopped: Option<Stopped>,
}

impl Leave {
    /// For an attempt of this round.
    pub(super) fn dot(&self) -> Arc<SeenDot> {
        Arc::new(SeenDot::new(self.gate.clone()))
    }

    /// Why nothing more is begun, if so.
    fn is_over(&self, now: UnixTime) -> Option<RoundOver> {
        let stopped = self.stopped.clone();
        if stopped.is_some_and(|stopped| stopped.now_or_never().is_some()) {
            return Some(RoundOver::Stopped);
        }
        (now >= self.until).then_some(RoundOver::Silence)
    }
}

/// Why an attempt was dropped before its final dot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RoundOver {
    /// The time of its round is over.
    Silence,
    /// The relay ends.
    Stopped,
}

impl RoundOver {
    /// Silence is what it is (class B), and no look at the host: it proved nothing, neither way.
    pub(super) fn report(self, host: &DnsName, began: UnixTime, ended: UnixTime) -> AttemptReport {
        AttemptReport {
            host: host.clone(),
            address: None,
            own_address: None,
            peer: None,
            proof: None,
            outcome: match self {
                Self::Silence => {
                    SessionOutcome::Unreachable("the time of the round is over".to_owned())
                }
                Self::Stopped => SessionOutcome::CalledOff,
            },
            recipients: Vec::new(),
            others: Vec::new(),
            ended,
            took: ended.since(began),
        }
    }
}

impl Relay {
    /// For a round that begins now, from memory, with a message of so many octets. It ends by its budget
    /// when the relay does.
    pub(super) fn leave(&self, gate: Arc<dyn FinalDot>, octets: u64) -> Leave {
        let body = octets / ROUND_OCTETS_PER_SEC_MIN;
        let longest = Duration::from_secs(ROUND_SECS_MAX.saturating_add(body));
        Leave {
            gate,
            until: self.now().plus(longest),
            stopped: None,
        }
    }

    /// The same for a retry.
    pub(super) fn leave_of_retry(&self, gate: Arc<dyn FinalDot>, octets: u64) -> Leave {
        Leave {
            stopped: Some(self.stopping.stopped.clone()),
            ..self.leave(gate, octets)
        }
    }

    /// Drives `attempt` to its end, or drops it where its round is over and its final dot has not left:
    /// that is a clean cancellation (contract T3).
    pub(super) async fn unless_over<T>(
        &self,
        leave: &Leave,
        dot: &SeenDot,
        attempt: impl Future<Output = T>,
    ) -> Result<T, RoundOver> {
        if let Some(over) = leave.is_over(self.now()) {
            return Err(over);
        }
        let stopped = async {
            match &leave.stopped {
                // Told by dropping the sender.
                Some(stopped) => drop(stopped.clone().await),
                None => future::pending().await,
            }
        };
        let mut attempt = std::pin::pin!(attempt);
        let stopped = std::pin::pin!(stopped);
        let time = self.parts.clock.sleep_until(leave.until);
        let over = match future::select(attempt.as_mut(), future::select(time, stopped)).await {
            Either::Left((result, _)) => return Ok(result),
            Either::Right((Either::Left(_), _)) => RoundOver::Silence,
            Either::Right((Either::Right(_), _)) => RoundOver::Stopped,
        };
        if dot.was_passed() {
            return Ok(attempt.await);
        }
        Err(over)
    }

    /// The same for mail of ours, of which a second copy harms nobody: it ends with the relay, dot or no.
    pub(super) async fn unless_stopped<T>(&self, attempt: impl Future<Output = T>) -> Option<T> {
        let attempt = std::pin::pin!(attempt);
        match future::select(self.stopping.stopped.clone(), attempt).await {
            Either::Left(_) => None,
            Either::Right((result, _)) => Some(result),
        }
    }
}
