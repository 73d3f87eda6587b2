//! Invariants I1 to I7 on any evidence; the oracle says what stands in it.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use securemail_core::backend::{RecipientOutcome, SessionOutcome, Span, TransportPolicy};
use securemail_core::route::{
    Authentication, Decision, DeferClass, Evidence, Hop, Route, Rule, StandardPolicy, VaultReason,
};
use securemail_core::vocab::{Answer, Language, Outcome, Profile, RecordKind, UnixTime};

use super::evidence::{Case, case, failure, question, unproved};
use super::oracle::Demand;
use super::pki::{PKI, trust};

/// So many cases, or as many as `PROPTEST_CASES` asks for.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

pub(crate) fn hops(decision: &Decision) -> &[Hop] {
    match &decision.route {
        Route::Deliver(hops) => hops,
        Route::Bounce { .. } | Route::Defer { .. } | Route::Vault { .. } => &[],
    }
}

pub(crate) const fn delivers(decision: &Decision) -> bool {
    matches!(decision.route, Route::Deliver(_))
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn i1_no_hop_lets_a_peer_to_mail_that_is_not_proved(case in case()) {
        let decision = case.decide();
        for hop in hops(&decision) {
            let nobody = securemail_core::route::authenticate(hop, &[], case.now, &trust());
            prop_assert!(nobody.is_err(), "{decision}");
            prop_assert!(PKI.attacker.show(hop, case.now).is_err(), "{decision}");
            prop_assert!(PKI.impostor.show(hop, case.now).is_err(), "{decision}");
            // And it is no demand that nobody could meet.
            if matches!(hop.authenticate, Authentication::Pkix { .. }) {
                prop_assert!(PKI.honest.show(hop, case.now).is_ok(), "{decision}");
            }
        }
    }

    #[test]
    fn whatever_goes_back_has_a_verdict_in_dutch(case in case()) {
        let decision = case.decide();
        if let Route::Bounce { rule, .. } = decision.route {
            let verdict = rule.verdict(Language::Dutch);
            prop_assert!(!verdict.starts_with("Regel "), "{rule}: {verdict}");
        }
    }

    #[test]
    fn whatever_is_delivered_is_justified_by_what_is_in_the_evidence(case in case()) {
        let decision = case.decide();
        let Route::Deliver(hops) = &decision.route else { return Ok(()) };
        prop_assert!(!hops.is_empty());
        for hop in hops {
            let host = hop.host.as_str();
            prop_assert!(case.before_ourselves().iter().any(|one| one == host), "listed: {decision}");
            prop_assert!(case.authority_is_there(hop), "S of {host}: {decision}");
            prop_assert!(case.proof_is_demanded(hop), "H of {host}: {decision}");
            prop_assert!(case.profile_is_met(hop), "profile and {host}: {decision}");
            let addresses = case.addresses(host);
            prop_assert!(!hop.addresses.is_empty());
            prop_assert!(hop.addresses.iter().all(|one| addresses.contains(one)), "{decision}");
            prop_assert_eq!(hop.port, case.evidence.port);
            prop_assert_eq!(&hop.domain, &case.evidence.domain);
            let excluded = case.enforced().is_some_and(|policy| !policy.names(host));
            prop_assert!(!excluded, "the policy does not name {host}: {decision}");
        }
        let order = |hop: &Hop| case.preference(hop.host.as_str());
        prop_assert!(hops.is_sorted_by_key(order), "{decision}");
        prop_assert!(case.has_waited_for_policy(), "{decision}");
    }

    #[test]
    fn nothing_is_delivered_that_must_not_go_directly_now(case in case()) {
        let decision = case.decide();
        let Route::Deliver(hops) = &decision.route else { return Ok(()) };
        prop_assert!(!case.evidence.message.vault_required, "{decision}");
        prop_assert!(case.refusal().is_none(), "{decision}");
        prop_assert!(!case.may_have_arrived(), "{decision}");
        prop_assert!(case.told_to_wait() < 2, "{decision}");
        for hop in hops {
            let host = hop.host.as_str();
            let session = case.session(host);
            let again = session.is_none_or(|tried| tried.outcome == SessionOutcome::CalledOff);
            prop_assert!(again, "{host} was tried in this round: {decision}");
            let signed = case.mail_servers().is_some_and(|trail| trail.is_secure());
            let named = signed || case.enforced().is_some_and(|policy| policy.names(host));
            prop_assert!(named || !case.evidence.message.require_tls, "{decision}");
        }
    }

    #[test]
    fn i2_nothing_said_before_tls_gives_a_message_back(
        mut case in case(),
        outcomes in prop::collection::vec(unproved(), 4),
    ) {
        // Whatever the driver wrote beside it, no such session reached MAIL.
        for (attempt, outcome) in case.evidence.attempts.iter_mut().zip(outcomes) {
            attempt.outcome = outcome;
        }
        case.evidence.message.refusal = None;
        let decision = case.decide();
        let Route::Bounce { rule, .. } = &decision.route else { return Ok(()) };
        let by_the_list = [Rule::Mx07, Rule::Mx08, Rule::Mx11, Rule::Mx12, Rule::Mx19, Rule::Mx24];
        let by_time = *rule == Rule::G10 && case.age() >= case.settings.hold_for;
        // RFC 8689, section 4.2.1: where no host can be used, the sender must be told.
        let by_demand = *rule == Rule::X15 && case.evidence.message.require_tls;
        prop_assert!(by_the_list.contains(rule) || by_time || by_demand, "{decision}");
    }

    #[test]
    fn i3_a_failure_is_never_absence(case in case(), why in failure(), host in 0usize..3) {
        let failed = Answer::failed(why, UnixTime::MAX);
        let break_ = |case: &Case, name: &str, kind| {
            let mut broken = case.clone();
            broken.answer(&question(name, kind), &failed);
            broken
        };
        // The list: neither an implicit host, nor a denial.
        let decision = break_(&case, case.domain(), RecordKind::Mx).decide();
        let absent = [Rule::Mx07, Rule::Mx08, Rule::Mx11, Rule::Mx12, Rule::Mx19];
        let denied = matches!(&decision.route, Route::Bounce { rule, .. } if absent.contains(rule));
        prop_assert!(!denied && !delivers(&decision), "{decision}");

        // The records of a host with signed addresses: neither a certificate, nor other records.
        let host = super::evidence::HOSTS[host];
        let is_signed = |kind| case.follow(host, kind).is_some_and(|trail| {
            trail.is_secure() && trail.names.len() == 1
        });
        if is_signed(RecordKind::A) && is_signed(RecordKind::Aaaa) {
            let owner = format!("_{}._tcp.{host}", case.evidence.port);
            let decision = break_(&case, &owner, RecordKind::Tlsa).decide();
            prop_assert!(hops(&decision).iter().all(|hop| hop.host.as_str() != host), "{decision}");
        }

        // The announcement: what is kept applies, and without it a cycle is waited.
        let owner = format!("_mta-sts.{}", case.domain());
        let broken = break_(&case, &owner, RecordKind::Txt);
        let decision = broken.decide();
        prop_assert!(broken.has_waited_for_policy() || !delivers(&decision), "{decision}");
        let kept = broken.enforced();
        let outside = |hop: &Hop| kept.is_some_and(|policy| !policy.names(hop.host.as_str()));
        prop_assert!(!hops(&decision).iter().any(outside), "{decision}");
    }

    #[test]
    fn i4_usable_signed_records_are_never_replaced_by_a_root_or_a_policy(case in case()) {
        let decision = case.decide();
        for hop in hops(&decision) {
            let Demand::Match(_, records) = case.demand(hop.host.as_str()) else { continue };
            prop_assert!(matches!(hop.authenticate, Authentication::Dane { .. }), "{decision}");
            // The honest certificate is under a trusted root and bears every name; it passes just where
            // a record is its own.
            let own = |record: &securemail_core::vocab::Tlsa| {
                let leaf = PKI.honest.association(record.selector, record.matching);
                record.usage == 3 && record.data == leaf
            };
            let passes = PKI.honest.show(hop, case.now).is_ok();
            prop_assert_eq!(passes, records.iter().any(own), "{}", decision);
        }
    }

    #[test]
    fn i6_a_bounce_has_a_proved_or_twice_seen_cause(case in case()) {
        let decision = case.decide();
        let Route::Bounce { rule, .. } = &decision.route else { return Ok(()) };
        let message = &case.evidence.message;
        let trail = case.mail_servers();
        let is_signed = trail.as_ref().is_some_and(|trail| trail.is_secure());
        let is_stale = trail.as_ref().is_some_and(|trail| {
            trail.answer.extended_errors.iter().any(|code| [3, 19].contains(code))
        });
        let is_denied = |denial: Denial| {
            trail.as_ref().is_some_and(|trail| denial.is_said_by(&trail.answer.outcome)) && !is_stale
        };
        let is_twice_seen = case.absent_for() >= Some(case.settings.confirm_absence_after)
            && case.others_agree() != Some(false)
            && !case.was_signed_or_dane();
        let is_incapable = case.evidence.attempts.iter().any(|attempt| {
            attempt.at >= message.round_began
                && matches!(attempt.outcome, SessionOutcome::Incapable(_))
        });
        let cause = match rule {
            Rule::Mx07 => is_signed && is_denied(Denial::Absent),
            Rule::Mx11 => is_signed && is_denied(Denial::Null),
            Rule::Mx08 => is_twice_seen && is_denied(Denial::Absent),
            Rule::Mx12 => is_twice_seen && is_denied(Denial::Null),
            Rule::Mx19 => {
                case.before_ourselves().is_empty() && !is_stale && (is_signed || is_twice_seen)
            }
            Rule::Mx24 => ["org", "printer.local"].contains(&case.domain()),
            Rule::G10 => case.age() >= case.settings.hold_for,
            Rule::R03 | Rule::R13 => case.refusal().is_some(),
            Rule::R05 => is_incapable || case.refusal().is_some(),
            Rule::R06 | Rule::R07 | Rule::R08 => is_incapable,
            Rule::X15 => message.require_tls && was_seen_before(&case),
            other => panic!("{other} bounces"),
        };
        prop_assert!(cause, "{decision}");
    }

    #[test]
    fn what_is_published_and_not_met_is_held_and_never_diverted(case in case()) {
        let message = &case.evidence.message;
        if message.vault_required || case.refusal().is_some() || case.may_have_arrived() {
            return Ok(());
        }
        // A host that the message or the profile shuts out is left out before it is asked for a proof.
        if message.require_tls || case.evidence.profile == Profile::DaneOnly {
            return Ok(());
        }
        let hosts = case.before_ourselves();
        let unmet = hosts.iter().any(|host| case.is_unmet(host));
        if !unmet || !case.has_waited_for_policy() {
            return Ok(());
        }
        let decision = case.decide();
        let is_held = match &decision.route {
            Route::Defer { class, .. } => {
                matches!(class, DeferClass::Suspicious | DeferClass::OwnFault)
            }
            Route::Deliver(_) => true,
            Route::Bounce { rule, .. } => *rule == Rule::G10,
            Route::Vault { .. } => false,
        };
        prop_assert!(is_held, "{decision}");
    }

    #[test]
    fn the_vault_is_chosen_only_for_a_reason_that_is_there(case in case()) {
        let decision = case.decide();
        let Route::Vault { reason } = &decision.route else { return Ok(()) };
        let message = &case.evidence.message;
        prop_assert!(message.vault_possible, "{decision}");
        prop_assert!(!message.require_tls || message.vault_required, "RFC 8689, 4.2.1: {decision}");
        let fair = match reason {
            VaultReason::Required => message.vault_required,
            VaultReason::DowngradeConsented => {
                message.divert_on_downgrade
                    && case.age() >= case.settings.divert_after
                    && case.evidence.history.is_some()
            }
            VaultReason::Unreachable => case.age() >= case.settings.divert_after,
            VaultReason::NoSecurePath => {
                was_seen_before(&case) && !case.is_contradicted() && !case.hides_a_host()
            }
            VaultReason::Incapable => case.refusal().is_some()
                || case.evidence.attempts.iter().any(|attempt| {
                    matches!(attempt.outcome, SessionOutcome::Incapable(_))
                }),
        };
        prop_assert!(fair, "{decision}");
    }

    #[test]
    fn i7_the_same_facts_always_give_the_same_words(case in case(), rotate in 0usize..20) {
        let decision = case.decide();
        let kept = serde_json::to_string(&case.evidence).unwrap();
        let evidence: Evidence = serde_json::from_str(&kept).unwrap();
        let again = StandardPolicy::new(case.settings.clone()).decide(&evidence, case.now);
        prop_assert_eq!(&again, &decision);
        prop_assert_eq!(again.to_string(), decision.to_string());
        prop_assert!(!decision.findings.is_empty());
        prop_assert!(decision.fresh_until >= case.now);

        // In which order different questions were answered does not matter.
        let mut turned = case;
        let mut seen = Vec::new();
        turned.evidence.dns.reverse();
        turned.evidence.dns.retain(|asked| {
            let is_first = !seen.contains(&asked.question);
            seen.push(asked.question.clone());
            is_first
        });
        let by = rotate % turned.evidence.dns.len().max(1);
        turned.evidence.dns.rotate_left(by);
        let turned = turned.decide();
        prop_assert_eq!(&turned.route, &decision.route);
        prop_assert_eq!(&turned.findings, &decision.findings);
    }
}

