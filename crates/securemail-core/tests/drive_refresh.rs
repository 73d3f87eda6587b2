//! Policies are fetched anew in the background, by one process, and live longer by nothing else (rule P-08).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use securemail_core::backend::{
    Clock, DomainMemory, Fact, FetchError, FetchedPolicy, PolicyFetcher, PolicyRefresh,
    TransportPolicy,
};
use securemail_core::drive::{Inquirer, Refresher};
use securemail_core::limits::REFRESHES_AT_ONCE_MAX;
use securemail_core::route::{MessageFacts, Route, Rule, StandardPolicy};
use securemail_core::vocab::{
    DnsName, LookupFailure, Outcome, Profile, RecordKind, Security, UnixTime,
};
use securemail_testkit::fakes::RecordingObserver;
use securemail_testkit::memory::MemoryDomainMemory;
use securemail_testkit::scripted::ScriptedDns;
use securemail_testkit::sim::ManualClock;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Policy hosts that count how often each is asked.
#[derive(Debug, Default)]
struct Hosts {
    served: Mutex<BTreeMap<DnsName, Result<String, FetchError>>>,
    asked: Mutex<BTreeMap<DnsName, usize>>,
}

#[async_trait]
impl PolicyFetcher for Hosts {
    async fn fetch(&self, domain: &DnsName) -> Result<FetchedPolicy, FetchError> {
        *self
            .asked
            .lock()
            .unwrap()
            .entry(domain.clone())
            .or_default() += 1;
        // Another process has its turn here.
        tokio::task::yield_now().await;
        let served = self.served.lock().unwrap().get(domain).cloned();
        let body = served.unwrap_or(Err(FetchError::Unreachable))?;
        Ok(FetchedPolicy { body: body.into() })
    }
}

struct World {
    dns: Arc<ScriptedDns>,
    hosts: Arc<Hosts>,
    memory: Arc<MemoryDomainMemory>,
    clock: Arc<ManualClock>,
    observer: Arc<RecordingObserver>,
}

impl World {
    fn new() -> Self {
        Self {
            dns: Arc::default(),
            hosts: Arc::default(),
            memory: Arc::default(),
            clock: Arc::default(),
            observer: Arc::default(),
        }
    }

    /// A process over the same memory.
    fn process(&self, address_book: Vec<DnsName>) -> Refresher {
        let inquirer = Inquirer {
            resolver: self.dns.clone(),
            fetcher: self.hosts.clone(),
            memory: self.memory.clone(),
            clock: self.clock.clone(),
            port: 25,
        };
        Refresher {
            inquirer,
            observer: self.observer.clone(),
            address_book,
        }
    }

    fn announce(&self, domain: &DnsName, id: &str) {
        let outcome = Outcome::Txt(vec![format!("v=STSv1; id={id};")]);
        self.dns
            .put(&owner(domain), RecordKind::Txt, outcome, Security::Insecure);
    }

    /// Serves a policy of this mode that lives for ten days.
    fn serve(&self, domain: &DnsName, mode: &str) {
        self.serve_for(domain, mode, DAY * 10);
    }

    fn serve_for(&self, domain: &DnsName, mode: &str, life: Duration) {
        let max_age = life.as_secs();
        let body = format!("version: STSv1\nmode: {mode}\nmax_age: {max_age}\nmx: mx.{domain}\n");
        self.hosts
            .served
            .lock()
            .unwrap()
            .insert(domain.clone(), Ok(body));
    }

    fn fail(&self, domain: &DnsName) {
        let mut served = self.hosts.served.lock().unwrap();
        served.insert(domain.clone(), Err(FetchError::Unreachable));
    }

    fn asked(&self, domain: &DnsName) -> usize {
        let asked = self.hosts.asked.lock().unwrap();
        asked.get(domain).copied().unwrap_or(0)
    }

    async fn watch(&self, domain: &DnsName, days: u32) {
        let now = self.clock.now();
        let watched = self.memory.watch(domain, now, now.plus(DAY * days)).await;
        watched.unwrap();
    }

    async fn expires(&self, domain: &DnsName) -> UnixTime {
        self.memory.policy(domain).await.unwrap().unwrap().expires
    }
}

/// A domain with a policy in mode enforce that is watched for thirty days, and a process that looks at it.
async fn watched_world() -> (World, DnsName, Refresher) {
    let world = World::new();
    let domain = name("example.net");
    let process = world.process(Vec::new());
    world.announce(&domain, "1");
    world.serve(&domain, "enforce");
    world.watch(&domain, 30).await;
    (world, domain, process)
}

