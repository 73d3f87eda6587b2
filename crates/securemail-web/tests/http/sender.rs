//! The sender's form, and what the carrier reports.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{HeaderMap, StatusCode};
use securemail_core::pickup::TellKind;
use securemail_core::vocab::VaultId;
use securemail_web::{CallbackAnswer, CarrierCallbacks};

use crate::browser::*;
use crate::pickup_world::*;

#[tokio::test]
async fn the_sender_gives_the_missing_number_in_any_notation() {
    let portal = Portal::new().await;
    let deposited = portal
        .world
        .service
        .deposit(deposit(1, None))
        .await
        .unwrap();
    let path = form_path(&deposited.tell.unwrap());
    let mut browser = Browser::new(&portal.router);
    let form = browser.get(&path).await;
    assert!(
        form.text.contains("<h1>Telefoonnummer nodig</h1>"),
        "{}",
        form.text
    );
    assert!(form.text.contains("piet@example.nl"));
    assert!(!form.text.contains("geheim"), "nothing of the message");
    let token = form.csrf().to_owned();
    for (number, said) in [
        ("", "Vul een nummer in."),
        ("12", "Dit nummer bestaat niet."),
        ("020-1234567", "Dit is geen mobiel nummer."),
        ("%2B1+202+555+0100", "Naar dit land"),
    ] {
        let wrong = format!("csrf={token}&number={number}");
        let page = browser.post(&format!("{path}/number"), &wrong).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{number}");
        assert!(page.text.contains(said), "{number} {}", page.text);
    }
    let right = format!("csrf={token}&number=06-12345678&remember=message");
    let saved = browser.post(&format!("{path}/number"), &right).await;
    assert!(saved.text.contains("+31612345678"), "{}", saved.text);
    let notice = portal.tell(TellKind::Notice).await;
    assert_eq!(notice.last_two.as_deref(), Some("78"));
    let waiting = browser.get(&path).await;
    assert!(waiting.text.contains("eindigt op 78"), "{}", waiting.text);
}

#[tokio::test]
async fn the_sender_releases_a_locked_message() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.followed().await;
    browser.send_code(waiting.id).await;
    for _ in 0..3 {
        browser
            .type_code(waiting.id, &wrong(&portal.world.last_code()))
            .await;
    }
    let path = form_path(&portal.tell(TellKind::Locked).await);
    let mut sender = Browser::new(&portal.router);
    let form = sender.get(&path).await;
    assert!(form.text.contains("Vrijgeven"));
    let release = format!("csrf={}", form.csrf());
    let released = sender.post(&format!("{path}/release"), &release).await;
    assert_eq!(released.status, StatusCode::OK);
    portal.world.clock.advance(HOUR);
    browser.send_code(waiting.id).await;
    let opened = browser
        .type_code(waiting.id, &portal.world.last_code())
        .await;
    assert_eq!(opened.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn what_the_carrier_reports_is_checked_and_told_to_the_sender() {
    let id = VaultId::of(&deposit(1, None).delivery);
    let portal = Portal::with(|_| {}, Some(Arc::new(Carrier(id)))).await;
    portal.world.waiting().await;
    let mut carrier = Browser::new(&portal.router);
    let path = "/callback/sms?x=1";
    assert_eq!(
        carrier.post(path, "failed").await.status,
        StatusCode::FORBIDDEN
    );
    assert!(portal.world.sweep().await.is_empty());
    carrier.headers = vec![
        ("x-signature", "right".to_owned()),
        ("host", "evil.example".to_owned()),
    ];
    assert_eq!(
        carrier.post(path, "delivered").await.status,
        StatusCode::NO_CONTENT
    );
    assert!(portal.world.sweep().await.is_empty());
    assert_eq!(
        carrier.post(path, "failed").await.status,
        StatusCode::NO_CONTENT
    );
    portal.tell(TellKind::NumberWrong).await;
    let without = Portal::new().await;
    let mut carrier = Browser::new(&without.router);
    assert_eq!(
        carrier.post(path, "failed").await.status,
        StatusCode::NOT_FOUND
    );
}

#[derive(Debug)]
struct Carrier(VaultId);

#[async_trait]
impl CarrierCallbacks for Carrier {
    async fn receive(&self, url: &str, headers: &HeaderMap, body: &[u8]) -> CallbackAnswer {
        if headers.get("x-signature").is_none() {
            return CallbackAnswer::Forged;
        }
        assert_eq!(url, "https://mail.example/callback/sms?x=1");
        match body {
            b"failed" => CallbackAnswer::Undeliverable(self.0),
            _ => CallbackAnswer::Taken,
        }
    }
}
