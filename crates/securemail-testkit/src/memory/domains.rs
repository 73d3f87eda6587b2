//! A domain memory in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{CachedPolicy, DomainHistory, DomainMemory};
use securemail_core::vocab::DnsName;

use super::lock;

/// A domain memory in memory.
#[derive(Debug, Default)]
pub struct MemoryDomainMemory {
    histories: Mutex<BTreeMap<DnsName, DomainHistory>>,
    policies: Mutex<BTreeMap<DnsName, CachedPolicy>>,
}

#[async_trait]
impl DomainMemory for MemoryDomainMemory {
    async fn recall(&self, domain: &DnsName) -> Result<Option<DomainHistory>, StoreError> {
        Ok(lock(&self.histories).get(domain).cloned())
    }

    async fn remember(&self, domain: &DnsName, history: &DomainHistory) -> Result<(), StoreError> {
        lock(&self.histories).insert(domain.clone(), history.clone());
        Ok(())
    }

    async fn policy(&self, domain: &DnsName) -> Result<Option<CachedPolicy>, StoreError> {
        Ok(lock(&self.policies).get(domain).cloned())
    }

    async fn put_policy(&self, domain: &DnsName, policy: &CachedPolicy) -> Result<(), StoreError> {
        lock(&self.policies).insert(domain.clone(), policy.clone());
        Ok(())
    }
}
