//! Time that is told, randomness from a seed, and tasks that can be waited for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use securemail_core::backend::{Clock, Entropy, Executor, NoEntropy};
use securemail_core::vocab::UnixTime;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::memory::lock;

/// A clock that stands still until it is told; sleepers wake when their moment is told.
#[derive(Debug)]
pub struct ManualClock(watch::Sender<UnixTime>);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: UnixTime) -> Self {
        Self(watch::Sender::new(now))
    }

    /// Goes on by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.0.send_modify(|now| *now = now.plus(duration));
    }

    /// Shows `now` from here on; it may be earlier than before.
    pub fn set(&self, now: UnixTime) {
        self.0.send_replace(now);
    }
}

impl Default for ManualClock {
    /// 2026-11-21, 12:00 UTC.
    fn default() -> Self {
        Self::at(UnixTime::from_secs(1_795_262_400))
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> UnixTime {
        *self.0.borrow()
    }

    async fn sleep_until(&self, deadline: UnixTime) {
        let mut told = self.0.subscribe();
        // The sender lives as long as `self`, so there is always a next value to wait for.
        drop(told.wait_for(|now| *now >= deadline).await);
    }
}

/// Randomness that is the same for the same seed (splitmix64). Never fit for keys outside of tests.
pub struct SeededEntropy(Mutex<u64>);

impl SeededEntropy {
    /// The sequence that `seed` begins.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl fmt::Debug for SeededEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeededEntropy(..)")
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoEntropy> {
        let mut state = lock(&self.0);
        for part in buffer.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            for (to, from) in part.iter_mut().zip(z.to_le_bytes()) {
                *to = from;
            }
        }
        Ok(())
    }
}

/// A source that has nothing to give.
#[derive(Debug, Default)]
pub struct DryEntropy;

impl Entropy for DryEntropy {
    fn fill(&self, _buffer: &mut [u8]) -> Result<(), NoEntropy> {
        Err(NoEntropy)
    }
}

/// Runs tasks on the runtime of the test, and can wait until all have ended.
#[derive(Debug, Default)]
pub struct TestExecutor(Mutex<JoinSet<()>>);

impl TestExecutor {
    /// Returns when every task that was started has ended, also those started by tasks.
    ///
    /// # Panics
    /// Where a task panicked.
    pub async fn idle(&self) {
        loop {
            let mut running = std::mem::take(&mut *lock(&self.0));
            if running.is_empty() {
                return;
            }
            while let Some(ended) = running.join_next().await {
                assert!(ended.is_ok(), "a task failed: {ended:?}");
            }
        }
    }
}

impl TestExecutor {
    /// Ends every task where it stands, as the end of its process would.
    pub async fn crash(&self) {
        let mut running = std::mem::take(&mut *lock(&self.0));
        running.abort_all();
        while running.join_next().await.is_some() {}
    }
}

impl Executor for TestExecutor {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        lock(&self.0).spawn(task);
    }
}
