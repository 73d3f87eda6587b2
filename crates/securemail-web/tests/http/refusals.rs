//! Robots, forgeries, wrong codes, and what they get.

use axum::http::{Method, StatusCode};
use securemail_core::backend::Pickups;
use securemail_web::PortalSettings;

use crate::browser::*;
use crate::pickup_world::*;

#[tokio::test]
async fn every_wrong_link_gives_the_same_page() {
    let portal = Portal::new().await;
    let waiting = portal.world.waiting().await;
    let id = waiting.id;
    let wrong = "A".repeat(43);
    let mut pages = Vec::new();
    for path in [
        format!("/m/{id}/{wrong}"),
        format!("/m/{}/{wrong}", "0".repeat(32)),
    ] {
        let mut browser = Browser::new(&portal.router);
        let followed = browser.get(&path).await;
        assert_eq!(followed.status, StatusCode::SEE_OTHER, "{path}");
        pages.push(browser.get(followed.header("location")).await);
    }
    for path in [
        format!("/b/{id}"),
        format!("/m/{id}/short"),
        "/m/xyz/abc".to_owned(),
        "/b/xyz".to_owned(),
        format!("/s/{}", "A".repeat(64)),
        "/s/short".to_owned(),
        "/elsewhere".to_owned(),
        "/".to_owned(),
    ] {
        pages.push(Browser::new(&portal.router).get(&path).await);
    }
    for page in &pages {
        assert_eq!(page.status, StatusCode::NOT_FOUND);
        assert_eq!(page.text, pages[0].text);
    }
}

/// P6: a robot that follows everything it finds changes nothing, before the code and after.
#[tokio::test]
async fn a_get_or_a_head_changes_nothing() {
    let portal = Portal::new().await;
    let (opened, waiting) = portal.opened().await;
    let mut followed = Browser::new(&portal.router);
    followed.get(&path_of(&waiting)).await;
    portal.world.clock.advance(MINUTE); // another code could be sent again
    let missing = portal
        .world
        .service
        .deposit(deposit(2, None))
        .await
        .unwrap();
    let form = form_path(&missing.tell.unwrap());
    let base = format!("/b/{}", waiting.id);
    let mut paths = vec![path_of(&waiting), base.clone(), form.clone()];
    for part in [
        "code",
        "open",
        "number",
        "body",
        "file/0",
        "message.eml",
        "destroy",
        "close",
    ] {
        paths.push(format!("{base}/{part}"));
    }
    for part in ["number", "release", "notice"] {
        paths.push(format!("{form}/{part}"));
    }
    paths.extend(["/callback/sms", "/healthz", "/robots.txt", "/portal.css"].map(str::to_owned));
    let before = portal.world.version(&waiting).await;
    let missing_key = missing.key;
    let other = async || {
        portal
            .world
            .pickups
            .load(&missing_key)
            .await
            .unwrap()
            .version
    };
    let (events, sent, other_before) = (
        portal.world.events().await,
        portal.world.notifier.sent().len(),
        other().await,
    );
    for method in [Method::GET, Method::HEAD] {
        for path in &paths {
            for before in [&opened, &followed] {
                let mut robot = Browser::new(&portal.router);
                robot.cookies.clone_from(&before.cookies);
                robot.ask(method.clone(), path, None).await;
                robot
                    .ask(method.clone(), &format!("{path}?csrf=x&code=123456"), None)
                    .await;
            }
            let mut stranger = Browser::new(&portal.router);
            stranger.ask(method.clone(), path, None).await;
        }
    }
    assert_eq!(portal.world.version(&waiting).await, before);
    assert_eq!(portal.world.events().await, events);
    assert_eq!(portal.world.notifier.sent().len(), sent);
    assert_eq!(other().await, other_before);
}

