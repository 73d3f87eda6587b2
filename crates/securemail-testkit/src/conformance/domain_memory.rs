//! The contract of [`DomainMemory`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join3, poll_immediate};
use securemail_core::StoreError;
use securemail_core::backend::{
    CachedPolicy, DomainHistory, DomainMemory, HostHistory, ReceivedReport, ReportClaim,
    ReportSettlement,
};
use securemail_core::limits::{
    TLS_REPORTS_A_DAY_MAX, TLS_REPORTS_A_DAY_OCTETS_MAX, TLS_SESSION_KINDS_MAX,
};
use securemail_core::tlsrpt::{
    DateRange, DomainSessions, Failure, Policy, PolicyType, Report, ResultType, Session, UtcDay,
};
use securemail_core::vocab::{DnsName, UnixTime};

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
            r4_a_full_list_takes_no_more,
            r5_what_is_due_is_claimed_once,
            r6_counts_add_up,
            r6_a_call_that_is_broken_off_counts_all_or_nothing,
            r7_kinds_are_bounded,
            r8_one_caller_has_a_report_at_a_time,
            r9_an_older_claim_settles_nothing,
            r10_what_is_done_stays_done,
            r11_a_report_is_kept_once,
            r12_only_what_is_old_is_forgotten,
        );
    };
}

