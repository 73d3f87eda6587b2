//! The whole way through the vault over HTTPS: who has the mail and the code reads, and nobody else.

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::visitor::{Page, Visitor, between};
use common::world::{World, arrival, contains};
use common::{ANNA, NUMBER, Place, Running, eventually, hex, link_in, message};
use reqwest::StatusCode;
use securemail_testkit::sink::{Received, Sink};
use securemail_testkit::twilio_fake::{TwilioAccount, TwilioFake};
use sha2::{Digest, Sha256};

/// A relay whose carrier is the fake of Twilio.
struct Stage {
    world: World,
    place: Place,
    relay: Running,
    carrier: TwilioFake,
}

impl Stage {
    async fn set(proxies: &[u8]) -> Self {
        let world = World::start().await;
        let account = TwilioAccount::default();
        let carrier = TwilioFake::start(account.clone()).await.unwrap();
        let mut place = Place::new(&world);
        let token = place.folder().join("twilio.token");
        std::fs::write(&token, format!("{}\n", account.auth_token)).unwrap();
        place
            .set("sms.provider", "\"twilio\"")
            .set("sms.base_url", &format!("{:?}", carrier.base_url()))
            .set("sms.account_sid", &format!("{:?}", account.sid))
            .set("sms.auth_token_file", &format!("{token:?}"))
            .set("sms.from", &format!("{:?}", account.senders[0]));
        let proxies: Vec<String> = proxies
            .iter()
            .map(|last| format!("{}/32", world.host(*last)))
            .collect();
        place.set("portal.trusted_proxies", &format!("{proxies:?}"));
        let relay = place.start();
        Self {
            world,
            place,
            relay,
            carrier,
        }
    }

    /// A visitor who comes from this world's address with this last number.
    fn visitor(&self, last: u8) -> Visitor {
        let from: Ipv4Addr = self.world.host(last);
        let certificate = self.relay.certificate();
        Visitor::new(
            &self.place.origin(),
            self.place.web(),
            &certificate,
            IpAddr::V4(from),
        )
    }

    /// Hands in a message to `to` that must go through the vault.
    async fn send(&self, to: &str, content: &[u8]) {
        let reply = self.relay.submitter().submit(&[to], content).await.unwrap();
        assert!(reply.starts_with("250 2.0.0 accepted"), "{reply}");
    }

    /// The link of the notice to Jan that came as number `count`.
    async fn nth_link(&self, count: usize) -> String {
        let links = || links_to(&self.world.open, "jan@open.test");
        eventually("a notice", || links().into_iter().nth(count)).await
    }

    /// The code that was sent last.
    fn code(&self) -> String {
        let body = self
            .carrier
            .taken()
            .last()
            .expect("no code was sent")
            .body
            .clone();
        let code = body
            .rsplit_once('#')
            .expect("the last line names the code")
            .1;
        code.trim().to_owned()
    }
}

fn links_to(sink: &Sink, recipient: &str) -> Vec<String> {
    let to = |mail: &&Received| mail.to == [recipient];
    let messages = sink.messages();
    let links = messages
        .iter()
        .filter(to)
        .filter_map(|mail| link_in(&mail.data));
    links.collect()
}

/// The page of the message that a link of a notice leads to.
fn page_of(link: &str) -> String {
    format!(
        "/b/{}",
        between(link, "/m/", "/").expect("a link of another form")
    )
}

/// Another code of the same length.
fn wrong(code: &str) -> String {
    code.chars()
        .map(|digit| {
            if digit == '9' {
                '0'
            } else {
                char::from(digit as u8 + 1)
            }
        })
        .collect()
}

