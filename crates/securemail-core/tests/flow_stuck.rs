//! Hosts that are slow for as long as they may be: they stop neither others, nor mail of ours, nor the end.

mod flow_world;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use flow_world::{DAY, HOUR, MINUTE, SECOND, World, message_with, name, passes};
use securemail_core::backend::{DueMail, RecipientOutcome, SessionOutcome, Spool as _};
use securemail_core::drive::RelaySettings;
use securemail_core::ledger::EventName;
use securemail_core::vocab::Security;
use securemail_testkit::outage::Fault;
use securemail_testkit::scripted::HostScript;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const EVA: &str = "eva@proved.example";

/// Longer than anybody waits.
const FOREVER: Duration = Duration::from_secs(20 * 3600);

fn stuck() -> HostScript {
    HostScript::takes().after(FOREVER, Duration::ZERO)
}

/// Refuses when its sender was answered, so that a DSN must say it.
fn refuses_late() -> HostScript {
    let refuses = HostScript {
        answers_at_dot: true,
        ..HostScript::says(flow_world::refuses())
    };
    refuses.after(Duration::ZERO, 25 * SECOND)
}

/// Sixteen places: four for a domain at most, and two for mail of ours alone.
fn few_places(settings: &mut RelaySettings) {
    settings.workers = 16;
}

