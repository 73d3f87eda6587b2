//! Pickup records and blocked addresses in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{AddressPrefix, Budget, PickupRecord, Pickups, Spent};
use securemail_core::vocab::{KeyedHash, TenantId, UnixTime, VaultId, VaultKey};

use super::lock;

/// Pickup records and blocked addresses in memory.
#[derive(Debug, Default)]
pub struct MemoryPickups {
    records: Mutex<BTreeMap<VaultKey, PickupRecord>>,
    blocks: Mutex<BTreeMap<(TenantId, AddressPrefix), UnixTime>>,
    windows: Mutex<BTreeMap<(TenantId, KeyedHash), Window>>,
}

/// A window of a budget that has begun.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    until: UnixTime,
    spent: u32,
    refused: bool,
}

impl MemoryPickups {
    /// How many records there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        lock(&self.records).len() as u64
    }
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

    async fn spend(
        &self,
        tenant: &TenantId,
        budgets: &[Budget],
        now: UnixTime,
    ) -> Result<Spent, StoreError> {
        let mut windows = lock(&self.windows);
        let mut refused = None;
        let mut first = false;
        for budget in budgets {
            let window = windows.entry((tenant.clone(), budget.of)).or_default();
            if window.until <= now {
                *window = Window {
                    until: now.plus(budget.window),
                    ..Window::default()
                };
            }
            if window.spent >= budget.most {
                refused = refused.max(Some(window.until));
                first |= !window.refused;
                window.refused = true;
            }
        }
        if let Some(until) = refused {
            return Ok(Spent::Refused { until, first });
        }
        for budget in budgets {
            let window = windows.entry((tenant.clone(), budget.of)).or_default();
            window.spent = window.spent.saturating_add(1);
        }
        Ok(Spent::Granted)
    }

    async fn give_back(&self, tenant: &TenantId, budgets: &[Budget]) -> Result<(), StoreError> {
        let mut windows = lock(&self.windows);
        for budget in budgets {
            if let Some(window) = windows.get_mut(&(tenant.clone(), budget.of)) {
                window.spent = window.spent.saturating_sub(1);
            }
        }
        Ok(())
    }
}
