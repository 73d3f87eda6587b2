//! The policy tightens and never loosens, over DNS from a script.

use std::sync::Arc;

use custom_policy::DaneFor;
use securemail_core::backend::{Clock, TransportPolicy};
use securemail_core::drive::Inquirer;
use securemail_core::route::{
    Authentication, Decided, Decision, Evidence, MessageFacts, PolicySettings, Route,
    StandardPolicy,
};
use securemail_core::vocab::{DnsName, LookupFailure, Profile, RecordKind, Security};
use securemail_testkit::memory::MemoryDomainMemory;
use securemail_testkit::scripted::ScriptedDns;
use securemail_testkit::sim::ManualClock;

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

/// Domains of every kind below `care.example` and below `shop.example`.
fn dns() -> Arc<ScriptedDns> {
    let dns = ScriptedDns::default();
    for branch in ["care.example", "shop.example"] {
        let under = |label: &str| name(&format!("{label}.{branch}"));
        dns.dane(&under("dane"), &under("mx.dane"));
        dns.sign(&under("signed"));
        dns.mail(&under("signed"), &[&under("mx.signed")], Security::Secure);
        dns.unsigned(&under("plain"), &name("mx.host.example"));
        dns.fail(&under("down"), RecordKind::Mx, LookupFailure::ServFail);
    }
    Arc::new(dns)
}

async fn evidence(dns: Arc<ScriptedDns>, domain: &DnsName, profile: Profile) -> Evidence {
    let clock = Arc::new(ManualClock::default());
    let facts = MessageFacts::at(clock.now());
    let inquirer = Inquirer {
        resolver: dns.clone(),
        fetcher: dns,
        memory: Arc::new(MemoryDomainMemory::default()),
        clock,
        port: 25,
    };
    inquirer.inquire(domain, profile, facts).await.unwrap()
}

fn policy() -> DaneFor {
    DaneFor::new(vec![name("care.example")], StandardPolicy::default())
}

fn decide(policy: &impl TransportPolicy, evidence: &Evidence) -> Decision {
    policy.decide(evidence, evidence.message.accepted)
}

#[tokio::test]
async fn listed_domains_are_delivered_by_dane_alone() {
    let dns = dns();
    for (domain, delivered) in [
        ("dane.care.example", true),
        ("signed.care.example", false),
        ("plain.care.example", false),
        ("signed.shop.example", true),
        ("plain.shop.example", true),
    ] {
        let evidence = evidence(dns.clone(), &name(domain), Profile::Standard).await;
        let decision = decide(&policy(), &evidence);
        let delivers = matches!(decision.route, Route::Deliver(_));
        assert_eq!(delivers, delivered, "{domain}: {decision}");
        if let (Route::Deliver(hops), true) = (&decision.route, domain.contains("care")) {
            let dane = |auth: &Authentication| matches!(auth, Authentication::Dane { .. });
            assert!(hops.iter().all(|hop| dane(&hop.authenticate)), "{decision}");
        }
    }
}

/// Whatever the standard policy does not deliver, this one does not either, nor to other hosts.
#[tokio::test]
async fn nothing_is_delivered_that_the_standard_policy_would_hold() {
    let dns = dns();
    let profiles = [
        Profile::Basic,
        Profile::Standard,
        Profile::Strict,
        Profile::DaneOnly,
    ];
    for branch in ["care.example", "shop.example"] {
        for kind in ["dane", "signed", "plain", "down", "absent"] {
            for profile in profiles {
                let domain = name(&format!("{kind}.{branch}"));
                let evidence = evidence(dns.clone(), &domain, profile).await;
                let Route::Deliver(ours) = decide(&policy(), &evidence).route else {
                    continue;
                };
                let standard = decide(&StandardPolicy::default(), &evidence);
                let Route::Deliver(theirs) = &standard.route else {
                    panic!("{domain} {profile:?}: {standard}")
                };
                assert!(ours.iter().all(|hop| theirs.contains(hop)), "{standard}");
            }
        }
    }
}

/// What is recorded is the evidence as it was asked for: the standard policy would decide otherwise from it.
#[tokio::test]
async fn a_recorded_decision_is_made_again_by_this_policy_alone() {
    let dns = dns();
    for (domain, by_standard) in [
        ("dane.care.example", true),
        ("plain.care.example", false),
        ("plain.shop.example", true),
    ] {
        let evidence = evidence(dns.clone(), &name(domain), Profile::Standard).await;
        let decided = Decided {
            decision: decide(&policy(), &evidence),
            evidence,
            settings: PolicySettings::default(),
        };
        assert_eq!(policy().again(&decided), decided.decision, "{domain}");
        let is_same_way = decided.again().route == decided.decision.route;
        assert_eq!(is_same_way, by_standard, "{domain}: {}", decided.again());
        let mut changed = decided;
        changed.decision.fresh_until = changed.decision.decided_at;
        assert_ne!(policy().again(&changed), changed.decision, "{domain}");
    }
}
