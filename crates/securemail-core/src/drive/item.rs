//! What the spool keeps of a message and of each delivery, sealed: the spool sees octets only.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Relay;
use super::wished::Wished;
use crate::StoreError;
use crate::backend::{DeliveryState, RecipientOutcome};
use crate::mail;
use crate::route::AttemptEvidence;
use crate::vocab::{
    AccountId, Address, Concat, Content, DeliveryKey, Demands, QueueId, ReversePath, TenantId,
    UnixTime, VaultId,
};

/// What all deliveries of an item share.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct ItemHeader {
    /// Who handed it in; `None` for our own mail.
    pub account: Option<AccountId>,
    /// The first mailbox of From; asked where there is no reverse-path.
    pub author: Option<Address>,
    /// Where failures go.
    pub reverse_path: ReversePath,
    /// When it was accepted.
    pub accepted: UnixTime,
    /// Its size in octets.
    pub size: u64,
    /// Its content key, wrapped under the spool key of `day`.
    pub wrapped_key: Vec<u8>,
    /// The day whose spool key wraps it: days since 1970.
    pub day: u64,
    /// The Message-ID, to tell the sender which message is meant.
    pub message_id: Option<String>,
    /// What the sender asked, and whether a rule requires the vault.
    pub wished: Wished,
    /// What every host that carries it must offer.
    #[serde(default)]
    pub demands: Demands,
    /// For our own mail: the message that it is about.
    pub about: Option<DeliveryKey>,
    /// For a notice: the vault object that it speaks of.
    pub vault: Option<VaultId>,
    /// For a notice: that it arrived is no event.
    #[serde(default)]
    pub arrives_quietly: bool,
    /// For sender mail: the same news without any detail, where no way to the sender is proved.
    pub bland: Option<Vec<u8>>,
}

/// What one delivery has gone through.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct DeliveryRecord {
    /// For whom.
    pub recipient: Address,
    /// Sessions tried so far, the latest last; the policy judges by them.
    pub attempts: Vec<AttemptEvidence>,
    /// For our own mail: the latest session with a host that proved nothing. What it said is told, and
    /// nothing is judged by it: in `attempts` it would count as said by the recipient's own host.
    #[serde(default)]
    pub unproved: Option<AttemptEvidence>,
    /// How many rounds were made.
    pub rounds: u32,
    /// The sender was told of the delay, or of the refusal of a notice.
    pub delay_told: bool,
    /// The operator was called: something is wrong that an attack would look like.
    pub alarmed: bool,
    /// The first delivery of its submission, where attempts at that were lost: what is done once for
    /// both has its id from that one.
    #[serde(default)]
    pub first: Option<DeliveryKey>,
    /// The vault may have it.
    #[serde(default)]
    pub deposited: bool,
}

impl DeliveryRecord {
    /// A delivery that was not tried yet.
    pub(super) const fn new(recipient: Address) -> Self {
        Self {
            recipient,
            attempts: Vec::new(),
            unproved: None,
            rounds: 0,
            delay_told: false,
            alarmed: false,
            first: None,
            deposited: false,
        }
    }

    /// Adds a session. Only the latest are kept, since the policy looks no further back; but one that
    /// ended without its reply goes last, since what follows it is a possible duplicate for good.
    pub(super) fn note(&mut self, attempt: AttemptEvidence) {
        self.attempts.push(attempt);
        while self.attempts.len() > Self::ATTEMPTS_KEPT {
            let goes = self.attempts.iter().position(|one| !is_unconfirmed(one));
            self.attempts.remove(goes.unwrap_or(0));
        }
    }

    /// The peer may have it from a session that ended without its reply (class U).
    pub(super) fn may_have_arrived(&self) -> bool {
        self.attempts.iter().any(is_unconfirmed)
    }

    /// `content` as it goes out now: marked where the peer may have it already.
    pub(super) fn marked(&self, content: &Arc<dyn Content>) -> Arc<dyn Content> {
        if self.may_have_arrived() {
            Arc::new(Concat::new(mail::duplicate_mark(), content.clone()))
        } else {
            content.clone()
        }
    }

    const ATTEMPTS_KEPT: usize = 40;
}

fn is_unconfirmed(attempt: &AttemptEvidence) -> bool {
    attempt.recipient == Some(RecipientOutcome::Unconfirmed)
}

impl Relay {
    /// Seals `value` for the item `queue` of `tenant`.
    pub(super) fn seal_record<T: Serialize>(
        &self,
        tenant: &TenantId,
        queue: QueueId,
        value: &T,
    ) -> Result<Vec<u8>, StoreError> {
        let plain = serde_json::to_vec(value).map_err(StoreError::unavailable)?;
        self.spool_cipher
            .seal(&record_context(tenant, queue), &plain, &*self.parts.entropy)
            .map_err(StoreError::unavailable)
    }

    /// Opens what [`seal_record`](Self::seal_record) made.
    pub(super) fn open_record<T: DeserializeOwned>(
        &self,
        tenant: &TenantId,
        queue: QueueId,
        sealed: &[u8],
    ) -> Result<T, StoreError> {
        let plain = self
            .spool_cipher
            .open(&record_context(tenant, queue), sealed)
            .map_err(|_| StoreError::Corrupt("a spool record does not open"))?;
        serde_json::from_slice(&plain)
            .map_err(|_| StoreError::Corrupt("a spool record does not parse"))
    }
}

fn record_context(tenant: &TenantId, queue: QueueId) -> Vec<u8> {
    let mut context = b"spool\0".to_vec();
    context.extend_from_slice(tenant.as_str().as_bytes());
    context.push(0);
    context.extend_from_slice(queue.as_bytes());
    context
}

/// Whether an earlier submission in this state covers a repeated one.
pub(super) const fn covers(state: DeliveryState) -> bool {
    match state {
        DeliveryState::Queued | DeliveryState::Sent | DeliveryState::Vaulted => true,
        DeliveryState::Bounced | DeliveryState::Intended | DeliveryState::Released => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::SessionOutcome;
    use crate::vocab::{DnsName, Reply};

    fn attempt(recipient: RecipientOutcome) -> AttemptEvidence {
        AttemptEvidence {
            host: DnsName::parse("mx.example.org").unwrap(),
            at: UnixTime::from_secs(1_795_255_200),
            outcome: SessionOutcome::Completed,
            recipient: Some(recipient),
        }
    }

    #[test]
    fn a_possible_duplicate_stays_one_however_often_it_is_tried() {
        let later = RecipientOutcome::Deferred(Reply::new(451, None, "later"));
        let mut record = DeliveryRecord::new(Address::parse("eva@example.org").unwrap());
        record.note(attempt(later.clone()));
        assert!(!record.may_have_arrived());
        record.note(attempt(RecipientOutcome::Unconfirmed));
        for _ in 0..10 * DeliveryRecord::ATTEMPTS_KEPT {
            record.note(attempt(later.clone()));
        }
        assert!(record.may_have_arrived());
        assert_eq!(record.attempts.len(), DeliveryRecord::ATTEMPTS_KEPT);
        for _ in 0..10 * DeliveryRecord::ATTEMPTS_KEPT {
            record.note(attempt(RecipientOutcome::Unconfirmed));
        }
        assert_eq!(record.attempts.len(), DeliveryRecord::ATTEMPTS_KEPT);
    }
}
