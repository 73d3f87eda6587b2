//! What must hold of every decision, whatever the world looks like (invariants I2 to I7).

mod route_world;

use std::time::Duration;

use proptest::prelude::*;

use securemail_core::backend::{
    FetchError, RecipientOutcome, SessionOutcome, Span, TransportPolicy, VantageView,
};
use securemail_core::route::{
    Ask, AskReply, AttemptEvidence, Authentication, Authority, Decision, DeferClass, Effect,
    Evidence, Inquiry, MessageFacts, NoticeRoute, PolicySettings, Route, Rule, StandardPolicy,
    Step, Subject, VaultReason, learn, notice_route, usable,
};
use securemail_core::vocab::{Answer, Mx, MxTarget, Outcome, Profile, Reply, Security};

use route_world::{ACCEPTED, HOSTS, Host, Listing, World, Zone, name, world};

/// What somebody on the way can do to one answer.
#[derive(Clone, Copy, Debug)]
enum Attack {
    BreakMx(Zone),
    BreakHost(usize, Zone),
    BreakTlsa(usize, Zone),
    BreakTxt,
    BreakVantage,
    HidePolicy,
    HideTxt,
}

fn attack() -> impl Strategy<Value = Attack> {
    let broken = || prop_oneof![Just(Zone::Bogus), Just(Zone::Failing)];
    prop_oneof![
        broken().prop_map(Attack::BreakMx),
        (0usize..3, broken()).prop_map(|(index, zone)| Attack::BreakHost(index, zone)),
        (0usize..3, broken()).prop_map(|(index, zone)| Attack::BreakTlsa(index, zone)),
        Just(Attack::BreakTxt),
        Just(Attack::BreakVantage),
        Just(Attack::HidePolicy),
        Just(Attack::HideTxt),
    ]
}

impl Attack {
    fn on(self, world: &World) -> World {
        let mut world = world.clone();
        match self {
            Self::BreakMx(zone) => world.mx.0 = zone,
            Self::BreakHost(index, zone) => {
                world
                    .hosts
                    .iter_mut()
                    .skip(index)
                    .take(1)
                    .for_each(|host| host.zone = zone);
            }
            Self::BreakTlsa(index, zone) => {
                for host in world.hosts.iter_mut().skip(index).take(1) {
                    host.tlsa = Some((zone, Vec::new()));
                }
            }
            Self::BreakTxt => world.txt = Some(Zone::Failing),
            Self::BreakVantage => world.vantage = world.vantage.map(|_| false),
            Self::HidePolicy => world.policy = Err(FetchError::Unreachable),
            Self::HideTxt => world.txt = None,
        }
        world
    }

    /// Suppressing a policy that is not kept yet cannot be seen (RFC 8461, section 10.2); what is kept
    /// applies instead, or none.
    fn hides_what_is_not_kept(self, world: &World) -> bool {
        let is_not_kept = world.kept != world.policy.clone().ok();
        match self {
            // What made the announcement unknown is hidden with it.
            Self::HideTxt => is_not_kept || world.kept.is_none(),
            Self::BreakTxt | Self::HidePolicy => is_not_kept,
            Self::BreakHost(..) | Self::BreakMx(_) | Self::BreakTlsa(..) | Self::BreakVantage => {
                false
            }
        }
    }
}

