//! Time: the sender's patience, attempts in flight, repeats, and nodes that die.

mod flow_world;

use std::time::Duration;

use flow_world::{
    DAY, HOUR, MINUTE, SECOND, SECRET, World, is_marked, message, message_with, name, refuses,
    submission,
};
use securemail_core::backend::{DueMail, RecipientOutcome, SessionOutcome, Spool};
use securemail_core::ledger::EventName;
use securemail_core::route::PeerFailure;
use securemail_testkit::outage::Fault;
use securemail_testkit::scripted::HostScript;

const EVA: &str = "eva@proved.example";
const HOST: &str = "mx.proved.example";

async fn world(script: HostScript) -> World {
    let world = World::new().await;
    world.proved("proved.example", HOST, script);
    world
}

fn wrong_key() -> HostScript {
    HostScript::ends(SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch))
}

fn silent() -> HostScript {
    HostScript::says(RecipientOutcome::Unconfirmed)
}

#[tokio::test]
async fn a_late_answer_to_the_end_of_data_settles_what_was_committed_in_flight() {
    let late = HostScript::takes().after(Duration::ZERO, 25 * SECOND);
    let world = world(late).await;
    let began = world.now();
    let reply = world.submit(message(&[EVA])).await;
    assert!(reply.text().starts_with("accepted as"), "{reply}");
    let waited = world.now().since(began);
    assert!((20 * SECOND..22 * SECOND).contains(&waited), "{waited:?}");
    assert_eq!(world.spool.inner().contents(), 1, "durable before the 250");
    assert_eq!(world.work().await, 0, "nobody else tries it meanwhile");
    world.idle().await;
    assert_eq!(world.spool.inner().contents(), 0, "settled");
    world.work_after(DAY).await;
    assert_eq!(world.got(EVA).len(), 1, "once");
    assert_eq!(world.transport.broken_off(), 0);
    assert_eq!(world.count(EventName::RelayToNonErds).await, 1);
}

#[tokio::test]
async fn a_late_refusal_is_given_back_at_once() {
    let late = HostScript {
        answers_at_dot: true,
        ..HostScript::says(refuses()).after(Duration::ZERO, 25 * SECOND)
    };
    let world = world(late).await;
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    world.idle().await;
    world.work().await;
    assert_eq!(
        world.transport.attempts(),
        2,
        "one for the message, one for its DSN"
    );
    let home = world.mails_home();
    assert_eq!(home.len(), 1);
    assert!(home[0].contains("Action: failed"), "{}", home[0]);
}

#[tokio::test]
async fn before_the_end_of_data_an_attempt_is_called_off_cleanly_and_made_again_later() {
    let slow = HostScript::takes().after(40 * SECOND, Duration::ZERO);
    let world = world(slow).await;
    let reply = world.submit(message(&[EVA])).await;
    assert!(reply.text().starts_with("accepted as"), "{reply}");
    world.idle().await;
    assert_eq!(world.got(EVA).len(), 0, "called off, and yet it came");
    world.work().await;
    let got = world.got(EVA);
    assert_eq!(got.len(), 1);
    assert!(!is_marked(&got[0].octets), "it cannot be a duplicate");
    world.work_after(DAY).await;
    assert_eq!(world.got(EVA).len(), 1);
}

#[tokio::test]
async fn a_sender_that_hangs_up_changes_nothing() {
    let world = world(HostScript::takes().after(3 * SECOND, 3 * SECOND)).await;
    for (seconds, id) in [(1, "m1"), (4, "m2")] {
        let fields = format!("Message-ID: <{id}@gemeente.example>\r\n");
        let before = world.got(EVA).len();
        let relay = world.relay.clone();
        let task = tokio::spawn(async move { relay.submit(message_with(&fields, &[EVA])).await });
        world.pass(seconds * SECOND).await;
        task.abort();
        world.idle().await;
        assert_eq!(
            world.got(EVA).len(),
            before + 1,
            "hung up after {seconds} s"
        );
        let fields = format!("Message-ID: <{id}@gemeente.example>\r\n");
        let again = world.submit(message_with(&fields, &[EVA])).await;
        assert!(again.text().starts_with("already accepted"), "{again}");
        assert_eq!(world.got(EVA).len(), before + 1);
    }
    assert_eq!(world.transport.broken_off(), 0);
}

#[tokio::test]
async fn class_u_waits_half_an_hour_and_then_says_that_it_may_be_a_duplicate() {
    let world = world(silent()).await;
    let reply = world.submit(message(&[EVA])).await;
    assert!(reply.text().starts_with("accepted as"), "{reply}");
    assert_eq!(world.count(EventName::RelayUnconfirmed).await, 1);
    world.transport.host(&name(HOST), HostScript::takes());
    world.work_after(29 * MINUTE).await;
    assert_eq!(world.got(EVA).len(), 1, "too early");
    world.work_after(2 * MINUTE).await;
    let got = world.got(EVA);
    assert_eq!(got.len(), 2);
    assert!(!is_marked(&got[0].octets) && is_marked(&got[1].octets));
    world.work_after(DAY).await;
    assert_eq!(world.got(EVA).len(), 2);
}

