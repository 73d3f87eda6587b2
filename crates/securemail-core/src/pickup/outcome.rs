//! What a transition of a pickup comes to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ChallengeId;
use super::code;
use super::tell::TellKind;
use crate::vocab::{PhoneNumber, UnixTime};

/// The answer to a wish for a code.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CodeGrant {
    /// Send the code of `challenge` to `phone`; it counts already.
    Send {
        /// Whose code.
        challenge: ChallengeId,
        /// Where to.
        phone: PhoneNumber,
        /// Until when it is good.
        until: UnixTime,
    },
    /// None is sent.
    Refused(NoCode),
}

/// Why no code is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoCode {
    /// The message is no longer there, or has no number.
    Ended,
    /// Three wrong codes; the sender must release it.
    Locked,
    /// As many as may be sent were sent.
    SpentUntil(UnixTime),
    /// One was sent just now.
    TooSoonUntil(UnixTime),
}

/// The answer to a code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Checked {
    /// There is no message to open any more.
    Ended,
    /// No code is out, or it is too old. It does not count.
    Expired,
    /// The message is locked already.
    Locked,
    /// This was the last wrong one; now it is locked.
    LockedNow,
    /// Not a code at all. It does not count.
    Malformed(code::Malformed),
    /// Right: the session may begin.
    Right,
    /// Wrong, and counted.
    Wrong {
        /// How many tries are left.
        left: u8,
    },
}

/// What the passing of time did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Passed {
    /// Nothing.
    Unchanged,
    /// Somebody must be told.
    Reminded,
    /// It is over: destroy.
    Over(Ending),
}

/// Something that is so and does not stand in the tenant's log yet.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Unlogged {
    /// Tells it from others of the same pickup.
    pub serial: u32,
    /// What.
    pub what: Loggable,
    /// Since when.
    pub at: UnixTime,
}

impl Unlogged {
    /// When it is logged by the sweep: who made it so has had the time to log it, and did not.
    pub(super) fn due(&self) -> UnixTime {
        self.at.plus(Duration::from_secs(60))
    }
}

/// A change of a pickup that the tenant's log must hold.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Loggable {
    /// A wrong code was typed.
    CodeWrong,
    /// It is destroyed.
    Destroyed(Ending),
    /// It was locked.
    Locked,
}

/// Why a pickup is over.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Ending {
    /// Its content never became durable; its keys are of no use.
    Abandoned,
    /// Not picked up in time.
    Expired,
    /// Picked up, and the grace time is over.
    GraceOver,
    /// The recipient's server refused the notice, and the link is forgotten.
    NoticeRefused,
    /// No telephone number came.
    NumberNeverCame,
    /// The recipient destroyed it.
    RecipientsWish,
}

impl Ending {
    /// What the sender is told, if anything. That a message was read is not among it (P7).
    pub(super) const fn tells(self) -> Option<TellKind> {
        match self {
            Self::Expired => Some(TellKind::Expired),
            Self::NoticeRefused => Some(TellKind::NoticeRefused),
            Self::NumberNeverCame => Some(TellKind::NumberNeverCame),
            Self::Abandoned | Self::GraceOver | Self::RecipientsWish => None,
        }
    }
}
