//! A transport policy of one's own: some domains are trusted by nothing but DANE.
//!
//! The standard policy decides; this one asks it with a stricter profile for the domains in its list. So it cannot let
//! anything out that the standard policy would not, and every finding still names its rule. To loosen is not possible
//! this way: [`Route`](securemail_core::route::Route) has no variant for a host that is not proved, and the transport
//! proves each host again whatever a policy says.
//!
//! A decision is recorded with its evidence, and the profile in it is the one that was asked for. So what this policy
//! tightened is made again by this policy alone: [`DaneFor::again`]. `securemail-relay check --replay` and
//! [`Decided::again`] ask the standard policy, and say of such a decision that another made it. Who needs no more than
//! exact names writes no policy: `tenant.domain_profiles` raises the profile before the inquiry, and the evidence says so.

use securemail_core::backend::TransportPolicy;
use securemail_core::route::{Decided, Decision, Evidence, StandardPolicy};
use securemail_core::vocab::{DnsName, Profile, UnixTime};

/// Asks for DANE where mail goes to one of these domains, or to a name inside them.
#[derive(Clone, Debug)]
pub struct DaneFor {
    domains: Vec<DnsName>,
    standard: StandardPolicy,
}

impl DaneFor {
    /// Asks for DANE for these domains; `standard` decides about all.
    #[must_use]
    pub const fn new(domains: Vec<DnsName>, standard: StandardPolicy) -> Self {
        Self { domains, standard }
    }

    /// What is decided from the same facts at the same time, by these domains and the settings of then.
    pub fn again(&self, decided: &Decided) -> Decision {
        let then = Self::new(
            self.domains.clone(),
            StandardPolicy::new(decided.settings.clone()),
        );
        then.decide(&decided.evidence, decided.decision.decided_at)
    }

    fn is_listed(&self, domain: &DnsName) -> bool {
        self.domains.iter().any(|listed| domain.is_inside(listed))
    }
}

impl TransportPolicy for DaneFor {
    fn decide(&self, evidence: &Evidence, now: UnixTime) -> Decision {
        if !self.is_listed(&evidence.domain) {
            return self.standard.decide(evidence, now);
        }
        let mut stricter = evidence.clone();
        // `max`: a profile can only be raised.
        stricter.profile = stricter.profile.max(Profile::DaneOnly);
        self.standard.decide(&stricter, now)
    }
}
