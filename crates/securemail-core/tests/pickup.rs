//! A pickup from deposit to destruction, over back-ends in memory.

mod pickup_world;

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pickup_world::*;
use securemail_core::StoreError;
use securemail_core::backend::{Directory, KeyPurpose, KeyRef, KeyStore, NotifyError, Vault};
use securemail_core::drive::pickup::{
    CodeRequested, NumberGiven, PickupError, Remember, SenderStep, Step, Verified,
};
use securemail_core::ledger::EventName;
use securemail_core::pickup::{LinkSecret, NoCode, SenderToken, SessionToken, TellKind};
use securemail_core::secret::Key32;
use securemail_core::vocab::{PhoneNumber, SealedContent, UnixTime, VaultKey};
use securemail_testkit::memory::MemoryVault;

fn number(text: &str) -> PhoneNumber {
    text.parse().unwrap()
}

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

/// A vault that fails its first store.
#[derive(Debug)]
struct Stumbling(Arc<MemoryVault>, std::sync::atomic::AtomicBool);

#[async_trait]
impl Vault for Stumbling {
    async fn store(
        &self,
        key: &VaultKey,
        expires: UnixTime,
        body: &SealedContent,
    ) -> Result<(), StoreError> {
        if !self.1.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return Err(StoreError::Full);
        }
        self.0.store(key, expires, body).await
    }

    async fn open(&self, key: &VaultKey) -> Result<SealedContent, StoreError> {
        self.0.open(key).await
    }

    async fn erase(&self, key: &VaultKey) -> Result<(), StoreError> {
        self.0.erase(key).await
    }

    async fn expired(&self, now: UnixTime, limit: usize) -> Result<Vec<VaultKey>, StoreError> {
        self.0.expired(now, limit).await
    }
}

#[tokio::test]
async fn nobody_is_told_before_the_content_is_durable() {
    let memory = Arc::new(MemoryVault::default());
    let stumbling = Stumbling(Arc::clone(&memory), false.into());
    let world = World::with_vault(memory, Arc::new(stumbling)).await;
    let failed = world.service.deposit(deposit(1, Some(NUMBER))).await;
    assert!(matches!(failed, Err(PickupError::Store(StoreError::Full))));
    assert!(world.sweep().await.is_empty());
    assert!(world.events().await.is_empty());
    let waiting = world.waiting().await;
    let session = world.session(&waiting).await;
    assert_eq!(
        text(&world.open(&waiting, &session.token).await.unwrap()).await,
        MAIL
    );
}

#[tokio::test]
async fn mail_and_text_message_together_open_it() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let landing = world
        .service
        .landing(waiting.id, &waiting.link, client())
        .await
        .unwrap();
    assert_eq!(landing.step, Step::AskCode);
    assert_eq!(landing.last_two, "78");
    let session = world.session(&waiting).await;
    let opened = world.open(&waiting, &session.token).await.unwrap();
    assert_eq!(text(&opened).await, MAIL);
}

#[tokio::test]
async fn looking_changes_nothing() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let session = world.session(&waiting).await;
    let version = world.version(&waiting).await;
    let events = world.events().await;
    for _ in 0..3 {
        world
            .service
            .landing(waiting.id, &waiting.link, client())
            .await
            .unwrap();
        world.open(&waiting, &session.token).await.unwrap();
    }
    assert_eq!(world.version(&waiting).await, version);
    assert_eq!(world.events().await, events);
    assert_eq!(world.notifier.sent().len(), 1);
}

#[tokio::test]
async fn a_link_that_is_not_complete_and_right_leads_nowhere() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let other = LinkSecret::new(Key32::from_bytes([9; 32]));
    let from = client();
    let service = &world.service;
    let landing = service.landing(waiting.id, &other, from).await;
    assert!(matches!(landing, Err(PickupError::Unknown)));
    let asked = service.request_code(waiting.id, &other, from).await;
    assert!(matches!(asked, Err(PickupError::Unknown)));
    let verified = service.verify(waiting.id, &other, "123456", from).await;
    assert!(matches!(verified, Err(PickupError::Unknown)));
    let doubted = service.not_my_number(waiting.id, &other).await;
    assert!(matches!(doubted, Err(PickupError::Unknown)));
    let session = world.session(&waiting).await;
    let opened = service.open(waiting.id, &other, &session.token).await;
    assert!(matches!(opened, Err(PickupError::Unknown)));
    let destroyed = service
        .destroy_now(waiting.id, &other, &session.token)
        .await;
    assert!(matches!(destroyed, Err(PickupError::Unknown)));
    assert_eq!(world.notifier.sent().len(), 1);
}

