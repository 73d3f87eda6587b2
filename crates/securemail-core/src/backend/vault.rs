//! Keeps sealed messages until they are picked up or expire.

use std::fmt;

use async_trait::async_trait;

use crate::StoreError;
use crate::vocab::{SealedContent, UnixTime, VaultKey};

/// Keeps ciphertext.
///
/// # Contract
/// - **V1** When `store` returns `Ok`, the whole body is durable.
/// - **V2** When `store` returns `Err`, `open` of that key says `NotFound`, or gives the whole body.
/// - **V3** A second `store` of a key fails with `AlreadyExists` and changes nothing.
/// - **V4** After `erase` returns `Ok`, `open` says `NotFound`, also after a restart.
/// - **V5** `erase` of what is not there returns `Ok`.
/// - **V6** Ranges read from an opened body are the ranges that were stored.
/// - **V7** `expired` lists what expires at or before `now`, the earliest first, at most `limit`.
/// - **V8** Tenants do not see each other's bodies, whatever the id.
#[async_trait]
pub trait Vault: fmt::Debug + Send + Sync + 'static {
    /// Keeps `body` under `key` until it is erased.
    ///
    /// # Errors
    /// `AlreadyExists`, `Full`, `Unavailable`.
    async fn store(
        &self,
        key: &VaultKey,
        expires: UnixTime,
        body: &SealedContent,
    ) -> Result<(), StoreError>;

    /// The body, to be read in ranges.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn open(&self, key: &VaultKey) -> Result<SealedContent, StoreError>;

    /// Removes the body for good.
    ///
    /// # Errors
    /// `Unavailable`; then call it again.
    async fn erase(&self, key: &VaultKey) -> Result<(), StoreError>;

    /// What is due to be erased.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn expired(&self, now: UnixTime, limit: usize) -> Result<Vec<VaultKey>, StoreError>;
}
