//! What a validated response says about one question.
//!
//! hickory marks every record with its own proof and hands bogus ones on, so each record is looked at here. Records
//! of other names than the one asked are never used: an unsigned alias in front of a signed target would look signed.
//! Of an alias only the alias is read, with its own proof; the caller asks for its target.

use std::time::Duration;

use hickory_proto::dnssec::Proof;
use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC3};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use securemail_core::limits::{UNSIGNED_DENIAL_KEPT_SECS_MAX, UNSIGNED_KEPT_SECS_MAX};
use securemail_core::vocab::{
    Answer, LookupFailure, Mx, Outcome, Question, RecordKind, Security, UnixTime,
};

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

/// Bounds for how long an answer without proof may be used: its TTL was written by whoever may have forged it.
pub(crate) fn keep_shortly_unless_proved(answer: &mut Answer, asked: UnixTime) {
    if answer.security == Security::Secure {
        return;
    }
    let says_no = match &answer.outcome {
        Outcome::NoData | Outcome::NxDomain => true,
        Outcome::Mx(records) => records.iter().any(Mx::is_null),
        Outcome::Addresses(_)
        | Outcome::Alias(_)
        | Outcome::Caa(_)
        | Outcome::Failed(_)
        | Outcome::NameServers(_)
        | Outcome::Tlsa(_)
        | Outcome::Txt(_) => false,
    };
    let secs = match says_no {
        true => UNSIGNED_DENIAL_KEPT_SECS_MAX,
        false => UNSIGNED_KEPT_SECS_MAX,
    };
    answer.expires = answer.expires.min(asked.plus(Duration::from_secs(secs)));
}

/// Reads a response that the validator let pass.
pub(crate) fn read(message: &Message, question: &Question, now: UnixTime) -> Reading {
    let Some(found) = Found::of(message, question) else {
        return Reading::Answer(failed(LookupFailure::Malformed, now));
    };
    if found.records.is_empty() {
        return denial(message, &found.name, now);
    }
    match found.proof() {
        Proof::Secure => found.secure(now),
        Proof::Insecure => Reading::Answer(found.answer(Security::Insecure, now)),
        Proof::Bogus | Proof::Indeterminate => found.synthesized(message, now),
    }
}

/// Reads a response whose denial the validator did not accept; `proof` is what it thinks of the denial. That may be
/// about the target of an alias, which does not matter here.
pub(crate) fn read_unproved(
    message: &Message,
    proof: Proof,
    question: &Question,
    now: UnixTime,
) -> Reading {
    let Some(found) = Found::of(message, question) else {
        return Reading::Answer(failed(LookupFailure::Malformed, now));
    };
    if found.records.is_empty() {
        return match proof {
            // More NSEC3 iterations than a validator computes (RFC 9276, section 3.2): as if unsigned.
            Proof::Insecure => denied(message, Security::Insecure, now),
            Proof::Bogus | Proof::Indeterminate | Proof::Secure => Reading::Bogus,
        };
    }
    match found.proof() {
        Proof::Secure if !found.is_from_wildcard() => found.secure(now),
        Proof::Secure | Proof::Insecure if proof == Proof::Insecure => {
            Reading::Answer(found.answer(Security::Insecure, now))
        }
        Proof::Secure => match found.secure(now) {
            Reading::Answer(answer) => Reading::WildcardUnproved(answer),
            other => other,
        },
        Proof::Insecure if found.kind == RecordKind::Cname => {
            Reading::Answer(found.answer(Security::Insecure, now))
        }
        Proof::Insecure => Reading::Bogus,
        Proof::Bogus | Proof::Indeterminate => found.synthesized(message, now),
    }
}

/// Reads a response of a server that is not ours to validate; the answer is insecure at best.
pub(crate) fn read_unsigned(message: &Message, question: &Question, now: UnixTime) -> Answer {
    let Some(found) = Found::of(message, question) else {
        return failed(LookupFailure::Malformed, now);
    };
    if !found.records.is_empty() {
        return found.answer(Security::Insecure, now);
    }
    match denied(message, Security::Insecure, now) {
        Reading::Answer(answer) => answer,
        Reading::Bogus | Reading::WildcardUnproved(_) => failed(LookupFailure::Malformed, now),
    }
}

