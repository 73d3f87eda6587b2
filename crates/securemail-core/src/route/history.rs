//! What a domain showed before: how it is learnt, and when now is less.

use std::time::Duration;

use super::facts::{self, Listing, StsFacts};
use super::host::Views;
use super::mta_sts::{StsMode, StsPolicy};
use super::policy::views;
use super::{
    Authority, Decision, DeferClass, Evidence, PeerProof, Route, Rule, Strength, VaultReason,
    partners,
};
use crate::backend::{CachedPolicy, DomainHistory, HostHistory, Span};
use crate::limits::MX_HOSTS_MAX;
use crate::vocab::{DnsName, UnixTime};

/// Hosts that are remembered: those of the present and of the last change.
const HOSTS_MAX: usize = 2 * MX_HOSTS_MAX;
/// What was seen so lately is not written down again: what counts for a month needs no minutes, and a
/// busy domain would else cost a write for each message.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// How [`HostHistory`] writes that nothing but an unsigned list spoke for the host.
const UNSIGNED: u8 = 0;
/// How [`HostHistory`] writes DANE.
const DANE: u8 = 3;
/// For how long it counts that a domain or a host was safer: whoever gives up DNSSEC or TLS for good must
/// not lose mail for ever, and an attack of a month has raised many alarms.
const SAFER_FOR: Duration = Duration::from_secs(30 * 86_400);
/// After this time without another look, an observation confirms nothing: what was forged once, long
/// ago, must not let one more forgery decide.
pub(super) const CONFIRMS_FOR: Duration = Duration::from_secs(86_400);

/// What is remembered of a domain after one decision, and the session that followed, if any.
#[must_use]
pub fn learn(
    previous: Option<DomainHistory>,
    evidence: &Evidence,
    decision: &Decision,
    proof: Option<&PeerProof>,
    now: UnixTime,
) -> DomainHistory {
    let mut history = previous.unwrap_or_default();
    learn_hosts_listed(&mut history, evidence, decision, now);
    match facts::sts(evidence, now) {
        Ok(StsFacts::Known(Some(policy), rule)) if policy.mode == StsMode::Enforce => {
            let source = match (rule, &evidence.sts.fetched) {
                (Rule::P09, Some(Ok(fetched))) => Some(fetched),
                _ => evidence.sts.cached.as_ref(),
            };
            history.sts_enforced_until = source.map(counts_until);
        }
        // Only a policy that was fetched may take back what another one said.
        Ok(StsFacts::Known(Some(_), _) | StsFacts::Known(None, Rule::P26)) => {
            history.sts_enforced_until = None;
        }
        Ok(StsFacts::Known(None, _) | StsFacts::Fetch(_) | StsFacts::Unknown) | Err(_) => {}
    }
    learn_decision(&mut history, evidence, decision, now);
    if let Some(proof) = proof {
        // What is enough for a strict profile is enough for a lax one.
        if !partners::decide(evidence) {
            history
                .no_path
                .retain(|profile, _| *profile > evidence.profile);
        }
        learn_proof(&mut history.hosts, proof, now);
        if evidence.message.require_tls {
            history.no_require_tls = None;
        }
    }
    history
}

fn learn_decision(
    history: &mut DomainHistory,
    evidence: &Evidence,
    decision: &Decision,
    now: UnixTime,
) {
    match decision.route {
        Route::Defer {
            class: DeferClass::UnprovedDenial,
            ..
        } => {
            history.absent = Some(seen_again(history.absent, now));
        }
        // That no host fulfils REQUIRETLS, or NTA 7516, says nothing about messages that do not demand it.
        Route::Defer {
            class: DeferClass::NoPath,
            ..
        } if evidence.message.require_tls => {
            history.no_require_tls = Some(seen_again(history.no_require_tls, now));
        }
        Route::Defer {
            class: DeferClass::NoPath,
            ..
        }
        | Route::Vault {
            reason: VaultReason::NoSecurePath,
        } if !evidence.message.require_tls && !partners::decide(evidence) => {
            let known = history.no_path.get(&evidence.profile).copied();
            history
                .no_path
                .insert(evidence.profile, seen_again(known, now));
        }
        Route::Bounce { .. } | Route::Defer { .. } | Route::Deliver(_) | Route::Vault { .. } => {}
    }
}

