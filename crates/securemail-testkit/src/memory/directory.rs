//! A directory in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::Directory;
use securemail_core::vocab::{Account, Address, Identity, PhoneNumber, Tenant, TenantId};

use super::lock;

/// A directory in memory.
#[derive(Debug, Default)]
pub struct MemoryDirectory {
    tenants: Mutex<BTreeMap<TenantId, Tenant>>,
    accounts: Mutex<BTreeMap<Name, Account>>,
    phones: Mutex<BTreeMap<(TenantId, String), PhoneNumber>>,
}

/// An identity in the form in which two spellings of it are the same.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Name {
    Certificate([u8; 32]),
    Username(String),
}

impl Name {
    fn of(identity: &Identity) -> Self {
        match identity {
            Identity::Certificate(digest) => Self::Certificate(*digest),
            Identity::Username(name) => Self::Username(name.to_lowercase()),
        }
    }
}

#[async_trait]
impl Directory for MemoryDirectory {
    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError> {
        Ok(lock(&self.tenants).get(id).cloned())
    }

    async fn account(&self, identity: &Identity) -> Result<Option<Account>, StoreError> {
        Ok(lock(&self.accounts).get(&Name::of(identity)).cloned())
    }

    async fn phone(
        &self,
        tenant: &TenantId,
        recipient: &Address,
    ) -> Result<Option<PhoneNumber>, StoreError> {
        let key = (tenant.clone(), recipient.canonical());
        Ok(lock(&self.phones).get(&key).cloned())
    }

    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        lock(&self.tenants).insert(tenant.id.clone(), tenant.clone());
        Ok(())
    }

    async fn put_account(&self, identity: &Identity, account: &Account) -> Result<(), StoreError> {
        lock(&self.accounts).insert(Name::of(identity), account.clone());
        Ok(())
    }

    async fn put_phone(
        &self,
        tenant: &TenantId,
        recipient: &Address,
        number: &PhoneNumber,
    ) -> Result<(), StoreError> {
        let key = (tenant.clone(), recipient.canonical());
        lock(&self.phones).insert(key, number.clone());
        Ok(())
    }
}
