//! Whether an attempt may still be called off, and who settles it.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::backend::{DotClosed, FinalDot};

/// The state that an attempt and its submitter share.
///
/// An attempt is never dropped once the end of data may have reached the peer: after `open` it can
/// only be detached, and then it settles itself.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<Phase>);

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
    /// Calls the attempt off, if nothing was handed over yet.
    pub(super) fn call_off(&self) -> CallOff {
        let mut phase = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut phase = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *phase {
            Phase::Before | Phase::Passed => {
                *phase = Phase::Passed;
                Ok(())
            }
            Phase::CalledOff => Err(DotClosed),
        }
    }
}
