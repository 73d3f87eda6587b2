//! What a postmaster reads: what was asked, and the exact record that would help.

use std::sync::Arc;

use securemail_core::backend::{Clock, TransportPolicy};
use securemail_core::drive::Inquirer;
use securemail_core::route::{
    Evidence, Explanation, MessageFacts, Seen, StandardPolicy, StsMode, StsPolicy, public_key,
};
use securemail_core::vocab::{DnsName, LookupFailure, Profile, RecordKind, Security};
use securemail_testkit::memory::MemoryDomainMemory;
use securemail_testkit::scripted::ScriptedDns;
use securemail_testkit::sim::ManualClock;
use sha2::{Digest, Sha256};

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

fn leaf() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["mx.example.org".to_owned()]).unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

async fn evidence(dns: ScriptedDns, domain: &str) -> Evidence {
    let dns = Arc::new(dns);
    let clock = Arc::new(ManualClock::default());
    let facts = MessageFacts::at(clock.now());
    let inquirer = Inquirer {
        resolver: dns.clone(),
        fetcher: dns,
        memory: Arc::new(MemoryDomainMemory::default()),
        clock,
        port: 25,
    };
    let inquired = inquirer
        .inquire(&name(domain), Profile::Strict, facts)
        .await;
    inquired.unwrap()
}

fn explained(evidence: &Evidence, seen: &[Seen]) -> Explanation {
    let decision = StandardPolicy::default().decide(evidence, evidence.message.accepted);
    let explanation = Explanation::new(evidence, &decision, seen);
    assert_eq!(explanation.sentence, decision.sentence());
    explanation
}

#[tokio::test]
async fn the_tlsa_record_for_the_key_that_was_seen_is_told_in_full() {
    let dns = ScriptedDns::default();
    dns.sign(&name("example.org"));
    dns.mail(
        &name("example.org"),
        &[&name("mx.example.org")],
        Security::Secure,
    );
    let leaf = leaf();
    let digest = Sha256::digest(public_key(&leaf).unwrap());
    let digest: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
    let seen = [Seen {
        host: name("mx.example.org"),
        leaf,
    }];
    let explanation = explained(&evidence(dns, "example.org").await, &seen);
    let line = format!("_25._tcp.mx.example.org. IN TLSA 3 1 1 {digest} ");
    let [told] = explanation.publish.as_slice() else {
        panic!("{:?}", explanation.publish)
    };
    assert!(
        told.starts_with(&line) && !told.contains("sign the zone"),
        "{told}"
    );
    let text = explanation.to_string();
    assert!(
        text.contains("MX example.org -> 10 mx.example.org (signed"),
        "{text}"
    );
    assert!(
        text.contains("TLSA _25._tcp.mx.example.org -> no such name (signed"),
        "{text}"
    );
    assert!(text.contains("First host: mx.example.org"), "{text}");
}

#[tokio::test]
async fn where_the_zone_is_not_signed_that_comes_first() {
    let dns = ScriptedDns::default();
    dns.unsigned(&name("example.net"), &name("mx.example.net"));
    let seen = [Seen {
        host: name("mx.example.net"),
        leaf: leaf(),
    }];
    let explanation = explained(&evidence(dns, "example.net").await, &seen);
    let publish = explanation.publish.join("\n");
    assert!(
        publish.contains("sign the zone (DNSSEC) first"),
        "{publish}"
    );
    // What is copied is a policy.
    let lines = explanation
        .publish
        .iter()
        .skip_while(|line| *line != "version: STSv1");
    let file: Vec<&str> = lines.map(String::as_str).collect();
    let policy = StsPolicy::parse(&file.join("\n")).unwrap();
    assert_eq!(policy.mode, StsMode::Testing);
    assert!(policy.names(&name("mx.example.net")), "{publish}");
}

#[tokio::test]
async fn who_has_published_is_told_nothing_more() {
    let dns = ScriptedDns::default();
    dns.dane(&name("example.org"), &name("mx.example.org"));
    let seen = [Seen {
        host: name("mx.example.org"),
        leaf: leaf(),
    }];
    let explanation = explained(&evidence(dns, "example.org").await, &seen);
    assert!(explanation.publish.is_empty(), "{:?}", explanation.publish);
}

#[tokio::test]
async fn what_failed_is_told_as_failed() {
    let dns = ScriptedDns::default();
    dns.fail(
        &name("example.org"),
        RecordKind::Mx,
        LookupFailure::Disagreement,
    );
    let explanation = explained(&evidence(dns, "example.org").await, &[]);
    let asked = explanation.asked.join("\n");
    assert!(
        asked.contains("MX example.org -> failed: two validators do not agree"),
        "{asked}"
    );
    assert!(explanation.host.is_none() && explanation.publish.is_empty());
}
