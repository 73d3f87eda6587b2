//! What can be made to go wrong.

use std::time::Duration;

/// One thing that goes wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing is answered.
    Silent,
    /// Questions of this kind (`DNSKEY`) are not answered.
    SilentFor {
        /// The kind.
        kind: String,
    },
    /// Questions at this name are answered with this response code: 2 is SERVFAIL, 5 REFUSED.
    Code {
        /// The name asked.
        name: String,
        /// The response code.
        code: u16,
    },
    /// The validating face answers questions at this name with SERVFAIL and without a reason, unless nothing is to be
    /// checked (CD): as one does that finds the answer bogus.
    ValidatorRefutes {
        /// The name asked.
        name: String,
    },
    /// RRSIG, NSEC and NSEC3 are removed from all answers, as a resolver that knows no DNSSEC does.
    StripDnssec,
    /// Questions of this kind at this name get an unsigned denial that claims the zone `soa`: an attack.
    ForgeDenial {
        /// The name asked.
        name: String,
        /// The kind asked.
        kind: String,
        /// The owner of the SOA record in the answer; no authority section at all where `None`.
        soa: Option<String>,
    },
    /// Every answer over UDP is cut off, so that TCP must be used.
    Truncate,
    /// Every answer waits.
    Delay(Duration),
    /// The validating face says nothing; the other is not touched.
    ValidatorSilent,
    /// The validating face denies this kind at this name with AD, whatever the zone holds.
    ValidatorDenies {
        /// The name asked.
        name: String,
        /// The kind asked.
        kind: String,
    },
}
