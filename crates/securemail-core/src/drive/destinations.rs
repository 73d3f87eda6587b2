//! How many attempts are under way at each recipient domain.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::vocab::DnsName;

/// Counts attempts in flight, so that one slow destination cannot hold all senders.
#[derive(Debug)]
pub(super) struct Destinations {
    per_domain: usize,
    open: Arc<Mutex<BTreeMap<DnsName, usize>>>,
}

impl Destinations {
    /// At most `per_domain` attempts at a time for each domain.
    pub(super) fn new(per_domain: usize) -> Self {
        Self {
            per_domain,
            open: Arc::default(),
        }
    }

    /// A place, until it is dropped; `None` where all are taken.
    pub(super) fn enter(&self, domain: &DnsName) -> Option<Permit> {
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
