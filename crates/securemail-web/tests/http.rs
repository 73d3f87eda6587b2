//! The portal as a browser, a robot and an attacker see it.

#[path = "../../securemail-core/tests/pickup_world/mod.rs"]
mod pickup_world;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use pickup_world::*;
use securemail_core::drive::pickup::Deposit;
use securemail_core::pickup::{Tell, TellKind};
use securemail_core::vocab::{MemoryContent, VaultId};
use securemail_web::theme::Theme;
use securemail_web::{
    CallbackAnswer, CarrierCallbacks, PortalParts, PortalSettings, portal_router,
};
use tower::ServiceExt as _;

const HTML_MAIL: &str = "From: Jan <jan@gemeente.example>\r\nTo: piet@example.nl\r\n\
    Subject: De uitslag\r\nDate: Fri, 20 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n\
    <p>Alles is goed.</p><script>steal()</script><img src=\"https://tracker.example/x.gif\">\r\n\
    --b\r\nContent-Type: application/pdf; name=\"brief.pdf\"\r\nContent-Disposition: attachment\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nMDEyMzQ1Njc4OQ==\r\n--b--\r\n";

/// A browser: it keeps cookies and has an address.
struct Browser {
    router: Router,
    cookies: BTreeMap<String, String>,
    address: SocketAddr,
    headers: Vec<(&'static str, String)>,
}

struct Page {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Page {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn title(&self) -> &str {
        let rest = self.text.split("<title>").nth(1).unwrap();
        rest.split("</title>").next().unwrap()
    }

    /// The token of the first form.
    fn csrf(&self) -> &str {
        let rest = self.text.split("name=\"csrf\" value=\"").nth(1).unwrap();
        rest.split('"').next().unwrap()
    }

    fn cookies(&self) -> Vec<&str> {
        let all = self.headers.get_all(header::SET_COOKIE).iter();
        all.map(|value| value.to_str().unwrap()).collect()
    }
}

impl Browser {
    fn new(router: &Router) -> Self {
        Self {
            router: router.clone(),
            cookies: BTreeMap::new(),
            address: "192.0.2.1:50000".parse().unwrap(),
            headers: Vec::new(),
        }
    }

