//! Trouble at one certain call of all that a process makes to its back-ends.

use std::future;
use std::sync::Mutex;

use securemail_core::StoreError;

use crate::memory::lock;

/// Counts the calls to all back-ends that share it, and lets one of them go wrong.
///
/// A test that tries each number in turn, until [`disarm`](Self::disarm) says that no call
/// met it, has tried every moment at which a process can end.
#[derive(Debug, Default)]
pub struct Trip(Mutex<Option<Armed>>);

#[derive(Debug)]
struct Armed {
    left: usize,
    trouble: Trouble,
    met: bool,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Fail,
    FailOnce,
    Hang,
}

impl Trip {
    /// So many calls are answered; those behind them wait for ever, as those of a process that was killed.
    pub fn hang_after(&self, calls: usize) {
        self.arm(calls, Trouble::Hang);
    }

    /// So many calls are answered; those behind them fail and change nothing.
    pub fn fail_after(&self, calls: usize) {
        self.arm(calls, Trouble::Fail);
    }

    /// So many calls are answered; the one behind them fails and changes nothing.
    pub fn fail_once_after(&self, calls: usize) {
        self.arm(calls, Trouble::FailOnce);
    }

    fn arm(&self, left: usize, trouble: Trouble) {
        let met = false;
        *lock(&self.0) = Some(Armed { left, trouble, met });
    }

    /// All calls are answered again; says whether one met the trouble.
    pub fn disarm(&self) -> bool {
        lock(&self.0).take().is_some_and(|armed| armed.met)
    }

    /// One call more.
    pub(super) async fn pass(&self) -> Result<(), StoreError> {
        match self.count() {
            None => Ok(()),
            Some(Trouble::Fail | Trouble::FailOnce) => {
                Err(StoreError::Unavailable("this one fails".into()))
            }
            Some(Trouble::Hang) => future::pending().await,
        }
    }

    fn count(&self) -> Option<Trouble> {
        let mut armed = lock(&self.0);
        let armed = armed.as_mut()?;
        if armed.left > 0 {
            armed.left -= 1;
            return None;
        }
        let is_over = armed.met && matches!(armed.trouble, Trouble::FailOnce);
        armed.met = true;
        (!is_over).then_some(armed.trouble)
    }
}
