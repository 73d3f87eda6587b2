//! What the properties found, case by case.

use std::time::Duration;

use securemail_core::backend::{CachedPolicy, RecipientOutcome, SessionOutcome};
use securemail_core::route::{
    AttemptEvidence, Evidence, MessageFacts, PolicySettings, Route, Rule,
};
use securemail_core::vocab::{
    Answer, Mx, MxTarget, Outcome, Profile, RecordKind, Reply, Security, UnixTime,
};

use super::evidence::{ACCEPTED, Case, DOMAIN, HOSTS, name, question};
use super::invariants::{delivers, hops};

/// One host, signed list and addresses, no records, no policy.
fn signed() -> Case {
    let mut case = Case {
        evidence: Evidence::new(name(DOMAIN), Profile::Standard, MessageFacts::at(ACCEPTED)),
        settings: PolicySettings::default(),
        now: ACCEPTED.plus(Duration::from_secs(60)),
    };
    let list = Outcome::Mx(vec![Mx {
        preference: 10,
        target: MxTarget::Host(name(HOSTS[0])),
    }]);
    let address = Outcome::Addresses(vec!["192.0.2.1".parse().unwrap()]);
    let answers = [
        (DOMAIN.to_owned(), RecordKind::Mx, list),
        (HOSTS[0].to_owned(), RecordKind::A, address),
        (HOSTS[0].to_owned(), RecordKind::Aaaa, Outcome::NoData),
        (
            format!("_25._tcp.{}", HOSTS[0]),
            RecordKind::Tlsa,
            Outcome::NxDomain,
        ),
    ];
    for (owner, kind, outcome) in answers {
        let answer = Answer::new(outcome, Security::Secure, UnixTime::MAX);
        case.answer(&question(&owner, kind), &answer);
    }
    case
}

#[test]
fn a_refusal_beside_a_session_that_proved_nothing_is_nobodys() {
    let mut case = signed();
    let refused = |outcome| AttemptEvidence {
        host: name(HOSTS[0]),
        at: case.now,
        outcome,
        recipient: Some(RecipientOutcome::Refused(Reply::new(
            550,
            None,
            "no such user",
        ))),
    };
    let (stripped, proved) = (
        refused(SessionOutcome::NoStartTls(None)),
        refused(SessionOutcome::Completed),
    );
    case.evidence.attempts = vec![stripped];
    let decision = case.decide();
    assert!(matches!(decision.route, Route::Defer { .. }), "{decision}");
    case.evidence.attempts = vec![proved];
    let decision = case.decide();
    let is_refused = matches!(
        decision.route,
        Route::Bounce {
            rule: Rule::R03,
            ..
        }
    );
    assert!(is_refused, "{decision}");
}

#[test]
fn a_policy_in_force_applies_though_its_announcement_was_never_asked_for() {
    let mut case = signed();
    let policy = |host: &str| CachedPolicy {
        id: "1".to_owned(),
        body: format!("version: STSv1\nmode: enforce\nmx: {host}\nmax_age: 86400\n"),
        fetched: ACCEPTED,
        expires: ACCEPTED.plus(Duration::from_secs(86_400)),
    };
    case.evidence.sts.cached = Some(policy("other.example"));
    let decision = case.decide();
    assert!(!delivers(&decision), "{decision}");
    let fired = |rule| decision.findings.iter().any(|finding| finding.rule == rule);
    assert!(fired(Rule::P03) && fired(Rule::X09), "{decision}");
    case.evidence.sts.cached = Some(policy(HOSTS[0]));
    assert_eq!(hops(&case.decide()).len(), 1);
    // The same where another policy is announced and was not fetched.
    let announced = Outcome::Txt(vec!["v=STSv1; id=2".to_owned()]);
    let answer = Answer::new(announced, Security::Secure, UnixTime::MAX);
    let owner = question(&format!("_mta-sts.{DOMAIN}"), RecordKind::Txt);
    case.answer(&owner, &answer);
    case.evidence.sts.cached = Some(policy("other.example"));
    let decision = case.decide();
    assert!(!delivers(&decision), "{decision}");
}
