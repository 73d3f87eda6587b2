//! A log of events in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{AuditSink, EventPage, NewEvent, StoredEvent};
use securemail_core::ledger::chain::START;
use securemail_core::ledger::{chain, leaf_hash};
use securemail_core::vocab::{KeyedHash, QueueId, TenantId, UnixTime};

use super::lock;

/// A log of events in memory.
#[derive(Debug, Default)]
pub struct MemoryAudit(Mutex<BTreeMap<TenantId, Vec<Entry>>>);

#[derive(Debug)]
struct Entry {
    event: StoredEvent,
    index: Vec<KeyedHash>,
}

impl MemoryAudit {
    /// Appends at once; for back-ends that log an event together with a change of their own.
    pub fn record(&self, tenant: &TenantId, events: Vec<NewEvent>) -> u64 {
        let mut logs = lock(&self.0);
        let log = logs.entry(tenant.clone()).or_default();
        let first = log.len() as u64;
        for new in events {
            let last = log.last().map_or(START, |entry| entry.event.chain);
            let event = StoredEvent {
                position: log.len() as u64,
                time: new.time,
                queue: new.queue,
                chain: chain(&last, &leaf_hash(&new.chained)),
                chained: new.chained,
                personal: Some(new.personal),
            };
            log.push(Entry {
                event,
                index: new.index,
            });
        }
        first
    }

    fn select(&self, tenant: &TenantId, wanted: impl Fn(&Entry) -> bool) -> Vec<StoredEvent> {
        let logs = lock(&self.0);
        let log = logs.get(tenant).map_or(&[][..], Vec::as_slice);
        let hits = log.iter().filter(|entry| wanted(entry));
        hits.map(|entry| entry.event.clone()).collect()
    }
}

#[async_trait]
impl AuditSink for MemoryAudit {
    async fn append(&self, tenant: &TenantId, events: Vec<NewEvent>) -> Result<u64, StoreError> {
        Ok(self.record(tenant, events))
    }

    async fn page(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        let all = self.select(tenant, |_| true);
        let size = all.len() as u64;
        let behind = all.into_iter().filter(|event| event.position >= from);
        let events = behind.take(limit).collect();
        Ok(EventPage { events, size })
    }

    async fn of_message(
        &self,
        tenant: &TenantId,
        queue: QueueId,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(self.select(tenant, |entry| entry.event.queue == queue))
    }

    async fn find(
        &self,
        tenant: &TenantId,
        index: KeyedHash,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut hits = self.select(tenant, |entry| entry.index.contains(&index));
        hits.reverse();
        hits.truncate(limit);
        Ok(hits)
    }

    async fn erase_personal(
        &self,
        tenant: &TenantId,
        before: UnixTime,
    ) -> Result<usize, StoreError> {
        let mut logs = lock(&self.0);
        let log = logs.entry(tenant.clone()).or_default();
        let old = log.iter_mut().filter(|entry| entry.event.time < before);
        Ok(old.filter_map(|entry| entry.event.personal.take()).count())
    }
}
