//! Deposit, notice, grace, expiry, destruction.

use std::sync::Arc;

use securemail_core::StoreError;
use securemail_core::backend::{
    AuditSink as _, KeyPurpose, KeyRef, KeyStore, PickupRecord, Pickups,
};
use securemail_core::drive::pickup::{PickupError, Step, Verified};
use securemail_core::ledger::{EventName, Fact, Log};
use securemail_core::pickup::TellKind;
use securemail_core::vocab::{VaultId, VaultKey, sha256};
use securemail_testkit::memory::{MemoryAudit, MemoryVault};
use securemail_testkit::outage::{Fault, Outage};

use crate::pickup_world::*;

#[tokio::test]
async fn a_deposit_made_again_is_the_same_pickup() {
    let world = World::new().await;
    let first = world
        .service
        .deposit(deposit(1, Some(NUMBER)))
        .await
        .unwrap();
    let again = world
        .service
        .deposit(deposit(1, Some(NUMBER)))
        .await
        .unwrap();
    assert_eq!(first.key, again.key);
    let (first, again) = (first.tell.unwrap(), again.tell.unwrap());
    assert_eq!(
        first.link.as_ref().unwrap().expose(),
        again.link.as_ref().unwrap().expose()
    );
    assert_eq!(first.queue(), again.queue());
    world.service.told(&first.told()).await.unwrap();
    let later = world
        .service
        .deposit(deposit(1, Some(NUMBER)))
        .await
        .unwrap();
    assert_eq!(kind_of(&later), None);
    assert_eq!(world.vault.count(), 1);
    assert_eq!(world.events().await, [EventName::ContentConsignment]);
}

#[tokio::test]
async fn the_event_of_a_deposit_names_the_octets_that_were_sealed() {
    let world = World::new().await;
    let deposit = deposit(1, Some(NUMBER));
    let octets = sha256(&*deposit.content).await.unwrap();
    world.service.deposit(deposit).await.unwrap();
    let log = Log::of_tenant(tenant_id(), &*world.master).await.unwrap();
    let page = world.audit.page(&tenant_id(), 0, 1).await.unwrap();
    let event = log.read(&page.events[0]).unwrap();
    assert_eq!(event.name, EventName::ContentConsignment);
    let named = event.fact(Fact::ContentDigest).unwrap();
    assert_eq!(named, hex(&octets));
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[tokio::test]
async fn nobody_is_told_before_the_content_is_durable() {
    let memory = Arc::new(MemoryVault::default());
    let vault = Arc::new(Outage::new(Arc::clone(&memory)));
    let world = World::with_vault(memory, vault.clone()).await;
    vault.fail("store", Fault::Full);
    let failed = world.service.deposit(deposit(1, Some(NUMBER))).await;
    assert!(matches!(failed, Err(PickupError::Store(StoreError::Full))));
    assert!(world.sweep().await.is_empty());
    assert!(world.events().await.is_empty());
    vault.up();
    let waiting = world.waiting().await;
    let session = world.session(&waiting).await;
    assert_eq!(
        text(&world.open(&waiting, &session.token).await.unwrap()).await,
        MAIL
    );
}

#[tokio::test]
async fn after_pickup_it_stays_open_for_the_grace_time() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    world.session(&waiting).await;
    world.clock.advance(7 * DAY - MINUTE);
    assert!(world.sweep_and_tell().await.is_empty());
    let session = world.session(&waiting).await;
    assert!(world.open(&waiting, &session.token).await.is_ok());
    world.clock.advance(MINUTE);
    assert!(world.open(&waiting, &session.token).await.is_err());
    assert!(world.sweep_and_tell().await.is_empty());
    assert!(world.is_ended(&waiting.key).await);
    world.clock.advance(23 * DAY + MINUTE);
    assert!(world.sweep_and_tell().await.is_empty());
    assert!(world.is_gone(&waiting.key).await);
}

#[tokio::test]
async fn grace_never_reaches_past_retention() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    world.clock.advance(29 * DAY);
    let session = world.session(&waiting).await;
    let opened = world.open(&waiting, &session.token).await.unwrap();
    assert_eq!(opened.until, world.now().plus(DAY));
    world.clock.advance(DAY);
    world.sweep().await;
    assert!(world.is_gone(&waiting.key).await);
}

