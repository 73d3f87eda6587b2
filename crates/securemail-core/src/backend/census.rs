//! Counts what is kept, for metrics.

use std::fmt;

use async_trait::async_trait;

use crate::StoreError;
use crate::vocab::UnixTime;

/// Counts what a store keeps. Nothing depends on it but what operators see.
///
/// # Contract
/// - **G1** Each number is as of one moment, over all tenants and processes.
/// - **G2** Of each kind no more than [`COUNTED_MAX`](crate::limits::COUNTED_MAX) rows need be looked at, so
///   that a call costs no more however much is kept: a number above it may be said as that, and mail of
///   ours may be counted among so many deliveries only.
/// - **G3** `answers` reads from where counts come from, counts nothing, and costs the same however much is
///   kept.
#[async_trait]
pub trait Census: fmt::Debug + Send + Sync + 'static {
    /// Counts.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn census(&self, now: UnixTime) -> Result<Counts, StoreError>;

    /// Says whether the store answers.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn answers(&self) -> Result<(), StoreError>;
}

/// What is kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Deliveries that wait in the spool, of every class.
    pub queued: u64,
    /// Of these, how many are due and not being tried.
    pub due: u64,
    /// Of these, how many are mail of ours: notices, sender mail and TLS reports.
    pub own_queued: u64,
    /// When the oldest delivery that waits was committed.
    pub oldest: Option<UnixTime>,
    /// Pickups: messages in the vault.
    pub pickups: u64,
}