const fn delivers(decision: &Decision) -> bool {
    matches!(decision.route, Route::Deliver(_))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i2_what_is_said_before_tls_never_bounces(
        mut world in world(),
        which in 0usize..3,
        code in 400u16..600,
    ) {
        world.age = Duration::from_secs(60);
        world.mx = (world.mx.0, Listing::Hosts);
        let outcome = SessionOutcome::NoStartTls(Some(Reply::new(code, None, "no")));
        let attempt = |host: &str| AttemptEvidence {
            host: name(host),
            at: world.now(),
            outcome: outcome.clone(),
            recipient: None,
        };
        world.attempts = HOSTS.iter().take(which + 1).map(|host| attempt(host)).collect();
        let (_, decision) = world.decide();
        prop_assert!(!matches!(decision.route, Route::Bounce { .. }), "{decision}");
    }

    #[test]
    fn i3_a_lookup_that_fails_is_never_absence(mut world in world(), index in 0usize..3) {
        let mut unlisted = world.clone();
        unlisted.mx.0 = Zone::Failing;
        let (_, decision) = unlisted.decide();
        let absent = [Rule::Mx07, Rule::Mx08, Rule::Mx11, Rule::Mx12];
        let denied = matches!(&decision.route, Route::Bounce { rule, .. } if absent.contains(rule));
        prop_assert!(!denied && !delivers(&decision), "{decision}");

        let Some(host) = world.hosts.get_mut(index) else { return Ok(()) };
        host.zone = Zone::Secure;
        host.tlsa = Some((Zone::Failing, Vec::new()));
        let (_, decision) = world.decide();
        let Route::Deliver(hops) = &decision.route else { return Ok(()) };
        let host = HOSTS.get(index).copied().unwrap_or_default();
        prop_assert!(hops.iter().all(|hop| hop.host.as_str() != host), "{decision}");
    }

    #[test]
    fn i4_a_host_with_usable_signed_tlsa_records_is_delivered_by_dane_alone(world in world()) {
        let (_, decision) = world.decide();
        let Route::Deliver(hops) = &decision.route else { return Ok(()) };
        for hop in hops {
            let Some(Host { zone: Zone::Secure, tlsa: Some((zone, records)), .. }) =
                world.host(hop.host.as_str())
            else {
                continue;
            };
            prop_assert!(matches!(zone, Zone::Secure | Zone::Insecure), "{decision}");
            let is_dane = matches!(hop.authenticate, Authentication::Dane { .. });
            let demanded = *zone == Zone::Secure && !usable(records).is_empty();
            prop_assert_eq!(is_dane, demanded, "{}", decision);
        }
    }

    #[test]
    fn i5_no_attack_turns_anything_into_delivery(world in world(), attack in attack()) {
        let (_, before) = world.decide();
        let (_, after) = attack.on(&world).decide();
        let turned = !delivers(&before) && delivers(&after);
        prop_assert!(
            !turned || attack.hides_what_is_not_kept(&world),
            "{attack:?}\nbefore: {before}\nafter: {after}"
        );
    }

    #[test]
    fn i5_no_attack_makes_a_host_deliverable_on_less(world in world(), attack in attack()) {
        let (_, before) = world.decide();
        let (_, after) = attack.on(&world).decide();
        let (Route::Deliver(before), Route::Deliver(after)) = (&before.route, &after.route) else {
            return Ok(());
        };
        for hop in after {
            let Some(same) = before.iter().find(|other| other.host == hop.host) else { continue };
            // A policy that is out of sight proves nothing; then more must be named, or DNS agree.
            let lost = hop.authority < same.authority && hop.authority < Authority::Corroborated;
            prop_assert!(!lost || hop.must_name_domain || world.profile == Profile::Basic);
            let was_dane = matches!(same.authenticate, Authentication::Dane { .. });
            let is_dane = matches!(hop.authenticate, Authentication::Dane { .. });
            prop_assert!(is_dane || !was_dane);
        }
    }

    #[test]
    fn a_vantage_that_sees_other_hosts_corroborates_nothing(mut world in world()) {
        world.vantage = Some(false);
        let (_, decision) = world.decide();
        let Route::Deliver(hops) = &decision.route else { return Ok(()) };
        for hop in hops {
            prop_assert!(hop.authority != Authority::Corroborated, "{decision}");
        }
    }

    #[test]
    fn i6_a_bounce_has_a_proved_or_confirmed_cause(world in world()) {
        let (_, decision) = world.decide();
        let Route::Bounce { rule, .. } = &decision.route else { return Ok(()) };
        let is_signed = world.mx.0 == Zone::Secure;
        let was_absent = world.history.as_ref().is_some_and(|seen| seen.absent.is_some());
        let is_confirmed = was_absent && world.age >= Duration::from_secs(600);
        let refused = world.attempts.iter().any(|attempt| {
            matches!(attempt.recipient, Some(RecipientOutcome::Refused(_)))
        });
        let incapable = world.attempts.iter().any(|attempt| {
            matches!(attempt.outcome, SessionOutcome::Incapable(_))
        });
        let cause = match rule {
            Rule::Mx07 | Rule::Mx11 => is_signed,
            Rule::Mx08 | Rule::Mx12 => is_confirmed,
            Rule::G10 => world.age >= Duration::from_secs(5 * 86_400),
            Rule::R03 | Rule::R13 => refused,
            Rule::R05 | Rule::R07 => incapable && (!world.vault_possible || world.require_tls),
            Rule::R06 => {
                incapable && (!world.vault_possible || world.utf8_recipient || world.require_tls)
            }
            Rule::R08 => incapable,
            // Seen before: by an earlier message, or by an earlier session with the host.
            Rule::X15 => {
                let known = world.history.as_ref();
                let before = known.is_some_and(|seen| seen.no_require_tls.is_some());
                world.require_tls && (before || !world.attempts.is_empty())
            }
            other => panic!("{other} bounces"),
        };
        prop_assert!(cause, "{decision}");
    }

    #[test]
    fn i7_evidence_replays_to_the_same_decision(world in world()) {
        let (evidence, decision) = world.decide();
        let text = serde_json::to_string(&evidence).unwrap();
        let again: Evidence = serde_json::from_str(&text).unwrap();
        let replayed = StandardPolicy::default().decide(&again, world.now());
        prop_assert_eq!(&replayed, &decision);
        prop_assert_eq!(replayed.to_string(), decision.to_string());
        prop_assert!(!decision.findings.is_empty());
        prop_assert!(decision.fresh_until >= world.now());
    }

    #[test]
    fn the_profile_is_kept_by_every_hop(world in world()) {
        let (_, decision) = world.decide();
        let Route::Deliver(hops) = &decision.route else { return Ok(()) };
        prop_assert!(!hops.is_empty());
        for hop in hops {
            let least = match world.profile {
                Profile::Basic => Authority::Unsigned,
                Profile::Standard => Authority::Corroborated,
                Profile::Strict => Authority::Named,
                Profile::DaneOnly => Authority::Dnssec,
            };
            let is_dane = matches!(hop.authenticate, Authentication::Dane { .. });
            prop_assert!(hop.authority >= least || hop.must_name_domain, "{decision}");
            prop_assert!(world.profile != Profile::DaneOnly || (is_dane && !hop.must_name_domain));
            prop_assert!(!hop.addresses.is_empty());
        }
    }

    #[test]
    fn requiretls_goes_to_hosts_that_dnssec_or_an_enforced_policy_names_and_never_to_the_vault(
        world in world(),
    ) {
        if !world.require_tls {
            return Ok(());
        }
        let (evidence, decision) = world.decide();
        prop_assert!(!matches!(decision.route, Route::Vault { .. }), "{decision}");
        let Route::Deliver(hops) = &decision.route else { return Ok(()) };
        for hop in hops {
            let enforced = decision.findings.iter().any(|finding| {
                finding.rule == Rule::X15
                    && finding.effect == Effect::Note
                    && finding.subject == Subject::Host(hop.host.clone())
            });
            prop_assert!(enforced, "{decision}");
            prop_assert!(hop.authority >= Authority::MtaSts, "{decision}");
        }
        let mut lax = evidence;
        lax.message.require_tls = false;
        let without = StandardPolicy::default().decide(&lax, world.now());
        prop_assert!(matches!(without.route, Route::Deliver(_)), "a demand opens no way: {without}");
    }

    #[test]
    fn what_the_domain_publishes_and_is_not_met_is_never_diverted(mut world in world()) {
        let had_history = world.history.is_some();
        // No way was found before either: whatever may be diverted is diverted now.
        let seen = Span { since: ACCEPTED, last: world.now() };
        let history = world.history.get_or_insert_default();
        history.no_path.insert(world.profile, seen);
        let (_, decision) = world.decide();
        let Route::Vault { reason } = &decision.route else { return Ok(()) };
        let is_published = |rule: Rule| {
            let rules = [
                Rule::X03, Rule::X04, Rule::X09, Rule::Mx03, Rule::Mx04, Rule::Mx27, Rule::C07,
            ];
            rules.contains(&rule)
        };
        let unmet = decision.findings.iter().any(|finding| {
            is_published(finding.rule) && matches!(finding.effect, Effect::Exclude | Effect::Hold)
        });
        prop_assert!(!unmet, "{decision}");
        let consented = world.consent && had_history;
        prop_assert!(*reason != VaultReason::DowngradeConsented || consented);
        prop_assert!(world.vault_possible);
    }

    #[test]
    fn a_list_that_a_vantage_contradicts_does_not_choose_the_vault(
        mut world in world(),
        is_strict in any::<bool>(),
    ) {
        world.profile = if is_strict { Profile::Strict } else { Profile::Standard };
        world.mx = (Zone::Insecure, Listing::Hosts);
        world.vantage = Some(false);
        (world.txt, world.kept) = (None, None);
        world.age = Duration::from_secs(1200);
        let stripped = |host: &str| AttemptEvidence {
            host: name(host),
            at: world.now(),
            outcome: SessionOutcome::NoStartTls(None),
            recipient: None,
        };
        world.attempts = HOSTS.iter().map(|host| stripped(host)).collect();
        // No way was found before either: whatever may be diverted is diverted now.
        let seen = Span { since: ACCEPTED, last: world.now() };
        let history = world.history.get_or_insert_default();
        history.no_path.insert(world.profile, seen);
        let (_, decision) = world.decide();
        let is_chosen = matches!(decision.route, Route::Vault { reason: VaultReason::NoSecurePath });
        prop_assert!(!is_chosen, "{decision}");
    }

    #[test]
    fn what_is_held_is_looked_at_again_in_time(world in world()) {
        let (_, decision) = world.decide();
        let Route::Defer { class, not_before } = &decision.route else { return Ok(()) };
        prop_assert!(*not_before > world.now());
        prop_assert!(not_before.since(world.now()) <= Duration::from_secs(11 * 3600));
        let is_over = world.age >= Duration::from_secs(5 * 86_400);
        let may_be_late = matches!(
            class,
            DeferClass::OwnFault | DeferClass::NoPath
        );
        let asks_first = decision.wants_confirmation();
        prop_assert!(!is_over || may_be_late || asks_first, "{decision}");
    }

    #[test]
    fn a_notice_is_in_clear_only_where_nothing_is_published(world in world()) {
        let (evidence, decision) = world.decide();
        let settings = PolicySettings::default();
        let NoticeRoute::Opportunistic(hops) =
            notice_route(&evidence, &decision, world.now(), &settings)
        else {
            return Ok(());
        };
        for hop in hops {
            let host = world.host(hop.host.as_str()).unwrap();
            let readable = matches!(host.zone, Zone::Secure | Zone::Insecure);
            prop_assert!(readable && !hop.addresses.is_empty());
            if host.zone == Zone::Secure {
                let demanded = host.tlsa.as_ref().is_some_and(|(zone, records)| {
                    *zone != Zone::Insecure && !usable(records).is_empty()
                });
                prop_assert!(!demanded, "{decision}");
            }
            let has_policy = world.kept.as_ref().is_some_and(|body| !body.contains("none"))
                && world.txt.is_none();
            prop_assert!(!(hop.may_be_clear && has_policy));
        }
    }

    #[test]
    fn learning_never_forgets_what_was_better(world in world()) {
        let (evidence, decision) = world.decide();
        let before = world.history.clone().unwrap_or_default();
        let after = learn(Some(before.clone()), &evidence, &decision, None, world.now());
        prop_assert!(after.mx_secure_at >= before.mx_secure_at);
        prop_assert_eq!(after.hosts, before.hosts);
    }

    #[test]
    fn a_cold_domain_costs_three_rounds_and_each_alias_two_more_at_most(world in world()) {
        let (_, rounds) = world.inquire();
        let has_alias = world.hosts.iter().any(|host| host.alias);
        prop_assert!(rounds <= if has_alias { 5 } else { 3 }, "{rounds} rounds");
    }
}

