//! A decision made again, from what it was made from.

use serde::{Deserialize, Serialize};

use super::{Decision, Evidence, PolicySettings, StandardPolicy};
use crate::backend::TransportPolicy as _;

/// A decision with everything that it came from: facts, time, and what the operator had settled.
/// Anybody can make it again, without us and without asking anything of the network.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Decided {
    /// What was decided, when and why.
    pub decision: Decision,
    /// What was known.
    pub evidence: Evidence,
    /// Clocks and exceptions.
    pub settings: PolicySettings,
}

impl Decided {
    /// What the standard policy of this version decides from the same facts at the same time.
    pub fn again(&self) -> Decision {
        StandardPolicy::new(self.settings.clone()).decide(&self.evidence, self.decision.decided_at)
    }

    /// Whether that is what was decided.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.again() == self.decision
    }
}
