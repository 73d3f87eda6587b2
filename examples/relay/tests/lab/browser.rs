//! Chromium without a window, driven as the W3C's WebDriver says.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use rustls::crypto::aws_lc_rs;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::relay::{eventually, free_port};

/// The key under which WebDriver names an element (section 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const PATIENCE: Duration = Duration::from_secs(90);
/// How long an element may take to be there; a page that is loaded can still be on its way in.
const ELEMENT_PATIENCE_MS: u64 = 20_000;
const NEXT_PAGE_LOOKS: usize = 600;
const NEXT_PAGE_PAUSE: Duration = Duration::from_millis(50);
/// The narrowest screen that must do (WCAG 2.2, 1.4.10).
const NARROW: u64 = 320;
const WIDE: u64 = 1100;

/// What kind of visitor this is.
pub(crate) struct Habits<'a> {
    /// `nl` or `en`: what the browser asks pages for.
    pub(crate) language: &'a str,
    /// Whether scripts run.
    pub(crate) scripts: bool,
    /// The SHA-256, in base64, of the one public key that is taken without a known authority.
    pub(crate) trusts: &'a str,
    /// Where pictures of pages go.
    pub(crate) pictures: &'a Path,
}

/// One browser with a profile of its own. It ends with its value.
pub(crate) struct Browser {
    client: Client,
    session: String,
    profile: TempDir,
    pictures: PathBuf,
    driver: Child,
}

