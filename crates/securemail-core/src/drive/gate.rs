//! When the final dot of an attempt may leave, and whether the attempt may still be called off.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_channel::oneshot;
use futures_util::FutureExt as _;
use futures_util::future::Shared;

use crate::backend::{DotClosed, FinalDot, Lease, Spool};

/// Ends when the intents of a message are durable; all its gates wait for it. It fails where its
/// sender is dropped: then nothing may leave.
pub(super) type Durable = Shared<oneshot::Receiver<()>>;

/// The two ends of a [`Durable`].
pub(super) fn durable() -> (oneshot::Sender<()>, Durable) {
    let (sender, receiver) = oneshot::channel();
    (sender, receiver.shared())
}

/// The state that an attempt and its submitter share.
///
/// An attempt is never dropped once the end of data may have reached the peer: after `open` it can
/// only be detached, and then it settles itself.
#[derive(Debug)]
pub(super) struct Gate {
    durable: Durable,
    phase: Mutex<Phase>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Phase {
    /// Nothing has been handed over.
    #[default]
    Before,
    /// Called off in time.
    CalledOff,
    /// The end of data may have left.
    Passed,
}

/// What became of the wish to call an attempt off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CallOff {
    /// It ends without handing anything over.
    InTime,
    /// The end of data may have left; it goes on.
    TooLate,
}

impl Gate {
    /// A gate that nothing passes before `durable`.
    pub(super) fn new(durable: Durable) -> Self {
        Self {
            durable,
            phase: Mutex::default(),
        }
    }

    /// Calls the attempt off, if nothing was handed over yet.
    pub(super) fn call_off(&self) -> CallOff {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        match *phase {
            Phase::Before | Phase::CalledOff => {
                *phase = Phase::CalledOff;
                CallOff::InTime
            }
            Phase::Passed => CallOff::TooLate,
        }
    }
}

#[async_trait]
impl FinalDot for Gate {
    async fn open(&self) -> Result<(), DotClosed> {
        let durable = self.durable.clone();
        durable.await.map_err(|oneshot::Canceled| DotClosed)?;
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        match *phase {
            Phase::Before | Phase::Passed => {
                *phase = Phase::Passed;
                Ok(())
            }
            Phase::CalledOff => Err(DotClosed),
        }
    }
}

/// The gate of a retry from the spool. Nobody else calls it off; but its dot leaves only while its lease
/// holds, and after it is durable that it may have left: who comes after a crash must know.
#[derive(Debug)]
pub(super) struct LeasedDot {
    spool: Arc<dyn Spool>,
    lease: Lease,
}

impl LeasedDot {
    /// The gate of the attempt under `lease`.
    pub(super) fn new(spool: Arc<dyn Spool>, lease: Lease) -> Self {
        Self { spool, lease }
    }
}

#[async_trait]
impl FinalDot for LeasedDot {
    async fn open(&self) -> Result<(), DotClosed> {
        self.spool.open_dot(&self.lease).await.map_err(|error| {
            tracing::warn!(queue_id = %self.lease.delivery, %error, "the final dot does not leave");
            DotClosed
        })
    }
}

/// A gate that knows whether it was passed: before that its attempt may be dropped, behind it never
/// (contract T3).
#[derive(Debug)]
pub(super) struct SeenDot {
    gate: Arc<dyn FinalDot>,
    passed: AtomicBool,
}

impl SeenDot {
    /// Nobody has passed it yet.
    pub(super) fn new(gate: Arc<dyn FinalDot>) -> Self {
        Self {
            gate,
            passed: AtomicBool::new(false),
        }
    }

    /// Whether the end of data may have left.
    pub(super) fn was_passed(&self) -> bool {
        self.passed.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl FinalDot for SeenDot {
    async fn open(&self) -> Result<(), DotClosed> {
        self.gate.open().await?;
        self.passed.store(true, Ordering::SeqCst);
        Ok(())
    }
}
