//! Back-ends that can be switched off, whole or for one operation.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{
    CachedPolicy, Claim, Committed, DeliveryState, Directory, DkimSigner, DomainHistory,
    DomainMemory, Intent, KeyPurpose, KeyRef, KeyStore, Lease, Leased, NewEvent, NewItem,
    Settlement, SigningError, SigningKeys, Spool, Vault, WrappedKey,
};
use securemail_core::vocab::{
    Account, Address, DeliveryKey, DnsName, Identity, PhoneNumber, QueueId, SealedContent, Tenant,
    TenantId, UnixTime, VaultKey,
};

use crate::memory::lock;

/// How an operation fails. A failure changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// There is no room.
    Full,
    /// It does not answer.
    Unavailable,
}

/// A back-end that can be switched off.
pub struct Outage<T> {
    inner: Arc<T>,
    faults: Mutex<BTreeMap<&'static str, Fault>>,
}

impl<T> Outage<T> {
    /// Nothing fails yet.
    #[must_use]
    pub fn new(inner: Arc<T>) -> Self {
        Self {
            inner,
            faults: Mutex::default(),
        }
    }

    /// What is behind it.
    #[must_use]
    pub const fn inner(&self) -> &Arc<T> {
        &self.inner
    }

    /// The operation of this name fails from here on.
    pub fn fail(&self, operation: &'static str, fault: Fault) {
        lock(&self.faults).insert(operation, fault);
    }

    /// Nothing answers from here on.
    pub fn down(&self) {
        self.fail(ALL, Fault::Unavailable);
    }

    /// Everything works again.
    pub fn up(&self) {
        lock(&self.faults).clear();
    }

    fn check(&self, operation: &'static str) -> Result<(), StoreError> {
        let faults = lock(&self.faults);
        match faults.get(operation).or_else(|| faults.get(ALL)) {
            Some(Fault::Full) => Err(StoreError::Full),
            Some(Fault::Unavailable) => Err(StoreError::Unavailable("switched off".into())),
            None => Ok(()),
        }
    }
}

impl<T> fmt::Debug for Outage<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outage")
            .field("faults", &*lock(&self.faults))
            .finish_non_exhaustive()
    }
}

const ALL: &str = "*";

#[async_trait]
impl<T: Spool> Spool for Outage<T> {
    async fn intend(
        &self,
        intents: Vec<Intent>,
        now: UnixTime,
        lease: Duration,
    ) -> Result<Vec<Claim>, StoreError> {
        self.check("intend")?;
        self.inner.intend(intents, now, lease).await
    }

    async fn commit(&self, item: NewItem, now: UnixTime) -> Result<Committed, StoreError> {
        self.check("commit")?;
        self.inner.commit(item, now).await
    }

    async fn lease_due(
        &self,
        now: UnixTime,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Leased>, StoreError> {
        self.check("lease_due")?;
        self.inner.lease_due(now, lease, limit).await
    }

    async fn renew(&self, lease: &Lease, now: UnixTime, more: Duration) -> Result<(), StoreError> {
        self.check("renew")?;
        self.inner.renew(lease, now, more).await
    }

    async fn content(
        &self,
        tenant: &TenantId,
        queue: QueueId,
    ) -> Result<SealedContent, StoreError> {
        self.check("content")?;
        self.inner.content(tenant, queue).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        events: Vec<NewEvent>,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        self.check("settle")?;
        self.inner.settle(lease, settlement, events, now).await
    }

    async fn state(&self, delivery: &DeliveryKey) -> Result<DeliveryState, StoreError> {
        self.check("state")?;
        self.inner.state(delivery).await
    }

    async fn wake(&self, delivery: &DeliveryKey, due: UnixTime) -> Result<(), StoreError> {
        self.check("wake")?;
        self.inner.wake(delivery, due).await
    }

    async fn oldest(&self) -> Result<Option<UnixTime>, StoreError> {
        self.check("oldest")?;
        self.inner.oldest().await
    }

    async fn forget_ended(&self, before: UnixTime) -> Result<usize, StoreError> {
        self.check("forget_ended")?;
        self.inner.forget_ended(before).await
    }
}

#[async_trait]
impl<T: Vault> Vault for Outage<T> {
    async fn store(
        &self,
        key: &VaultKey,
        expires: UnixTime,
        body: &SealedContent,
    ) -> Result<(), StoreError> {
        self.check("store")?;
        self.inner.store(key, expires, body).await
    }