#[tokio::test]
async fn what_was_sent_is_not_sent_again() {
    let world = world(HostScript::takes()).await;
    let first = world.submit(message(&[EVA])).await;
    let queue = first.text().rsplit(' ').next().unwrap().to_owned();
    let again = world.submit(message(&[EVA])).await;
    assert_eq!(again.code(), 250);
    assert_eq!(again.text(), format!("already accepted as {queue}"));
    assert_eq!(world.got(EVA).len(), 1);
    let other = message_with("Message-ID: <m2@gemeente.example>\r\n", &[EVA]);
    world.submit(other).await;
    assert_eq!(world.got(EVA).len(), 2, "another message");
    world.clock.advance(25 * HOUR);
    world.submit(message(&[EVA])).await;
    assert_eq!(world.got(EVA).len(), 3, "a day later it is a new one");
}

#[tokio::test]
async fn a_repeat_joins_what_is_in_flight() {
    let world = world(HostScript::takes().after(Duration::ZERO, 10 * SECOND)).await;
    let (one, two) = (world.relay.clone(), world.relay.clone());
    let clock = world.clock.clone();
    let (first, second) = world
        .drive(async move {
            use securemail_core::backend::Clock as _;
            let later = async {
                clock.sleep_until(clock.now().plus(3 * SECOND)).await;
                two.submit(message(&[EVA])).await
            };
            tokio::join!(one.submit(message(&[EVA])), later)
        })
        .await;
    assert!(first.text().starts_with("delivered as"), "{first}");
    assert!(second.text().starts_with("already accepted as"), "{second}");
    assert_eq!(world.got(EVA).len(), 1);
}

