//! P10: whatever happens, and however much the operator asks for, the log of the relay names nobody and
//! holds nothing of a message.

mod common;

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::visitor::{Visitor, between};
use common::world::{World, arrival};
use common::{ANNA, NUMBER, Place, Running, SECRET, eventually, link_in};
use securemail_testkit::sink::Conduct;
use securemail_testkit::twilio_fake::{TwilioAccount, TwilioFake};

const SUBJECT: &str = "Uitslag-van-Jansen";
const BODY: &str = "B0DY-M4RK3R-of-the-letter";
const FILE: &str = "dossier-jansen-1961.pdf";
const WRONG_PASSWORD: &str = "not-the-password-of-anna";
/// The number that Anna gives for Ole.
const OLES_NUMBER: &str = "+31687654321";

struct Stage {
    world: World,
    place: Place,
    relay: Running,
    carrier: TwilioFake,
    account: TwilioAccount,
    /// What came up on the way and must not be found: what it is, and it.
    secrets: Vec<(String, String)>,
}

impl Stage {
    /// A relay that logs as much as it can be made to.
    async fn set() -> Self {
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
        place.environment.push(("RUST_LOG", "trace"));
        let relay = place.start();
        Self {
            world,
            place,
            relay,
            carrier,
            account,
            secrets: Vec::new(),
        }
    }

    /// Hands in a letter with an attachment: the last reply.
    async fn send(&self, id: &str, to: &[&str]) -> String {
        let letter = letter(id, to);
        self.relay.submitter().submit(to, &letter).await.unwrap()
    }

    fn visitor(&self, last: u8) -> Visitor {
        let from = IpAddr::V4(self.world.host(last));
        let certificate = self.relay.certificate();
        Visitor::new(&self.place.origin(), self.place.web(), &certificate, from)
    }

    fn keep(&mut self, what: &str, secret: &str) {
        assert!(secret.len() >= 4, "{what} is too short to be looked for");
        self.secrets.push((what.to_owned(), secret.to_owned()));
    }

    /// Follows the link, types a wrong code and the right one, reads, downloads, destroys.
    async fn pick_up(&mut self, link: &str) {
        let (_, rest) = link.split_once("/m/").unwrap();
        let (id, secret) = rest.split_once('/').unwrap();
        self.keep("the link's secret", secret);
        let page = format!("/b/{id}");
        let mut jan = self.visitor(21);
        let landing = jan.get(link).await;
        let sent = self.carrier.taken().len();
        let form = jan.post(&format!("{page}/code"), &landing, &[]).await;
        let text = eventually("a code", || self.carrier.taken().get(sent).cloned()).await;
        let (_, code) = text.body.rsplit_once('#').unwrap();
        let code = code.trim().to_owned();
        self.keep("the code", &code);
        let typed = if code == "123456" { "654321" } else { "123456" };
        let again = jan
            .post(&format!("{page}/open"), &form, &[("code", typed)])
            .await;
        let read = jan
            .post(&format!("{page}/open"), &again, &[("code", &code)])
            .await;
        assert!(read.says(BODY), "{}", read.text());
        let file = jan.get(&format!("{page}/file/0")).await;
        assert!(file.status.is_success());
        jan.get(&format!("{page}/message.eml")).await;
        let question = jan.get(&format!("{page}/destroy")).await;
        let over = jan.post(&format!("{page}/destroy"), &question, &[]).await;
        assert!(over.status.is_success());
    }

    /// What of all this stands in a log.
    fn found(&self, log: &str) -> Vec<String> {
        let log = without_times(log).to_lowercase();
        let basic = format!("{}:{}", self.account.sid, self.account.auth_token);
        let plain = |password: &str| STANDARD.encode(format!("\0anna\0{password}"));
        let fixed = [
            ("the sender", "anna@"),
            ("eva", "eva@"),
            ("jan", "jan@"),
            ("kim", "kim@"),
            ("ole", "ole@"),
            ("a blind recipient", "bea@"),
            ("a word of the subject", "jansen"),
            ("the body", BODY),
            ("the file", FILE),
            ("a Message-ID", "@sender.test"),
            ("the password", SECRET),
            ("a wrong password", WRONG_PASSWORD),
            ("the number", &NUMBER[3..]),
            ("the number as one writes it", "06-87654321"),
            ("the number that was given", &OLES_NUMBER[3..]),
            ("the carrier's token", &self.account.auth_token),
            ("a header with credentials", "authorization: "),
            ("what a host said", "no such person"),
        ]
        .map(|(what, secret)| (what.to_owned(), secret.to_owned()));
        let encoded = [
            ("AUTH PLAIN", plain(SECRET)),
            ("AUTH PLAIN, wrong", plain(WRONG_PASSWORD)),
            ("the carrier's credentials", STANDARD.encode(basic)),
        ]
        .map(|(what, secret)| (what.to_owned(), secret));
        let all = fixed.into_iter().chain(encoded);
        all.chain(self.secrets.iter().cloned())
            .filter(|(_, secret)| stands_in(&log, &secret.to_lowercase()))
            .map(|(what, _)| what)
            .collect()
    }
}

