//! Into the vault, and telling whom it concerns.

use std::sync::Arc;

use super::Relay;
use super::deliver::Delivery;
use super::item::ItemHeader;
use super::pickup::{Deposit, PickupError};
use crate::StoreError;
use crate::backend::{Committed, End, ItemClass, Settlement};
use crate::ledger::EventName;
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
            why: decision.sentence(),
            phone,
            language: language.to_string(),
            tenant,
        };
        let (kept_as, tell) = self.deposit(deposit, key).await?;
        let mut events = self.on_decision(delivery, decision);
        if kept_as != *key {
            let words = format!(
                "in the vault since an earlier attempt, as {}",
                kept_as.queue
            );
            events.extend(self.on_happened(EventName::ContentConsignment, delivery, &words));
        }
        self.settle(&delivery.lease, Settlement::Vaulted, events)
            .await?;
        self.observe_end(End::Vaulted, header.accepted);
        if let Some(tell) = tell
            && let Err(error) = self.tell(tell).await
        {
            // The pickup's record still says that somebody must be told; the sweep comes back to it.
            tracing::warn!(queue_id = %key, %error, "somebody must still be told");
        }
        Ok(Committed::assertion(key.queue))
    }

    /// Into the vault, under the id that `deposit` says: under which delivery it is there, and who must
    /// be told now.
    async fn deposit(
        &self,
        mut deposit: Deposit,
        own: &DeliveryKey,
    ) -> Result<(DeliveryKey, Option<Tell>), StoreError> {
        let mut deposited = self.pickups.deposit(deposit.clone()).await;
        if matches!(deposited, Err(PickupError::Destroyed)) && deposit.delivery != *own {
            // Another attempt's pickup is over, and nobody knows why: this one is not lost with it.
            deposit.delivery = own.clone();
            deposited = self.pickups.deposit(deposit.clone()).await;
        }
        match deposited {
            Ok(deposited) => Ok((deposit.delivery, deposited.tell)),
            // It was there, was picked up and destroyed; what is left is to write down that it is.
            Err(PickupError::Destroyed) => Ok((deposit.delivery, None)),
            Err(error) => Err(StoreError::Unavailable(error.into())),
        }
    }

    /// Commits the mail of a tell; then it is told.
    pub(super) async fn tell(&self, tell: Tell) -> Result<(), StoreError> {
        let told = tell.told();
        let own = self.mail_of(&tell)?;
        self.commit_own(own).await?;
        self.pickups
            .told(&told)
            .await
            .map_err(|error| StoreError::Unavailable(error.into()))
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

/// The delivery that a pickup came from; pickups know the message and the vault object.
pub(super) fn about(tell: &Tell) -> DeliveryKey {
    DeliveryKey {
        tenant: tell.facts.tenant.clone(),
        queue: tell.facts.queue,
        recipient: tell.facts.recipient_number,
    }
}
