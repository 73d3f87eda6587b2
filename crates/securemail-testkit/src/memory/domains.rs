//! A domain memory in memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{
    CachedPolicy, DomainHistory, DomainMemory, ReceivedReport, ReportClaim, ReportSettlement,
};
use securemail_core::limits::{
    TLS_REPORTS_A_DAY_MAX, TLS_REPORTS_A_DAY_OCTETS_MAX, TLS_SESSION_KINDS_MAX, WATCHED_DOMAINS_MAX,
};
use securemail_core::tlsrpt::{DomainSessions, Session, UtcDay};
use securemail_core::vocab::{DnsName, UnixTime};

use super::lock;

/// A domain memory in memory.
#[derive(Debug)]
pub struct MemoryDomainMemory {
    histories: Mutex<BTreeMap<DnsName, DomainHistory>>,
    policies: Mutex<BTreeMap<DnsName, CachedPolicy>>,
    /// When each is looked at next, and until when.
    watched: Mutex<BTreeMap<DnsName, (UnixTime, UnixTime)>>,
    watched_max: usize,
    counts: Mutex<BTreeMap<(DnsName, UtcDay), Counts>>,
    /// With the octets of each.
    received: Mutex<BTreeMap<(DnsName, String), (ReceivedReport, usize)>>,
}

impl Default for MemoryDomainMemory {
    fn default() -> Self {
        Self::watching(WATCHED_DOMAINS_MAX)
    }
}

impl MemoryDomainMemory {
    /// One that watches at most so many domains.
    #[must_use]
    pub fn watching(most: usize) -> Self {
        Self {
            histories: Mutex::default(),
            policies: Mutex::default(),
            watched: Mutex::default(),
            watched_max: most,
            counts: Mutex::default(),
            received: Mutex::default(),
        }
    }
}

/// What was counted for one domain and day, and how its report stands.
#[derive(Debug)]
struct Counts {
    first_due: UnixTime,
    /// `None` once it is done.
    due: Option<UnixTime>,
    tries: u32,
    fence: u64,
    sessions: BTreeMap<Session, u64>,
}

impl Counts {
    fn add(&mut self, session: &Session, count: u64) {
        let room = self.sessions.len() < TLS_SESSION_KINDS_MAX;
        if self.due.is_some() && (room || self.sessions.contains_key(session)) {
            let sum = self.sessions.entry(session.clone()).or_default();
            *sum = sum.saturating_add(count);
        }
    }
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
        } else if watched.len() < self.watched_max {
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

    async fn count_sessions(&self, counted: &[DomainSessions]) -> Result<(), StoreError> {
        let mut all = lock(&self.counts);
        for counted in counted {
            let key = (counted.domain.clone(), counted.day);
            let counts = all.entry(key).or_insert_with(|| Counts {
                first_due: counted.due,
                due: Some(counted.due),
                tries: 0,
                fence: 0,
                sessions: BTreeMap::new(),
            });
            for (session, count) in &counted.sessions {
                counts.add(session, *count);
            }
        }
        Ok(())
    }

    async fn claim_report(
        &self,
        now: UnixTime,
        lease: Duration,
    ) -> Result<Option<ReportClaim>, StoreError> {
        let mut all = lock(&self.counts);
        let due = all
            .iter_mut()
            .filter(|(_, counts)| counts.due.is_some_and(|due| due <= now))
            .min_by_key(|(_, counts)| counts.due);
        let Some(((domain, day), counts)) = due else {
            return Ok(None);
        };
        counts.fence += 1;
        counts.due = Some(now.plus(lease));
        Ok(Some(ReportClaim {
            domain: domain.clone(),
            day: *day,
            first_due: counts.first_due,
            tries: counts.tries,
            fence: counts.fence,
            sessions: counts
                .sessions
                .iter()
                .map(|(session, count)| (session.clone(), *count))
                .collect(),
        }))
    }

    async fn settle_report(
        &self,
        claim: &ReportClaim,
        settlement: ReportSettlement,
    ) -> Result<(), StoreError> {
        let mut all = lock(&self.counts);
        let counts = all
            .get_mut(&(claim.domain.clone(), claim.day))
            .filter(|counts| counts.due.is_some() && counts.fence == claim.fence)
            .ok_or(StoreError::LeaseLost)?;
        match settlement {
            ReportSettlement::Again(due) => {
                counts.due = Some(due);
                counts.tries = counts.tries.saturating_add(1);
                // The claim is settled: it settles nothing more.
                counts.fence += 1;
            }
            ReportSettlement::Done => {
                counts.due = None;
                counts.sessions.clear();
            }
        }
        Ok(())
    }

    async fn keep_received(&self, report: &ReceivedReport) -> Result<(), StoreError> {
        let key = (report.domain.clone(), report.key.clone());
        let mut all = lock(&self.received);
        let room_of = |one: &ReceivedReport| (one.domain.clone(), one.day, one.signer.is_some());
        let room = room_of(report);
        let same_room = all.values().filter(|(kept, _)| room_of(kept) == room);
        let sizes: Vec<usize> = same_room.map(|(_, octets)| *octets).collect();
        let octets = report.report.to_json().len();
        let sum = sizes.iter().sum::<usize>() + octets;
        if sizes.len() < TLS_REPORTS_A_DAY_MAX && sum <= TLS_REPORTS_A_DAY_OCTETS_MAX {
            all.entry(key).or_insert_with(|| (report.clone(), octets));
        }
        Ok(())
    }

    async fn received_reports(
        &self,
        domain: &DnsName,
        limit: usize,
    ) -> Result<Vec<ReceivedReport>, StoreError> {
        let received = lock(&self.received);
        let mut found: Vec<ReceivedReport> = received
            .values()
            .map(|(report, _)| report)
            .filter(|report| report.domain == *domain)
            .cloned()
            .collect();
        found.sort_by_key(|one| (Reverse(one.day), one.signer.is_none(), one.key.clone()));
        found.truncate(limit);
        Ok(found)
    }

    async fn forget_reports(&self, counts: UtcDay, received: UtcDay) -> Result<usize, StoreError> {
        let mut counted = lock(&self.counts);
        let mut kept = lock(&self.received);
        let before = counted.len() + kept.len();
        counted.retain(|(_, day), _| *day >= counts);
        kept.retain(|_, (report, _)| report.day >= received);
        Ok(before - counted.len() - kept.len())
    }
}
