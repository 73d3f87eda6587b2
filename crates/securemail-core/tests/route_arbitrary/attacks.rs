//! Attack-monotonicity (I5): nothing that somebody on the way can break, delay, strip, refuse, hide or
//! play again turns a decision that was no delivery into one.
//!
//! The attacker has no DNSSEC key and no certificate authority. What may be forged besides, and who gets
//! the message then, stands in `forged.rs`.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use securemail_core::backend::{CachedPolicy, FetchError, SessionOutcome};
use securemail_core::route::{
    AttemptEvidence, Decision, DeferClass, PeerFailure, Route, VaultReason,
};
use securemail_core::vocab::{
    Answer, LookupFailure, Mx, MxTarget, Outcome, RecordKind, Security, Tlsa, UnixTime,
};

use super::evidence::{
    Case, DOMAIN, HOSTS, PUBLIC, case, fetch_error, name, question, questions, unproved,
};
use super::invariants::{config, delivers};
use super::oracle::Sts;
use super::texts::ANNOUNCEMENTS;

/// What somebody on the way can do.
#[derive(Clone, Debug)]
enum Attack {
    /// A question is answered with an error, or not at all.
    BreakAnswer(Index, LookupFailure),
    /// Signatures are damaged: what was answered does not validate any more.
    MakeBogus(Index),
    /// The proof of a denial, or of an answer, is stripped.
    StripProof(Index),
    /// The other places cannot be asked.
    CutOffVantages,
    /// The unsigned announcement of a policy is denied.
    HideAnnouncement,
    /// An unsigned announcement of before, or none of anybody, is played again.
    ReplayAnnouncement(&'static [&'static str]),
    /// The policy host is not reached, or shows another certificate.
    BreakFetch(FetchError),
    /// A session with a host that was not tried yet is stripped of STARTTLS, refused, filled with false
    /// octets, broken, or answered with another certificate.
    BreakSession(Index, SessionOutcome),
    /// The same with one that was tried and proved nothing either.
    BreakOtherwise(Index, SessionOutcome),
}

fn attack() -> BoxedStrategy<Attack> {
    let failure = select(
        &[
            LookupFailure::Bogus,
            LookupFailure::Disagreement,
            LookupFailure::Malformed,
            LookupFailure::Refused,
            LookupFailure::ServFail,
            LookupFailure::Timeout,
        ][..],
    );
    // Who could show a certificate that proves the host and only lacks the domain is the host.
    let session = || {
        unproved().prop_filter("only the host", |outcome| {
            *outcome != SessionOutcome::NotAuthenticated(PeerFailure::NotNamed)
        })
    };
    prop_oneof![
        4 => (any::<Index>(), failure).prop_map(|(at, why)| Attack::BreakAnswer(at, why)),
        2 => any::<Index>().prop_map(Attack::MakeBogus),
        1 => any::<Index>().prop_map(Attack::StripProof),
        1 => Just(Attack::CutOffVantages),
        1 => Just(Attack::HideAnnouncement),
        1 => select(&ANNOUNCEMENTS[..]).prop_map(|(texts, _)| Attack::ReplayAnnouncement(texts)),
        1 => fetch_error().prop_map(Attack::BreakFetch),
        2 => (any::<Index>(), session()).prop_map(|(at, how)| Attack::BreakSession(at, how)),
        2 => (any::<Index>(), session()).prop_map(|(at, how)| Attack::BreakOtherwise(at, how)),
    ]
    .boxed()
}

impl Attack {
    fn on(&self, case: &mut Case) {
        match self {
            Self::BreakAnswer(at, why) => break_(case, *at, *why),
            Self::MakeBogus(at) => {
                let all = questions(case.evidence.port);
                let asked = case.evidence.dns.iter_mut();
                for asked in asked.filter(|asked| asked.question == *at.get(&all)) {
                    asked.answer.security = Security::Bogus;
                }
            }
            Self::StripProof(at) => break_(case, *at, LookupFailure::Malformed),
            Self::CutOffVantages => {
                let failed = Answer::failed(LookupFailure::Timeout, UnixTime::MAX);
                let seen = case.evidence.vantages.iter_mut();
                for view in seen.flat_map(|seen| &mut seen.views) {
                    view.answer = failed.clone();
                }
            }
            Self::HideAnnouncement => announce(case, Outcome::NxDomain),
            Self::ReplayAnnouncement(texts) => {
                case.evidence.sts.fetched = served(case);
                let texts = texts.iter().map(|text| (*text).to_owned());
                announce(case, Outcome::Txt(texts.collect()));
            }
            Self::BreakFetch(error) => {
                if case.evidence.sts.fetched.is_some() {
                    case.evidence.sts.fetched = Some(Err(error.clone()));
                }
            }
            Self::BreakSession(at, outcome) => {
                let hosts = case.before_ourselves();
                let untried = hosts.iter().filter(|host| case.session(host).is_none());
                let untried: Vec<String> = untried.cloned().collect();
                if untried.is_empty() {
                    return;
                }
                case.evidence.attempts.push(AttemptEvidence {
                    host: name(at.get::<String>(&untried)),
                    at: case.now.max(case.evidence.message.round_began),
                    outcome: outcome.clone(),
                    recipient: None,
                });
            }
            Self::BreakOtherwise(at, outcome) => {
                let mut unproved: Vec<_> = case
                    .evidence
                    .attempts
                    .iter_mut()
                    .filter(|attempt| !said_by_a_proved_peer(&attempt.outcome))
                    .collect();
                if unproved.is_empty() {
                    return;
                }
                at.get_mut(&mut unproved).outcome = outcome.clone();
            }
        }
    }
}

