//! P11: what is down makes us hold, and never makes us less safe.

mod flow_world;

use std::sync::Arc;

use flow_world::{DAY, HOUR, MINUTE, World, is_marked, message, name, refuses, text};
use securemail_core::backend::{SessionOutcome, Verdict};
use securemail_core::ledger::EventName;
use securemail_core::route::PeerFailure;
use securemail_core::vocab::{LookupFailure, RecordKind, Reply};
use securemail_testkit::fakes::FixedScanner;
use securemail_testkit::outage::Fault;
use securemail_testkit::scripted::HostScript;

const EVA: &str = "eva@proved.example";
const OLE: &str = "ole@open.example";

async fn world() -> World {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    let plain = HostScript::ends(SessionOutcome::NoStartTls(None));
    world.unsigned("open.example", "mx.open.example", plain);
    world
        .transport
        .notice_host(&name("mx.open.example"), HostScript::takes());
    world.phone(OLE).await;
    world
}

fn later(reply: &Reply) {
    assert!((400..500).contains(&reply.code()), "{reply}");
}

/// A message that was held arrives once, unmarked: it was never tried.
async fn arrives_after(world: &World) {
    world.work_after(HOUR).await;
    let got = world.got(EVA);
    assert_eq!(got.len(), 1, "held, and lost");
    assert!(!is_marked(&got[0].octets));
    world.work_after(DAY).await;
    assert_eq!(world.got(EVA).len(), 1);
}

#[tokio::test]
async fn no_room_for_the_intent_refuses_before_any_final_dot() {
    let world = world().await;
    world.spool.fail("intend", Fault::Full);
    let reply = world.submit(message(&[EVA])).await;
    assert_eq!(reply.code(), 452, "{reply}");
    world.spool.up();
    world.spool.down();
    later(&world.submit(message(&[EVA])).await);
    world.spool.up();
    world.work_after(DAY).await;
    assert!(world.transport.delivered().is_empty());
}

#[tokio::test]
async fn no_room_to_queue_leaves_the_message_with_its_sender() {
    let world = world().await;
    let busy = HostScript::says(flow_world::defers());
    world.transport.host(&name("mx.proved.example"), busy);
    world.spool.fail("commit", Fault::Full);
    later(&world.submit(message(&[EVA])).await);
    world.spool.up();
    assert_eq!(world.spool.inner().contents(), 0);
    world
        .transport
        .host(&name("mx.proved.example"), HostScript::takes());
    let reply = world.submit(message(&[EVA])).await;
    assert!(
        reply.text().starts_with("delivered as"),
        "nothing stands in the way: {reply}"
    );
    assert_eq!(world.got(EVA).len(), 1);
    assert!(!is_marked(&world.got(EVA)[0].octets));
}

