//! What the main flow writes into the tenant's log.

use std::sync::PoisonError;

use super::Relay;
use super::deliver::Delivery;
use super::item::ItemHeader;
use super::submission::{Screened, try_later};
use crate::StoreError;
use crate::backend::{AttemptReport, NewEvent, RecipientOutcome};
use crate::ledger::{Event, EventName, Log};
use crate::mail::Reference;
use crate::route::{Decision, Route, Rule};
use crate::vocab::{
    Address, DeliveryKey, Envelope, QueueId, Reply, ReversePath, TenantId, VaultId,
};

impl Relay {
    /// The log of a tenant.
    pub(super) async fn log(&self, tenant: &TenantId) -> Result<Log, StoreError> {
        let known = self
            .logs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(tenant)
            .cloned();
        if let Some(log) = known {
            return Ok(log);
        }
        let log = Log::of_tenant(tenant.clone(), &*self.parts.master)
            .await
            .map_err(StoreError::unavailable)?;
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.insert(tenant.clone(), log.clone());
        Ok(log)
    }

    /// The same, for a sender who waits.
    pub(super) async fn log_or_later(&self, tenant: &TenantId) -> Result<Log, Reply> {
        self.log(tenant).await.map_err(|_| try_later())
    }

    /// A message, or one recipient, was refused for good in the session (A.2). The refusal stands even
    /// where it cannot be written down: nobody was promised anything.
    pub(super) async fn on_refused(
        &self,
        envelope: &Envelope,
        recipient: Option<&Address>,
        reply: &Reply,
    ) {
        if !(500..600).contains(&reply.code()) {
            return;
        }
        if let Err(error) = self.log_refusal(envelope, recipient, reply).await {
            tracing::warn!(%error, "a refusal could not be written down");
        }
    }

    async fn log_refusal(
        &self,
        envelope: &Envelope,
        recipient: Option<&Address>,
        reply: &Reply,
    ) -> Result<(), StoreError> {
        let log = self.log(&envelope.tenant).await?;
        // The message got no id; its refusal has one of its own.
        let id = QueueId::random(&*self.parts.entropy).map_err(StoreError::unavailable)?;
        let event = Event::new(EventName::SubmissionRejection, self.now(), id)
            .sender(&envelope.reverse_path)
            .account(&envelope.account)
            .client(envelope.client)
            .reply(reply);
        let number = u16::try_from(envelope.recipients.len()).unwrap_or(u16::MAX);
        let event = match recipient {
            Some(address) => event.recipient(number, address),
            None => event,
        };
        let entries = self.entries(&log, [event]);
        let audit = self.pickups.audit();
        audit.append(&envelope.tenant, entries).await.map(drop)
    }

    /// An attempt is about to be made for this recipient.
    pub(super) fn on_intent(&self, screened: &Screened, recipient: u16) -> Vec<NewEvent> {
        let Some(address) = screened.envelope.recipients.get(usize::from(recipient)) else {
            return Vec::new();
        };
        let mut event = Event::new(EventName::RelayIntent, self.now(), screened.queue)
            .recipient(recipient, address)
            .sender(&screened.envelope.reverse_path)
            .account(&screened.account.id)
            .client(screened.envelope.client)
            .submitted_digest(&screened.submitted);
        if let Some(id) = screened.message_id() {
            event = event.message_id(&id);
        }
        self.entries(&screened.log, [event])
    }

    /// A way was decided, or that there is none now.
    pub(super) fn on_decision(&self, delivery: &Delivery, decision: &Decision) -> Vec<NewEvent> {
        let decided = self.decided(delivery, decision);
        let outcome = match &decision.route {
            // Each retry looks for this one by its reference (`reached`), so what comes with each retry has none.
            Route::Bounce { .. } => {
                let reference = Reference::of_vault(VaultId::of(&delivery.lease.delivery));
                self.about(EventName::RelayToNonErdsFailure, delivery)
                    .reference(&reference.to_string())
            }
            Route::Defer { .. } => self.about(EventName::Deferral, delivery),
            Route::Deliver(_) | Route::Vault { .. } => {
                return self.entries(&delivery.log, [decided]);
            }
        };
        let outcome = outcome.reason(&decision.sentence());
        if is_own_fault(decision) {
            return self.entries(&delivery.log, [outcome]);
        }
        self.entries(&delivery.log, [decided, outcome])
    }

    /// The recipient's host took it.
    pub(super) fn on_handed_over(
        &self,
        delivery: &Delivery,
        decision: &Decision,
        report: &AttemptReport,
        reply: &Reply,
    ) -> Vec<NewEvent> {
        let decided = self.decided(delivery, decision);
        let handed = self
            .sent(EventName::RelayToNonErds, delivery)
            .host(&report.host)
            .attempt(report)
            .reply(reply);
        self.entries(&delivery.log, [decided, handed])
    }

