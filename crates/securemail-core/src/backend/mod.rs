//! The traits that adapters implement: small, dyn-compatible, each with a numbered contract.
//!
//! No method has a default body, so an adapter that forgets one does not compile. A contract is
//! checked by the conformance suites of `securemail-testkit`; an adapter runs them with one macro.

mod audit;
mod census;
mod directory;
mod keys;
mod memory;
mod notifier;
mod observer;
mod pickups;
mod policy;
mod reports;
mod resolver;
mod returns;
mod scanner;
mod signatures;
mod signing;
mod spool;
mod system;
mod transport;
mod vault;

pub use audit::{AuditSink, EventPage, NewEvent, StoredEvent};
pub use census::{Census, Counts};
pub use directory::Directory;
pub use keys::{KeyError, KeyPurpose, KeyRef, KeyStore, MasterKey, WrappedKey};
pub use memory::{
    CachedPolicy, DomainHistory, DomainMemory, FailedFetch, HostHistory, ReceivedReport,
    ReportClaim, ReportSettlement, Span,
};
pub use notifier::{CodeMessage, Notifier, NotifyError, Receipt};
pub use observer::{AttemptKind, End, Fact, Observer, PolicyRefresh};
pub use pickups::{AddressPrefix, Budget, PickupRecord, Pickups, Spent};
pub use policy::TransportPolicy;
pub use reports::{PostError, ReportPoster};
pub use resolver::{FetchError, FetchedPolicy, PolicyFetcher, Resolver, VantageView};
pub use returns::{
    Login, LoginError, ReturnAttempt, ReturnHost, ReturnHosts, ReturnOutcome, ReturnTransport,
    TlsStart,
};
pub use scanner::{ScanError, Scanner, Verdict};
pub use signatures::{Signatures, Signers};
pub use signing::{DkimAlgorithm, DkimSigner, SigningError, SigningKeys};
pub use spool::{
    Claim, Committed, DeliveryState, DsnCommitted, Due, DueMail, Earlier, HandedOver, Intent,
    ItemClass, Lease, Leased, NewDelivery, NewItem, ResubmissionKey, Settlement, Spool,
};
pub use system::{Clock, Entropy, Executor, NoEntropy};
pub use transport::{
    Attempt, AttemptReport, Connection, DotClosed, FinalDot, Lack, NoticeAttempt, NoticeTransport,
    OtherSession, PeerFacts, RecipientOutcome, SessionOutcome, Transport,
};
pub use vault::Vault;

/// Every trait is dyn-compatible, and a handle on it may cross threads.
const _: () = {
    const fn shared<T: Send + Sync + ?Sized>() {}
    shared::<dyn AuditSink>();
    shared::<dyn Census>();
    shared::<dyn Clock>();
    shared::<dyn Directory>();
    shared::<dyn DkimSigner>();
    shared::<dyn DomainMemory>();
    shared::<dyn Entropy>();
    shared::<dyn Executor>();
    shared::<dyn KeyStore>();
    shared::<dyn MasterKey>();
    shared::<dyn NoticeTransport>();
    shared::<dyn Notifier>();
    shared::<dyn Observer>();
    shared::<dyn Pickups>();
    shared::<dyn PolicyFetcher>();
    shared::<dyn ReportPoster>();
    shared::<dyn Resolver>();
    shared::<dyn ReturnHosts>();
    shared::<dyn ReturnTransport>();
    shared::<dyn Scanner>();
    shared::<dyn Signatures>();
    shared::<dyn SigningKeys>();
    shared::<dyn Spool>();
    shared::<dyn Transport>();
    shared::<dyn Vault>();
};