/// Answers that fit no question, aliases into loops and onto themselves: the inquiry ends, and what it
/// gathered is decided without a panic.
#[test]
fn an_inquiry_ends_whatever_is_answered() {
    let strange = [
        Outcome::Alias(name("a.example.org")),
        Outcome::Alias(name("b.example.org")),
        Outcome::Mx(vec![Mx {
            preference: 1,
            target: MxTarget::Host(name("a.example.org")),
        }]),
        Outcome::Mx(Vec::new()),
        Outcome::Addresses(Vec::new()),
        Outcome::Txt(vec!["v=STSv1; id=1".to_owned()]),
        Outcome::Tlsa(Vec::new()),
        Outcome::NoData,
        Outcome::NxDomain,
    ];
    let states = [
        Security::Secure,
        Security::Insecure,
        Security::Bogus,
        Security::Indeterminate,
    ];
    let mut seed = 7_u64;
    for _ in 0..3000 {
        let evidence = Evidence::new(
            name("example.org"),
            Profile::Standard,
            MessageFacts::at(ACCEPTED),
        );
        let mut inquiry = Inquiry::new(evidence, ACCEPTED);
        let mut rounds = 0;
        let gathered = loop {
            match inquiry.poll() {
                Step::Done => break inquiry.into_evidence(),
                Step::Ask(asks) => {
                    for ask in asks {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let pick = usize::try_from(seed >> 33).unwrap();
                        let outcome = strange[pick % strange.len()].clone();
                        let state = states[pick / strange.len() % states.len()];
                        let answer = Answer::new(outcome, state, ACCEPTED);
                        let reply = match &ask {
                            Ask::Dns(_) => AskReply::Dns(answer),
                            Ask::Vantage(_) => AskReply::Vantage(vec![VantageView {
                                vantage: "x".to_owned(),
                                answer,
                            }]),
                            Ask::Policy { .. } => AskReply::Policy(Err(FetchError::Unreachable)),
                        };
                        inquiry.handle(ask, reply);
                    }
                }
            }
            rounds += 1;
            assert!(rounds < 40, "the inquiry does not end");
        };
        let decision = StandardPolicy::default().decide(&gathered, ACCEPTED);
        assert!(!decision.findings.is_empty());
    }
}

