//! Alarms of the node: one event where one begins, one where it is over, and a count of every occurrence.

mod flow_world;

use flow_world::{HOUR, MINUTE, World, message, message_with, name};
use securemail_core::backend::Fact;
use securemail_core::drive::node_events;
use securemail_core::ledger::{EventName, Log, ReadEvent, lasting_alarms, timeline};
use securemail_core::vocab::{Alarm, LookupFailure, Mx, MxTarget, Outcome, RecordKind, TenantId};
use securemail_testkit::scripted::HostScript;

const EVA: &str = "eva@proved.example";
const OLE: &str = "ole@open.example";

async fn world() -> World {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    world.unsigned("open.example", "mx.open.example", HostScript::takes());
    world
}

async fn of_node(world: &World) -> Vec<ReadEvent> {
    let log = Log::of_tenant(TenantId::nobody(), &*world.master).await;
    node_events(&*world.audit, &log.unwrap(), 100)
        .await
        .unwrap()
}

async fn names(world: &World) -> Vec<EventName> {
    of_node(world)
        .await
        .iter()
        .map(|event| event.name)
        .collect()
}

fn heard(world: &World, alarm: Alarm) -> usize {
    let facts = world.observer.facts();
    facts
        .iter()
        .filter(|fact| **fact == Fact::Alarm(alarm))
        .count()
}

fn elsewhere(outcome: Option<Outcome>, world: &World) {
    world
        .dns
        .seen_elsewhere(&name("open.example"), RecordKind::Mx, outcome);
}

fn mx(host: &str) -> Outcome {
    Outcome::Mx(vec![Mx {
        preference: 10,
        target: MxTarget::Host(name(host)),
    }])
}

#[tokio::test]
async fn validators_that_disagree_are_one_event_and_one_more_when_they_agree_for_an_hour() {
    use EventName::{AlarmOver, AlarmRaised};
    let world = world().await;
    let host = name("_25._tcp.mx.proved.example");
    let disagree = || {
        world
            .dns
            .fail(&host, RecordKind::Tlsa, LookupFailure::Disagreement)
    };
    disagree();
    for _ in 0..3 {
        world.submit(message(&[EVA])).await;
    }
    assert_eq!(names(&world).await, [AlarmRaised], "no storm");
    assert!(heard(&world, Alarm::Disagreement) >= 3, "each is counted");
    let told = timeline(&of_node(&world).await);
    assert!(
        told.ends_with(
            "  -  ALARM: two validators do not agree: about _25._tcp.mx.proved.example\n"
        ),
        "{told}"
    );
    world
        .dns
        .dane(&name("proved.example"), &name("mx.proved.example"));
    world.clock.advance(50 * MINUTE);
    world.sweep().await;
    assert_eq!(names(&world).await, [AlarmRaised], "not yet an hour");
    world.clock.advance(20 * MINUTE);
    world.sweep().await;
    world.sweep().await;
    assert_eq!(names(&world).await, [AlarmRaised, AlarmOver]);
    disagree();
    world.submit(message(&[EVA])).await;
    assert_eq!(names(&world).await, [AlarmRaised, AlarmOver, AlarmRaised]);
}

#[tokio::test]
async fn a_vantage_that_sees_other_mail_servers_is_an_alarm_and_a_silent_one_is_not() {
    let world = world().await;
    elsewhere(Some(Outcome::Failed(LookupFailure::Timeout)), &world);
    world.submit(message(&[OLE])).await;
    elsewhere(Some(mx("mx.open.example")), &world);
    world.submit(message(&[OLE])).await;
    assert!(names(&world).await.is_empty());
    assert_eq!(heard(&world, Alarm::Vantage), 0);
    elsewhere(Some(mx("mx.thief.example")), &world);
    world.submit(message(&[OLE])).await;
    assert_eq!(names(&world).await, [EventName::AlarmRaised]);
    assert_eq!(heard(&world, Alarm::Vantage), 1);
    assert_eq!(heard(&world, Alarm::Disagreement), 0);
    // What the domain is called stands in the sealed part of the event alone.
    let told = timeline(&of_node(&world).await);
    assert!(told.contains("about open.example"), "{told}");
}

