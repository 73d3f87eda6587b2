//! Which policies a session, or a decision against a host, counts under, and how (RFC 8460, section 4.2).

use std::net::IpAddr;

use super::policy;
use super::result::{of_peer, reason_code, result_of};
use super::{Failure, Policy, PolicyType, ResultType, Session};
use crate::backend::{AttemptReport, SessionOutcome};
use crate::limits::TLS_REPORT_HELO_CHARS_MAX;
use crate::route::{
    Authentication, Decision, Effect, Evidence, Hop, PublishedHosts, PublishedSts, PublishedTlsa,
    Rule, StsMode, Subject, is_public, published_hosts, published_sts, published_tlsa,
};
use crate::vocab::{DnsName, Profile, Reply, UnixTime};

/// How far TLS came, whatever it was to prove.
enum Tls {
    /// It came up; what it proved is for each policy to say.
    Up(Option<Rule>),
    /// It did not come up.
    Down(Rule, Option<String>),
}

/// One session of an attempt, as far as a report tells of it.
struct Seen<'a> {
    host: &'a DnsName,
    address: Option<IpAddr>,
    own_address: Option<IpAddr>,
    helo: Option<&'a str>,
    outcome: &'a SessionOutcome,
}

/// Counts the sessions of an attempt at one host, at each address that was tried: each once for each policy that
/// applied to it. Nothing where no TLS was tried (section 4.3.4).
#[must_use]
pub fn of_session(
    evidence: &Evidence,
    hop: &Hop,
    report: &AttemptReport,
    now: UnixTime,
) -> Vec<Session> {
    seen(report)
        .iter()
        .flat_map(|seen| of_one(evidence, hop, seen, now))
        .collect()
}

fn seen(report: &AttemptReport) -> Vec<Seen<'_>> {
    let others = report.others.iter().map(|other| Seen {
        host: &report.host,
        address: other.address,
        own_address: other.own_address,
        helo: other.peer.as_ref().map(|peer| peer.ehlo.as_str()),
        outcome: &other.outcome,
    });
    let last = Seen {
        host: &report.host,
        address: report.address,
        own_address: report.own_address,
        helo: report.peer.as_ref().map(|peer| peer.ehlo.as_str()),
        outcome: &report.outcome,
    };
    others.chain((!is_kept(report)).then_some(last)).collect()
}

fn of_one(evidence: &Evidence, hop: &Hop, seen: &Seen<'_>, now: UnixTime) -> Vec<Session> {
    let Some(tls) = tls_of(seen) else {
        return Vec::new();
    };
    let by_dane = matches!(hop.authenticate, Authentication::Dane { .. });
    let mut sessions = Vec::new();
    let mut found_policy = false;
    match published_tlsa(evidence, &hop.host) {
        PublishedTlsa::Records {
            base,
            records,
            usable,
        } => {
            found_policy = true;
            let fault = if usable && by_dane {
                tls.fault()
            } else {
                Some((Rule::T02, None))
            };
            sessions.push(session(policy::tlsa(&base, &records), fault, seen));
        }
        PublishedTlsa::Bogus(_) | PublishedTlsa::None => {}
    }
    match published_sts(evidence, now) {
        PublishedSts::Policy { body, policy } => {
            found_policy = true;
            let shown = policy::sts(&evidence.domain, &body, &policy);
            if !policy.names(&hop.host) {
                let rule = if policy.mode == StsMode::Testing {
                    Rule::X12
                } else {
                    Rule::X09
                };
                sessions.push(session(shown, Some((rule, None)), seen));
            } else if !by_dane {
                sessions.push(session(shown, tls.fault(), seen));
            }
            // Under DANE the certificate is not held to the names and roots of MTA-STS (RFC 8461,
            // section 2), so nothing can be said about that policy.
        }
        PublishedSts::Broken(rule) => {
            found_policy = true;
            let shown = policy::unseen(PolicyType::Sts, &evidence.domain);
            sessions.push(session(shown, Some((rule, None)), seen));
        }
        PublishedSts::None => {}
    }
    if !found_policy {
        // Where nothing is published a session succeeded when TLS came up: what we demand beyond is
        // our own rule.
        sessions.push(under_none(evidence, tls, seen));
    }
    sessions
}