/// Each alias leads to a name that nobody has seen.
#[test]
fn aliases_without_end_are_not_followed() {
    let evidence = Evidence::new(
        name("example.org"),
        Profile::Standard,
        MessageFacts::at(ACCEPTED),
    );
    let mut inquiry = Inquiry::new(evidence, ACCEPTED);
    let mut asked = 0;
    while let Step::Ask(asks) = inquiry.poll() {
        for ask in asks {
            asked += 1;
            assert!(asked < 100, "the inquiry does not end");
            let next = name(&format!("a{asked}.example.org"));
            let answer = Answer::new(Outcome::Alias(next), Security::Insecure, ACCEPTED);
            let reply = match &ask {
                Ask::Dns(_) => AskReply::Dns(answer),
                Ask::Vantage(_) => AskReply::Vantage(Vec::new()),
                Ask::Policy { .. } => AskReply::Policy(Err(FetchError::Unreachable)),
            };
            inquiry.handle(ask, reply);
        }
    }
    assert!(asked > 8, "aliases are followed");
}

#[test]
fn a_reply_of_another_kind_is_asked_again() {
    let evidence = Evidence::new(
        name("example.org"),
        Profile::Standard,
        MessageFacts::at(ACCEPTED),
    );
    let mut inquiry = Inquiry::new(evidence, ACCEPTED);
    let Step::Ask(asks) = inquiry.poll() else {
        panic!("nothing asked")
    };
    inquiry.handle(asks[0].clone(), AskReply::Vantage(Vec::new()));
    assert_eq!(inquiry.poll(), Step::Ask(asks));
}

#[test]
fn a_reserved_name_is_never_asked_for() {
    for reserved in ["printer.local", "intranet", "x.onion", "localhost"] {
        let evidence = Evidence::new(name(reserved), Profile::Basic, MessageFacts::at(ACCEPTED));
        let inquiry = Inquiry::new(evidence, ACCEPTED);
        assert!(matches!(inquiry.poll(), Step::Done), "{reserved}");
    }
    for ordinary in ["example.org", "mail.test", "local.example"] {
        let evidence = Evidence::new(name(ordinary), Profile::Basic, MessageFacts::at(ACCEPTED));
        let inquiry = Inquiry::new(evidence, ACCEPTED);
        assert!(matches!(inquiry.poll(), Step::Ask(_)), "{ordinary}");
    }
}
