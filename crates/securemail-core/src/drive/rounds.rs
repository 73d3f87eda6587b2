//! Runs the first attempts of a message from memory, within the sender's patience.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures_channel::oneshot;
use futures_util::future::{self, Either};

use super::Relay;
use super::deliver::{Delivery, Outgoing, Verdict};
use super::gate::{self, CallOff, Durable, Gate};
use super::submission::Accepted;
use crate::backend::{DeliveryState, Lease, SessionOutcome};
use crate::route::Decision;
use crate::vocab::{DeliveryKey, DnsName, UnixTime};

/// What became of the deliveries of one domain when the sender had to be answered.
#[derive(Debug)]
pub(super) enum Round {
    /// Called off in time, or never begun: nobody has anything.
    CalledOff(Vec<Lease>),
    /// The end of data may have left; the attempt goes on and settles itself after the commit.
    InFlight(Vec<Lease>, oneshot::Sender<CommitDone>),
    /// It ended.
    Ended(Vec<(Delivery, Verdict)>),
}

/// Tells an attempt in flight whether its deliveries are in the spool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CommitDone {
    /// They are; settle them there.
    Queued,
    /// They are not; the sender was told to keep the message.
    Refused,
}

/// The place where an attempt leaves its result, unless its submitter went on without it.
#[derive(Debug, Default)]
struct Slot(Mutex<SlotState>);

#[derive(Debug, Default)]
enum SlotState {
    #[default]
    Running,
    Finished(Vec<(Delivery, Verdict)>),
    Detached,
}

impl Slot {
    /// Leaves the result; gives it back where nobody waits for it any more.
    fn finish(&self, result: Vec<(Delivery, Verdict)>) -> Option<Vec<(Delivery, Verdict)>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            SlotState::Detached => Some(result),
            SlotState::Running | SlotState::Finished(_) => {
                *state = SlotState::Finished(result);
                None
            }
        }
    }

    /// Takes the result, or goes on without it.
    fn take(&self) -> Option<Vec<(Delivery, Verdict)>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, SlotState::Detached) {
            SlotState::Finished(result) => Some(result),
            SlotState::Running | SlotState::Detached => None,
        }
    }
}

/// The rounds of one message, one for each recipient domain. No final dot leaves before they are let go.
#[derive(Debug)]
pub(super) struct Rounds {
    begun: Vec<BegunRound>,
    let_go: Option<oneshot::Sender<()>>,
}

/// A round that has begun.
#[derive(Debug)]
enum BegunRound {
    /// The domain is in back-off, or its places are taken.
    NoPlace(Vec<Lease>),
    Running(Running),
}

/// A round under way, and what its submitter needs to end it.
#[derive(Debug)]
struct Running {
    domain: DnsName,
    leases: Vec<Lease>,
    gate: Arc<Gate>,
    slot: Arc<Slot>,
    /// Ends with the task of the round.
    finished: oneshot::Receiver<()>,
    committed: oneshot::Sender<CommitDone>,
    stop: oneshot::Sender<()>,
}

impl Rounds {
    /// The intents are durable: final dots may leave.
    pub(super) fn let_go(mut self) -> Self {
        if let Some(let_go) = self.let_go.take() {
            let_go.send(()).unwrap_or(());
        }
        self
    }

    /// Ends rounds that were not let go; returns when nothing of them runs any more.
    pub(super) async fn call_off(self) {
        for round in self.begun {
            let BegunRound::Running(round) = round else {
                continue;
            };
            round.gate.call_off();
            // Where the task has ended already, there is nothing to stop.
            round.stop.send(()).unwrap_or(());
            round.finished.await.unwrap_or(());
        }
    }
}

