//! What an inquiry keeps in domain memory: policies that are policies, and fetches that failed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use securemail_core::backend::{
    Clock, DomainMemory, FetchError, FetchedPolicy, PolicyFetcher, TransportPolicy,
};
use securemail_core::drive::Inquirer;
use securemail_core::route::{
    Decision, Evidence, MessageFacts, Route, Rule, StandardPolicy, learn,
};
use securemail_core::vocab::{DnsName, Outcome, Profile, RecordKind, Security};
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
        let inquirer = Inquirer {
            resolver: self.dns.clone(),
            fetcher: self.host.clone(),
            memory: self.memory.clone(),
            clock: self.clock.clone(),
            port: 25,
        };
        let facts = MessageFacts::at(self.clock.now());
        let evidence = inquirer.inquire(&domain(), Profile::Standard, facts).await;
        evidence.unwrap()
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