    async fn open(&self, key: &VaultKey) -> Result<SealedContent, StoreError> {
        self.check("open")?;
        self.inner.open(key).await
    }

    async fn erase(&self, key: &VaultKey) -> Result<(), StoreError> {
        self.check("erase")?;
        self.inner.erase(key).await
    }

    async fn expired(&self, now: UnixTime, limit: usize) -> Result<Vec<VaultKey>, StoreError> {
        self.check("expired")?;
        self.inner.expired(now, limit).await
    }
}

#[async_trait]
impl<T: KeyStore> KeyStore for Outage<T> {
    async fn put(&self, reference: &KeyRef, key: &WrappedKey) -> Result<(), StoreError> {
        self.check("put")?;
        self.inner.put(reference, key).await
    }

    async fn fetch(&self, reference: &KeyRef) -> Result<WrappedKey, StoreError> {
        self.check("fetch")?;
        self.inner.fetch(reference).await
    }

    async fn erase(&self, reference: &KeyRef) -> Result<(), StoreError> {
        self.check("erase")?;
        self.inner.erase(reference).await
    }

    async fn before(
        &self,
        purpose: KeyPurpose,
        id: [u8; 16],
        limit: usize,
    ) -> Result<Vec<KeyRef>, StoreError> {
        self.check("before")?;
        self.inner.before(purpose, id, limit).await
    }
}

#[async_trait]
impl<T: DomainMemory> DomainMemory for Outage<T> {
    async fn recall(&self, domain: &DnsName) -> Result<Option<DomainHistory>, StoreError> {
        self.check("recall")?;
        self.inner.recall(domain).await
    }

    async fn remember(&self, domain: &DnsName, history: &DomainHistory) -> Result<(), StoreError> {
        self.check("remember")?;
        self.inner.remember(domain, history).await
    }

    async fn policy(&self, domain: &DnsName) -> Result<Option<CachedPolicy>, StoreError> {
        self.check("policy")?;
        self.inner.policy(domain).await
    }

    async fn put_policy(&self, domain: &DnsName, policy: &CachedPolicy) -> Result<(), StoreError> {
        self.check("put_policy")?;
        self.inner.put_policy(domain, policy).await
    }
}

#[async_trait]
impl<T: Directory> Directory for Outage<T> {
    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError> {
        self.check("tenant")?;
        self.inner.tenant(id).await
    }

    async fn account(&self, identity: &Identity) -> Result<Option<Account>, StoreError> {
        self.check("account")?;
        self.inner.account(identity).await
    }

    async fn phone(
        &self,
        tenant: &TenantId,
        recipient: &Address,
    ) -> Result<Option<PhoneNumber>, StoreError> {
        self.check("phone")?;
        self.inner.phone(tenant, recipient).await
    }

    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        self.check("put_tenant")?;
        self.inner.put_tenant(tenant).await
    }

    async fn put_account(&self, identity: &Identity, account: &Account) -> Result<(), StoreError> {
        self.check("put_account")?;
        self.inner.put_account(identity, account).await
    }

    async fn put_phone(
        &self,
        tenant: &TenantId,
        recipient: &Address,
        number: &PhoneNumber,
    ) -> Result<(), StoreError> {
        self.check("put_phone")?;
        self.inner.put_phone(tenant, recipient, number).await
    }
}

#[async_trait]
impl<T: SigningKeys> SigningKeys for Outage<T> {
    async fn signers(&self, domain: &DnsName) -> Result<Vec<Arc<dyn DkimSigner>>, SigningError> {
        self.check("signers")
            .map_err(|error| SigningError::Unavailable(error.into()))?;
        self.inner.signers(domain).await
    }
}