/// That no host proves itself was seen by an earlier look (class A).
fn was_seen_before(case: &Case) -> bool {
    let before = case.now.minus(case.settings.confirm_after);
    let confirms = |span: &Span| {
        span.since <= before && case.now.since(span.last) <= Duration::from_secs(86_400)
    };
    let remembered = case.evidence.history.iter().any(|history| {
        let demanded = history.no_require_tls.iter();
        let by_demand = demanded.filter(|_| case.evidence.message.require_tls);
        let by_profile = history.no_path.range(..=case.evidence.profile);
        by_profile
            .map(|(_, span)| span)
            .chain(by_demand)
            .any(confirms)
    });
    let tried = case.evidence.attempts.iter().any(|attempt| {
        attempt.at <= before
            && matches!(
                attempt.outcome,
                SessionOutcome::NotAuthenticated(_)
                    | SessionOutcome::TlsFailed(_)
                    | SessionOutcome::NoStartTls(_)
            )
    });
    remembered || tried
}

/// A way to say that there is nobody to send to.
#[derive(Clone, Copy)]
enum Denial {
    Absent,
    Null,
}

impl Denial {
    fn is_said_by(self, outcome: &Outcome) -> bool {
        use securemail_core::vocab::MxTarget;
        match (self, outcome) {
            (Self::Absent, Outcome::NxDomain) => true,
            (Self::Null, Outcome::Mx(records)) => {
                records.iter().all(|mx| mx.target == MxTarget::Null)
            }
            _ => false,
        }
    }
}