#[tokio::test]
async fn no_room_for_a_dsn_leaves_the_message_with_its_sender() {
    let world = world().await;
    world.proved(
        "full.example",
        "mx.full.example",
        HostScript::says(refuses()),
    );
    world.spool.fail("commit", Fault::Full);
    later(&world.submit(message(&[EVA, "max@full.example"])).await);
    world.spool.up();
    let reply = world.submit(message(&[EVA, "max@full.example"])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    world.work().await;
    assert_eq!(world.got(EVA).len(), 1, "it was handed over, and stays so");
    assert_eq!(world.mails_home().len(), 1);
}

#[tokio::test]
async fn a_vault_that_is_down_holds_the_message() {
    let world = world().await;
    assert_eq!(world.submit(message(&[OLE])).await.code(), 250);
    world.vault.down();
    world.work_after(20 * MINUTE).await;
    assert_eq!(world.spool.inner().contents(), 1, "held");
    assert!(world.transport.notices().is_empty(), "a notice of nothing");
    world.vault.up();
    world.work_after(HOUR).await;
    assert_eq!(world.vault.inner().count(), 1);
    assert_eq!(world.transport.notices().len(), 1);
    assert!(world.got(OLE).is_empty());
}

/// Breaks something of the vault's, lets the message come to it, and mends it: held meanwhile, told of once afterwards.
async fn is_held_and_told_once(
    world: &World,
    fails: impl FnOnce(&World),
    mends: impl FnOnce(&World),
) {
    assert_eq!(world.submit(message(&[OLE])).await.code(), 250);
    fails(world);
    world.work_after(20 * MINUTE).await;
    assert_eq!(world.spool.inner().contents(), 1, "not held");
    assert!(world.transport.notices().is_empty(), "a notice of nothing");
    mends(world);
    world.work_after(HOUR).await;
    assert_eq!(world.spool.inner().contents(), 0);
    assert_eq!(world.vault.inner().count(), 1);
    for _ in 0..2 {
        world.sweep().await;
        world.work_after(MINUTE).await;
        assert_eq!(world.transport.notices().len(), 1, "once");
    }
    assert!(world.got(OLE).is_empty());
}

#[tokio::test]
async fn pickups_that_cannot_be_read_or_written_hold_the_message() {
    for operation in ["load", "create", "replace"] {
        let world = world().await;
        let fails = |world: &World| world.pickups.fail(operation, Fault::Unavailable);
        is_held_and_told_once(&world, fails, |world| world.pickups.up()).await;
    }
}

#[tokio::test]
async fn a_log_that_is_full_holds_the_message() {
    let world = world().await;
    let fails = |world: &World| world.audit.fail("append", Fault::Full);
    is_held_and_told_once(&world, fails, |world| world.audit.up()).await;
    let consigned = world.count(EventName::ContentConsignment).await;
    assert_eq!(
        consigned, 1,
        "it is in the vault, and the log does not say so once"
    );
}

#[tokio::test]
async fn a_key_store_that_is_down_queues_nothing_and_loses_nothing() {
    let world = world().await;
    world.keys.down();
    let reply = world.submit(message(&[EVA])).await;
    assert!(
        reply.text().starts_with("delivered"),
        "directly needs no key: {reply}"
    );
    later(&world.submit(message(&[OLE])).await);
    assert_eq!(
        world.spool.inner().contents(),
        0,
        "nothing is kept unsealed"
    );
    world.keys.up();
    assert_eq!(world.submit(message(&[OLE])).await.code(), 250);
    world.keys.down();
    world.work_after(20 * MINUTE).await;
    world.keys.up();
    world.work_after(HOUR).await;
    assert_eq!(world.vault.inner().count(), 1);
}

#[tokio::test]
async fn a_domain_memory_that_is_down_holds_the_message() {
    let world = world().await;
    world.memory.down();
    let reply = world.submit(message(&[EVA])).await;
    assert!(reply.text().starts_with("accepted as"), "{reply}");
    world.work_after(HOUR).await;
    world.work_after(HOUR).await;
    assert_eq!(
        world.transport.attempts(),
        0,
        "tried without knowing what was"
    );
    world.memory.up();
    arrives_after(&world).await;
}

#[tokio::test]
async fn a_memory_that_cannot_be_written_loses_no_result() {
    let world = world().await;
    world.memory.fail("remember", Fault::Full);
    let reply = world.submit(message(&[EVA])).await;
    assert!(reply.text().starts_with("delivered as"), "{reply}");
    world.memory.up();
}

#[tokio::test]
async fn signing_keys_that_are_down_hold_the_message() {
    let world = world().await;
    world.signing.down();
    let reply = world.submit(message(&[EVA])).await;
    assert!(reply.text().starts_with("accepted as"), "{reply}");
    world.work_after(HOUR).await;
    assert_eq!(world.transport.attempts(), 0, "sent without a signature");
    world.signing.up();
    arrives_after(&world).await;
    assert!(text(&world.got(EVA)[0].octets).starts_with("DKIM-Signature:"));
}

#[tokio::test]
async fn a_directory_that_is_down_takes_nothing_and_holds_what_is_there() {
    let world = world().await;
    world.memory.down();
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    world.memory.up();
    world.directory.down();
    later(&world.submit(message(&["max@proved.example"])).await);
    world.work_after(HOUR).await;
    assert_eq!(
        world.transport.attempts(),
        0,
        "tried without the tenant's rules"
    );
    world.directory.up();
    arrives_after(&world).await;
}

#[tokio::test]
async fn a_scanner_that_cannot_say_takes_nothing() {
    let world = World::with(|_| {}, Arc::new(FixedScanner(None))).await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    later(&world.submit(message(&[EVA])).await);
    assert_eq!(world.transport.attempts(), 0);
    let refuses = Verdict::Refuse("a virus was found".to_owned());
    let world = World::with(|_| {}, Arc::new(FixedScanner(Some(refuses)))).await;
    let reply = world.submit(message(&[EVA])).await;
    assert_eq!(reply.code(), 554, "{reply}");
}

#[tokio::test]
async fn a_resolver_that_is_down_holds_the_message_beyond_every_clock() {
    let world = world().await;
    let domain = name("proved.example");
    world
        .dns
        .fail(&domain, RecordKind::Mx, LookupFailure::Unusable);
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    for _ in 0..30 {
        world.work_after(8 * HOUR).await;
    }
    assert_eq!(world.vault.inner().count(), 0, "diverted by our own fault");
    let home = world.mails_home();
    assert!(
        home.iter().all(|mail| !mail.contains("Action: failed")),
        "{home:?}"
    );
    world.dns.dane(&domain, &name("mx.proved.example"));
    world.work_after(9 * HOUR).await;
    assert_eq!(world.got(EVA).len(), 1);
}

#[tokio::test]
async fn a_notice_that_cannot_be_queued_is_told_by_the_sweep() {
    let world = world().await;
    assert_eq!(world.submit(message(&[OLE])).await.code(), 250);
    world.spool.fail("commit", Fault::Full);
    world.work_after(20 * MINUTE).await;
    assert_eq!(world.vault.inner().count(), 1);
    assert!(world.transport.notices().is_empty());
    world.spool.up();
    world.clock.advance(HOUR);
    world.sweep().await;
    world.work().await;
    assert_eq!(world.transport.notices().len(), 1);
    world.sweep().await;
    world.work().await;
    assert_eq!(world.transport.notices().len(), 1, "once");
}

#[tokio::test]
async fn what_the_domain_publishes_and_a_host_does_not_meet_calls_the_operator_once() {
    let world = world().await;
    let wrong = HostScript::ends(SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch));
    world.transport.host(&name("mx.proved.example"), wrong);
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    for _ in 0..20 {
        world.work_after(8 * HOUR).await;
    }
    assert_eq!(world.count(EventName::Suspicious).await, 1);
    assert_eq!(world.vault.inner().count(), 0, "never diverted");
    assert!(world.got(EVA).is_empty());
}