#[tokio::test]
async fn a_form_without_its_token_does_nothing() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.opened().await;
    let other = portal.world.waiting_with(html_deposit(2)).await;
    browser.get(&path_of(&other)).await;
    let token_of_other = browser
        .get(&format!("/b/{}", other.id))
        .await
        .csrf()
        .to_owned();
    let before = portal.world.version(&waiting).await;
    for action in ["code", "open", "number", "destroy", "close"] {
        for form in [
            String::new(),
            "csrf=".to_owned(),
            format!("csrf={}", "0".repeat(64)),
            format!("csrf={token_of_other}&code=123456"),
            "code=123456".to_owned(),
        ] {
            let page = browser
                .post(&format!("/b/{}/{action}", waiting.id), &form)
                .await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{action} {form}");
        }
    }
    let missing = portal
        .world
        .service
        .deposit(deposit(3, None))
        .await
        .unwrap();
    let path = form_path(&missing.tell.unwrap());
    for action in ["number", "release", "notice"] {
        let page = browser
            .post(&format!("{path}/{action}"), "number=0612345678")
            .await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{action}");
    }
    assert_eq!(portal.world.version(&waiting).await, before);
    assert_eq!(portal.world.notifier.sent().len(), 1);
}

#[tokio::test]
async fn a_form_that_another_site_sends_does_nothing() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.followed().await;
    let token = browser
        .get(&format!("/b/{}", waiting.id))
        .await
        .csrf()
        .to_owned();
    for site in ["cross-site", "same-site", "none"] {
        browser.headers = vec![("sec-fetch-site", site.to_owned())];
        let path = format!("/b/{}/code", waiting.id);
        let page = browser.post(&path, &format!("csrf={token}")).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{site}");
    }
    assert!(portal.world.notifier.sent().is_empty());
    browser.headers = vec![("sec-fetch-site", "same-origin".to_owned())];
    browser.send_code(waiting.id).await;
    assert_eq!(portal.world.notifier.sent().len(), 1);
}

#[tokio::test]
async fn a_large_form_is_refused() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.followed().await;
    let token = browser
        .get(&format!("/b/{}", waiting.id))
        .await
        .csrf()
        .to_owned();
    let form = format!("csrf={token}&code={}", "1".repeat(20_000));
    let page = browser
        .post(&format!("/b/{}/open", waiting.id), &form)
        .await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn wrong_codes_are_said_in_words_and_lock_at_the_third() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.followed().await;
    let id = waiting.id;
    browser.send_code(id).await;
    let code = portal.world.last_code();
    for (typed, said) in [
        ("", "Vul de code in."),
        ("12345", "U vulde er 5 in."),
        ("12a456", "De code bestaat uit 6 cijfers."),
        (&wrong(&code), "U heeft nog 2 pogingen."),
        (&wrong(&code), "U heeft nog 1 poging."),
    ] {
        let page = browser.type_code(id, typed).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(page.text.contains(said), "{typed} {}", page.text);
        assert!(page.title().starts_with("Fout: "));
        assert!(page.text.contains("aria-invalid=\"true\""));
    }
    let last = browser.type_code(id, &wrong(&code)).await;
    assert_eq!(last.status, StatusCode::SEE_OTHER);
    let blocked = browser.get(&format!("/b/{id}")).await;
    assert_eq!(blocked.status, StatusCode::TOO_MANY_REQUESTS);
    let reference = securemail_core::mail::Reference::of_vault(id);
    assert!(
        blocked.text.contains(&format!("Kenmerk: {reference}")),
        "{}",
        blocked.text
    );
    let mut elsewhere = Browser::new(&portal.router);
    elsewhere.address = "198.51.100.1:1".parse().unwrap();
    elsewhere.get(&path_of(&waiting)).await;
    let locked = elsewhere.get(&format!("/b/{id}")).await;
    assert_eq!(locked.status, StatusCode::LOCKED);
    assert!(locked.text.contains("Dit bericht is geblokkeerd"));
}

