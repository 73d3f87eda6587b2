//! Errors that several traits share, and what a caller does about them.

use std::time::Duration;

/// The cause of an error, as the back-end gave it. It never holds content, addresses or secrets.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a caller does about an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Advice {
    /// Somebody must look at it; trying again changes nothing.
    Alarm,
    /// The call cannot succeed; do without.
    GiveUp,
    /// The same call may succeed after this time.
    RetryAfter(Duration),
}

/// What went wrong in a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The key is taken; nothing was changed.
    #[error("already there; nothing was changed")]
    AlreadyExists,
    /// Another caller changed the record since it was read; read it again.
    #[error("changed by another caller; read it again")]
    Conflict,
    /// Stored bytes do not have the form that was written. Restore from a backup.
    #[error("stored bytes are damaged: {0}")]
    Corrupt(&'static str),
    /// The store has no room; nothing was written.
    #[error("no room in the store; nothing was written")]
    Full,
    /// The lease ran out and somebody else has the item; drop the result.
    #[error("the lease is lost; somebody else has the item")]
    LeaseLost,
    /// There is no such item.
    #[error("not found")]
    NotFound,
    /// The store could not be reached or did not answer; whether the call took effect is unknown.
    #[error("the store is not available")]
    Unavailable(#[source] BoxError),
}

impl StoreError {
    /// Something else failed that the caller needs as it needs the store.
    pub(crate) fn unavailable(error: impl Into<BoxError>) -> Self {
        Self::Unavailable(error.into())
    }

    /// What the caller does about it.
    #[must_use]
    pub const fn advice(&self) -> Advice {
        match self {
            Self::AlreadyExists | Self::Conflict | Self::LeaseLost | Self::NotFound => {
                Advice::GiveUp
            }
            Self::Corrupt(_) => Advice::Alarm,
            Self::Full | Self::Unavailable(_) => Advice::RetryAfter(Duration::from_secs(60)),
        }
    }
}