#[tokio::test]
async fn nothing_is_kept_longer_than_ninety_days() {
    let world = World::new().await;
    let mut long = deposit(1, Some(NUMBER));
    long.tenant.retention = 400 * DAY;
    let waiting = world.waiting_with(long).await;
    world.clock.advance(90 * DAY);
    world.sweep_and_tell().await;
    assert!(world.is_gone(&waiting.key).await);
}

#[tokio::test]
async fn what_is_not_picked_up_is_reminded_of_destroyed_and_told_to_the_sender() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let mut told = Vec::new();
    for _ in 0..29 {
        world.clock.advance(DAY);
        told.extend(world.sweep_and_tell().await);
    }
    assert_eq!(told, [TellKind::Reminder, TellKind::Reminder]);
    world.clock.advance(DAY);
    let landing = world
        .service
        .landing(waiting.id, &waiting.link, client())
        .await
        .unwrap();
    assert_eq!(landing.step, Step::Ended);

    // Keys and content go at once; the record waits until the mail to the sender is committed.
    let tells = world.sweep().await;
    assert_eq!(tells.len(), 1);
    assert_eq!(tells[0].kind, TellKind::Expired);
    assert!(tells[0].link.is_none());
    assert_eq!((world.keys.count(), world.vault.count()), (0, 0));
    assert_eq!(world.sweep().await[0].queue(), tells[0].queue());
    world.service.told(&tells[0].told()).await.unwrap();
    assert!(world.is_gone(&waiting.key).await);
    world.service.told(&tells[0].told()).await.unwrap();

    let again = world.service.deposit(deposit(1, Some(NUMBER))).await;
    assert!(matches!(again, Err(PickupError::Destroyed)), "{again:?}");
    assert_eq!(
        world.events().await.last(),
        Some(&EventName::ContentHandoverFailure)
    );
}

#[tokio::test]
async fn the_recipient_destroys_it_now_and_nobody_is_told() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let session = world.session(&waiting).await;
    world
        .service
        .destroy_now(waiting.id, &waiting.link, &session.token)
        .await
        .unwrap();
    assert!(world.is_ended(&waiting.key).await);
    assert!(world.sweep().await.is_empty());
    let landing = world
        .service
        .landing(waiting.id, &waiting.link, client())
        .await;
    assert!(matches!(landing, Err(PickupError::Unknown)));
    let again = world.service.deposit(deposit(1, Some(NUMBER))).await;
    assert!(matches!(again, Err(PickupError::Destroyed)), "{again:?}");
    world.clock.advance(30 * DAY + MINUTE);
    assert!(world.sweep().await.is_empty());
    assert!(world.is_gone(&waiting.key).await);
    assert_eq!(world.events().await.last(), Some(&EventName::Destroyed));
    let again = world.service.deposit(deposit(1, Some(NUMBER))).await;
    assert!(matches!(again, Err(PickupError::Destroyed)), "{again:?}");
}

#[tokio::test]
async fn a_link_that_shall_be_forgotten_is_forgotten_and_still_opens() {
    let world = World::new().await;
    let mut forgetful = deposit(1, Some(NUMBER));
    forgetful.tenant.forget_link = true;
    let waiting = world.waiting_with(forgetful).await;
    world.service.notice_taken(&waiting.key).await.unwrap();
    let link = KeyRef::of_message(&tenant_id(), KeyPurpose::LinkSecret, waiting.id);
    assert!(world.keys.fetch(&link).await.is_err());
    let session = world.session(&waiting).await;
    assert!(world.open(&waiting, &session.token).await.is_ok());
    world.clock.advance(6 * DAY);
    assert!(world.sweep().await.is_empty());
}

#[tokio::test]
async fn a_refused_notice_ends_a_message_whose_link_is_forgotten() {
    let world = World::new().await;
    let mut forgetful = deposit(1, Some(NUMBER));
    forgetful.tenant.forget_link = true;
    let waiting = world.waiting_with(forgetful).await;
    world.service.notice_refused(&waiting.key).await.unwrap();
    assert_eq!(world.sweep_and_tell().await, [TellKind::NoticeRefused]);
    assert!(world.is_gone(&waiting.key).await);
}

