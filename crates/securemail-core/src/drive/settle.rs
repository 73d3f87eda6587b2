//! Ends a round: handed over, given back, into the vault, or later.

use std::sync::Arc;

use super::Relay;
use super::deliver::{Delivery, Verdict};
use super::item::ItemHeader;
use super::refresh::{EVERY, watched_until};
use crate::StoreError;
use crate::backend::{DomainHistory, Due, End, Fact, HandedOver, Lease, NewEvent, Settlement};
use crate::route::{self, Route};
use crate::vocab::{Content, DnsName, UnixTime};

impl Relay {
    /// Writes down how an attempt ended.
    pub(super) async fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        events: Vec<NewEvent>,
    ) -> Result<(), StoreError> {
        self.parts
            .spool
            .settle(lease, settlement, events, self.now())
            .await
    }

    /// Writes down a hand-over; only then is there a witness.
    pub(super) async fn settle_handed(
        &self,
        delivery: &Delivery,
        verdict: &Verdict,
    ) -> Result<HandedOver, StoreError> {
        let events = match verdict {
            Verdict::HandedOver {
                decision,
                report,
                reply,
            } => self.on_handed_over(delivery, decision, report, reply),
            // Pair assertion: "sent" without a hand-over is a fault of the caller.
            Verdict::CalledOff | Verdict::Decided(_) => {
                return Err(StoreError::Corrupt("sent without a hand-over"));
            }
        };
        self.settle(&delivery.lease, Settlement::Sent, events)
            .await?;
        self.observe_end(End::Delivered, delivery.evidence.message.accepted);
        Ok(HandedOver::assertion(delivery.lease.delivery.clone()))
    }

    /// A recipient of a message accepted then came to its end.
    pub(super) fn observe_end(&self, end: End, accepted: UnixTime) {
        let after = self.now().since(accepted);
        self.parts.observer.observe(Fact::Ended { end, after });
    }

    /// Ends the round of a spooled delivery.
    pub(super) async fn settle_spooled(
        &self,
        header: &ItemHeader,
        content: &Arc<dyn Content>,
        delivery: Delivery,
        verdict: Verdict,
    ) -> Result<(), StoreError> {
        let decision = match verdict {
            Verdict::HandedOver { .. } => {
                return self.settle_handed(&delivery, &verdict).await.map(drop);
            }
            Verdict::CalledOff => return self.put_off(delivery, self.now(), Vec::new()).await,
            Verdict::Decided(decision) => decision,
        };
        let ended = match &decision.route {
            Route::Bounce { .. } => self.bounce(header, &delivery, &decision).await.map(drop),
            Route::Vault { .. } => self
                .divert(header, content, &delivery, &decision)
                .await
                .map(drop),
            Route::Defer { .. } | Route::Deliver(_) => {
                return self.wait(header, delivery, &decision).await;
            }
        };
        let Err(error) = ended else { return Ok(()) };
        // What was tried is known, so it is written down rather than left to a lease that lapses.
        tracing::warn!(queue_id = %delivery.lease.delivery, %error, "cannot be ended now; it waits");
        let due = self.now().plus(self.settings.own_fault_retry);
        self.put_off(delivery, due, Vec::new()).await
    }

    /// Leaves a delivery in the spool until `due`.
    pub(super) async fn put_off(
        &self,
        delivery: Delivery,
        due: UnixTime,
        events: Vec<NewEvent>,
    ) -> Result<(), StoreError> {
        let Delivery {
            lease, mut record, ..
        } = delivery;
        record.rounds = record.rounds.saturating_add(1);
        let key = &lease.delivery;
        let sealed_state = self.seal_record(&key.tenant, key.queue, &record)?;
        // A policy that says "now" must not make a loop.
        let due = due.max(self.now().plus(self.settings.shortest_retry));
        let settlement = Settlement::Deferred {
            due: Due::At(due),
            sealed_state,
        };
        self.settle(&lease, settlement, events).await
    }

    /// Remembers what the domain showed. A memory that fails is no reason to lose a result.
    pub(super) async fn learn(&self, result: &[(Delivery, Verdict)]) {
        // Sessions are shared: what one recipient's hand-over proved of the host holds for all.
        let handed =
            |(_, verdict): &&(Delivery, Verdict)| matches!(verdict, Verdict::HandedOver { .. });
        let best = result.iter().find(handed).or_else(|| result.first());
        let Some((delivery, verdict)) = best else {
            return;
        };
        let (decision, proof) = match verdict {
            Verdict::HandedOver {
                decision, report, ..
            } => (decision, report.proof.as_ref()),
            Verdict::Decided(decision) => (decision, None),
            Verdict::CalledOff => return,
        };
        let evidence = &delivery.evidence;
        let learnt = |known| route::learn(known, evidence, decision, proof, self.now());
        let key = &delivery.lease.delivery;
        if let Err(error) = self.remember(&evidence.domain, learnt).await {
            tracing::warn!(queue_id = %key, %error, "what was seen of the domain could not be remembered");
        }
    }

    /// Adds to what is known of a domain now: another round may have seen something meanwhile.
    async fn remember(
        &self,
        domain: &DnsName,
        learn: impl Fn(Option<DomainHistory>) -> DomainHistory,
    ) -> Result<(), StoreError> {
        let memory = &self.parts.inquirer.memory;
        let known = memory.recall(domain).await?;
        let now = self.now();
        // The next look comes with the next message, or in a day.
        memory
            .watch(domain, now.plus(EVERY), watched_until(now))
            .await?;
        let learnt = learn(known.clone());
        if known.as_ref() == Some(&learnt) {
            return Ok(());
        }
        memory.remember(domain, &learnt).await
    }
}
