//! What is learnt, what is said, and which addresses and moments are allowed.

use std::time::Duration;

use securemail_core::backend::{
    CachedPolicy, DomainHistory, RecipientOutcome, SessionOutcome, Span, TransportPolicy,
    VantageView,
};
use securemail_core::route::{
    Asked, AttemptEvidence, Authority, Corroboration, Decision, DeferClass, Evidence, Matched,
    MessageFacts, Network, PeerFailure, PeerProof, PolicySettings, Remedy, Route, Rule,
    StandardPolicy, Strength, VaultReason, exit_code, is_public, learn,
};
use securemail_core::vocab::{
    Answer, DnsName, EnhancedStatus, Language, Mx, MxTarget, Outcome, Profile, Question,
    RecordKind, Reply, Security, Tlsa, UnixTime,
};

const NOW: UnixTime = UnixTime::from_secs(1_767_225_600);
const DAY: Duration = Duration::from_secs(86_400);

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

/// `example.org` with one host that has one address; all signed, nothing else published.
fn evidence() -> Evidence {
    let mut evidence = Evidence::new(
        name("example.org"),
        Profile::Standard,
        MessageFacts::at(NOW),
    );
    let mx = Mx {
        preference: 10,
        target: MxTarget::Host(name("mx1.example.org")),
    };
    let facts = [
        ("example.org", RecordKind::Mx, Outcome::Mx(vec![mx])),
        ("_mta-sts.example.org", RecordKind::Txt, Outcome::NxDomain),
        (
            "mx1.example.org",
            RecordKind::A,
            Outcome::Addresses(vec!["192.0.2.1".parse().unwrap()]),
        ),
        ("mx1.example.org", RecordKind::Aaaa, Outcome::NoData),
        (
            "_25._tcp.mx1.example.org",
            RecordKind::Tlsa,
            Outcome::NxDomain,
        ),
    ];
    for (owner, kind, outcome) in facts {
        let question = Question::new(name(owner), kind);
        evidence.dns.push(Asked {
            question,
            answer: answer(outcome, Security::Secure),
        });
    }
    evidence
}

fn answer(outcome: Outcome, security: Security) -> Answer {
    Answer::new(outcome, security, NOW.plus(Duration::from_secs(60)))
}

fn with_mx(outcome: Outcome, security: Security) -> Evidence {
    let mut evidence = evidence();
    evidence.dns[0].answer = answer(outcome, security);
    evidence
}

fn failed(evidence: &mut Evidence, outcome: SessionOutcome) {
    let host = name("mx1.example.org");
    evidence.attempts.push(AttemptEvidence {
        host,
        at: NOW,
        outcome,
        recipient: None,
    });
}

fn decide(evidence: &Evidence) -> Decision {
    StandardPolicy::default().decide(evidence, NOW)
}

fn proof(authority: Authority, strength: Strength) -> PeerProof {
    PeerProof {
        host: name("mx1.example.org"),
        leaf_sha256: [0; 32],
        strength,
        authority,
        matched: Matched::Root {
            subject: "CN=root".to_owned(),
        },
    }
}

#[test]
fn a_proof_is_remembered_at_its_best() {
    let evidence = evidence();
    let decision = decide(&evidence);
    let best = proof(Authority::Dnssec, Strength::Dane);
    let first = learn(None, &evidence, &decision, Some(&best), NOW);
    assert_eq!(first.mx_secure_at, Some(NOW));
    assert_eq!(first.mx_set, [name("mx1.example.org")]);
    assert_eq!(first.mx_set_since, Some(NOW));
    let less = proof(Authority::Unsigned, Strength::Pkix);
    let later = NOW.plus(Duration::from_secs(3600));
    let second = learn(Some(first), &evidence, &decision, Some(&less), later);
    let host = &second.hosts[0];
    assert_eq!(
        (host.authority, host.authentication, host.seen),
        (4, 3, later)
    );
    assert_eq!(second.mx_set_since, Some(NOW), "the same set is not new");
}

#[test]
fn what_is_seen_again_within_the_hour_changes_nothing() {
    let evidence = evidence();
    let decision = decide(&evidence);
    let proof = proof(Authority::Dnssec, Strength::Dane);
    let first = learn(None, &evidence, &decision, Some(&proof), NOW);
    let at = |secs| {
        let now = NOW.plus(Duration::from_secs(secs));
        learn(Some(first.clone()), &evidence, &decision, Some(&proof), now)
    };
    assert_eq!(at(3599), first, "no write for each message");
    let later = NOW.plus(Duration::from_secs(3600));
    assert_eq!(at(3600).mx_secure_at, Some(later));
    assert_eq!(
        (at(3600).hosts[0].seen, at(3600).hosts[0].best_at),
        (later, later)
    );
    // A time that a wrong clock wrote is put right.
    let earlier = NOW.minus(Duration::from_secs(60));
    let put_right = learn(Some(first), &evidence, &decision, Some(&proof), earlier);
    assert_eq!(put_right.mx_secure_at, Some(earlier));
}

