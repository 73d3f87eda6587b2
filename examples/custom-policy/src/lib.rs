//! A transport policy of one's own: some domains are trusted by nothing but DANE.
//!
//! The standard policy decides; this one asks it with a stricter profile for the domains in its list. So it cannot let
//! anything out that the standard policy would not, and every finding still names its rule. To loosen is not possible
//! this way: [`Route`](securemail_core::route::Route) has no variant for a host that is not proved, and the transport
//! proves each host again whatever a policy says.

use securemail_core::backend::TransportPolicy;
use securemail_core::route::{Decision, Evidence, StandardPolicy};
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