/// So many messages for a domain whose host never comes to the dot; they wait in the spool.
async fn jam(world: &World, domain: &str, messages: usize) {
    world.proved(domain, &format!("mx.{domain}"), stuck());
    let to: Vec<String> = (0..messages).map(|n| format!("r{n}@{domain}")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let fields = format!("Message-ID: <{domain}@gemeente.example>\r\n");
    let reply = world.submit(message_with(&fields, &to)).await;
    assert_eq!(reply.code(), 250, "{reply}");
}

/// The worker of the relay; it ends when it is told, or that is dropped.
fn worker(world: &World) -> (JoinHandle<()>, oneshot::Sender<()>) {
    let (tell, told) = oneshot::channel::<()>();
    let work = world.relay.clone().work(async move {
        drop(told.await);
    });
    (tokio::spawn(work), tell)
}

/// Does what is due, while time passes in larger steps than elsewhere.
async fn work_through(world: &World) {
    let relay = world.relay.clone();
    let working = tokio::spawn(async move { relay.work_once().await });
    while !working.is_finished() {
        flow_world::settle_down().await;
        world.clock.advance(5 * SECOND);
    }
    working.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_round_whose_dot_does_not_leave_ends_in_half_an_hour_and_counts_as_silence() {
    let world = World::new().await;
    let domain = name("slow.example");
    let hosts: Vec<_> = (0..10)
        .map(|n| name(&format!("mx{n}.slow.example")))
        .collect();
    world.dns.mail(
        &domain,
        &hosts.iter().collect::<Vec<_>>(),
        Security::Insecure,
    );
    for host in &hosts {
        // Whoever is on the way: it lets nobody come to a proof.
        let plain = HostScript::ends(SessionOutcome::NoStartTls(None));
        world
            .transport
            .host(host, plain.after(FOREVER, Duration::ZERO));
    }
    let reply = world.submit(message_with("", &["ole@slow.example"])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    let began = world.now();
    work_through(&world).await;
    let took = world.now().since(began);
    assert!((29 * MINUTE..32 * MINUTE).contains(&took), "{took:?}");
    assert_eq!(world.transport.broken_off(), 0);
    for _ in 0..2 {
        world.clock.advance(HOUR);
        work_through(&world).await;
    }
    assert_eq!(world.vault.inner().count(), 0, "silence is no look");
    world.clock.advance(2 * HOUR);
    work_through(&world).await;
    assert_eq!(world.vault.inner().count(), 1, "and has its own clock");
}

#[tokio::test]
async fn a_dot_that_has_left_is_waited_for_though_its_round_is_over() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", stuck());
    assert_eq!(world.submit(message_with("", &[EVA])).await.code(), 250);
    let slow = HostScript::takes().after(29 * MINUTE, 9 * MINUTE);
    world.transport.host(&name("mx.proved.example"), slow);
    work_through(&world).await;
    assert_eq!(world.got(EVA).len(), 1);
    assert_eq!(world.transport.broken_off(), 0);
}

#[tokio::test]
async fn a_large_message_has_the_time_that_its_octets_need() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", stuck());
    let field = format!("X-Filler: {}\r\n", "x".repeat(900)).repeat(200);
    assert_eq!(world.submit(message_with(&field, &[EVA])).await.code(), 250);
    // 180 kB are eleven seconds more.
    let slow = HostScript::takes().after(30 * MINUTE + 8 * SECOND, Duration::ZERO);
    world.transport.host(&name("mx.proved.example"), slow);
    work_through(&world).await;
    assert_eq!(world.got(EVA).len(), 1);
}

#[tokio::test]
async fn two_domains_that_are_stuck_leave_the_others_their_places() {
    let world = World::with(few_places, passes()).await;
    jam(&world, "one.example", 20).await;
    jam(&world, "two.example", 20).await;
    world.proved("proved.example", "mx.proved.example", stuck());
    assert_eq!(world.submit(message_with("", &[EVA])).await.code(), 250);
    world
        .transport
        .host(&name("mx.proved.example"), HostScript::takes());
    let (working, _tell) = worker(&world);
    world.pass(MINUTE).await;
    assert_eq!(world.got(EVA).len(), 1, "behind those that are stuck");
    working.abort();
}

#[tokio::test]
async fn what_finds_no_place_asks_nobody_anything() {
    let world = World::with(few_places, passes()).await;
    jam(&world, "one.example", 20).await;
    let (working, _tell) = worker(&world);
    world.pass(MINUTE).await;
    world.audit.fail("find", Fault::Unavailable);
    world.pass(MINUTE).await;
    assert_eq!(world.audit.heal(), 0, "the log is asked again and again");
    working.abort();
}

#[tokio::test]
async fn when_every_place_for_messages_is_stuck_mail_of_ours_still_goes() {
    let world = World::with(few_places, passes()).await;
    for domain in [
        "one.example",
        "two.example",
        "three.example",
        "four.example",
    ] {
        jam(&world, domain, 20).await;
    }
    let (working, _tell) = worker(&world);
    world.pass(MINUTE).await;
    // A message that comes back: its DSN finds a place.
    world.proved("proved.example", "mx.proved.example", refuses_late());
    let reply = world.submit(message_with("", &[EVA])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    world.pass(MINUTE).await;
    let home = world.mails_home();
    assert_eq!(home.len(), 1, "{home:?}");
    assert!(home[0].contains("Action: failed"), "{}", home[0]);
    working.abort();
}

#[tokio::test]
async fn at_the_end_what_has_not_come_to_its_dot_is_called_off() {
    let world = World::new().await;
    jam(&world, "one.example", 3).await;
    let (working, tell) = worker(&world);
    world.pass(MINUTE).await;
    tell.send(()).unwrap();
    world.pass(2 * SECOND).await;
    assert!(working.is_finished(), "the end waits for somebody's host");
    world.executor.idle().await;
    assert_eq!(world.transport.broken_off(), 0);
    world.clock.advance(MINUTE);
    let lease = Duration::from_secs(60);
    let due = world
        .spool
        .lease_due(DueMail::All, world.now(), lease, 9)
        .await;
    let due = due.unwrap();
    assert_eq!(due.len(), 3, "each is tried again by whoever comes next");
    assert!(due.iter().all(|one| !one.unsettled), "and is no duplicate");
}

#[tokio::test]
async fn at_the_end_a_dot_that_has_left_is_waited_for_but_not_for_ever() {
    for (answers_after, sent) in [(5 * MINUTE, true), (FOREVER, false)] {
        let world = World::new().await;
        world.proved("proved.example", "mx.proved.example", stuck());
        assert_eq!(world.submit(message_with("", &[EVA])).await.code(), 250);
        let slow = HostScript::takes().after(Duration::ZERO, answers_after);
        world.transport.host(&name("mx.proved.example"), slow);
        let (working, tell) = worker(&world);
        world.pass(MINUTE).await;
        tell.send(()).unwrap();
        world.pass(3 * MINUTE).await;
        assert!(!working.is_finished(), "an answer may still come");
        world.pass(9 * MINUTE).await;
        assert!(working.is_finished(), "it must end");
        assert_eq!(world.got(EVA).len() == 1, sent);
        let handed = EventName::RelayToNonErds;
        assert_eq!(world.count(handed).await == 1, sent);
    }
}

#[tokio::test]
async fn at_the_end_mail_of_ours_at_a_host_without_proof_is_called_off() {
    let world = World::new().await;
    let plain = HostScript::ends(SessionOutcome::NoStartTls(None));
    world.unsigned("open.example", "mx.open.example", plain);
    world.phone("ole@open.example").await;
    let slow = HostScript::says(RecipientOutcome::NotTried).after(FOREVER, Duration::ZERO);
    world.transport.notice_host(&name("mx.open.example"), slow);
    let mail = message_with("", &["ole@open.example"]);
    assert_eq!(world.submit(mail).await.code(), 250);
    let (working, tell) = worker(&world);
    world.pass(20 * MINUTE).await;
    assert_eq!(world.transport.notices().len(), 1);
    tell.send(()).unwrap();
    world.pass(2 * SECOND).await;
    assert!(working.is_finished());
}

/// A message in the vault, whose notice met a silent host without proof once.
async fn noticed_in_silence() -> World {
    let world = World::new().await;
    let plain = HostScript::ends(SessionOutcome::NoStartTls(None));
    world.unsigned("open.example", "mx.open.example", plain);
    world.phone("ole@open.example").await;
    let silent = HostScript::ends(SessionOutcome::Unreachable("timed out".to_owned()));
    let host = name("mx.open.example");
    world.transport.notice_host(&host, silent);
    let mail = message_with("", &["ole@open.example"]);
    assert_eq!(world.submit(mail).await.code(), 250);
    world.work_after(20 * MINUTE).await;
    let slow = HostScript::says(RecipientOutcome::NotTried).after(FOREVER, Duration::ZERO);
    world.transport.notice_host(&host, slow);
    world
}

/// The relay ends while a notice is under way; then another one works.
async fn end_during_a_notice(world: &mut World) {
    let before = world.transport.notices().len();
    let (working, tell) = worker(world);
    world.pass(2 * MINUTE).await;
    assert_eq!(world.transport.notices().len(), before + 1);
    tell.send(()).unwrap();
    world.pass(2 * SECOND).await;
    assert!(working.is_finished());
    world.crash().await;
    let takes = HostScript::takes();
    world.transport.notice_host(&name("mx.open.example"), takes);
}

#[tokio::test]
async fn a_notice_that_the_end_calls_off_was_refused_by_nobody() {
    let mut world = noticed_in_silence().await;
    end_during_a_notice(&mut world).await;
    world.work_after(31 * MINUTE).await;
    assert_eq!(world.count(EventName::SenderInformed).await, 0);
    assert!(world.mails_home().is_empty(), "{:?}", world.mails_home());
    assert_eq!(world.count(EventName::NotificationDelivered).await, 1);
}

#[tokio::test]
async fn the_end_gives_no_notice_up_whose_time_is_over() {
    let mut world = noticed_in_silence().await;
    world.clock.advance(5 * DAY);
    end_during_a_notice(&mut world).await;
    let failed = EventName::ConsignmentNotificationFailure;
    assert_eq!(world.count(failed).await, 0);
    world.work_after(31 * MINUTE).await;
    assert_eq!(world.count(EventName::NotificationDelivered).await, 1);
}

/// The same on the way of messages.
#[tokio::test]
async fn the_end_gives_no_mail_to_a_sender_up_whose_time_is_over() {
    let mut world = World::new().await;
    world.proved("proved.example", "mx.proved.example", refuses_late());
    let home = name(flow_world::HOME);
    world
        .transport
        .host(&home, HostScript::says(flow_world::defers()));
    let reply = world.submit(message_with("", &[EVA])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    world.idle().await;
    world.work().await;
    world.transport.host(&home, stuck());
    world.clock.advance(5 * DAY);
    let (working, tell) = worker(&world);
    world.pass(2 * MINUTE).await;
    tell.send(()).unwrap();
    world.pass(2 * SECOND).await;
    assert!(working.is_finished());
    world.crash().await;
    assert_eq!(world.count(EventName::SenderNotInformed).await, 0);
    world.transport.host(&home, HostScript::takes());
    world.work_after(31 * MINUTE).await;
    assert_eq!(world.mails_home().len(), 1);
}

#[tokio::test]
async fn a_worker_that_is_never_told_goes_on() {
    let world = World::new().await;
    jam(&world, "one.example", 1).await;
    let script = HostScript::takes();
    world.transport.host(&name("mx.one.example"), script);
    let relay: Arc<_> = world.relay.clone();
    let working = tokio::spawn(relay.work(pending()));
    world.pass(HOUR).await;
    assert_eq!(world.got("r0@one.example").len(), 1);
    assert!(!working.is_finished());
    working.abort();
}
