//! Answers that run out while hosts are tried are asked again before the next host is.

mod flow_world;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_world::{HOUR, MINUTE, World, message, name};
use securemail_core::backend::{Clock, Resolver, SessionOutcome, VantageView};
use securemail_core::vocab::{Answer, Question, Security, UnixTime};
use securemail_testkit::scripted::{HostScript, ScriptedDns};
use securemail_testkit::sim::ManualClock;

/// The DNS as it is until a moment, and then another; its answers last for `ttl`.
#[derive(Debug)]
struct Changing {
    clock: Arc<ManualClock>,
    ttl: Duration,
    before: Arc<ScriptedDns>,
    after: ScriptedDns,
    changes: UnixTime,
}

#[async_trait]
impl Resolver for Changing {
    async fn resolve(&self, question: &Question) -> Answer {
        let now = self.clock.now();
        let mut answer = match now < self.changes {
            true => self.before.resolve(question).await,
            false => self.after.resolve(question).await,
        };
        answer.expires = now.plus(self.ttl);
        answer.asked = Some(now);
        answer
    }

    async fn resolve_anew(&self, question: &Question) -> Answer {
        self.resolve(question).await
    }

    async fn vantages(&self, _: &Question) -> Vec<VantageView> {
        Vec::new()
    }
}

const EVA: &str = "eva@example.net";

/// The first host is silent for twenty minutes, in which the second is replaced by a third.
async fn world(ttl: Duration) -> World {
    let mut world = World::new().await;
    let gone = HostScript::ends(SessionOutcome::Unreachable("timed out".to_owned()));
    let silent = gone.after(20 * MINUTE, Duration::ZERO);
    world.transport.host(&name("silent.example.net"), silent);
    let after = ScriptedDns::default();
    for (dns, second) in [
        (&*world.dns, "old.example.net"),
        (&after, "new.example.net"),
    ] {
        let (domain, silent, second) = (
            name("example.net"),
            name("silent.example.net"),
            name(second),
        );
        dns.dane(&domain, &silent);
        dns.dane(&domain, &second);
        dns.mail(&domain, &[&silent, &second], Security::Secure);
        world.transport.host(&second, HostScript::takes());
    }
    after.dane(&name("gemeente.example"), &name(flow_world::HOME));
    let changing = Changing {
        clock: world.clock.clone(),
        ttl,
        before: world.dns.clone(),
        after,
        changes: world.now().plus(20 * MINUTE),
    };
    world.asks(Arc::new(changing)).await;
    world
}

#[tokio::test]
async fn a_host_is_proved_by_what_the_dns_says_when_it_is_tried() {
    for (ttl, host) in [(5 * MINUTE, "new.example.net"), (HOUR, "old.example.net")] {
        let world = world(ttl).await;
        assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
        world.work_after(8 * MINUTE).await;
        let got = world.got(EVA);
        let hosts: Vec<&str> = got.iter().map(|mail| mail.host.as_str()).collect();
        assert_eq!(hosts, [host], "{ttl:?}");
    }
}

/// Hosts that were tried in the round stay tried, or it would have no end.
#[tokio::test]
async fn a_round_goes_on_where_it_was() {
    let world = world(Duration::ZERO).await;
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    let before = world.transport.attempts();
    world.work_after(8 * MINUTE).await;
    assert_eq!(world.transport.attempts() - before, 2);
}

#[tokio::test]
async fn what_cannot_be_asked_again_waits() {
    let world = world(5 * MINUTE).await;
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    let memory = world.memory.clone();
    let clock = world.clock.clone();
    let breaks = world.now().plus(15 * MINUTE);
    tokio::spawn(async move {
        clock.sleep_until(breaks).await;
        memory.down();
    });
    world.work_after(8 * MINUTE).await;
    assert!(world.got(EVA).is_empty());
    assert_eq!(world.spool.inner().contents(), 1);
}
