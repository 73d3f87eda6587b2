//! Nothing final happens under a policy before its announcement was asked for once more (rule G-05).

mod flow_world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flow_world::{DAY, HOUR, World, message, name};
use securemail_core::backend::{Clock, FetchedPolicy, Resolver, TransportPolicy, VantageView};
use securemail_core::drive::Inquirer;
use securemail_core::ledger::EventName;
use securemail_core::route::{
    Decision, Evidence, MessageFacts, PolicySettings, Route, Rule, StandardPolicy,
};
use securemail_core::vocab::{Answer, DnsName, Outcome, Profile, Question, RecordKind, Security};
use securemail_testkit::memory::MemoryDomainMemory;
use securemail_testkit::scripted::{HostScript, ScriptedDns};
use securemail_testkit::sim::ManualClock;

/// A resolver whose cache never ends: only `resolve_anew` sees what changed.
#[derive(Debug, Default)]
struct Caching {
    dns: Arc<ScriptedDns>,
    kept: Mutex<std::collections::BTreeMap<Question, Answer>>,
}

#[async_trait]
impl Resolver for Caching {
    async fn resolve(&self, question: &Question) -> Answer {
        let kept = self.kept.lock().unwrap().get(question).cloned();
        match kept {
            Some(answer) => answer,
            None => self.resolve_anew(question).await,
        }
    }

    async fn resolve_anew(&self, question: &Question) -> Answer {
        let answer = self.dns.resolve(question).await;
        let mut kept = self.kept.lock().unwrap();
        kept.insert(question.clone(), answer.clone());
        answer
    }

    async fn vantages(&self, question: &Question) -> Vec<VantageView> {
        self.dns.vantages(question).await
    }
}

struct Asking {
    dns: Arc<ScriptedDns>,
    inquirer: Inquirer,
    clock: Arc<ManualClock>,
    facts: MessageFacts,
}

impl Asking {
    fn new() -> Self {
        let dns = Arc::new(ScriptedDns::default());
        dns.unsigned(&domain(), &name("mx.host.example"));
        let clock = Arc::new(ManualClock::default());
        let resolver = Caching {
            dns: dns.clone(),
            ..Caching::default()
        };
        Self {
            inquirer: Inquirer {
                resolver: Arc::new(resolver),
                fetcher: dns.clone(),
                memory: Arc::new(MemoryDomainMemory::default()),
                clock: clock.clone(),
                port: 25,
            },
            facts: MessageFacts::at(clock.now()),
            dns,
            clock,
        }
    }

    fn publish(&self, id: &str, host: &str) {
        publish(&self.dns, &domain(), id, host);
    }

    async fn inquire(&self) -> Evidence {
        let mut facts = self.facts.clone();
        facts.round_began = self.clock.now();
        let domain = domain();
        let evidence = self.inquirer.inquire(&domain, Profile::Standard, facts);
        evidence.await.unwrap()
    }

    fn decide(&self, evidence: &Evidence) -> Decision {
        StandardPolicy::default().decide(evidence, self.clock.now())
    }
}

fn publish(dns: &ScriptedDns, domain: &DnsName, id: &str, host: &str) {
    let outcome = Outcome::Txt(vec![format!("v=STSv1; id={id};")]);
    let owner = domain.below("_mta-sts").unwrap();
    dns.put(&owner, RecordKind::Txt, outcome, Security::Insecure);
    let body = format!("version: STSv1\nmode: enforce\nmax_age: 2592000\nmx: {host}\n");
    dns.policy(domain, Ok(FetchedPolicy { body: body.into() }));
}

fn domain() -> DnsName {
    name("example.net")
}

#[tokio::test]
async fn a_repaired_policy_saves_the_message_at_the_last_moment() {
    let world = Asking::new();
    world.publish("1", "mx.other.example");
    let first = world.decide(&world.inquire().await);
    assert!(!first.wants_confirmation(), "{first}");
    world.clock.advance(Duration::from_secs(5 * 86_400));
    world.publish("2", "mx.host.example");
    let evidence = world.inquire().await;
    let decision = world.decide(&evidence);
    assert!(decision.wants_confirmation(), "{decision}");
    assert!(matches!(decision.route, Route::Defer { .. }), "{decision}");
    let evidence = world.inquirer.confirm(evidence).await.unwrap();
    let decision = world.decide(&evidence);
    assert!(matches!(decision.route, Route::Deliver(_)), "{decision}");
    let kept = world.inquirer.memory.policy(&domain()).await.unwrap();
    assert_eq!(kept.map(|kept| kept.id), Some("2".to_owned()));
}