#[tokio::test]
async fn a_session_is_of_one_message_and_ends_after_four_hours() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let other = world.waiting_with(deposit(2, Some(NUMBER))).await;
    let session = world.session(&waiting).await;
    let elsewhere = world.open(&other, &session.token).await;
    assert!(matches!(elsewhere, Err(PickupError::Unknown)));
    let forged = SessionToken::new(Key32::from_bytes([3; 32]));
    assert!(world.open(&waiting, &forged).await.is_err());
    world.clock.advance(4 * HOUR - MINUTE);
    assert!(world.open(&waiting, &session.token).await.is_ok());
    world.clock.advance(MINUTE);
    assert!(world.open(&waiting, &session.token).await.is_err());
}

#[tokio::test]
async fn a_closed_session_is_over_and_others_go_on() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let telephone = world.session(&waiting).await;
    world.clock.advance(MINUTE);
    let desk = world.session(&waiting).await;
    world
        .service
        .close(waiting.id, &waiting.link, &telephone.token)
        .await
        .unwrap();
    assert!(world.open(&waiting, &telephone.token).await.is_err());
    assert!(world.open(&waiting, &desk.token).await.is_ok());
}

#[tokio::test]
async fn three_wrong_codes_lock_the_message_and_block_the_address() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let code = world.code(&waiting).await;
    let bad = wrong(&code);
    assert!(matches!(
        world.verify(&waiting, &bad).await,
        Verified::Wrong { left: 2 }
    ));
    assert!(matches!(
        world.verify(&waiting, &bad).await,
        Verified::Wrong { left: 1 }
    ));
    assert!(matches!(
        world.verify(&waiting, &bad).await,
        Verified::Locked
    ));

    // The right code is of no use any more, here or from elsewhere.
    let elsewhere: IpAddr = "198.51.100.9".parse().unwrap();
    assert!(matches!(
        world.verify(&waiting, &code).await,
        Verified::Blocked(_)
    ));
    assert!(matches!(
        world.verify_from(&waiting, &code, elsewhere).await,
        Verified::Locked
    ));
    let asked = world
        .service
        .request_code(waiting.id, &waiting.link, elsewhere)
        .await
        .unwrap();
    assert_eq!(asked, CodeRequested::Refused(NoCode::Locked));
    let landing = world
        .service
        .landing(waiting.id, &waiting.link, elsewhere)
        .await
        .unwrap();
    assert_eq!(landing.step, Step::Locked);

    // The address is blocked for the other messages of the tenant as well, for an hour.
    let other = world.waiting_with(deposit(2, Some(NUMBER))).await;
    let until = world.now().plus(HOUR);
    let asked = world
        .service
        .request_code(other.id, &other.link, client())
        .await
        .unwrap();
    assert_eq!(asked, CodeRequested::Blocked(until));
    let landing = world
        .service
        .landing(other.id, &other.link, client())
        .await
        .unwrap();
    assert_eq!(landing.step, Step::Blocked { until });
    world.clock.advance(HOUR);
    world.code(&other).await;

    assert!(world.sweep_and_tell().await.contains(&TellKind::Locked));
    let events = world.events().await;
    let count = |name| events.iter().filter(|event| **event == name).count();
    assert_eq!(count(EventName::CodeWrong), 3);
    assert_eq!(count(EventName::Locked), 1);
    assert_eq!(count(EventName::AddressBlocked), 1);
}

#[tokio::test]
async fn a_block_holds_for_a_network_of_ipv6_and_for_its_tenant_alone() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let code = world.code(&waiting).await;
    let from: IpAddr = "2001:db8:1:2::1".parse().unwrap();
    for _ in 0..3 {
        world.verify_from(&waiting, &wrong(&code), from).await;
    }
    let mut elsewhere = deposit(2, Some(NUMBER));
    elsewhere.tenant.id = "waterschap".parse().unwrap();
    elsewhere.delivery.tenant = elsewhere.tenant.id.clone();
    let elsewhere = world.waiting_with(elsewhere).await;
    let here = world.waiting_with(deposit(3, Some(NUMBER))).await;
    let ask = async |waiting: &Waiting, from: &str| {
        let from = from.parse().unwrap();
        world
            .service
            .request_code(waiting.id, &waiting.link, from)
            .await
            .unwrap()
    };
    assert!(matches!(
        ask(&here, "2001:db8:1:2:ffff::9").await,
        CodeRequested::Blocked(_)
    ));
    assert!(matches!(
        ask(&here, "2001:db8:1:3::1").await,
        CodeRequested::Sent { .. }
    ));
    assert!(matches!(
        ask(&elsewhere, "2001:db8:1:2::1").await,
        CodeRequested::Sent { .. }
    ));
}