/// Counts the sessions of an attempt that proved nothing, with a mail of ours. Under a policy such a session is neither
/// a success nor a failure: nobody looked. Where nothing is published, it succeeded when TLS came up.
#[must_use]
pub fn of_unproved(evidence: &Evidence, report: &AttemptReport, now: UnixTime) -> Vec<Session> {
    let is_published = !matches!(published_tlsa(evidence, &report.host), PublishedTlsa::None)
        || !matches!(published_sts(evidence, now), PublishedSts::None);
    if is_published {
        return Vec::new();
    }
    let tls = |seen: &Seen<'_>| match (seen.helo, seen.outcome) {
        // It went in clear, because STARTTLS was not offered.
        (None, SessionOutcome::Completed | SessionOutcome::Incapable(_)) => {
            Some(Tls::Down(Rule::C04, None))
        }
        _ => tls_of(seen),
    };
    seen(report)
        .iter()
        .filter_map(|seen| Some(under_none(evidence, tls(seen)?, seen)))
        .collect()
}

fn under_none(evidence: &Evidence, tls: Tls, seen: &Seen<'_>) -> Session {
    let fault = match tls {
        Tls::Up(_) => None,
        Tls::Down(rule, code) => Some((rule, code)),
    };
    let shown = policy::unseen(PolicyType::NoPolicyFound, &evidence.domain);
    session(shown, fault, seen)
}

/// Counts a failed session for each host that `decision` left out for what is published about it: it
/// would have been tried. Hosts from `taken` on, in the order in which they are tried, were not needed.
#[must_use]
pub fn of_decision(
    evidence: &Evidence,
    decision: &Decision,
    taken: Option<&DnsName>,
    now: UnixTime,
) -> Vec<Session> {
    let hosts = match published_hosts(evidence) {
        PublishedHosts::Hosts(hosts) => hosts,
        // Who would have been tried nobody knows; where the message is for the vault, none would.
        PublishedHosts::Bogus if evidence.message.vault_required => return Vec::new(),
        PublishedHosts::Bogus => {
            let shown = policy::unseen(PolicyType::NoPolicyFound, &evidence.domain);
            return vec![failed(shown, Rule::Mx03, None)];
        }
        PublishedHosts::None => return Vec::new(),
    };
    let tried = |host: &DnsName| {
        let began = evidence.message.round_began;
        let mut attempts = evidence.attempts.iter();
        attempts.any(|attempt| attempt.host == *host && attempt.at >= began)
    };
    let sts = published_sts(evidence, now);
    let mut sessions = Vec::new();
    for host in hosts.iter().take_while(|host| Some(*host) != taken) {
        if !is_left_out(decision, host) || tried(host) {
            continue;
        }
        sessions.extend(of_tlsa(evidence, decision, host));
        sessions.extend(of_sts(evidence, &sts, host));
    }
    sessions
}

fn is_left_out(decision: &Decision, host: &DnsName) -> bool {
    decision.findings.iter().any(|found| {
        found.effect == Effect::Exclude && found.subject == Subject::Host(host.clone())
    })
}

fn of_tlsa(evidence: &Evidence, decision: &Decision, host: &DnsName) -> Option<Session> {
    match published_tlsa(evidence, host) {
        PublishedTlsa::Bogus(rule) => {
            let shown = policy::unseen(PolicyType::Tlsa, host);
            Some(failed(shown, rule, Some(host)))
        }
        PublishedTlsa::Records {
            base,
            records,
            usable: false,
        } => Some(failed(policy::tlsa(&base, &records), Rule::T02, Some(host))),
        PublishedTlsa::Records { usable: true, .. } => None,
        PublishedTlsa::None => {
            let is_demanded = evidence.profile == Profile::DaneOnly
                && decision.findings.iter().any(|found| {
                    found.rule == Rule::S05 && found.subject == Subject::Host(host.clone())
                });
            let shown = policy::unseen(PolicyType::Tlsa, host);
            is_demanded.then(|| failed(shown, Rule::S05, Some(host)))
        }
    }
}

