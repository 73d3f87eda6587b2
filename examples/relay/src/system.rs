//! The machine's clock, randomness and tasks.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use securemail_core::backend::{Clock, Entropy, Executor, NoEntropy};
use securemail_core::vocab::UnixTime;
use tokio::sync::watch;

/// The system's clock.
#[derive(Debug)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that reads the clock"
        )]
        let now = SystemTime::now();
        let since = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    async fn sleep_until(&self, deadline: UnixTime) {
        tokio::time::sleep(deadline.since(self.now())).await;
    }
}

/// The system's randomness.
#[derive(Debug)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoEntropy> {
        getrandom::fill(buffer).map_err(|_| NoEntropy)
    }
}

/// Tasks of the tokio runtime, counted, so that the relay can wait for them when it ends.
#[derive(Debug)]
pub struct TokioTasks(watch::Sender<usize>);

impl TokioTasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Returns when no task runs.
    pub async fn finished(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        drop(self.0.subscribe().wait_for(|running| *running == 0).await);
    }
}

impl Executor for TokioTasks {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.send_modify(|running| *running += 1);
        let counter = Counted(self.0.clone());
        tokio::spawn(async move {
            task.await;
            drop(counter);
        });
    }
}

/// One running task; also one that panics is counted off.
struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}
