//! How many attempts are under way at each recipient domain, and which domains had better be left alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::vocab::{DnsName, UnixTime};

/// Counts attempts in flight, so that one slow destination cannot hold all senders, nor all retries.
#[derive(Debug)]
pub(super) struct Destinations {
    attempts: Places,
    retries: Places,
    resting: Mutex<BTreeMap<DnsName, UnixTime>>,
}

/// So many places for each domain.
#[derive(Debug)]
struct Places {
    per_domain: usize,
    open: Arc<Mutex<BTreeMap<DnsName, usize>>>,
}

impl Destinations {
    /// At most `attempts` at a time for each domain, of which `retries` may be retries; one of each at least.
    pub(super) fn new(attempts: usize, retries: usize) -> Self {
        Self {
            attempts: Places::new(attempts),
            retries: Places::new(retries),
            resting: Mutex::default(),
        }
    }

    /// A place for a sender who waits; `None` also where the domain did not answer lately. What is
    /// refused here goes to the spool, whose worker asks [`enter_again`](Self::enter_again).
    pub(super) fn enter_at_once(&self, domain: &DnsName, now: UnixTime) -> Option<Permit> {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if resting.get(domain).is_some_and(|until| *until > now) {
            return None;
        }
        drop(resting);
        self.attempts.enter(domain)
    }

    /// A place for a retry, until both are dropped; `None` where all are taken.
    pub(super) fn enter_again(&self, domain: &DnsName) -> Option<[Permit; 2]> {
        Some([self.retries.enter(domain)?, self.attempts.enter(domain)?])
    }

    /// The domain did not answer: no sender waits for it again before `until`.
    pub(super) fn rest(&self, domain: &DnsName, until: UnixTime, now: UnixTime) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|_, until| *until > now);
        if resting.len() < RESTING_MAX {
            resting.insert(domain.clone(), until);
        }
    }

    /// The domain answered.
    pub(super) fn wake(&self, domain: &DnsName) {
        self.resting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(domain);
    }
}

impl Places {
    fn new(per_domain: usize) -> Self {
        Self {
            per_domain: per_domain.max(1),
            open: Arc::default(),
        }
    }

    /// A place, until it is dropped; `None` where all are taken.
    fn enter(&self, domain: &DnsName) -> Option<Permit> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(domain.clone()).or_default();
        if *count >= self.per_domain {
            return None;
        }
        *count += 1;
        Some(Permit {
            domain: domain.clone(),
            open: self.open.clone(),
        })
    }
}

/// A place at a destination.
#[derive(Debug)]
pub(super) struct Permit {
    domain: DnsName,
    open: Arc<Mutex<BTreeMap<DnsName, usize>>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.domain) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.domain);
            }
        }
    }
}

/// Domains that are remembered as silent; more are simply asked again.
const RESTING_MAX: usize = 10_000;
