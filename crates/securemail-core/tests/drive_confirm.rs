//! Nothing final happens under a policy before its announcement was asked for once more, or by what is not signed and
//! was kept (rule G-05).

mod flow_world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flow_world::{DAY, HOUR, MINUTE, World, message, name};
use securemail_core::backend::{
    Clock, FetchedPolicy, Resolver, SessionOutcome, Span, TransportPolicy, VantageView,
};
use securemail_core::drive::Inquirer;
use securemail_core::ledger::EventName;
use securemail_core::route::{
    Decision, Evidence, MessageFacts, PolicySettings, Route, Rule, StandardPolicy,
};
use securemail_core::vocab::{
    Answer, DnsName, LookupFailure, Mx, MxTarget, NtaSettings, Outcome, Profile, Question,
    RecordKind, Security,
};
use securemail_testkit::memory::MemoryDomainMemory;
use securemail_testkit::scripted::{HostScript, ScriptedDns};
use securemail_testkit::sim::ManualClock;

/// A resolver whose cache never ends: only `resolve_anew` sees what changed.
#[derive(Debug)]
struct Caching {
    dns: Arc<ScriptedDns>,
    clock: Arc<ManualClock>,
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
        let mut answer = self.dns.resolve(question).await;
        answer.asked = Some(self.clock.now());
        let mut kept = self.kept.lock().unwrap();
        kept.insert(question.clone(), answer.clone());
        answer
    }

    /// Deceived as we were: else nothing would be believed that is forged.
    async fn vantages(&self, question: &Question) -> Vec<VantageView> {
        vec![VantageView {
            vantage: "deceived".to_owned(),
            answer: self.resolve(question).await,
        }]
    }
}

