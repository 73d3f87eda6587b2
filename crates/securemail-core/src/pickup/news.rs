//! What of a pickup the tenant's log must still hold, and whom somebody must still tell.

use super::outcome::{Loggable, Unlogged};
use super::state::Pickup;
use super::tell::{TellKind, Untold};
use crate::vocab::UnixTime;

/// Events that a record keeps while the log cannot be written.
const UNLOGGED_MAX: usize = 64;

impl Pickup {
    pub(super) fn add_untold(&mut self, kind: TellKind, now: UnixTime) {
        if self.untold.iter().any(|known| known.kind == kind) {
            return;
        }
        self.serial = self.serial.saturating_add(1);
        self.untold.push(Untold {
            kind,
            serial: self.serial,
            since: now,
        });
    }

    pub(super) fn add_unlogged(&mut self, what: Loggable, at: UnixTime) {
        if self.unlogged.len() >= UNLOGGED_MAX {
            self.unlogged.remove(0);
        }
        self.serial = self.serial.saturating_add(1);
        let serial = self.serial;
        self.unlogged.push(Unlogged { serial, what, at });
    }

    /// What the tenant's log does not hold and whoever made it so has had the time to log.
    #[must_use]
    pub fn long_unlogged(&self, now: UnixTime) -> Vec<Unlogged> {
        let all = self.unlogged.iter().copied();
        all.filter(|event| event.due() <= now).collect()
    }

    /// What the tenant's log does not hold and may hold at `now`, of what came after the serial was
    /// `earlier`.
    #[must_use]
    pub fn unlogged_since(&self, earlier: u32, now: UnixTime) -> Vec<Unlogged> {
        let all = self.unlogged.iter().copied();
        all.filter(|event| event.serial > earlier && event.at <= now)
            .collect()
    }

    /// Rises with whatever somebody must be told or the log must hold.
    #[must_use]
    pub const fn serial(&self) -> u32 {
        self.serial
    }

    /// These are in the log now.
    pub fn logged(&mut self, events: &[Unlogged]) {
        self.unlogged.retain(|event| !events.contains(event));
    }

    /// A mail was committed: nobody needs to be told that any more.
    pub fn told(&mut self, serial: u32) {
        self.untold.retain(|untold| untold.serial != serial);
    }

    /// What somebody must still be told, the oldest first.
    #[must_use]
    pub fn untold(&self) -> &[Untold] {
        &self.untold
    }
}
