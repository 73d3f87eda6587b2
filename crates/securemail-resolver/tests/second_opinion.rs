//! Two validators: what they do not agree on is a failure.

mod common;

use common::{
    Form, agreed, ask, build, form, impatient, nowhere, question, resolver, settings, tlsa, zones,
};
use securemail_core::backend::Resolver as _;
use securemail_core::vocab::{LookupFailure, Outcome, RecordKind, Security};
use securemail_resolver::BuildError;
use securemail_testkit::dns::{Fault, SignedDns, ZoneSpec};

#[tokio::test]
async fn two_validators_answer_every_zone_as_one_does() {
    let dns = zones().start().await.unwrap();
    common::check_cases(&agreed(&dns)).await;
}

#[tokio::test]
async fn an_answer_says_how_many_validators_agree() {
    let dns = zones().start().await.unwrap();
    let (one, two) = (resolver(&dns), agreed(&dns));
    for host in ["mx.good.test", "none.good.test", "mx.plain.test"] {
        assert_eq!(tlsa(&one, host).await.validators, 1, "{host}");
        assert_eq!(tlsa(&two, host).await.validators, 2, "{host}");
    }
}

#[tokio::test]
async fn a_denial_that_only_one_proves_is_no_denial() {
    let dns = zones().start().await.unwrap();
    // The first is deceived about nothing; the second sees records where the first saw none, and the other way round.
    dns.inject(Fault::ValidatorDenies {
        name: "_25._tcp.mx.good.test".into(),
        kind: "TLSA".into(),
    });
    let answer = tlsa(&agreed(&dns), "mx.good.test").await;
    assert_eq!(answer.outcome, Outcome::Failed(LookupFailure::Disagreement));

    dns.inject(Fault::ForgeDenial {
        name: "_25._tcp.mx.plain.test".into(),
        kind: "TLSA".into(),
        soa: Some("plain.test".into()),
    });
    let answer = tlsa(&agreed(&dns), "mx.plain.test").await;
    assert_eq!(answer.outcome, Outcome::Failed(LookupFailure::Disagreement));
}

#[tokio::test]
async fn a_second_validator_that_is_down_holds_everything() {
    let dns = zones().start().await.unwrap();
    dns.inject(Fault::ValidatorSilent);
    let mut settings = impatient(&dns);
    let resolvers = [dns.validator_addr(), nowhere()].map(|second| {
        settings.second_opinion = vec![second];
        build(&settings)
    });
    for resolver in resolvers {
        for host in ["none.good.test", "mx.good.test", "mx.plain.test"] {
            let answer = tlsa(&resolver, host).await;
            assert_eq!(
                answer.outcome,
                Outcome::Failed(LookupFailure::Unusable),
                "{host}"
            );
        }
    }
}

/// What it cannot find out it does not call forged: its way to the name servers may be slow.
#[tokio::test]
async fn a_second_validator_that_reaches_nobody_disagrees_with_nobody() {
    let fault = Fault::Code {
        name: "good.test".into(),
        code: 2,
    };
    let failure = with_second(fault).await;
    assert_eq!(failure, Outcome::Failed(LookupFailure::ServFail));
}

#[tokio::test]
async fn a_second_validator_that_answers_only_unchecked_disagrees() {
    let fault = Fault::ValidatorRefutes {
        name: "good.test".into(),
    };
    let failure = with_second(fault).await;
    assert_eq!(failure, Outcome::Failed(LookupFailure::Disagreement));
}

/// What is said of `good.test` where the second validator asks elsewhere, and this goes wrong there.
async fn with_second(fault: Fault) -> Outcome {
    let dns = zones().start().await.unwrap();
    let mut settings = settings(&dns);
    let other = zones().start().await.unwrap();
    other.inject(fault);
    settings.second_opinion = vec![other.validator_addr()];
    let answer = ask(&build(&settings), "good.test", RecordKind::Mx).await;
    answer.outcome
}

