//! DNSSEC-validated DNS, a second validator, vantages, and MTA-STS policies over HTTPS.
//!
//! [`HickoryResolver`] answers the questions of a route decision. It validates every answer itself, from the root's
//! keys down, and asks a second validator where one is configured; what the two do not agree on is a failure, and a
//! failure is never absence. [`PolicyClient`] fetches MTA-STS policies, [`ReportClient`] posts
//! reports about TLS.
//!
//! The servers it asks must be recursive and must pass DNSSEC records on; [`HickoryResolver::probe`] finds out.
//!
//! hickory writes the names that it looks up into its own traces (target `hickory_net`); a program that must keep
//! domains out of its logs leaves that target off.

mod anchor;
mod authority;
mod cache;
mod canary;
mod exchange;
mod policy;
mod probe;
mod reading;
mod records;
mod reports;
mod resolver;
mod second;
mod settings;
mod upstream;
mod vantage;

pub use anchor::AnchorError;
#[doc(hidden)]
pub use anchor::count_anchors;
pub use authority::{AuthorityAnswer, ask_authority};
pub use canary::{Canaries, CanaryAlarm, CanaryReport};
pub use policy::{PolicyClient, PolicySettings};
pub use probe::ProbeError;
#[doc(hidden)]
pub use reading::read_octets;
pub use reports::ReportClient;
pub use resolver::HickoryResolver;
pub use settings::{BuildError, ResolverSettings, VantageSettings};
