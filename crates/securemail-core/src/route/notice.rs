//! The way of a content-free notice: stricter than mail, laxer than a message.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::decision::Findings;
use super::facts::{self, Listing, TlsaFacts};
use super::host::Obstacle;
use super::policy::Judge;
use super::{Decision, Evidence, Hop, PolicySettings, Route, dane};
use crate::backend::SessionOutcome;
use crate::vocab::{DnsName, UnixTime};

/// Where a notice goes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum NoticeRoute {
    /// Nowhere now: what the domain publishes was not met, or nothing could be found out.
    Hold {
        /// Ask again no sooner than this.
        not_before: UnixTime,
    },
    /// To one of these, with the best TLS that it offers.
    Opportunistic(Vec<NoticeHop>),
    /// To one of these, proved as for a message.
    Proved(Vec<Hop>),
}

/// A host that takes a notice without proof.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NoticeHop {
    /// The host.
    pub host: DnsName,
    /// Where to connect, in this order.
    pub addresses: Vec<IpAddr>,
    /// The TCP port.
    pub port: u16,
    /// Clear text may be used where STARTTLS is absent: nothing is published that asks for TLS.
    pub may_be_clear: bool,
}

/// Decides where a notice about a message goes. Add each session that failed to the evidence's
/// attempts and ask again. The evidence's profile says how sure a proved session must be: `basic` is
/// enough for a notice, since it tells less than a message. The policy that drives the proved session
/// must be asked with the same profile.
///
/// A TLSA record that does not match, bogus DNS and a failing MTA-STS policy hold the notice too:
/// whoever caused them should not learn that there is a message. Where another host is proved, the
/// notice goes there, as a message does.
#[must_use]
pub fn notice_route(
    evidence: &Evidence,
    decision: &Decision,
    now: UnixTime,
    settings: &PolicySettings,
) -> NoticeRoute {
    let mut evidence = evidence.clone();
    evidence.message.vault_required = false;
    let judge = Judge {
        evidence: &evidence,
        settings,
        now,
    };
    let hold = NoticeRoute::Hold {
        not_before: judge.next_try(),
    };
    if matches!(decision.route, Route::Bounce { .. }) {
        return hold;
    }
    let Ok(judged) = judge.hosts(&mut Findings::default()) else {
        return hold;
    };
    let ever = with_proofs_failed_ever(&evidence);
    let ever = Judge {
        evidence: &ever,
        settings,
        now,
    };
    let Ok(judged_ever) = ever.hosts(&mut Findings::default()) else {
        return hold;
    };
    let mut proved = Vec::new();
    let mut open = Vec::new();
    let mut must_hold = false;
    for ((host, judgement), (_, ever)) in judged.into_iter().zip(judged_ever) {
        match (judgement, ever) {
            (
                Err(
                    Obstacle::Disputed
                    | Obstacle::OwnFault
                    | Obstacle::Published
                    | Obstacle::Tampered,
                ),
                _,
            ) => {
                must_hold = true;
            }
            (Ok(_) | Err(Obstacle::Unproved), Err(Obstacle::Unproved)) => {
                open.extend(without_proof(&evidence, &host, settings, true));
            }
            (Ok(_) | Err(Obstacle::Fell), Err(Obstacle::Fell)) => {
                open.extend(without_proof(&evidence, &host, settings, false));
            }
            // What is published may be met by now, so it is proved again.
            (Ok(admitted), _) => proved.push(admitted.hop),
            (Err(_), _) => {}
        }
    }
    if !proved.is_empty() {
        return NoticeRoute::Proved(proved);
    }
    if must_hold || open.is_empty() {
        return hold;
    }
    let has_policy = judge.has_sts_policy();
    for hop in &mut open {
        hop.may_be_clear &= !has_policy;
    }
    NoticeRoute::Opportunistic(open)
}

/// Where a report about TLS goes: to any host of the domain that can be reached, whatever is published
/// about it, because what is published may be what is broken (RFC 8460, section 3).
#[must_use]
pub fn report_route(evidence: &Evidence, now: UnixTime, settings: &PolicySettings) -> NoticeRoute {
    let judge = Judge {
        evidence,
        settings,
        now,
    };
    let hosts = match facts::mx(evidence).map(|mx| mx.listing) {
        Ok(Listing::Hosts(found)) => found.hosts,
        Ok(Listing::Absent | Listing::Failed(_) | Listing::Null(_)) | Err(_) => Vec::new(),
    };
    let hop = |(_, host): (u16, DnsName)| {
        let (addresses, _) = facts::addresses(evidence, &host).ok()?.to_try(settings);
        (!addresses.is_empty() && !settings.own_hosts.contains(&host)).then_some(NoticeHop {
            host,
            addresses,
            port: evidence.port,
            may_be_clear: true,
        })
    };
    let hops: Vec<NoticeHop> = hosts.into_iter().filter_map(hop).collect();
    if hops.is_empty() {
        return NoticeRoute::Hold {
            not_before: judge.next_try(),
        };
    }
    NoticeRoute::Opportunistic(hops)
}

/// The same evidence, as if every session that proved nothing had been in this round: a host that
/// failed in an earlier round is not asked for a proof again and again while the notice waits.
fn with_proofs_failed_ever(evidence: &Evidence) -> Evidence {
    let mut ever = evidence.clone();
    ever.message.round_began = UnixTime::default();
    ever.attempts.retain(|attempt| match attempt.outcome {
        SessionOutcome::NotAuthenticated(_)
        | SessionOutcome::NoStartTls(_)
        | SessionOutcome::TlsFailed(_) => true,
        SessionOutcome::CalledOff
        | SessionOutcome::Completed
        | SessionOutcome::Injected
        | SessionOutcome::Unreachable(_)
        | SessionOutcome::Incapable(_) => false,
    });
    ever
}

/// A host without proof, where its TLSA records are known to be absent or unusable.
fn without_proof(
    evidence: &Evidence,
    host: &DnsName,
    settings: &PolicySettings,
    may_be_clear: bool,
) -> Option<NoticeHop> {
    let found = facts::addresses(evidence, host).ok()?;
    let nothing_published = match facts::tlsa(evidence, &found.bases).ok()? {
        TlsaFacts::Absent(_) => true,
        TlsaFacts::Failed(..) => return None,
        TlsaFacts::Records { records, .. } if dane::usable(records).is_empty() => false,
        TlsaFacts::Records { .. } => return None,
    };
    let (addresses, _) = found.to_try(settings);
    if addresses.is_empty() {
        return None;
    }
    Some(NoticeHop {
        host: host.clone(),
        addresses,
        port: evidence.port,
        may_be_clear: may_be_clear && nothing_published,
    })
}
