//! Everything that can be said about the way to a domain: what was asked, what follows, what its owner can publish.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::facts::{self, Listing};
use super::{Authentication, Decision, Evidence, Finding, Route, public_key};
use crate::vocab::{Answer, DnsName, LookupFailure, MxTarget, Outcome, RecordKind, Security};

/// A decision in words, with the facts behind it: for an operator, and for an integrator before anything is sent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Explanation {
    /// Where mail goes and why: the sentence that events and mails to the sender carry too.
    pub sentence: String,
    /// The host that would be tried first.
    pub host: Option<DnsName>,
    /// Each question, and what came back.
    pub asked: Vec<String>,
    /// Each rule that was consulted.
    pub findings: Vec<String>,
    /// What the owner of the domain can do, one sentence each; empty where mail goes directly.
    pub advice: Vec<String>,
    /// What the owner can publish so that mail goes directly, or on better proof: records, and the lines of a
    /// file behind the line that names it.
    pub publish: Vec<String>,
}

/// A certificate that a host showed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// The host.
    pub host: DnsName,
    /// Its own certificate, DER.
    pub leaf: Vec<u8>,
}

impl Explanation {
    /// Explains a decision that was made from this evidence; `seen` are certificates that hosts showed, if any
    /// were asked.
    #[must_use]
    pub fn new(evidence: &Evidence, decision: &Decision, seen: &[Seen]) -> Self {
        let host = match &decision.route {
            Route::Deliver(hops) => hops.first().map(|hop| hop.host.clone()),
            Route::Bounce { .. } | Route::Defer { .. } | Route::Vault { .. } => None,
        };
        Self {
            sentence: decision.sentence(),
            host,
            asked: asked(evidence),
            findings: decision.findings.iter().map(Finding::to_string).collect(),
            advice: decision.advice(),
            publish: publish(evidence, decision, seen),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sentence,
            host,
            asked,
            findings,
            advice,
            publish,
        } = self;
        writeln!(f, "{sentence}")?;
        if let Some(host) = host {
            writeln!(f, "First host: {host}")?;
        }
        section(f, "Asked:", asked, "")?;
        section(f, "Found:", findings, "")?;
        section(f, "It would become direct if the owner", advice, "- ")?;
        section(f, "The owner could publish:", publish, "")
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: &[String], mark: &str) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}")?;
    for line in lines {
        writeln!(f, "  {mark}{line}")?;
    }
    Ok(())
}

/// The questions in their order, with what came back.
fn asked(evidence: &Evidence) -> Vec<String> {
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
    let policy = match (&evidence.sts.fetched, &evidence.sts.cached) {
        (Some(Ok(policy)), _) => Some(format!("fetched, id {}", policy.id)),
        (Some(Err(error)), _) => Some(error.to_string()),
        (None, Some(policy)) => Some(format!("kept, id {}, until {}", policy.id, policy.expires)),
        (None, None) => None,
    };
    let policy = policy.map(|said| format!("MTA-STS policy of {} -> {said}", evidence.domain));
    dns.chain(views).chain(policy).collect()
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
        Outcome::Failed(failure) => return failure_in_words(*failure).to_owned(),
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
    format!("{what} ({state})")
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

/// Records and files that would make the way direct, or better proved.
fn publish(evidence: &Evidence, decision: &Decision, seen: &[Seen]) -> Vec<String> {
    let Ok(mx) = facts::mx(evidence) else {
        return Vec::new();
    };
    let signed = mx.chain.is_secure();
    let Listing::Hosts(hosts) = mx.listing else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    for Seen { host, leaf } in seen {
        if !has_dane(decision, host) {
            lines.extend(tlsa_line(evidence, host, leaf));
        }
    }
    let has_policy = evidence.sts.cached.is_some() || evidence.fetched_policy().is_some();
    if !signed && !has_policy && !hosts.implicit {
        let names = hosts.hosts.iter().map(|(_, host)| host);
        lines.extend(policy_lines(evidence, names));
    }
    lines
}

fn has_dane(decision: &Decision, host: &DnsName) -> bool {
    let Route::Deliver(hops) = &decision.route else {
        return false;
    };
    let mut same = hops.iter().filter(|hop| hop.host == *host);
    same.any(|hop| matches!(hop.authenticate, Authentication::Dane { .. }))
}

/// `3 1 1`, the form that RFC 7671, section 5.1, recommends: it stays right when the certificate is renewed with
/// the same key.
fn tlsa_line(evidence: &Evidence, host: &DnsName, leaf: &[u8]) -> Option<String> {
    let key = public_key(leaf)?;
    let digest: [u8; 32] = Sha256::digest(key).into();
    let owner = host.below(&format!("_{}._tcp", evidence.port)).ok()?;
    let found = facts::addresses(evidence, host).ok();
    // Without a signed zone nobody looks at it.
    let first = match found {
        Some(found) if found.bases.is_empty() => "; sign the zone (DNSSEC) first",
        Some(_) | None => "",
    };
    Some(format!(
        "{owner}. IN TLSA 3 1 1 {}   ; the key that {host} shows now{first}",
        hex(&digest)
    ))
}

/// A record, and the lines of a file (RFC 8461, section 3). It begins under test, as section 5 advises.
fn policy_lines<'a>(evidence: &Evidence, hosts: impl Iterator<Item = &'a DnsName>) -> Vec<String> {
    let domain = &evidence.domain;
    let id = evidence.message.accepted.as_secs();
    let mut lines = vec![
        format!("_mta-sts.{domain}. IN TXT \"v=STSv1; id={id};\""),
        format!(
            "https://mta-sts.{domain}/.well-known/mta-sts.txt with just the lines below \
             (and mode: enforce, when reports stay clean):"
        ),
        "version: STSv1".to_owned(),
        "mode: testing".to_owned(),
        "max_age: 604800".to_owned(),
    ];
    lines.extend(hosts.map(|host| format!("mx: {host}")));
    lines
}

fn hex(octets: &[u8]) -> String {
    let shown = octets.iter().take(64).map(|octet| format!("{octet:02x}"));
    shown.collect()
}

/// Of a text no more characters are shown.
const SHOWN_MAX: usize = 200;
/// Of an answer no more records are shown.
const ITEMS_MAX: usize = 20;