/// Follows the link, asks for a code and types three wrong ones; gives the last page.
async fn three_wrong_codes(stage: &Stage, visitor: &mut Visitor, link: &str) -> Page {
    let page = page_of(link);
    let landing = visitor.get(link).await;
    let mut form = visitor.post(&format!("{page}/code"), &landing, &[]).await;
    let wrong = wrong(&stage.code());
    for left in [2, 1] {
        form = visitor
            .post(&format!("{page}/open"), &form, &[("code", &wrong)])
            .await;
        assert_eq!(
            form.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{}",
            form.text()
        );
        assert!(form.says(&left.to_string()), "it says how many are left");
    }
    visitor
        .post(&format!("{page}/open"), &form, &[("code", &wrong)])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_number_goes_its_whole_way() {
    let stage = Stage::set(&[]).await;
    let attachment: Vec<u8> = (0..60_000_u32)
        .map(|n| ((n * n) >> 7).to_be_bytes()[3])
        .collect();
    let content = with_attachment("piet@open.test", &attachment);
    stage.send("piet@open.test", &content).await;

    anna_is_asked_for_a_number(&stage).await;
    let (piet, link) = piet_opens_it(&stage, &content, &attachment).await;
    piet_destroys_it(piet, &link).await;
}

/// No number is known: Anna is asked, and nobody else hears of it.
async fn anna_is_asked_for_a_number(stage: &Stage) {
    let asked = arrival(&stage.world.sender, |mail| mail.to == [ANNA]).await;
    assert!(
        asked.tls && !contains(&asked.data, "Uw dossier"),
        "sender mail is content-free"
    );
    assert!(
        stage.world.open.messages().is_empty(),
        "a notice before there is a number"
    );
    let form = link_in(&asked.data).expect("the sender mail has no link");
    let token = form.rsplit('/').next().unwrap();
    let mut anna = stage.visitor(30);
    let page = anna.get(&form).await;
    assert!(page.says("piet@open.test"), "{}", page.text());
    let path = format!("/s/{token}/number");
    let refused = anna
        .post(&path, &page, &[("number", "12"), ("remember", "message")])
        .await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let number = [("number", "06 12345679"), ("remember", "message")];
    let saved = anna.post(&path, &page, &number).await;
    assert_eq!(saved.status, StatusCode::OK, "{}", saved.text());
}

/// Piet gets a notice without anything of the message, and the code by SMS.
async fn piet_opens_it(stage: &Stage, content: &[u8], attachment: &[u8]) -> (Visitor, String) {
    let notice = arrival(&stage.world.open, |mail| mail.to == ["piet@open.test"]).await;
    for secret in ["Uw dossier", "This is personal", "uitslag.bin"] {
        assert!(!contains(&notice.data, secret), "the notice has `{secret}`");
    }
    let link = link_in(&notice.data).expect("the notice has no link");
    let page = page_of(&link);
    let mut piet = stage.visitor(31);
    let landing = piet.get(&link).await;
    assert!(!landing.says("Uw dossier"), "the subject before the code");
    assert!(stage.carrier.taken().is_empty(), "a GET sent a code");
    let form = piet.post(&format!("{page}/code"), &landing, &[]).await;
    let text = stage.carrier.taken().pop().unwrap();
    assert_eq!(text.to, "+31612345679");
    assert!(
        !text.body.contains("Uw dossier") && !text.body.contains("/m/"),
        "{}",
        text.body
    );
    let opened = piet
        .post(&format!("{page}/open"), &form, &[("code", &stage.code())])
        .await;
    assert_eq!(opened.status, StatusCode::OK);
    assert!(
        opened.says("Uw dossier") && opened.says("This is personal"),
        "{}",
        opened.text()
    );
    assert!(
        opened.says(&hex(&Sha256::digest(attachment))),
        "the hash of the attachment"
    );
    assert!(opened.says("uitslag.bin"));
    let file = piet.get(&format!("{page}/file/0")).await;
    assert!(file.octets == attachment, "the attachment is another one");
    let whole = piet.get(&format!("{page}/message.eml")).await;
    assert!(
        whole.octets.ends_with(content),
        "not octet for octet what was sent"
    );

    // Somebody with the link and no code sees nothing, nor does a code work twice elsewhere.
    let mut other = stage.visitor(32);
    let seen = other.get(&link).await;
    assert!(!seen.says("Uw dossier"));
    let bare = stage.visitor(33).get(&page).await;
    assert!(
        bare.status.is_client_error() && !bare.says("piet@open.test"),
        "{}",
        bare.text()
    );

    (piet, link)
}

/// Destroy now: the question, then the end.
async fn piet_destroys_it(mut piet: Visitor, link: &str) {
    let page = page_of(link);
    let question = piet.get(&format!("{page}/destroy")).await;
    assert!(
        piet.get(&page).await.says("Uw dossier"),
        "the question destroyed it"
    );
    let over = piet.post(&format!("{page}/destroy"), &question, &[]).await;
    assert_eq!(over.status, StatusCode::OK, "{}", over.text());
    piet.forget();
    let after = piet.get(link).await;
    assert!(
        after.status.is_client_error() && !after.says("Uw dossier"),
        "{}",
        after.text()
    );
    let eml = piet.get(&format!("{page}/message.eml")).await;
    assert!(eml.status.is_client_error(), "it is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_wrong_codes_lock_the_message_and_block_the_address() {
    let stage = Stage::set(&[]).await;
    let jan = "jan@open.test";
    for n in ["one", "two"] {
        stage.send(jan, &message(n, jan, "Uw dossier", n)).await;
    }
    let (first, second) = (stage.nth_link(0).await, stage.nth_link(1).await);
    assert_ne!(first, second);
    let mut guesser = stage.visitor(40);
    let sent = stage.carrier.taken().len();
    let locked = three_wrong_codes(&stage, &mut guesser, &first).await;
    assert_eq!(stage.carrier.taken().last().unwrap().to, NUMBER);
    assert!(locked.status.is_client_error(), "{}", locked.text());

    // The guesser is blocked, for other messages as well, whatever he claims about himself.
    let blocked = guesser.get(&second).await;
    assert_eq!(
        blocked.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{}",
        blocked.text()
    );
    // What the page calls it by is what the help desk looks it up by.
    let text = blocked.text();
    let reference = between(&text, "Reference: ", "<").unwrap().trim();
    let typed = reference.replace('-', "").to_lowercase();
    for reference in [reference, &typed] {
        let said = stage.place.relay(&["events", "--config", "{}", reference]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.out.contains("sealed in the vault"), "{}", said.out);
        assert!(said.out.contains("notice taken"), "{}", said.out);
    }
    let unknown = stage.place.relay(&["events", "--config", "{}", "22-2222"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    let mut liar = stage.visitor(40);
    let blocked = liar.forwarded_for("203.0.113.7").get(&second).await;
    assert_eq!(
        blocked.status,
        StatusCode::TOO_MANY_REQUESTS,
        "an untrusted header was believed"
    );

    // Jan is not; but his first message waits for Anna.
    let mut honest = stage.visitor(41);
    let waiting = honest.get(&first).await;
    assert_eq!(waiting.status, StatusCode::LOCKED, "{}", waiting.text());
    let landing = honest.get(&second).await;
    assert_eq!(landing.status, StatusCode::OK);
    let page = page_of(&second);
    let form = honest.post(&format!("{page}/code"), &landing, &[]).await;
    let opened = honest
        .post(&format!("{page}/open"), &form, &[("code", &stage.code())])
        .await;
    assert!(opened.says("Uw dossier"), "{}", opened.text());
    assert_eq!(stage.carrier.taken().len(), sent + 2);

    // She is told, and releases it: a new code opens it.
    let told = arrival(&stage.world.sender, |mail| mail.to == [ANNA]).await;
    let form = link_in(&told.data).expect("the sender mail has no link");
    let token = form.rsplit('/').next().unwrap();
    let mut anna = stage.visitor(42);
    let asked = anna.get(&form).await;
    let released = anna.post(&format!("/s/{token}/release"), &asked, &[]).await;
    assert_eq!(released.status, StatusCode::OK, "{}", released.text());
    let page = page_of(&first);
    let old = stage.carrier.taken().len();
    let form = code_form(&mut honest, &first).await;
    assert_eq!(stage.carrier.taken().len(), old + 1, "no new code was sent");
    let opened = honest
        .post(&format!("{page}/open"), &form, &[("code", &stage.code())])
        .await;
    assert!(opened.says("Uw dossier"), "{}", opened.text());
}

/// Asks for a code until one is sent: another one comes half a minute after the last.
async fn code_form(visitor: &mut Visitor, link: &str) -> Page {
    let path = format!("{}/code", page_of(link));
    for _ in 0..40 {
        let landing = visitor.get(link).await;
        assert_eq!(landing.status, StatusCode::OK, "{}", landing.text());
        let form = visitor.post(&path, &landing, &[]).await;
        if form.status == StatusCode::OK {
            return form;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("no code is ever sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_says_who_asks() {
    let proxy = 50;
    let stage = Stage::set(&[proxy]).await;
    let jan = "jan@open.test";
    for n in ["one", "two"] {
        stage.send(jan, &message(n, jan, "Uw dossier", n)).await;
    }
    let (first, second) = (stage.nth_link(0).await, stage.nth_link(1).await);
    let mut guesser = stage.visitor(proxy);
    guesser.forwarded_for("198.51.100.1, 203.0.113.7");
    let locked = three_wrong_codes(&stage, &mut guesser, &first).await;
    assert!(locked.status.is_client_error(), "{}", locked.text());

    let behind = async |forwarded: &str| {
        let mut visitor = stage.visitor(proxy);
        visitor.forwarded_for(forwarded).get(&second).await.status
    };
    assert_eq!(behind("203.0.113.7").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        behind("203.0.113.8, 203.0.113.7").await,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(behind("203.0.113.8").await, StatusCode::OK);
    // What the guesser himself claimed to come from was never believed.
    assert_eq!(behind("198.51.100.1").await, StatusCode::OK);
    // Somebody who only pretends to be behind the proxy is who he is.
    let mut direct = stage.visitor(51);
    let seen = direct.forwarded_for("203.0.113.7").get(&second).await;
    assert_eq!(
        seen.status,
        StatusCode::OK,
        "an untrusted header was believed"
    );
}

fn with_attachment(to: &str, attachment: &[u8]) -> Vec<u8> {
    let encoded = STANDARD.encode(attachment);
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "From: Anna <{ANNA}>\r\nTo: <{to}>\r\nSubject: Uw dossier\r\n\
         Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <whole@sender.test>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nThis is personal.\r\n\
         --b\r\nContent-Type: application/octet-stream\r\n\
         Content-Disposition: attachment; filename=\"uitslag.bin\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
        lines.join("\r\n")
    )
    .into_bytes()
}