#[tokio::test]
async fn what_was_given_back_is_tried_again() {
    let world = world(HostScript::takes()).await;
    let other = "max@full.example";
    world.proved(
        "full.example",
        "mx.full.example",
        HostScript::says(refuses()),
    );
    let reply = world.submit(message(&[EVA, other])).await;
    assert_eq!(reply.code(), 250);
    assert_eq!(world.got(other).len(), 0);
    world
        .transport
        .host(&name("mx.full.example"), HostScript::takes());
    let reply = world.submit(message(&[EVA, other])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    assert_eq!(world.got(other).len(), 1);
    assert!(!is_marked(&world.got(other)[0].octets));
    assert_eq!(world.got(EVA).len(), 1, "and nothing else");
}

#[tokio::test]
async fn without_a_message_id_nothing_is_taken_for_a_repeat() {
    let world = world(HostScript::takes()).await;
    for copies in 1..=3 {
        let reply = world.submit(message_with("", &[EVA])).await;
        assert!(reply.text().starts_with("delivered as"), "{reply}");
        assert_eq!(world.got(EVA).len(), copies);
    }
}

#[tokio::test]
async fn another_account_or_another_octet_makes_another_message() {
    let world = world(HostScript::takes()).await;
    world.submit(message(&[EVA])).await;
    let mut other = message(&[EVA]);
    other.envelope.account = securemail_core::vocab::AccountId::new("other");
    other.account.id = other.envelope.account.clone();
    world.submit(other).await;
    assert_eq!(world.got(EVA).len(), 2);
    let octets = format!(
        "From: jan@gemeente.example\r\nTo: {EVA}\r\n\
         Message-ID: <m1@gemeente.example>\r\n\r\n{SECRET}!\r\n"
    );
    world
        .submit(submission("jan@gemeente.example", &[EVA], &octets))
        .await;
    assert_eq!(world.got(EVA).len(), 3);
}

/// The node dies behind the end of data: nothing of its memory is left, only the intent.
#[tokio::test]
async fn after_a_crash_from_memory_a_repeat_is_tried_marked() {
    let world = world(HostScript::takes()).await;
    // What a dead node cannot do any more.
    world.spool.fail("settle", Fault::Unavailable);
    let reply = world.submit(message(&[EVA])).await;
    assert_eq!(reply.code(), 451, "{reply}");
    world.spool.up();
    let reply = world.submit(message(&[EVA])).await;
    assert_eq!(reply.code(), 451, "the intent still runs: {reply}");
    assert_eq!(world.got(EVA).len(), 1);
    world.clock.advance(16 * MINUTE);
    let reply = world.submit(message(&[EVA])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    let got = world.got(EVA);
    assert_eq!(got.len(), 2);
    assert!(is_marked(&got[1].octets));
}

/// A message that waits in the spool, due, for a host that takes it from now on.
async fn due_for(script: HostScript) -> World {
    let world = world(wrong_key()).await;
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    world.transport.host(&name(HOST), script);
    world.clock.advance(HOUR);
    world
}

#[tokio::test]
async fn a_worker_that_dies_behind_the_end_of_data_leaves_a_possible_duplicate() {
    let world = due_for(HostScript::takes()).await;
    // Another node takes it, opens its final dot, and is never heard of again.
    let lease = 15 * MINUTE;
    let taken = world
        .spool
        .lease_due(DueMail::All, world.now(), lease, 10)
        .await
        .unwrap();
    assert_eq!(taken.len(), 1);
    world.spool.open_dot(&taken[0].lease).await.unwrap();
    world.work_after(14 * MINUTE).await;
    assert_eq!(
        world.got(EVA).len(),
        0,
        "while the lease runs it is not ours"
    );
    world.work_after(2 * MINUTE).await;
    assert_eq!(world.got(EVA).len(), 0, "the peer may have it: class U");
    assert_eq!(world.count(EventName::RelayUnconfirmed).await, 1);
    world.work_after(3 * HOUR).await;
    let got = world.got(EVA);
    assert_eq!(got.len(), 1);
    assert!(is_marked(&got[0].octets));
    world.work_after(DAY).await;
    assert_eq!(world.got(EVA).len(), 1);
}

#[tokio::test]
async fn a_worker_that_dies_before_the_end_of_data_leaves_no_doubt() {
    let mut world = due_for(HostScript::takes().after(HOUR, Duration::ZERO)).await;
    let relay = world.relay.clone();
    let worker = tokio::spawn(async move { relay.work_once().await });
    world.pass(MINUTE).await;
    assert_eq!(world.transport.attempts(), 2, "it is at it");
    worker.abort();
    world.crash().await;
    world.transport.host(&name(HOST), HostScript::takes());
    world.work_after(16 * MINUTE).await;
    let got = world.got(EVA);
    assert_eq!(got.len(), 1, "at once when the lease ended");
    assert!(!is_marked(&got[0].octets));
    assert_eq!(world.count(EventName::RelayUnconfirmed).await, 0);
}

#[tokio::test]
async fn a_worker_that_dies_while_it_waits_for_the_last_reply_leaves_a_possible_duplicate() {
    let mut world = due_for(HostScript::takes().after(Duration::ZERO, HOUR)).await;
    let relay = world.relay.clone();
    let worker = tokio::spawn(async move { relay.work_once().await });
    world.pass(MINUTE).await;
    worker.abort();
    world.crash().await;
    world.transport.host(&name(HOST), HostScript::takes());
    world.work_after(16 * MINUTE).await;
    assert_eq!(world.got(EVA).len(), 0, "the peer may have it: class U");
    world.work_after(3 * HOUR).await;
    let got = world.got(EVA);
    assert_eq!(got.len(), 1);
    assert!(is_marked(&got[0].octets));
}

#[tokio::test]
async fn where_the_mark_cannot_be_written_no_dot_leaves() {
    let world = due_for(HostScript::takes()).await;
    world.spool.fail("open_dot", Fault::Unavailable);
    let relay = world.relay.clone();
    let tried = world.drive(async move { relay.work_once().await }).await;
    assert_eq!(tried.unwrap(), 1);
    assert_eq!(world.transport.attempts(), 2, "it came to its dot");
    assert_eq!(world.got(EVA).len(), 0);
    world.spool.up();
    world.work_after(MINUTE).await;
    let got = world.got(EVA);
    assert_eq!(got.len(), 1);
    assert!(!is_marked(&got[0].octets), "nothing left us before");
}

#[tokio::test]
async fn who_lost_the_lease_does_not_open_the_dot() {
    let world = due_for(HostScript::takes().after(20 * MINUTE, Duration::ZERO)).await;
    // A node that cannot renew, and another one that takes over.
    world.spool.fail("renew", Fault::Unavailable);
    let (one, two) = (world.relay.clone(), world.relay.clone());
    let slow = tokio::spawn(async move { one.work_once().await });
    world.pass(16 * MINUTE).await;
    let taken = world.drive(async move { two.work_once().await }).await;
    assert_eq!(taken.unwrap(), 1, "its lease ran out");
    slow.await.unwrap().unwrap();
    world.spool.up();
    let got = world.got(EVA);
    assert_eq!(got.len(), 1, "both opened their dots");
    assert!(!is_marked(&got[0].octets));
}

#[tokio::test]
async fn an_attempt_that_takes_long_keeps_its_lease() {
    let slow = HostScript::takes().after(Duration::ZERO, 40 * MINUTE);
    let world = world(slow).await;
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    for _ in 0..45 {
        world.pass(MINUTE).await;
        let relay = world.relay.clone();
        let took = world
            .drive(async move { relay.work_once().await })
            .await
            .unwrap();
        assert_eq!(took, 0, "a second attempt beside the first");
    }
    world.idle().await;
    assert_eq!(world.got(EVA).len(), 1);
    assert_eq!(world.spool.inner().contents(), 0);
}
