//! The recipient's way from link to message.

use axum::http::StatusCode;
use securemail_web::PortalSettings;

use crate::browser::*;
use crate::pickup_world::*;

#[tokio::test]
async fn the_secret_leaves_the_address_at_once() {
    let portal = Portal::new().await;
    let waiting = portal.world.waiting().await;
    let mut browser = Browser::new(&portal.router);
    let page = browser.get(&path_of(&waiting)).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_eq!(page.header("location"), format!("/b/{}", waiting.id));
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    let cookies = page.cookies();
    assert_eq!(cookies.len(), 1);
    let attributes = cookies[0].split_once("; ").unwrap().1;
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Lax");
    assert!(cookies[0].starts_with(&format!("__Host-link-{}=", waiting.id)));
    let secret = waiting.link.text();
    assert!(!cookies[0].contains(secret.expose()));
    let again = browser.get(&path_of(&waiting)).await;
    assert!(
        again.cookies().is_empty(),
        "forms in another window stay good"
    );
}

#[tokio::test]
async fn before_the_code_nothing_of_the_message_is_shown() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.followed().await;
    let landing = browser.get(&format!("/b/{}", waiting.id)).await;
    assert_eq!(landing.status, StatusCode::OK);
    assert!(
        landing
            .text
            .contains("<h1>Beveiligd bericht van Gemeente Voorbeeld</h1>")
    );
    assert!(landing.text.contains("p***@example.nl"));
    assert!(landing.text.contains("eindigt op 78"));
    let code = browser.send_code(waiting.id).await;
    assert!(code.text.contains("autocomplete=\"one-time-code\""));
    for page in [landing, code] {
        for word in ["uitslag", "jan@", "piet@", "345678", "brief.pdf"] {
            assert!(!page.text.contains(word), "{word} in {}", page.text);
        }
    }
}

#[tokio::test]
async fn with_the_code_the_message_is_read_and_saved() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.opened().await;
    let base = format!("/b/{}", waiting.id);
    let page = browser.get(&base).await;
    assert!(page.text.contains("<h1>De uitslag</h1>"), "{}", page.text);
    assert!(
        page.text.contains("Jan &#60;jan@gemeente.example&#62;"),
        "{}",
        page.text
    );
    assert!(page.text.contains("1 bijlage"));
    assert!(
        page.text
            .contains("84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882")
    );
    let session = page.cookies().join("\n");
    assert!(session.contains("SameSite=Strict"), "{session}");

    let body = browser.get(&format!("{base}/body")).await;
    assert!(body.text.contains("<p>Alles is goed.</p>"));
    assert!(
        !body.text.contains("steal") && !body.text.contains("tracker"),
        "{}",
        body.text
    );
    let policy = body.header("content-security-policy");
    assert!(policy.starts_with("sandbox "), "{policy}");
    assert!(policy.contains("default-src 'none'") && !policy.contains("allow-scripts"));
    assert!(!policy.contains("allow-same-origin"));

    let text = browser.get(&format!("{base}?view=text")).await;
    assert!(text.text.contains("Alles is goed."));

    let eml = browser.get(&format!("{base}/message.eml")).await;
    assert_eq!(eml.text, HTML_MAIL);
    assert_eq!(eml.header("content-type"), "message/rfc822");
    assert!(
        eml.header("content-disposition")
            .starts_with("attachment; filename=\"")
    );
}