#[test]
fn having_no_way_is_remembered_from_the_first_time_until_a_proof() {
    let mut evidence = evidence();
    failed(&mut evidence, SessionOutcome::NoStartTls(None));
    let decision = decide(&evidence);
    let first = learn(None, &evidence, &decision, None, NOW);
    let once = Span {
        since: NOW,
        last: NOW,
    };
    assert_eq!(first.no_path.get(&Profile::Standard), Some(&once));
    let later = NOW.plus(Duration::from_secs(900));
    let second = learn(Some(first), &evidence, &decision, None, later);
    let again = Span {
        since: NOW,
        last: later,
    };
    assert_eq!(second.no_path.get(&Profile::Standard), Some(&again));
    let proof = proof(Authority::Dnssec, Strength::Pkix);
    let third = learn(Some(second), &evidence, &decision, Some(&proof), later);
    assert!(third.no_path.is_empty());
}

#[test]
fn a_proof_for_a_lax_profile_is_no_way_for_a_strict_one() {
    let mut evidence = evidence();
    evidence.profile = Profile::DaneOnly;
    let decision = decide(&evidence);
    let first = learn(None, &evidence, &decision, None, NOW);
    assert!(first.no_path.contains_key(&Profile::DaneOnly));
    evidence.profile = Profile::Standard;
    let proof = proof(Authority::Dnssec, Strength::Pkix);
    let decision = decide(&evidence);
    let second = learn(Some(first), &evidence, &decision, Some(&proof), NOW);
    assert!(second.no_path.contains_key(&Profile::DaneOnly));
}

#[test]
fn what_was_seen_long_ago_confirms_nothing_and_begins_anew() {
    let absent = with_mx(Outcome::NxDomain, Security::Insecure);
    let first = learn(None, &absent, &decide(&absent), None, NOW);
    let later = NOW.plus(30 * DAY);
    let mut again = absent;
    again.history = Some(first.clone());
    again.message = MessageFacts::at(later);
    let decision = StandardPolicy::default().decide(&again, later);
    assert!(matches!(decision.route, Route::Defer { .. }), "{decision}");
    let second = learn(Some(first), &again, &decision, None, later);
    let anew = Span {
        since: later,
        last: later,
    };
    assert_eq!(second.absent, Some(anew));
    again.history = Some(second);
    let decision = StandardPolicy::default().decide(&again, later.plus(Duration::from_secs(600)));
    assert!(matches!(decision.route, Route::Bounce { .. }), "{decision}");
}

/// A list of mail servers that leads back to us is a denial, though it is a list.
#[test]
fn a_loop_is_confirmed_however_many_messages_meet_it() {
    let mut looped = with_mx(
        Outcome::Mx(vec![Mx {
            preference: 10,
            target: MxTarget::Host(name("relay.example")),
        }]),
        Security::Insecure,
    );
    let policy = StandardPolicy::new(PolicySettings {
        own_hosts: vec![name("relay.example")],
        ..PolicySettings::default()
    });
    for minute in 0..10 {
        let now = NOW.plus(Duration::from_secs(60 * minute));
        let decision = policy.decide(&looped, now);
        assert!(matches!(decision.route, Route::Defer { .. }), "{decision}");
        looped.history = Some(learn(looped.history.clone(), &looped, &decision, None, now));
    }
    let decision = policy.decide(&looped, NOW.plus(Duration::from_secs(600)));
    assert!(matches!(decision.route, Route::Bounce { .. }), "{decision}");
}

#[test]
fn a_host_that_gave_up_dane_is_forgiven_after_a_month_of_other_proofs() {
    let evidence = evidence();
    let decision = decide(&evidence);
    let dane = proof(Authority::Dnssec, Strength::Dane);
    let pkix = proof(Authority::Dnssec, Strength::Pkix);
    let first = learn(None, &evidence, &decision, Some(&dane), NOW);
    let soon = learn(
        Some(first),
        &evidence,
        &decision,
        Some(&pkix),
        NOW.plus(DAY),
    );
    assert_eq!(soon.hosts[0].authentication, 3);
    let later = NOW.plus(31 * DAY);
    let later = learn(Some(soon), &evidence, &decision, Some(&pkix), later);
    assert_eq!(later.hosts[0].authentication, 2);
}

