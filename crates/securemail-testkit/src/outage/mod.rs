//! Back-ends that can be switched off or made slow, whole or for one operation.
//!
//! A test that means to break something must break it: [`Outage::up`] fails where a fault was never met.

mod backends;
mod trip;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use securemail_core::StoreError;
use tokio::sync::watch;

pub use self::trip::Trip;
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
    faults: Mutex<BTreeMap<&'static str, Injected>>,
    held: watch::Sender<BTreeSet<&'static str>>,
    /// What was held and has been called since.
    waited: Mutex<BTreeSet<&'static str>>,
    trip: Arc<Trip>,
}

/// A fault, and how many calls it has met.
#[derive(Debug)]
struct Injected {
    fault: Fault,
    met: usize,
}

impl<T> Outage<T> {
    /// Nothing fails yet.
    #[must_use]
    pub fn new(inner: Arc<T>) -> Self {
        Self {
            inner,
            faults: Mutex::default(),
            held: watch::Sender::default(),
            waited: Mutex::default(),
            trip: Arc::default(),
        }
    }

    /// Counts its calls together with those of all others that share `trip`.
    #[must_use]
    pub fn sharing(mut self, trip: &Arc<Trip>) -> Self {
        self.trip = trip.clone();
        self
    }

    /// What is behind it.
    #[must_use]
    pub const fn inner(&self) -> &Arc<T> {
        &self.inner
    }

    /// The operation of this name fails from here on.
    pub fn fail(&self, operation: &'static str, fault: Fault) {
        lock(&self.faults).insert(operation, Injected { fault, met: 0 });
    }

    /// Nothing answers from here on. It does not end the faults of single operations.
    pub fn down(&self) {
        self.fail(ALL, Fault::Unavailable);
    }

    /// Calls of the operation of this name wait from here on, before they do anything.
    pub fn hold(&self, operation: &'static str) {
        lock(&self.waited).remove(operation);
        self.held.send_modify(|held| held.extend([operation]));
    }

    /// What was held goes on; what fails, fails.
    ///
    /// # Panics
    /// Where an operation was held and never called: the test did not try what it is about.
    pub fn let_go(&self) {
        let held = self.held.send_replace(BTreeSet::new());
        let waited = lock(&self.waited);
        let never: Vec<_> = held.difference(&waited).collect();
        assert!(never.is_empty(), "{never:?} was held, and never called");
    }

    /// Everything works again, and what was held goes on.
    ///
    /// # Panics
    /// Where a fault was never met, or an operation was held and never called: the test did not try what it
    /// is about.
    pub fn up(&self) {
        self.let_go();
        let faults = std::mem::take(&mut *lock(&self.faults));
        let idle = faults.iter().filter(|(_, injected)| injected.met == 0);
        let never: Vec<_> = idle.map(|(operation, _)| operation).collect();
        assert!(never.is_empty(), "the fault of {never:?} was never met");
    }

    /// Everything works again; returns how many calls have met a fault. For a test that tries many cases, some
    /// of which never come to the operation: it shows that all of them together did.
    pub fn heal(&self) -> usize {
        self.held.send_replace(BTreeSet::new());
        let faults = std::mem::take(&mut *lock(&self.faults));
        faults.values().map(|injected| injected.met).sum()
    }

    async fn check(&self, operation: &'static str) -> Result<(), StoreError> {
        self.trip.pass().await?;
        let mut held = self.held.subscribe();
        if held.borrow().contains(operation) {
            lock(&self.waited).insert(operation);
        }
        // The sender lives as long as `self`, so there is always a next value to wait for.
        drop(held.wait_for(|held| !held.contains(operation)).await);
        self.refusal(operation).map_or(Ok(()), Err)
    }

    fn refusal(&self, operation: &'static str) -> Option<StoreError> {
        let mut faults = lock(&self.faults);
        let of = if faults.contains_key(operation) {
            operation
        } else {
            ALL
        };
        let injected = faults.get_mut(of)?;
        injected.met += 1;
        Some(match injected.fault {
            Fault::Full => StoreError::Full,
            Fault::Unavailable => StoreError::Unavailable("switched off".into()),
        })
    }
}

impl<T> fmt::Debug for Outage<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outage")
            .field("faults", &*lock(&self.faults))
            .finish_non_exhaustive()
    }
}

/// Stands for every operation.
const ALL: &str = "*";
