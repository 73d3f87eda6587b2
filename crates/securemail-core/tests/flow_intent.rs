//! Record, act, settle: the intent becomes durable while the attempt begins, and nothing is handed over
//! before it is.

mod flow_world;

use std::time::Duration;

use flow_world::{
    MINUTE, SECOND, World, is_marked, message, name, refuses, settle_down, submission,
};
use securemail_core::backend::Spool as _;
use securemail_core::ledger::EventName;
use securemail_core::vocab::Reply;
use securemail_testkit::outage::Fault;
use securemail_testkit::scripted::HostScript;
use tokio::task::JoinHandle;

const EVA: &str = "eva@proved.example";
const MAX: &str = "max@other.example";

async fn world() -> World {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    world.proved("other.example", "mx.other.example", HostScript::takes());
    world
}

/// Hands a message in, and goes as far as it goes without time passing.
async fn begin(world: &World, to: &'static [&'static str]) -> JoinHandle<Reply> {
    let relay = world.relay.clone();
    let task = tokio::spawn(async move { relay.submit(message(to)).await });
    settle_down().await;
    task
}

#[tokio::test]
async fn the_session_begins_before_the_intent_is_durable_and_no_dot_leaves_before_it() {
    let world = world().await;
    world.spool.hold("intend");
    let task = begin(&world, &[EVA, MAX]).await;
    assert_eq!(world.transport.attempts(), 2, "DNS and handshake wait");
    world.pass(10 * SECOND).await;
    assert!(world.transport.delivered().is_empty(), "before its intent");
    assert!(world.events().await.is_empty(), "the intent is not durable");
    world.spool.up();
    let reply = world.drive(async move { task.await.unwrap() }).await;
    assert!(reply.text().starts_with("delivered as"), "{reply}");
    assert_eq!((world.got(EVA).len(), world.got(MAX).len()), (1, 1));
    assert_eq!(world.transport.attempts(), 2, "each session was used");
    assert_eq!(world.count(EventName::RelayIntent).await, 2);
}

#[tokio::test]
async fn where_the_intent_fails_nothing_is_handed_over() {
    for (fault, code) in [(Fault::Full, 452), (Fault::Unavailable, 451)] {
        let world = world().await;
        world.spool.hold("intend");
        let task = begin(&world, &[EVA, MAX]).await;
        assert_eq!(world.transport.attempts(), 2);
        world.spool.fail("intend", fault);
        world.spool.let_go();
        let reply = world.drive(async move { task.await.unwrap() }).await;
        assert_eq!(reply.code(), code, "{reply}");
        world.spool.up();
        world.idle().await;
        world.work_after(60 * MINUTE).await;
        assert!(world.transport.delivered().is_empty(), "{fault:?}");
        assert!(world.events().await.is_empty(), "{fault:?}");
        let reply = world.submit(message(&[EVA, MAX])).await;
        assert!(reply.text().starts_with("delivered as"), "{reply}");
        assert!(!is_marked(&world.got(EVA)[0].octets), "nothing left us");
    }
}

#[tokio::test]
async fn a_slow_intent_takes_its_time_from_the_patience_of_the_sender() {
    let world = world().await;
    let slow = HostScript::takes().after(Duration::ZERO, 5 * SECOND);
    world.transport.host(&name("mx.proved.example"), slow);
    world.spool.hold("intend");
    let task = begin(&world, &[EVA]).await;
    world.pass(30 * SECOND).await;
    assert!(!task.is_finished(), "nobody may answer yet");
    world.spool.up();
    let up = world.now();
    let reply = world.drive(async move { task.await.unwrap() }).await;
    assert!(reply.text().starts_with("accepted as"), "{reply}");
    assert!(world.now().since(up) <= SECOND, "the patience began anew");
    world.idle().await;
    world.work().await;
    assert_eq!(world.got(EVA).len(), 1, "once, at its end or later");
}

#[tokio::test]
async fn a_repeat_never_leaves_twice() {
    let world = world().await;
    world.proved(
        "other.example",
        "mx.other.example",
        HostScript::says(refuses()),
    );
    let reply = world.submit(message(&[EVA, MAX])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    world.proved("other.example", "mx.other.example", HostScript::takes());
    // The attempts of the repeat have come to their final dots when the spool says what it is.
    world.spool.hold("intend");
    let task = begin(&world, &[EVA, MAX]).await;
    assert_eq!(world.transport.attempts(), 4, "they began on trust");
    world.spool.up();
    let reply = world.drive(async move { task.await.unwrap() }).await;
    assert_eq!(reply.code(), 250, "{reply}");
    assert_eq!(world.got(EVA).len(), 1, "the repeat");
    assert_eq!(world.got(MAX).len(), 1, "who was refused the first time");
    assert!(!is_marked(&world.got(MAX)[0].octets));
    world.work_after(60 * MINUTE).await;
    assert_eq!(world.got(EVA).len(), 1);
}

#[tokio::test]
async fn of_two_copies_at_once_one_leaves() {
    let world = world().await;
    world.proved(
        "proved.example",
        "mx.proved.example",
        HostScript::takes().after(Duration::ZERO, 2 * SECOND),
    );
    world.spool.hold("intend");
    let one = begin(&world, &[EVA]).await;
    let two = begin(&world, &[EVA]).await;
    assert_eq!(world.transport.attempts(), 2);
    world.spool.up();
    let replies = world
        .drive(async move { [one.await.unwrap(), two.await.unwrap()] })
        .await;
    assert!(replies.iter().all(|reply| reply.code() == 250));
    assert_eq!(world.got(EVA).len(), 1);
    assert_eq!(world.transport.broken_off(), 0);
}

#[tokio::test]
async fn a_message_that_cannot_be_signed_is_refused_and_leaves_no_intent() {
    let world = world().await;
    let octets = format!(
        "From: jan@gemeente.example\r\nTo: {EVA}\r\nMessage-ID: <m1@gemeente.example>\r\n\r\n\
         a line end\rthat is none\r\n"
    );
    let broken = submission("jan@gemeente.example", &[EVA], &octets);
    let reply = world.submit(broken).await;
    assert_eq!(reply.code(), 550, "{reply}");
    let soon = world.now().plus(SECOND);
    let ended = world.spool.forget_ended(soon).await.unwrap();
    assert_eq!(ended, 1, "the intent still stands");
}

#[tokio::test]
async fn a_crash_before_the_intent_is_durable_leaves_nothing() {
    let mut world = world().await;
    world.spool.hold("intend");
    let task = begin(&world, &[EVA]).await;
    assert_eq!(world.transport.attempts(), 1);
    world.crash().await;
    drop(task.await);
    world.spool.up();
    assert!(world.transport.delivered().is_empty());
    let reply = world.submit(message(&[EVA])).await;
    assert!(reply.text().starts_with("delivered as"), "{reply}");
    let got = world.got(EVA);
    assert_eq!(got.len(), 1);
    assert!(!is_marked(&got[0].octets), "no dot can have left");
}
