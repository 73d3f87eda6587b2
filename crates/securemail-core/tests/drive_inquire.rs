//! What an inquiry keeps in domain memory: policies that are policies, and fetches that failed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use securemail_core::backend::{
    Clock, DomainMemory, FetchError, FetchedPolicy, PolicyFetcher, Resolver, TransportPolicy,
    VantageView,
};
use securemail_core::drive::Inquirer;
use securemail_core::route::{
    Decision, Evidence, MessageFacts, Route, Rule, StandardPolicy, learn,
};
use securemail_core::vocab::{Answer, DnsName, Outcome, Profile, Question, RecordKind, Security};
use securemail_testkit::memory::MemoryDomainMemory;
use securemail_testkit::scripted::ScriptedDns;
use securemail_testkit::sim::ManualClock;

const ENFORCE: &str = "version: STSv1\nmode: enforce\nmax_age: 604800\nmx: mx.host.example\n";

/// A policy host that is told what to serve, and counts.
#[derive(Debug)]
struct PolicyHost(Mutex<(Result<&'static str, FetchError>, usize)>);

impl PolicyHost {
    fn serve(&self, what: Result<&'static str, FetchError>) {
        self.0.lock().unwrap().0 = what;
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

#[async_trait]
impl PolicyFetcher for PolicyHost {
    async fn fetch(&self, _: &DnsName) -> Result<FetchedPolicy, FetchError> {
        let mut told = self.0.lock().unwrap();
        told.1 += 1;
        let body = told.0.clone()?;
        Ok(FetchedPolicy { body: body.into() })
    }
}

struct World {
    dns: Arc<ScriptedDns>,
    host: Arc<PolicyHost>,
    memory: Arc<MemoryDomainMemory>,
    clock: Arc<ManualClock>,
}

impl World {
    /// `example.net`, unsigned, at a host elsewhere, with a policy that is served and kept.
    fn new() -> Self {
        let world = Self {
            dns: Arc::new(ScriptedDns::default()),
            host: Arc::new(PolicyHost(Mutex::new((Ok(ENFORCE), 0)))),
            memory: Arc::new(MemoryDomainMemory::default()),
            clock: Arc::new(ManualClock::default()),
        };
        world.dns.unsigned(&domain(), &name("mx.host.example"));
        world
    }

    /// Announces a policy under this id.
    fn announce(&self, id: &str) {
        let outcome = Outcome::Txt(vec![format!("v=STSv1; id={id};")]);
        let owner = name("_mta-sts.example.net");
        self.dns
            .put(&owner, RecordKind::Txt, outcome, Security::Insecure);
    }

    async fn decide(&self) -> Decision {
        StandardPolicy::default().decide(&self.inquire().await, self.clock.now())
    }

    async fn inquire(&self) -> Evidence {
        let facts = MessageFacts::at(self.clock.now());
        let inquirer = self.inquirer();
        let evidence = inquirer.inquire(&domain(), Profile::Standard, facts).await;
        evidence.unwrap()
    }

    async fn inquire_anew(&self) -> Evidence {
        let facts = MessageFacts::at(self.clock.now());
        let inquirer = self.inquirer();
        let evidence = inquirer
            .inquire_anew(&domain(), Profile::Standard, facts)
            .await;
        evidence.unwrap()
    }

    fn inquirer(&self) -> Inquirer {
        Inquirer {
            resolver: self.dns.clone(),
            fetcher: self.host.clone(),
            memory: self.memory.clone(),
            clock: self.clock.clone(),
            port: 25,
        }
    }
}

fn domain() -> DnsName {
    name("example.net")
}

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

#[tokio::test]
async fn what_is_not_a_policy_does_not_replace_one() {
    let world = World::new();
    world.announce("1");
    world.inquire().await;
    let kept = world.memory.policy(&domain()).await.unwrap();
    assert_eq!(kept.as_ref().map(|kept| kept.body.as_str()), Some(ENFORCE));
    world.announce("2");
    world.host.serve(Ok("<html>It works!</html>"));
    world.inquire().await;
    assert_eq!(world.host.asked(), 2);
    assert_eq!(world.memory.policy(&domain()).await.unwrap(), kept);
}

#[tokio::test]
async fn a_fetch_that_failed_is_not_made_again_for_five_minutes() {
    for failure in [Err(FetchError::Unreachable), Ok("<html>It works!</html>")] {
        let world = World::new();
        world.announce("1");
        world.host.serve(failure);
        let first = world.decide().await;
        world.clock.advance(Duration::from_secs(299));
        assert_eq!(world.decide().await.findings, first.findings);
        assert_eq!(world.host.asked(), 1);
        world.clock.advance(Duration::from_secs(1));
        world.inquire().await;
        assert_eq!(world.host.asked(), 2);
    }
}

#[tokio::test]
async fn another_id_is_fetched_at_once() {
    let world = World::new();
    world.announce("1");
    world.host.serve(Err(FetchError::Unreachable));
    world.inquire().await;
    world.announce("2");
    world.host.serve(Ok(ENFORCE));
    world.inquire().await;
    assert_eq!(world.host.asked(), 2);
    let kept = world.memory.policy(&domain()).await.unwrap();
    assert_eq!(kept.map(|kept| kept.id), Some("2".to_owned()));
}

#[tokio::test]
async fn a_newer_policy_replaces_one_that_is_in_force() {
    let world = World::new();
    world.announce("1");
    world.inquire().await;
    world.announce("2");
    world.inquire().await;
    assert_eq!(world.host.asked(), 2);
    let kept = world.memory.policy(&domain()).await.unwrap();
    assert_eq!(kept.map(|kept| kept.id), Some("2".to_owned()));
}

#[tokio::test]
async fn who_asks_anew_is_told_by_what_is_served_now_though_its_id_is_the_same() {
    const ELSEWHERE: &str =
        "version: STSv1\nmode: enforce\nmax_age: 604800\nmx: mx.other.example\n";
    let world = World::new();
    world.announce("1");
    world.inquire().await;
    world.host.serve(Ok(ELSEWHERE));
    let kept = StandardPolicy::default().decide(&world.inquire().await, world.clock.now());
    assert!(matches!(kept.route, Route::Deliver(_)), "{kept}");
    let anew = StandardPolicy::default().decide(&world.inquire_anew().await, world.clock.now());
    assert!(matches!(anew.route, Route::Defer { .. }), "{anew}");
    let rules: Vec<Rule> = anew.findings.iter().map(|f| f.rule).collect();
    assert!(
        rules.contains(&Rule::P09) && rules.contains(&Rule::X09),
        "{anew}"
    );
    // Where nothing is served, what is in force applies.
    world.host.serve(Err(FetchError::Unreachable));
    let silent = StandardPolicy::default().decide(&world.inquire_anew().await, world.clock.now());
    assert!(matches!(silent.route, Route::Defer { .. }), "{silent}");
    let rules: Vec<Rule> = silent.findings.iter().map(|f| f.rule).collect();
    assert!(rules.contains(&Rule::X09), "{silent}");
}

#[tokio::test]
async fn while_a_fetch_is_not_made_again_the_policy_in_force_applies() {
    let world = World::new();
    world.announce("1");
    world.inquire().await;
    world.announce("2");
    world.host.serve(Err(FetchError::Certificate));
    world.inquire().await;
    let decision = world.decide().await;
    assert_eq!(world.host.asked(), 2);
    let rules: Vec<Rule> = decision.findings.iter().map(|f| f.rule).collect();
    assert!(rules.contains(&Rule::P10), "{decision}");
    assert!(matches!(decision.route, Route::Deliver(_)), "{decision}");
}

/// What a round learns afterwards does not take the failure back.
#[tokio::test]
async fn a_failed_fetch_is_still_known_after_a_round() {
    let world = World::new();
    world.announce("1");
    world.host.serve(Err(FetchError::Unreachable));
    let evidence = world.inquire().await;
    let now = world.clock.now();
    let decision = StandardPolicy::default().decide(&evidence, now);
    let learnt = learn(evidence.history.clone(), &evidence, &decision, None, now);
    world.memory.remember(&domain(), &learnt).await.unwrap();
    world.inquire().await;
    assert_eq!(world.host.asked(), 1);
}

/// Counts how often the answer to one question was needed to ask another: questions that are open at the
/// same time are one round trip.
#[derive(Debug)]
struct Rounds<T> {
    inner: Arc<T>,
    counted: Arc<Mutex<Counted>>,
}

#[derive(Debug, Default)]
struct Counted {
    open: usize,
    rounds: usize,
}

impl<T> Rounds<T> {
    fn over(inner: &Arc<T>, counted: &Arc<Mutex<Counted>>) -> Arc<Self> {
        Arc::new(Self {
            inner: inner.clone(),
            counted: counted.clone(),
        })
    }

    async fn trip(&self) {
        {
            let mut counted = self.counted.lock().unwrap();
            counted.rounds += usize::from(counted.open == 0);
            counted.open += 1;
        }
        // Whatever is asked at once is asked before the first answer comes.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.counted.lock().unwrap().open -= 1;
    }
}

#[async_trait]
impl Resolver for Rounds<ScriptedDns> {
    async fn resolve(&self, question: &Question) -> Answer {
        self.trip().await;
        self.inner.resolve(question).await
    }

    async fn resolve_anew(&self, question: &Question) -> Answer {
        self.trip().await;
        self.inner.resolve_anew(question).await
    }

    async fn vantages(&self, question: &Question) -> Vec<VantageView> {
        self.trip().await;
        self.inner.vantages(question).await
    }
}

#[async_trait]
impl PolicyFetcher for Rounds<PolicyHost> {
    async fn fetch(&self, domain: &DnsName) -> Result<FetchedPolicy, FetchError> {
        self.trip().await;
        self.inner.fetch(domain).await
    }
}

impl World {
    /// What a cold inquiry finds, and how many round trips it needs one after the other.
    async fn inquire_counting(&self, domain: &DnsName) -> (Evidence, usize) {
        let counted = Arc::default();
        let inquirer = Inquirer {
            resolver: Rounds::over(&self.dns, &counted),
            fetcher: Rounds::over(&self.host, &counted),
            memory: Arc::new(MemoryDomainMemory::default()),
            clock: self.clock.clone(),
            port: 25,
        };
        let facts = MessageFacts::at(self.clock.now());
        let evidence = inquirer.inquire(domain, Profile::Standard, facts).await;
        let rounds = counted.lock().unwrap().rounds;
        (evidence.unwrap(), rounds)
    }
}

#[tokio::test]
async fn a_cold_decision_needs_three_round_trips_at_most() {
    let world = World::new();
    world.announce("1");
    let (evidence, rounds) = world.inquire_counting(&domain()).await;
    assert!(
        evidence.fetched_policy().is_some(),
        "the policy is fetched on the way"
    );
    assert!(rounds <= 3, "unsigned, with a policy: {rounds}");

    let (signed, host) = (name("signed.example"), name("mx.signed.example"));
    world.dns.dane(&signed, &host);
    let (evidence, rounds) = world.inquire_counting(&signed).await;
    let has_tlsa = evidence
        .dns
        .iter()
        .any(|asked| matches!(asked.answer.outcome, Outcome::Tlsa(_)));
    assert!(has_tlsa, "TLSA records are asked for");
    assert_eq!(rounds, 3, "mail servers, then addresses, then TLSA records");
}