/// Breaks what was asked; what was not cannot be broken.
fn break_(case: &mut Case, at: Index, why: LookupFailure) {
    let mut asked = questions(case.evidence.port);
    asked.retain(|question| case.evidence.answer(question).is_some());
    if !asked.is_empty() {
        case.answer(at.get(&asked), &Answer::failed(why, UnixTime::MAX));
    }
}

/// What the policy host gives to whoever asks it once more: what is in force, from the same authenticated
/// host. Of a domain without one, nothing was fetched.
fn served(case: &Case) -> Option<Result<CachedPolicy, FetchError>> {
    match case.sts() {
        Sts::Policy(_) if is_kept(case, case.sts()) => case.evidence.sts.cached.clone().map(Ok),
        Sts::Policy(_) => case.evidence.sts.fetched.clone(),
        Sts::Nothing | Sts::Unknown => None,
    }
}

/// Whether this is what applies while the announcement cannot be had.
fn is_kept(case: &Case, sts: Sts) -> bool {
    let mut without = case.clone();
    let announcement = question(&format!("_mta-sts.{DOMAIN}"), RecordKind::Txt);
    without.answer(
        &announcement,
        &Answer::failed(LookupFailure::Timeout, UnixTime::MAX),
    );
    without.sts() == sts
}

/// Answers the question for an announcement without a signature, where it is not signed now.
fn announce(case: &mut Case, outcome: Outcome) {
    let question = question(&format!("_mta-sts.{DOMAIN}"), RecordKind::Txt);
    let is_signed = |answer: &Answer| answer.security == Security::Secure;
    if case
        .evidence
        .answer(&question)
        .is_none_or(|answer| !is_signed(answer))
    {
        case.answer(
            &question,
            &Answer::new(outcome, Security::Insecure, UnixTime::MAX),
        );
    }
}

/// What was said there cannot be changed by anybody on the way.
const fn said_by_a_proved_peer(outcome: &SessionOutcome) -> bool {
    match outcome {
        SessionOutcome::CalledOff
        | SessionOutcome::Completed
        | SessionOutcome::Incapable(_)
        // The peer that matched what is published was there, and only lacked the name of the domain.
        | SessionOutcome::NotAuthenticated(PeerFailure::NotNamed) => true,
        SessionOutcome::Injected
        | SessionOutcome::NoStartTls(_)
        | SessionOutcome::NotAuthenticated(_)
        | SessionOutcome::TlsFailed(_)
        | SessionOutcome::Unreachable(_) => false,
    }
}

/// Both addresses of a name stand in one zone, which is signed or not, and an alias stands alone (RFC 4035,
/// section 4.3; RFC 1034, section 3.6.2). Where a resolver says otherwise nobody can tell which family
/// an attack hides, so the premise of this file is that it does not.
fn in_one_zone(mut case: Case) -> Case {
    let all = questions(case.evidence.port);
    for v4 in all.iter().filter(|question| question.kind == RecordKind::A) {
        let v6 = question(v4.name.as_str(), RecordKind::Aaaa);
        let (Some(one), Some(other)) = (case.evidence.answer(v4), case.evidence.answer(&v6)) else {
            continue;
        };
        let mut other = other.clone();
        other.security = one.security;
        let is_alias = |outcome: &Outcome| matches!(outcome, Outcome::Alias(_));
        if is_alias(&one.outcome) || is_alias(&other.outcome) {
            other = one.clone();
        }
        case.answer(&v6, &other);
    }
    case
}

/// What the standards admit, since nothing on the side of the sender can see it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Admitted {
    /// RFC 8461, section 10.2: who hides a policy that is not kept yet, or a newer one than is kept,
    /// has the sender go on as before.
    PolicyOutOfSight,
}

fn admitted(before: &Case, after: &Case) -> Option<Admitted> {
    let is_out_of_sight = before.sts() != after.sts() && !is_kept(before, before.sts());
    // A cycle was waited for what could not be told, and now it is denied.
    let is_denied_now = before.sts() == Sts::Unknown && after.sts() == Sts::Nothing;
    (is_out_of_sight || is_denied_now).then_some(Admitted::PolicyOutOfSight)
}

