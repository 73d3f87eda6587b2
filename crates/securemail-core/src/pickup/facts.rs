//! What is known of a pickup from the start, and never changes.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::route::Summary;
use crate::vocab::{
    Address, DeliveryKey, Language, QueueId, TenantId, UnixTime, VaultId, VaultKey,
};

/// What is known of a pickup from the start, and never changes.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Facts {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which vault object.
    pub id: VaultId,
    /// Which message it came from; events carry it.
    pub queue: QueueId,
    /// Which recipient of its envelope, counted from 0.
    pub recipient_number: u16,
    /// The name of the organisation that recipients are shown.
    pub organisation: String,
    /// Who sent it. Personal.
    pub sender: Address,
    /// For whom it is. Personal.
    pub recipient: Address,
    /// Why it did not go directly, in one sentence without anything of the message.
    pub reason: String,
    /// The same for the sender: what the event of the decision says too, in any language.
    #[serde(default)]
    pub summary: Option<Summary>,
    /// The language that the recipient is written in: `nl`, `en`.
    pub language: String,
    /// The language that the sender is written in; where it is not known, that of the recipient.
    #[serde(default)]
    pub sender_language: Option<Language>,
    /// When it came.
    pub deposited: UnixTime,
    /// When it is destroyed at the latest.
    pub expires: UnixTime,
    /// When a message for which no number came is given back.
    pub number_until: UnixTime,
    /// How long it stays open after pickup.
    pub grace: Duration,
    /// The link is forgotten once the notice was taken.
    pub forget_link: bool,
}

impl Facts {
    /// The key of its vault object and of its record.
    #[must_use]
    pub fn key(&self) -> VaultKey {
        VaultKey {
            tenant: self.tenant.clone(),
            id: self.id,
        }
    }

    /// The delivery that it came from.
    #[must_use]
    pub fn delivery(&self) -> DeliveryKey {
        DeliveryKey {
            tenant: self.tenant.clone(),
            queue: self.queue,
            recipient: self.recipient_number,
        }
    }

    /// The language of mail to the sender; a recipient may be written in another one.
    #[must_use]
    pub fn language_of_sender(&self) -> Language {
        let of_recipient = || self.language.parse().unwrap_or_default();
        self.sender_language.unwrap_or_else(of_recipient)
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("tenant", &self.tenant.as_str())
            .field("id", &self.id)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
