//! A domain memory in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{CachedPolicy, DomainHistory, DomainMemory};
use securemail_core::limits::WATCHED_DOMAINS_MAX;
use securemail_core::vocab::{DnsName, UnixTime};

use super::lock;

/// A domain memory in memory.
#[derive(Debug, Default)]
pub struct MemoryDomainMemory {
    histories: Mutex<BTreeMap<DnsName, DomainHistory>>,
    policies: Mutex<BTreeMap<DnsName, CachedPolicy>>,
    /// When each is looked at next, and until when.
    watched: Mutex<BTreeMap<DnsName, (UnixTime, UnixTime)>>,
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

    async fn watch(
        &self,
        domain: &DnsName,
        due: UnixTime,
        until: UnixTime,
    ) -> Result<(), StoreError> {
        let mut watched = lock(&self.watched);
        if let Some((_, end)) = watched.get_mut(domain) {
            *end = until.max(*end);
        } else if watched.len() < WATCHED_DOMAINS_MAX {
            watched.insert(domain.clone(), (due, until));
        }
        Ok(())
    }

    async fn claim_due(
        &self,
        now: UnixTime,
        again: UnixTime,
        most: usize,
    ) -> Result<Vec<DnsName>, StoreError> {
        let mut watched = lock(&self.watched);
        watched.retain(|_, (_, until)| *until > now);
        let mut due: Vec<(UnixTime, DnsName)> = watched
            .iter()
            .filter(|(_, (due, _))| *due <= now)
            .map(|(domain, (due, _))| (*due, domain.clone()))
            .collect();
        due.sort();
        due.truncate(most);
        let due: Vec<DnsName> = due.into_iter().map(|(_, domain)| domain).collect();
        for domain in &due {
            if let Some(entry) = watched.get_mut(domain) {
                entry.0 = again;
            }
        }
        Ok(due)
    }

    async fn looked_at(&self, domain: &DnsName, due: UnixTime) -> Result<(), StoreError> {
        if let Some(entry) = lock(&self.watched).get_mut(domain) {
            entry.0 = due;
        }
        Ok(())
    }
}
