//! From facts about a recipient domain to a route, with the reasons.
//!
//! [`Inquiry`] says what to find out, [`StandardPolicy`] decides from it, and [`authenticate`] proves
//! the peer of a session. All three are pure.

mod dane;
mod decision;
mod evidence;
mod explain;
mod facts;
mod history;
mod hop;
mod host;
mod inquiry;
mod mta_sts;
mod notice;
mod outcome;
mod peer;
mod policy;
mod rule;
mod sessions;
mod settings;
mod x509;

pub use dane::{unusable, usable};
pub use decision::{Decision, DeferClass, Effect, Finding, Route, Subject, VaultReason};
pub use evidence::{Asked, AttemptEvidence, Corroboration, Evidence, MessageFacts, StsEvidence};
pub use explain::exit_code;
pub use history::learn;
pub use hop::{Authentication, Authority, Hop, PeerFailure, Strength};
pub use inquiry::{Ask, AskReply, Inquiry, Step};
pub use mta_sts::{PolicyDefect, StsMode, StsPolicy, announced_id};
pub use notice::{NoticeHop, NoticeRoute, notice_route};
pub use peer::{Matched, PeerAuthenticated, PeerProof, Trust, authenticate};
pub use policy::StandardPolicy;
pub use rule::Rule;
pub use settings::{Network, NetworkError, PolicySettings, is_public};
pub use x509::public_key;
