//! From facts about a recipient domain to a route, with the reasons.

mod decision;
mod evidence;
mod hop;
mod rule;

pub use decision::{Decision, DeferClass, Effect, Finding, Route, Subject, VaultReason};
pub use evidence::{Asked, AttemptEvidence, Evidence, MessageFacts, StsEvidence};
pub use hop::{Authentication, Authority, Hop, PeerFailure, Strength};
pub use rule::Rule;
