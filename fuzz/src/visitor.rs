//! The portal as its visitors and robots see it: any request, over back-ends in memory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use securemail_core::backend::Pickups as _;
use securemail_core::drive::pickup::{Deposit, PickupParts, PickupService, PickupSettings};
use securemail_core::route::Decision;
use securemail_core::seal::LocalMasterKey;
use securemail_core::secret::Key32;
use securemail_core::vocab::{
    DeliveryKey, Language, MemoryContent, Profile, QueueId, Tenant, UnixTime, VaultKey,
};
use securemail_testkit::fakes::RecordingNotifier;
use securemail_testkit::memory::{
    MemoryAudit, MemoryDirectory, MemoryKeyStore, MemoryPickups, MemoryVault,
};
use securemail_testkit::sim::{ManualClock, SeededEntropy};
use securemail_web::theme::Theme;
use securemail_web::{PortalParts, PortalSettings, portal_router};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

type Failure = Box<dyn std::error::Error>;

const MAIL: &[u8] = b"From: jan@a.test\r\nTo: piet@b.test\r\nSubject: x\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>hello</p>\r\n\
    --b\r\nContent-Type: application/pdf; name=\"a.pdf\"\r\nContent-Disposition: attachment\r\n\r\n0123456789\r\n--b--\r\n";

/// A request: its method and path, its fields, an empty line, its body. `{ID}`, `{SECRET}`, `{TOKEN}`, `{COOKIES}`,
/// `{CSRF}` and `{FORM}` stand for what a visitor has who followed the links and is in a session. Whatever is asked, the
/// portal does not fail, answers with its fields and runs nothing; a GET or HEAD changes nothing.
pub(crate) fn request(octets: &[u8]) {
    let mut world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    let fresh = match world.take() {
        Some(world) => Ok(world),
        None => World::new(),
    };
    let Ok(ready) = fresh else {
        return assert!(octets.is_empty(), "no portal could be started");
    };
    let text = ready.filled(&String::from_utf8_lossy(octets));
    let Some(request) = read(&text) else {
        return *world = Some(ready);
    };
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    let before = ready.state();
    let (status, headers, body) = ready.ask(request);
    assert!(status.as_u16() < 500, "{status}: {text}");
    for name in [
        "content-security-policy",
        "cache-control",
        "x-content-type-options",
    ] {
        assert!(headers.contains_key(name), "{name} is missing: {text}");
    }
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let lower = body.to_ascii_lowercase();
    assert!(
        !is_page || !lower.contains("<script") && !lower.contains("javascript:"),
        "{text}"
    );
    assert!(
        !is_page || !body.contains("<q"),
        "what was typed is shown as it came: {text}"
    );
    if before == ready.state() {
        *world = Some(ready);
    } else {
        assert!(!is_safe, "a {text} changes something");
    }
}

static WORLD: LazyLock<Mutex<Option<World>>> = LazyLock::new(Mutex::default);

static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().ok()
});

/// The request that a text is; `None` where HTTP knows none such.
fn read(text: &str) -> Option<Request<Body>> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, path) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(path);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        request = request.header(name, value.trim());
    }
    let from = SocketAddr::from(([192, 0, 2, 1], 50_000));
    request = request.extension(ConnectInfo(from));
    let request = request.body(Body::from(body.to_owned())).ok()?;
    // What is no path of a server never comes to the router.
    request.uri().path().starts_with('/').then_some(request)
}

/// A portal, a message that is open in a session, and one whose number is missing.
struct World {
    router: Router,
    pickups: Arc<MemoryPickups>,
    keys: Arc<MemoryKeyStore>,
    vault: Arc<MemoryVault>,
    notifier: Arc<RecordingNotifier>,
    known: [VaultKey; 2],
    words: BTreeMap<&'static str, String>,
}

/// What a request may change.
#[derive(Debug, Eq, PartialEq)]
struct State {
    versions: Vec<Option<u64>>,
    keys: usize,
    objects: usize,
    codes: usize,
}

