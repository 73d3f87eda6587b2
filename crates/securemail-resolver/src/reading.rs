//! What a validated response says about one question.
//!
//! hickory marks every record with its own proof and hands bogus ones on, so each record is looked at here. Records
//! of other names than the one asked are never used: an unsigned alias in front of a signed target would look signed.

use std::time::Duration;

use hickory_proto::dnssec::Proof;
use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC3};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use securemail_core::vocab::{Answer, LookupFailure, Outcome, Question, Security, UnixTime};

use crate::records;

/// An answer is not kept longer, whatever its TTL says.
const KEPT_MAX: Duration = Duration::from_secs(86_400);
/// A denial without SOA record is kept for this long.
const DENIAL_KEPT: Duration = Duration::from_secs(30);
/// A failure is kept only so long that it is not asked for again at once.
const FAILURE_KEPT: Duration = Duration::from_secs(5);
/// What is bogus may be an attack that goes on, or a repair that comes soon.
const BOGUS_KEPT: Duration = Duration::from_secs(15);

/// What a response says.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    /// This.
    Answer(Answer),
    /// The name is an alias; its state must be asked for by itself.
    Alias,
    /// It does not validate.
    Bogus,
    /// The signatures of the records are valid, but that no closer name exists is not proved.
    WildcardUnproved(Answer),
}

/// A failure, kept for a short time.
pub(crate) fn failed(failure: LookupFailure, now: UnixTime) -> Answer {
    match failure {
        LookupFailure::Bogus => Answer::new(
            Outcome::Failed(failure),
            Security::Bogus,
            now.plus(BOGUS_KEPT),
        ),
        LookupFailure::Disagreement
        | LookupFailure::FormErr
        | LookupFailure::Malformed
        | LookupFailure::NotImp
        | LookupFailure::Refused
        | LookupFailure::ServFail
        | LookupFailure::Timeout
        | LookupFailure::Unusable => Answer::failed(failure, now.plus(FAILURE_KEPT)),
    }
}

/// Reads a response that the validator let pass.
pub(crate) fn read(message: &Message, question: &Question, now: UnixTime) -> Reading {
    let Some(found) = Found::of(message, question) else {
        return Reading::Answer(failed(LookupFailure::Malformed, now));
    };
    if found.is_alias {
        return Reading::Alias;
    }
    if found.records.is_empty() {
        return denial(message, &found.name, now);
    }
    match found.proof() {
        Proof::Secure => found.secure(question, now),
        Proof::Insecure => Reading::Answer(found.answer(question, Security::Insecure, now)),
        Proof::Bogus | Proof::Indeterminate => Reading::Bogus,
    }
}

/// Reads a response whose denial the validator did not accept; `proof` is what it thinks of the denial.
pub(crate) fn read_unproved(
    message: &Message,
    proof: Proof,
    question: &Question,
    now: UnixTime,
) -> Reading {
    let Some(found) = Found::of(message, question) else {
        return Reading::Answer(failed(LookupFailure::Malformed, now));
    };
    if found.is_alias {
        return Reading::Alias;
    }
    let positive = !found.records.is_empty();
    match (proof, positive, found.proof()) {
        // More NSEC3 iterations than a validator computes (RFC 9276, section 3.2): as if unsigned.
        (Proof::Insecure, true, Proof::Secure | Proof::Insecure) => {
            Reading::Answer(found.answer(question, Security::Insecure, now))
        }
        (Proof::Insecure, false, _) => denied(message, Security::Insecure, now),
        (_, true, Proof::Secure) => match found.secure(question, now) {
            Reading::Answer(answer) => Reading::WildcardUnproved(answer),
            other => other,
        },
        _ => Reading::Bogus,
    }
}

/// Reads a response of a server that is not ours to validate; the answer is insecure at best.
pub(crate) fn read_unsigned(message: &Message, question: &Question, now: UnixTime) -> Answer {
    let Some(found) = Found::of(message, question) else {
        return failed(LookupFailure::Malformed, now);
    };
    if found.is_alias {
        let alias = records::outcome(securemail_core::vocab::RecordKind::Cname, &found.aliases);
        return Answer::new(alias, Security::Insecure, now.plus(DENIAL_KEPT));
    }
    if !found.records.is_empty() {
        return found.answer(question, Security::Insecure, now);
    }
    match denied(message, Security::Insecure, now) {
        Reading::Answer(answer) => answer,
        Reading::Alias | Reading::Bogus | Reading::WildcardUnproved(_) => {
            failed(LookupFailure::Malformed, now)
        }
    }
}

/// The records of the name that was asked.
struct Found<'a> {
    name: Name,
    records: Vec<&'a Record>,
    signatures: Vec<&'a Record>,
    aliases: Vec<&'a Record>,
    is_alias: bool,
}

