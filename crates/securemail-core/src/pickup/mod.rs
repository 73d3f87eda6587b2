//! The state machine of a pickup: one sealed message that waits for one recipient. Pure.
//!
//! [`Pickup`] holds the state and its transitions; [`LinkSecret`] and [`SenderToken`] are what the
//! mails carry; [`code`] makes and reads one-time codes; [`Tell`] is what somebody must be told.
//! `drive::pickup` runs it over the back-ends.

pub mod code;
mod ending;
mod facts;
mod gate;
mod link;
mod news;
mod outcome;
mod state;
mod tell;

pub use facts::Facts;
pub use link::{LinkDigest, LinkSecret, SenderToken, SessionToken};
pub use outcome::{Checked, CodeGrant, Ending, Loggable, NoCode, Passed, Unlogged};
pub(crate) use state::LONGEST;
pub use state::{ChallengeId, Phase, Pickup};
pub use tell::{Tell, TellKind, Told, Untold};