#[tokio::test]
async fn what_is_still_not_met_goes_back_after_it_was_asked_again() {
    let world = Asking::new();
    world.publish("1", "mx.other.example");
    world.inquire().await;
    world.clock.advance(Duration::from_secs(5 * 86_400));
    let evidence = world.inquirer.confirm(world.inquire().await).await.unwrap();
    let decision = world.decide(&evidence);
    let bounced = matches!(
        decision.route,
        Route::Bounce {
            rule: Rule::G10,
            ..
        }
    );
    assert!(bounced, "{decision}");
    assert!(decision.findings.iter().any(|f| f.rule == Rule::G05));
}

/// Whoever hides the announcement when it is asked for again changes nothing: what is kept applies.
#[tokio::test]
async fn hiding_the_announcement_frees_nobody_from_the_policy() {
    let world = Asking::new();
    world.publish("1", "mx.other.example");
    world.inquire().await;
    world.clock.advance(Duration::from_secs(5 * 86_400));
    let evidence = world.inquire().await;
    let owner = domain().below("_mta-sts").unwrap();
    world.dns.remove(&owner, RecordKind::Txt);
    let evidence = world.inquirer.confirm(evidence).await.unwrap();
    let decision = world.decide(&evidence);
    assert!(!matches!(decision.route, Route::Deliver(_)), "{decision}");
}

/// What is asked anew sees what a cache hides, and decides by the policy that was fetched.
#[tokio::test]
async fn an_inquiry_made_anew_looks_past_what_is_kept() {
    let world = Asking::new();
    world.publish("1", "mx.other.example");
    world.inquire().await;
    world.publish("2", "mx.host.example");
    let again = world.inquire().await;
    assert!(!matches!(world.decide(&again).route, Route::Deliver(_)));
    let facts = world.facts.clone();
    let domain = domain();
    let anew = async || {
        let facts = facts.clone();
        let anew = world
            .inquirer
            .inquire_anew(&domain, Profile::Standard, facts);
        anew.await.unwrap()
    };
    let found = anew().await;
    assert!(found.sts.cached.is_none() && found.sts.fetched.is_some());
    let decision = world.decide(&found);
    assert!(matches!(decision.route, Route::Deliver(_)), "{decision}");
    // Also where its owner changed it under the same id.
    world.publish("2", "mx.other.example");
    let decision = world.decide(&anew().await);
    assert!(!matches!(decision.route, Route::Deliver(_)), "{decision}");
}

/// The main flow asks: without it the message would never go back.
#[tokio::test]
async fn the_flow_gives_a_message_back_only_after_it_asked_again() {
    let world = World::new().await;
    world.unsigned("example.net", "mx.host.example", HostScript::takes());
    publish(&world.dns, &domain(), "1", "mx.other.example");
    assert_eq!(
        world.submit(message(&["eva@example.net"])).await.code(),
        250
    );
    for _ in 0..16 {
        world.work_after(8 * HOUR).await;
    }
    world.work_after(DAY).await;
    world.work_after(HOUR).await;
    assert!(world.got("eva@example.net").is_empty());
    assert_eq!(world.vault.inner().count(), 0, "never diverted");
    let home = world.mails_home();
    assert!(home.iter().any(|mail| mail.contains("5.7.5")), "{home:?}");
}

#[tokio::test]
async fn g_08_two_domains_at_one_host_are_decided_apart() {
    let world = Asking::new();
    let signed = name("example.org");
    world.dns.sign(&signed);
    world
        .dns
        .mail(&signed, &[&name("mx.host.example")], Security::Secure);
    let host = name("mx.host.example");
    let decide = async |domain: &DnsName| {
        let facts = MessageFacts::at(world.clock.now());
        let evidence = world.inquirer.inquire(domain, Profile::Strict, facts).await;
        let policy = StandardPolicy::new(PolicySettings::default());
        match policy.decide(&evidence.unwrap(), world.clock.now()).route {
            Route::Deliver(hops) => hops[0].clone(),
            other => panic!("{other:?}"),
        }
    };
    let (one, other) = (decide(&signed).await, decide(&domain()).await);
    assert_eq!((&one.host, &other.host), (&host, &host));
    assert!(!one.must_name_domain && other.must_name_domain);
}

#[tokio::test]
async fn g_08_recipients_of_one_domain_go_by_one_decision() {
    let world = World::new().await;
    world.proved("one.example", "mx.one.example", HostScript::takes());
    let to = ["eva@one.example", "bob@one.example"];
    assert_eq!(world.submit(message(&to)).await.code(), 250);
    let got = to.map(|recipient| world.got(recipient).len());
    assert_eq!((got, world.transport.attempts()), ([1, 1], 1));
    let decisions = world.logged(EventName::Decision).await;
    let decided: Vec<_> = decisions.iter().map(|event| event.decided()).collect();
    assert!(decided[0].is_some() && decided.iter().all(|one| *one == decided[0]));
}
