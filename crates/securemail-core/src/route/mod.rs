//! From facts about a recipient domain to a route, with the reasons.

mod decision;
mod evidence;
mod hop;
mod peer;
mod rule;
mod x509;

pub use decision::{Decision, DeferClass, Effect, Finding, Route, Subject, VaultReason};
pub use evidence::{Asked, AttemptEvidence, Evidence, MessageFacts, StsEvidence};
pub use hop::{Authentication, Authority, Hop, PeerFailure, Strength};
pub use peer::{Matched, PeerAuthenticated, PeerProof, Trust, authenticate};
pub use rule::Rule;
pub use x509::public_key;
