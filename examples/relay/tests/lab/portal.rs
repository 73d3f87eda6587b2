//! A message without a safe way is opened in Chromium, with the code that the fake carrier took.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use securemail_testkit::twilio_fake::{TwilioAccount, TwilioFake};
use sha2::{Digest as _, Sha256};

use super::browser::{Browser, Habits};
use super::proxy::{COMES_FROM, Proxy};
use super::relay::{Relay, Start, eventually, free_port, mail_with};
use super::visitor::{Visitor, link_in};

const ATTACHMENT: &str = "uitslag café.bin";
const ATTACHMENT_OCTETS: usize = 10 * 1024 * 1024;
const NUMBERS: [&str; 3] = ["+31612345670", "+31612345671", "+31612345672"];

/// What the pages say in one language.
struct Says {
    language: &'static str,
    error: &'static str,
    one_left: &'static str,
    blocked: &'static str,
}

const DUTCH: Says = Says {
    language: "nl",
    error: "Fout:",
    one_left: "U heeft nog 1 poging.",
    blocked: "U kunt het even niet proberen",
};

const ENGLISH: Says = Says {
    language: "en",
    error: "Error:",
    one_left: "You have 1 try left.",
    blocked: "You cannot try for a while",
};

#[tokio::test(flavor = "multi_thread")]
async fn chromium_without_scripts_reads_in_dutch_what_was_sent_and_three_wrong_codes_block() {
    let world = World::start("nl", false).await;
    let browser = world.browser(&DUTCH, false).await;
    assert_eq!(scripts_run(&browser).await, "no");
    read_and_guess(&world, &browser, &DUTCH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_behind_a_proxy_reads_in_english_what_was_sent_and_three_wrong_codes_block() {
    let world = World::start("en", true).await;
    let browser = world.browser(&ENGLISH, true).await;
    assert_eq!(scripts_run(&browser).await, "yes");
    read_and_guess(&world, &browser, &ENGLISH).await;
}

async fn read_and_guess(world: &World, browser: &Browser, says: &Says) {
    let attachment = octets();
    let message = message(&world.to[0], &attachment);
    world.submit(&message);
    read(world, browser, says, &message, &attachment).await;
    for to in &world.to[1..] {
        world.submit(&format!(
            "From: clinic@sender.test\nTo: {to}\nSubject: x\n\ny\n"
        ));
    }
    guess(world, browser, says).await;
}

/// Opens the first message: one wrong code, then the right one.
async fn read(world: &World, browser: &Browser, says: &Says, message: &str, attachment: &[u8]) {
    browser.open(&world.link(&world.to[0])).await;
    let address = browser.address().await;
    assert!(
        address.contains("/b/"),
        "the link's secret stays in {address}"
    );
    browser.picture("1-landing").await;
    browser.follow("form[action$='/code'] button").await;
    browser.picture("2-code").await;
    let right = world.code(NUMBERS[0]);
    type_code(browser, &wrong(&right)).await;
    assert!(browser.title().await.starts_with(says.error));
    browser.picture("3-wrong-code").await;
    type_code(browser, &right).await;
    assert_eq!(browser.read("h1").await, "Uitslag van uw onderzoek");
    let shown = browser.read_frame("iframe").await;
    assert!(shown.contains("Beste mevrouw De Vries"), "{shown}");
    assert!(shown.contains("canary-of-the-html-body"), "{shown}");
    browser.picture("4-message").await;

    let sum = hex(&Sha256::digest(attachment));
    assert_eq!(browser.read("ul.files code").await, sum);
    browser.click("ul.files a").await;
    assert!(
        browser.downloaded(ATTACHMENT) == attachment,
        "the attachment is another one"
    );
    browser.click("a[href$='/message.eml']").await;
    let saved = browser.downloaded(".eml");
    let sent = message.replace('\n', "\r\n");
    let sent = sent.split_once("\r\n\r\n").unwrap().1;
    let saved_body = String::from_utf8(saved).unwrap();
    let saved_body = saved_body.split_once("\r\n\r\n").unwrap().1;
    assert!(
        saved_body.trim_end() == sent.trim_end(),
        "the body is another one"
    );

    browser.follow("a[href$='/destroy']").await;
    browser.picture("5-destroy").await;
}

/// Three wrong codes for the second message: it is locked, and the third cannot be tried from here.
async fn guess(world: &World, browser: &Browser, says: &Says) {
    let (guessed, other) = (world.link(&world.to[1]), world.link(&world.to[2]));
    browser.open(&guessed).await;
    browser.follow("form[action$='/code'] button").await;
    let right = world.code(NUMBERS[1]);
    for _ in 0..2 {
        type_code(browser, &wrong(&right)).await;
    }
    assert!(browser.read(".error").await.contains(says.one_left));
    type_code(browser, &wrong(&right)).await;
    assert_eq!(browser.read("h1").await, says.blocked);
    browser.picture("6-blocked").await;
    browser.open(&other).await;
    assert_eq!(browser.read("h1").await, says.blocked);
    browser.reload().await;
    assert_eq!(browser.read("h1").await, says.blocked);

    // Somebody else is not blocked: neither who comes through the same proxy nor who comes alone.
    let mut elsewhere = world.visitor("127.0.0.77");
    assert!(elsewhere.get(&guessed).await.says("This message is locked"));
    let page = elsewhere.get(&other).await;
    assert!(
        page.says("Send the code by text message"),
        "{}",
        page.text()
    );
    // What a visitor says of where he comes from is not believed.
    let mut blocked = world.visitor("127.0.0.1");
    let page = blocked.forwarded_for("127.0.0.78").get(&other).await;
    assert!(page.says("You cannot try for a while"), "{}", page.text());
}

/// A relay with its fake carrier, and perhaps a proxy in front.
struct World {
    relay: Relay,
    carrier: TwilioFake,
    /// Where visitors go.
    at: SocketAddr,
    to: [String; 3],
    pictures: PathBuf,
    _proxy: Option<Proxy>,
}

impl World {
    async fn start(name: &str, behind_proxy: bool) -> Self {
        let account = TwilioAccount::default();
        let carrier = TwilioFake::start(account.clone()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        fs::write(&token, &account.auth_token).unwrap();
        let sms = format!(
            "provider = \"twilio\"\nbase_url = {:?}\naccount_sid = {:?}\n\
             auth_token_file = {token:?}\nfrom = {:?}",
            carrier.base_url(),
            account.sid,
            account.senders[0]
        );
        let in_front = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let portal = format!(
            "url = \"https://localhost:{}\"\ntrusted_proxies = [\"{COMES_FROM}/32\"]",
            in_front.port()
        );
        let to = ["reader", "guessed", "other"].map(|who| format!("{who}.{name}@notls.test"));
        let phones: Vec<(&str, &str)> = to.iter().map(String::as_str).zip(NUMBERS).collect();
        let relay = Relay::start_with(&Start {
            portal: behind_proxy.then_some(&portal),
            sms: Some(&sms),
            phones: &phones,
            ..Start::default()
        });
        let at = if behind_proxy { in_front } else { relay.web() };
        let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("portal")
            .join(name);
        Self {
            _proxy: behind_proxy.then(|| Proxy::start(&relay, in_front)),
            relay,
            carrier,
            at,
            to,
            pictures,
        }
    }

    async fn browser(&self, says: &Says, scripts: bool) -> Browser {
        Browser::start(&Habits {
            language: says.language,
            scripts,
            trusts: &key_digest(&self.certificate_file()),
            pictures: &self.pictures,
        })
        .await
    }

    fn visitor(&self, from: &str) -> Visitor {
        let certificate = CertificateDer::from_pem_file(self.certificate_file()).unwrap();
        let origin = format!("https://localhost:{}", self.at.port());
        let from: IpAddr = from.parse().unwrap();
        Visitor::new(&origin, self.at, &certificate, from)
    }

    fn certificate_file(&self) -> PathBuf {
        self.relay.data_dir().join("tls/self-signed.pem")
    }

    fn submit(&self, message: &str) {
        let to = self.to.iter().find(|to| message.contains(&***to)).unwrap();
        let file = self.relay.folder.path().join("message.eml");
        fs::write(&file, message).unwrap();
        let data = format!("@{}", file.display());
        self.relay.accepted(&[to], &["--data", &data]);
    }

    /// The link in the notice to `recipient`.
    fn link(&self, recipient: &str) -> String {
        let to = format!("To: <{recipient}>");
        let mut link = None;
        eventually(&format!("a notice to {recipient}"), || {
            let notice = mail_with(&self.relay.lab, "notls.test", &to);
            link = notice.and_then(|notice| link_in(&notice));
            link.is_some()
        });
        link.unwrap()
    }

    /// The code that the carrier took for `number`.
    fn code(&self, number: &str) -> String {
        let mut code = None;
        eventually(&format!("a code to {number}"), || {
            let taken = self.carrier.taken();
            let text = taken.iter().rfind(|text| text.to == number);
            code = text.and_then(|text| code_in(&text.body));
            code.is_some()
        });
        code.unwrap()
    }
}

async fn type_code(browser: &Browser, code: &str) {
    browser.fill_in("#code", code).await;
    browser.follow("form[action$='/open'] button").await;
}

/// Another code of as many digits.
fn wrong(right: &str) -> String {
    let other = |digit: char| if digit == '9' { '0' } else { '9' };
    right.chars().map(other).collect()
}

/// `yes` or `no`, as a page finds out by itself.
async fn scripts_run(browser: &Browser) -> String {
    let page = "data:text/html,<title>no</title><script>document.title='yes'</script>";
    browser.open(page).await;
    browser.title().await
}

/// The text ends with `@host #code`.
fn code_in(text: &str) -> Option<String> {
    let code = text.rsplit_once('#')?.1.trim();
    let is_code = code.len() == 6 && code.bytes().all(|octet| octet.is_ascii_digit());
    is_code.then(|| code.to_owned())
}

/// What Chromium wants of a key that it is to trust: SHA-256 of its SubjectPublicKeyInfo.
fn key_digest(certificate: &Path) -> String {
    let script = "openssl x509 -in \"$1\" -noout -pubkey | openssl pkey -pubin -outform DER";
    let key = Command::new("sh")
        .args(["-euc", script, "sh"])
        .arg(certificate)
        .output()
        .unwrap();
    assert!(key.status.success());
    STANDARD.encode(Sha256::digest(&key.stdout))
}

/// A message with a plain body, an HTML body and a large attachment; LF, as swaks takes it.
fn message(to: &str, attachment: &[u8]) -> String {
    let encoded = STANDARD.encode(attachment);
    let mut lines = String::with_capacity(encoded.len() + encoded.len() / 70);
    for line in encoded.as_bytes().chunks(76) {
        lines.push_str(std::str::from_utf8(line).unwrap());
        lines.push('\n');
    }
    format!(
        "From: Kliniek Zuid <clinic@sender.test>
To: Mevrouw De Vries <{to}>
Subject: Uitslag van uw onderzoek
Date: Sat, 21 Nov 2026 10:00:00 +0100
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=utf-8

Beste mevrouw De Vries, uw uitslag is binnen.
--inner
Content-Type: text/html; charset=utf-8

<h2>Beste mevrouw De Vries</h2><p>Uw uitslag is binnen. <b>canary-of-the-html-body</b></p>
<table><tr><th>Bepaling</th><th>Waarde</th></tr><tr><td>Hemoglobine</td><td>8,4 mmol/l</td></tr></table>
<script>document.title = 'scripted'</script>
--inner--
--outer
Content-Type: application/octet-stream
Content-Disposition: attachment; filename*=UTF-8''uitslag%20caf%C3%A9.bin
Content-Transfer-Encoding: base64

{lines}--outer--
"
    )
}

/// Octets that no compression would shorten.
fn octets() -> Vec<u8> {
    let mut state = 7_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(ATTACHMENT_OCTETS)
    .collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").unwrap();
        text
    })
}