fn of_sts(evidence: &Evidence, sts: &PublishedSts, host: &DnsName) -> Option<Session> {
    match sts {
        PublishedSts::Policy { body, policy }
            if policy.mode == StsMode::Enforce && !policy.names(host) =>
        {
            let shown = policy::sts(&evidence.domain, body, policy);
            Some(failed(shown, Rule::X09, Some(host)))
        }
        PublishedSts::Broken(rule) => {
            let shown = policy::unseen(PolicyType::Sts, &evidence.domain);
            Some(failed(shown, *rule, Some(host)))
        }
        PublishedSts::None | PublishedSts::Policy { .. } => None,
    }
}

/// Whether the connection was kept from an earlier message: sessions are counted, not messages.
fn is_kept(report: &AttemptReport) -> bool {
    let began = report.ended.minus(report.took);
    let secured = report.peer.as_ref().map(|peer| peer.secured);
    secured.is_some_and(|secured| secured < began)
}

/// How far TLS came; `None` where it was not tried. Where it came up there is a name, and what is no proof says so:
/// whoever refuses behind it, or is called off, did nothing wrong in TLS.
fn tls_of(seen: &Seen<'_>) -> Option<Tls> {
    match seen.outcome {
        SessionOutcome::Completed | SessionOutcome::Incapable(_) => Some(Tls::Up(None)),
        SessionOutcome::NotAuthenticated(failure) => Some(Tls::Up(of_peer(failure))),
        SessionOutcome::NoStartTls(None) => Some(Tls::Down(Rule::C04, None)),
        SessionOutcome::NoStartTls(Some(reply)) => Some(Tls::Down(Rule::C05, Some(code_of(reply)))),
        SessionOutcome::Injected => Some(Tls::Down(Rule::C07, None)),
        SessionOutcome::TlsFailed(_) => Some(Tls::Down(Rule::C08, None)),
        SessionOutcome::CalledOff | SessionOutcome::Unreachable(_) => {
            seen.helo.is_some().then_some(Tls::Up(None))
        }
    }
}

fn code_of(reply: &Reply) -> String {
    format!("smtp-{}", reply.code())
}

impl Tls {
    /// What stands against the session under a policy that demands a proof.
    fn fault(&self) -> Option<(Rule, Option<String>)> {
        match self {
            Self::Up(fault) => fault.map(|rule| (rule, None)),
            Self::Down(rule, code) => Some((*rule, code.clone())),
        }
    }
}

fn session(policy: Policy, fault: Option<(Rule, Option<String>)>, seen: &Seen<'_>) -> Session {
    let public = |address: Option<IpAddr>| address.filter(|address| is_public(*address));
    let failure = fault.map(|(rule, code)| Failure {
        sending_ip: public(seen.own_address),
        helo: seen.helo.filter(|name| is_name(name)).map(str::to_owned),
        receiving_ip: public(seen.address),
        reason: code.or_else(|| reason_code(rule).map(str::to_owned)),
        ..failure(rule, Some(seen.host))
    });
    Session { policy, failure }
}

fn failed(policy: Policy, rule: Rule, host: Option<&DnsName>) -> Session {
    Session {
        policy,
        failure: Some(failure(rule, host)),
    }
}

fn failure(rule: Rule, host: Option<&DnsName>) -> Failure {
    Failure {
        // What has no type of its own is this one (section 4.3.3).
        result: result_of(rule).unwrap_or(ResultType::ValidationFailure),
        sending_ip: None,
        mx_host: host.cloned(),
        helo: None,
        receiving_ip: None,
        reason: reason_code(rule).map(str::to_owned),
    }
}

/// A peer may call itself anything; only what looks like a name or an address goes on.
fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    !text.is_empty() && text.len() <= TLS_REPORT_HELO_CHARS_MAX && text.chars().all(fits)
}