    /// No reply came to the end of data.
    pub(super) fn on_unconfirmed(&self, delivery: &Delivery) -> Vec<NewEvent> {
        let unconfirmed = matches!(
            delivery
                .evidence
                .attempts
                .last()
                .and_then(|attempt| attempt.recipient.as_ref()),
            Some(RecipientOutcome::Unconfirmed)
        );
        if !unconfirmed {
            return Vec::new();
        }
        self.entries(
            &delivery.log,
            [self.sent(EventName::RelayUnconfirmed, delivery)],
        )
    }

    /// A report about it is on its way to its sender. Its reference finds the message.
    pub(super) fn on_sender_informed(&self, delivery: &Delivery, words: &str) -> Vec<NewEvent> {
        let reference = Reference::of_vault(VaultId::of(&delivery.lease.delivery));
        let informed = self
            .about(EventName::SenderInformed, delivery)
            .reason(words)
            .reference(&reference.to_string());
        self.entries(&delivery.log, [informed])
    }

    /// The vault has it from an earlier attempt at the same submission, as `first`.
    pub(super) fn on_met(
        &self,
        log: &Log,
        (key, recipient): (&DeliveryKey, &Address),
        first: &DeliveryKey,
    ) -> Vec<NewEvent> {
        let words = format!("in the vault since an earlier attempt, as {}", first.queue);
        let met = Event::new(EventName::ContentConsignment, self.now(), key.queue)
            .recipient(key.recipient, recipient)
            .reason(&words);
        self.entries(log, [met])
    }

    /// Something happened to it, for a reason in words.
    pub(super) fn on_happened(
        &self,
        name: EventName,
        delivery: &Delivery,
        words: &str,
    ) -> Vec<NewEvent> {
        self.entries(&delivery.log, [self.about(name, delivery).reason(words)])
    }

    /// A notice went out, or did not. It is told of the message that the notice is about.
    pub(super) fn on_notice(
        &self,
        header: &ItemHeader,
        delivery: &Delivery,
        name: EventName,
    ) -> Vec<NewEvent> {
        let message = header.about.as_ref().unwrap_or(&delivery.lease.delivery);
        let event = Event::new(name, self.now(), message.queue)
            .recipient(message.recipient, &delivery.record.recipient);
        self.entries(&delivery.log, [event])
    }

    /// A mail to the sender is given up: who handed the message in does not know what became of it.
    pub(super) fn on_sender_not_informed(
        &self,
        header: &ItemHeader,
        delivery: &Delivery,
    ) -> Vec<NewEvent> {
        let message = header.about.as_ref().unwrap_or(&delivery.lease.delivery);
        tracing::error!(
            queue_id = %message,
            "a report to the sender cannot be delivered and is given up; tell them yourself"
        );
        let sender = ReversePath::Mailbox(delivery.record.recipient.clone());
        let event = Event::new(EventName::SenderNotInformed, self.now(), message.queue)
            .recipient_number(message.recipient)
            .sender(&sender);
        let event = match last_reply(delivery) {
            Some(reply) => event.reply(reply),
            None => event.reason("no way to the sender was found in time"),
        };
        self.entries(&delivery.log, [event])
    }

    /// The decision, with all that makes it again.
    fn decided(&self, delivery: &Delivery, decision: &Decision) -> Event {
        self.about(EventName::Decision, delivery)
            .decision(decision, &delivery.evidence, &self.settings.policy)
            .reason(&decision.sentence())
    }

    /// Something happened to octets that were sent.
    fn sent(&self, name: EventName, delivery: &Delivery) -> Event {
        let event = self.about(name, delivery);
        match &delivery.sent {
            Some(digest) => event.content_digest(digest),
            None => event,
        }
    }

    fn about(&self, name: EventName, delivery: &Delivery) -> Event {
        let key = &delivery.lease.delivery;
        Event::new(name, self.now(), key.queue).recipient(key.recipient, &delivery.record.recipient)
    }

    pub(super) fn entries<const N: usize>(&self, log: &Log, events: [Event; N]) -> Vec<NewEvent> {
        let entry = |event| match log.entry(event, &*self.parts.entropy) {
            Ok(entry) => Some(entry),
            Err(error) => {
                tracing::error!(%error, "an event could not be sealed");
                None
            }
        };
        events.into_iter().filter_map(entry).collect()
    }
}

/// Something of ours failed. No policy decided that, so there is nothing to replay: the event says that
/// the message waits, and why.
fn is_own_fault(decision: &Decision) -> bool {
    decision
        .findings
        .iter()
        .any(|found| found.rule == Rule::F01)
}

/// What the last host said, where it came to that.
fn last_reply(delivery: &Delivery) -> Option<&Reply> {
    let record = &delivery.record;
    let proved = record.attempts.iter();
    let last = proved.chain(&record.unproved).max_by_key(|one| one.at)?;
    match last.recipient.as_ref()? {
        RecipientOutcome::Deferred(reply)
        | RecipientOutcome::HandedOver(reply)
        | RecipientOutcome::Refused(reply) => Some(reply),
        RecipientOutcome::NotTried | RecipientOutcome::Unconfirmed => None,
    }
}
