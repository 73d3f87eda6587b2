//! What was seen of recipient domains before.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::FetchError;
use crate::StoreError;
use crate::vocab::{DnsName, Profile, UnixTime};

/// Remembers domains across restarts and nodes: their best proof so far, and their MTA-STS policies.
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