#[tokio::test]
async fn a_bounced_notice_is_told_to_the_sender_once_and_again_after_it_was_renewed() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    world.service.notice_taken(&waiting.key).await.unwrap();
    for _ in 0..3 {
        world.service.notice_bounced(waiting.id).await.unwrap();
    }
    let tells = world.sweep().await;
    assert_eq!(tells[0].kind, TellKind::NoticeRefused);
    assert_eq!(tells.len(), 1);
    world.service.told(&tells[0].told()).await.unwrap();
    world.service.notice_bounced(waiting.id).await.unwrap();
    assert!(world.sweep().await.is_empty());
    let renewed = world.service.renew_notice(&token_of(&tells[0])).await;
    assert!(renewed.unwrap());
    assert_eq!(world.sweep_and_tell().await, [TellKind::NoticeAgain]);
    world.service.notice_bounced(waiting.id).await.unwrap();
    assert_eq!(world.sweep_and_tell().await, [TellKind::NoticeRefused]);
}

#[tokio::test]
async fn a_bounce_of_what_was_picked_up_or_is_unknown_changes_nothing() {
    let world = World::new().await;
    let mut forgetful = deposit(1, Some(NUMBER));
    forgetful.tenant.forget_link = true;
    let waiting = world.waiting_with(forgetful).await;
    world.service.notice_taken(&waiting.key).await.unwrap();
    let session = world.session(&waiting).await;
    let before = world.events().await;
    world.service.notice_bounced(waiting.id).await.unwrap();
    let unknown = VaultId::from_bytes([9; 16]);
    world.service.notice_bounced(unknown).await.unwrap();
    assert!(world.sweep().await.is_empty());
    assert!(world.open(&waiting, &session.token).await.is_ok());
    assert_eq!(world.events().await, before);
}

#[tokio::test]
async fn a_bounced_notice_ends_a_message_whose_link_is_forgotten() {
    let world = World::new().await;
    let mut forgetful = deposit(1, Some(NUMBER));
    forgetful.tenant.forget_link = true;
    let waiting = world.waiting_with(forgetful).await;
    world.service.notice_taken(&waiting.key).await.unwrap();
    world.service.notice_bounced(waiting.id).await.unwrap();
    assert_eq!(world.sweep_and_tell().await, [TellKind::NoticeRefused]);
    assert!(world.is_gone(&waiting.key).await);
}

#[tokio::test]
async fn after_a_refused_notice_the_sender_can_have_it_sent_again() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    world.service.notice_refused(&waiting.key).await.unwrap();
    let tells = world.sweep().await;
    assert_eq!(tells[0].kind, TellKind::NoticeRefused);
    world.service.told(&tells[0].told()).await.unwrap();
    assert!(
        world
            .service
            .renew_notice(&token_of(&tells[0]))
            .await
            .unwrap()
    );
    let tells = world.sweep().await;
    let (id, link) = link_of(&tells[0]);
    assert_eq!(id, waiting.id);
    assert!(link.digest().matches(&waiting.link.digest()));
}

