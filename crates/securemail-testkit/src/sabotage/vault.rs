//! A vault that breaks one clause.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use securemail_core::StoreError;
use securemail_core::backend::Vault;
use securemail_core::vocab::{
    Content, ContentError, MemoryContent, SealedContent, UnixTime, VaultKey,
};

use crate::conformance::Harness;
use crate::memory::MemoryVault;

/// Which clause of the contract of `Vault` is broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VaultFault {
    /// A restart loses what was stored.
    V1,
    /// A store that fails keeps what it had.
    V2,
    /// A second store replaces the first.
    V3,
    /// Erasing does nothing.
    V4,
    /// Erasing what is not there is an error.
    V5,
    /// Reads begin at the start, whatever range is asked for.
    V6,
    /// The latest expires first.
    V7,
    /// All tenants are one.
    V8,
}

/// A vault in memory that breaks one clause; as a harness, it gives such vaults.
#[derive(Debug)]
pub struct SabotagedVault {
    fault: VaultFault,
    inner: MemoryVault,
}

impl SabotagedVault {
    /// An empty one.
    #[must_use]
    pub fn new(fault: VaultFault) -> Self {
        let inner = MemoryVault::default();
        Self { fault, inner }
    }

    fn key(&self, key: &VaultKey) -> VaultKey {
        let mut key = key.clone();
        if self.fault == VaultFault::V8
            && let Ok(one) = "one".parse()
        {
            key.tenant = one;
        }
        key
    }
}

#[async_trait]
impl Harness<dyn Vault> for SabotagedVault {
    async fn fresh(&self) -> Arc<dyn Vault> {
        Arc::new(Self::new(self.fault))
    }

    async fn reopen(&self, old: Arc<dyn Vault>) -> Arc<dyn Vault> {
        match self.fault {
            VaultFault::V1 => self.fresh().await,
            _ => old,
        }
    }
}

#[async_trait]
impl Vault for SabotagedVault {
    async fn store(
        &self,
        key: &VaultKey,
        expires: UnixTime,
        body: &SealedContent,
    ) -> Result<(), StoreError> {
        let key = self.key(key);
        let stored = self.inner.store(&key, expires, body).await;
        match (self.fault, &stored) {
            (VaultFault::V2, Err(StoreError::Unavailable(_))) => {
                let part = SealedContent::assertion(Arc::new(first_part(body).await));
                self.inner.store(&key, expires, &part).await?;
            }
            (VaultFault::V3, Err(StoreError::AlreadyExists)) => {
                self.inner.erase(&key).await?;
                return self.inner.store(&key, expires, body).await;
            }
            _ => {}
        }
        stored
    }

    async fn open(&self, key: &VaultKey) -> Result<SealedContent, StoreError> {
        let body = self.inner.open(&self.key(key)).await?;
        if self.fault != VaultFault::V6 {
            return Ok(body);
        }
        let stuck = Stuck(body.ciphertext().clone());
        Ok(SealedContent::assertion(Arc::new(stuck)))
    }

    async fn erase(&self, key: &VaultKey) -> Result<(), StoreError> {
        let key = self.key(key);
        match self.fault {
            VaultFault::V4 => return Ok(()),
            VaultFault::V5 => drop(self.inner.open(&key).await?),
            _ => {}
        }
        self.inner.erase(&key).await
    }

    async fn expired(&self, now: UnixTime, limit: usize) -> Result<Vec<VaultKey>, StoreError> {
        let mut due = self.inner.expired(now, limit).await?;
        if self.fault == VaultFault::V7 {
            due.reverse();
        }
        Ok(due)
    }
}

async fn first_part(body: &SealedContent) -> MemoryContent {
    let mut part = BytesMut::new();
    while let Ok(more) = body.ciphertext().read(part.len() as u64, 4096).await {
        if more.is_empty() {
            break;
        }
        part.extend_from_slice(&more);
    }
    MemoryContent::new(part.freeze())
}

/// Content that ignores where it is read, except that it ends.
#[derive(Debug)]
struct Stuck(Arc<dyn Content>);

#[async_trait]
impl Content for Stuck {
    fn size(&self) -> u64 {
        self.0.size()
    }

    async fn read(&self, offset: u64, max: usize) -> Result<Bytes, ContentError> {
        let left = self.size().saturating_sub(offset);
        let max = usize::try_from(left).unwrap_or(max).min(max);
        self.0.read(0, max).await
    }
}
