//! Evidence: what happened to a message, so that it can be shown and cannot be changed unseen.
//!
//! [`event`] has the events and their facts, [`log`] turns them into log entries and back, [`mod@chain`]
//! makes a change visible, [`timeline`](timeline()) tells people what happened.

pub mod chain;
pub mod event;
pub mod log;
mod node;
mod timeline;

pub use chain::{BrokenAt, Verifier, chain, leaf_hash, verify};
pub use event::{Event, EventName, Fact};
pub use log::{Log, PersonalPart, ReadError, ReadEvent, commitment};
pub use node::lasting_alarms;
pub use timeline::timeline;
