//! Hears whether hosts can be reached at all: where none can, that is a fault of this node.

use std::sync::PoisonError;

use super::Relay;
use crate::backend::SessionOutcome;
use crate::vocab::{Alarm, DnsName, UnixTime};

impl Relay {
    /// A session with a host of `domain` has ended. The first connection to anybody ends the alarm.
    ///
    /// Hosts that tenants named for their own mail are not told here: they listen on other ports, which an
    /// Internet provider that closes port 25 leaves open.
    pub(super) async fn hear(&self, domain: &DnsName, outcome: &SessionOutcome) {
        let now = self.now();
        {
            let mut reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
            reach.note(domain, outcome, now);
        }
        match (self.cut_off(), outcome) {
            (Some(_), SessionOutcome::Unreachable(_)) => {
                let why = "no host of several domains took a connection; is port 25 outbound open?";
                self.raise(Alarm::CutOff, why).await;
            }
            (_, SessionOutcome::Unreachable(_) | SessionOutcome::CalledOff) => {}
            _ => self.clear(Alarm::CutOff).await,
        }
    }

    /// Since when no host of any domain can be reached, where that is so.
    pub(super) fn cut_off(&self) -> Option<UnixTime> {
        let reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        reach.cut_off(self.now())
    }
}
