//! The contract of [`DomainMemory`].

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
        expires: NOW.plus(std::time::Duration::from_secs(86_400)),
    }
}