/// The properties above say nothing where the evidence never leads there.
#[test]
fn the_evidence_leads_to_every_kind_of_decision() {
    let mut runner = TestRunner::deterministic();
    let strategy = case();
    let wanted = [
        "deliver",
        "Dane Dnssec",
        "Dane MtaSts",
        "Dane Named",
        "Dane Corroborated",
        "Dane Unsigned",
        "Pkix Dnssec",
        "Pkix MtaSts",
        "Pkix Named",
        "Pkix Corroborated",
        "Pkix Unsigned",
        "NoPath",
        "Transient",
        "Suspicious",
        "UnprovedDenial",
        "OwnFault",
        "Unconfirmed",
        "vault DowngradeConsented",
        "vault Incapable",
        "vault NoSecurePath",
        "vault Unreachable",
        "vault Required",
        "bounce MX-07",
        "bounce MX-08",
        "bounce MX-11",
        "bounce MX-12",
        "bounce MX-19",
        "bounce MX-24",
        "bounce G-10",
        "bounce R-03",
        "bounce X-15",
        "impossible sessions",
    ];
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..20_000 {
        if wanted.iter().all(|kind| seen.contains_key(*kind)) {
            return;
        }
        let case = strategy.new_tree(&mut runner).unwrap().current();
        let decision = case.decide();
        let route = match &decision.route {
            Route::Bounce { rule, .. } => format!("bounce {rule}"),
            Route::Defer { class, .. } => format!("{class:?}"),
            Route::Deliver(_) => "deliver".to_owned(),
            Route::Vault { reason } => format!("vault {reason:?}"),
        };
        *seen.entry(route).or_default() += 1;
        for hop in hops(&decision) {
            let proof = match hop.authenticate {
                Authentication::Dane { .. } => "Dane",
                Authentication::Pkix { .. } => "Pkix",
            };
            *seen
                .entry(format!("{proof} {:?}", hop.authority))
                .or_default() += 1;
        }
        if case.evidence.attempts.iter().any(|one| {
            one.outcome != SessionOutcome::Completed
                && matches!(one.recipient, Some(RecipientOutcome::Refused(_)))
        }) {
            *seen.entry("impossible sessions".to_owned()).or_default() += 1;
        }
    }
    let never = wanted.iter().filter(|kind| !seen.contains_key(**kind));
    let never: Vec<_> = never.collect();
    panic!("never: {never:?}\n{seen:#?}");
}