impl World {
    fn new() -> Result<Self, Failure> {
        let runtime = RUNTIME.as_ref().ok_or("no runtime")?;
        runtime.block_on(Self::build())
    }

    async fn build() -> Result<Self, Failure> {
        let entropy = Arc::new(SeededEntropy::new(7));
        let key = Key32::random(&*entropy)?;
        let master = Arc::new(LocalMasterKey::new(&key, Arc::clone(&entropy) as _));
        let (pickups, keys) = (
            Arc::new(MemoryPickups::default()),
            Arc::new(MemoryKeyStore::default()),
        );
        let (vault, notifier) = (
            Arc::new(MemoryVault::default()),
            Arc::new(RecordingNotifier::default()),
        );
        let clock = Arc::new(ManualClock::default());
        let parts = PickupParts {
            pickups: Arc::clone(&pickups) as _,
            vault: Arc::clone(&vault) as _,
            keys: Arc::clone(&keys) as _,
            master: Arc::clone(&master) as _,
            directory: Arc::new(MemoryDirectory::default()),
            notifier: Arc::clone(&notifier) as _,
            audit: Arc::new(MemoryAudit::default()),
            clock: Arc::clone(&clock) as _,
            entropy: Arc::clone(&entropy) as _,
            settings: PickupSettings::new("https://mail.example"),
        };
        let service = Arc::new(PickupService::new(parts).await?);
        let open = service.deposit(deposit(1, true)?).await?;
        let missing = service.deposit(deposit(2, false)?).await?;
        let link_of = |tell: Option<securemail_core::pickup::Tell>| {
            let link = tell.and_then(|tell| tell.link);
            link.map(|link| link.expose().to_owned())
                .unwrap_or_default()
        };
        let links = [link_of(open.tell.clone()), link_of(missing.tell.clone())];
        if let Some(tell) = &open.tell {
            service.told(&tell.told()).await?;
        }
        let router = portal_router(PortalParts {
            service,
            master: master as _,
            entropy: entropy as _,
            callbacks: None,
            settings: PortalSettings::new(Theme::plain("Post")),
        })
        .await?;
        let known = [open.key, missing.key];
        let mut world = Self {
            router,
            pickups,
            keys,
            vault,
            notifier,
            known,
            words: BTreeMap::new(),
        };
        world.visit(&links).await?;
        // Another code may be sent.
        clock.advance(Duration::from_secs(120));
        Ok(world)
    }

    /// Follows the links, types the code, and remembers what a visitor then has.
    async fn visit(&mut self, [link, form]: &[String; 2]) -> Result<(), Failure> {
        let path = link
            .strip_prefix("https://mail.example")
            .ok_or("a link")?
            .to_owned();
        let (id, secret) = path
            .strip_prefix("/m/")
            .and_then(|rest| rest.split_once('/'))
            .ok_or("a link")?;
        let token = form
            .strip_prefix("https://mail.example/s/")
            .ok_or("a form")?;
        self.words = BTreeMap::from([
            ("{ID}", id.to_owned()),
            ("{SECRET}", secret.to_owned()),
            ("{TOKEN}", token.to_owned()),
        ]);
        self.step("GET /m/{ID}/{SECRET}").await?;
        self.step("GET /b/{ID}\nCookie: {COOKIES}").await?;
        let form_of = "Content-Type: application/x-www-form-urlencoded\nCookie: {COOKIES}\n\n";
        self.step(&format!("POST /b/{{ID}}/code\n{form_of}csrf={{CSRF}}"))
            .await?;
        let sent = self.notifier.sent();
        let text = sent.last().ok_or("a code")?.text.expose().to_owned();
        let code = text
            .rsplit('#')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        self.step(&format!(
            "POST /b/{{ID}}/open\n{form_of}csrf={{CSRF}}&code={code}"
        ))
        .await?;
        let csrf = self.words.get("{CSRF}").cloned();
        self.step("GET /s/{TOKEN}").await?;
        if let (Some(of_form), Some(csrf)) = (
            self.words
                .insert("{CSRF}", csrf.clone().unwrap_or_default()),
            csrf,
        ) {
            assert_ne!(of_form, csrf, "each form has a token of its own");
            self.words.insert("{FORM}", of_form);
        }
        Ok(())
    }

