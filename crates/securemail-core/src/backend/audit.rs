//! The tenant's log of events: append-only, chained.

use std::fmt;

use async_trait::async_trait;

use crate::StoreError;
use crate::vocab::{KeyedHash, QueueId, TenantId, UnixTime};

/// Keeps events. Each has a chained part, which holds commitments only and stays for ever, and a
/// personal part beside it, sealed, which can be erased without breaking the chain.
///
/// Positions of a tenant count from 0 without gaps. The chain value at position n is
/// `ledger::chain(previous, leaf)`; RFC 6962 leaf hashes, so that a Merkle tree can be laid over it.
///
/// # Contract
/// - **A1** When `append` returns `Ok`, the events are durable, at the positions returned, in order.
/// - **A2** All events of a call are there, or none.
/// - **A3** Positions have no gaps, also under concurrent calls, and different tenants do not share them.
/// - **A4** The stored chain values verify from position 0 to the end.
/// - **A5** `erase_personal` removes the personal part alone; the chain still verifies.
/// - **A6** `find` gives every event that carries the index value, and no other.
#[async_trait]
pub trait AuditSink: fmt::Debug + Send + Sync + 'static {
    /// Appends events; returns the position of the first.
    ///
    /// # Errors
    /// `Full`, `Unavailable`.
    async fn append(&self, tenant: &TenantId, events: Vec<NewEvent>) -> Result<u64, StoreError>;

    /// Events from position `from` on, at most `limit`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn page(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<EventPage, StoreError>;

    /// Events of one message, oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn of_message(
        &self,
        tenant: &TenantId,
        queue: QueueId,
    ) -> Result<Vec<StoredEvent>, StoreError>;

    /// Events that carry `index`, the newest first, at most `limit`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn find(
        &self,
        tenant: &TenantId,
        index: KeyedHash,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError>;

    /// Erases the personal parts of events older than `before`; returns how many.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn erase_personal(
        &self,
        tenant: &TenantId,
        before: UnixTime,
    ) -> Result<usize, StoreError>;
}

/// One event to be logged. Made by `ledger`, which salts and seals.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewEvent {
    /// When it happened.
    pub time: UnixTime,
    /// The message that it is about.
    pub queue: QueueId,
    /// The chained part: canonical octets of name, time and commitments.
    pub chained: Vec<u8>,
    /// The personal part, sealed under the tenant's evidence key.
    pub personal: Vec<u8>,
    /// Keyed hashes by which it can be found.
    pub index: Vec<KeyedHash>,
}

/// One event as it stands in the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredEvent {
    /// Its position in the tenant's log.
    pub position: u64,
    /// When it happened.
    pub time: UnixTime,
    /// The message that it is about.
    pub queue: QueueId,
    /// The chained part.
    pub chained: Vec<u8>,
    /// The personal part, sealed; `None` once erased.
    pub personal: Option<Vec<u8>>,
    /// The chain value at this position.
    pub chain: [u8; 32],
}

/// A part of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventPage {
    /// Events in the order of their positions.
    pub events: Vec<StoredEvent>,
    /// How many events the tenant's log has.
    pub size: u64,
}