#[test]
fn an_enforced_policy_is_missed_until_its_end_and_for_a_month_at_least() {
    for (days, counts) in [(365, 365), (1, 30)] {
        let mut evidence = evidence();
        evidence.dns[1].answer = answer(
            Outcome::Txt(vec!["v=STSv1; id=1;".to_owned()]),
            Security::Insecure,
        );
        evidence.sts.cached = Some(CachedPolicy {
            id: "1".to_owned(),
            body: "version: STSv1\nmode: enforce\nmax_age: 1\nmx: mx1.example.org\n".to_owned(),
            fetched: NOW,
            expires: NOW.plus(days * DAY),
        });
        let seen = learn(None, &evidence, &decide(&evidence), None, NOW);
        assert_eq!(seen.sts_enforced_until, Some(NOW.plus(counts * DAY)));
    }
}

#[test]
fn absence_without_proof_is_remembered_until_the_domain_is_seen() {
    let absent = with_mx(Outcome::NxDomain, Security::Insecure);
    let decision = decide(&absent);
    assert!(matches!(
        decision.route,
        Route::Defer {
            class: DeferClass::UnprovedDenial,
            ..
        }
    ));
    let first = learn(None, &absent, &decision, None, NOW);
    assert_eq!(first.absent.map(|absent| absent.since), Some(NOW));
    let seen = evidence();
    let second = learn(Some(first), &seen, &decide(&seen), None, NOW);
    assert_eq!(second.absent, None);
}

#[test]
fn a_failed_lookup_teaches_nothing() {
    let known = DomainHistory {
        mx_secure_at: Some(NOW),
        sts_enforced_until: Some(NOW),
        absent: Some(Span {
            since: NOW,
            last: NOW,
        }),
        ..DomainHistory::default()
    };
    let failing = with_mx(Outcome::NxDomain, Security::Bogus);
    let after = learn(Some(known.clone()), &failing, &decide(&failing), None, NOW);
    assert_eq!(after, known);
}

#[test]
fn a_fault_of_our_own_is_a_decision_with_its_reason() {
    let later = NOW.plus(Duration::from_secs(300));
    let decision = Decision::own_fault(&name("example.org"), NOW, later);
    assert_eq!(decision.findings.len(), 1);
    assert_eq!(decision.findings[0].rule, Rule::F01);
    assert_eq!(exit_code(&decision), 3);
    assert_eq!(
        decision.sentence(),
        "Mail for example.org is held until Thursday 1 January 2026 00:05 UTC, because something \
         on our own side is wrong."
    );
}

#[test]
fn the_first_sentence_says_where_and_why() {
    let sentence = decide(&evidence()).sentence();
    assert_eq!(
        sentence,
        "Mail for example.org goes directly to mx1.example.org over an encrypted connection, \
         because the list of mail servers is signed and its certificate will be checked against \
         trusted roots and its name."
    );
    let gone = decide(&with_mx(Outcome::NxDomain, Security::Secure));
    assert_eq!(
        gone.sentence(),
        "Mail for example.org goes back to its sender (5.1.2). The domain does not exist, and the \
         DNS proves it."
    );
}

#[test]
fn the_explanation_lists_each_finding_and_advises_the_owner() {
    let mut evidence = evidence();
    failed(
        &mut evidence,
        SessionOutcome::NotAuthenticated(PeerFailure::Expired),
    );
    let text = decide(&evidence).to_string();
    assert!(text.starts_with(
        "Mail for example.org is held until Thursday 1 January 2026 00:15 UTC, because"
    ));
    assert!(text.contains("[MX-01; RFC 7672, section 2.2.1]"), "{text}");
    assert!(
        text.contains("- mx1.example.org: The certificate has expired"),
        "{text}"
    );
    assert!(
        text.contains("What the owner of example.org can do:"),
        "{text}"
    );
    assert!(
        text.contains("- give mx1.example.org a valid certificate"),
        "{text}"
    );
    let direct = decide(&crate::evidence());
    assert!(direct.remedies().is_empty());
    assert!(!direct.to_string().contains("the owner"));
}

/// What is said of a message that waited as long as it may.
fn said_after_four_hours(evidence: &Evidence) -> [String; 2] {
    let end = NOW.plus(Duration::from_secs(4 * 3600));
    let mut evidence = evidence.clone();
    evidence.message.round_began = end;
    for attempt in &mut evidence.attempts {
        attempt.at = end;
    }
    let decision = StandardPolicy::default().decide(&evidence, end);
    let reason = VaultReason::Unreachable;
    assert_eq!(decision.route, Route::Vault { reason }, "{decision}");
    [Language::English, Language::Dutch].map(|language| decision.summary().sentence(language))
}

