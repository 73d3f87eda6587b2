//! Links, codes, locks, blocks, sessions.

use std::net::IpAddr;
use std::sync::Arc;

use securemail_core::backend::NotifyError;
use securemail_core::drive::pickup::{CodeRequested, PickupError, Step, Verified};
use securemail_core::ledger::EventName;
use securemail_core::pickup::{LinkSecret, NoCode, SessionToken, TellKind};
use securemail_core::secret::Key32;

use crate::pickup_world::*;

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
