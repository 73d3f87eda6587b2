//! Back-ends that can be switched off or made slow, whole or for one operation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{
    CachedPolicy, Claim, Committed, DeliveryState, Directory, DkimSigner, DomainHistory,
    DomainMemory, Intent, KeyPurpose, KeyRef, KeyStore, Lease, Leased, NewEvent, NewItem,
    ReceivedReport, ReportClaim, ReportSettlement, Settlement, SigningError, SigningKeys, Spool,
    Vault, WrappedKey,
};
use securemail_core::tlsrpt::{DomainSessions, UtcDay};
use securemail_core::vocab::{
    Account, Address, DeliveryKey, DnsName, Identity, PhoneNumber, QueueId, SealedContent, Tenant,
    TenantId, UnixTime, VaultKey,
};

use tokio::sync::watch;

use crate::memory::lock;

/// How an operation fails. A failure changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// There is no room.
    Full,
    /// It does not answer.
    Unavailable,
}

/// A back-end that can be switched off, or made slow.
pub struct Outage<T> {
    inner: Arc<T>,
    faults: Mutex<BTreeMap<&'static str, Fault>>,
    held: watch::Sender<BTreeSet<&'static str>>,
}

impl<T> Outage<T> {
    /// Nothing fails yet.
    #[must_use]
    pub fn new(inner: Arc<T>) -> Self {
        Self {
            inner,
            faults: Mutex::default(),
            held: watch::Sender::default(),
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

    /// Calls of the operation of this name wait from here on, before they do anything.
    pub fn hold(&self, operation: &'static str) {
        self.held.send_modify(|held| held.extend([operation]));
    }

    /// What was held goes on; what fails, fails.
    pub fn let_go(&self) {
        self.held.send_modify(BTreeSet::clear);
    }

    /// Everything works again, and what was held goes on.
    pub fn up(&self) {
        lock(&self.faults).clear();
        self.let_go();
    }

    async fn check(&self, operation: &'static str) -> Result<(), StoreError> {
        let mut held = self.held.subscribe();
        // The sender lives as long as `self`, so there is always a next value to wait for.
        drop(held.wait_for(|held| !held.contains(operation)).await);
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
        self.check("intend").await?;
        self.inner.intend(intents, now, lease).await
    }

    async fn commit(&self, item: NewItem, now: UnixTime) -> Result<Committed, StoreError> {
        self.check("commit").await?;
        self.inner.commit(item, now).await
    }

    async fn lease_due(
        &self,
        now: UnixTime,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Leased>, StoreError> {
        self.check("lease_due").await?;
        self.inner.lease_due(now, lease, limit).await
    }

    async fn open_dot(&self, lease: &Lease) -> Result<(), StoreError> {
        self.check("open_dot").await?;
        self.inner.open_dot(lease).await
    }

    async fn renew(&self, lease: &Lease, now: UnixTime, more: Duration) -> Result<(), StoreError> {
        self.check("renew").await?;
        self.inner.renew(lease, now, more).await
    }

    async fn content(
        &self,
        tenant: &TenantId,
        queue: QueueId,
    ) -> Result<SealedContent, StoreError> {
        self.check("content").await?;
        self.inner.content(tenant, queue).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        events: Vec<NewEvent>,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        self.check("settle").await?;
        self.inner.settle(lease, settlement, events, now).await
    }

    async fn state(&self, delivery: &DeliveryKey) -> Result<DeliveryState, StoreError> {
        self.check("state").await?;
        self.inner.state(delivery).await
    }

    async fn wake(&self, delivery: &DeliveryKey, due: UnixTime) -> Result<(), StoreError> {
        self.check("wake").await?;
        self.inner.wake(delivery, due).await
    }

    async fn oldest(&self) -> Result<Option<UnixTime>, StoreError> {
        self.check("oldest").await?;
        self.inner.oldest().await
    }

    async fn forget_ended(&self, before: UnixTime) -> Result<usize, StoreError> {
        self.check("forget_ended").await?;
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
        self.check("store").await?;
        self.inner.store(key, expires, body).await
    }

    async fn open(&self, key: &VaultKey) -> Result<SealedContent, StoreError> {
        self.check("open").await?;
        self.inner.open(key).await
    }

    async fn erase(&self, key: &VaultKey) -> Result<(), StoreError> {
        self.check("erase").await?;
        self.inner.erase(key).await
    }

    async fn expired(&self, now: UnixTime, limit: usize) -> Result<Vec<VaultKey>, StoreError> {
        self.check("expired").await?;
        self.inner.expired(now, limit).await
    }
}

#[async_trait]
impl<T: KeyStore> KeyStore for Outage<T> {
    async fn put(&self, reference: &KeyRef, key: &WrappedKey) -> Result<(), StoreError> {
        self.check("put").await?;
        self.inner.put(reference, key).await
    }

    async fn fetch(&self, reference: &KeyRef) -> Result<WrappedKey, StoreError> {
        self.check("fetch").await?;
        self.inner.fetch(reference).await
    }

    async fn erase(&self, reference: &KeyRef) -> Result<(), StoreError> {
        self.check("erase").await?;
        self.inner.erase(reference).await
    }

    async fn before(
        &self,
        purpose: KeyPurpose,
        id: [u8; 16],
        limit: usize,
    ) -> Result<Vec<KeyRef>, StoreError> {
        self.check("before").await?;
        self.inner.before(purpose, id, limit).await
    }
}

#[async_trait]
impl<T: DomainMemory> DomainMemory for Outage<T> {
    async fn recall(&self, domain: &DnsName) -> Result<Option<DomainHistory>, StoreError> {
        self.check("recall").await?;
        self.inner.recall(domain).await
    }

    async fn remember(&self, domain: &DnsName, history: &DomainHistory) -> Result<(), StoreError> {
        self.check("remember").await?;
        self.inner.remember(domain, history).await
    }

    async fn policy(&self, domain: &DnsName) -> Result<Option<CachedPolicy>, StoreError> {
        self.check("policy").await?;
        self.inner.policy(domain).await
    }

    async fn put_policy(&self, domain: &DnsName, policy: &CachedPolicy) -> Result<(), StoreError> {
        self.check("put_policy").await?;
        self.inner.put_policy(domain, policy).await
    }

    async fn watch(
        &self,
        domain: &DnsName,
        due: UnixTime,
        until: UnixTime,
    ) -> Result<(), StoreError> {
        self.check("watch").await?;
        self.inner.watch(domain, due, until).await
    }

    async fn claim_due(
        &self,
        now: UnixTime,
        again: UnixTime,
        most: usize,
    ) -> Result<Vec<DnsName>, StoreError> {
        self.check("claim_due").await?;
        self.inner.claim_due(now, again, most).await
    }

    async fn looked_at(&self, domain: &DnsName, due: UnixTime) -> Result<(), StoreError> {
        self.check("looked_at").await?;
        self.inner.looked_at(domain, due).await
    }

    async fn count_sessions(&self, counted: &[DomainSessions]) -> Result<(), StoreError> {
        self.check("count_sessions").await?;
        self.inner.count_sessions(counted).await
    }

    async fn claim_report(
        &self,
        now: UnixTime,
        lease: Duration,
    ) -> Result<Option<ReportClaim>, StoreError> {
        self.check("claim_report").await?;
        self.inner.claim_report(now, lease).await
    }

    async fn settle_report(
        &self,
        claim: &ReportClaim,
        settlement: ReportSettlement,
    ) -> Result<(), StoreError> {
        self.check("settle_report").await?;
        self.inner.settle_report(claim, settlement).await
    }

    async fn keep_received(&self, report: &ReceivedReport) -> Result<(), StoreError> {
        self.check("keep_received").await?;
        self.inner.keep_received(report).await
    }

    async fn received_reports(
        &self,
        domain: &DnsName,
        limit: usize,
    ) -> Result<Vec<ReceivedReport>, StoreError> {
        self.check("received_reports").await?;
        self.inner.received_reports(domain, limit).await
    }

    async fn forget_reports(&self, counts: UtcDay, received: UtcDay) -> Result<usize, StoreError> {
        self.check("forget_reports").await?;
        self.inner.forget_reports(counts, received).await
    }
}

#[async_trait]
impl<T: Directory> Directory for Outage<T> {
    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError> {
        self.check("tenant").await?;
        self.inner.tenant(id).await
    }

    async fn account(&self, identity: &Identity) -> Result<Option<Account>, StoreError> {
        self.check("account").await?;
        self.inner.account(identity).await
    }

    async fn phone(
        &self,
        tenant: &TenantId,
        recipient: &Address,
    ) -> Result<Option<PhoneNumber>, StoreError> {
        self.check("phone").await?;
        self.inner.phone(tenant, recipient).await
    }

    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        self.check("put_tenant").await?;
        self.inner.put_tenant(tenant).await
    }

    async fn put_account(&self, identity: &Identity, account: &Account) -> Result<(), StoreError> {
        self.check("put_account").await?;
        self.inner.put_account(identity, account).await
    }

    async fn put_phone(
        &self,
        tenant: &TenantId,
        recipient: &Address,
        number: &PhoneNumber,
    ) -> Result<(), StoreError> {
        self.check("put_phone").await?;
        self.inner.put_phone(tenant, recipient, number).await
    }
}

#[async_trait]
impl<T: SigningKeys> SigningKeys for Outage<T> {
    async fn signers(&self, domain: &DnsName) -> Result<Vec<Arc<dyn DkimSigner>>, SigningError> {
        self.check("signers")
            .await
            .map_err(|error| SigningError::Unavailable(error.into()))?;
        self.inner.signers(domain).await
    }
}