fn owner(domain: &DnsName) -> DnsName {
    domain.below("_mta-sts").unwrap()
}

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_policy_is_fetched_anew_each_day_whatever_its_record_says() {
    let (world, domain, process) = watched_world().await;
    assert_eq!(process.run_due().await.unwrap(), 1);
    let first = world.expires(&domain).await;
    assert_eq!(process.run_due().await.unwrap(), 0, "not before a day");
    // The record stays, fails, and goes: each day the policy host is asked all the same.
    for day in 2..=4 {
        world.clock.advance(DAY);
        match day {
            3 => world
                .dns
                .fail(&owner(&domain), RecordKind::Txt, LookupFailure::Timeout),
            4 => world.dns.remove(&owner(&domain), RecordKind::Txt),
            _ => {}
        }
        assert_eq!(process.run_due().await.unwrap(), 1);
        assert_eq!(world.asked(&domain), day);
    }
    assert_eq!(world.expires(&domain).await, first.plus(DAY * 3));
}

#[tokio::test]
async fn only_a_fetch_makes_a_policy_live_longer() {
    let (world, domain, process) = watched_world().await;
    process.run_due().await.unwrap();
    let kept = world.memory.policy(&domain).await.unwrap();
    world.fail(&domain);
    world.clock.advance(DAY);
    process.run_due().await.unwrap();
    assert_eq!(world.memory.policy(&domain).await.unwrap(), kept);
    let page = "<html>It works!</html>".to_owned();
    world
        .hosts
        .served
        .lock()
        .unwrap()
        .insert(domain.clone(), Ok(page));
    world.clock.advance(DAY);
    process.run_due().await.unwrap();
    assert_eq!(world.memory.policy(&domain).await.unwrap(), kept);
    assert!(world.asked(&domain) >= 3);
}

#[tokio::test]
async fn a_policy_host_that_is_down_is_asked_again_within_the_day() {
    let (world, domain, process) = watched_world().await;
    world.fail(&domain);
    process.run_due().await.unwrap();
    world.clock.advance(HOUR);
    world.serve(&domain, "enforce");
    assert_eq!(process.run_due().await.unwrap(), 1);
    assert!(world.memory.policy(&domain).await.unwrap().is_some());
}

#[tokio::test]
async fn a_policy_that_cannot_be_fetched_anew_is_told_long_before_it_ends() {
    let (world, domain, process) = watched_world().await;
    process.run_due().await.unwrap();
    world.fail(&domain);
    let mut told = Vec::new();
    for _ in 0..9 * 24 {
        world.clock.advance(HOUR);
        process.run_due().await.unwrap();
    }
    for fact in world.observer.facts() {
        if let Fact::PolicyRefresh(refresh) = fact {
            told.push(refresh);
        }
    }
    assert_eq!(told[0], PolicyRefresh::Fetched);
    let missed = told.iter().position(|one| *one == PolicyRefresh::Missed);
    let missed = missed.expect("the operator never hears of it");
    // After the first day it fails each hour, and from the second on that is news.
    assert!((20..=32).contains(&missed), "{missed}");
    assert!(
        told[1..missed]
            .iter()
            .all(|one| *one == PolicyRefresh::Failed)
    );
    assert!(
        told[missed..]
            .iter()
            .all(|one| *one == PolicyRefresh::Missed)
    );
    assert!(
        world.expires(&domain).await > world.clock.now(),
        "before its end"
    );
}

#[tokio::test]
async fn a_domain_that_opts_out_is_believed_once_it_is_fetched() {
    let (world, domain, process) = watched_world().await;
    process.run_due().await.unwrap();
    world.serve(&domain, "none");
    world.clock.advance(DAY);
    process.run_due().await.unwrap();
    let kept = world.memory.policy(&domain).await.unwrap().unwrap();
    assert!(kept.body.contains("mode: none"));
}

/// Many processes over one memory: each domain is looked at by one of them.
#[tokio::test]
async fn of_many_processes_exactly_one_looks_at_a_domain() {
    let world = World::new();
    let domains: Vec<DnsName> = (0..2 * REFRESHES_AT_ONCE_MAX)
        .map(|n| name(&format!("d{n}.example")))
        .collect();
    for domain in &domains {
        world.announce(domain, "1");
        world.serve(domain, "enforce");
        world.watch(domain, 30).await;
    }
    let processes: Vec<Refresher> = (0..4).map(|_| world.process(Vec::new())).collect();
    for day in 1..=3 {
        let all = || futures_util::future::join_all(processes.iter().map(Refresher::run_due));
        let looked: usize = all().await.into_iter().map(Result::unwrap).sum();
        assert_eq!(looked, domains.len());
        assert!(domains.iter().all(|domain| world.asked(domain) == day));
        world.clock.advance(DAY);
    }
}

/// One that dies with a domain in its hands does not keep it.
#[tokio::test]
async fn what_a_dead_process_claimed_comes_again() {
    let (world, domain, process) = watched_world().await;
    let now = world.clock.now();
    let claimed = world
        .memory
        .claim_due(now, now.plus(HOUR), 9)
        .await
        .unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(process.run_due().await.unwrap(), 0);
    world.clock.advance(HOUR);
    assert_eq!(process.run_due().await.unwrap(), 1);
    assert_eq!(world.asked(&domain), 1);
}

