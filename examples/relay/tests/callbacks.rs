//! What the carrier reports is believed where it is signed, and acted on where the number is the cause.

mod common;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use common::visitor::client_config;
use common::visitor::{Visitor, between};
use common::world::{World, arrival, contains};
use common::{ANNA, NUMBER, Place, link_in, message, queue_id};
use securemail_testkit::ports;
use securemail_testkit::twilio_fake::{TwilioAccount, TwilioFake, sign};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_no_telephone_took_is_told_to_the_sender_if_the_carrier_signed_that() {
    let world = World::start().await;
    let account = TwilioAccount::default();
    let carrier = TwilioFake::start(account.clone()).await.unwrap();
    let mut place = Place::new(&world);
    let token = place.folder().join("twilio.token");
    fs::write(&token, &account.auth_token).unwrap();
    let web = ports::free(LOCALHOST).unwrap();
    let origin = format!("https://localhost:{}", web.port());
    place
        .set("listen.web", &format!("\"{web}\""))
        .set("portal.url", &format!("\"{origin}\""))
        .set("sms.provider", "\"twilio\"")
        .set("sms.base_url", &format!("\"{}\"", carrier.base_url()))
        .set("sms.account_sid", &format!("\"{}\"", account.sid))
        .set("sms.auth_token_file", &format!("\"{}\"", token.display()))
        .set("sms.from", "\"Demo\"");
    let relay = place.start();
    let mail = message("sms", "jan@open.test", "Uw dossier", "Dit is persoonlijk.");
    let reply = relay.submitter().submit(&["jan@open.test"], &mail).await;
    let reply = reply.unwrap();
    let notice = arrival(&world.open, |_| true).await;
    let link = link_in(&notice.data).unwrap();
    let id = between(&link, "/m/", "/").unwrap().to_owned();
    let certificate = relay.certificate();
    let mut jan = Visitor::new(&origin, web, &certificate, IpAddr::V4(LOCALHOST));
    let landing = jan.get(&link).await;
    let page = jan.post(&format!("/b/{id}/code"), &landing, &[]).await;
    assert!(page.status.is_success());

    let text = carrier.taken().pop().expect("a code was sent");
    assert_eq!(text.to, NUMBER);
    let callback = format!("{origin}/callback/sms?ref={id}");
    assert_eq!(text.status_callback.as_deref(), Some(callback.as_str()));
    let doubted = || {
        let said = place.relay(&["events", "--config", "{}", queue_id(&reply)]);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.out.contains("the number is wrong")
    };

    let tls = || Some(Arc::new(client_config(&certificate)));
    let fields = std::collections::BTreeMap::from([
        ("AccountSid", account.sid.clone()),
        ("ErrorCode", "30006".to_owned()),
        ("MessageSid", text.sid.clone()),
        ("MessageStatus", "undelivered".to_owned()),
    ]);
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(client_config(&certificate))
        .resolve("localhost", web)
        .no_proxy()
        .build()
        .unwrap();
    let elsewhere = callback.replace(&id, &id.replace(|c: char| c != '0', "1"));
    for (forged, signature) in [
        ("by nobody", None),
        (
            "with another token",
            Some(sign("another-token-that-is-long", &callback, &fields)),
        ),
        (
            "for another message",
            Some(sign(&account.auth_token, &elsewhere, &fields)),
        ),
    ] {
        let mut request = client.post(&callback).form(&fields);
        if let Some(signature) = signature {
            request = request.header("X-Twilio-Signature", signature);
        }
        assert_eq!(request.send().await.unwrap().status(), 403, "{forged}");
    }
    // 30003: the telephone is switched off; that is no reason to doubt the number.
    for (status, code) in [
        ("sent", None),
        ("delivered", None),
        ("undelivered", Some(30003)),
    ] {
        let answer = carrier.report(&text.sid, status, code, tls()).await;
        assert_eq!(answer.unwrap(), 204, "{status}");
    }
    assert!(!doubted());

    // 30006: a number that takes no texts.
    let answer = carrier
        .report(&text.sid, "undelivered", Some(30006), tls())
        .await;
    assert_eq!(answer.unwrap(), 204);
    assert!(doubted());
    let told = arrival(&world.sender, |mail| mail.to == [ANNA]).await;
    assert!(
        link_in(&told.data)
            .unwrap()
            .starts_with(&format!("{origin}/s/"))
    );
    assert!(!contains(&told.data, "persoonlijk"));
    assert!(!relay.log().contains(NUMBER) && !relay.log().contains("jan@"));
    assert!(relay.stop().success());
}
