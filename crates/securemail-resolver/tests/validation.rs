//! What is proved, what is not, and that the traps of the validator beneath are closed.

mod common;

use std::time::Duration;

use common::{
    Form, ask, build, form, impatient, nowhere, question, resolver, settings, tlsa, zones,
};
use securemail_core::backend::Resolver as _;
use securemail_core::vocab::{LookupFailure, Outcome, RecordKind, Security};
use securemail_testkit::dns::{Fault, SignedDns, ZoneSpec};

#[tokio::test]
async fn every_zone_is_answered_as_it_must_be() {
    let dns = zones().start().await.unwrap();
    common::check_cases(&resolver(&dns)).await;
}

#[tokio::test]
async fn an_unsigned_alias_does_not_look_signed_once_its_target_is_known() {
    let dns = zones().start().await.unwrap();
    let resolver = resolver(&dns);
    let target = tlsa(&resolver, "mx.good.test").await;
    assert_eq!(target.security, Security::Secure);
    for _ in 0..2 {
        let alias = tlsa(&resolver, "back.plain.test").await;
        assert_eq!(
            (form(&alias), alias.security),
            (Form::Alias, Security::Insecure)
        );
    }
}

#[tokio::test]
async fn an_answer_ends_with_its_signature_and_not_with_its_ttl() {
    let dns = SignedDns::new()
        .zone(ZoneSpec::signed("soon.test").expiring_in(8))
        .record("soon.test. 86400 MX 10 mx.soon.test.")
        .start()
        .await
        .unwrap();
    let resolver = resolver(&dns);
    let fresh = ask(&resolver, "soon.test", RecordKind::Mx).await;
    let denied = ask(&resolver, "none.soon.test", RecordKind::Mx).await;
    assert_eq!(
        (fresh.security, denied.security),
        (Security::Secure, Security::Secure)
    );
    let ended = fresh.expires.max(denied.expires).since(common_now());
    assert!(ended <= Duration::from_secs(8), "{ended:?}");
    tokio::time::sleep(ended + Duration::from_secs(2)).await;
    for (name, answer) in [("soon.test", fresh), ("none.soon.test", denied)] {
        assert!(answer.expires < common_now(), "{answer:?}");
        let stale = ask(&resolver, name, RecordKind::Mx).await;
        assert_eq!(
            stale.outcome,
            Outcome::Failed(LookupFailure::Bogus),
            "{name}"
        );
    }
}

fn common_now() -> securemail_core::vocab::UnixTime {
    use securemail_core::backend::Clock as _;
    common::SystemClock.now()
}

#[tokio::test]
async fn denials_are_kept_as_answers_are() {
    let dns = zones().start().await.unwrap();
    let resolver = resolver(&dns);
    for _ in 0..5 {
        let denial = tlsa(&resolver, "none.good.test").await;
        assert_eq!(denial.security, Security::Secure);
    }
    assert_eq!(dns.queries("_25._tcp.none.good.test", "TLSA"), 1);
}

