//! What was asked and what came back, in words: the DNS, the policy host, and the mail servers.

use super::facts::{self, Announcement};
use super::{Evidence, Matched, PeerProof, StsMode, StsPolicy, sessions, valid_until};
use crate::backend::{AttemptReport, CachedPolicy, PeerFacts, SessionOutcome};
use crate::vocab::{Answer, LookupFailure, MxTarget, Outcome, RecordKind, Security};

/// The questions in their order, with what came back.
pub(super) fn asked(evidence: &Evidence) -> Vec<String> {
    let dns = evidence.dns.iter().map(|asked| {
        let kind = kind_in_words(asked.question.kind);
        format!(
            "{kind} {} -> {}",
            asked.question.name,
            answered(&asked.answer)
        )
    });
    let views = evidence.vantages.iter().flat_map(|seen| {
        let kind = kind_in_words(seen.question.kind);
        seen.views.iter().map(move |view| {
            let answer = answered(&view.answer);
            format!(
                "{kind} {} at {} -> {answer}",
                seen.question.name, view.vantage
            )
        })
    });
    let policy = policy(evidence)
        .into_iter()
        .map(|said| format!("MTA-STS policy of {} -> {said}", evidence.domain));
    dns.chain(views).chain(policy).collect()
}

/// What is known of the policy: what was fetched now, why that failed, and what is kept.
fn policy(evidence: &Evidence) -> Vec<String> {
    let mut lines = Vec::new();
    match &evidence.sts.fetched {
        Some(Ok(policy)) => lines.push(format!("fetched: {}", policy_in_words(policy))),
        Some(Err(error)) => lines.push(error.to_string()),
        None => lines.extend(failed_before(evidence)),
    }
    let is_new = matches!(evidence.sts.fetched, Some(Ok(_)));
    if let Some(policy) = evidence.sts.cached.as_ref().filter(|_| !is_new) {
        let what = policy_in_words(policy);
        lines.push(format!("kept until {}: {what}", policy.expires));
    }
    lines
}

/// Why nothing was fetched although a policy is announced: it failed a moment ago (RFC 8461, section 3.3).
fn failed_before(evidence: &Evidence) -> Option<String> {
    let failed = evidence.history.as_ref()?.sts_failed.as_ref()?;
    let announced = facts::announcement(evidence).ok()?;
    let same = matches!(announced, Announcement::Id(id) if id == failed.id);
    same.then(|| {
        let (error, at) = (&failed.error, failed.at);
        format!("{error}, at {at}; not asked again so soon")
    })
}

fn policy_in_words(policy: &CachedPolicy) -> String {
    let id = &policy.id;
    let Ok(read) = StsPolicy::parse(&policy.body) else {
        return format!("what came is no policy, id {id}");
    };
    let mode = match read.mode {
        StsMode::Enforce => "enforce",
        StsMode::None => "none",
        StsMode::Testing => "testing",
    };
    let hosts = listed(read.hosts());
    let seconds = read.max_age.as_secs();
    format!("mode {mode}, mx {hosts}, max_age {seconds}, id {id}")
}

/// The sessions in their order. Where no reports are at hand, what the evidence keeps of those that failed.
pub(super) fn sessions(evidence: &Evidence, tried: &[AttemptReport]) -> Vec<String> {
    if !tried.is_empty() {
        let told = |report| session(report, evidence);
        return tried.iter().map(told).collect();
    }
    let failed = evidence.attempts.iter();
    failed
        .map(|attempt| format!("{} -> {}", attempt.host, came_to(&attempt.outcome)))
        .collect()
}

fn session(report: &AttemptReport, evidence: &Evidence) -> String {
    let host = &report.host;
    let at = report.address.map_or_else(String::new, |address| {
        format!(" at {address}, port {}", evidence.port)
    });
    let tls = report.peer.as_ref().map_or_else(String::new, |peer| {
        let (version, cipher, group) = (&peer.version, &peer.cipher, &peer.group);
        format!("{version}, {cipher}, {group}; {}", certificate(peer))
    });
    let end = match &report.proof {
        Some(proof) => match &report.outcome {
            SessionOutcome::Incapable(lack) => format!("{}; {lack}", proved(proof)),
            _ => proved(proof),
        },
        None => came_to(&report.outcome),
    };
    format!("{host}{at} -> {tls}{end}")
}

fn certificate(peer: &PeerFacts) -> String {
    let until = peer.chain.first().and_then(|leaf| valid_until(leaf));
    until.map_or_else(String::new, |until| {
        format!("certificate valid until {until}; ")
    })
}

fn proved(proof: &PeerProof) -> String {
    match &proof.matched {
        Matched::Tlsa { depth: 0, .. } => {
            "proved: its own certificate matches a TLSA record".to_owned()
        }
        Matched::Tlsa { .. } => {
            "proved: the issuer of its certificate matches a TLSA record".to_owned()
        }
        Matched::Root { subject } => {
            let subject = sessions::plain(subject);
            format!("proved: its certificate is valid, and leads to the trusted root {subject}")
        }
    }
}

