//! Keys: the master key that wraps, and the store of what it wrapped.

use std::fmt;

use async_trait::async_trait;

use crate::secret::Key32;
use crate::vocab::{TenantId, VaultId};
use crate::{BoxError, StoreError};

/// Keeps wrapped keys, apart from content.
///
/// # Contract
/// - **K1** When `put` returns `Ok`, the key is durable.
/// - **K2** A second `put` of a reference fails with `AlreadyExists` and changes nothing.
/// - **K3** After `erase` returns `Ok`, `fetch` says `NotFound`, also after a restart, and the
///   wrapped octets stand in no file, log or free page.
/// - **K4** After `erase`, `put` of that reference fails with `AlreadyExists`: a tombstone keeps a
///   restored backup from bringing it back.
/// - **K5** `erase` of what is not there returns `Ok` and leaves the tombstone.
/// - **K6** Tenants and purposes do not see each other's keys, whatever the id.
/// - **K7** `before` names every key of a purpose whose id sorts before another, of all tenants, `limit`
///   at most, and nothing else: no key of another purpose, none that was erased.
#[async_trait]
pub trait KeyStore: fmt::Debug + Send + Sync + 'static {
    /// Keeps `key`.
    ///
    /// # Errors
    /// `AlreadyExists`, `Full`, `Unavailable`.
    async fn put(&self, reference: &KeyRef, key: &WrappedKey) -> Result<(), StoreError>;

    /// The wrapped key.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn fetch(&self, reference: &KeyRef) -> Result<WrappedKey, StoreError>;

    /// Destroys the key.
    ///
    /// # Errors
    /// `Unavailable`; then call it again.
    async fn erase(&self, reference: &KeyRef) -> Result<(), StoreError>;

    /// Keys of `purpose`, of all tenants, whose id sorts before `id`; tombstones are not among them.
    /// At most `limit`, in any order.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn before(
        &self,
        purpose: KeyPurpose,
        id: [u8; 16],
        limit: usize,
    ) -> Result<Vec<KeyRef>, StoreError>;
}

/// Names one key.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct KeyRef {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Which one: the vault id, or the day for spool keys.
    pub id: [u8; 16],
}

impl KeyRef {
    /// The key of a vault message.
    #[must_use]
    pub fn of_message(tenant: &TenantId, purpose: KeyPurpose, id: VaultId) -> Self {
        Self {
            tenant: tenant.clone(),
            purpose,
            id: *id.as_bytes(),
        }
    }

    /// What the wrapping is bound to: `tenant ‖ 0 ‖ purpose ‖ id`.
    #[must_use]
    pub fn associated_data(&self) -> Vec<u8> {
        let mut data = self.tenant.as_str().as_bytes().to_vec();
        data.extend_from_slice(&[0, self.purpose as u8]);
        data.extend_from_slice(&self.id);
        data
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum KeyPurpose {
    /// The content key of a message while a telephone number is missing.
    ContentKey = 1,
    /// The secret of the pickup link, kept for reminders and repairs.
    LinkSecret = 2,
    /// The server share of a vault message.
    ServerShare = 3,
    /// The spool key of one day.
    SpoolDay = 4,
}

/// A key wrapped under the master key.
#[derive(Clone, Eq, PartialEq)]
pub struct WrappedKey(pub Vec<u8>);

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappedKey(..)")
    }
}

/// The master key: in a file, a systemd credential, or a KMS. It never leaves.
///
/// # Contract
/// - **M1** `unwrap(context, wrap(context, key)) == key`; with another context it fails.
/// - **M2** `derive` gives the same key for the same label, on every node.
#[async_trait]
pub trait MasterKey: fmt::Debug + Send + Sync + 'static {
    /// Wraps `key`; the result opens only with the same `context`.
    ///
    /// # Errors
    /// Where the key cannot be used now.
    async fn wrap(&self, context: &KeyRef, key: &Key32) -> Result<WrappedKey, KeyError>;

    /// Opens what `wrap` made.
    ///
    /// # Errors
    /// `Mismatch` where the key or the context is another.
    async fn unwrap(&self, context: &KeyRef, wrapped: &WrappedKey) -> Result<Key32, KeyError>;

    /// A key for another purpose of this installation: keyed hashes, cookies, sealed records.
    ///
    /// # Errors
    /// Where the key cannot be used now.
    async fn derive(&self, label: &str) -> Result<Key32, KeyError>;
}

/// A key could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The wrapped key was made with another master key, or for something else.
    #[error("this key was wrapped with another master key or for something else")]
    Mismatch,
    /// The system has no randomness to give.
    #[error(transparent)]
    NoEntropy(#[from] super::NoEntropy),
    /// The key service does not answer.
    #[error("the key service is not available")]
    Unavailable(#[source] BoxError),
}