#[tokio::test]
async fn attachments_come_whole_or_in_ranges_and_are_never_shown() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.opened().await;
    let path = format!("/b/{}/file/0", waiting.id);
    let whole = browser.get(&path).await;
    assert_eq!(whole.status, StatusCode::OK);
    assert_eq!(whole.text, "0123456789");
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    assert_eq!(whole.header("content-type"), "application/pdf");
    assert_eq!(
        whole.header("content-disposition"),
        "attachment; filename=\"brief.pdf\"; filename*=UTF-8''brief.pdf"
    );
    let etag = whole.header("etag").to_owned();
    browser.headers = vec![("range", "bytes=3-5".to_owned()), ("if-range", etag)];
    let part = browser.get(&path).await;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.header("content-range"), "bytes 3-5/10");
    assert_eq!(part.text, "345");
    browser.headers = vec![("range", "bytes=10-".to_owned())];
    let none = browser.get(&path).await;
    assert_eq!(none.status, StatusCode::RANGE_NOT_SATISFIABLE);
    browser.headers = vec![
        ("range", "bytes=2-4".to_owned()),
        ("if-range", "\"other\"".to_owned()),
    ];
    assert_eq!(browser.get(&path).await.text, "0123456789");
    browser.headers.clear();
    let missing = browser.get(&format!("/b/{}/file/1", waiting.id)).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn close_and_destroy_end_it() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.opened().await;
    let base = format!("/b/{}", waiting.id);
    let cookies = browser.cookies.clone();
    let token = browser.get(&base).await.csrf().to_owned();
    let form = format!("csrf={token}");
    let closed = browser.post(&format!("{base}/close"), &form).await;
    assert_eq!(closed.header("clear-site-data"), "\"cache\"");
    assert_eq!(browser.cookies.len(), 1);
    browser.cookies = cookies;
    let stale = browser.get(&base).await;
    assert!(
        !stale.text.contains("De uitslag"),
        "the closed session is over on our side too"
    );

    portal.world.clock.advance(MINUTE);
    browser.send_code(waiting.id).await;
    browser
        .type_code(waiting.id, &portal.world.last_code())
        .await;
    let question = browser.get(&format!("{base}/destroy")).await;
    assert!(question.text.contains("Bericht nu vernietigen?"));
    let gone = browser.post(&format!("{base}/destroy"), &form).await;
    assert!(gone.text.contains("Het bericht is vernietigd"));
    assert!(browser.cookies.is_empty());
    assert!(portal.world.is_ended(&waiting.key).await);
    let over = browser.get(&base).await;
    assert_eq!(over.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_saved_whole() {
    let small = |settings: &mut PortalSettings| settings.message_octets = HTML_MAIL.len() - 1;
    let portal = Portal::with(small, None).await;
    let deposit = html_deposit(1);
    let waiting = portal.world.waiting_with(deposit).await;
    let mut browser = Browser::new(&portal.router);
    browser.get(&path_of(&waiting)).await;
    browser.send_code(waiting.id).await;
    browser
        .type_code(waiting.id, &portal.world.last_code())
        .await;
    let base = format!("/b/{}", waiting.id);
    let page = browser.get(&base).await;
    assert!(
        page.text.contains("te groot om hier te tonen"),
        "{}",
        page.text
    );
    browser.headers = vec![("range", "bytes=-3".to_owned())];
    let end = browser.get(&format!("{base}/message.eml")).await;
    assert_eq!(end.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(end.text, "-\r\n");
}

#[tokio::test]
async fn pages_of_a_message_carry_the_name_of_its_organisation_and_no_other() {
    let portal = Portal::new().await;
    let brand = |name: &str| format!("<p class=\"brand\">{name}</p>");
    let (mut browser, waiting) = portal.followed().await;
    let base = format!("/b/{}", waiting.id);
    let landing = browser.get(&base).await;
    browser.send_code(waiting.id).await;
    browser
        .type_code(waiting.id, &portal.world.last_code())
        .await;
    let message = browser.get(&base).await;
    let destroy = browser.get(&format!("{base}/destroy")).await;
    for page in [landing, message, destroy] {
        assert!(
            page.text.contains(&brand("Gemeente Voorbeeld")),
            "{}",
            page.text
        );
        assert!(!page.text.contains("Veilige post"), "{}", page.text);
    }
    let nowhere = browser.get("/nowhere").await;
    assert!(nowhere.text.contains(&brand("Veilige post")));
}
