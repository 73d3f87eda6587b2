//! A host that the operator named: what its peer must prove, from what the DNS says of it.

use super::facts::{self, TlsaFacts, Trouble};
use super::{Asked, Authentication, Authority, Evidence, Hop, MessageFacts, dane};
use crate::limits::ADDRESSES_PER_HOST_MAX;
use crate::vocab::{Answer, DnsName, Profile, Question, UnixTime};

/// Gathers what is known of one host that the operator of the relay named. It asks; a driver answers.
///
/// Nobody has to be asked whether the host may receive: the operator said so. What remains is to prove
/// that the peer is that host: by its TLSA records where they are signed (RFC 7672, section 2.2), else by
/// a certificate of a trusted root that bears its name (RFC 9525). Its addresses may be private.
#[derive(Clone, Debug)]
pub struct NamedHost {
    evidence: Evidence,
}

/// What comes next.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum NamedStep {
    /// All of these, in any order or at once.
    Ask(Vec<Question>),
    /// Nothing is missing; the hop, or why there is none.
    Done(Result<Hop, NamedFault>),
}

/// Why a host that the operator named cannot be used now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NamedFault {
    /// Its name does not lead to an address.
    #[error("the host has no address")]
    NoAddress,
    /// The DNS gave no usable answer, and that never means absence (RFC 7672, section 2.1.2).
    #[error("the DNS gives no usable answer about the host")]
    Unanswered,
    /// What the DNS says is forged or broken.
    #[error("the DNS answers about the host do not validate")]
    Bogus,
}

impl From<Trouble> for NamedFault {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Bogus | Trouble::Disagreement => Self::Bogus,
            Trouble::OwnFault | Trouble::Transient => Self::Unanswered,
        }
    }
}

impl NamedHost {
    /// Begins: nothing is known of the host at this port.
    #[must_use]
    pub fn new(host: DnsName, port: u16) -> Self {
        let message = MessageFacts::at(UnixTime::default());
        Self {
            evidence: Evidence::new(host, Profile::default(), message).with_port(port),
        }
    }

    /// What comes next. Aliases are followed up to their limit, so it ends.
    pub fn poll(&self) -> NamedStep {
        let host = &self.evidence.domain;
        let mut found = match facts::addresses(&self.evidence, host) {
            Ok(found) => found,
            Err(missing) => return NamedStep::Ask(missing),
        };
        if found.addresses.is_empty() {
            let fault = found
                .trouble
                .map_or(NamedFault::NoAddress, NamedFault::from);
            return NamedStep::Done(Err(fault));
        }
        let authenticate = match facts::tlsa(&self.evidence, &found.bases) {
            Err(question) => return NamedStep::Ask(vec![question]),
            Ok(TlsaFacts::Failed(trouble, _)) => return NamedStep::Done(Err(trouble.into())),
            Ok(TlsaFacts::Absent(_)) => by_certificate(host),
            Ok(TlsaFacts::Records { base, records, .. }) => {
                let records = dane::usable(records);
                if records.is_empty() {
                    // RFC 7671, section 10.3: as if there were none; the certificate is still demanded.
                    by_certificate(host)
                } else {
                    let mut names = vec![base.clone(), host.clone()];
                    names.dedup();
                    (base.clone(), Authentication::Dane { records, names })
                }
            }
        };
        let (sni, authenticate) = authenticate;
        found.addresses.truncate(ADDRESSES_PER_HOST_MAX);
        NamedStep::Done(Ok(Hop {
            domain: host.clone(),
            host: host.clone(),
            addresses: found.addresses,
            port: self.evidence.port,
            sni,
            authenticate,
            authority: Authority::Operator,
            must_name_domain: false,
        }))
    }

    /// Takes the answer to something asked.
    pub fn handle(&mut self, question: Question, answer: Answer) {
        self.evidence.dns.push(Asked { question, answer });
    }
}

fn by_certificate(host: &DnsName) -> (DnsName, Authentication) {
    (host.clone(), Authentication::Pkix { name: host.clone() })
}