/// The first message to a domain of the address book meets its policy, though somebody hides it now.
#[tokio::test]
async fn the_address_book_is_warm_before_its_first_message() {
    let world = World::new();
    let domain = name("example.net");
    world.dns.unsigned(&domain, &name("mx.elsewhere.example"));
    world.announce(&domain, "1");
    world.serve(&domain, "enforce");
    let process = world.process(vec![domain.clone()]);
    let (stop, stopped) = futures_channel::oneshot::channel::<()>();
    let working = tokio::spawn({
        let process = process.clone();
        async move {
            let stop = async move { stopped.await.unwrap_or(()) };
            process.work(stop).await;
        }
    });
    let fetched = async {
        while world.memory.policy(&domain).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    let patience = Duration::from_secs(60);
    let in_time = tokio::time::timeout(patience, fetched).await;
    assert!(in_time.is_ok(), "nobody asks for it");
    world.dns.remove(&owner(&domain), RecordKind::Txt);
    world.fail(&domain);
    let facts = MessageFacts::at(world.clock.now());
    let evidence = process
        .inquirer
        .inquire(&domain, Profile::Basic, facts)
        .await
        .unwrap();
    let decision = StandardPolicy::default().decide(&evidence, world.clock.now());
    assert!(!matches!(decision.route, Route::Deliver(_)), "{decision}");
    stop.send(()).unwrap();
    working.await.unwrap();
}

#[tokio::test]
async fn a_domain_to_which_nothing_goes_is_looked_at_no_longer() {
    let world = World::new();
    let domain = name("example.net");
    let process = world.process(Vec::new());
    world.watch(&domain, 3).await;
    for _ in 0..3 {
        assert_eq!(process.run_due().await.unwrap(), 1);
        world.clock.advance(DAY);
    }
    assert_eq!(process.run_due().await.unwrap(), 0);
    assert_eq!(world.asked(&domain), 0, "nothing was announced");
}

/// Whoever hides the policy until what is kept has expired has gained nothing: no message was ever sent, and the
/// first one misses it.
#[tokio::test]
async fn a_policy_that_only_the_background_saw_is_missed_by_the_first_message() {
    let (world, domain, process) = watched_world().await;
    world.dns.unsigned(&domain, &name("mx.elsewhere.example"));
    world.serve_for(&domain, "enforce", DAY);
    process.run_due().await.unwrap();
    world.dns.remove(&owner(&domain), RecordKind::Txt);
    world.fail(&domain);
    world.clock.advance(DAY * 2);
    let is_missed = async || {
        let facts = MessageFacts::at(world.clock.now());
        let asked = process.inquirer.inquire(&domain, Profile::Standard, facts);
        let evidence = asked.await.unwrap();
        let decision = StandardPolicy::default().decide(&evidence, world.clock.now());
        let Route::Deliver(hops) = &decision.route else {
            panic!("{decision}")
        };
        let missed = decision.findings.iter().any(|f| f.rule == Rule::P30);
        // A host of somebody else does not get it then, whatever it is called.
        assert!(!missed || hops.iter().all(|hop| hop.must_name_domain));
        missed
    };
    assert!(is_missed().await);
    // Nobody misses it for ever.
    world.clock.advance(DAY * 30);
    assert!(!is_missed().await);
}

/// Each fetch counts: mail went there a month ago, and the last fetch was yesterday.
#[tokio::test]
async fn a_policy_is_missed_for_a_month_after_its_last_fetch() {
    let (world, domain, process) = watched_world().await;
    let missed_until = async || {
        let history = world.memory.recall(&domain).await.unwrap().unwrap();
        history.sts_enforced_until
    };
    for day in 1..=3 {
        process.run_due().await.unwrap();
        assert_eq!(world.asked(&domain), day);
        let until = world.clock.now().plus(DAY * 30);
        assert_eq!(missed_until().await, Some(until));
        world.clock.advance(DAY);
    }
    // Only the domain itself takes it back, over authenticated HTTPS.
    for mode in ["testing", "none"] {
        world.serve(&domain, "enforce");
        process.run_due().await.unwrap();
        assert!(missed_until().await.is_some());
        world.clock.advance(DAY);
        world.serve(&domain, mode);
        process.run_due().await.unwrap();
        assert_eq!(missed_until().await, None, "{mode}");
        world.clock.advance(DAY);
    }
}

/// There is time left to try again before it ends.
#[tokio::test]
async fn a_policy_of_a_short_life_is_fetched_again_at_half_of_it() {
    let (world, domain, process) = watched_world().await;
    for (life, again) in [(DAY, DAY / 2), (HOUR * 6, HOUR * 3), (HOUR / 60, HOUR)] {
        world.serve_for(&domain, "enforce", life);
        world.clock.advance(DAY);
        process.run_due().await.unwrap();
        let asked = world.asked(&domain);
        world.clock.advance(again * 7 / 8 - HOUR / 60);
        process.run_due().await.unwrap();
        assert_eq!(world.asked(&domain), asked, "{life:?}");
        world.clock.advance(again / 8 + HOUR / 60);
        process.run_due().await.unwrap();
        assert_eq!(world.asked(&domain), asked + 1, "{life:?}");
    }
}
