//! Into the vault, and telling whom it concerns.

use std::sync::Arc;

use super::Relay;
use super::deliver::Delivery;
use super::item::{DeliveryRecord, ItemHeader};
use super::pickup::{Deposit, Deposited, PickupError};
use super::reached::{Reached, reached};
use crate::StoreError;
use crate::backend::{Committed, End, ItemClass, Lease, NewEvent, Settlement};
use crate::ledger::Log;
use crate::mail;
use crate::pickup::Tell;
use crate::route::{Decision, Route, VaultReason};
use crate::vocab::{Address, Content, DeliveryKey, Tenant};

impl Relay {
    /// Seals the message into the vault, settles its delivery, and tells the recipient, or asks the
    /// sender for a number.
    pub(super) async fn divert(
        &self,
        header: &ItemHeader,
        content: &Arc<dyn Content>,
        delivery: &Delivery,
        decision: &Decision,
    ) -> Result<Committed, StoreError> {
        let key = &delivery.lease.delivery;
        let tenant = self
            .parts
            .directory
            .tenant(&key.tenant)
            .await?
            .ok_or(StoreError::Corrupt("a delivery of a tenant that is gone"))?;
        let recipient = &delivery.record.recipient;
        let wished = &header.wished;
        let language = wished.language(&tenant);
        let phone = match wished.number(recipient) {
            Some(number) => Some(number),
            None => self.parts.directory.phone(&key.tenant, recipient).await?,
        };
        let tenant = Tenant {
            retention: wished.retention(&tenant),
            ..tenant
        };
        let deposit = Deposit {
            // Of one submission there is one pickup, also where the first attempt at it was lost.
            delivery: delivery.record.first.as_ref().unwrap_or(key).clone(),
            sender: self.sender_of(header),
            recipient: recipient.clone(),
            // It is diverted with its mark, never in silence.
            content: delivery.record.marked(content),
            reason: mail::reason(reason_of(decision), language).to_owned(),
            summary: decision.summary(),
            phone,
            language: language.to_string(),
            sender_language: Self::language(&tenant.languages),
            tenant,
            events: Vec::new(),
        };
        let decided = self.on_decision(delivery, decision);
        let (kept_as, tell) = self.deposit(deposit, (key, &decided)).await?;
        let mut events = Vec::new();
        if kept_as != *key {
            events.extend(decided);
            events.extend(self.on_met(&delivery.log, (key, recipient), &kept_as));
        }
        self.settle_vaulted(&delivery.lease, events, tell).await?;
        self.observe_end(End::Vaulted, header.accepted);
        Ok(Committed::assertion(key.queue))
    }

    /// Into the vault, under the id that `deposit` says: under which delivery it is there, and who must
    /// be told now. Where that is its own, `decided` is logged with it.
    async fn deposit(
        &self,
        mut deposit: Deposit,
        (own, decided): (&DeliveryKey, &[NewEvent]),
    ) -> Result<(DeliveryKey, Option<Tell>), StoreError> {
        if deposit.delivery != *own {
            match self.pickups.deposit(deposit.clone()).await {
                // Another attempt's pickup is over, and nobody knows why: this one is not lost with it.
                Err(PickupError::Destroyed) => deposit.delivery = own.clone(),
                Ok(deposited) => return Ok((deposit.delivery, deposited.tell)),
                Err(error) => return Err(StoreError::unavailable(error)),
            }
        }
        deposit.events = decided.to_vec();
        // What was in the vault under its own id was settled before it came here: keys that are gone are
        // those of a deposit that never was complete, and the message is not lost with them.
        let deposited = self
            .pickups
            .deposit(deposit)
            .await
            .map_err(StoreError::unavailable)?;
        Ok((own.clone(), deposited.tell))
    }

