//! What somebody must be told, and that it was.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Facts;
use crate::secret::SecretText;
use crate::vocab::{QueueId, UnixTime, VaultKey};

/// What a content-free mail is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum TellKind {
    /// To the sender: the recipient's server refused the notice.
    NoticeRefused,
    /// To the recipient: a message waits.
    Notice,
    /// To the recipient: a message waits, once more, by the sender's wish.
    NoticeAgain,
    /// To the sender: a number is needed.
    NumberMissing,
    /// To the sender: a number is still needed.
    NumberReminder,
    /// To the sender: given back, no number came.
    NumberNeverCame,
    /// To the sender: the recipient or the carrier says that the number is wrong.
    NumberWrong,
    /// To the recipient: the message still waits.
    Reminder,
    /// To the sender: three wrong codes; it can be released.
    Locked,
    /// To the sender: not picked up in time, destroyed.
    Expired,
}

impl TellKind {
    /// Whether its arrival is no event: it goes out as long as nobody came, so that it would date when
    /// somebody did (P7).
    #[must_use]
    pub const fn arrives_quietly(self) -> bool {
        match self {
            Self::NoticeAgain | Self::Reminder => true,
            Self::NoticeRefused
            | Self::Notice
            | Self::NumberMissing
            | Self::NumberReminder
            | Self::NumberNeverCame
            | Self::NumberWrong
            | Self::Locked
            | Self::Expired => false,
        }
    }

    /// Whether it goes to the recipient (a notice) and not to the sender (sender mail).
    #[must_use]
    pub const fn is_notice(self) -> bool {
        match self {
            Self::Notice | Self::NoticeAgain | Self::Reminder => true,
            Self::NoticeRefused
            | Self::NumberMissing
            | Self::NumberReminder
            | Self::NumberNeverCame
            | Self::NumberWrong
            | Self::Locked
            | Self::Expired => false,
        }
    }
}

/// Something that somebody has not been told yet; it stands in the record until it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Untold {
    /// What.
    pub kind: TellKind,
    /// Which one of its record.
    pub serial: u32,
    /// Since when.
    pub since: UnixTime,
}

/// What names a [`Tell`] when it was committed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    /// Which pickup.
    pub key: VaultKey,
    /// Which tell of it.
    pub serial: u32,
}

/// A content-free mail that must be committed to the spool; then it is told.
#[derive(Clone)]
pub struct Tell {
    /// What it is about.
    pub kind: TellKind,
    /// Which one of its record.
    pub serial: u32,
    /// The facts of the pickup; nothing of the message is among them.
    pub facts: Facts,
    /// The last two digits of the number that codes go to, where there is one.
    pub last_two: Option<String>,
    /// To a recipient the pickup link, to a sender the link of the form; none where nothing is left.
    pub link: Option<SecretText>,
}

impl Tell {
    /// What names it afterwards.
    #[must_use]
    pub fn told(&self) -> Told {
        Told {
            key: self.facts.key(),
            serial: self.serial,
        }
    }

    /// The id of its mail: always the same for the same tell, so that a commit repeated after a crash
    /// meets its own result.
    #[must_use]
    pub fn queue(&self) -> QueueId {
        let digest = Sha256::new()
            .chain_update(b"securemail/v1/tell\0")
            .chain_update(self.facts.tenant.as_str())
            .chain_update([0])
            .chain_update(self.facts.id.as_bytes())
            .chain_update(self.serial.to_be_bytes())
            .finalize();
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(digest) {
            *to = from;
        }
        QueueId::from_bytes(id)
    }
}

impl fmt::Debug for Tell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tell")
            .field("kind", &self.kind)
            .field("serial", &self.serial)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}