    async fn ask(&mut self, method: Method, path: &str, form: Option<&str>) -> Page {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        if form.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        request = request.extension(ConnectInfo(self.address));
        let body = form.map_or_else(Body::empty, |form| Body::from(form.to_owned()));
        let response = self
            .router
            .clone()
            .oneshot(request.body(body).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let page = Page {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        };
        for cookie in page.cookies() {
            let (pair, attributes) = cookie.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        page
    }

    async fn get(&mut self, path: &str) -> Page {
        self.ask(Method::GET, path, None).await
    }

    async fn post(&mut self, path: &str, form: &str) -> Page {
        self.ask(Method::POST, path, Some(form)).await
    }

    /// Presses the button that sends a code.
    async fn send_code(&mut self, id: VaultId) -> Page {
        let landing = self.get(&format!("/b/{id}")).await;
        let form = format!("csrf={}", landing.csrf());
        let sent = self.post(&format!("/b/{id}/code"), &form).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
        self.get(&format!("/b/{id}")).await
    }

    async fn type_code(&mut self, id: VaultId, code: &str) -> Page {
        let page = self.get(&format!("/b/{id}")).await;
        let form = format!("csrf={}&code={code}", page.csrf());
        self.post(&format!("/b/{id}/open"), &form).await
    }
}

/// A portal over back-ends in memory.
struct Portal {
    world: World,
    router: Router,
}

impl Portal {
    async fn new() -> Self {
        Self::with(|_| {}, None).await
    }

    async fn with(
        settle: impl FnOnce(&mut PortalSettings),
        callbacks: Option<Arc<dyn CarrierCallbacks>>,
    ) -> Self {
        let world = World::new().await;
        let mut settings = PortalSettings::new(Theme::plain("Veilige post"));
        settle(&mut settings);
        let parts = PortalParts {
            service: Arc::clone(&world.service),
            master: Arc::clone(&world.master) as _,
            entropy: Arc::clone(&world.entropy) as _,
            callbacks,
            settings,
        };
        let router = portal_router(parts).await.unwrap();
        Self { world, router }
    }

    /// A message that waits, and a browser that followed the link in its mail.
    async fn followed(&self) -> (Browser, Waiting) {
        let waiting = self.world.waiting_with(html_deposit(1)).await;
        let mut browser = Browser::new(&self.router);
        browser.get(&path_of(&waiting)).await;
        (browser, waiting)
    }

    /// A browser that is in a session.
    async fn opened(&self) -> (Browser, Waiting) {
        let (mut browser, waiting) = self.followed().await;
        browser.send_code(waiting.id).await;
        let opened = browser.type_code(waiting.id, &self.world.last_code()).await;
        assert_eq!(opened.status, StatusCode::SEE_OTHER, "{}", opened.text);
        (browser, waiting)
    }

    async fn tell(&self, kind: TellKind) -> Tell {
        let tells = self.world.sweep().await;
        tells.into_iter().find(|tell| tell.kind == kind).unwrap()
    }
}

fn html_deposit(queue: u8) -> Deposit {
    Deposit {
        content: Arc::new(MemoryContent::new(HTML_MAIL.into())),
        ..deposit(queue, Some(NUMBER))
    }
}

fn path_of(waiting: &Waiting) -> String {
    format!("/m/{}/{}", waiting.id, waiting.link.text().expose())
}

fn form_path(tell: &Tell) -> String {
    let link = tell.link.as_ref().unwrap().expose();
    link.strip_prefix("https://mail.example")
        .unwrap()
        .to_owned()
}

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

/// P6: a robot that follows everything it finds changes nothing, before the code and after.
#[tokio::test]
async fn get_and_head_change_nothing() {
    let portal = Portal::new().await;
    let (opened, waiting) = portal.opened().await;
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
        use securemail_core::backend::Pickups;
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
            let mut robot = Browser::new(&portal.router);
            robot.cookies.clone_from(&opened.cookies);
            robot.ask(method.clone(), path, None).await;
            robot
                .ask(method.clone(), &format!("{path}?csrf=x&code=123456"), None)
                .await;
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
async fn every_answer_carries_the_headers() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.opened().await;
    let base = format!("/b/{}", waiting.id);
    for path in [
        path_of(&waiting),
        base.clone(),
        format!("{base}/body"),
        format!("{base}/file/0"),
        format!("{base}/message.eml"),
        format!("{base}/destroy"),
        "/nowhere".to_owned(),
        "/healthz".to_owned(),
    ] {
        let page = browser.get(&path).await;
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        assert_eq!(page.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert!(page.header("x-robots-tag").contains("noindex"), "{path}");
        assert!(
            page.header("strict-transport-security").contains("max-age"),
            "{path}"
        );
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}");
        assert!(
            !policy.contains("script-src") && !policy.contains("https:"),
            "{path}"
        );
    }
    let robots = browser.get("/robots.txt").await;
    assert_eq!(robots.text, "User-agent: *\nDisallow: /\n");
}

#[tokio::test]
async fn pages_need_no_script_and_load_nothing_from_elsewhere() {
    let portal = Portal::new().await;
    for page in all_pages(&portal).await {
        for word in [
            "<script",
            "javascript:",
            "//",
            "onload",
            "onclick",
            "http-equiv",
        ] {
            let text = page.text.replace("<!DOCTYPE html>", "");
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
}

/// What EN 301 549 asks of a page and a program can check.
#[tokio::test]
async fn pages_can_be_read_by_a_screen_reader() {
    let portal = Portal::new().await;
    for page in all_pages(&portal).await {
        let text = &page.text;
        assert_eq!(text.matches("<h1>").count(), 1, "{text}");
        assert_eq!(text.matches("<main id=\"main\">").count(), 1, "{text}");
        assert!(text.contains("<html lang=\"nl\">"), "{text}");
        assert!(!page.title().trim().is_empty(), "{text}");
        assert_eq!(
            page.title().starts_with("Fout:"),
            text.contains("role=\"alert\""),
            "{text}"
        );
        for input in text
            .split("<input")
            .skip(1)
            .filter_map(|rest| rest.split('>').next())
        {
            let is_named = input.contains("type=\"hidden\"")
                || input.contains("type=\"radio\"")
                || input.split("id=\"").nth(1).is_some_and(|rest| {
                    let id = rest.split('"').next().unwrap();
                    text.contains(&format!("<label for=\"{id}\">"))
                });
            assert!(is_named, "{input}");
        }
        for id in text.split("aria-describedby=\"").skip(1) {
            for id in id.split('"').next().unwrap().split(' ') {
                assert!(text.contains(&format!("id=\"{id}\"")), "{id}");
            }
        }
        if let Some(rest) = text.split("role=\"alert\"").nth(1) {
            let link = rest.split("</div>").next().unwrap();
            if let Some(field) = link.split("href=\"#").nth(1) {
                let field = field.split('"').next().unwrap();
                assert!(text.contains(&format!("id=\"{field}\"")), "{field}");
                assert!(text.contains("aria-invalid=\"true\""), "{text}");
            }
        }
    }
}

/// Every page that there is, in Dutch.
async fn all_pages(portal: &Portal) -> Vec<Page> {
    let (mut browser, waiting) = portal.followed().await;
    let (id, base) = (waiting.id, format!("/b/{}", waiting.id));
    let mut pages = vec![browser.get("/nowhere").await, browser.get(&base).await];
    let token = pages[1].csrf().to_owned();
    pages.push(
        browser
            .post(&format!("{base}/number"), &format!("csrf={token}"))
            .await,
    );
    pages.push(browser.post(&format!("{base}/open"), "csrf=no").await);
    pages.push(browser.get(&format!("{base}/body")).await);
    pages.push(browser.send_code(id).await);
    pages.push(
        browser
            .post(&format!("{base}/code"), &format!("csrf={token}"))
            .await,
    );
    for code in ["", "123", &wrong(&portal.world.last_code())] {
        pages.push(browser.type_code(id, code).await);
    }
    let code = portal.world.last_code();
    browser.type_code(id, &code).await;
    pages.push(browser.get(&base).await);
    pages.push(browser.get(&format!("{base}?view=text")).await);
    pages.push(browser.get(&format!("{base}/destroy")).await);
    pages.push(
        browser
            .post(&format!("{base}/close"), &format!("csrf={token}"))
            .await,
    );
    portal.world.clock.advance(MINUTE);
    browser.send_code(id).await;
    for _ in 0..3 {
        browser
            .type_code(id, &wrong(&portal.world.last_code()))
            .await;
    }
    pages.push(browser.get(&base).await);
    browser.address = "198.51.100.1:1".parse().unwrap();
    pages.push(browser.get(&base).await);
    let locked = portal.tell(TellKind::Locked).await;
    pages.push(browser.get(&form_path(&locked)).await);
    let token = pages.last().unwrap().csrf().to_owned();
    let path = form_path(&locked);
    pages.push(
        browser
            .post(
                &format!("{path}/number"),
                &format!("csrf={token}&number=12"),
            )
            .await,
    );
    pages.push(
        browser
            .post(&format!("{path}/release"), &format!("csrf={token}"))
            .await,
    );
    pages.push(browser.get(&path).await);
    pages.push(
        browser
            .post(&format!("{path}/notice"), &format!("csrf={token}"))
            .await,
    );
    let number = format!("csrf={token}&number=0687654321");
    pages.push(browser.post(&format!("{path}/number"), &number).await);
    portal.world.clock.advance(30 * DAY);
    pages.push(browser.get(&base).await);
    pages.push(browser.get(&path).await);
    pages
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
    assert!(portal.world.is_gone(&waiting.key).await);
}

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

#[tokio::test]
async fn the_language_is_chosen_kept_or_taken_from_the_browser() {
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.followed().await;
    let base = format!("/b/{}", waiting.id);
    let says = |page: &Page, title: &str| assert!(page.text.contains(title), "{}", page.text);
    says(&browser.get(&base).await, "Beveiligd bericht van");
    browser.headers = vec![("accept-language", "en-GB,en;q=0.9".to_owned())];
    says(&browser.get(&base).await, "Secure message from");
    says(
        &browser.get(&format!("{base}?lang=nl")).await,
        "Beveiligd bericht van",
    );
    let kept = browser.get(&base).await;
    says(&kept, "Beveiligd bericht van");
    assert!(kept.text.contains("<html lang=\"nl\">"));
    assert!(
        kept.text
            .contains(&format!("href=\"{base}?lang=en\" lang=\"en\""))
    );
}

#[tokio::test]
async fn words_of_strangers_are_shown_as_words() {
    let portal = Portal::new().await;
    let mut deposit = html_deposit(1);
    deposit.tenant.display_name = "<script>x</script>".to_owned();
    let mail = HTML_MAIL
        .replace("De uitslag", "<img src=x>")
        .replace("brief.pdf", "\\\"><b>.pdf");
    deposit.content = Arc::new(MemoryContent::new(mail.into()));
    let waiting = portal.world.waiting_with(deposit).await;
    let mut browser = Browser::new(&portal.router);
    browser.get(&path_of(&waiting)).await;
    let landing = browser.get(&format!("/b/{}", waiting.id)).await;
    assert!(!landing.text.contains("<script>"), "{}", landing.text);
    browser.send_code(waiting.id).await;
    browser
        .type_code(waiting.id, &portal.world.last_code())
        .await;
    let page = browser.get(&format!("/b/{}", waiting.id)).await;
    assert!(
        page.text.contains("<h1>&#60;img src=x&#62;</h1>"),
        "{}",
        page.text
    );
    assert!(!page.text.contains("<b>"), "{}", page.text);
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

/// All that is logged on the whole way, at every level.
#[tokio::test]
async fn nothing_secret_or_personal_is_logged() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("the log is read");
    let portal = Portal::new().await;
    let pages = all_pages(&portal).await;
    assert!(pages.len() > 20);
    portal
        .world
        .notifier
        .fail_next(securemail_core::backend::NotifyError::Number);
    let (mut browser, waiting) = {
        let waiting = portal.world.waiting_with(html_deposit(9)).await;
        let mut browser = Browser::new(&portal.router);
        browser.address = "198.51.100.77:1".parse().unwrap();
        browser.get(&path_of(&waiting)).await;
        (browser, waiting)
    };
    let token = browser
        .get(&format!("/b/{}", waiting.id))
        .await
        .csrf()
        .to_owned();
    browser
        .post(&format!("/b/{}/code", waiting.id), &format!("csrf={token}"))
        .await;
    drop(guard);
    let written = log.text();
    assert!(written.contains("the log is read"));
    assert!(
        written.contains("a code was not taken by the carrier"),
        "{written}"
    );
    let secret = waiting.link.text();
    let code = portal.world.last_code();
    for word in [
        secret.expose(),
        &code,
        "piet",
        "jan@",
        "45678",
        "198.51.100",
        &token,
    ] {
        assert!(!written.contains(word), "{word} in {written}");
    }
}

#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
