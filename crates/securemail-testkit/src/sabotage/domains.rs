//! A domain memory that breaks one clause.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{
    CachedPolicy, DomainHistory, DomainMemory, ReceivedReport, ReportClaim, ReportSettlement,
};
use securemail_core::limits::TLS_SESSION_KINDS_MAX;
use securemail_core::tlsrpt::{DomainSessions, UtcDay};
use securemail_core::vocab::{DnsName, UnixTime};

use crate::conformance::Harness;
use crate::conformance::domain_memory::DomainMemoryHarness;
use crate::memory::MemoryDomainMemory;

/// Which clause of the contract of `DomainMemory` is broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DomainsFault {
    /// A restart loses what was remembered.
    R1,
    /// The first record stays.
    R2,
    /// What was never remembered is an empty record.
    R3,
    /// Watching a domain again sets its time anew.
    R4Time,
    /// A full list takes more.
    R4Full,
    /// What was claimed is due at once again.
    R5,
    /// Each domain of a call is counted by itself.
    R6,
    /// More kinds than are kept are an error.
    R7,
    /// A lease ends at once.
    R8,
    /// A lost claim settles, as far as the caller is told.
    R9,
    /// What is done is given again.
    R10,
    /// Each copy of a report is kept.
    R11,
    /// The day that is named is forgotten too.
    R12,
}

/// A domain memory that breaks one clause; as a harness, it gives such memories.
#[derive(Debug)]
pub struct SabotagedDomainMemory {
    fault: DomainsFault,
    inner: MemoryDomainMemory,
}

impl SabotagedDomainMemory {
    /// An empty one.
    #[must_use]
    pub fn new(fault: DomainsFault) -> Self {
        let inner = MemoryDomainMemory::default();
        Self { fault, inner }
    }
}

#[async_trait]
impl Harness<dyn DomainMemory> for SabotagedDomainMemory {
    async fn fresh(&self) -> Arc<dyn DomainMemory> {
        Arc::new(Self::new(self.fault))
    }

    async fn reopen(&self, old: Arc<dyn DomainMemory>) -> Arc<dyn DomainMemory> {
        match self.fault {
            DomainsFault::R1 => self.fresh().await,
            _ => old,
        }
    }
}

#[async_trait]
impl DomainMemoryHarness for SabotagedDomainMemory {
    async fn watching(&self, most: usize) -> Arc<dyn DomainMemory> {
        let more = usize::from(self.fault == DomainsFault::R4Full);
        let inner = MemoryDomainMemory::watching(most.saturating_add(more));
        let fault = self.fault;
        Arc::new(Self { fault, inner })
    }
}

#[async_trait]
impl DomainMemory for SabotagedDomainMemory {
    async fn recall(&self, domain: &DnsName) -> Result<Option<DomainHistory>, StoreError> {
        let found = self.inner.recall(domain).await?;
        match self.fault {
            DomainsFault::R3 => Ok(Some(found.unwrap_or_default())),
            _ => Ok(found),
        }
    }

    async fn remember(&self, domain: &DnsName, history: &DomainHistory) -> Result<(), StoreError> {
        let known = self.inner.recall(domain).await?;
        if self.fault == DomainsFault::R2 && known.is_some() {
            return Ok(());
        }
        self.inner.remember(domain, history).await
    }

    async fn policy(&self, domain: &DnsName) -> Result<Option<CachedPolicy>, StoreError> {
        self.inner.policy(domain).await
    }

    async fn put_policy(&self, domain: &DnsName, policy: &CachedPolicy) -> Result<(), StoreError> {
        self.inner.put_policy(domain, policy).await
    }

    async fn watch(
        &self,
        domain: &DnsName,
        due: UnixTime,
        until: UnixTime,
    ) -> Result<(), StoreError> {
        self.inner.watch(domain, due, until).await?;
        if self.fault == DomainsFault::R4Time {
            self.inner.looked_at(domain, due).await?;
        }
        Ok(())
    }

    async fn claim_due(
        &self,
        now: UnixTime,
        again: UnixTime,
        most: usize,
    ) -> Result<Vec<DnsName>, StoreError> {
        let again = match self.fault {
            DomainsFault::R5 => UnixTime::from_millis(0),
            _ => again,
        };
        self.inner.claim_due(now, again, most).await
    }

    async fn looked_at(&self, domain: &DnsName, due: UnixTime) -> Result<(), StoreError> {
        self.inner.looked_at(domain, due).await
    }

    async fn count_sessions(&self, counted: &[DomainSessions]) -> Result<(), StoreError> {
        let too_many = |one: &DomainSessions| one.sessions.len() > TLS_SESSION_KINDS_MAX;
        if self.fault == DomainsFault::R7 && counted.iter().any(too_many) {
            return Err(StoreError::Full);
        }
        if self.fault == DomainsFault::R6 {
            for one in counted {
                self.inner.count_sessions(std::slice::from_ref(one)).await?;
                tokio::task::yield_now().await;
            }
            return Ok(());
        }
        self.inner.count_sessions(counted).await
    }

    async fn claim_report(
        &self,
        now: UnixTime,
        lease: Duration,
    ) -> Result<Option<ReportClaim>, StoreError> {
        let lease = match self.fault {
            DomainsFault::R8 => Duration::ZERO,
            _ => lease,
        };
        self.inner.claim_report(now, lease).await
    }

    async fn settle_report(
        &self,
        claim: &ReportClaim,
        settlement: ReportSettlement,
    ) -> Result<(), StoreError> {
        let settlement = match (self.fault, settlement) {
            (DomainsFault::R10, ReportSettlement::Done) => ReportSettlement::Again(claim.first_due),
            (_, settlement) => settlement,
        };
        let settled = self.inner.settle_report(claim, settlement).await;
        match (self.fault, &settled) {
            (DomainsFault::R9, Err(StoreError::LeaseLost)) => Ok(()),
            _ => settled,
        }
    }

    async fn keep_received(&self, report: &ReceivedReport) -> Result<(), StoreError> {
        let kept = self.inner.received_reports(&report.domain, usize::MAX);
        let is_known = kept.await?.iter().any(|kept| kept.key == report.key);
        let mut report = report.clone();
        if self.fault == DomainsFault::R11 && is_known {
            report.key.push_str(" once more");
        }
        self.inner.keep_received(&report).await
    }

    async fn received_reports(
        &self,
        domain: &DnsName,
        limit: usize,
    ) -> Result<Vec<ReceivedReport>, StoreError> {
        self.inner.received_reports(domain, limit).await
    }

    async fn forget_reports(&self, counts: UtcDay, received: UtcDay) -> Result<usize, StoreError> {
        let counts = match self.fault {
            DomainsFault::R12 => UtcDay::from_number(counts.number().saturating_add(1)),
            _ => counts,
        };
        self.inner.forget_reports(counts, received).await
    }
}
