//! Everything that can be said about the way to a domain: what was asked, what follows, what its owner can publish.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::asked::{asked, hex, sessions};
use super::facts::{self, AddressFacts, Listing, TlsaFacts};
use super::{Authentication, Decision, Evidence, Finding, Route, public_key};
use crate::backend::AttemptReport;
use crate::vocab::{DnsName, Language, Tlsa};

/// A decision in words, with the facts behind it: for an operator, and for an integrator before anything is sent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Explanation {
    /// Where mail goes and why: the sentence that events and mails to the sender carry too.
    pub sentence: String,
    /// The host that would be tried first.
    pub host: Option<DnsName>,
    /// Each question, and what came back: of the DNS, of other vantages, and of the policy host.
    pub asked: Vec<String>,
    /// Each session with a host, how far it came, and what proved the host or did not.
    #[serde(default)]
    pub sessions: Vec<String>,
    /// Each rule that was consulted.
    pub findings: Vec<String>,
    /// What the owner of the domain can do; empty where mail goes directly.
    pub advice: Vec<String>,
    /// What the owner can publish so that mail goes directly, or on better proof: records, and the lines of a
    /// file behind the line that names it.
    pub publish: Vec<String>,
}

impl Explanation {
    /// Explains a decision that was made from this evidence; `tried` are sessions that were opened to find
    /// out, if any were.
    #[must_use]
    pub fn new(evidence: &Evidence, decision: &Decision, tried: &[AttemptReport]) -> Self {
        let host = match &decision.route {
            Route::Deliver(hops) => hops.first().map(|hop| hop.host.clone()),
            Route::Bounce { .. } | Route::Defer { .. } | Route::Vault { .. } => None,
        };
        Self {
            sentence: decision.sentence(),
            host,
            asked: asked(evidence),
            sessions: sessions(evidence, tried),
            findings: decision.findings.iter().map(Finding::to_string).collect(),
            advice: decision
                .remedies()
                .iter()
                .map(|remedy| remedy.words(Language::English))
                .collect(),
            publish: publish(evidence, decision, tried),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sentence,
            host,
            asked,
            sessions,
            findings,
            advice,
            publish,
        } = self;
        writeln!(f, "{sentence}")?;
        if let Some(host) = host {
            writeln!(f, "First host: {host}")?;
        }
        section(f, "Asked:", asked, "")?;
        section(f, "Sessions:", sessions, "")?;
        section(f, "Found:", findings, "")?;
        section(f, "What the owner of the domain can do:", advice, "- ")?;
        section(f, "What the owner could publish:", publish, "")
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

/// Records and files that would make the way direct, or better proved.
fn publish(evidence: &Evidence, decision: &Decision, tried: &[AttemptReport]) -> Vec<String> {
    let Ok(mx) = facts::mx(evidence) else {
        return Vec::new();
    };
    let signed = mx.chain.is_secure();
    let Listing::Hosts(hosts) = mx.listing else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    for report in tried {
        let leaf = report.peer.as_ref().and_then(|peer| peer.chain.first());
        if let Some(leaf) = leaf.filter(|_| !has_dane(decision, &report.host)) {
            lines.extend(tlsa_line(evidence, &report.host, leaf));
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
    let first = facts::addresses(evidence, host).map_or("", |found| before(evidence, &found));
    // Whoever stood between us and the host showed a key of their own.
    Some(format!(
        "{owner}. IN TLSA 3 1 1 {}   ; the key that {host} showed us: compare it with your own{first}",
        hex(&digest)
    ))
}

/// What must be done before the record counts.
fn before(evidence: &Evidence, found: &AddressFacts) -> &'static str {
    // Without a signed zone nobody looks at it.
    if found.bases.is_empty() {
        return "; sign the zone (DNSSEC) first";
    }
    // RFC 7671, section 9: of one usage and selector the strongest digest counts alone.
    let is_stronger = |record: &Tlsa| (record.usage, record.selector, record.matching) == (3, 1, 2);
    match facts::tlsa(evidence, &found.bases) {
        Ok(TlsaFacts::Records { records, .. }) if records.iter().any(is_stronger) => {
            "; take the 3 1 2 away, beside which it does not count"
        }
        Ok(TlsaFacts::Absent(_) | TlsaFacts::Failed(..) | TlsaFacts::Records { .. }) | Err(_) => "",
    }
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
