//! A key store in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{KeyPurpose, KeyRef, KeyStore, WrappedKey};

use super::lock;

/// A key store in memory. What was erased stays as `None`, the tombstone.
#[derive(Debug, Default)]
pub struct MemoryKeyStore(Mutex<BTreeMap<KeyRef, Option<WrappedKey>>>);

impl MemoryKeyStore {
    /// How many keys it holds, tombstones not counted.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.0).values().flatten().count()
    }

    /// Whether any key that it holds consists of `octets`.
    #[must_use]
    pub fn leaves(&self, octets: &[u8]) -> bool {
        lock(&self.0).values().flatten().any(|key| key.0 == octets)
    }
}

#[async_trait]
impl KeyStore for MemoryKeyStore {
    async fn put(&self, reference: &KeyRef, key: &WrappedKey) -> Result<(), StoreError> {
        let mut keys = lock(&self.0);
        if keys.contains_key(reference) {
            return Err(StoreError::AlreadyExists);
        }
        keys.insert(reference.clone(), Some(key.clone()));
        Ok(())
    }

    async fn fetch(&self, reference: &KeyRef) -> Result<WrappedKey, StoreError> {
        let keys = lock(&self.0);
        keys.get(reference)
            .cloned()
            .flatten()
            .ok_or(StoreError::NotFound)
    }

    async fn erase(&self, reference: &KeyRef) -> Result<(), StoreError> {
        lock(&self.0).insert(reference.clone(), None);
        Ok(())
    }

    async fn before(
        &self,
        purpose: KeyPurpose,
        id: [u8; 16],
        limit: usize,
    ) -> Result<Vec<KeyRef>, StoreError> {
        let keys = lock(&self.0);
        let old = keys
            .iter()
            .filter(|(of, key)| key.is_some() && of.purpose == purpose && of.id < id);
        Ok(old.take(limit).map(|(of, _)| of.clone()).collect())
    }
}