impl Browser {
    pub(crate) async fn start(habits: &Habits<'_>) -> Self {
        // Where it is there already, it is this one.
        drop(aws_lc_rs::default_provider().install_default());
        let profile = tempfile::tempdir().unwrap();
        let log = fs::File::create(profile.path().join("chromedriver.log")).unwrap();
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .env("HOME", profile.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let client = Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        let mut browser = Self {
            client,
            session: format!("http://127.0.0.1:{port}/session"),
            profile,
            pictures: habits.pictures.to_path_buf(),
            driver,
        };
        eventually("chromedriver listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        fs::create_dir_all(browser.downloads()).unwrap();
        fs::create_dir_all(&browser.pictures).unwrap();
        let wanted = browser.wanted(habits);
        let begun = browser.ask(Method::POST, "", wanted).await;
        let id = begun["sessionId"].as_str().unwrap();
        browser.session = format!("{}/{id}", browser.session);
        let patience = json!({ "implicit": ELEMENT_PATIENCE_MS });
        browser.ask(Method::POST, "/timeouts", patience).await;
        browser
    }

    fn wanted(&self, habits: &Habits<'_>) -> Value {
        let profile = self.profile.path();
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            format!("--accept-lang={}", habits.language),
            format!("--ignore-certificate-errors-spki-list={}", habits.trusts),
            format!("--user-data-dir={}", profile.join("profile").display()),
        ];
        let scripts = if habits.scripts { 1 } else { 2 };
        json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": {
            "args": arguments,
            "prefs": {
                "download.default_directory": self.downloads(),
                "download.prompt_for_download": false,
                "profile.managed_default_content_settings.javascript": scripts,
            },
        } } } })
    }

    /// Opens an address.
    pub(crate) async fn open(&self, url: &str) {
        self.ask(Method::POST, "/url", json!({ "url": url })).await;
    }

    /// Loads the page once more.
    pub(crate) async fn reload(&self) {
        self.ask(Method::POST, "/refresh", json!({})).await;
    }

    /// The address that the browser shows.
    pub(crate) async fn address(&self) -> String {
        text(&self.ask(Method::GET, "/url", Value::Null).await)
    }

    pub(crate) async fn title(&self) -> String {
        text(&self.ask(Method::GET, "/title", Value::Null).await)
    }

    /// What a reader sees of the first element that `css` names.
    pub(crate) async fn read(&self, css: &str) -> String {
        let path = format!("/element/{}/text", self.find(css).await);
        text(&self.ask(Method::GET, &path, Value::Null).await)
    }

    /// What a reader sees within the frame that `css` names.
    pub(crate) async fn read_frame(&self, css: &str) -> String {
        let frame = json!({ ELEMENT: self.find(css).await });
        self.ask(Method::POST, "/frame", json!({ "id": frame }))
            .await;
        let said = self.read("body").await;
        self.ask(Method::POST, "/frame", json!({ "id": null }))
            .await;
        said
    }

    /// Clicks on what leads to no other page, such as a download.
    pub(crate) async fn click(&self, css: &str) {
        let path = format!("/element/{}/click", self.find(css).await);
        self.ask(Method::POST, &path, json!({})).await;
    }

    /// Clicks on a button or a link, and waits until its page has given way to the next one.
    pub(crate) async fn follow(&self, css: &str) {
        let page = format!("/element/{}/name", self.find("html").await);
        self.click(css).await;
        for _ in 0..NEXT_PAGE_LOOKS {
            if self
                .try_ask(Method::GET, &page, &Value::Null)
                .await
                .is_err()
            {
                return;
            }
            tokio::time::sleep(NEXT_PAGE_PAUSE).await;
        }
        panic!("{css} leads nowhere");
    }

    pub(crate) async fn fill_in(&self, css: &str, value: &str) {
        let path = format!("/element/{}/value", self.find(css).await);
        self.ask(Method::POST, &path, json!({ "text": value }))
            .await;
    }

    /// The octets of the file whose name ends like this, once it is downloaded.
    pub(crate) fn downloaded(&self, ending: &str) -> Vec<u8> {
        let mut file = None;
        eventually(&format!("{ending} is downloaded"), || {
            let entries = fs::read_dir(self.downloads()).unwrap();
            let mut paths = entries.map(|entry| entry.unwrap().path());
            file = paths.find(|path| path.to_str().unwrap().ends_with(ending));
            file.is_some()
        });
        fs::read(file.unwrap()).unwrap()
    }

    /// Takes a picture of the whole page, on a wide screen and on a narrow one, where nothing may
    /// scroll sideways.
    pub(crate) async fn picture(&self, name: &str) {
        for width in [WIDE, NARROW] {
            self.screen(width).await;
            let sizes = self.devtools("Page.getLayoutMetrics", json!({})).await;
            let content = sizes["cssContentSize"]["width"].as_u64().unwrap();
            let shot = json!({ "captureBeyondViewport": true, "clip": {
                "x": 0, "y": 0, "scale": 1,
                "width": content, "height": sizes["cssContentSize"]["height"],
            } });
            let shot = self.devtools("Page.captureScreenshot", shot).await;
            let png = STANDARD.decode(text(&shot["data"])).unwrap();
            fs::write(self.pictures.join(format!("{name}-{width}.png")), png).unwrap();
            assert!(content <= width, "{name} is {content} wide on {width}");
        }
        self.screen(WIDE).await;
    }

    async fn screen(&self, width: u64) {
        let screen = json!({
            "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width == NARROW,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", screen)
            .await;
    }

    fn downloads(&self) -> PathBuf {
        self.profile.path().join("downloads")
    }

    async fn find(&self, css: &str) -> String {
        let by = json!({ "using": "css selector", "value": css });
        text(&self.ask(Method::POST, "/element", by).await[ELEMENT])
    }

    /// A command of Chromium's own protocol, for what WebDriver cannot.
    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let what = json!({ "cmd": command, "params": parameters });
        self.ask(Method::POST, "/goog/cdp/execute", what).await
    }

    async fn ask(&self, method: Method, path: &str, what: Value) -> Value {
        match self.try_ask(method, path, &what).await {
            Ok(value) => value,
            Err(answer) => {
                let shown = self.try_ask(Method::GET, "/source", &Value::Null).await;
                panic!("{path} {what}: {answer}\n{shown:?}");
            }
        }
    }

    /// The answer, or what the driver has against it.
    async fn try_ask(&self, method: Method, path: &str, what: &Value) -> Result<Value, Value> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.session));
        if !what.is_null() {
            request = request.json(what);
        }
        let answer = request.send().await.unwrap();
        let is_well = answer.status().is_success();
        let value = answer.json::<Value>().await.unwrap()["value"].take();
        if is_well { Ok(value) } else { Err(value) }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium is in the group of its driver.
        let group = format!("-{}", self.driver.id());
        let _ended = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ended = self.driver.wait();
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
