//! Numbers that are missing or wrong, and the release of a locked message.

use securemail_core::backend::{Directory, KeyPurpose, KeyRef, KeyStore, NotifyError};
use securemail_core::drive::pickup::{
    CodeRequested, NumberGiven, PickupError, Remember, SenderStep, Verified,
};
use securemail_core::ledger::EventName;
use securemail_core::pickup::{SenderToken, TellKind};
use securemail_core::secret::Key32;
use securemail_core::vocab::PhoneNumber;

use crate::pickup_world::*;

fn number(text: &str) -> PhoneNumber {
    text.parse().unwrap()
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
async fn the_form_of_a_message_that_is_over_changes_no_number_of_the_organisation() {
    let world = World::new().await;
    let deposited = world.service.deposit(deposit(1, None)).await.unwrap();
    let token = token_of(&deposited.tell.unwrap());
    world.clock.advance(30 * DAY);
    let tells = world.sweep().await;
    assert!(
        tells
            .iter()
            .any(|tell| tell.kind == TellKind::NumberNeverCame)
    );
    let other = number("+31687654321");
    let given = world
        .service
        .set_number(&token, &other, Remember::ForOrganisation)
        .await
        .unwrap();
    assert!(matches!(given, NumberGiven::Ended), "{given:?}");
    let recipient = "piet@example.nl".parse().unwrap();
    let known = world.directory.phone(&tenant_id(), &recipient).await;
    assert_eq!(known.unwrap(), None);
}