#[tokio::test]
async fn a_wrong_anchor_proves_nothing() {
    let (dns, other) = (
        zones().start().await.unwrap(),
        zones().start().await.unwrap(),
    );
    let mut settings = settings(&dns);
    settings.trust_anchor = Some(other.anchor().to_owned());
    for anchor in [Some(other.anchor().to_owned()), None] {
        settings.trust_anchor = anchor;
        let resolver = build(&settings);
        for name in ["good.test", "plain.test"] {
            let answer = ask(&resolver, name, RecordKind::Mx).await;
            assert_eq!(
                answer.outcome,
                Outcome::Failed(LookupFailure::Bogus),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn keys_that_do_not_come_are_not_called_a_forgery() {
    let dns = zones().start().await.unwrap();
    let resolver = build(&impatient(&dns));
    dns.inject(Fault::SilentFor {
        kind: "DNSKEY".into(),
    });
    let answer = tlsa(&resolver, "mx.good.test").await;
    assert_eq!(answer.outcome, Outcome::Failed(LookupFailure::Timeout));
    // Nothing of it is remembered beyond the few seconds that a failure is kept.
    dns.heal();
    let other = tlsa(&resolver, "alias.good.test").await;
    assert_eq!(other.security, Security::Secure);
}

#[tokio::test]
async fn a_key_or_digest_lost_once_is_asked_for_again() {
    for kind in ["DNSKEY", "DS"] {
        let dns = zones().start().await.unwrap();
        let resolver = build(&impatient(&dns));
        dns.inject(Fault::SilentFor { kind: kind.into() });
        let (answer, ()) = tokio::join!(tlsa(&resolver, "mx.good.test"), async {
            let zones = [".", "test", "good.test"];
            while zones.iter().all(|zone| dns.queries(zone, kind) == 0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            dns.heal();
        });
        assert_eq!(answer.security, Security::Secure, "{kind}: {answer:?}");
    }
}

#[tokio::test]
async fn failures_of_the_server_are_failures_and_never_absence() {
    let dns = zones().start().await.unwrap();
    let resolver = resolver(&dns);
    let cases = [
        (1, LookupFailure::FormErr),
        (2, LookupFailure::ServFail),
        (4, LookupFailure::NotImp),
        (5, LookupFailure::Refused),
        (9, LookupFailure::Malformed),
    ];
    for (code, failure) in cases {
        for zone in ["good", "plain"] {
            let name = format!("code{code}.{zone}.test");
            dns.inject(Fault::Code {
                name: name.clone(),
                code,
            });
            let answer = ask(&resolver, &name, RecordKind::Mx).await;
            assert_eq!(answer.outcome, Outcome::Failed(failure), "{name}");
        }
    }
}

#[tokio::test]
async fn silence_is_a_timeout_within_the_deadline() {
    let dns = zones().start().await.unwrap();
    dns.inject(Fault::Silent);
    let mut settings = settings(&dns);
    settings.deadline = Duration::from_millis(300);
    let resolver = build(&settings);
    let begun = tokio::time::Instant::now();
    let answer = ask(&resolver, "good.test", RecordKind::Mx).await;
    assert_eq!(answer.outcome, Outcome::Failed(LookupFailure::Timeout));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn no_server_at_all_is_our_own_fault() {
    let dns = zones().start().await.unwrap();
    let mut settings = settings(&dns);
    settings.servers = vec![nowhere()];
    let answer = ask(&build(&settings), "good.test", RecordKind::Mx).await;
    assert_eq!(answer.outcome, Outcome::Failed(LookupFailure::Unusable));
}

#[tokio::test]
async fn the_next_server_is_asked_where_the_first_is_down() {
    let dns = zones().start().await.unwrap();
    let mut settings = settings(&dns);
    settings.servers = vec![nowhere(), dns.addr()];
    let answer = ask(&build(&settings), "good.test", RecordKind::Mx).await;
    assert_eq!(answer.security, Security::Secure);
}

#[tokio::test]
async fn an_answer_cut_off_is_asked_for_over_tcp() {
    let dns = zones().start().await.unwrap();
    dns.inject(Fault::Truncate);
    let answer = tlsa(&resolver(&dns), "mx.good.test").await;
    assert_eq!(
        (form(&answer), answer.security),
        (Form::Records, Security::Secure)
    );
}

#[tokio::test]
async fn records_stripped_of_signatures_are_bogus() {
    let dns = zones().start().await.unwrap();
    dns.inject(Fault::StripDnssec);
    let resolver = resolver(&dns);
    for name in ["good.test", "plain.test", "none.test"] {
        let answer = ask(&resolver, name, RecordKind::Mx).await;
        assert_eq!(
            answer.outcome,
            Outcome::Failed(LookupFailure::Bogus),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_forged_denial_is_never_taken_for_one() {
    let dns = zones().start().await.unwrap();
    let name = "_25._tcp.mx.good.test";
    // Without any proof, with the zone itself, with a zone that really is unsigned, and with one made up.
    let zones = [
        None,
        Some("good.test"),
        Some("plain.test"),
        Some("mx.good.test"),
        Some("."),
    ];
    for soa in zones {
        dns.heal();
        dns.inject(Fault::ForgeDenial {
            name: name.into(),
            kind: "TLSA".into(),
            soa: soa.map(Into::into),
        });
        let answer = tlsa(&resolver(&dns), "mx.good.test").await;
        assert!(
            matches!(
                answer.outcome,
                Outcome::Failed(LookupFailure::Bogus | LookupFailure::Disagreement)
            ),
            "{soa:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn anchors_may_be_digests() {
    let dns = zones().start().await.unwrap();
    let mut settings = settings(&dns);
    settings.trust_anchor = Some(dns.anchor_ds().to_owned());
    let resolver = build(&settings);
    let answer = tlsa(&resolver, "mx.good.test").await;
    assert_eq!(answer.security, Security::Secure);
    let bogus = tlsa(&resolver, "mx.bogus.test").await;
    assert_eq!(bogus.security, Security::Bogus);
}

#[tokio::test]
async fn digests_that_name_no_key_are_our_own_fault_until_the_keys_come() {
    let (dns, other) = (
        zones().start().await.unwrap(),
        zones().start().await.unwrap(),
    );
    let mut settings = impatient(&dns);
    settings.trust_anchor = Some(other.anchor_ds().to_owned());
    let answer = ask(&build(&settings), "good.test", RecordKind::Mx).await;
    assert_eq!(answer.outcome, Outcome::Failed(LookupFailure::Unusable));
    settings.trust_anchor = Some(dns.anchor_ds().to_owned());
    let resolver = build(&settings);
    dns.inject(Fault::Silent);
    let answer = ask(&resolver, "good.test", RecordKind::Mx).await;
    assert_eq!(answer.outcome, Outcome::Failed(LookupFailure::Timeout));
    dns.heal();
    let answer = tlsa(&resolver, "mx.good.test").await;
    assert_eq!(answer.security, Security::Secure);
}

#[tokio::test]
async fn too_many_tlsa_records_are_malformed() {
    let mut zones = zones();
    for n in 0..40 {
        zones = zones.record(format!("_25._tcp.many.good.test. TLSA 3 1 1 {n:064x}"));
    }
    let dns = zones.start().await.unwrap();
    let answer = tlsa(&resolver(&dns), "many.good.test").await;
    assert_eq!(answer.outcome, Outcome::Failed(LookupFailure::Malformed));
}

#[tokio::test]
async fn names_and_data_change_while_it_runs() {
    let dns = zones().start().await.unwrap();
    dns.remove("_25._tcp.mx.good.test", "TLSA").unwrap();
    let gone = tlsa(&resolver(&dns), "mx.good.test").await;
    assert_eq!(
        (form(&gone), gone.security),
        (Form::NxDomain, Security::Secure)
    );
    dns.add("_25._tcp.mx.good.test. TLSA 3 1 1 0202").unwrap();
    let back = tlsa(&resolver(&dns), "mx.good.test").await;
    assert_eq!(
        (form(&back), back.security),
        (Form::Records, Security::Secure)
    );
}

/// Q6: what stands in the cache has not yet ended, and is passed by all the same; the new answer takes its place.
#[tokio::test]
async fn an_answer_asked_for_anew_is_not_the_one_that_is_kept() {
    let dns = zones().start().await.unwrap();
    let resolver = resolver(&dns);
    let mx = question("good.test", RecordKind::Mx);
    let absent = question("_25._tcp.bare.good.test", RecordKind::Tlsa);
    let before = resolver.resolve(&mx).await;
    assert_eq!(form(&resolver.resolve(&absent).await), Form::NxDomain);

    dns.replace("good.test. MX 10 mx.n3.test.").unwrap();
    dns.add("_25._tcp.bare.good.test. TLSA 3 1 1 0202").unwrap();
    let kept = resolver.resolve(&mx).await;
    assert_eq!(kept.outcome, before.outcome, "nothing was kept to pass by");
    assert_eq!(form(&resolver.resolve(&absent).await), Form::NxDomain);

    let anew = resolver.resolve_anew(&mx).await;
    assert_eq!(anew.security, Security::Secure);
    assert_ne!(anew.outcome, before.outcome, "answered from the cache");
    let appeared = resolver.resolve_anew(&absent).await;
    let seen = (form(&appeared), appeared.security);
    assert_eq!(seen, (Form::Records, Security::Secure));
    assert_eq!(resolver.resolve(&mx).await.outcome, anew.outcome);
    assert_eq!(form(&resolver.resolve(&absent).await), Form::Records);
}

/// Whoever forges an answer writes its TTL too.
#[tokio::test]
async fn what_is_not_proved_is_kept_for_a_short_time_whatever_its_ttl() {
    let dns = SignedDns::new()
        .zone(ZoneSpec::signed("good.test"))
        .zone(ZoneSpec::unsigned("plain.test"))
        .record("good.test. 86400 MX 10 mx.good.test.")
        .record("plain.test. 86400 MX 10 mx.plain.test.")
        .record("null.plain.test. 86400 MX 0 .")
        .start()
        .await
        .unwrap();
    let resolver = resolver(&dns);
    let bounds = [
        ("good.test", 86_400 + 60),
        ("plain.test", 3600),
        ("null.plain.test", 300),
        ("none.plain.test", 300),
    ];
    for (name, bound) in bounds {
        let answer = ask(&resolver, name, RecordKind::Mx).await;
        let asked = answer.asked.unwrap();
        let kept = answer.expires.since(asked);
        assert!(kept <= Duration::from_secs(bound), "{name}: {kept:?}");
        let again = ask(&resolver, name, RecordKind::Mx).await;
        assert_eq!(again.asked, Some(asked), "{name}: Q7");
        let anew = resolver.resolve_anew(&question(name, RecordKind::Mx)).await;
        assert!(anew.asked >= Some(answer.asked.unwrap()), "{name}");
    }
    let signed = ask(&resolver, "good.test", RecordKind::Mx).await;
    assert!(signed.expires.since(common_now()) > Duration::from_secs(3600));
}