/// A harness that can make the list of watched domains short.
#[async_trait]
pub trait DomainMemoryHarness: Harness<dyn DomainMemory> {
    /// An empty memory that watches so many domains and no more, instead of `limits::WATCHED_DOMAINS_MAX`.
    async fn watching(&self, most: usize) -> Arc<dyn DomainMemory>;
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

/// **R4** A list that is full takes no more, which is no error; what stands on it can still be watched for
/// longer, and what left it makes room.
pub async fn r4_a_full_list_takes_no_more(harness: &impl DomainMemoryHarness) {
    let memory = harness.watching(3).await;
    let at = |minutes: u64| NOW.plus(Duration::from_secs(60 * minutes));
    let names: Vec<DnsName> = (0..5).map(|n| name(&format!("d{n}.example"))).collect();
    let watch = async |domain: &DnsName, until| {
        let watched = memory.watch(domain, at(1), at(until)).await;
        watched.expect("R4: no error");
    };
    let claimed = async |minute| {
        let claimed = memory.claim_due(at(minute), at(minute + 1), 9).await;
        let mut claimed = claimed.expect("claim_due");
        claimed.sort();
        claimed
    };
    for domain in &names {
        watch(domain, 30).await;
    }
    assert_eq!(claimed(5).await, names[..3], "R4: the list is full");
    watch(&names[0], 60).await;
    assert_eq!(claimed(40).await, names[..1], "R4: the longer end");
    watch(&names[4], 60).await;
    let both = [names[0].clone(), names[4].clone()];
    assert_eq!(claimed(50).await, both, "R4: there is room again");
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

/// **R6** Counts add up, whoever counts, also after a restart; one call counts all, or nothing.
pub async fn r6_counts_add_up(harness: &impl Harness<dyn DomainMemory>) {
    let memory = harness.fresh().await;
    let counting = (0..20).map(|_| {
        let memory = memory.clone();
        tokio::spawn(async move {
            let counted = [counted("example.org", 0, 3), counted("example.net", 0, 1)];
            memory.count_sessions(&counted).await.expect("count");
        })
    });
    for one in counting.collect::<Vec<_>>() {
        one.await.expect("a task");
    }
    let memory = harness.reopen(memory).await;
    memory
        .count_sessions(&[counted("example.org", 0, 1)])
        .await
        .expect("count");
    let claims = all_due(&*memory).await;
    let total = |domain: &str| -> u64 {
        let of = claims.iter().filter(|claim| claim.domain == name(domain));
        of.flat_map(|claim| &claim.sessions).map(|(_, n)| n).sum()
    };
    assert_eq!(total("example.org"), 61, "R6: counted by all");
    assert_eq!(total("example.net"), 20, "R6: counted by all");
    let kinds = claims.first().map(|claim| claim.sessions.len());
    assert_eq!(kinds, Some(1), "R6: one kind, one count");
}

/// **R6** One call counts all that it was given, or nothing, also where its caller goes away.
pub async fn r6_a_call_that_is_broken_off_counts_all_or_nothing(
    harness: &impl Harness<dyn DomainMemory>,
) {
    let memory = harness.fresh().await;
    let domains = ["one.example", "two.example", "three.example"];
    let counted = domains.map(|domain| counted(domain, 0, 1));
    for polls in 0..10 {
        let mut call = memory.count_sessions(&counted);
        for _ in 0..polls {
            if poll_immediate(&mut call).await.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    memory.count_sessions(&counted).await.expect("count");
    let claims = all_due(&*memory).await;
    let counts = claims.iter().flat_map(|claim| &claim.sessions);
    let counts: Vec<u64> = counts.map(|(_, count)| *count).collect();
    assert_eq!(counts.len(), 3, "R6: each domain");
    assert!(
        counts.iter().all(|count| *count == counts[0]),
        "R6: {counts:?}"
    );
}

/// **R7** Of one domain and day so many kinds of sessions are kept, and no more.
pub async fn r7_kinds_are_bounded(harness: &impl Harness<dyn DomainMemory>) {
    let memory = harness.fresh().await;
    let many = (0..TLS_SESSION_KINDS_MAX + 20).map(|n| (failed(&format!("reason-{n}")), 1));
    let many = DomainSessions {
        sessions: many.collect(),
        ..counted("example.org", 0, 1)
    };
    for _ in 0..2 {
        memory
            .count_sessions(std::slice::from_ref(&many))
            .await
            .expect("R7: no error");
    }
    memory
        .count_sessions(&[counted("example.net", 0, 7)])
        .await
        .expect("count");
    let claims = all_due(&*memory).await;
    assert_eq!(claims.len(), 2, "R7: another domain has room");
    for claim in claims {
        let total: u64 = claim.sessions.iter().map(|(_, n)| n).sum();
        if claim.domain == name("example.org") {
            assert_eq!(claim.sessions.len(), TLS_SESSION_KINDS_MAX, "R7: kinds");
            let most = 2 * TLS_SESSION_KINDS_MAX as u64;
            assert_eq!(total, most, "R7: those that are kept go on counting");
        } else {
            assert_eq!(total, 7, "R7: untouched");
        }
    }
}

/// **R8** A domain and day is given to one caller at a time, once it is due, the longest due first.
pub async fn r8_one_caller_has_a_report_at_a_time(harness: &impl Harness<dyn DomainMemory>) {
    let memory = harness.fresh().await;
    let later = counted("later.example", 60, 1);
    let first = counted("first.example", 0, 1);
    let second = counted("second.example", 1, 1);
    memory
        .count_sessions(&[second, later, first])
        .await
        .expect("count");
    let early = NOW.minus(Duration::from_secs(1));
    let none = memory.claim_report(early, LEASE).await.expect("claim");
    assert_eq!(none, None, "R8: not due yet");
    let now = NOW.plus(Duration::from_secs(5));
    let claiming = (0..8).map(|_| {
        let memory = memory.clone();
        tokio::spawn(async move { memory.claim_report(now, LEASE).await.expect("claim") })
    });
    let mut given = Vec::new();
    for one in claiming.collect::<Vec<_>>() {
        given.extend(one.await.expect("a task"));
    }
    given.sort_by_key(|claim| claim.first_due);
    let domains: Vec<String> = given.iter().map(|c| c.domain.to_string()).collect();
    assert_eq!(
        domains,
        ["first.example", "second.example"],
        "R8: once each"
    );
    let memory = harness.reopen(memory).await;
    let ended = now.plus(LEASE);
    let again = claim(&*memory, ended).await;
    assert_eq!(again.domain, name("later.example"), "R8: longest due first");
    let again = claim(&*memory, ended).await;
    let before = given.iter().find(|claim| claim.domain == again.domain);
    let before = before.expect("R8: one of the two whose lease ended");
    assert!(again.fence > before.fence, "R8: a new claim");
    assert_eq!(again.sessions, before.sessions, "R8: with its counts");
    assert_eq!(again.first_due, before.first_due, "R8: first due");
}

/// **R9** A claim that is not the newest fails with `LeaseLost` and changes nothing.
pub async fn r9_an_older_claim_settles_nothing(harness: &impl Harness<dyn DomainMemory>) {
    let memory = harness.fresh().await;
    memory
        .count_sessions(&[counted("example.org", 0, 1)])
        .await
        .expect("count");
    let old = claim(&*memory, NOW).await;
    let ended = NOW.plus(LEASE);
    let new = claim(&*memory, ended).await;
    for settlement in [ReportSettlement::Done, ReportSettlement::Again(NOW)] {
        let lost = memory.settle_report(&old, settlement).await;
        assert!(matches!(lost, Err(StoreError::LeaseLost)), "R9: {lost:?}");
    }
    let none = memory.claim_report(ended, LEASE).await.expect("claim");
    assert_eq!(none, None, "R9: the new claim stands");
    let later = ended.plus(Duration::from_secs(7));
    memory
        .settle_report(&new, ReportSettlement::Again(later))
        .await
        .expect("settle");
    let lost = memory.settle_report(&new, ReportSettlement::Done).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "R9: {lost:?}");
    let early = later.minus(Duration::from_millis(1));
    let none = memory.claim_report(early, LEASE).await.expect("claim");
    assert_eq!(none, None, "R9: put off");
    let again = claim(&*memory, later).await;
    assert_eq!((again.tries, again.sessions), (1, new.sessions), "R9");
}

/// **R10** What was settled `Done` is never given again, and nothing is counted for it any more.
pub async fn r10_what_is_done_stays_done(harness: &impl Harness<dyn DomainMemory>) {
    let memory = harness.fresh().await;
    let counts = [counted("example.org", 0, 1)];
    memory.count_sessions(&counts).await.expect("count");
    let done = claim(&*memory, NOW).await;
    memory
        .settle_report(&done, ReportSettlement::Done)
        .await
        .expect("settle");
    let memory = harness.reopen(memory).await;
    memory.count_sessions(&counts).await.expect("R10: no error");
    assert_eq!(all_due(&*memory).await, [], "R10: given again");
    let other = DomainSessions {
        day: day(1),
        ..counted("example.org", 0, 1)
    };
    memory.count_sessions(&[other]).await.expect("count");
    assert_eq!(all_due(&*memory).await.len(), 1, "R10: another day counts");
}

/// **R11** A report that came in is kept once, by domain and key; the newest day comes first.
pub async fn r11_a_report_is_kept_once(harness: &impl Harness<dyn DomainMemory>) {
    let memory = harness.fresh().await;
    for (key, number) in [("a", 1), ("b", 3), ("a", 2), ("c", 2)] {
        let report = received("example.org", key, number);
        memory.keep_received(&report).await.expect("keep");
    }
    let other = received("example.net", "a", 1);
    memory.keep_received(&other).await.expect("keep");
    let memory = harness.reopen(memory).await;
    let found = memory.received_reports(&name("example.org"), 10).await;
    let wanted = [("b", 3), ("c", 2), ("a", 1)].map(|(k, n)| received("example.org", k, n));
    assert_eq!(
        found.expect("received"),
        wanted,
        "R11: newest day first, once"
    );
    let found = memory.received_reports(&name("example.org"), 2).await;
    assert_eq!(found.expect("received"), wanted[..2], "R11: limit");
    r11_a_day_takes_so_many_octets(&*memory).await;
    for number in 0..TLS_REPORTS_A_DAY_MAX + 5 {
        let report = received("many.example", &number.to_string(), 1);
        memory.keep_received(&report).await.expect("R11: no error");
    }
    let found = memory.received_reports(&name("many.example"), 10_000).await;
    assert_eq!(
        found.expect("received").len(),
        TLS_REPORTS_A_DAY_MAX,
        "R11: a day"
    );
    let mut signed = received("many.example", "zz", 1);
    signed.signer = Some(name("example.com"));
    memory.keep_received(&signed).await.expect("R11: room");
    let found = memory.received_reports(&name("many.example"), 1).await;
    assert_eq!(found.expect("received"), [signed], "R11: signed ones first");
}

/// **R11** What is kept of a day is bounded in octets as well, whoever signed how much.
async fn r11_a_day_takes_so_many_octets(memory: &dyn DomainMemory) {
    for signer in [None, Some(name("example.com"))] {
        let domain = name("large.example");
        let mut found = Vec::new();
        for number in 0..TLS_REPORTS_A_DAY_OCTETS_MAX / LARGE + 2 {
            let mut report = received("large.example", &format!("{number} {signer:?}"), 1);
            report.signer = signer.clone();
            report.report.organization_name = "x".repeat(LARGE);
            memory.keep_received(&report).await.expect("R11: no error");
            let all = memory.received_reports(&domain, 10_000);
            found = all.await.expect("received");
        }
        found.retain(|report| report.signer == signer);
        let octets: usize = found.iter().map(|one| one.report.to_json().len()).sum();
        let room = TLS_REPORTS_A_DAY_OCTETS_MAX - 2 * LARGE..=TLS_REPORTS_A_DAY_OCTETS_MAX;
        assert!(room.contains(&octets), "R11: {octets} octets");
    }
}

/// **R12** `forget_reports` forgets what is of days before, and nothing else.
pub async fn r12_only_what_is_old_is_forgotten(harness: &impl Harness<dyn DomainMemory>) {
    let memory = harness.fresh().await;
    for number in 1..=3 {
        let counts = DomainSessions {
            day: day(number),
            ..counted("example.org", 0, 1)
        };
        memory.count_sessions(&[counts]).await.expect("count");
        let report = received("example.org", &number.to_string(), number);
        memory.keep_received(&report).await.expect("keep");
    }
    let forgotten = memory.forget_reports(day(2), day(3)).await.expect("forget");
    assert_eq!(forgotten, 3, "R12: a day of counts, two reports");
    let days: Vec<UtcDay> = all_due(&*memory).await.iter().map(|c| c.day).collect();
    assert_eq!(days.len(), 2, "R12: {days:?}");
    assert!(!days.contains(&day(1)), "R12: {days:?}");
    let left = memory.received_reports(&name("example.org"), 10).await;
    assert_eq!(left.expect("received").len(), 1, "R12: reports");
}

/// Claims everything that is due now.
async fn all_due(memory: &dyn DomainMemory) -> Vec<ReportClaim> {
    let mut claims = Vec::new();
    while let Some(claim) = memory.claim_report(NOW, LEASE).await.expect("claim") {
        claims.push(claim);
    }
    claims
}

async fn claim(memory: &dyn DomainMemory, now: UnixTime) -> ReportClaim {
    let claim = memory.claim_report(now, LEASE).await.expect("claim");
    claim.expect("something is due")
}

const LEASE: Duration = Duration::from_secs(600);

fn day(number: u32) -> UtcDay {
    UtcDay::from_number(20_000 + number)
}

/// Due so many seconds after `NOW`.
fn counted(domain: &str, after: u64, count: u64) -> DomainSessions {
    DomainSessions {
        domain: name(domain),
        day: day(0),
        due: NOW.plus(Duration::from_secs(after)),
        sessions: vec![(failed("dane-no-match"), count)],
    }
}

fn failed(reason: &str) -> Session {
    Session {
        policy: Policy {
            kind: PolicyType::Tlsa,
            domain: name("mx.example.org"),
            strings: vec!["3 1 1 aa".to_owned()],
            mx_hosts: vec!["mx.example.org".to_owned()],
        },
        failure: Some(Failure {
            result: ResultType::ValidationFailure,
            sending_ip: None,
            mx_host: Some(name("mx.example.org")),
            helo: None,
            receiving_ip: Some([192, 0, 2, 1].into()),
            reason: Some(reason.to_owned()),
        }),
    }
}

/// Octets of a large report.
const LARGE: usize = 48 * 1024;

fn received(domain: &str, key: &str, number: u32) -> ReceivedReport {
    ReceivedReport {
        domain: name(domain),
        day: day(number),
        key: key.to_owned(),
        signer: None,
        received: NOW,
        report: Report {
            organization_name: "Example".to_owned(),
            date_range: DateRange {
                start_datetime: day(number).begins().to_string(),
                end_datetime: day(number).ends().to_string(),
            },
            contact_info: "reports@example.com".to_owned(),
            report_id: key.to_owned(),
            policies: Vec::new(),
        },
    }
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
