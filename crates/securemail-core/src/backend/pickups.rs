//! Keeps the state of pickups, and which addresses are blocked.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use crate::StoreError;
use crate::vocab::{KeyedHash, TenantId, UnixTime, VaultKey};

/// Keeps pickup records and blocked addresses.
///
/// Every change of a record is a compare-and-set in one statement, so fifty wrong codes at once
/// burn exactly the tries that there are.
///
/// # Contract
/// - **P1** When `create` returns `Ok`, the record is durable; a second `create` fails with
///   `AlreadyExists`.
/// - **P2** `replace` succeeds only if the stored version is `expected`; else it fails with `Conflict`
///   and changes nothing. Of concurrent calls with one version, one succeeds.
/// - **P3** `due` lists records whose `due` is at or before `now`, the earliest first.
/// - **P4** After `erase` returns `Ok`, `load` says `NotFound`, also after a restart.
/// - **P5** A block set for an address prefix is seen until it ends, by its tenant alone.
/// - **P6** `spend` takes one from each budget or from none; of concurrent calls, also of several
///   processes, no more are granted than a budget has. A window begins with the first spend and ends after
///   its length, and then the budget is whole again. Only the first refusal in a window is marked so.
/// - **P7** What `give_back` returned `Ok` for can be spent again within the same window.
#[async_trait]
pub trait Pickups: fmt::Debug + Send + Sync + 'static {
    /// Adds a record, at version 1.
    ///
    /// # Errors
    /// `AlreadyExists`, `Full`, `Unavailable`.
    async fn create(&self, record: &PickupRecord) -> Result<(), StoreError>;

    /// The record.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn load(&self, key: &VaultKey) -> Result<PickupRecord, StoreError>;

    /// Finds the tenant of an id, as it stands in a link.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn locate(&self, id: crate::vocab::VaultId) -> Result<VaultKey, StoreError>;

    /// Replaces the record if its version is still `expected`; the new version is `expected + 1`.
    ///
    /// # Errors
    /// `Conflict`, `NotFound`, `Unavailable`.
    async fn replace(&self, record: &PickupRecord, expected: u64) -> Result<(), StoreError>;

    /// Records with something to do.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn due(&self, now: UnixTime, limit: usize) -> Result<Vec<PickupRecord>, StoreError>;

    /// Removes the record.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn erase(&self, key: &VaultKey) -> Result<(), StoreError>;

    /// Blocks an address for a tenant until `until`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn block(
        &self,
        tenant: &TenantId,
        prefix: AddressPrefix,
        until: UnixTime,
    ) -> Result<(), StoreError>;

    /// Until when an address is blocked, if it is at `now`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn blocked_until(
        &self,
        tenant: &TenantId,
        prefix: AddressPrefix,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, StoreError>;

    /// Spends one of each of these budgets of a tenant, if all of them have one left.
    ///
    /// # Errors
    /// `Unavailable`; nothing may be done then that the budgets are for.
    async fn spend(
        &self,
        tenant: &TenantId,
        budgets: &[Budget],
        now: UnixTime,
    ) -> Result<Spent, StoreError>;

    /// Gives back what `spend` granted at `now`, since it was not used.
    ///
    /// # Errors
    /// `Unavailable`; then it stays spent.
    async fn give_back(&self, tenant: &TenantId, budgets: &[Budget]) -> Result<(), StoreError>;
}

/// How much of something may be done within a window of time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budget {
    /// Tells it from other budgets of the tenant, and names nobody.
    pub of: KeyedHash,
    /// How often within the window.
    pub most: u32,
    /// The length of the window.
    pub window: Duration,
}

/// The answer to a spend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spent {
    /// It may be done.
    Granted,
    /// It may not.
    Refused {
        /// When all budgets have some again.
        until: UnixTime,
        /// Nobody was refused in this window before.
        first: bool,
    },
}

/// One pickup: one message for one recipient.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PickupRecord {
    /// Which vault object.
    pub key: VaultKey,
    /// Rises by one with each change.
    pub version: u64,
    /// When something is next to be done: reminder, expiry, end of grace.
    pub due: UnixTime,
    /// The state, sealed by core; opaque to the store.
    pub sealed_state: Vec<u8>,
}

/// The part of an address that is blocked: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct AddressPrefix([u8; 16]);

impl AddressPrefix {
    /// The prefix of `address`. An IPv4 address written as IPv6 counts as IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => Self((u128::from(v6) >> 64 << 64).to_be_bytes()),
        }
    }

    /// Its 16 octets.
    #[must_use]
    pub const fn octets(&self) -> [u8; 16] {
        self.0
    }
}