impl<'a> Found<'a> {
    fn of(message: &'a Message, question: &Question) -> Option<Self> {
        let name = records::absolute(&question.name)?;
        let kind = records::record_type(question.kind);
        let of_type = |kind: RecordType| {
            let owned = message.answers.iter().filter(|record| record.name == name);
            owned
                .filter(|record| record.record_type() == kind)
                .collect::<Vec<&Record>>()
        };
        let aliases = of_type(RecordType::CNAME);
        Some(Self {
            records: of_type(kind),
            signatures: of_type(RecordType::RRSIG),
            is_alias: kind != RecordType::CNAME && !aliases.is_empty(),
            aliases,
            name,
        })
    }

    /// The least sure proof of its records.
    fn proof(&self) -> Proof {
        let proofs = self.records.iter().map(|record| record.proof);
        // The order of hickory's type puts Indeterminate below Bogus and Secure on top.
        proofs.min().unwrap_or(Proof::Indeterminate)
    }

    fn secure(&self, question: &Question, now: UnixTime) -> Reading {
        // The validator may remember for a while that a signature was valid (trap: until the TTL ends).
        match signatures_end(&self.signatures, now) {
            Some(end) if end > now => {
                let mut answer = self.answer(question, Security::Secure, now);
                answer.expires = answer.expires.min(end);
                Reading::Answer(answer)
            }
            _ => Reading::Bogus,
        }
    }

    fn answer(&self, question: &Question, security: Security, now: UnixTime) -> Answer {
        match records::outcome(question.kind, &self.records) {
            Outcome::Failed(failure) => failed(failure, now),
            outcome => Answer::new(outcome, security, now.plus(kept(&self.records))),
        }
    }
}

/// Reads a denial that the validator accepted. It accepts every response whose authority section is unsigned
/// throughout, whatever zone that is from, so whose denial it is must be checked here.
fn denial(message: &Message, name: &Name, now: UnixTime) -> Reading {
    let authorities = &message.authorities;
    if authorities
        .iter()
        .any(|record| record.proof == Proof::Bogus)
    {
        return Reading::Bogus;
    }
    let proofs = authorities.iter().filter(|record| {
        record.proof == Proof::Secure
            && matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3)
    });
    let proofs: Vec<&Record> = proofs.collect();
    if !proofs.is_empty() {
        let security = if is_opt_out(message, &proofs) {
            Security::Insecure
        } else {
            Security::Secure
        };
        return denied(message, security, now);
    }
    // No section at all is let pass only where the name itself was proved to be unsigned.
    let insecure = authorities.is_empty()
        || authorities
            .iter()
            .any(|record| record.proof == Proof::Insecure && record.name.zone_of(name));
    if insecure {
        return denied(message, Security::Insecure, now);
    }
    Reading::Answer(failed(LookupFailure::Disagreement, now))
}

/// Whether the proof leaves room for an unsigned delegation (RFC 5155, section 9.2). A single record that matches the
/// name leaves none.
fn is_opt_out(message: &Message, proofs: &[&Record]) -> bool {
    let opt_out = proofs.iter().any(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) => NSEC3::opt_out(nsec3),
        _ => false,
    });
    let matches = message.metadata.response_code == ResponseCode::NoError && proofs.len() == 1;
    opt_out && !matches
}

fn denied(message: &Message, security: Security, now: UnixTime) -> Reading {
    let outcome = match message.metadata.response_code {
        ResponseCode::NXDomain => Outcome::NxDomain,
        ResponseCode::NoError => Outcome::NoData,
        _ => return Reading::Answer(failed(LookupFailure::Malformed, now)),
    };
    let mut expires = now.plus(denial_kept(message));
    if security == Security::Secure {
        let signatures: Vec<&Record> = message.authorities.iter().collect();
        match signatures_end(&signatures, now) {
            Some(end) if end > now => expires = expires.min(end),
            _ => return Reading::Bogus,
        }
    }
    Reading::Answer(Answer::new(outcome, security, expires))
}

/// The first end of the signatures that were used.
fn signatures_end(records: &[&Record], now: UnixTime) -> Option<UnixTime> {
    let ends = records.iter().filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) if record.proof == Proof::Secure => {
            Some(moment(rrsig.input().sig_expiration.get(), now))
        }
        _ => None,
    });
    ends.min()
}

/// Serial arithmetic: the moment nearest to now (RFC 4034, section 3.1.5).
fn moment(serial: u32, now: UnixTime) -> UnixTime {
    let now_secs = now.as_secs();
    let low = u32::try_from(now_secs & u64::from(u32::MAX)).unwrap_or(0);
    let distance = i64::from(serial.wrapping_sub(low).cast_signed());
    UnixTime::from_secs(now_secs.saturating_add_signed(distance))
}

fn kept(records: &[&Record]) -> Duration {
    let ttl = records.iter().map(|record| record.ttl).min().unwrap_or(0);
    Duration::from_secs(ttl.into()).min(KEPT_MAX)
}

/// RFC 2308, section 5: the smaller of the SOA record's TTL and its MINIMUM field.
fn denial_kept(message: &Message) -> Duration {
    let soa = message
        .authorities
        .iter()
        .find_map(|record| match &record.data {
            RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
            _ => None,
        });
    soa.map_or(DENIAL_KEPT, |ttl| Duration::from_secs(ttl.into()))
        .min(KEPT_MAX)
}