#[tokio::test]
async fn a_null_mx_does_not_agree_with_mail_servers() {
    let (dns, other) = (
        zones().start().await.unwrap(),
        zones().start().await.unwrap(),
    );
    let mut settings = settings(&dns);
    settings.second_opinion = vec![other.validator_addr()];
    let resolver = build(&settings);
    let plain = question("plain.test", RecordKind::Mx);
    assert!(matches!(
        resolver.resolve_anew(&plain).await.outcome,
        Outcome::Mx(_)
    ));
    for forged in [&dns, &other] {
        forged.replace("plain.test. MX 0 .").unwrap();
        let answer = resolver.resolve_anew(&plain).await;
        assert_eq!(answer.outcome, Outcome::Failed(LookupFailure::Disagreement));
        forged.replace("plain.test. MX 10 mx.plain.test.").unwrap();
    }
}

#[tokio::test]
async fn a_validator_that_does_not_validate_disagrees() {
    let dns = zones().start().await.unwrap();
    let mut settings = settings(&dns);
    settings.second_opinion = vec![dns.addr()];
    let resolver = build(&settings);
    for host in ["mx.good.test", "none.good.test"] {
        let answer = tlsa(&resolver, host).await;
        assert_eq!(
            answer.outcome,
            Outcome::Failed(LookupFailure::Disagreement),
            "{host}"
        );
    }
}

#[tokio::test]
async fn a_second_validator_elsewhere_is_refused() {
    let dns = zones().start().await.unwrap();
    let mut settings = settings(&dns);
    settings.second_opinion = vec![dns.validator_addr(), ([9, 9, 9, 9], 53).into()];
    let refused = securemail_resolver::HickoryResolver::new(
        &settings,
        std::sync::Arc::new(common::SystemClock),
    );
    assert!(matches!(refused, Err(BuildError::RemoteValidator(_))));
}

/// The wildcard of an NSEC zone, which hickory's validator does not accept.
fn wildcards() -> SignedDns {
    SignedDns::new()
        .zone(ZoneSpec::signed("w.test"))
        .record("*.wild.w.test. TLSA 3 1 1 0909")
        .record("*.w.test. MX 10 mx.w.test.")
        .cname("*.alias.w.test", "mx.w.test")
}

#[tokio::test]
async fn wildcards_of_nsec_zones_need_the_second_validator() {
    let dns = wildcards().start().await.unwrap();
    let (one, two) = (resolver(&dns), agreed(&dns));
    let cases = [
        ("_25.wild.w.test", RecordKind::Tlsa, Form::Records),
        ("shop.w.test", RecordKind::Mx, Form::Records),
        ("host.alias.w.test", RecordKind::A, Form::Alias),
    ];
    for (name, kind, expected) in cases {
        let agreed = ask(&two, name, kind).await;
        assert_eq!(
            (form(&agreed), agreed.security),
            (expected, Security::Secure),
            "{name}: {agreed:?}"
        );
        let alone = ask(&one, name, kind).await;
        assert_eq!(
            alone.outcome,
            Outcome::Failed(LookupFailure::Bogus),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_wildcard_needs_a_second_validator_that_saw_the_same_records() {
    let dns = wildcards().start().await.unwrap();
    let other = wildcards().start().await.unwrap();
    other.replace("*.wild.w.test. TLSA 3 1 1 0a0a").unwrap();
    let mut settings = settings(&dns);
    for blind in [other.validator_addr(), dns.addr()] {
        settings.second_opinion = vec![blind];
        let answer = ask(&build(&settings), "_25.wild.w.test", RecordKind::Tlsa).await;
        assert_eq!(answer.outcome, Outcome::Failed(LookupFailure::Disagreement));
    }
    settings.second_opinion = vec![nowhere()];
    let answer = ask(&build(&settings), "_25.wild.w.test", RecordKind::Tlsa).await;
    assert_eq!(answer.outcome, Outcome::Failed(LookupFailure::Unusable));
}