#[tokio::test]
async fn an_expired_code_and_an_expired_message_are_said() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.followed().await;
    let id = waiting.id;
    let page = browser.send_code(id).await;
    let token = page.csrf().to_owned();
    portal.world.clock.advance(11 * MINUTE);
    let form = format!("csrf={token}&code={}", portal.world.last_code());
    let late = browser.post(&format!("/b/{id}/open"), &form).await;
    assert!(
        late.text.contains("verlopen of al gebruikt"),
        "{}",
        late.text
    );
    portal.world.clock.advance(30 * DAY);
    let over = browser.get(&format!("/b/{id}")).await;
    assert_eq!(over.status, StatusCode::GONE);
    portal.world.sweep_and_tell().await;
    assert_eq!(
        browser.get(&format!("/b/{id}")).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_second_press_too_soon_and_a_spent_budget_are_said() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.followed().await;
    let path = format!("/b/{}/code", waiting.id);
    let token = browser.send_code(waiting.id).await.csrf().to_owned();
    let form = format!("csrf={token}");
    let soon = browser.post(&path, &form).await;
    assert!(soon.text.contains("13:00:30"), "{}", soon.text);
    for _ in 0..2 {
        portal.world.clock.advance(MINUTE);
        assert_eq!(
            browser.post(&path, &form).await.status,
            StatusCode::SEE_OTHER
        );
    }
    portal.world.clock.advance(MINUTE);
    let spent = browser.post(&path, &form).await;
    assert!(
        spent.text.contains("zaterdag 21 november 2026, 14:00"),
        "{}",
        spent.text
    );
    assert_eq!(portal.world.notifier.sent().len(), 3);
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_not_while_it_is_used() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.opened().await;
    let base = format!("/b/{}", waiting.id);
    for _ in 0..5 {
        portal.world.clock.advance(19 * MINUTE);
        assert!(browser.get(&base).await.text.contains("De uitslag"));
    }
    portal.world.clock.advance(20 * MINUTE);
    let idle = browser.get(&base).await;
    assert!(!idle.text.contains("De uitslag"));
    for part in ["body", "file/0", "message.eml", "destroy"] {
        let page = browser.get(&format!("{base}/{part}")).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{part}");
    }
}

#[tokio::test]
async fn cookies_of_one_message_open_no_other() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.opened().await;
    let other = portal.world.waiting_with(html_deposit(2)).await;
    for kind in ["link", "session"] {
        let value = browser.cookies[&format!("__Host-{kind}-{}", waiting.id)].clone();
        browser
            .cookies
            .insert(format!("__Host-{kind}-{}", other.id), value);
    }
    let page = browser.get(&format!("/b/{}", other.id)).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    // A session's cookie is no link's, and a cut or changed one is none at all.
    let session = browser.cookies[&format!("__Host-session-{}", waiting.id)].clone();
    let link = browser.cookies[&format!("__Host-link-{}", waiting.id)].clone();
    for forged in [
        session,
        link[..link.len() - 1].to_owned(),
        format!("{link}A"),
        "x".repeat(4096),
    ] {
        browser
            .cookies
            .insert(format!("__Host-link-{}", waiting.id), forged);
        let page = browser.get(&format!("/b/{}", waiting.id)).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn the_address_that_is_blocked_is_the_clients_own() {
    let trusting = |settings: &mut PortalSettings| {
        settings.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    };
    let portal = Portal::with(trusting, None).await;
    let (mut behind, waiting) = portal.followed().await;
    behind.address = "10.0.0.1:1".parse().unwrap();
    behind.headers = vec![("x-forwarded-for", "203.0.113.9, 198.51.100.7".to_owned())];
    behind.send_code(waiting.id).await;
    for _ in 0..3 {
        behind
            .type_code(waiting.id, &wrong(&portal.world.last_code()))
            .await;
    }
    let base = format!("/b/{}", waiting.id);
    let mut status = async |address: &str, forwarded: Option<&str>| {
        behind.address = address.parse().unwrap();
        behind.headers = forwarded
            .map(|text| ("x-forwarded-for", text.to_owned()))
            .into_iter()
            .collect();
        behind.get(&base).await.status
    };
    // The client behind the proxy, by proxy or directly.
    assert_eq!(
        status("10.0.0.1:1", Some("198.51.100.7")).await,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(
        status("198.51.100.7:1", None).await,
        StatusCode::TOO_MANY_REQUESTS
    );
    // A header of its own does not help it, and what it claimed to be is not blocked.
    let claimed = Some("192.0.2.200");
    assert_eq!(
        status("198.51.100.7:1", claimed).await,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(status("203.0.113.9:1", None).await, StatusCode::LOCKED);
    assert_eq!(
        status("10.0.0.1:1", Some("192.0.2.200")).await,
        StatusCode::LOCKED
    );
}

#[tokio::test]
async fn without_trusted_proxies_the_socket_is_the_client() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.followed().await;
    browser.headers = vec![("x-forwarded-for", "198.51.100.7".to_owned())];
    browser.send_code(waiting.id).await;
    for _ in 0..3 {
        browser
            .type_code(waiting.id, &wrong(&portal.world.last_code()))
            .await;
    }
    browser.headers = vec![("x-forwarded-for", "198.51.100.8".to_owned())];
    let page = browser.get(&format!("/b/{}", waiting.id)).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
}