fn seen_again(known: Option<Span>, now: UnixTime) -> Span {
    let since = known
        .filter(|known| confirms(known, now))
        .map_or(now, |known| known.since);
    Span { since, last: now }
}

fn confirms(span: &Span, now: UnixTime) -> bool {
    now.since(span.last) <= CONFIRMS_FOR
}

/// Until when a policy is missed that was fetched just now, whoever fetched it; `None` where it enforces
/// nothing, which takes back what an earlier one said.
#[must_use]
pub fn missed_until(policy: &CachedPolicy) -> Option<UnixTime> {
    let mode = StsPolicy::parse(&policy.body).ok()?.mode;
    (mode == StsMode::Enforce).then(|| counts_until(policy))
}

/// A policy with a short life is missed for as long as anything else that was safer.
fn counts_until(policy: &CachedPolicy) -> UnixTime {
    policy.expires.max(policy.fetched.plus(SAFER_FOR))
}

fn learn_hosts_listed(
    history: &mut DomainHistory,
    evidence: &Evidence,
    decision: &Decision,
    now: UnixTime,
) {
    let Ok(mx) = facts::mx(evidence) else {
        return;
    };
    let secure = mx.chain.is_secure();
    let facts::MxFacts {
        chain,
        listing,
        by_record,
    } = mx;
    let Listing::Hosts(hosts) = listing else {
        return;
    };
    if by_record {
        return;
    }
    if secure {
        history.mx_secure_at = Some(again_at(history.mx_secure_at, now));
    }
    // Where the list leads back to the relay itself, it is a denial all the same.
    let is_denied = matches!(
        decision.route,
        Route::Defer {
            class: DeferClass::UnprovedDenial,
            ..
        }
    );
    if !is_denied {
        history.absent = None;
    }
    let set = sorted(hosts.hosts.into_iter().map(|(_, host)| host));
    // One forged answer must not make a set look new that others still see as it was.
    if history.mx_set != set && (secure || views(evidence, &chain) != Views::Differ) {
        history.mx_set = set;
        history.mx_set_since = Some(now);
    }
}

fn learn_proof(hosts: &mut Vec<HostHistory>, proof: &PeerProof, now: UnixTime) {
    let authority = match proof.authority {
        Authority::Unsigned => UNSIGNED,
        Authority::Corroborated => 1,
        Authority::Named => 2,
        Authority::MtaSts => 3,
        Authority::Dnssec => 4,
        // Settings say nothing about a domain, so nothing is learnt of it.
        Authority::Operator => return,
    };
    let authentication = match proof.strength {
        Strength::Pkix => 2,
        Strength::Dane => DANE,
    };
    if let Some(seen) = hosts.iter_mut().find(|seen| seen.host == proof.host) {
        seen.seen = again_at(Some(seen.seen), now);
        if authentication > seen.authentication || !is_recent(seen.best_at, now) {
            seen.authentication = authentication;
            seen.best_at = now;
        } else if authentication == seen.authentication {
            seen.best_at = again_at(Some(seen.best_at), now);
        }
        seen.authority = seen.authority.max(authority);
        return;
    }
    hosts.push(HostHistory {
        host: proof.host.clone(),
        authority,
        authentication,
        best_at: now,
        seen: now,
    });
    hosts.sort_by_key(|seen| std::cmp::Reverse(seen.seen));
    hosts.truncate(HOSTS_MAX);
}

/// Whether the domain was safer before than its DNS and its policy are now.
///
/// A policy of mode none, fetched over authenticated HTTPS, is the domain's own word and no fall.
pub(super) fn fell(
    evidence: &Evidence,
    mx_secure: bool,
    sts: Option<&StsPolicy>,
    now: UnixTime,
) -> bool {
    let Some(history) = &evidence.history else {
        return false;
    };
    let opted_out = || {
        matches!(
            facts::sts_as_it_is(evidence, now),
            StsFacts::Known(None, Rule::P26)
        )
    };
    let was_enforced = history.sts_enforced_until.is_some_and(|until| until > now);
    let sts_fell = was_enforced && sts.is_none() && !opted_out();
    (mx_was_secure(history, now) && !mx_secure) || sts_fell
}

