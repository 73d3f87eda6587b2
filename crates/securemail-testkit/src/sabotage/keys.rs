//! A key store that breaks one clause.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{KeyPurpose, KeyRef, KeyStore, WrappedKey};

use crate::conformance::Harness;
use crate::conformance::keys::KeysHarness;
use crate::memory::{MemoryKeyStore, lock};

/// Which clause of the contract of `KeyStore` is broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeysFault {
    /// A restart loses what was put.
    K1,
    /// A second put replaces the first.
    K2,
    /// The octets of an erased key stay behind.
    K3,
    /// An erased key can be put again.
    K4,
    /// Erasing what is not there leaves no tombstone.
    K5,
    /// All purposes are one.
    K6,
    /// Earlier keys of one tenant only are named.
    K7,
}

/// A key store in memory that breaks one clause; as a harness, it gives such stores.
#[derive(Debug)]
pub struct SabotagedKeys {
    fault: KeysFault,
    inner: Mutex<Arc<MemoryKeyStore>>,
    /// What stays behind.
    residue: Arc<Mutex<Vec<WrappedKey>>>,
}

impl SabotagedKeys {
    /// An empty one.
    #[must_use]
    pub fn new(fault: KeysFault) -> Self {
        Self {
            fault,
            inner: Mutex::default(),
            residue: Arc::default(),
        }
    }

    fn inner(&self) -> Arc<MemoryKeyStore> {
        lock(&self.inner).clone()
    }

    fn reference(&self, reference: &KeyRef) -> KeyRef {
        let mut reference = reference.clone();
        if self.fault == KeysFault::K6 {
            reference.purpose = KeyPurpose::ServerShare;
        }
        reference
    }

    /// Brings a key in whatever stood there: by starting anew without it.
    async fn overwrite(&self, reference: &KeyRef, key: &WrappedKey) -> Result<(), StoreError> {
        *lock(&self.inner) = Arc::default();
        self.inner().put(reference, key).await
    }
}

#[async_trait]
impl Harness<dyn KeyStore> for SabotagedKeys {
    async fn fresh(&self) -> Arc<dyn KeyStore> {
        *lock(&self.inner) = Arc::default();
        Arc::new(Self {
            fault: self.fault,
            inner: Mutex::new(self.inner()),
            residue: self.residue.clone(),
        })
    }

    async fn reopen(&self, old: Arc<dyn KeyStore>) -> Arc<dyn KeyStore> {
        match self.fault {
            KeysFault::K1 => self.fresh().await,
            _ => old,
        }
    }
}

#[async_trait]
impl KeysHarness for SabotagedKeys {
    async fn leaves(&self, octets: &[u8]) -> bool {
        self.inner().leaves(octets) || lock(&self.residue).iter().any(|key| key.0 == octets)
    }
}

#[async_trait]
impl KeyStore for SabotagedKeys {
    async fn put(&self, reference: &KeyRef, key: &WrappedKey) -> Result<(), StoreError> {
        let reference = self.reference(reference);
        let put = self.inner().put(&reference, key).await;
        let erased = self.inner().fetch(&reference).await.is_err();
        match (self.fault, &put) {
            (KeysFault::K2, Err(_)) => self.overwrite(&reference, key).await,
            (KeysFault::K4, Err(_)) if erased => self.overwrite(&reference, key).await,
            _ => put,
        }
    }

    async fn fetch(&self, reference: &KeyRef) -> Result<WrappedKey, StoreError> {
        self.inner().fetch(&self.reference(reference)).await
    }

    async fn erase(&self, reference: &KeyRef) -> Result<(), StoreError> {
        let reference = self.reference(reference);
        match (self.fault, self.inner().fetch(&reference).await) {
            (KeysFault::K3, Ok(key)) => lock(&self.residue).push(key),
            (KeysFault::K5, Err(_)) => return Ok(()),
            _ => {}
        }
        self.inner().erase(&reference).await
    }

    async fn before(
        &self,
        purpose: KeyPurpose,
        id: [u8; 16],
        limit: usize,
    ) -> Result<Vec<KeyRef>, StoreError> {
        let mut found = self.inner().before(purpose, id, limit).await?;
        if self.fault == KeysFault::K7 {
            let first = found.first().map(|key| key.tenant.clone());
            found.retain(|key| Some(&key.tenant) == first.as_ref());
        }
        Ok(found)
    }
}