impl Relay {
    /// Begins to try all deliveries that `leases` are for, domain by domain at once.
    pub(super) fn begin_rounds(
        self: &Arc<Self>,
        message: &Arc<Accepted>,
        leases: Vec<Lease>,
    ) -> Rounds {
        let mut domains: BTreeMap<DnsName, Vec<Delivery>> = BTreeMap::new();
        for delivery in leases.into_iter().filter_map(|l| message.delivery(l)) {
            let domain = delivery.record.recipient.domain().clone();
            domains.entry(domain).or_default().push(delivery);
        }
        let (let_go, durable) = gate::durable();
        let begun = domains
            .into_iter()
            .map(|(domain, deliveries)| {
                self.begin_round(message.clone(), domain, deliveries, durable.clone())
            })
            .collect();
        Rounds {
            begun,
            let_go: Some(let_go),
        }
    }

    fn begin_round(
        self: &Arc<Self>,
        message: Arc<Accepted>,
        domain: DnsName,
        deliveries: Vec<Delivery>,
        durable: Durable,
    ) -> BegunRound {
        let leases: Vec<Lease> = deliveries.iter().map(|d| d.lease.clone()).collect();
        // A destination in back-off, or with its attempts used up, goes to the spool at once.
        let Some(permit) = self.destinations.enter_at_once(&domain, self.now()) else {
            return BegunRound::NoPlace(leases);
        };
        let gate = Arc::new(Gate::new(durable));
        let slot = Arc::new(Slot::default());
        let (done, finished) = oneshot::channel::<()>();
        let (committed, commit) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = {
            let (relay, gate, slot) = (self.clone(), gate.clone(), slot.clone());
            let (leases, domain) = (leases.clone(), domain.clone());
            async move {
                let round = relay.round_from_memory(&message, &domain, deliveries, gate.clone());
                let round = Box::pin(relay.while_renewing(&leases, round));
                // Dropped before its end of data, an attempt is cancelled cleanly (contract T3).
                let result = unless_stopped(round, stopped).await;
                drop(permit);
                let Some(result) = result else {
                    return;
                };
                if let Some(result) = slot.finish(result) {
                    // Called off: the spool has the deliveries already, and nothing left us.
                    if gate.call_off() == CallOff::TooLate {
                        relay.settle_in_flight(&message, result, commit.await).await;
                    }
                } else {
                    // The submitter may have given up waiting just now; it takes the result all the same.
                    done.send(()).unwrap_or(());
                }
            }
        };
        // The task outlives the budget.
        self.parts.executor.spawn(Box::pin(task));
        BegunRound::Running(Running {
            domain,
            leases,
            gate,
            slot,
            finished,
            committed,
            stop,
        })
    }

    /// Waits for all rounds, until `deadline`.
    pub(super) async fn end_rounds(&self, rounds: Rounds, deadline: UnixTime) -> Vec<Round> {
        let ends = rounds.begun.into_iter().map(|round| async move {
            match round {
                BegunRound::NoPlace(leases) => Round::CalledOff(leases),
                BegunRound::Running(running) => self.end_round(running, deadline).await,
            }
        });
        future::join_all(ends).await
    }

    async fn end_round(&self, running: Running, deadline: UnixTime) -> Round {
        let Running {
            domain,
            leases,
            gate,
            slot,
            finished,
            committed,
            stop,
        } = running;
        let sleep = self.parts.clock.sleep_until(deadline);
        if let Either::Left(_) = future::select(finished, sleep).await
            && let Some(result) = slot.take()
        {
            self.judge_patience(&domain, &result);
            return Round::Ended(result);
        }
        let now = self.now();
        self.destinations
            .rest(&domain, now.plus(self.settings.back_off), now);
        let call_off = gate.call_off();
        match (slot.take(), call_off) {
            (Some(result), _) => Round::Ended(result),
            (None, CallOff::InTime) => {
                stop.send(()).unwrap_or(());
                Round::CalledOff(leases)
            }
            (None, CallOff::TooLate) => Round::InFlight(leases, committed),
        }
    }

    /// A domain that nobody answered for is left alone for some time; one that took something is not.
    fn judge_patience(&self, domain: &DnsName, result: &[(Delivery, Verdict)]) {
        let took =
            |(_, verdict): &(Delivery, Verdict)| matches!(verdict, Verdict::HandedOver { .. });
        // A host that says "later" has answered.
        let silent = |(delivery, _): &(Delivery, Verdict)| {
            let last = delivery
                .record
                .attempts
                .last()
                .map(|attempt| &attempt.outcome);
            matches!(last, Some(SessionOutcome::Unreachable(_)))
        };
        if result.iter().any(took) {
            self.destinations.wake(domain);
        } else if result.iter().all(silent) {
            let now = self.now();
            self.destinations
                .rest(domain, now.plus(self.settings.back_off), now);
        }
    }