fn came_to(outcome: &SessionOutcome) -> String {
    match outcome {
        SessionOutcome::CalledOff => "called off".to_owned(),
        SessionOutcome::Completed => "it came to MAIL".to_owned(),
        SessionOutcome::Incapable(lack) => lack.to_string(),
        SessionOutcome::Injected => {
            "octets came that TLS does not protect, or that are no SMTP".to_owned()
        }
        SessionOutcome::NoStartTls(None) => "STARTTLS is not offered".to_owned(),
        SessionOutcome::NoStartTls(Some(reply)) => {
            format!("STARTTLS is refused{}", sessions::code_of(reply))
        }
        SessionOutcome::NotAuthenticated(failure) => format!(
            "not proved, so it ended before MAIL: {}",
            sessions::plain(&failure.to_string())
        ),
        SessionOutcome::TlsFailed(why) => {
            format!("the TLS handshake failed: {}", sessions::plain(why))
        }
        SessionOutcome::Unreachable(why) => format!("no session: {}", sessions::plain(why)),
    }
}

const fn kind_in_words(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::A => "A",
        RecordKind::Aaaa => "AAAA",
        RecordKind::Caa => "CAA",
        RecordKind::Cname => "CNAME",
        RecordKind::Mx => "MX",
        RecordKind::Ns => "NS",
        RecordKind::Tlsa => "TLSA",
        RecordKind::Txt => "TXT",
    }
}

fn answered(answer: &Answer) -> String {
    let what = match &answer.outcome {
        Outcome::Addresses(found) => listed(found.iter().map(ToString::to_string)),
        Outcome::Alias(target) => format!("alias of {target}"),
        Outcome::Caa(found) => listed(found.iter().map(|one| one.tag.clone())),
        Outcome::Failed(failure) => {
            let why = extended(&answer.extended_errors);
            return format!("{}{why}", failure_in_words(*failure));
        }
        Outcome::Mx(found) => listed(found.iter().map(|mx| match &mx.target {
            MxTarget::Host(host) => format!("{} {host}", mx.preference),
            MxTarget::Invalid(_) => format!("{} (no host name)", mx.preference),
            MxTarget::Null => format!("{} . (takes no mail)", mx.preference),
        })),
        Outcome::NameServers(found) => listed(found.iter().map(ToString::to_string)),
        Outcome::NoData => "nothing of this kind".to_owned(),
        Outcome::NxDomain => "no such name".to_owned(),
        Outcome::Tlsa(found) => listed(found.iter().map(|record| {
            let (usage, selector, matching) = (record.usage, record.selector, record.matching);
            format!("{usage} {selector} {matching} {}", hex(&record.data))
        })),
        Outcome::Txt(found) => listed(found.iter().map(|text| {
            let plain = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ');
            format!("\"{}\"", plain.take(SHOWN_MAX).collect::<String>())
        })),
    };
    let state = match answer.security {
        Security::Bogus => "signed wrongly",
        Security::Indeterminate => "state unknown",
        Security::Insecure => "not signed",
        Security::Secure if answer.validators > 1 => "signed, two validators",
        Security::Secure => "signed, one validator",
    };
    format!("{what} ({state}{})", extended(&answer.extended_errors))
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let shown: Vec<String> = items.take(ITEMS_MAX).collect();
    shown.join(", ")
}

const fn failure_in_words(failure: LookupFailure) -> &'static str {
    match failure {
        LookupFailure::Bogus => "failed: the signatures are wrong",
        LookupFailure::Disagreement => "failed: two validators do not agree",
        LookupFailure::FormErr | LookupFailure::NotImp => "failed: the server does not understand",
        LookupFailure::Malformed => "failed: the answer is malformed, or lacks its proof",
        LookupFailure::Refused => "failed: refused",
        LookupFailure::ServFail => "failed: the server reports an error",
        LookupFailure::Timeout => "failed: no answer in time",
        LookupFailure::Unusable => "failed: our own resolver cannot be used",
    }
}

/// What the resolver says besides, as RFC 8914, section 4, names it.
fn extended(codes: &[u16]) -> String {
    let named = codes.iter().take(ITEMS_MAX).map(|code| match code {
        3 | 19 => "stale answer".to_owned(),
        4 => "forged answer".to_owned(),
        6 => "DNSSEC bogus".to_owned(),
        7 => "signature expired".to_owned(),
        8 => "signature not yet valid".to_owned(),
        9 => "DNSKEY missing".to_owned(),
        10 => "RRSIGs missing".to_owned(),
        12 => "NSEC missing".to_owned(),
        15..=17 => "blocked or filtered".to_owned(),
        22 => "no reachable authority".to_owned(),
        23 => "network error".to_owned(),
        other => format!("extended error {other}"),
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() {
        return String::new();
    }
    format!("; the resolver says: {}", named.join(", "))
}

pub(super) fn hex(octets: &[u8]) -> String {
    let shown = octets.iter().take(64).map(|octet| format!("{octet:02x}"));
    shown.collect()
}

/// Of a text no more characters are shown.
const SHOWN_MAX: usize = 200;
/// Of an answer no more records are shown.
const ITEMS_MAX: usize = 20;