/// A log without what each line begins with: six digits of a second may be those of a code.
fn without_times(log: &str) -> String {
    let line = |line: &str| match line.split_once(' ') {
        Some((time, rest)) if time.ends_with('Z') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    log.lines().map(line).collect()
}

/// Whether it stands there. Digits within a digest or a number are not that code.
fn stands_in(log: &str, secret: &str) -> bool {
    let is_number = secret.bytes().all(|octet| octet.is_ascii_digit());
    let continues = |c: Option<char>| is_number && c.is_some_and(|c| c.is_ascii_hexdigit());
    log.match_indices(secret).any(|(at, _)| {
        let (before, after) = (&log[..at], &log[at + secret.len()..]);
        !continues(before.chars().next_back()) && !continues(after.chars().next())
    })
}

fn letter(id: &str, to: &[&str]) -> Vec<u8> {
    let to: Vec<String> = to.iter().map(|to| format!("<{to}>")).collect();
    format!(
        "From: Anna <{ANNA}>\r\nTo: {}\r\nSubject: {SUBJECT}\r\n\
         Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{id}@sender.test>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{BODY}\r\n\
         --b\r\nContent-Type: application/pdf\r\n\
         Content-Disposition: attachment; filename=\"{FILE}\"\r\n\r\n{BODY}\r\n--b--\r\n",
        to.join(", ")
    )
    .into_bytes()
}

/// What an SMTP client may do wrong, with names in every line.
async fn quarrel(stage: &Stage) {
    let mut anna = stage.relay.submitter();
    let mut session = anna.connect().await.unwrap();
    for line in [
        "MAIL FROM:<anna@sender.test>",
        "VRFY jan@open.test",
        "HELP anna@sender.test",
        "AUTH PLAIN anna@sender.test",
        "AUTH LOGIN",
        "anna@sender.test",
    ] {
        session.say(line).await.unwrap();
    }
    drop(session);
    anna.secret = WRONG_PASSWORD.to_owned();
    assert!(anna.login().await.is_err());
    let mut session = stage.relay.submitter().login().await.unwrap();
    for line in [
        "MAIL FROM:<jan@open.test>",
        "MAIL FROM:<anna@sender.test> SIZE=x",
        "MAIL FROM:<anna@sender.test>",
        "RCPT TO:<eva@proved.test",
        "RCPT TO:<eva@nowhere.test>",
        "RCPT TO:<eva@[127.0.0.1]>",
        "RCPT TO:<eva@nullmx.test>",
        "RSET",
    ] {
        session.say(line).await.unwrap();
    }
    let blind = letter("blind", &["eva@proved.test"]);
    let to = ["eva@proved.test", "bea@proved.test"];
    let reply = session.submit(ANNA, &to, &blind).await.unwrap();
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_nobody_and_holds_nothing_of_a_message() {
    let mut stage = Stage::set().await;
    quarrel(&stage).await;
    // Direct, held, vaulted, and where the number is missing.
    for (id, to) in [
        ("direct", "eva@proved.test"),
        ("held", "kim@mismatch.test"),
        ("bogus", "kim@bogus.test"),
        ("vaulted", "jan@open.test"),
        ("asked", "ole@open.test"),
    ] {
        let reply = stage.send(id, &[to]).await;
        assert!(reply.starts_with("250 2.0.0"), "{reply}");
    }
    let notice = arrival(&stage.world.open, |mail| mail.to == ["jan@open.test"]).await;
    stage.pick_up(&link_in(&notice.data).unwrap()).await;

    let question = arrival(&stage.world.sender, |mail| mail.to == [ANNA]).await;
    let form = link_in(&question.data).unwrap();
    let (_, token) = form.split_once("/s/").unwrap();
    stage.keep("the sender's token", token);
    let mut anna = stage.visitor(22);
    let page = anna.get(&form).await;
    let number = format!("/s/{token}/number");
    let fields = [("number", "06-87654321"), ("remember", "organisation")];
    let saved = anna.post(&number, &page, &fields).await;
    assert!(saved.status.is_success(), "{}", saved.text());
    let notice = arrival(&stage.world.open, |mail| mail.to == ["ole@open.test"]).await;
    stage.pick_up(&link_in(&notice.data).unwrap()).await;

    // One of two is refused, in words that name her: a DSN.
    let refusal = "550 5.1.1 <eva@proved.test> no such person, ask anna@sender.test";
    let refuse = Conduct::ReplyAtRcpt(refusal.to_owned());
    stage.world.proved.behave(refuse);
    let both = ["eva@proved.test", "kim@slow.test"];
    let reply = stage.send("partly", &both).await;
    assert!(reply.starts_with("250 2.0.0"), "{reply}");
    arrival(&stage.world.sender, |mail| {
        String::from_utf8_lossy(&mail.data).contains("Action: failed")
    })
    .await;

    let mut stranger = stage.visitor(23);
    for path in [
        "/m/jan@open.test/x",
        "/b/0?anna@sender.test",
        "/s/anna@sender.test",
    ] {
        stranger.get(path).await;
    }
    let log = stage.relay.log();
    assert!(between(&log, "ERROR", "this is how an attack looks").is_some());
    assert!(
        log.contains("DEBUG securemail"),
        "RUST_LOG is not heard: {log}"
    );
    assert_eq!(stage.found("to <Jan@open.test>"), ["jan"], "it looks");
    let code = stage.secrets.iter().find(|(what, _)| what == "the code");
    let (_, code) = code.unwrap();
    assert_eq!(stage.found(&format!("code #{code}.")), ["the code"]);
    let found = stage.found(&log);
    assert!(found.is_empty(), "{found:?} in\n{log}");
    // What others write below `warn` is shut out, whatever RUST_LOG says.
    for family in ["hyper", "reqwest", "rustls", "hickory", "h2"] {
        for level in ["TRACE", "DEBUG", " INFO"] {
            assert!(
                !log.contains(&format!("{level} {family}")),
                "{family}\n{log}"
            );
        }
    }
}
