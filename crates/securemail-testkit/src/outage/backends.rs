//! The back-ends' traits: each call asks the switch first. An operation has the name of its method.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{
    AddressPrefix, AuditSink, Budget, CachedPolicy, Claim, Committed, DeliveryState, Directory,
    DkimSigner, DomainHistory, DomainMemory, DueMail, EventPage, Intent, KeyPurpose, KeyRef,
    KeyStore, Lease, Leased, NewEvent, NewItem, PickupRecord, Pickups, ReceivedReport, ReportClaim,
    ReportSettlement, ReturnHost, ReturnHosts, Settlement, SigningError, SigningKeys, Spent, Spool,
    StoredEvent, Vault, WrappedKey,
};
use securemail_core::tlsrpt::{DomainSessions, UtcDay};
use securemail_core::vocab::{
    Account, Address, DeliveryKey, DnsName, Identity, KeyedHash, PhoneNumber, QueueId,
    SealedContent, Tenant, TenantId, UnixTime, VaultId, VaultKey,
};

use super::Outage;

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
        which: DueMail,
        now: UnixTime,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Leased>, StoreError> {
        self.check("lease_due").await?;
        self.inner.lease_due(which, now, lease, limit).await
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

#[async_trait]
impl<T: AuditSink> AuditSink for Outage<T> {
    async fn append(&self, tenant: &TenantId, events: Vec<NewEvent>) -> Result<u64, StoreError> {
        self.check("append").await?;
        self.inner.append(tenant, events).await
    }

    async fn page(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        self.check("page").await?;
        self.inner.page(tenant, from, limit).await
    }

    async fn of_message(
        &self,
        tenant: &TenantId,
        queue: QueueId,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.check("of_message").await?;
        self.inner.of_message(tenant, queue).await
    }

    async fn find(
        &self,
        tenant: &TenantId,
        index: KeyedHash,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.check("find").await?;
        self.inner.find(tenant, index, limit).await
    }

    async fn erase_personal(
        &self,
        tenant: &TenantId,
        before: UnixTime,
    ) -> Result<usize, StoreError> {
        self.check("erase_personal").await?;
        self.inner.erase_personal(tenant, before).await
    }
}

#[async_trait]
impl<T: Pickups> Pickups for Outage<T> {
    async fn create(&self, record: &PickupRecord) -> Result<(), StoreError> {
        self.check("create").await?;
        self.inner.create(record).await
    }

    async fn load(&self, key: &VaultKey) -> Result<PickupRecord, StoreError> {
        self.check("load").await?;
        self.inner.load(key).await
    }

    async fn locate(&self, id: VaultId) -> Result<VaultKey, StoreError> {
        self.check("locate").await?;
        self.inner.locate(id).await
    }

    async fn replace(&self, record: &PickupRecord, expected: u64) -> Result<(), StoreError> {
        self.check("replace").await?;
        self.inner.replace(record, expected).await
    }

    async fn due(&self, now: UnixTime, limit: usize) -> Result<Vec<PickupRecord>, StoreError> {
        self.check("due").await?;
        self.inner.due(now, limit).await
    }

    async fn erase(&self, key: &VaultKey) -> Result<(), StoreError> {
        self.check("erase").await?;
        self.inner.erase(key).await
    }

    async fn block(
        &self,
        tenant: &TenantId,
        prefix: AddressPrefix,
        until: UnixTime,
    ) -> Result<(), StoreError> {
        self.check("block").await?;
        self.inner.block(tenant, prefix, until).await
    }

    async fn blocked_until(
        &self,
        tenant: &TenantId,
        prefix: AddressPrefix,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, StoreError> {
        self.check("blocked_until").await?;
        self.inner.blocked_until(tenant, prefix, now).await
    }

    async fn spend(
        &self,
        tenant: &TenantId,
        budgets: &[Budget],
        now: UnixTime,
    ) -> Result<Spent, StoreError> {
        self.check("spend").await?;
        self.inner.spend(tenant, budgets, now).await
    }

    async fn give_back(&self, tenant: &TenantId, budgets: &[Budget]) -> Result<(), StoreError> {
        self.check("give_back").await?;
        self.inner.give_back(tenant, budgets).await
    }
}

#[async_trait]
impl<T: ReturnHosts> ReturnHosts for Outage<T> {
    async fn return_host(&self, tenant: &TenantId) -> Result<Option<ReturnHost>, StoreError> {
        self.check("return_host").await?;
        self.inner.return_host(tenant).await
    }
}
