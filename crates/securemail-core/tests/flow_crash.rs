//! A process that ends between two steps of the vault way: one message has one pickup and one notice.

mod flow_world;

use std::sync::Arc;

use flow_world::{HOUR, MINUTE, SECOND, World, is_marked, message, message_with, name};
use securemail_core::backend::{
    KeyPurpose, KeyRef, KeyStore as _, Pickups as _, RecipientOutcome, Scanner, Vault as _, Verdict,
};
use securemail_core::ledger::{EventName, Fact};
use securemail_core::vocab::UnixTime;
use securemail_testkit::fakes::FixedScanner;
use securemail_testkit::outage::Fault;
use securemail_testkit::scripted::{HostScript, reply};

const EVA: &str = "eva@proved.example";

/// Everything goes the vault way, and Eva's number is known.
async fn world() -> World {
    let required: Arc<dyn Scanner> = Arc::new(FixedScanner(Some(Verdict::RequireVault)));
    let world = World::with(|_| {}, required).await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    world.phone(EVA).await;
    world
}

/// A submission whose process ends after ten seconds.
async fn submit_and_crash(world: &mut World) {
    let relay = world.relay.clone();
    let task = tokio::spawn(async move { relay.submit(message(&[EVA])).await });
    world.pass(10 * SECOND).await;
    assert!(!task.is_finished(), "nothing held it up");
    world.crash().await;
    drop(task.await);
    world.spool.up();
    world.vault.up();
}

