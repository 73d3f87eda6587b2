//! Pickup records and blocked addresses in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{AddressPrefix, PickupRecord, Pickups};
use securemail_core::vocab::{TenantId, UnixTime, VaultId, VaultKey};

use super::lock;

/// Pickup records and blocked addresses in memory.
#[derive(Debug, Default)]
pub struct MemoryPickups {
    records: Mutex<BTreeMap<VaultKey, PickupRecord>>,
    blocks: Mutex<BTreeMap<(TenantId, AddressPrefix), UnixTime>>,
}

#[async_trait]
impl Pickups for MemoryPickups {
    async fn create(&self, record: &PickupRecord) -> Result<(), StoreError> {
        let mut records = lock(&self.records);
        if records.contains_key(&record.key) {
            return Err(StoreError::AlreadyExists);
        }
        let first = PickupRecord {
            version: 1,
            ..record.clone()
        };
        records.insert(record.key.clone(), first);
        Ok(())
    }

    async fn load(&self, key: &VaultKey) -> Result<PickupRecord, StoreError> {
        let records = lock(&self.records);
        records.get(key).cloned().ok_or(StoreError::NotFound)
    }

    async fn locate(&self, id: VaultId) -> Result<VaultKey, StoreError> {
        let records = lock(&self.records);
        let found = records.keys().find(|key| key.id == id);
        found.cloned().ok_or(StoreError::NotFound)
    }

    async fn replace(&self, record: &PickupRecord, expected: u64) -> Result<(), StoreError> {
        let mut records = lock(&self.records);
        let stored = records.get_mut(&record.key).ok_or(StoreError::NotFound)?;
        if stored.version != expected {
            return Err(StoreError::Conflict);
        }
        *stored = PickupRecord {
            version: expected.saturating_add(1),
            ..record.clone()
        };
        Ok(())
    }

    async fn due(&self, now: UnixTime, limit: usize) -> Result<Vec<PickupRecord>, StoreError> {
        let records = lock(&self.records);
        let mut due: Vec<_> = records.values().filter(|r| r.due <= now).cloned().collect();
        due.sort_by(|a, b| (a.due, &a.key).cmp(&(b.due, &b.key)));
        due.truncate(limit);
        Ok(due)
    }

    async fn erase(&self, key: &VaultKey) -> Result<(), StoreError> {
        lock(&self.records).remove(key);
        Ok(())
    }

    async fn block(
        &self,
        tenant: &TenantId,
        prefix: AddressPrefix,
        until: UnixTime,
    ) -> Result<(), StoreError> {
        let mut blocks = lock(&self.blocks);
        let end = blocks.entry((tenant.clone(), prefix)).or_insert(until);
        *end = until.max(*end);
        Ok(())
    }

    async fn blocked_until(
        &self,
        tenant: &TenantId,
        prefix: AddressPrefix,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, StoreError> {
        let blocks = lock(&self.blocks);
        let end = blocks.get(&(tenant.clone(), prefix)).copied();
        Ok(end.filter(|end| *end > now))
    }
}
