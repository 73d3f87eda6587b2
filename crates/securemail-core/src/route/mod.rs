//! From facts about a recipient domain to a route, with the reasons.
//!
//! [`Inquiry`] says what to find out, [`StandardPolicy`] decides from it, and [`authenticate`] proves
//! the peer of a session. All three are pure: a driver asks the DNS, tells the time and connects.
//!
//! ```
//! use securemail_core::backend::{FetchError, TransportPolicy};
//! use securemail_core::route::{
//!     Ask, AskReply, Evidence, Inquiry, MessageFacts, StandardPolicy, Step,
//! };
//! use securemail_core::vocab::{Answer, DnsName, LookupFailure, Profile, UnixTime};
//!
//! let now = UnixTime::from_secs(1_767_225_600);
//! let domain = DnsName::parse("example.org")?;
//! let evidence = Evidence::new(domain, Profile::Standard, MessageFacts::at(now));
//! let mut inquiry = Inquiry::new(evidence, now);
//! let evidence = loop {
//!     match inquiry.poll() {
//!         Step::Done => break inquiry.into_evidence(),
//!         Step::Ask(asks) => {
//!             for ask in asks {
//!                 // A resolver answers here; this one is down.
//!                 let reply = match &ask {
//!                     Ask::Dns(_) => AskReply::Dns(Answer::failed(LookupFailure::Timeout, now)),
//!                     Ask::Policy { .. } => AskReply::Policy(Err(FetchError::Unreachable)),
//!                     Ask::Vantage(_) => AskReply::Vantage(Vec::new()),
//!                 };
//!                 inquiry.handle(ask, reply);
//!             }
//!         }
//!     }
//! };
//! let decision = StandardPolicy::default().decide(&evidence, now);
//! assert_eq!(
//!     decision.sentence(),
//!     "Mail for example.org is held until Thursday 1 January 2026 00:08 UTC, because the name servers of \
//!      the domain do not answer as they should."
//! );
//! # Ok::<(), securemail_core::vocab::NameError>(())
//! ```

mod alarm;
mod asked;
mod cause;
mod dane;
mod decision;
mod evidence;
mod explain;
mod explanation;
mod facts;
mod history;
mod hop;
mod host;
mod inquiry;
mod mta_sts;
mod named;
mod notice;
mod nta7516;
mod outcome;
mod partners;
mod peer;
mod policy;
mod published;
mod reach;
mod remedy;
mod replay;
mod rule;
mod sessions;
mod settings;
mod summary;
mod x509;

pub use crate::vocab::NtaSettings;
pub use alarm::{contradictions, fall};
pub use dane::{associated, unusable, usable};
pub use decision::{Decision, DeferClass, Effect, Finding, Route, Subject, VaultReason};
pub use evidence::{Asked, AttemptEvidence, Corroboration, Evidence, MessageFacts, StsEvidence};
pub use explain::exit_code;
pub use explanation::Explanation;
pub use facts::{Announcement, announcement};
pub use history::{learn, missed_until};
pub use hop::{Authentication, Authority, Hop, PeerFailure, Strength};
pub use inquiry::{Ask, AskReply, Inquiry, Step, keepable};
pub use mta_sts::{PolicyDefect, StsMode, StsPolicy, announced_id};
pub use named::{NamedFault, NamedHost, NamedStep};
pub use notice::{NoticeHop, NoticeRoute, notice_route, report_route};
pub use nta7516::{NtaCheck, NtaFinding, nta7516};
pub use peer::{Matched, PeerAuthenticated, PeerProof, Trust, authenticate};
pub use policy::StandardPolicy;
pub use published::{
    PublishedHosts, PublishedSts, PublishedTlsa, published_hosts, published_sts, published_tlsa,
};
pub use reach::Reach;
pub use remedy::Remedy;
pub use replay::Decided;
pub use rule::Rule;
pub use settings::{Network, NetworkError, PolicySettings, is_allowed, is_public};
pub use summary::Summary;
pub use x509::{public_key, valid_until};
