//! A spool that breaks one clause.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{
    Claim, Committed, DeliveryState, DueMail, Intent, Lease, Leased, NewEvent, NewItem, Settlement,
    Spool,
};
use securemail_core::vocab::{DeliveryKey, QueueId, SealedContent, TenantId, UnixTime};

use crate::conformance::spool::{SpoolHarness, SpoolWithLog};
use crate::memory::{MemoryAudit, MemorySpool, lock};

/// Which clause of the contract of `Spool` is broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpoolFault {
    /// Intents are granted and not written down.
    S1,
    /// A repeated submission is not recognised.
    S2,
    /// What was committed is not written down.
    S3,
    /// A lease ends at once.
    S4,
    /// A lease never ends.
    S5,
    /// A lost lease settles, as far as the caller is told.
    S6,
    /// Events are dropped.
    S7,
    /// Content stays when its item ended.
    S8,
    /// A second commit is fine, as far as the caller is told.
    S9,
    /// What is full takes no outcomes either.
    S10,
    /// As if nothing were queued.
    S11,
    /// That a final dot may have left is not written down.
    S12,
    /// Messages come among mail of ours.
    S13,
}

/// A spool in memory that breaks one clause.
#[derive(Debug)]
pub struct SabotagedSpool {
    fault: SpoolFault,
    inner: MemorySpool,
    kept: Mutex<BTreeMap<QueueId, SealedContent>>,
    full: AtomicBool,
}

impl SabotagedSpool {
    /// One around `inner`.
    #[must_use]
    pub fn new(fault: SpoolFault, inner: MemorySpool) -> Self {
        Self {
            fault,
            inner,
            kept: Mutex::default(),
            full: AtomicBool::new(false),
        }
    }

    fn events(&self, events: Vec<NewEvent>) -> Vec<NewEvent> {
        match self.fault {
            SpoolFault::S7 => Vec::new(),
            _ => events,
        }
    }
}

/// As a harness, a fault gives spools that have it.
#[async_trait]
impl SpoolHarness for SpoolFault {
    async fn fresh(&self) -> SpoolWithLog {
        let log = Arc::new(MemoryAudit::default());
        let spool = Arc::new(SabotagedSpool::new(*self, MemorySpool::new(log.clone())));
        SpoolWithLog { spool, log }
    }

    async fn small(&self) -> SpoolWithLog {
        let log = Arc::new(MemoryAudit::default());
        let inner = MemorySpool::with_room(log.clone(), 1 << 20);
        let spool = Arc::new(SabotagedSpool::new(*self, inner));
        SpoolWithLog { spool, log }
    }

    async fn reopen(&self, old: SpoolWithLog) -> SpoolWithLog {
        old
    }
}

#[async_trait]
impl Spool for SabotagedSpool {
    async fn intend(
        &self,
        mut intents: Vec<Intent>,
        now: UnixTime,
        lease: Duration,
    ) -> Result<Vec<Claim>, StoreError> {
        if self.fault == SpoolFault::S1 {
            let granted = intents.into_iter().map(|intent| Claim::Granted {
                lease: Lease {
                    delivery: intent.delivery,
                    fence: 1,
                },
                lost: None,
            });
            return Ok(granted.collect());
        }
        for intent in &mut intents {
            if self.fault == SpoolFault::S2 {
                intent.resubmission = None;
            }
            intent.events = self.events(std::mem::take(&mut intent.events));
        }
        self.inner.intend(intents, now, lease).await
    }

    async fn commit(&self, mut item: NewItem, now: UnixTime) -> Result<Committed, StoreError> {
        let queue = item.queue;
        if self.fault == SpoolFault::S3 {
            return Ok(Committed::assertion(queue));
        }
        lock(&self.kept)
            .entry(queue)
            .or_insert_with(|| item.content.clone());
        item.events = self.events(item.events);
        let committed = self.inner.commit(item, now).await;
        match (self.fault, &committed) {
            (SpoolFault::S9, Err(StoreError::AlreadyExists)) => Ok(Committed::assertion(queue)),
            (SpoolFault::S10, Err(StoreError::Full)) => {
                self.full.store(true, Ordering::SeqCst);
                committed
            }
            _ => committed,
        }
    }

    async fn lease_due(
        &self,
        which: DueMail,
        now: UnixTime,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Leased>, StoreError> {
        let lease = match self.fault {
            SpoolFault::S4 => Duration::ZERO,
            SpoolFault::S5 => Duration::from_secs(1 << 40),
            _ => lease,
        };
        let which = match self.fault {
            SpoolFault::S13 => DueMail::All,
            _ => which,
        };
        self.inner.lease_due(which, now, lease, limit).await
    }

    async fn open_dot(&self, lease: &Lease) -> Result<(), StoreError> {
        if self.fault == SpoolFault::S12 {
            return Ok(());
        }
        self.inner.open_dot(lease).await
    }

    async fn renew(&self, lease: &Lease, now: UnixTime, more: Duration) -> Result<(), StoreError> {
        self.inner.renew(lease, now, more).await
    }

    async fn content(
        &self,
        tenant: &TenantId,
        queue: QueueId,
    ) -> Result<SealedContent, StoreError> {
        let kept = lock(&self.kept).get(&queue).cloned();
        match (self.fault, kept) {
            (SpoolFault::S8, Some(content)) => Ok(content),
            _ => self.inner.content(tenant, queue).await,
        }
    }

    async fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        events: Vec<NewEvent>,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full);
        }
        let events = self.events(events);
        let settled = self.inner.settle(lease, settlement, events, now).await;
        match (self.fault, &settled) {
            (SpoolFault::S6, Err(StoreError::LeaseLost)) => Ok(()),
            _ => settled,
        }
    }

    async fn state(&self, delivery: &DeliveryKey) -> Result<DeliveryState, StoreError> {
        self.inner.state(delivery).await
    }

    async fn wake(&self, delivery: &DeliveryKey, due: UnixTime) -> Result<(), StoreError> {
        self.inner.wake(delivery, due).await
    }

    async fn oldest(&self) -> Result<Option<UnixTime>, StoreError> {
        match self.fault {
            SpoolFault::S11 => Ok(None),
            _ => self.inner.oldest().await,
        }
    }

    async fn forget_ended(&self, before: UnixTime) -> Result<usize, StoreError> {
        self.inner.forget_ended(before).await
    }
}
