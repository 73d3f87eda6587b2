//! What a domain publishes about the TLS of its hosts, as reports about it need it (RFC 8460, section 4.2).

use super::facts::{self, Listing, StsFacts, TlsaFacts, Trouble};
use super::{Evidence, Rule, StsMode, StsPolicy, dane};
use crate::backend::CachedPolicy;
use crate::vocab::{DnsName, Outcome, Tlsa, UnixTime};

/// The mail servers of a domain in the order in which they are tried; what kept them from being known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PublishedHosts {
    /// The list ought to be signed, and is not: an attack would look like this.
    Bogus,
    /// These.
    Hosts(Vec<DnsName>),
    /// There are none, or it could not be told.
    None,
}

/// What is published about one host under DANE.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PublishedTlsa {
    /// Something on the way to the records ought to be signed, and is not.
    Bogus(Rule),
    /// Nothing that is proved, or it could not be told.
    None,
    /// Signed records.
    Records {
        /// The TLSA base domain, which is the policy domain (RFC 8460, section 1.1).
        base: DnsName,
        /// All of them, usable or not.
        records: Vec<Tlsa>,
        /// At least one is usable.
        usable: bool,
    },
}

/// What is published about the domain by MTA-STS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PublishedSts {
    /// A policy is announced, and none could be had; the rule says why.
    Broken(Rule),
    /// No policy, or it could not be told.
    None,
    /// This policy applies.
    Policy {
        /// Its text, as served.
        body: String,
        /// Read.
        policy: StsPolicy,
    },
}

/// The mail servers of the domain.
#[must_use]
pub fn published_hosts(evidence: &Evidence) -> PublishedHosts {
    match facts::mx(evidence).map(|mx| mx.listing) {
        Ok(Listing::Hosts(found)) => {
            PublishedHosts::Hosts(found.hosts.into_iter().map(|(_, host)| host).collect())
        }
        Ok(Listing::Failed(Trouble::Bogus | Trouble::Disagreement)) => PublishedHosts::Bogus,
        Ok(Listing::Absent | Listing::Failed(_) | Listing::Null(_)) | Err(_) => {
            PublishedHosts::None
        }
    }
}

/// What is published about `host` under DANE.
#[must_use]
pub fn published_tlsa(evidence: &Evidence, host: &DnsName) -> PublishedTlsa {
    let Ok(found) = facts::addresses(evidence, host) else {
        return PublishedTlsa::None;
    };
    if found.addresses.is_empty()
        && matches!(found.trouble, Some(Trouble::Bogus | Trouble::Disagreement))
    {
        return PublishedTlsa::Bogus(Rule::Ad03);
    }
    match facts::tlsa(evidence, &found.bases) {
        Ok(TlsaFacts::Failed(Trouble::Bogus | Trouble::Disagreement, rule)) => {
            PublishedTlsa::Bogus(rule)
        }
        Ok(TlsaFacts::Records { base, records, .. }) => PublishedTlsa::Records {
            base: base.clone(),
            usable: !dane::usable(records).is_empty(),
            records: records.to_vec(),
        },
        Ok(TlsaFacts::Absent(_) | TlsaFacts::Failed(..)) | Err(_) => PublishedTlsa::None,
    }
}

/// What is published about the domain by MTA-STS.
#[must_use]
pub fn published_sts(evidence: &Evidence, now: UnixTime) -> PublishedSts {
    match facts::sts(evidence, now) {
        Ok(StsFacts::Known(Some(policy), rule)) => applied(evidence, policy, rule),
        Ok(StsFacts::Known(None, rule)) if is_announced(evidence) && is_defect(rule) => {
            PublishedSts::Broken(rule)
        }
        Ok(StsFacts::Fetch(_) | StsFacts::Known(None, _) | StsFacts::Unknown) | Err(_) => {
            PublishedSts::None
        }
    }
}

fn applied(evidence: &Evidence, policy: StsPolicy, rule: Rule) -> PublishedSts {
    let kept: Option<&CachedPolicy> = match rule {
        Rule::P09 => evidence.fetched_policy(),
        _ => evidence.sts.cached.as_ref(),
    };
    match (kept, policy.mode) {
        (Some(kept), StsMode::Enforce | StsMode::Testing) => PublishedSts::Policy {
            body: kept.body.clone(),
            policy,
        },
        (_, StsMode::None) | (None, _) => PublishedSts::None,
    }
}

/// Whether a record at `_mta-sts` says that it is of MTA-STS; another TXT record there announces nothing.
fn is_announced(evidence: &Evidence) -> bool {
    let Ok(Some(chain)) = facts::announcing(evidence) else {
        return false;
    };
    match &chain.answer().outcome {
        Outcome::Txt(records) => records.iter().any(|text| text.starts_with("v=STSv1")),
        _ => false,
    }
}

/// Rules by which an announced policy counts for nothing.
const fn is_defect(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::P05
            | Rule::P11
            | Rule::P12
            | Rule::P13
            | Rule::P14
            | Rule::P15
            | Rule::P16
            | Rule::P18
            | Rule::P19
    )
}
