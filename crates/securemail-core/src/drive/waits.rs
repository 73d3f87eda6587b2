//! What waits: until when, what its sender is told, and when the operator is called.

use super::Relay;
use super::bounce::News;
use super::deliver::Delivery;
use super::item::ItemHeader;
use crate::StoreError;
use crate::backend::{Fact, NewEvent};
use crate::ledger::EventName;
use crate::mail::{DsnAction, DsnReason};
use crate::route::{Decision, DeferClass, Effect, Finding, Route, Rule};
use crate::vocab::{EnhancedStatus, ReversePath};

impl Relay {
    /// Leaves a delivery in the spool for as long as `decision` says.
    pub(super) async fn wait(
        &self,
        header: &ItemHeader,
        mut delivery: Delivery,
        decision: &Decision,
    ) -> Result<(), StoreError> {
        self.observe_hold(decision);
        let mut events = self.on_unconfirmed(&delivery);
        events.extend(self.on_decision(&delivery, decision));
        events.extend(self.alarm(&mut delivery, decision));
        events.extend(self.tell_delay(header, &mut delivery, decision).await);
        let due = match decision.route {
            Route::Defer { not_before, .. } => not_before,
            Route::Bounce { .. } | Route::Deliver(_) | Route::Vault { .. } => decision.fresh_until,
        };
        self.put_off(delivery, due, events).await
    }

    /// A recipient waits, if `decision` says so.
    pub(super) fn observe_hold(&self, decision: &Decision) {
        if let Route::Defer { class, .. } = decision.route {
            self.parts.observer.observe(Fact::Held(class));
        }
    }

    /// Calls the operator, once for each delivery, where something is wrong that an attack would look
    /// like (class C).
    pub(super) fn alarm(&self, delivery: &mut Delivery, decision: &Decision) -> Vec<NewEvent> {
        let suspicious = matches!(
            decision.route,
            Route::Defer {
                class: DeferClass::Suspicious,
                ..
            }
        );
        if !suspicious || delivery.record.alarmed {
            return Vec::new();
        }
        delivery.record.alarmed = true;
        let rule = cause(decision).map_or("", Rule::text);
        tracing::error!(
            queue_id = %delivery.lease.delivery,
            rule,
            "held: what the recipient's domain publishes or showed before is not met; \
             this is how an attack looks"
        );
        self.on_happened(EventName::Suspicious, delivery, rule)
    }

    /// Tells the sender once that the message still waits (RFC 5321, section 4.5.4.1). What cannot be
    /// told now is told with the next try.
    async fn tell_delay(
        &self,
        header: &ItemHeader,
        delivery: &mut Delivery,
        decision: &Decision,
    ) -> Vec<NewEvent> {
        let waited = self.now().since(header.accepted);
        let ReversePath::Mailbox(sender) = &header.reverse_path else {
            return Vec::new();
        };
        if delivery.record.delay_told || waited < self.settings.tell_delay_after {
            return Vec::new();
        }
        let (reason, status) = match decision.route {
            Route::Defer {
                class: DeferClass::Suspicious,
                ..
            } => (DsnReason::SecurityBroken, EnhancedStatus::new(4, 7, 5)),
            _ => (DsnReason::Waiting, EnhancedStatus::new(4, 4, 1)),
        };
        let until = header.accepted.plus(self.settings.policy.hold_for);
        let news = News {
            kind: "delayed",
            action: DsnAction::Delayed { until },
            reason,
            status,
            why: decision.summary(),
            events: Vec::new(),
        };
        match self.commit_dsn(header, delivery, sender, news).await {
            Ok(_) => {
                delivery.record.delay_told = true;
                self.on_sender_informed(delivery, "not delivered yet")
            }
            Err(error) => {
                tracing::warn!(queue_id = %delivery.lease.delivery, %error, "the delay is not told yet");
                Vec::new()
            }
        }
    }
}

/// The rule that a decision to hold goes back to: the last one that kept a host out, or held the whole.
fn cause(decision: &Decision) -> Option<Rule> {
    let last = |effect: Effect| {
        let found = decision
            .findings
            .iter()
            .rfind(|f: &&Finding| f.effect == effect);
        found.map(|finding| finding.rule)
    };
    last(Effect::Exclude).or_else(|| last(Effect::Hold))
}
