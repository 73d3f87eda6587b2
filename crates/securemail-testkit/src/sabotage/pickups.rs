//! Pickups that break one clause.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{AddressPrefix, Budget, PickupRecord, Pickups, Spent};
use securemail_core::vocab::{TenantId, UnixTime, VaultId, VaultKey};

use crate::conformance::Harness;
use crate::memory::MemoryPickups;

/// Which clause of the contract of `Pickups` is broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PickupsFault {
    /// A restart loses what was created.
    P1,
    /// Whoever replaces last wins, whatever they have seen.
    P2,
    /// The latest comes first.
    P3,
    /// Erasing does nothing.
    P4,
    /// A block is everybody's.
    P5,
    /// Each budget is spent by itself.
    P6,
    /// What others spend at the same time is not seen.
    P6Race,
    /// What is given back stays spent.
    P7,
}

/// Pickups in memory that break one clause; as a harness, it gives such pickups.
#[derive(Debug)]
pub struct SabotagedPickups {
    fault: PickupsFault,
    inner: MemoryPickups,
}

impl SabotagedPickups {
    /// Empty ones.
    #[must_use]
    pub fn new(fault: PickupsFault) -> Self {
        let inner = MemoryPickups::default();
        Self { fault, inner }
    }

    fn blocked<'a>(&self, tenant: &'a TenantId, everybody: &'a Option<TenantId>) -> &'a TenantId {
        match (self.fault, everybody) {
            (PickupsFault::P5, Some(everybody)) => everybody,
            _ => tenant,
        }
    }
}

#[async_trait]
impl Harness<dyn Pickups> for SabotagedPickups {
    async fn fresh(&self) -> Arc<dyn Pickups> {
        Arc::new(Self::new(self.fault))
    }

    async fn reopen(&self, old: Arc<dyn Pickups>) -> Arc<dyn Pickups> {
        match self.fault {
            PickupsFault::P1 => self.fresh().await,
            _ => old,
        }
    }
}

#[async_trait]
impl Pickups for SabotagedPickups {
    async fn create(&self, record: &PickupRecord) -> Result<(), StoreError> {
        self.inner.create(record).await
    }

    async fn load(&self, key: &VaultKey) -> Result<PickupRecord, StoreError> {
        self.inner.load(key).await
    }

    async fn locate(&self, id: VaultId) -> Result<VaultKey, StoreError> {
        self.inner.locate(id).await
    }

    async fn replace(&self, record: &PickupRecord, expected: u64) -> Result<(), StoreError> {
        let expected = match self.fault {
            PickupsFault::P2 => self.inner.load(&record.key).await?.version,
            _ => expected,
        };
        self.inner.replace(record, expected).await
    }

    async fn due(&self, now: UnixTime, limit: usize) -> Result<Vec<PickupRecord>, StoreError> {
        let mut due = self.inner.due(now, limit).await?;
        if self.fault == PickupsFault::P3 {
            due.reverse();
        }
        Ok(due)
    }

    async fn erase(&self, key: &VaultKey) -> Result<(), StoreError> {
        match self.fault {
            PickupsFault::P4 => Ok(()),
            _ => self.inner.erase(key).await,
        }
    }

    async fn block(
        &self,
        tenant: &TenantId,
        prefix: AddressPrefix,
        until: UnixTime,
    ) -> Result<(), StoreError> {
        let everybody = "everybody".parse().ok();
        let tenant = self.blocked(tenant, &everybody);
        self.inner.block(tenant, prefix, until).await
    }

    async fn blocked_until(
        &self,
        tenant: &TenantId,
        prefix: AddressPrefix,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, StoreError> {
        let everybody = "everybody".parse().ok();
        let tenant = self.blocked(tenant, &everybody);
        self.inner.blocked_until(tenant, prefix, now).await
    }

    async fn spend(
        &self,
        tenant: &TenantId,
        budgets: &[Budget],
        now: UnixTime,
    ) -> Result<Spent, StoreError> {
        match self.fault {
            PickupsFault::P6 => {
                for budget in budgets.iter().rev() {
                    let one = std::slice::from_ref(budget);
                    let spent = self.inner.spend(tenant, one, now).await?;
                    if spent != Spent::Granted {
                        return Ok(spent);
                    }
                }
                Ok(Spent::Granted)
            }
            PickupsFault::P6Race => {
                let spent = self.inner.spend(tenant, budgets, now).await?;
                self.inner.give_back(tenant, budgets).await?;
                // Whoever reads between these two steps reads too little.
                tokio::time::sleep(Duration::from_millis(100)).await;
                let _counted = self.inner.spend(tenant, budgets, now).await?;
                Ok(spent)
            }
            _ => self.inner.spend(tenant, budgets, now).await,
        }
    }

    async fn give_back(&self, tenant: &TenantId, budgets: &[Budget]) -> Result<(), StoreError> {
        match self.fault {
            PickupsFault::P7 => Ok(()),
            _ => self.inner.give_back(tenant, budgets).await,
        }
    }
}
