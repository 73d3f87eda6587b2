//! Which TLSA records count: usability and digest agility (RFC 7671, sections 4, 9; RFC 7672, section 3.1).

use super::{Rule, x509};
use crate::limits::TLSA_RECORDS_MAX;
use crate::vocab::Tlsa;

/// Why a record does not count; `None` if it does.
#[must_use]
pub fn unusable(record: &Tlsa) -> Option<Rule> {
    let Tlsa {
        usage,
        selector,
        matching,
        data,
    } = record;
    if data.is_empty() {
        return Some(Rule::U05);
    }
    match usage {
        // RFC 7672, section 3.1.3: SMTP servers have no set of public CAs that both sides know.
        0 | 1 => return Some(Rule::U01),
        2 | 3 => {}
        _ => return Some(Rule::U02),
    }
    match (selector, matching) {
        (0 | 1, 1) => (data.len() != 32).then_some(Rule::U03),
        (0 | 1, 2) => (data.len() != 64).then_some(Rule::U03),
        (0, 0) => (!x509::is_certificate(data)).then_some(Rule::U04),
        (1, 0) => (!x509::is_public_key(data)).then_some(Rule::U04),
        _ => Some(Rule::U02),
    }
}

/// The records that a certificate may match.
///
/// Of each usage and selector, exact associations count, and of digests only the strongest that is
/// published: who can break SHA-256 some day must not be able to use a record left behind beside
/// SHA-512 (RFC 7671, section 9). Unusable records are dropped before that.
#[must_use]
pub fn usable(records: &[Tlsa]) -> Vec<Tlsa> {
    let usable: Vec<&Tlsa> = records
        .iter()
        .take(TLSA_RECORDS_MAX)
        .filter(|record| unusable(record).is_none())
        .collect();
    let mut kept: Vec<Tlsa> = Vec::new();
    for record in &usable {
        let stronger = usable.iter().any(|other| {
            (other.usage, other.selector) == (record.usage, record.selector)
                && other.matching > record.matching
        });
        if (record.matching == 0 || !stronger) && !kept.contains(record) {
            kept.push((*record).clone());
        }
    }
    kept
}

/// Whether a record is the association of a certificate in a chain, leaf first: of the leaf for DANE-EE, of one
/// above it for DANE-TA (RFC 7671, sections 5.1 and 5.2).
///
/// It says which record an operator published for which certificate. It proves nothing about a peer; that does
/// [`authenticate`](super::authenticate).
#[must_use]
pub fn associated(record: &Tlsa, chain: &[&[u8]]) -> bool {
    let mut certificates = chain.iter();
    let leaf = certificates.next();
    match record.usage {
        3 => leaf.is_some_and(|leaf| x509::matches(record, leaf)),
        2 => certificates.any(|issuer| x509::matches(record, issuer)),
        _ => false,
    }
}
