//! A vault in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use securemail_core::StoreError;
use securemail_core::backend::Vault;
use securemail_core::vocab::{MemoryContent, SealedContent, UnixTime, VaultKey};

use super::{collect, lock, unread};

/// A vault in memory.
#[derive(Debug, Default)]
pub struct MemoryVault(Mutex<BTreeMap<VaultKey, (UnixTime, Bytes)>>);

impl MemoryVault {
    /// How many bodies it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.0).len()
    }
}

#[async_trait]
impl Vault for MemoryVault {
    async fn store(
        &self,
        key: &VaultKey,
        expires: UnixTime,
        body: &SealedContent,
    ) -> Result<(), StoreError> {
        let octets = collect(&**body.ciphertext()).await.map_err(unread)?;
        let mut bodies = lock(&self.0);
        if bodies.contains_key(key) {
            return Err(StoreError::AlreadyExists);
        }
        bodies.insert(key.clone(), (expires, octets));
        Ok(())
    }

    async fn open(&self, key: &VaultKey) -> Result<SealedContent, StoreError> {
        let bodies = lock(&self.0);
        let (_, octets) = bodies.get(key).ok_or(StoreError::NotFound)?;
        let content = MemoryContent::new(octets.clone());
        Ok(SealedContent::assertion(Arc::new(content)))
    }

    async fn erase(&self, key: &VaultKey) -> Result<(), StoreError> {
        lock(&self.0).remove(key);
        Ok(())
    }

    async fn expired(&self, now: UnixTime, limit: usize) -> Result<Vec<VaultKey>, StoreError> {
        let bodies = lock(&self.0);
        let mut due: Vec<_> = bodies
            .iter()
            .filter(|(_, (expires, _))| *expires <= now)
            .map(|(key, (expires, _))| (*expires, key.clone()))
            .collect();
        due.sort();
        Ok(due.into_iter().map(|(_, key)| key).take(limit).collect())
    }
}