#[tokio::test]
async fn mail_that_still_goes_where_less_is_published_than_before_is_an_alarm() {
    let world = world().await;
    world.submit(message_with("", &[EVA])).await;
    assert_eq!(heard(&world, Alarm::Fall), 0);
    let records = name("_25._tcp.mx.proved.example");
    world.dns.remove(&records, RecordKind::Tlsa);
    for _ in 0..2 {
        world.submit(message_with("", &[EVA])).await;
    }
    assert_eq!(world.got(EVA).len(), 3, "the certificate is enough");
    assert_eq!(heard(&world, Alarm::Fall), 2, "each is counted");
    assert_eq!(names(&world).await, [EventName::AlarmRaised], "no storm");
    let told = timeline(&of_node(&world).await);
    assert!(told.contains("about mx.proved.example"), "{told}");
}

#[tokio::test]
async fn a_canary_is_over_when_it_is_said_to_be_and_not_by_silence() {
    let world = world().await;
    world.relay.clear(Alarm::Canary).await;
    assert!(names(&world).await.is_empty(), "nothing was wrong");
    world.relay.raise(Alarm::Canary, "nobody validates").await;
    world.relay.raise(Alarm::Canary, "nobody validates").await;
    assert_eq!(heard(&world, Alarm::Canary), 2);
    world.clock.advance(48 * HOUR);
    world.sweep().await;
    assert_eq!(names(&world).await, [EventName::AlarmRaised]);
    let events = of_node(&world).await;
    let lasting: Vec<Alarm> = lasting_alarms(&events).into_keys().collect();
    assert_eq!(lasting, [Alarm::Canary]);
    world.relay.clear(Alarm::Canary).await;
    let events = of_node(&world).await;
    assert_eq!(events.len(), 2);
    assert!(lasting_alarms(&events).is_empty());
}

#[tokio::test]
async fn an_alarm_that_lasts_outlives_its_process_and_is_no_news_to_the_next() {
    let mut world = world().await;
    world.relay.raise(Alarm::Canary, "nobody validates").await;
    world
        .relay
        .raise(Alarm::Vantage, "about open.example")
        .await;
    world.crash().await;
    world.relay.recall_alarms().await.unwrap();
    world.relay.raise(Alarm::Canary, "nobody validates").await;
    assert_eq!(names(&world).await.len(), 2, "both are known");
    world.clock.advance(2 * HOUR);
    world.sweep().await;
    world.relay.clear(Alarm::Canary).await;
    let events = of_node(&world).await;
    let over = events
        .iter()
        .filter(|event| event.name == EventName::AlarmOver);
    assert_eq!(over.count(), 2);
    assert!(lasting_alarms(&events).is_empty());
}

#[tokio::test]
async fn a_restart_ends_no_alarm_that_was_heard_a_moment_ago() {
    let mut world = world().await;
    for _ in 0..4 {
        world.clock.advance(40 * MINUTE);
        world
            .relay
            .raise(Alarm::Vantage, "about open.example")
            .await;
    }
    world.crash().await;
    world.relay.recall_alarms().await.unwrap();
    world.sweep().await;
    assert_eq!(names(&world).await, [EventName::AlarmRaised]);
    world.clock.advance(HOUR + MINUTE);
    world.sweep().await;
    assert_eq!(names(&world).await.len(), 2);
}

#[tokio::test]
async fn processes_over_one_log_write_one_beginning_and_one_end() {
    use EventName::{AlarmOver, AlarmRaised};
    let world = world().await;
    let other = world.another_relay().await;
    for relay in [&world.relay, &other] {
        relay.raise(Alarm::Canary, "nobody validates").await;
        relay.raise(Alarm::Vantage, "about open.example").await;
    }
    assert_eq!(names(&world).await, [AlarmRaised; 2]);
    // The validators of the other are well. Those of the first are not, which it says when it listens again.
    other.clear(Alarm::Canary).await;
    world.relay.raise(Alarm::Canary, "nobody validates").await;
    let events = of_node(&world).await;
    assert!(lasting_alarms(&events).contains_key(&Alarm::Canary));
    world.relay.clear(Alarm::Canary).await;
    other.clear(Alarm::Canary).await;
    world.relay.clear(Alarm::Vantage).await;
    other.clear(Alarm::Vantage).await;
    let ends = [AlarmOver, AlarmRaised, AlarmOver, AlarmOver];
    assert_eq!(names(&world).await[2..], ends);
}

#[tokio::test]
async fn no_tenant_hears_of_the_node_in_its_own_log() {
    let world = world().await;
    world.relay.raise(Alarm::Canary, "nobody validates").await;
    assert!(world.events().await.is_empty());
}