#[tokio::test]
async fn nothing_secret_or_personal_stands_in_debug() {
    let world = World::new().await;
    let deposited = world
        .service
        .deposit(deposit(1, Some(NUMBER)))
        .await
        .unwrap();
    let tell = deposited.tell.unwrap();
    let (_, link) = link_of(&tell);
    let shown = format!("{tell:?} {link:?} {:?}", world.service);
    for secret in ["piet", "jan@", link.text().expose(), "345678"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

async fn damage(world: &World, key: &VaultKey) {
    let record = world.pickups.load(key).await.unwrap();
    let broken = PickupRecord {
        sealed_state: vec![0; 40],
        ..record
    };
    let version = broken.version;
    world.pickups.replace(&broken, version).await.unwrap();
}

#[tokio::test]
async fn one_damaged_record_does_not_stop_the_sweep() {
    let world = World::new().await;
    let damaged = world.waiting().await;
    let whole = world.waiting_with(deposit(2, Some(NUMBER))).await;
    damage(&world, &damaged.key).await;
    world.clock.advance(30 * DAY);
    assert_eq!(world.sweep_and_tell().await, [TellKind::Expired]);
    assert!(world.pickups.load(&whole.key).await.is_err());
}

#[tokio::test]
async fn more_damaged_records_than_a_sweep_takes_do_not_stop_it() {
    let world = World::new().await;
    for queue in 1..=10 {
        let damaged = world.waiting_with(deposit(queue, Some(NUMBER))).await;
        damage(&world, &damaged.key).await;
    }
    world.clock.advance(MINUTE);
    let whole = world.waiting_with(deposit(11, Some(NUMBER))).await;
    world.clock.advance(30 * DAY);
    let mut told = Vec::new();
    for _ in 0..8 {
        told.extend(world.service.sweep(world.now(), 3).await.unwrap());
    }
    assert!(told.iter().any(|tell| tell.kind == TellKind::Expired));
    world.service.told(&told[0].told()).await.unwrap();
    assert!(world.is_ended(&whole.key).await);
}

#[tokio::test]
async fn those_whom_nobody_can_be_told_of_do_not_keep_others_from_their_end() {
    let world = World::new().await;
    for queue in 1..=10 {
        world.waiting_with(deposit(queue, Some(NUMBER))).await;
    }
    world.clock.advance(MINUTE);
    let last = world.waiting_with(deposit(11, Some(NUMBER))).await;
    world.clock.advance(30 * DAY);
    // The mails to the senders are never committed.
    for _ in 0..8 {
        world.service.sweep(world.now(), 3).await.unwrap();
    }
    assert!(world.is_ended(&last.key).await);
    // And all come again in a few rounds.
    let mut again = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let tells = world.service.sweep(world.now(), 3).await.unwrap();
        again.extend(tells.iter().map(|tell| tell.facts.id));
    }
    assert_eq!(again.len(), 11);
}

#[tokio::test]
async fn a_destruction_that_could_not_be_logged_is_logged_later_and_once() {
    let audit = Arc::new(MemoryAudit::default());
    let log = Arc::new(Outage::new(Arc::clone(&audit)));
    let world = World::with_audit(audit, log.clone()).await;
    let wished = world.waiting().await;
    let session = world.session(&wished).await;
    let read = world.waiting_with(deposit(2, Some(NUMBER))).await;
    world.session(&read).await;

    log.fail("append", Fault::Full);
    let destroyed = world
        .service
        .destroy_now(wished.id, &wished.link, &session.token)
        .await;
    // Nothing had to be logged before retention ends.
    assert!(destroyed.is_ok());
    world.clock.advance(30 * DAY + MINUTE);
    world.sweep().await;
    world.sweep().await;
    // What is over is destroyed, logged or not.
    assert_eq!((world.keys.count(), world.vault.count()), (0, 0));

    log.up();
    world.clock.advance(MINUTE);
    world.sweep().await;
    world.sweep().await;
    let events = world.events().await;
    let ends = events.iter().filter(|name| **name == EventName::Destroyed);
    assert_eq!(ends.count(), 2, "{events:?}");
    assert!(world.is_gone(&wished.key).await);
    assert!(world.is_gone(&read.key).await);
}

#[tokio::test]
async fn wrong_codes_that_could_not_be_logged_are_answered_and_logged_later() {
    let audit = Arc::new(MemoryAudit::default());
    let log = Arc::new(Outage::new(Arc::clone(&audit)));
    let world = World::with_audit(audit, log.clone()).await;
    let waiting = world.waiting().await;
    let code = world.code(&waiting).await;
    log.fail("append", Fault::Full);
    let verified = world.verify(&waiting, &wrong(&code)).await;
    assert!(
        matches!(verified, Verified::Wrong { left: 2 }),
        "{verified:?}"
    );
    log.up();
    world.clock.advance(MINUTE);
    world.sweep().await;
    world.sweep().await;
    let events = world.events().await;
    let counted = events.iter().filter(|name| **name == EventName::CodeWrong);
    assert_eq!(counted.count(), 1, "{events:?}");
}
