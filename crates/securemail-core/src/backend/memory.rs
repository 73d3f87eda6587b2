//! What was seen of recipient domains before, and how sessions with them went.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::FetchError;
use crate::StoreError;
use crate::tlsrpt::{DomainSessions, Report, Session, UtcDay};
use crate::vocab::{DnsName, Profile, UnixTime};

/// Remembers domains across restarts and nodes: their best proof so far, their MTA-STS policies, counts
/// of sessions with them (RFC 8460), and the reports about our own domains that came in.
///
/// # Contract
/// - **R1** What `remember` and `put_policy` returned `Ok` for is recalled, also after a restart.
/// - **R2** `remember` replaces the record of the domain; `put_policy` replaces its policy. To forget what
///   a domain showed, remember `DomainHistory::default()`.
/// - **R3** What was never remembered is `Ok(None)`; an error never means absence.
/// - **R4** `watch` puts a domain on the list of those whose policy is looked at in the background. One that
///   stands there keeps its time, and its end only grows. A list of `WATCHED_DOMAINS_MAX` takes no more,
///   which is no error.
/// - **R5** `claim_due` gives each domain whose time has come to one caller only, the longest overdue first;
///   it comes again at `again`, unless `looked_at` names another time. What has passed its end leaves.
/// - **R6** Counts add up, whoever counts, also after a restart; one call counts all that it was given, or
///   nothing.
/// - **R7** Of one domain and day at most `limits::TLS_SESSION_KINDS_MAX` kinds of sessions are kept; what
///   is beyond is left out without an error.
/// - **R8** `claim_report` gives a domain and day to one caller at a time, once it is due, the longest due
///   first, with all its counts. A claim that was not settled is given again when its lease ends.
/// - **R9** `settle_report` with a claim that is not the newest fails with `LeaseLost` and changes nothing.
/// - **R10** What was settled `Done` is never given again, and nothing is counted for it any more.
/// - **R11** A report that came in is kept once, by domain and key; `received_reports` gives those about a
///   domain, the newest day first, and of a day those with a signer first. Of one domain and day at most
///   `limits::TLS_REPORTS_A_DAY_MAX` with a signer are kept, of `limits::TLS_REPORTS_A_DAY_OCTETS_MAX` octets
///   of JSON together; and as many without. More are left out without an error.
/// - **R12** `forget_reports` forgets what is of days before the one it is given, and nothing else.
#[async_trait]
pub trait DomainMemory: fmt::Debug + Send + Sync + 'static {
    /// What was seen of `domain`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn recall(&self, domain: &DnsName) -> Result<Option<DomainHistory>, StoreError>;

    /// Keeps what was seen.
    ///
    /// # Errors
    /// `Full`, `Unavailable`.
    async fn remember(&self, domain: &DnsName, history: &DomainHistory) -> Result<(), StoreError>;

    /// The last valid MTA-STS policy of `domain`, expired or not.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn policy(&self, domain: &DnsName) -> Result<Option<CachedPolicy>, StoreError>;

    /// Keeps a policy.
    ///
    /// # Errors
    /// `Full`, `Unavailable`.
    async fn put_policy(&self, domain: &DnsName, policy: &CachedPolicy) -> Result<(), StoreError>;

    /// Has the policy of `domain` looked at in the background, first at `due`, no longer than `until`.
    ///
    /// # Errors
    /// `Full`, `Unavailable`.
    async fn watch(
        &self,
        domain: &DnsName,
        due: UnixTime,
        until: UnixTime,
    ) -> Result<(), StoreError>;

    /// Takes at most `most` domains whose time has come; nobody else gets them before `again`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn claim_due(
        &self,
        now: UnixTime,
        again: UnixTime,
        most: usize,
    ) -> Result<Vec<DnsName>, StoreError>;

    /// The domain was looked at, and is next at `due`. One that is not watched stays so.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn looked_at(&self, domain: &DnsName, due: UnixTime) -> Result<(), StoreError>;

    /// Adds to the counts of domains and days.
    ///
    /// # Errors
    /// `Full`, `Unavailable`.
    async fn count_sessions(&self, counted: &[DomainSessions]) -> Result<(), StoreError>;

    /// The report that is longest due at `now`, leased to the caller; `None` where none is.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn claim_report(
        &self,
        now: UnixTime,
        lease: Duration,
    ) -> Result<Option<ReportClaim>, StoreError>;

    /// Says what became of a claim.
    ///
    /// # Errors
    /// `LeaseLost`, `Unavailable`.
    async fn settle_report(
        &self,
        claim: &ReportClaim,
        settlement: ReportSettlement,
    ) -> Result<(), StoreError>;

    /// Keeps a report about one of our own domains.
    ///
    /// # Errors
    /// `Full`, `Unavailable`.
    async fn keep_received(&self, report: &ReceivedReport) -> Result<(), StoreError>;

    /// The reports about `domain` that came in, at most `limit`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn received_reports(
        &self,
        domain: &DnsName,
        limit: usize,
    ) -> Result<Vec<ReceivedReport>, StoreError>;

    /// Forgets counts of days before `counts`, and reports received of days before `received`; returns how
    /// many of both.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn forget_reports(&self, counts: UtcDay, received: UtcDay) -> Result<usize, StoreError>;
}

