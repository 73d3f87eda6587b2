//! What every page keeps to: headers, words, accessibility, silence in logs.

use std::sync::Arc;

use securemail_core::backend::NotifyError;
use securemail_core::pickup::TellKind;
use securemail_core::vocab::MemoryContent;

use crate::browser::*;
use crate::pickup_world::*;

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
    let mut pages = all_pages(&Portal::new().await).await;
    let portal = Portal::new().await;
    let (mut browser, waiting) = portal.opened().await;
    let body = browser.get(&format!("/b/{}/body", waiting.id)).await;
    assert!(body.text.contains("Alles is goed."), "{}", body.text);
    pages.push(body);
    for page in pages {
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
    after_the_code(portal, &mut browser, &waiting, &mut pages).await;
    portal.world.clock.advance(30 * DAY);
    pages.push(browser.get(&base).await);
    portal.world.sweep_and_tell().await;
    pages.push(browser.get(&base).await);
    pages
}

async fn after_the_code(
    portal: &Portal,
    browser: &mut Browser,
    waiting: &Waiting,
    pages: &mut Vec<Page>,
) {
    let (id, base) = (waiting.id, format!("/b/{}", waiting.id));
    let token = browser.get(&base).await.csrf().to_owned();
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
    pages.push(browser.get(&path).await);
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
    portal.world.notifier.fail_next(NotifyError::Number);
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
