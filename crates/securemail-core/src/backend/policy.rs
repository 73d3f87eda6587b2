//! Decides, from evidence and time alone.

use std::fmt;

use crate::route::{Decision, Evidence};
use crate::vocab::UnixTime;

/// Chooses a route. Pure: no I/O, no clock, the same answer for the same input.
pub trait TransportPolicy: fmt::Debug + Send + Sync + 'static {
    /// Decides about one recipient domain.
    fn decide(&self, evidence: &Evidence, now: UnixTime) -> Decision;
}