#[tokio::test]
async fn a_new_code_does_not_make_wrong_ones_good() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    for left in [2, 1] {
        let code = world.code(&waiting).await;
        let checked = world.verify(&waiting, &wrong(&code)).await;
        assert!(
            matches!(checked, Verified::Wrong { left: now } if now == left),
            "{checked:?}"
        );
        world.clock.advance(11 * MINUTE);
    }
    let code = world.code(&waiting).await;
    assert!(matches!(
        world.verify(&waiting, &wrong(&code)).await,
        Verified::Locked
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_wrong_codes_at_once_burn_exactly_three_tries() {
    let world = Arc::new(World::new().await);
    let waiting = Arc::new(world.waiting().await);
    let bad = wrong(&world.code(&waiting).await);
    let mut tries = tokio::task::JoinSet::new();
    for client in 0..50_u8 {
        let (world, waiting, bad) = (Arc::clone(&world), Arc::clone(&waiting), bad.clone());
        tries.spawn(async move {
            world
                .verify_from(&waiting, &bad, IpAddr::from([192, 0, 2, client]))
                .await
        });
    }
    let results = tries.join_all().await;
    let wrong = results
        .iter()
        .filter(|result| matches!(result, Verified::Wrong { .. }))
        .count();
    assert_eq!(wrong, 2);
    let locked = results
        .iter()
        .filter(|result| matches!(result, Verified::Locked))
        .count();
    assert_eq!(locked, 48);
    let events = world.events().await;
    let counted = events
        .iter()
        .filter(|event| **event == EventName::CodeWrong)
        .count();
    assert_eq!(counted, 3);
    let kinds = world.sweep_and_tell().await;
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == TellKind::Locked)
            .count(),
        1
    );
}

#[tokio::test]
async fn malformed_and_expired_codes_do_not_count() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    for typed in ["123456", "000000"] {
        assert!(matches!(
            world.verify(&waiting, typed).await,
            Verified::Expired
        ));
    }
    let code = world.code(&waiting).await;
    for typed in [
        "",
        "12345",
        "1234567",
        "12345a",
        "\u{661}\u{662}\u{663}\u{664}\u{665}\u{666}",
    ] {
        let verified = world.verify(&waiting, typed).await;
        assert!(
            matches!(verified, Verified::Malformed(_)),
            "{typed} {verified:?}"
        );
    }
    world.clock.advance(10 * MINUTE);
    for _ in 0..5 {
        assert!(matches!(
            world.verify(&waiting, &code).await,
            Verified::Expired
        ));
    }
    let code = world.code(&waiting).await;
    let spaced = format!(" {} {}-{} ", &code[..2], &code[2..4], &code[4..]);
    assert!(matches!(
        world.verify(&waiting, &spaced).await,
        Verified::Open(_)
    ));
}

#[tokio::test]
async fn a_code_is_good_once() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let code = world.code(&waiting).await;
    assert!(matches!(
        world.verify(&waiting, &code).await,
        Verified::Open(_)
    ));
    assert!(matches!(
        world.verify(&waiting, &code).await,
        Verified::Expired
    ));
}

#[tokio::test]
async fn sent_again_it_is_the_same_code_while_it_is_good() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let first = world.code(&waiting).await;
    world.clock.advance(MINUTE);
    assert_eq!(world.code(&waiting).await, first);
    let valid_for = world.notifier.sent().last().unwrap().valid_for;
    assert_eq!(valid_for, 9 * MINUTE);
    world.clock.advance(9 * MINUTE);
    assert_ne!(world.code(&waiting).await, first);
}

#[tokio::test]
async fn codes_are_sent_within_a_budget() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let ask = || {
        world
            .service
            .request_code(waiting.id, &waiting.link, client())
    };
    let first = world.now();
    world.code(&waiting).await;
    let again = first.plus(MINUTE / 2);
    assert_eq!(
        ask().await.unwrap(),
        CodeRequested::Refused(NoCode::TooSoonUntil(again))
    );
    for _ in 0..2 {
        world.clock.advance(MINUTE);
        world.code(&waiting).await;
    }
    world.clock.advance(MINUTE);
    let spent = CodeRequested::Refused(NoCode::SpentUntil(first.plus(HOUR)));
    assert_eq!(ask().await.unwrap(), spent);
    world.clock.set(first.plus(2 * HOUR));
    for _ in 0..3 {
        world.code(&waiting).await;
        world.clock.advance(MINUTE);
    }
    world.clock.advance(2 * HOUR);
    let spent = CodeRequested::Refused(NoCode::SpentUntil(first.plus(DAY)));
    assert_eq!(ask().await.unwrap(), spent);
    world.clock.set(first.plus(DAY));
    world.code(&waiting).await;
    assert_eq!(world.notifier.sent().len(), 7);
}