/// Whether the list of mail servers was the same for as long as it must.
pub(super) fn is_stable(
    evidence: &Evidence,
    hosts: impl Iterator<Item = DnsName>,
    stable_for: Duration,
    now: UnixTime,
) -> bool {
    if stable_for.is_zero() {
        return true;
    }
    let Some(history) = &evidence.history else {
        return false;
    };
    let since = history
        .mx_set_since
        .filter(|_| history.mx_set == sorted(hosts));
    since.is_some_and(|since| now.since(since) >= stable_for)
}

fn sorted(hosts: impl Iterator<Item = DnsName>) -> Vec<DnsName> {
    let mut set: Vec<DnsName> = hosts.collect();
    set.sort();
    set
}

/// Whether the domain showed signed mail servers or DANE before.
pub(super) fn was_secure(evidence: &Evidence, now: UnixTime) -> bool {
    let signed = evidence
        .history
        .as_ref()
        .is_some_and(|seen| mx_was_secure(seen, now));
    signed || hosts_that_count(evidence).any(|host| had_dane(host, now))
}

/// Whether this host was authenticated by DANE before.
pub(super) fn was_dane(evidence: &Evidence, host: &DnsName, now: UnixTime) -> bool {
    let hosts = evidence.history.iter().flat_map(|seen| &seen.hosts);
    hosts
        .filter(|seen| seen.host == *host)
        .any(|seen| had_dane(seen, now))
}

/// Whether some host of the domain was proved before. Signed MX records alone say nothing about what a
/// session with the host could prove.
pub(super) fn was_proved(evidence: &Evidence, now: UnixTime) -> bool {
    hosts_that_count(evidence).any(|seen| is_recent(seen.seen, now))
}

/// Hosts whose proof was one for the domain: those that something besides an unsigned list spoke for, and
/// those that are listed now. Any other may have been named by a forger, to whom a `basic` tenant or a
/// notice went, and the domain would seem to have been safer for a month.
fn hosts_that_count(evidence: &Evidence) -> impl Iterator<Item = &HostHistory> {
    let listed = match facts::mx(evidence).map(|mx| mx.listing) {
        Ok(Listing::Hosts(found)) => found.hosts,
        Ok(Listing::Absent | Listing::Failed(_) | Listing::Null(_)) | Err(_) => Vec::new(),
    };
    let hosts = evidence.history.iter().flat_map(|seen| &seen.hosts);
    hosts.filter(move |seen| {
        seen.authority > UNSIGNED || listed.iter().any(|(_, host)| *host == seen.host)
    })
}

/// Since when no way was found that is sure enough for this profile, if that was seen lately.
pub(super) fn no_path_since(evidence: &Evidence, now: UnixTime) -> Option<UnixTime> {
    let seen = &evidence.history.as_ref()?.no_path;
    seen.range(..=evidence.profile)
        .filter(|(_, span)| confirms(span, now))
        .map(|(_, span)| span.since)
        .min()
}

/// Since when no way was found for messages that demand REQUIRETLS, if that was seen lately.
pub(super) fn no_require_tls_since(evidence: &Evidence, now: UnixTime) -> Option<UnixTime> {
    let span = evidence.history.as_ref()?.no_require_tls?;
    confirms(&span, now).then_some(span.since)
}

/// Since when the domain is denied without proof, if that was seen lately.
pub(super) fn absent_since(evidence: &Evidence, now: UnixTime) -> Option<UnixTime> {
    let span = evidence.history.as_ref()?.absent?;
    confirms(&span, now).then_some(span.since)
}

fn mx_was_secure(history: &DomainHistory, now: UnixTime) -> bool {
    history.mx_secure_at.is_some_and(|at| is_recent(at, now))
}

fn had_dane(host: &HostHistory, now: UnixTime) -> bool {
    host.authentication >= DANE && is_recent(host.best_at, now)
}

/// When something is noted to be seen that is seen now, and was noted at `noted`.
fn again_at(noted: Option<UnixTime>, now: UnixTime) -> UnixTime {
    // A time in the future is of a clock that was wrong.
    noted
        .filter(|noted| *noted <= now && now.since(*noted) < AGAIN_AFTER)
        .unwrap_or(now)
}

fn is_recent(at: UnixTime, now: UnixTime) -> bool {
    now.since(at) <= SAFER_FOR
}