/// The right to report one day to one domain, fenced: a later claim makes an earlier one void.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReportClaim {
    /// Whose `_smtp._tls` record says where it goes.
    pub domain: DnsName,
    /// The day.
    pub day: UtcDay,
    /// When it was first due.
    pub first_due: UnixTime,
    /// How often it was tried and put off.
    pub tries: u32,
    /// Rises with each claim.
    pub fence: u64,
    /// What was counted.
    pub sessions: Vec<(Session, u64)>,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReportSettlement {
    /// Nobody took it; it is due again then.
    Again(UnixTime),
    /// It was taken, or nobody wants it, or it is given up.
    Done,
}

/// A report about one of our own domains.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReceivedReport {
    /// The policy domain, or the domain whose address it came to.
    pub domain: DnsName,
    /// The day in which its range begins.
    pub day: UtcDay,
    /// What makes it one: of signer, submitter and report id.
    pub key: String,
    /// The domain of the author, where a DKIM signature speaks for it; `None` where anybody may have sent it.
    #[serde(default)]
    pub signer: Option<DnsName>,
    /// When it came.
    pub received: UnixTime,
    /// What it says.
    pub report: Report,
}

/// What was seen of a domain.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct DomainHistory {
    /// The best that was seen of each MX host with which mail was proved deliverable.
    pub hosts: Vec<HostHistory>,
    /// When an MX answer was last DNSSEC-secure.
    pub mx_secure_at: Option<UnixTime>,
    /// Until when it would be a fall if no MTA-STS policy could be found: one in mode enforce was seen.
    pub sts_enforced_until: Option<UnixTime>,
    /// The last MTA-STS policy that could not be fetched, so that it is not asked for again at once.
    pub sts_failed: Option<FailedFetch>,
    /// When the set of MX hosts was first seen as it is now.
    pub mx_set_since: Option<UnixTime>,
    /// That set, sorted.
    pub mx_set: Vec<DnsName>,
    /// When no delivery way was found, by the profile that asked; empty while there is one. What is too
    /// little for a lax profile is too little for a strict one, not the other way round.
    pub no_path: BTreeMap<Profile, Span>,
    /// When no delivery way was found for a message that demands REQUIRETLS; `None` while there is one.
    pub no_require_tls: Option<Span>,
    /// When the domain was denied without proof; `None` while it is there.
    pub absent: Option<Span>,
}

/// An MTA-STS policy that is announced and could not be fetched.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FailedFetch {
    /// The `id` of the TXT record at that time.
    pub id: String,
    /// When the fetch ended.
    pub at: UnixTime,
    /// Why there is no policy.
    pub error: FetchError,
}

/// From when to when something was seen to be so, as far as anybody looked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Span {
    /// The first time.
    pub since: UnixTime,
    /// The last time.
    pub last: UnixTime,
}

/// What was seen of a host.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HostHistory {
    /// The MX host.
    pub host: DnsName,
    /// The best authority: 0 for S0 up to 4 for S3 (S0, S0+, S1, S2, S3).
    pub authority: u8,
    /// The best authentication: 2 for PKIX, 3 for DANE.
    pub authentication: u8,
    /// When it was last authenticated so.
    pub best_at: UnixTime,
    /// When it was last proved at all.
    pub seen: UnixTime,
}

/// An MTA-STS policy as it was fetched.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CachedPolicy {
    /// The `id` of the TXT record at that time.
    pub id: String,
    /// The body as served.
    pub body: String,
    /// When it was fetched.
    pub fetched: UnixTime,
    /// Until when it applies: `fetched + max_age`.
    pub expires: UnixTime,
}