#[test]
fn only_silence_is_told_as_not_to_be_reached() {
    let mut silent = evidence();
    let why = || "refused".to_owned();
    failed(&mut silent, SessionOutcome::Unreachable(why()));
    let [english, dutch] = said_after_four_hours(&silent);
    assert!(
        english.contains("could not be reached for too long"),
        "{english}"
    );
    assert!(dutch.contains("te lang niet te bereiken"), "{dutch}");

    // It was proved, and asks to come again later.
    let mut later = evidence();
    failed(&mut later, SessionOutcome::Completed);
    later.attempts[0].recipient = Some(RecipientOutcome::Deferred(Reply::new(451, None, "later")));
    let [english, dutch] = said_after_four_hours(&later);
    assert!(english.contains("asks us to try again later"), "{english}");
    assert!(dutch.contains("later opnieuw te proberen"), "{dutch}");
    assert!(!english.contains("reached") && !dutch.contains("bereiken"));

    // It was proved, and other places see other mail servers.
    let mut other = with_mx(evidence().dns[0].answer.outcome.clone(), Security::Insecure);
    other.dns[0].question.name = name("example.org");
    other.vantages.push(Corroboration {
        question: other.dns[0].question.clone(),
        views: vec![VantageView {
            vantage: "elsewhere".to_owned(),
            answer: answer(Outcome::NxDomain, Security::Insecure),
        }],
    });
    failed(
        &mut other,
        SessionOutcome::NotAuthenticated(PeerFailure::NotNamed),
    );
    let [english, dutch] = said_after_four_hours(&other);
    assert!(
        english.contains("do not see the same mail servers"),
        "{english}"
    );
    assert!(dutch.contains("niet dezelfde mailservers zien"), "{dutch}");
}

#[test]
fn what_no_domain_published_is_not_told_as_published() {
    let mut evidence = evidence();
    failed(&mut evidence, SessionOutcome::Injected);
    let decision = decide(&evidence);
    let sentence = decision.sentence();
    assert!(
        sentence.contains("somebody on the way answers"),
        "{sentence}"
    );
    assert!(!decision.to_string().contains("publishes what was not met"));
    let sentence = decision.summary().sentence(Language::Dutch);
    assert!(sentence.contains("iemand onderweg"), "{sentence}");
}

#[test]
fn a_host_under_an_issuer_s_tlsa_record_is_not_advised_to_publish_one() {
    let mut evidence = evidence();
    let record = Tlsa {
        usage: 2,
        selector: 1,
        matching: 1,
        data: vec![7; 32],
    };
    evidence.dns[4].answer = answer(Outcome::Tlsa(vec![record]), Security::Secure);
    failed(
        &mut evidence,
        SessionOutcome::NotAuthenticated(PeerFailure::Expired),
    );
    let remedies = decide(&evidence).remedies();
    let host = name("mx1.example.org");
    assert_eq!(remedies, [Remedy::CertificateUnderTlsa(host)]);
}

#[test]
fn each_route_has_its_exit_code() {
    let rule = Rule::Mx07;
    let status = EnhancedStatus::new(5, 1, 2);
    let held = |class| Route::Defer {
        class,
        not_before: NOW,
    };
    for (route, code) in [
        (Route::Deliver(Vec::new()), 0),
        (
            Route::Vault {
                reason: VaultReason::NoSecurePath,
            },
            10,
        ),
        (held(DeferClass::NoPath), 10),
        (Route::Bounce { status, rule }, 20),
        (held(DeferClass::Suspicious), 30),
        (held(DeferClass::Transient), 30),
        (held(DeferClass::UnprovedDenial), 30),
        (held(DeferClass::Unconfirmed), 30),
        (held(DeferClass::OwnFault), 3),
    ] {
        let decision = Decision {
            route,
            ..decide(&evidence())
        };
        assert_eq!(exit_code(&decision), code, "{}", decision.sentence());
    }
}

#[test]
fn rules_have_unique_ids_and_say_something() {
    let mut ids: Vec<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), Rule::ALL.len());
    for rule in Rule::ALL {
        assert!(
            rule.text().ends_with('.') && !rule.spec().is_empty(),
            "{rule}"
        );
        assert_eq!(serde_json::to_string(rule).unwrap(), format!("\"{rule}\""));
    }
}

