//! The hosts of tenants for their sender mail, in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{ReturnHost, ReturnHosts};
use securemail_core::vocab::TenantId;

use super::lock;

/// Return hosts that a test names as it goes.
#[derive(Debug, Default)]
pub struct MemoryReturnHosts {
    hosts: Mutex<BTreeMap<TenantId, ReturnHost>>,
}

impl MemoryReturnHosts {
    /// From now on this is the tenant's host.
    pub fn put(&self, tenant: &TenantId, host: ReturnHost) {
        lock(&self.hosts).insert(tenant.clone(), host);
    }
}

#[async_trait]
impl ReturnHosts for MemoryReturnHosts {
    async fn return_host(&self, tenant: &TenantId) -> Result<Option<ReturnHost>, StoreError> {
        Ok(lock(&self.hosts).get(tenant).cloned())
    }
}
