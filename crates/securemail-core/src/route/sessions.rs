//! What the sessions tried so far say (rules C, CE and R).

use std::time::Duration;

use super::history::CONFIRMS_FOR;
use super::host::{Admitted, Obstacle};
use super::{AttemptEvidence, Authentication, Evidence, PeerFailure, Rule};
use crate::backend::{Lack, RecipientOutcome, SessionOutcome};
use crate::vocab::{DnsName, Reply, UnixTime};

/// After an unconfirmed hand-over no other is made for this time (RFC 5321, section 4.5.4.1).
const UNCONFIRMED: Duration = Duration::from_secs(1800);

/// Of a reason that a session ended for, no more characters are shown.
const REASON_MAX: usize = 120;

/// The sessions of the present round.
pub(super) struct Sessions<'a>(Vec<&'a AttemptEvidence>);

impl<'a> Sessions<'a> {
    /// Those since the round began, the latest first; a new round tries every host anew.
    pub(super) fn of_this_round(evidence: &'a Evidence) -> Self {
        let began = evidence.message.round_began;
        Self(
            evidence
                .attempts
                .iter()
                .rev()
                .filter(|attempt| attempt.at >= began)
                .collect(),
        )
    }

    /// The latest with this host.
    pub(super) fn with(&self, host: &DnsName) -> Option<&'a AttemptEvidence> {
        self.0.iter().find(|attempt| attempt.host == *host).copied()
    }

    /// How many hosts asked to try again later.
    pub(super) fn deferred(&self) -> usize {
        let is_deferred = |attempt: &&&AttemptEvidence| {
            matches!(attempt.said(), Some(RecipientOutcome::Deferred(_)))
        };
        self.0.iter().filter(is_deferred).count()
    }
}

/// Whether no host took a connection in this round.
pub(super) fn all_silent(evidence: &Evidence) -> bool {
    let is_silent = |attempt: &&AttemptEvidence| {
        matches!(
            attempt.outcome,
            SessionOutcome::Unreachable(_) | SessionOutcome::CalledOff
        )
    };
    Sessions::of_this_round(evidence).0.iter().all(is_silent)
}

/// What the hosts of this round lack. Where they lack different things, what weighs most: that which
/// the vault cannot make up for.
pub(super) fn lack(evidence: &Evidence) -> Option<Lack> {
    let weight = |lack: &Lack| match lack {
        Lack::RequireTls => 3,
        Lack::SmtpUtf8 => 2,
        Lack::EightBitMime => 1,
        Lack::Size(_) => 0,
    };
    let of_attempt = |attempt: &&AttemptEvidence| match attempt.outcome {
        SessionOutcome::Incapable(lack) => Some(lack),
        _ => None,
    };
    let sessions = Sessions::of_this_round(evidence).0;
    sessions.iter().filter_map(of_attempt).max_by_key(weight)
}

/// Until when nothing may be tried because the peer may have the message (class U).
pub(super) fn unconfirmed(evidence: &Evidence, now: UnixTime) -> Option<UnixTime> {
    let is_unconfirmed =
        |attempt: &&AttemptEvidence| attempt.recipient == Some(RecipientOutcome::Unconfirmed);
    let until = evidence
        .attempts
        .iter()
        .filter(is_unconfirmed)
        .map(|a| a.at)
        .max()?;
    let until = until.plus(UNCONFIRMED);
    (until > now).then_some(until)
}

/// Since when each host that proved nothing in this round proves nothing: of every host the first such
/// session, and the latest of these. A host that did not answer, or asked to wait, proved neither.
pub(super) fn unproved_since(evidence: &Evidence, now: UnixTime) -> Option<UnixTime> {
    let first_with = |host: &DnsName| {
        let with = |attempt: &&AttemptEvidence| {
            attempt.host == *host && now.since(attempt.at) <= CONFIRMS_FOR
        };
        let sessions = evidence.attempts.iter().filter(with);
        sessions
            .filter(|attempt| proves_nothing(attempt))
            .map(|attempt| attempt.at)
            .min()
    };
    let sessions = Sessions::of_this_round(evidence).0;
    let hosts = sessions.iter().filter(|attempt| proves_nothing(attempt));
    hosts.filter_map(|attempt| first_with(&attempt.host)).max()
}

fn proves_nothing(attempt: &AttemptEvidence) -> bool {
    match &attempt.outcome {
        SessionOutcome::NotAuthenticated(_) | SessionOutcome::TlsFailed(_) => true,
        SessionOutcome::NoStartTls(reply) => !reply.as_ref().is_some_and(Reply::is_transient),
        SessionOutcome::CalledOff
        | SessionOutcome::Completed
        | SessionOutcome::Incapable(_)
        | SessionOutcome::Injected
        | SessionOutcome::Unreachable(_) => false,
    }
}

/// Whether the peer may have the message from a session before.
pub(super) fn unconfirmed_before(evidence: &Evidence) -> bool {
    evidence.attempts.iter().any(is_unconfirmed)
}

fn is_unconfirmed(attempt: &AttemptEvidence) -> bool {
    attempt.recipient == Some(RecipientOutcome::Unconfirmed)
}