/// What octets that came as a response say, in each way in which they may be read. None of them was validated, so none
/// may be secure. For the fuzz target; a resolver asks.
#[doc(hidden)]
#[must_use]
pub fn read_octets(octets: &[u8], question: &Question, now: UnixTime) -> Vec<Answer> {
    let Ok(message) = Message::from_vec(octets) else {
        return Vec::new();
    };
    let mut answers = vec![read_unsigned(&message, question, now)];
    let proofs = [Proof::Insecure, Proof::Indeterminate, Proof::Bogus];
    let unproved = proofs.map(|proof| read_unproved(&message, proof, question, now));
    for reading in unproved.into_iter().chain([read(&message, question, now)]) {
        match reading {
            Reading::Answer(answer) | Reading::WildcardUnproved(answer) => answers.push(answer),
            Reading::Bogus => {}
        }
    }
    answers
}

/// The records of the name that was asked: of the kind asked, or the alias that stands in their place.
struct Found<'a> {
    name: Name,
    kind: RecordKind,
    records: Vec<&'a Record>,
    signatures: Vec<&'a Record>,
}

impl<'a> Found<'a> {
    fn of(message: &'a Message, question: &Question) -> Option<Self> {
        let name = records::absolute(&question.name)?;
        let of_kind = |kind: RecordType| {
            let owned = message.answers.iter().filter(|record| record.name == name);
            owned
                .filter(|record| record.record_type() == kind)
                .collect::<Vec<&Record>>()
        };
        let (mut kind, mut records) = (question.kind, of_kind(RecordType::CNAME));
        if records.is_empty() {
            records = of_kind(records::record_type(kind));
        } else {
            kind = RecordKind::Cname;
        }
        Some(Self {
            kind,
            records,
            signatures: of_kind(RecordType::RRSIG),
            name,
        })
    }

    /// Whether a signature that was used has fewer labels than the name (RFC 4035, section 5.3.4).
    fn is_from_wildcard(&self) -> bool {
        self.signatures.iter().any(|record| match &record.data {
            RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) => {
                record.proof == Proof::Secure && rrsig.input().num_labels < self.name.num_labels()
            }
            _ => false,
        })
    }

    /// The least sure proof of its records.
    fn proof(&self) -> Proof {
        let proofs = self.records.iter().map(|record| record.proof);
        // The order of hickory's type puts Indeterminate below Bogus and Secure on top.
        proofs.min().unwrap_or(Proof::Indeterminate)
    }

    fn secure(&self, now: UnixTime) -> Reading {
        // The validator may remember for a while that a signature was valid (trap: until the TTL ends).
        match signatures_end(&self.signatures, now) {
            Some(end) if end > now => {
                let mut answer = self.answer(Security::Secure, now);
                answer.expires = answer.expires.min(end);
                Reading::Answer(answer)
            }
            _ => Reading::Bogus,
        }
    }

    /// An alias that was made from a DNAME record is not signed; that record is, and the alias must follow from it
    /// (RFC 6672, section 5.3.1).
    fn synthesized(&self, message: &Message, now: UnixTime) -> Reading {
        let ([alias], RecordKind::Cname) = (self.records.as_slice(), self.kind) else {
            return Reading::Bogus;
        };
        let dname = message.answers.iter().find(|record| {
            record.proof == Proof::Secure
                && record.record_type() == RecordType::DNAME
                && record.name != self.name
                && record.name.zone_of(&self.name)
        });
        let Some(dname) = dname else {
            return Reading::Bogus;
        };
        let moved = records::moved(&self.name, &dname.name, &dname.data);
        let follows = match &alias.data {
            RData::CNAME(target) => moved.is_some_and(|moved| target.0 == moved),
            _ => false,
        };
        let owned = message.answers.iter();
        let signatures: Vec<&Record> = owned.filter(|record| record.name == dname.name).collect();
        match signatures_end(&signatures, now) {
            Some(end) if follows && end > now => {
                let mut answer = self.answer(Security::Secure, now);
                answer.expires = answer.expires.min(now.plus(kept(&[dname]))).min(end);
                Reading::Answer(answer)
            }
            _ => Reading::Bogus,
        }
    }

    fn answer(&self, security: Security, now: UnixTime) -> Answer {
        match records::outcome(self.kind, &self.records) {
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
