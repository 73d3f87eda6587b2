//! The contract of [`DomainMemory`].

use std::time::Duration;

use futures_util::future::join3;
use securemail_core::backend::{CachedPolicy, DomainHistory, DomainMemory, HostHistory};
use securemail_core::vocab::DnsName;

use super::{Harness, NOW};

/// Makes one test for each clause of the contract of `DomainMemory`.
#[macro_export]
macro_rules! domain_memory_conformance {
    ($harness:expr) => {
        $crate::conformance_clauses!($harness, domain_memory:
            r1_remembered_is_recalled,
            r2_a_later_record_replaces,
            r3_never_seen_is_none,
            r4_what_is_watched_keeps_its_time,
            r5_what_is_due_is_claimed_once,
        );
    };
}

/// **R1** What `remember` and `put_policy` returned `Ok` for is recalled, also after a restart.
pub async fn r1_remembered_is_recalled(harness: &impl Harness<dyn DomainMemory>) {
    let memory = harness.fresh().await;
    let domain = name("example.org");
    memory
        .remember(&domain, &history(3))
        .await
        .expect("remember");
    memory
        .put_policy(&domain, &policy("1"))
        .await
        .expect("put_policy");
    let memory = harness.reopen(memory).await;
    let found = memory.recall(&domain).await.expect("recall");
    assert_eq!(found, Some(history(3)), "R1: history");
    let found = memory.policy(&domain).await.expect("policy");
    assert_eq!(found, Some(policy("1")), "R1: policy");
}

/// **R2** `remember` replaces the record of the domain; `put_policy` replaces its policy.
pub async fn r2_a_later_record_replaces(harness: &impl Harness<dyn DomainMemory>) {
    let memory = harness.fresh().await;
    let domain = name("example.org");
    for authority in [3, 4] {
        memory
            .remember(&domain, &history(authority))
            .await
            .expect("remember");
    }
    for id in ["1", "2"] {
        memory
            .put_policy(&domain, &policy(id))
            .await
            .expect("put_policy");
    }
    let found = memory.recall(&domain).await.expect("recall");
    assert_eq!(found, Some(history(4)), "R2: history");
    let found = memory.policy(&domain).await.expect("policy");
    assert_eq!(found, Some(policy("2")), "R2: policy");
}

/// **R3** What was never remembered is `Ok(None)`; an error never means absence.
pub async fn r3_never_seen_is_none(harness: &impl Harness<dyn DomainMemory>) {
    let memory = harness.fresh().await;
    memory
        .remember(&name("example.org"), &history(3))
        .await
        .expect("remember");
    memory
        .put_policy(&name("example.net"), &policy("1"))
        .await
        .expect("put_policy");
    let recalled = memory.recall(&name("example.net")).await;
    assert!(matches!(recalled, Ok(None)), "R3: {recalled:?}");
    let found = memory.policy(&name("example.org")).await;
    assert!(matches!(found, Ok(None)), "R3: {found:?}");
}

/// **R4** A domain that is watched already keeps its time, its end only grows, and both are kept.
pub async fn r4_what_is_watched_keeps_its_time(harness: &impl Harness<dyn DomainMemory>) {
    let memory = harness.fresh().await;
    let domain = name("example.org");
    let at = |minutes: u64| NOW.plus(Duration::from_secs(60 * minutes));
    for (due, until) in [(10, 40), (1, 20), (30, 60)] {
        let watched = memory.watch(&domain, at(due), at(until)).await;
        watched.expect("watch");
    }
    let memory = harness.reopen(memory).await;
    let claim = async |minute| {
        let claimed = memory.claim_due(at(minute), at(minute + 5), 9).await;
        claimed.expect("claim_due")
    };
    assert_eq!(claim(9).await, [], "R4: before its time");
    let only = std::slice::from_ref(&domain);
    assert_eq!(claim(10).await, only, "R4: at its time");
    assert_eq!(claim(50).await, only, "R4: the longer end");
    assert_eq!(claim(60).await, [], "R4: after its end");
    memory.looked_at(&domain, at(61)).await.expect("looked_at");
    assert_eq!(claim(62).await, [], "R5: gone");
}

/// **R5** Each domain goes to one caller, the longest overdue first, and comes again in time.
pub async fn r5_what_is_due_is_claimed_once(harness: &impl Harness<dyn DomainMemory>) {
    let memory = harness.fresh().await;
    let at = |minutes: u64| NOW.plus(Duration::from_secs(60 * minutes));
    let names: Vec<DnsName> = (0..6).map(|n| name(&format!("d{n}.example"))).collect();
    for (minute, domain) in (1_u64..).zip(names.iter().rev()) {
        let watched = memory.watch(domain, at(minute), at(600)).await;
        watched.expect("watch");
    }
    let claim = || memory.claim_due(at(10), at(20), 2);
    let (one, other, third) = join3(claim(), claim(), claim()).await;
    let mut all: Vec<DnsName> = Vec::new();
    for claimed in [one, other, third] {
        let claimed = claimed.expect("claim_due");
        assert_eq!(claimed.len(), 2, "R5: no more than asked for");
        all.extend(claimed);
    }
    all.sort();
    assert_eq!(all, names, "R5: each once");
    assert_eq!(claim().await.expect("claim_due"), [], "R5: claimed already");
    memory
        .looked_at(&names[0], at(15))
        .await
        .expect("looked_at");
    let claimed = memory
        .claim_due(at(25), at(30), 1)
        .await
        .expect("claim_due");
    assert_eq!(claimed, names[..1], "R5: the longest overdue");
    let claimed = memory
        .claim_due(at(25), at(30), 9)
        .await
        .expect("claim_due");
    assert_eq!(claimed.len(), 5, "R5: what nobody looked at comes again");
}

fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

fn history(authority: u8) -> DomainHistory {
    let host = HostHistory {
        host: name("mx.example.org"),
        authority,
        authentication: 3,
        best_at: NOW,
        seen: NOW,
    };
    DomainHistory {
        hosts: vec![host],
        mx_secure_at: Some(NOW),
        mx_set_since: Some(NOW),
        mx_set: vec![name("mx.example.org")],
        ..DomainHistory::default()
    }
}

fn policy(id: &str) -> CachedPolicy {
    CachedPolicy {
        id: id.to_owned(),
        body: "version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 86400\n".to_owned(),
        fetched: NOW,
        expires: NOW.plus(Duration::from_secs(86_400)),
    }
}
