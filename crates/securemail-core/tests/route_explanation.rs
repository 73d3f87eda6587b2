//! What a postmaster reads: what was asked, and the exact record that would help.

use std::sync::Arc;

use securemail_core::backend::{
    AttemptReport, Clock, FetchedPolicy, PeerFacts, SessionOutcome, TransportPolicy,
};
use securemail_core::drive::Inquirer;
use securemail_core::route::{
    AttemptEvidence, Authority, Evidence, Explanation, Matched, MessageFacts, PeerFailure,
    PeerProof, StandardPolicy, Strength, StsMode, StsPolicy, public_key,
};
use securemail_core::vocab::{
    DnsName, LookupFailure, Outcome, Profile, RecordKind, Security, Tlsa,
};
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

/// A session in which `host` showed this certificate.
fn session(host: &str, leaf: Vec<u8>, outcome: SessionOutcome) -> AttemptReport {
    let now = ManualClock::default().now();
    AttemptReport {
        host: name(host),
        address: Some("192.0.2.1".parse().unwrap()),
        own_address: None,
        peer: Some(PeerFacts {
            version: "TLSv1.3".to_owned(),
            cipher: "TLS13_AES_256_GCM_SHA384".to_owned(),
            group: "X25519MLKEM768".to_owned(),
            chain: vec![leaf],
            ehlo: host.to_owned(),
            secured: now,
        }),
        proof: None,
        outcome,
        recipients: Vec::new(),
        others: Vec::new(),
        ended: now,
        took: std::time::Duration::from_secs(1),
    }
}

fn explained(evidence: &Evidence, tried: &[AttemptReport]) -> Explanation {
    let decision = StandardPolicy::default().decide(evidence, evidence.message.accepted);
    let explanation = Explanation::new(evidence, &decision, tried);
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
    let seen = [session("mx.example.org", leaf, SessionOutcome::Completed)];
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
async fn a_stronger_record_beside_which_the_new_one_would_not_count_goes_first() {
    let host = name("mx.example.org");
    for (matching, length, is_told) in [(2, 64, true), (1, 32, false)] {
        let dns = ScriptedDns::default();
        dns.dane(&name("example.org"), &host);
        let stale = Tlsa {
            usage: 3,
            selector: 1,
            matching,
            data: vec![7; length],
        };
        let owner = name("_25._tcp.mx.example.org");
        let records = Outcome::Tlsa(vec![stale]);
        dns.put(&owner, RecordKind::Tlsa, records, Security::Secure);
        let evidence = evidence(dns, "example.org").await;
        let mismatch = || SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch);
        let mut tried = evidence.clone();
        tried.attempts.push(AttemptEvidence {
            host: host.clone(),
            at: tried.message.accepted,
            outcome: mismatch(),
            recipient: None,
        });
        let explanation = explained(&tried, &[session("mx.example.org", leaf(), mismatch())]);
        let publish = explanation.publish.join("\n");
        assert!(publish.contains("IN TLSA 3 1 1 "), "{publish}");
        assert_eq!(
            publish.contains("take the 3 1 2 away"),
            is_told,
            "{publish}"
        );
    }
}

#[tokio::test]
async fn where_the_zone_is_not_signed_that_comes_first() {
    let dns = ScriptedDns::default();
    dns.unsigned(&name("example.net"), &name("mx.example.net"));
    let seen = [session("mx.example.net", leaf(), SessionOutcome::Completed)];
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
    let seen = [session("mx.example.org", leaf(), SessionOutcome::Completed)];
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

#[tokio::test]
async fn each_session_is_told_with_what_proved_the_host_or_did_not() {
    let dns = ScriptedDns::default();
    dns.dane(&name("example.org"), &name("mx.example.org"));
    let mut evidence = evidence(dns, "example.org").await;
    let failure = SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch);
    let failed = session("mx.example.org", leaf(), failure.clone());
    let mut proved = session("mx.example.org", leaf(), SessionOutcome::Completed);
    proved.proof = Some(PeerProof {
        host: name("mx.example.org"),
        leaf_sha256: [0; 32],
        strength: Strength::Dane,
        authority: Authority::Dnssec,
        matched: Matched::Tlsa {
            record: 0,
            depth: 0,
        },
    });
    let told = explained(&evidence, &[failed, proved]).sessions;
    let tls = "mx.example.org at 192.0.2.1, port 25 -> TLSv1.3, TLS13_AES_256_GCM_SHA384, \
               X25519MLKEM768; certificate valid until 4096-01-01T00:00:00Z; ";
    assert_eq!(
        told,
        [
            format!(
                "{tls}not proved, so it ended before MAIL: the certificate matches no TLSA record"
            ),
            format!("{tls}proved: its own certificate matches a TLSA record"),
        ]
    );
    // A decision that is replayed has no reports; the evidence keeps the sessions that failed.
    evidence.attempts.push(AttemptEvidence {
        host: name("mx.example.org"),
        at: evidence.message.accepted,
        outcome: failure,
        recipient: None,
    });
    assert_eq!(
        explained(&evidence, &[]).sessions,
        [
            "mx.example.org -> not proved, so it ended before MAIL: the certificate matches no TLSA record"
        ]
    );
}

#[tokio::test]
async fn a_policy_is_told_with_what_it_demands() {
    let dns = ScriptedDns::default();
    dns.unsigned(&name("example.net"), &name("mx.example.net"));
    let body = "version: STSv1\nmode: enforce\nmax_age: 86400\n\
                mx: mx.example.net\nmx: *.example.com\n";
    dns.policy(
        &name("example.net"),
        Ok(FetchedPolicy { body: body.into() }),
    );
    dns.put(
        &name("_mta-sts.example.net"),
        RecordKind::Txt,
        Outcome::Txt(vec!["v=STSv1; id=7;".to_owned()]),
        Security::Insecure,
    );
    let explanation = explained(&evidence(dns, "example.net").await, &[]);
    let asked = explanation.asked.join("\n");
    assert!(
        asked.contains(
            "MTA-STS policy of example.net -> fetched: mode enforce, mx mx.example.net, \
             *.example.com, max_age 86400, id 7"
        ),
        "{asked}"
    );
}
