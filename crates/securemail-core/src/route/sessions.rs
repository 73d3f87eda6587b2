//! What the sessions tried so far say (rules C, CE and R).

use std::time::Duration;

use super::history::CONFIRMS_FOR;
use super::host::{Admitted, Obstacle};
use super::{AttemptEvidence, Authentication, Evidence, PeerFailure, Rule};
use crate::backend::{RecipientOutcome, SessionOutcome};
use crate::vocab::{DnsName, Reply, UnixTime};

/// After an unconfirmed hand-over no other is made for this time (RFC 5321, section 4.5.4.1).
const UNCONFIRMED: Duration = Duration::from_secs(1800);

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
            matches!(attempt.recipient, Some(RecipientOutcome::Deferred(_)))
        };
        self.0.iter().filter(is_deferred).count()
    }
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
    let of_attempt = |attempt: &'_ AttemptEvidence| match &attempt.recipient {
        Some(RecipientOutcome::Refused(_)) => true,
        Some(
            RecipientOutcome::Deferred(_)
            | RecipientOutcome::HandedOver(_)
            | RecipientOutcome::NotTried
            | RecipientOutcome::Unconfirmed,
        )
        | None => false,
    };
    let tried = evidence
        .attempts
        .iter()
        .rfind(|attempt| of_attempt(attempt));
    match tried.and_then(|attempt| attempt.recipient.as_ref()) {
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
) -> Option<(Obstacle, Rule, &'static str)> {
    let unproved = if admitted.published {
        Obstacle::Published
    } else if was_proved {
        Obstacle::Fell
    } else {
        Obstacle::Unproved
    };
    Some(match &attempt.outcome {
        SessionOutcome::CalledOff => return None,
        SessionOutcome::Completed => return completed(attempt.recipient.as_ref()),
        SessionOutcome::NotAuthenticated(PeerFailure::NotNamed) => (
            admitted.unnamed,
            Rule::S04,
            "the certificate does not name the domain",
        ),
        SessionOutcome::NotAuthenticated(failure) => {
            let (rule, fact) = of_peer(failure, admitted);
            (unproved, rule, fact)
        }
        SessionOutcome::NoStartTls(reply) => {
            // What is said before TLS can be said by anybody, so it never settles anything.
            let is_transient = reply.as_ref().is_some_and(Reply::is_transient);
            match (is_transient, unproved) {
                (true, Obstacle::Unproved) => (Obstacle::Transient, Rule::C05, "STARTTLS refused"),
                (true, other) => (other, Rule::C05, "STARTTLS refused"),
                (false, other) => (other, Rule::C04, "no STARTTLS"),
            }
        }
        SessionOutcome::Injected => (
            Obstacle::Published,
            Rule::C07,
            "octets behind the reply to STARTTLS",
        ),
        SessionOutcome::TlsFailed(_) => (unproved, Rule::C08, "the TLS handshake failed"),
        SessionOutcome::Unreachable(_) => (Obstacle::Transient, Rule::C01, "no session"),
        SessionOutcome::Incapable(_) => {
            (Obstacle::Incapable, Rule::R05, "it cannot take the message")
        }
    })
}

/// After a session that reached MAIL.
fn completed(recipient: Option<&RecipientOutcome>) -> Option<(Obstacle, Rule, &'static str)> {
    match recipient {
        Some(RecipientOutcome::Deferred(_)) => {
            Some((Obstacle::Transient, Rule::R02, "try again later"))
        }
        Some(RecipientOutcome::Unconfirmed) => Some((
            Obstacle::Transient,
            Rule::R09,
            "no reply to the end of data",
        )),
        Some(RecipientOutcome::NotTried) | None => {
            Some((Obstacle::Transient, Rule::R10, "the session ended early"))
        }
        Some(RecipientOutcome::HandedOver(_)) => {
            Some((Obstacle::Transient, Rule::R01, "handed over"))
        }
        Some(RecipientOutcome::Refused(_)) => {
            Some((Obstacle::Transient, Rule::R11, "unclear refusal"))
        }
    }
}

fn of_peer(failure: &PeerFailure, admitted: &Admitted) -> (Rule, &'static str) {
    match failure {
        PeerFailure::Certificate(_) => (Rule::Ce09, "the certificate is not usable"),
        PeerFailure::Expired => (Rule::Ce01, "the certificate is out of its validity"),
        PeerFailure::Name => (Rule::Ce03, "the certificate bears another name"),
        PeerFailure::NoCertificate => (Rule::Ce14, "no certificate"),
        PeerFailure::NoTlsaMatch => match admitted.hop.authenticate {
            Authentication::Dane { .. } => (Rule::X04, "no TLSA record matches"),
            Authentication::Pkix { .. } => (Rule::Ce17, "no TLSA record matches"),
        },
        PeerFailure::NotNamed => (Rule::S04, "the certificate does not name the domain"),
        PeerFailure::Untrusted => (Rule::Ce04, "no trusted root"),
    }
}