    /// Settles a delivery that an earlier attempt brought to its end and did not live to settle, and says
    /// whether there was one. What somebody was told is not decided anew: evidence changes, and a copy would
    /// come beside a notice, or beside a DSN.
    pub(super) async fn settle_reached(
        &self,
        header: &ItemHeader,
        lease: &Lease,
        record: &DeliveryRecord,
    ) -> Result<bool, StoreError> {
        let key = &lease.delivery;
        let log = self.log(&key.tenant).await?;
        match reached(self.pickups.audit(), &log, key).await? {
            Some(Reached::GivenBack) => {
                self.settle(lease, Settlement::Bounced, Vec::new()).await?;
                self.observe_end(End::Bounced, header.accepted);
                return Ok(true);
            }
            Some(Reached::Vaulted) => {
                let deposited = self
                    .pickups
                    .resume(key)
                    .await
                    .map_err(StoreError::unavailable)?;
                let tell = deposited.and_then(|deposited| deposited.tell);
                self.settle_vaulted(lease, Vec::new(), tell).await?;
                self.observe_end(End::Vaulted, header.accepted);
                return Ok(true);
            }
            None => {}
        }
        let Some(first) = &record.first else {
            return Ok(false);
        };
        let Some(Deposited { tell, .. }) = self.resume_lost(&log, first).await? else {
            return Ok(false);
        };
        let events = self.on_met(&log, (key, &record.recipient), first);
        self.settle_vaulted(lease, events, tell).await?;
        self.observe_end(End::Vaulted, header.accepted);
        Ok(true)
    }

    /// The deposit of a lost attempt, where it still waits and a repeat can meet it.
    async fn resume_lost(
        &self,
        log: &Log,
        first: &DeliveryKey,
    ) -> Result<Option<Deposited>, StoreError> {
        match reached(self.pickups.audit(), log, first).await? {
            Some(Reached::Vaulted) => self
                .pickups
                .resume(first)
                .await
                .map_err(StoreError::unavailable),
            Some(Reached::GivenBack) | None => Ok(None),
        }
    }

    /// Covers a repeat whose lost `first` attempt waits in the vault; `None` where it does not.
    pub(super) async fn meet(
        &self,
        log: &Log,
        (lease, recipient): (&Lease, &Address),
        first: &DeliveryKey,
    ) -> Result<Option<Committed>, StoreError> {
        let Some(Deposited { tell, .. }) = self.resume_lost(log, first).await? else {
            return Ok(None);
        };
        let events = self.on_met(log, (&lease.delivery, recipient), first);
        if let Err(error) = self.settle_vaulted(lease, events, tell).await {
            // It is there all the same; the intent lapses, and one more repeat meets the same.
            tracing::warn!(queue_id = %lease.delivery, %error, "in the vault, and not settled");
        }
        Ok(Some(Committed::assertion(lease.delivery.queue)))
    }

    /// The vault has it: settles the delivery, then tells.
    async fn settle_vaulted(
        &self,
        lease: &Lease,
        events: Vec<NewEvent>,
        tell: Option<Tell>,
    ) -> Result<(), StoreError> {
        self.settle(lease, Settlement::Vaulted, events).await?;
        if let Some(tell) = tell
            && let Err(error) = self.tell(tell).await
        {
            // The pickup's record still says that somebody must be told; the sweep comes back to it.
            tracing::warn!(queue_id = %lease.delivery, %error, "somebody must still be told");
        }
        Ok(())
    }

    /// Commits the mail of a tell; then it is told.
    pub(super) async fn tell(&self, tell: Tell) -> Result<(), StoreError> {
        let told = tell.told();
        let own = self.mail_of(&tell)?;
        self.commit_own(own).await?;
        self.pickups
            .told(&told)
            .await
            .map_err(StoreError::unavailable)
    }

    /// Who is asked and told: the reverse-path, or the author where there is none.
    fn sender_of(&self, header: &ItemHeader) -> Address {
        header
            .reverse_path
            .mailbox()
            .or(header.author.as_ref())
            .unwrap_or(&self.settings.notice_from)
            .clone()
    }
}

/// Why it is the vault; the sentence for recipients follows from it.
const fn reason_of(decision: &Decision) -> VaultReason {
    match decision.route {
        Route::Vault { reason } => reason,
        Route::Bounce { .. } | Route::Defer { .. } | Route::Deliver(_) => VaultReason::Required,
    }
}

/// Notices go to recipients, everything else to the sender.
pub(super) const fn class_of(tell: &Tell) -> ItemClass {
    if tell.kind.is_notice() {
        ItemClass::Notice
    } else {
        ItemClass::SenderMail
    }
}
