//! Time, randomness and tasks, handed in from outside.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;

use crate::vocab::UnixTime;

/// Tells the time. Drivers hold one; engines take `now` as an argument.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// What time it is. It may step back.
    fn now(&self) -> UnixTime;

    /// Returns at `deadline` or soon after; at once if that has passed.
    async fn sleep_until(&self, deadline: UnixTime);
}

/// Gives random octets fit for keys.
pub trait Entropy: fmt::Debug + Send + Sync + 'static {
    /// Fills `buffer` whole.
    ///
    /// # Errors
    /// Where the system has none to give; then nothing that needs a key goes on.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoEntropy>;
}

/// The system has no randomness to give.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the system gives no randomness")]
pub struct NoEntropy;

/// Runs tasks to their end, whatever becomes of the caller. An attempt that may have reached the
/// peer goes on here when its sender has hung up.
pub trait Executor: fmt::Debug + Send + Sync + 'static {
    /// Starts `task`.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);
}
