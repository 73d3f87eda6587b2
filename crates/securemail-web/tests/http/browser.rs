//! A browser, and a portal over back-ends in memory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use securemail_core::drive::pickup::Deposit;
use securemail_core::pickup::{Tell, TellKind};
use securemail_core::vocab::{MemoryContent, VaultId};
use securemail_web::theme::Theme;
use securemail_web::{CarrierCallbacks, PortalParts, PortalSettings, portal_router};
use tower::ServiceExt as _;

use crate::pickup_world::*;

pub(crate) const HTML_MAIL: &str = "From: Jan <jan@gemeente.example>\r\nTo: piet@example.nl\r\n\
    Subject: De uitslag\r\nDate: Fri, 20 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n\
    <p>Alles is goed.</p><script>steal()</script><img src=\"https://tracker.example/x.gif\">\r\n\
    --b\r\nContent-Type: application/pdf; name=\"brief.pdf\"\r\nContent-Disposition: attachment\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nMDEyMzQ1Njc4OQ==\r\n--b--\r\n";

/// A browser: it keeps cookies and has an address.
pub(crate) struct Browser {
    pub(crate) router: Router,
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) address: SocketAddr,
    pub(crate) headers: Vec<(&'static str, String)>,
}

pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn title(&self) -> &str {
        let rest = self.text.split("<title>").nth(1).unwrap();
        rest.split("</title>").next().unwrap()
    }

    /// The token of the first form.
    pub(crate) fn csrf(&self) -> &str {
        let rest = self.text.split("name=\"csrf\" value=\"").nth(1).unwrap();
        rest.split('"').next().unwrap()
    }

    pub(crate) fn cookies(&self) -> Vec<&str> {
        let all = self.headers.get_all(header::SET_COOKIE).iter();
        all.map(|value| value.to_str().unwrap()).collect()
    }
}

impl Browser {
    pub(crate) fn new(router: &Router) -> Self {
        Self {
            router: router.clone(),
            cookies: BTreeMap::new(),
            address: "192.0.2.1:50000".parse().unwrap(),
            headers: Vec::new(),
        }
    }

    pub(crate) async fn ask(&mut self, method: Method, path: &str, form: Option<&str>) -> Page {
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

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn post(&mut self, path: &str, form: &str) -> Page {
        self.ask(Method::POST, path, Some(form)).await
    }

    /// Presses the button that sends a code.
    pub(crate) async fn send_code(&mut self, id: VaultId) -> Page {
        let landing = self.get(&format!("/b/{id}")).await;
        let form = format!("csrf={}", landing.csrf());
        let sent = self.post(&format!("/b/{id}/code"), &form).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
        self.get(&format!("/b/{id}")).await
    }

    pub(crate) async fn type_code(&mut self, id: VaultId, code: &str) -> Page {
        let page = self.get(&format!("/b/{id}")).await;
        let form = format!("csrf={}&code={code}", page.csrf());
        self.post(&format!("/b/{id}/open"), &form).await
    }
}

/// A portal over back-ends in memory.
pub(crate) struct Portal {
    pub(crate) world: World,
    pub(crate) router: Router,
}

impl Portal {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}, None).await
    }

    pub(crate) async fn with(
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
    pub(crate) async fn followed(&self) -> (Browser, Waiting) {
        let waiting = self.world.waiting_with(html_deposit(1)).await;
        let mut browser = Browser::new(&self.router);
        browser.get(&path_of(&waiting)).await;
        (browser, waiting)
    }

    /// A browser that is in a session.
    pub(crate) async fn opened(&self) -> (Browser, Waiting) {
        let (mut browser, waiting) = self.followed().await;
        browser.send_code(waiting.id).await;
        let opened = browser.type_code(waiting.id, &self.world.last_code()).await;
        assert_eq!(opened.status, StatusCode::SEE_OTHER, "{}", opened.text);
        (browser, waiting)
    }

    pub(crate) async fn tell(&self, kind: TellKind) -> Tell {
        let tells = self.world.sweep().await;
        tells.into_iter().find(|tell| tell.kind == kind).unwrap()
    }
}

pub(crate) fn html_deposit(queue: u8) -> Deposit {
    Deposit {
        content: Arc::new(MemoryContent::new(HTML_MAIL.into())),
        ..deposit(queue, Some(NUMBER))
    }
}

pub(crate) fn path_of(waiting: &Waiting) -> String {
    format!("/m/{}/{}", waiting.id, waiting.link.text().expose())
}

pub(crate) fn form_path(tell: &Tell) -> String {
    let link = tell.link.as_ref().unwrap().expose();
    link.strip_prefix("https://mail.example")
        .unwrap()
        .to_owned()
}
