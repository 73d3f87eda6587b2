//! How many logins of one address may fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use securemail_core::backend::AddressPrefix;
use securemail_core::vocab::UnixTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Gives each address so many tries. A try is taken before anything is looked at, and only a login that
/// did not fail gives it back: guesses sent at once are not more than guesses sent one by one.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<BTreeMap<AddressPrefix, Left>>);

/// What an address has left within its window.
#[derive(Debug)]
struct Left {
    /// Closed once there are none.
    tries: Arc<Semaphore>,
    failed: usize,
    /// When the first one failed.
    since: UnixTime,
}

/// One try; dropped, it is given back.
#[derive(Debug)]
pub(super) struct Try {
    permit: OwnedSemaphorePermit,
    prefix: AddressPrefix,
}

/// Why there is no try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoTry {
    /// Others of this address are being looked at, and take long.
    Busy,
    /// So many failed that none is looked at.
    Spent,
}

impl Tries {
    /// A try of this address; waits while as many as it has left are being looked at.
    pub(super) async fn take(&self, prefix: AddressPrefix, now: UnixTime) -> Result<Try, NoTry> {
        let tries = self.left_of(prefix, now);
        match timeout(WAIT, tries.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Try { permit, prefix }),
            Ok(Err(_closed)) => Err(NoTry::Spent),
            Err(_) => Err(NoTry::Busy),
        }
    }

    /// The login failed: its try does not come back within the window.
    pub(super) fn failed(&self, failed: Try, now: UnixTime) {
        let mut all = self.lock();
        if let Some(left) = all.get_mut(&failed.prefix) {
            // A window that ended meanwhile has nothing to do with it any more.
            if Arc::ptr_eq(&left.tries, failed.permit.semaphore()) {
                if left.failed == 0 {
                    left.since = now;
                }
                left.failed = left.failed.saturating_add(1);
                if left.failed >= FAILURES_MAX {
                    left.tries.close();
                }
            }
        }
        failed.permit.forget();
    }

    fn left_of(&self, prefix: AddressPrefix, now: UnixTime) -> Arc<Semaphore> {
        let mut all = self.lock();
        if all.len() >= ADDRESSES_MAX {
            all.retain(|_, left| !left.is_of_no_use(now));
        }
        if all.len() >= ADDRESSES_MAX {
            all.pop_first();
        }
        let left = all.entry(prefix).or_insert_with(|| Left::all(now));
        if left.is_over(now) {
            *left = Left::all(now);
        }
        Arc::clone(&left.tries)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AddressPrefix, Left>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Left {
    fn all(now: UnixTime) -> Self {
        Self {
            tries: Arc::new(Semaphore::new(FAILURES_MAX)),
            failed: 0,
            since: now,
        }
    }

    fn is_over(&self, now: UnixTime) -> bool {
        self.failed > 0 && now.since(self.since) >= FAILURES_WINDOW
    }

    fn is_of_no_use(&self, now: UnixTime) -> bool {
        self.is_over(now) || (self.failed == 0 && Arc::strong_count(&self.tries) == 1)
    }
}

/// Failed logins from one address within the window, after which none is looked at.
pub(super) const FAILURES_MAX: usize = 10;
/// See [`FAILURES_MAX`].
const FAILURES_WINDOW: Duration = Duration::from_mins(10);
/// How long a login waits for those before it.
const WAIT: Duration = Duration::from_secs(10);
/// Addresses whose failures are counted at once.
const ADDRESSES_MAX: usize = 10_000;