/// Hands the message in again when the lost attempt is over, and looks at what Eva has.
async fn repeat_has_one_notice(world: &World) {
    world.clock.advance(16 * MINUTE);
    let reply = world.submit(message(&[EVA])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    world.work().await;
    world.sweep().await;
    world.work_after(MINUTE).await;
    assert_eq!(world.vault.inner().count(), 1, "vault objects");
    assert_eq!(world.told(EVA).len(), 1, "notices");
    assert!(world.got(EVA).is_empty());
    let ever = UnixTime::from_secs(u64::MAX / 1_000_000);
    let records = world.pickups.due(ever, 10).await.unwrap();
    assert_eq!(records.len(), 1, "pickups");
    // The timeline of the repeat says where to look.
    let first = world.logged(EventName::RelayIntent).await.remove(0);
    let kept = world.logged(EventName::ContentConsignment).await;
    let met = kept.last().unwrap();
    assert_ne!(met.queue, first.queue);
    let reason = met.fact(Fact::Reason).unwrap();
    assert!(reason.ends_with(&first.queue.to_string()), "{reason}");
}

#[tokio::test]
async fn a_repeat_that_waits_in_the_spool_still_knows_what_was_first() {
    let mut world = world().await;
    world.vault.hold("store");
    submit_and_crash(&mut world).await;
    world.clock.advance(16 * MINUTE);
    world.vault.fail("store", Fault::Unavailable);
    let reply = world.submit(message(&[EVA])).await;
    assert!(reply.text().starts_with("accepted as"), "{reply}");
    assert_eq!(world.spool.inner().contents(), 1, "it does not wait");
    world.vault.up();
    world.spool.fail("settle", Fault::Unavailable);
    world.work_after(60 * MINUTE).await;
    assert_eq!(world.vault.inner().count(), 1, "deposited, not settled");
    world.spool.up();
    world.work_after(60 * MINUTE).await;
    world.sweep().await;
    world.work().await;
    assert_eq!(world.vault.inner().count(), 1, "vault objects");
    assert_eq!(world.told(EVA).len(), 1, "notices");
}

#[tokio::test]
async fn a_repeat_that_met_its_first_is_answered_though_nothing_can_be_settled() {
    let mut world = world().await;
    world.spool.hold("settle");
    submit_and_crash(&mut world).await;
    world.clock.advance(16 * MINUTE);
    world.spool.fail("settle", Fault::Unavailable);
    let reply = world.submit(message(&[EVA])).await;
    assert!(reply.text().starts_with("accepted as"), "{reply}");
    world.spool.up();
    repeat_has_one_notice(&world).await;
}

#[tokio::test]
async fn a_repeat_whose_earlier_pickup_has_ended_is_not_lost_with_it() {
    let mut world = world().await;
    world.spool.hold("settle");
    submit_and_crash(&mut world).await;
    // Eva was told by the sweep, and destroyed it at once.
    world.sweep().await;
    world.work().await;
    let ever = UnixTime::from_secs(u64::MAX / 1_000_000);
    let record = world.pickups.due(ever, 10).await.unwrap().remove(0);
    for purpose in [KeyPurpose::ServerShare, KeyPurpose::LinkSecret] {
        let key = KeyRef::of_message(&record.key.tenant, purpose, record.key.id);
        world.keys.erase(&key).await.unwrap();
    }
    world.vault.erase(&record.key).await.unwrap();
    world.pickups.erase(&record.key).await.unwrap();
    world.clock.advance(16 * MINUTE);
    let reply = world.submit(message(&[EVA])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    world.work().await;
    assert_eq!(world.vault.inner().count(), 1, "the repeat is lost");
    assert_eq!(world.told(EVA).len(), 2);
}

#[tokio::test]
async fn a_crash_between_deposit_and_settlement_gives_one_notice() {
    let mut world = world().await;
    world.spool.hold("settle");
    submit_and_crash(&mut world).await;
    assert_eq!(world.vault.inner().count(), 1, "deposited, not settled");
    repeat_has_one_notice(&world).await;
}

#[tokio::test]
async fn a_crash_within_the_deposit_gives_one_notice() {
    let mut world = world().await;
    // The record and its keys are there, the content is not.
    world.vault.hold("store");
    submit_and_crash(&mut world).await;
    assert_eq!(world.vault.inner().count(), 0);
    repeat_has_one_notice(&world).await;
}

#[tokio::test]
async fn however_often_it_is_lost_it_is_one_submission() {
    let mut world = world().await;
    for _ in 0..3 {
        world.spool.hold("settle");
        submit_and_crash(&mut world).await;
        assert_eq!(world.vault.inner().count(), 1);
        world.clock.advance(16 * MINUTE);
    }
    repeat_has_one_notice(&world).await;
}

/// One attempt may have arrived, of the next nothing came: what follows is still marked.
#[tokio::test]
async fn what_was_taken_back_does_not_hide_what_was_lost_before() {
    let mut world = World::new().await;
    let host = name("mx.proved.example");
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    world.spool.hold("settle");
    submit_and_crash(&mut world).await;
    assert_eq!(world.got(EVA).len(), 1, "it arrived, and nobody knows");
    world.clock.advance(16 * MINUTE);
    let later = RecipientOutcome::Deferred(reply(451, "later"));
    world.transport.host(&host, HostScript::says(later));
    world.spool.fail("commit", Fault::Unavailable);
    let answer = world.submit(message(&[EVA])).await;
    assert!((400..500).contains(&answer.code()), "{answer}");
    world.spool.up();
    world.clock.advance(16 * MINUTE);
    world.transport.host(&host, HostScript::takes());
    let answer = world.submit(message(&[EVA])).await;
    assert_eq!(answer.code(), 250, "{answer}");
    world.work_after(3 * HOUR).await;
    let got = world.got(EVA);
    assert_eq!(got.len(), 2);
    assert!(is_marked(&got[1].octets));
}

#[tokio::test]
async fn an_outage_between_deposit_and_settlement_gives_one_notice() {
    let world = world().await;
    world.spool.fail("settle", Fault::Unavailable);
    world.spool.fail("commit", Fault::Unavailable);
    let reply = world.submit(message(&[EVA])).await;
    assert!((400..500).contains(&reply.code()), "{reply}");
    assert_eq!(world.vault.inner().count(), 1, "deposited, not settled");
    world.spool.up();
    repeat_has_one_notice(&world).await;
}

#[tokio::test]
async fn two_messages_have_two_notices() {
    let world = world().await;
    for id in ["m1", "m2"] {
        let fields = format!("Message-ID: <{id}@gemeente.example>\r\n");
        let message = message_with(&fields, &[EVA]);
        assert_eq!(world.submit(message).await.code(), 250);
    }
    world.work().await;
    assert_eq!(world.vault.inner().count(), 2);
    assert_eq!(world.told(EVA).len(), 2);
}