#[tokio::test]
async fn a_code_that_the_carrier_did_not_take_does_not_count() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    for _ in 0..10 {
        world.notifier.fail_next(NotifyError::Busy);
        let asked = world
            .service
            .request_code(waiting.id, &waiting.link, client())
            .await
            .unwrap();
        assert_eq!(asked, CodeRequested::Unavailable);
    }
    world.code(&waiting).await;
}

#[tokio::test]
async fn a_code_that_may_have_been_sent_counts() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    for _ in 0..3 {
        world
            .notifier
            .fail_next(NotifyError::InDoubt("silence".into()));
        let asked = world
            .service
            .request_code(waiting.id, &waiting.link, client())
            .await
            .unwrap();
        assert!(matches!(asked, CodeRequested::Sent { .. }));
        world.clock.advance(MINUTE);
    }
    let asked = world
        .service
        .request_code(waiting.id, &waiting.link, client())
        .await
        .unwrap();
    assert!(matches!(
        asked,
        CodeRequested::Refused(NoCode::SpentUntil(_))
    ));
}

#[tokio::test]
async fn a_number_that_the_carrier_refuses_is_told_to_the_sender_once() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    world.notifier.fail_next(NotifyError::Number);
    let asked = world
        .service
        .request_code(waiting.id, &waiting.link, client())
        .await
        .unwrap();
    assert_eq!(asked, CodeRequested::NumberWrong);
    world.service.code_undeliverable(waiting.id).await.unwrap();
    world
        .service
        .not_my_number(waiting.id, &waiting.link)
        .await
        .unwrap();
    assert_eq!(world.sweep_and_tell().await, [TellKind::NumberWrong]);
    assert!(world.sweep_and_tell().await.is_empty());
}

#[tokio::test]
async fn the_sender_releases_and_the_recipient_needs_a_new_code() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let code = world.code(&waiting).await;
    for _ in 0..3 {
        world.verify(&waiting, &wrong(&code)).await;
    }
    let tells = world.sweep().await;
    let locked = tells
        .iter()
        .find(|tell| tell.kind == TellKind::Locked)
        .unwrap();
    let token = token_of(locked);
    let view = world.service.sender_view(&token).await.unwrap();
    assert!(matches!(view.step, SenderStep::Locked { .. }));
    world.service.release(&token).await.unwrap();
    world.clock.advance(HOUR);
    assert!(matches!(
        world.verify(&waiting, &code).await,
        Verified::Expired
    ));
    world.session(&waiting).await;
    assert!(world.events().await.contains(&EventName::Released));
}