#[test]
fn retries_grow_and_never_pass_the_end() {
    let mut evidence = evidence();
    evidence.message.vault_possible = false;
    failed(
        &mut evidence,
        SessionOutcome::Unreachable("refused".to_owned()),
    );
    let end = NOW.plus(PolicySettings::default().hold_for);
    let (mut now, mut waits) = (NOW, Vec::new());
    while now < end {
        evidence.attempts[0].at = now;
        evidence.message.round_began = now;
        let decision = StandardPolicy::default().decide(&evidence, now);
        let Route::Defer {
            class: DeferClass::Transient,
            not_before,
        } = decision.route
        else {
            panic!("{decision}");
        };
        waits.push(not_before.since(now).as_secs());
        now = not_before;
    }
    assert_eq!(now, end, "the last try is at the end");
    assert!((450..600).contains(&waits[0]), "{waits:?}");
    assert!(
        waits.len() < 30 && waits.iter().all(|wait| *wait <= 10 * 3600),
        "{waits:?}"
    );
    let last = StandardPolicy::default().decide(&evidence, end);
    assert!(
        matches!(
            last.route,
            Route::Bounce {
                rule: Rule::G10,
                ..
            }
        ),
        "{last}"
    );
}

#[test]
fn a_refusal_counts_only_if_it_is_one() {
    let mut evidence = evidence();
    evidence.attempts.push(AttemptEvidence {
        host: name("mx1.example.org"),
        at: NOW,
        outcome: SessionOutcome::Completed,
        recipient: Some(RecipientOutcome::Refused(Reply::new(450, None, "later"))),
    });
    assert!(
        matches!(decide(&evidence).route, Route::Defer { .. }),
        "450 is no refusal"
    );
}

#[test]
fn addresses_that_are_not_public_are_known() {
    for address in [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "2001::1",
        "64:ff9b::10.0.0.1",
        "2002:7f00:1::",
    ] {
        assert!(!is_public(address.parse().unwrap()), "{address}");
    }
    for address in [
        "9.9.9.9",
        "172.32.0.1",
        "2620:fe::9",
        "::ffff:9.9.9.9",
        "64:ff9b::9.9.9.9",
    ] {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn networks_are_read_and_compared_by_prefix() {
    let network: Network = "127.0.0.0/8".parse().unwrap();
    assert!(network.contains("127.1.2.3".parse().unwrap()));
    assert!(!network.contains("128.0.0.1".parse().unwrap()));
    assert!(!network.contains("::1".parse().unwrap()));
    let all: Network = "::/0".parse().unwrap();
    assert!(all.contains("2001:db8::1".parse().unwrap()));
    let one: Network = "10.0.0.1/32".parse().unwrap();
    assert!(one.contains("10.0.0.1".parse().unwrap()));
    assert!(!one.contains("10.0.0.2".parse().unwrap()));
    assert_eq!(serde_json::to_string(&one).unwrap(), "\"10.0.0.1/32\"");
    let single: Network = "10.0.0.1".parse().unwrap();
    assert_eq!(single, one);
    let other: Network = "2001:db8::1".parse().unwrap();
    assert!(!other.contains("2001:db8::2".parse().unwrap()));
    assert!(network.contains("::ffff:127.1.2.3".parse().unwrap()));
    for wrong in [
        "10.0.0.0/33",
        "10.0.0/8",
        "127.0.0.0/-1",
        "example",
        "::/129",
        "x/8",
        "10.0.0.0/",
        "",
    ] {
        assert!(wrong.parse::<Network>().is_err(), "{wrong}");
    }
}

#[test]
fn a_demand_for_requiretls_is_explained_with_what_would_fulfil_it() {
    let decide = |after: Duration| {
        let mut unsigned = evidence();
        unsigned.message.require_tls = true;
        for asked in &mut unsigned.dns {
            asked.answer.security = Security::Insecure;
        }
        let first = StandardPolicy::default().decide(&unsigned, NOW);
        unsigned.history = Some(learn(None, &unsigned, &first, None, NOW));
        StandardPolicy::default().decide(&unsigned, NOW.plus(after))
    };
    let held = decide(Duration::ZERO);
    assert_eq!(exit_code(&held), 20, "as once it is confirmed");
    let held = held.sentence();
    assert!(
        held.contains("REQUIRETLS") && held.contains("goes back"),
        "{held}"
    );
    assert!(!held.contains("vault"), "{held}");
    let over = decide(Duration::from_secs(900));
    assert!(over.sentence().contains("(5.7.30)"), "{over}");
    let enforced = Remedy::SignedOrEnforced(name("example.org"));
    let remedies = over.remedies();
    assert!(remedies.contains(&enforced), "{remedies:?}");
}
