//! What a domain showed before: how it is learnt, and when now is less.

use super::facts::{self, Listing, StsFacts};
use super::mta_sts::{StsMode, StsPolicy};
use super::{
    Authority, Decision, DeferClass, Evidence, PeerProof, Route, Rule, Strength, VaultReason,
};
use crate::backend::{DomainHistory, HostHistory};
use crate::limits::MX_HOSTS_MAX;
use crate::vocab::{DnsName, UnixTime};

/// Hosts that are remembered: those of the present and of the last change.
const HOSTS_MAX: usize = 2 * MX_HOSTS_MAX;

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
    learn_hosts_listed(&mut history, evidence, now);
    match facts::sts(evidence, now) {
        Ok(StsFacts::Known(Some(policy), _)) if policy.mode == StsMode::Enforce => {
            history.sts_enforced_at = Some(now);
        }
        // Only a policy that was fetched may take back what another one said.
        Ok(StsFacts::Known(Some(_), _) | StsFacts::Known(None, Rule::P26)) => {
            history.sts_enforced_at = None;
        }
        Ok(StsFacts::Known(None, _) | StsFacts::Fetch(_) | StsFacts::Unknown) | Err(_) => {}
    }
    match decision.route {
        Route::Defer {
            class: DeferClass::UnprovedDenial,
            ..
        } => {
            history.absent_since = history.absent_since.or(Some(now));
        }
        Route::Defer {
            class: DeferClass::NoPath,
            ..
        }
        | Route::Vault {
            reason: VaultReason::NoSecurePath,
        } => {
            history.no_path_since = history.no_path_since.or(Some(now));
        }
        Route::Bounce { .. } | Route::Defer { .. } | Route::Deliver(_) | Route::Vault { .. } => {}
    }
    if let Some(proof) = proof {
        history.no_path_since = None;
        learn_proof(&mut history.hosts, proof, now);
    }
    history
}

fn learn_hosts_listed(history: &mut DomainHistory, evidence: &Evidence, now: UnixTime) {
    let Ok(mx) = facts::mx(evidence) else {
        return;
    };
    let secure = mx.chain.is_secure();
    let Listing::Hosts(hosts) = mx.listing else {
        return;
    };
    history.mx_was_secure |= secure;
    history.absent_since = None;
    let mut set: Vec<DnsName> = hosts.hosts.into_iter().map(|(_, host)| host).collect();
    set.sort();
    if history.mx_set != set {
        history.mx_set = set;
        history.mx_set_since = Some(now);
    }
}

fn learn_proof(hosts: &mut Vec<HostHistory>, proof: &PeerProof, now: UnixTime) {
    let authority = match proof.authority {
        Authority::Unsigned => 0,
        Authority::Corroborated => 1,
        Authority::Named => 2,
        Authority::MtaSts => 3,
        Authority::Dnssec => 4,
    };
    let authentication = match proof.strength {
        Strength::Pkix => 2,
        Strength::Dane => 3,
    };
    if let Some(seen) = hosts.iter_mut().find(|seen| seen.host == proof.host) {
        seen.authority = seen.authority.max(authority);
        seen.authentication = seen.authentication.max(authentication);
        seen.seen = now;
        return;
    }
    hosts.push(HostHistory {
        host: proof.host.clone(),
        authority,
        authentication,
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
            facts::sts(evidence, now),
            Ok(StsFacts::Known(None, Rule::P26))
        )
    };
    let sts_fell = history.sts_enforced_at.is_some() && sts.is_none() && !opted_out();
    (history.mx_was_secure && !mx_secure) || sts_fell
}