    /// One step of a visitor, who keeps cookies and the token of the form that is shown.
    async fn step(&mut self, text: &str) -> Result<(), Failure> {
        let request = read(&self.filled(text)).ok_or("a request")?;
        let (status, headers, body) = answer(&self.router, request).await?;
        if status.as_u16() >= 400 {
            return Err(format!("{text}: {status}").into());
        }
        let mut cookies = self.words.get("{COOKIES}").cloned().unwrap_or_default();
        for cookie in headers.get_all(header::SET_COOKIE) {
            let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
            cookies.push_str(&format!("{pair}; "));
        }
        self.words.insert("{COOKIES}", cookies);
        let token = body.split("name=\"csrf\" value=\"").nth(1);
        if let Some(token) = token.and_then(|rest| rest.split('"').next()) {
            self.words.insert("{CSRF}", token.to_owned());
        }
        Ok(())
    }

    fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, value) in &self.words {
            text = text.replace(word, value);
        }
        text
    }

    fn ask(&self, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        let asked = RUNTIME
            .as_ref()
            .map(|runtime| runtime.block_on(answer(&self.router, request)));
        match asked {
            Some(Ok(answer)) => answer,
            Some(Err(_)) | None => (StatusCode::BAD_GATEWAY, HeaderMap::new(), String::new()),
        }
    }

    fn state(&self) -> State {
        let version = |key: &VaultKey| {
            let loaded = futures_util::FutureExt::now_or_never(self.pickups.load(key));
            loaded.and_then(Result::ok).map(|record| record.version)
        };
        State {
            versions: self.known.iter().map(version).collect(),
            keys: self.keys.count(),
            objects: self.vault.count(),
            codes: self.notifier.sent().len(),
        }
    }
}

async fn answer(
    router: &Router,
    request: Request<Body>,
) -> Result<(StatusCode, HeaderMap, String), Failure> {
    let (parts, body) = router.clone().oneshot(request).await?.into_parts();
    let octets = to_bytes(body, 1 << 20).await?;
    Ok((
        parts.status,
        parts.headers,
        String::from_utf8_lossy(&octets).into_owned(),
    ))
}

fn deposit(queue: u8, has_number: bool) -> Result<Deposit, Failure> {
    let day = Duration::from_secs(86_400);
    let tenant = Tenant {
        id: "gemeente".parse()?,
        display_name: "Gemeente".to_owned(),
        domains: vec!["a.test".parse()?],
        profile: Profile::Standard,
        domain_profiles: BTreeMap::new(),
        languages: vec!["nl".to_owned()],
        lists: Vec::new(),
        forget_link: false,
        nta7516: None,
        subject_tags: false,
        retention: day * 30,
        grace: day * 7,
    };
    Ok(Deposit {
        delivery: DeliveryKey {
            tenant: tenant.id.clone(),
            queue: QueueId::from_bytes([queue; 16]),
            recipient: 0,
        },
        tenant,
        sender: "jan@a.test".parse()?,
        recipient: "piet@b.test".parse()?,
        content: Arc::new(MemoryContent::new(MAIL.into())),
        reason: "No safe way was found.".to_owned(),
        summary: Decision::own_fault(
            &"b.test".parse()?,
            UnixTime::from_secs(0),
            UnixTime::from_secs(0),
        )
        .summary(),
        phone: if has_number {
            Some("+31612345678".parse()?)
        } else {
            None
        },
        language: "nl".to_owned(),
        sender_language: Language::Dutch,
        events: Vec::new(),
    })
}