impl Caching {
    fn new(dns: &Arc<ScriptedDns>, clock: &Arc<ManualClock>) -> Arc<Self> {
        Arc::new(Self {
            dns: dns.clone(),
            clock: clock.clone(),
            kept: Mutex::default(),
        })
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
        Self {
            inquirer: Inquirer {
                resolver: Caching::new(&dns, &clock),
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

/// What a forger of one answer may say, and the host that he names where he names one.
fn forged() -> [Outcome; 4] {
    let mx = |target| {
        Outcome::Mx(vec![Mx {
            preference: 0,
            target,
        }])
    };
    [
        Outcome::NxDomain,
        mx(MxTarget::Null),
        mx(MxTarget::Host(name("mx.forger.example"))),
        // Nobody has an address there.
        mx(MxTarget::Host(name("none.forger.example"))),
    ]
}

/// A world in which one forged answer about the domain is in the cache, and the truth is in the DNS again.
async fn deceived_once(forged: Outcome, script: HostScript) -> World {
    let mut world = World::new().await;
    world.unsigned("example.net", "mx.host.example", HostScript::takes());
    world.unsigned("forger.example", "mx.forger.example", script);
    let resolver = Caching::new(&world.dns, &world.clock);
    world.asks(resolver.clone()).await;
    let (domain, truth) = (domain(), Question::new(domain(), RecordKind::Mx));
    let real = world.dns.resolve(&truth).await;
    world
        .dns
        .put(&domain, RecordKind::Mx, forged, Security::Insecure);
    resolver.resolve(&truth).await;
    world
        .dns
        .put(&domain, RecordKind::Mx, real.outcome, real.security);
    world
}

#[tokio::test]
async fn one_forged_answer_never_confirms_itself() {
    for forged in forged() {
        let told = format!("{forged:?}");
        let ends = HostScript::ends(SessionOutcome::NoStartTls(None));
        let world = deceived_once(forged, ends).await;
        let reply = world.submit(message(&["eva@example.net"])).await;
        assert_eq!(reply.code(), 250, "{told}: {reply}");
        // Past the clocks of a denial, of no way, of silence, and of waiting at all.
        for wait in [10 * MINUTE, 10 * MINUTE, HOUR, 4 * HOUR, 5 * DAY, HOUR] {
            world.work_after(wait).await;
        }
        assert_eq!(world.got("eva@example.net").len(), 1, "{told}");
        let home = world.mails_home();
        let waits = |mail: &String| mail.contains("Not delivered yet");
        assert!(home.iter().all(waits), "{told}: {home:?}");
        assert_eq!(world.vault.inner().count(), 0, "{told}");
    }
}

#[tokio::test]
async fn one_forged_answer_refuses_nobody_at_rcpt() {
    let world = deceived_once(Outcome::NxDomain, HostScript::takes()).await;
    let eva = "eva@example.net".parse().unwrap();
    let tenant = flow_world::tenant();
    for wait in [0, 11, 60] {
        world.clock.advance(MINUTE * wait);
        let reply = world.relay.recipient(&tenant.id, &eva).await;
        assert_eq!(reply.code(), 250, "{reply}");
        // The first look is remembered when a message comes.
        let other = world.submit(message(&["bob@example.net"])).await;
        assert_eq!(other.code(), 250, "{other}");
    }
}

/// What is denied again when it is asked for again is denied.
#[tokio::test]
async fn a_denial_that_is_still_there_ends_the_message_after_the_second_look() {
    let mut world = World::new().await;
    let resolver = Caching::new(&world.dns, &world.clock);
    world.asks(resolver).await;
    assert_eq!(
        world.submit(message(&["eva@example.net"])).await.code(),
        250
    );
    assert!(world.mails_home().is_empty());
    world.work_after(11 * MINUTE).await;
    world.work_after(MINUTE).await;
    let home = world.mails_home();
    assert!(home.iter().any(|mail| mail.contains("5.1.2")), "{home:?}");
    let reply = world
        .relay
        .recipient(
            &flow_world::tenant().id,
            &"bob@example.net".parse().unwrap(),
        )
        .await;
    assert_eq!(reply.code(), 550, "{reply}");
}

/// A look that is kept from before the first one is none, whatever round asks for it.
#[tokio::test]
async fn a_second_look_was_asked_for_after_the_first() {
    let world = Asking::new();
    world.dns.put(
        &domain(),
        RecordKind::Mx,
        Outcome::NxDomain,
        Security::Insecure,
    );
    let mut evidence = world.inquire().await;
    let first = world.clock.now();
    world.clock.advance(Duration::from_secs(3600));
    let span = Span {
        since: first,
        last: first,
    };
    evidence.history.get_or_insert_default().absent = Some(span);
    let kept = world.decide(&evidence);
    assert!(kept.wants_confirmation(), "{kept}");
    for asked in &mut evidence.dns {
        asked.answer.asked = Some(first.plus(Duration::from_secs(1)));
    }
    assert!(matches!(
        world.decide(&evidence).route,
        Route::Bounce { .. }
    ));
    // Evidence of earlier versions does not tell, and replays as it was decided.
    for asked in &mut evidence.dns {
        asked.answer.asked = None;
    }
    assert!(matches!(
        world.decide(&evidence).route,
        Route::Bounce { .. }
    ));
}

/// What is said of a domain without proof, and is found out again each time it is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Unproved {
    /// Nobody is there.
    Denied,
    /// Somebody is, say other vantages.
    Contradicted,
    /// The resolver says that its answer is old.
    Stale,
    /// The domain was signed before.
    WasSigned,
    /// It cannot be asked.
    Failed,
    /// A record of NTA 7516 without a signature.
    TakesPart,
}

/// What ends a message without a look at any host.
#[tokio::test]
async fn nothing_that_is_said_of_a_domain_without_proof_ends_a_message_out_of_the_cache() {
    use Unproved as U;
    for said in [
        U::Denied,
        U::Contradicted,
        U::Stale,
        U::WasSigned,
        U::Failed,
        U::TakesPart,
    ] {
        let (mut world, domain) = (Asking::new(), domain());
        match said {
            U::Failed => world
                .dns
                .fail(&domain, RecordKind::Mx, LookupFailure::ServFail),
            U::TakesPart => {
                let record = "v=NTA7516-1;startdate=2020-01;enddate=2099-12;provider=Example";
                let texts = Outcome::Txt(vec![record.to_owned()]);
                world
                    .dns
                    .put(&domain, RecordKind::Txt, texts, Security::Insecure);
                world.facts.nta7516 = Some(NtaSettings::default());
            }
            U::Denied | U::Contradicted | U::Stale | U::WasSigned => {
                let nobody = Outcome::NxDomain;
                world
                    .dns
                    .put(&domain, RecordKind::Mx, nobody, Security::Insecure);
            }
        }
        world.inquire().await;
        world.clock.advance(5 * DAY);
        let mut evidence = world.inquire().await;
        match said {
            U::Contradicted => {
                for view in evidence
                    .vantages
                    .iter_mut()
                    .flat_map(|seen| &mut seen.views)
                {
                    view.answer.outcome = Outcome::NoData;
                }
            }
            U::Stale => {
                for asked in &mut evidence.dns {
                    asked.answer.extended_errors.push(3);
                }
            }
            U::WasSigned => {
                let history = evidence.history.get_or_insert_default();
                history.mx_secure_at = Some(world.clock.now());
            }
            U::Denied | U::Failed | U::TakesPart => {}
        }
        let kept = world.decide(&evidence);
        assert!(kept.wants_confirmation(), "{said:?}: {kept}");
        for asked in &mut evidence.dns {
            asked.answer.asked = Some(world.clock.now());
        }
        let fresh = world.decide(&evidence);
        let ends = matches!(fresh.route, Route::Bounce { .. } | Route::Vault { .. });
        assert!(ends, "{said:?}: {fresh}");
    }
}