    /// Inquires about the domain and runs one round over its deliveries.
    async fn round_from_memory(
        &self,
        message: &Accepted,
        domain: &DnsName,
        deliveries: Vec<Delivery>,
        gate: Arc<Gate>,
    ) -> Vec<(Delivery, Verdict)> {
        let profile = message.profile(domain);
        let facts = message.facts();
        let Ok(evidence) = self.parts.inquirer.inquire(domain, profile, facts).await else {
            return self.all_wait(domain, deliveries);
        };
        let Some(signed) = message.signed.clone() else {
            return self.all_wait(domain, deliveries);
        };
        let open = deliveries
            .into_iter()
            .map(|delivery| delivery.with_evidence(evidence.clone()))
            .collect();
        let outgoing = Outgoing {
            reverse_path: message.header.reverse_path.clone(),
            signed,
            demands: message.header.demands,
        };
        let leave = self.leave(gate, message.header.size);
        let result = self.run_round(&outgoing, open, &leave).await;
        self.learn(&result).await;
        result
    }

    /// Our own fault: hold, and try again soon.
    fn all_wait(&self, domain: &DnsName, deliveries: Vec<Delivery>) -> Vec<(Delivery, Verdict)> {
        let decision = self.own_fault(domain);
        deliveries
            .into_iter()
            .map(|d| (d, Verdict::Decided(decision.clone())))
            .collect()
    }

    /// A decision that holds a message because something of ours does not work.
    pub(super) fn own_fault(&self, domain: &DnsName) -> Decision {
        let now = self.now();
        Decision::own_fault(domain, now, now.plus(self.settings.own_fault_retry))
    }

    /// Settles an attempt that went on after its sender was answered.
    async fn settle_in_flight(
        &self,
        message: &Accepted,
        result: Vec<(Delivery, Verdict)>,
        commit: Result<CommitDone, oneshot::Canceled>,
    ) {
        let queued = matches!(commit, Ok(CommitDone::Queued));
        for (delivery, verdict) in result {
            let key = delivery.lease.delivery.clone();
            let handed = matches!(verdict, Verdict::HandedOver { .. });
            if !handed && !queued {
                self.take_back(&delivery.lease, &delivery.record).await;
                continue;
            }
            let settled = self
                .settle_spooled(&message.header, &message.content, delivery, verdict)
                .await;
            if let Err(error) = settled {
                tracing::warn!(queue_id = %key, %error, "an attempt in flight could not be settled");
            }
        }
    }

    /// How an earlier submission stands once it is no longer being tried, or at `deadline`.
    pub(super) async fn join_earlier(
        &self,
        delivery: &DeliveryKey,
        deadline: UnixTime,
    ) -> DeliveryState {
        loop {
            let state = self.parts.spool.state(delivery).await;
            match state {
                Ok(DeliveryState::Intended) if self.now() < deadline => {
                    self.parts
                        .clock
                        .sleep_until(self.now().plus(JOIN_STEP))
                        .await;
                }
                Ok(state) => return state,
                Err(_) => return DeliveryState::Intended,
            }
        }
    }
}

/// The result of `round`, or nothing where `stopped` says so first. Without a word it goes on.
async fn unless_stopped<T>(
    round: impl Future<Output = T> + Unpin,
    stopped: oneshot::Receiver<()>,
) -> Option<T> {
    match future::select(round, stopped).await {
        Either::Left((result, _)) => Some(result),
        Either::Right((Ok(()), _)) => None,
        Either::Right((Err(oneshot::Canceled), round)) => Some(round.await),
    }
}

/// How often the state of an earlier submission is looked at.
const JOIN_STEP: std::time::Duration = std::time::Duration::from_millis(200);