/// The one host of the domain publishes a key, and the session with it ended without its proof; whatever
/// else is known stays.
fn publish_and_fail(case: &mut Case, outcome: SessionOutcome) {
    let host = HOSTS[0];
    let owner = format!("_{}._tcp.{host}", case.evidence.port);
    let list = Outcome::Mx(vec![Mx {
        preference: 10,
        target: MxTarget::Host(name(host)),
    }]);
    let address = || Outcome::Addresses(vec![PUBLIC[0].parse().unwrap()]);
    let record = Outcome::Tlsa(vec![Tlsa {
        usage: 3,
        selector: 1,
        matching: 1,
        data: vec![7; 32],
    }]);
    let answers = [
        (DOMAIN, RecordKind::Mx, list),
        (host, RecordKind::A, address()),
        (host, RecordKind::Aaaa, address()),
        (&owner, RecordKind::Tlsa, record),
    ];
    for (owner, kind, outcome) in answers {
        let answer = Answer::new(outcome, Security::Secure, UnixTime::MAX);
        case.answer(&question(owner, kind), &answer);
    }
    case.evidence.domain = name(DOMAIN);
    case.evidence.message.refusal = None;
    case.evidence.attempts = vec![AttemptEvidence {
        host: name(host),
        at: case.now.max(case.evidence.message.round_began),
        outcome,
        recipient: None,
    }];
}

fn attacked() -> BoxedStrategy<(Case, Case, Vec<Attack>)> {
    let attacks = prop::collection::vec(attack(), 1..4);
    let is_unmet = prop::bool::weighted(0.3);
    (case(), is_unmet, unproved(), attacks)
        .prop_map(|(case, is_unmet, outcome, attacks)| {
            let mut before = in_one_zone(case);
            if is_unmet {
                publish_and_fail(&mut before, outcome);
            }
            let mut after = before.clone();
            for attack in &attacks {
                attack.on(&mut after);
            }
            (before, after, attacks)
        })
        .boxed()
}

const fn is_suspicious(decision: &Decision) -> bool {
    matches!(
        decision.route,
        Route::Defer {
            class: DeferClass::Suspicious,
            ..
        }
    )
}

proptest! {
    #![proptest_config(config(800))]

    #[test]
    fn i5_no_attack_turns_a_decision_into_a_delivery((before, after, _attacks) in attacked()) {
        let (was, is) = (before.decide(), after.decide());
        if admitted(&before, &after).is_some() {
            return Ok(());
        }
        prop_assert!(delivers(&was) || !delivers(&is), "before: {was}\nafter: {is}");
    }

    #[test]
    fn i5_no_attack_adds_a_host_or_lowers_what_it_must_prove((before, after, _attacks) in attacked()) {
        let (was, is) = (before.decide(), after.decide());
        if admitted(&before, &after).is_some() {
            return Ok(());
        }
        let (Route::Deliver(was), Route::Deliver(is)) = (&was.route, &is.route) else {
            return Ok(());
        };
        for hop in is {
            let same = was.iter().find(|other| other.host == hop.host);
            prop_assert!(same.is_some(), "{} came", hop.host);
            let Some(same) = same else { continue };
            prop_assert_eq!(&hop.authenticate, &same.authenticate);
            prop_assert_eq!(&hop.sni, &same.sni);
            let lost = hop.authority < same.authority;
            prop_assert!(!lost || after.profile_is_met(hop), "{}", hop.host);
            prop_assert!(hop.must_name_domain || !same.must_name_domain);
        }
    }

    #[test]
    fn i5_no_attack_turns_what_is_suspicious_into_a_way_around_it(
        (before, after, _attacks) in attacked(),
    ) {
        let (was, is) = (before.decide(), after.decide());
        if !is_suspicious(&was) || was.wants_confirmation() {
            return Ok(());
        }
        if admitted(&before, &after).is_some() {
            return Ok(());
        }
        let consents = before.evidence.message.divert_on_downgrade;
        let is_due = before.age() >= before.settings.divert_after;
        let is_held = match &is.route {
            Route::Defer { .. } => true,
            // Who makes everything silent looks like a fault of the network, and that has a clock of its
            // own (class B; RFC 5321, section 4.5.4.1).
            Route::Vault { reason: VaultReason::Unreachable } => is_due,
            Route::Vault { reason: VaultReason::DowngradeConsented } => consents && is_due,
            Route::Bounce { .. } | Route::Deliver(_) | Route::Vault { .. } => false,
        };
        prop_assert!(is_held, "before: {was}\nafter: {is}");
    }

    #[test]
    fn i5_with_a_policy_out_of_sight_the_rest_must_still_be_proved(
        (before, after, _attacks) in attacked(),
    ) {
        let (was, is) = (before.decide(), after.decide());
        if admitted(&before, &after).is_none() {
            return Ok(());
        }
        let Route::Deliver(hops) = &is.route else { return Ok(()) };
        for hop in hops {
            prop_assert!(after.authority_is_there(hop) && after.proof_is_demanded(hop), "{is}");
            prop_assert!(after.profile_is_met(hop), "{is}");
        }
        // What was seen in force before is missed, and then unsigned lists that others see do not count.
        let missed = before.evidence.history.as_ref().and_then(|seen| seen.sts_enforced_until);
        let is_missed = missed.is_some_and(|until| until > after.now) && after.sts() == Sts::Nothing;
        let by_others = |hop: &securemail_core::route::Hop| {
            hop.authority == securemail_core::route::Authority::Corroborated
        };
        prop_assert!(!is_missed || !hops.iter().any(by_others), "before: {was}\nafter: {is}");
    }
}