/// A permanent refusal on a proved session.
pub(super) fn refusal(evidence: &Evidence) -> Option<&Reply> {
    let refused = |attempt: &'_ AttemptEvidence| match attempt.said() {
        Some(RecipientOutcome::Refused(_)) => true,
        Some(
            RecipientOutcome::Deferred(_)
            | RecipientOutcome::HandedOver(_)
            | RecipientOutcome::NotTried
            | RecipientOutcome::Unconfirmed,
        )
        | None => false,
    };
    let tried = evidence.attempts.iter().rfind(|attempt| refused(attempt));
    match tried.and_then(AttemptEvidence::said) {
        // The type says "refused", the reply must say so too.
        Some(RecipientOutcome::Refused(reply)) if reply.is_permanent() => Some(reply),
        _ => evidence
            .message
            .refusal
            .as_ref()
            .filter(|reply| reply.is_permanent()),
    }
}

/// Why a host that was tried in this round is not tried again: what stands in the way, the rule and
/// the fact. `None`: it may be tried.
pub(super) fn failed(
    attempt: &AttemptEvidence,
    admitted: &Admitted,
    was_proved: bool,
) -> Option<(Obstacle, Rule, String)> {
    let unproved = if admitted.published {
        Obstacle::Published
    } else if was_proved {
        Obstacle::Fell
    } else {
        admitted.unproved
    };
    let (obstacle, rule, fact) = match &attempt.outcome {
        SessionOutcome::CalledOff => return None,
        SessionOutcome::Completed => return completed(attempt.recipient.as_ref()),
        SessionOutcome::NotAuthenticated(PeerFailure::NotNamed) => (
            admitted.unnamed,
            Rule::S04,
            "the certificate does not name the domain".to_owned(),
        ),
        SessionOutcome::NotAuthenticated(failure) => {
            let (rule, fact) = of_peer(failure, admitted);
            (unproved, rule, fact)
        }
        SessionOutcome::NoStartTls(reply) => {
            // What is said before TLS can be said by anybody, so it never settles anything.
            let said = reply.as_ref().map(code_of).unwrap_or_default();
            let is_transient = reply.as_ref().is_some_and(Reply::is_transient);
            let refused = format!("STARTTLS refused{said}");
            match (is_transient, unproved) {
                (true, Obstacle::Unproved) => (Obstacle::Transient, Rule::C05, refused),
                (true, other) => (other, Rule::C05, refused),
                (false, other) => (other, Rule::C04, format!("no STARTTLS{said}")),
            }
        }
        SessionOutcome::Injected => (
            if admitted.published {
                Obstacle::Published
            } else {
                Obstacle::Tampered
            },
            Rule::C07,
            "octets behind the reply to STARTTLS".to_owned(),
        ),
        SessionOutcome::TlsFailed(why) => (
            unproved,
            Rule::C08,
            format!("the TLS handshake failed: {}", plain(why)),
        ),
        SessionOutcome::Unreachable(why) => (
            Obstacle::Transient,
            Rule::C01,
            format!("no session: {}", plain(why)),
        ),
        SessionOutcome::Incapable(lack) => (Obstacle::Incapable, of_lack(*lack), lack.to_string()),
    };
    Some((obstacle, rule, fact))
}

/// The code of a reply, and nothing of its text, which may name a person.
pub(super) fn code_of(reply: &Reply) -> String {
    match reply.enhanced() {
        Some(status) => format!(": {} {status}", reply.code()),
        None => format!(": {}", reply.code()),
    }
}

/// A reason as one short line without control characters.
pub(super) fn plain(why: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
    why.chars().filter(is_plain).take(REASON_MAX).collect()
}

/// After a session that reached MAIL.
fn completed(recipient: Option<&RecipientOutcome>) -> Option<(Obstacle, Rule, String)> {
    let (rule, fact) = match recipient {
        Some(RecipientOutcome::Deferred(reply)) => {
            (Rule::R02, format!("try again later{}", code_of(reply)))
        }
        Some(RecipientOutcome::Unconfirmed) => (Rule::R09, "no reply to the end of data".into()),
        Some(RecipientOutcome::NotTried) | None => (Rule::R10, "the session ended early".into()),
        Some(RecipientOutcome::HandedOver(_)) => (Rule::R01, "handed over".into()),
        Some(RecipientOutcome::Refused(_)) => (Rule::R11, "unclear refusal".into()),
    };
    Some((Obstacle::Transient, rule, fact))
}

const fn of_lack(lack: Lack) -> Rule {
    match lack {
        Lack::EightBitMime => Rule::R07,
        Lack::RequireTls => Rule::R08,
        Lack::Size(_) => Rule::R05,
        Lack::SmtpUtf8 => Rule::R06,
    }
}

fn of_peer(failure: &PeerFailure, admitted: &Admitted) -> (Rule, String) {
    let (rule, fact) = match failure {
        PeerFailure::Certificate(why) => {
            let fact = format!("the certificate is not usable: {}", plain(why));
            return (Rule::Ce09, fact);
        }
        PeerFailure::Misused(why) => return (Rule::Ce13, plain(why)),
        PeerFailure::Expired => (Rule::Ce01, "the certificate is out of its validity"),
        PeerFailure::IssuerExpired => (Rule::Ce07, "a certificate above it is out of its validity"),
        PeerFailure::Name => (Rule::Ce03, "the certificate bears another name"),
        PeerFailure::NoCertificate => (Rule::Ce14, "no certificate"),
        PeerFailure::NoTlsaMatch => match admitted.hop.authenticate {
            Authentication::Dane { .. } => (Rule::X04, "no TLSA record matches"),
            Authentication::Pkix { .. } => (Rule::Ce17, "no TLSA record matches"),
        },
        PeerFailure::NotNamed => (Rule::S04, "the certificate does not name the domain"),
        PeerFailure::Untrusted => (Rule::Ce04, "no trusted root"),
    };
    (rule, fact.to_owned())
}