#[tokio::test]
async fn the_senders_form_opens_with_its_own_token_only() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let forged = SenderToken::new(waiting.id, Key32::from_bytes([4; 32]));
    let service = &world.service;
    assert!(matches!(
        service.sender_view(&forged).await,
        Err(PickupError::Unknown)
    ));
    assert!(matches!(
        service.release(&forged).await,
        Err(PickupError::Unknown)
    ));
    let other = number("+31687654321");
    let set = service
        .set_number(&forged, &other, Remember::ForOrganisation)
        .await;
    assert!(matches!(set, Err(PickupError::Unknown)));
    let recipient = "piet@example.nl".parse().unwrap();
    assert_eq!(
        world
            .directory
            .phone(&tenant_id(), &recipient)
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn a_missing_number_is_asked_for_and_then_there_is_a_link() {
    let world = World::new().await;
    let deposited = world.service.deposit(deposit(1, None)).await.unwrap();
    let tell = deposited.tell.unwrap();
    assert_eq!(tell.kind, TellKind::NumberMissing);
    let key = |purpose| KeyRef::of_message(&tenant_id(), purpose, deposited.key.id);
    assert!(
        world
            .keys
            .fetch(&key(KeyPurpose::LinkSecret))
            .await
            .is_err()
    );
    assert!(world.keys.fetch(&key(KeyPurpose::ContentKey)).await.is_ok());

    let token = token_of(&tell);
    assert_eq!(
        world.service.sender_view(&token).await.unwrap().step,
        SenderStep::NumberMissing
    );
    let given = world
        .service
        .set_number(&token, &number(NUMBER), Remember::ForOrganisation)
        .await
        .unwrap();
    let NumberGiven::LinkMade(Some(notice)) = given else {
        panic!("{given:?}")
    };
    assert!(
        world
            .keys
            .fetch(&key(KeyPurpose::ContentKey))
            .await
            .is_err()
    );
    let recipient = "piet+x@example.nl".parse().unwrap();
    let remembered = world
        .directory
        .phone(&tenant_id(), &recipient)
        .await
        .unwrap();
    assert_eq!(remembered, Some(number(NUMBER)));
    let (id, link) = link_of(&notice);
    let waiting = Waiting {
        key: deposited.key,
        id,
        link,
    };
    let session = world.session(&waiting).await;
    assert_eq!(
        text(&world.open(&waiting, &session.token).await.unwrap()).await,
        MAIL
    );
}

#[tokio::test]
async fn a_number_given_twice_gives_one_link() {
    let world = World::new().await;
    let deposited = world.service.deposit(deposit(1, None)).await.unwrap();
    let phone = number(NUMBER);
    let give = || world.service.number_given(&deposited.key, &phone);
    let NumberGiven::LinkMade(Some(first)) = give().await.unwrap() else {
        panic!()
    };
    assert!(matches!(give().await.unwrap(), NumberGiven::Changed));
    let tells = world.sweep().await;
    assert_eq!(tells.len(), 1);
    assert_eq!(tells[0].queue(), first.queue());
}

#[tokio::test]
async fn another_number_ends_sessions_and_codes_of_the_old_one() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let session = world.session(&waiting).await;
    world.clock.advance(MINUTE);
    let code = world.code(&waiting).await;
    world
        .service
        .number_given(&waiting.key, &number("+31687654321"))
        .await
        .unwrap();
    assert!(world.open(&waiting, &session.token).await.is_err());
    assert!(matches!(
        world.verify(&waiting, &code).await,
        Verified::Expired
    ));
    world.clock.advance(MINUTE);
    world.session(&waiting).await;
    assert_eq!(
        world.notifier.sent().last().unwrap().to,
        number("+31687654321")
    );
}

#[tokio::test]
async fn without_a_number_it_is_given_back_after_reminders() {
    let world = World::new().await;
    let deposited = world.service.deposit(deposit(1, None)).await.unwrap();
    assert_eq!(world.sweep_and_tell().await, [TellKind::NumberMissing]);
    let mut told = Vec::new();
    for _ in 0..(6 * 24) {
        world.clock.advance(HOUR);
        told.extend(world.sweep_and_tell().await);
    }
    let expected = [
        TellKind::NumberReminder,
        TellKind::NumberReminder,
        TellKind::NumberReminder,
        TellKind::NumberNeverCame,
    ];
    assert_eq!(told, expected);
    assert!(world.is_gone(&deposited.key).await);
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
    assert!(world.is_gone(&waiting.key).await);
    assert!(world.sweep().await.is_empty());
    let landing = world
        .service
        .landing(waiting.id, &waiting.link, client())
        .await;
    assert!(matches!(landing, Err(PickupError::Unknown)));
    assert_eq!(world.events().await.last(), Some(&EventName::Destroyed));
}

#[tokio::test]
async fn nobody_learns_when_it_was_opened() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let before = world.events().await;
    let session = world.session(&waiting).await;
    world.open(&waiting, &session.token).await.unwrap();
    world.clock.advance(HOUR);
    assert!(world.sweep_and_tell().await.is_empty());
    assert_eq!(world.events().await, before);
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
async fn the_text_message_names_code_and_host_and_no_link() {
    let world = World::new().await;
    let waiting = world.waiting().await;
    let code = world.code(&waiting).await;
    let sent = world.notifier.sent();
    let text = sent[0].text.expose();
    assert!(text.starts_with(&code), "{text}");
    assert!(text.ends_with(&format!("@mail.example #{code}")), "{text}");
    assert!(!text.contains("http"), "{text}");
    assert_eq!(sent[0].reference, waiting.id.to_string());
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

#[tokio::test]
async fn one_damaged_record_does_not_stop_the_sweep() {
    use securemail_core::backend::{PickupRecord, Pickups};
    let world = World::new().await;
    let damaged = world.waiting().await;
    let whole = world.waiting_with(deposit(2, Some(NUMBER))).await;
    let record = world.pickups.load(&damaged.key).await.unwrap();
    let broken = PickupRecord {
        sealed_state: vec![0; 40],
        ..record
    };
    world
        .pickups
        .replace(&broken, broken.version)
        .await
        .unwrap();
    world.clock.advance(30 * DAY);
    assert_eq!(world.sweep_and_tell().await, [TellKind::Expired]);
    assert!(world.pickups.load(&whole.key).await.is_err());
}
