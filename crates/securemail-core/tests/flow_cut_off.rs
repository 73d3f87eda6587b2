//! Where nobody can be reached, that is a fault of our own: mail waits, and the operator is called.

mod flow_world;

use flow_world::{DAY, HOUR, MINUTE, World, message_with, name};
use securemail_core::backend::SessionOutcome;
use securemail_core::drive::node_events;
use securemail_core::ledger::{EventName, Log};
use securemail_core::route::Rule;
use securemail_core::vocab::TenantId;
use securemail_testkit::scripted::HostScript;

fn silent() -> HostScript {
    HostScript::ends(SessionOutcome::Unreachable("timed out".to_owned()))
}

/// So many domains that were proved once; nobody answers now, not even the sender's own host.
async fn cut_off(domains: usize) -> World {
    let world = World::new().await;
    world.transport.host(&name(flow_world::HOME), silent());
    for number in 0..domains {
        let domain = format!("d{number}.example");
        world.proved(&domain, &format!("mx.{domain}"), silent());
        let to = format!("eva@{domain}");
        let fields = format!("Message-ID: <{number}@gemeente.example>\r\n");
        let reply = world.submit(message_with(&fields, &[&to])).await;
        assert_eq!(reply.code(), 250, "{reply}");
    }
    world
}

async fn alarms(world: &World) -> (usize, usize) {
    let log = Log::of_tenant(TenantId::nobody(), &*world.master).await;
    let events = node_events(&**world.audit.inner(), &log.unwrap(), 100).await;
    let events = events.unwrap();
    let count = |name| events.iter().filter(|event| event.name == name).count();
    (count(EventName::AlarmRaised), count(EventName::AlarmOver))
}

#[tokio::test]
async fn while_nobody_can_be_reached_nothing_goes_into_the_vault_and_nothing_comes_back() {
    let world = cut_off(5).await;
    for _ in 0..12 {
        world.work_after(10 * MINUTE).await;
    }
    assert_eq!(alarms(&world).await, (1, 0), "the operator is called once");
    for _ in 0..7 {
        world.work_after(DAY).await;
        world.sweep().await;
    }
    assert_eq!(world.vault.inner().count(), 0);
    assert!(world.mails_home().is_empty());
    assert_eq!(alarms(&world).await, (1, 0));
    // The port is open again.
    for number in 0..5 {
        let host = name(&format!("mx.d{number}.example"));
        world.transport.host(&host, HostScript::takes());
    }
    world.work_after(16 * MINUTE).await;
    for number in 0..5 {
        assert_eq!(world.got(&format!("eva@d{number}.example")).len(), 1);
    }
    assert_eq!(alarms(&world).await, (1, 1));
}

#[tokio::test]
async fn its_decision_replays_from_its_event() {
    let world = cut_off(5).await;
    for _ in 0..6 {
        world.work_after(10 * MINUTE).await;
    }
    let decisions = world.logged(EventName::Decision).await;
    let last = decisions.last().unwrap().decided().unwrap();
    let mut rules = last.decision.findings.iter().map(|found| found.rule);
    assert!(rules.any(|rule| rule == Rule::F02), "{:?}", last.decision);
    assert_eq!(last.again(), last.decision);
}

#[tokio::test]
async fn where_anybody_answers_silence_is_of_the_domain() {
    let world = cut_off(5).await;
    world
        .transport
        .host(&name(flow_world::HOME), HostScript::takes());
    world.proved("well.example", "mx.well.example", HostScript::takes());
    let mut sent = 0;
    for _ in 0..6 {
        sent += 1;
        let fields = format!("Message-ID: <well{sent}@gemeente.example>\r\n");
        let mail = message_with(&fields, &["eva@well.example"]);
        assert_eq!(world.submit(mail).await.code(), 250);
        world.work_after(HOUR).await;
    }
    assert_eq!(world.vault.inner().count(), 5);
    assert_eq!(alarms(&world).await, (0, 0));
}

#[tokio::test]
async fn four_silent_domains_are_no_network() {
    let world = cut_off(4).await;
    for _ in 0..6 {
        world.work_after(HOUR).await;
    }
    assert_eq!(world.vault.inner().count(), 4);
}
