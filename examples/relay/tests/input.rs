//! What is wrong is refused, with words that say what to change; what was taken is not lost by it.

mod common;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::smtp::{Session, Submitter};
use common::world::{World, arrival, contains};
use common::{ANNA, PATIENCE, Place, Said, delivery, message, queue_id, relay};
use securemail_core::backend::Spool as _;
use securemail_core::vocab::UnixTime;
use securemail_testkit::dns::Fault;
use sha2::{Digest, Sha256};

/// The binary ended with `code` and said all of these.
#[track_caller]
fn ended(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, Some(code), "{said:?}");
    let all = format!("{}{}", said.out, said.err);
    for word in words {
        assert!(all.contains(word), "`{word}` is missing:\n{all}");
    }
    assert!(!all.contains("panicked"), "{all}");
}

#[test]
fn run_without_settings_says_in_three_lines_what_to_do() {
    let said = relay(&["run"]);
    ended(&said, 2, &["config check --config", "run --config"]);
    assert_eq!(said.err.trim_end().lines().count(), 3, "{}", said.err);
}

#[test]
fn a_settings_file_that_is_not_there_is_named() {
    let said = relay(&["config", "check", "--config", "/nonexistent/relay.toml"]);
    ended(&said, 2, &["/nonexistent/relay.toml"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_do_not_fit_are_explained() {
    let world = World::start().await;
    let cases: [(&str, &str, &[&str]); 14] = [
        (
            "relay.hostnme",
            "\"x.test\"",
            &["hostnme", "did you mean `hostname`"],
        ),
        (
            "rout.profile",
            "\"strict\"",
            &["rout", "did you mean `route`"],
        ),
        (
            "route.profil",
            "\"strict\"",
            &["profil", "did you mean `profile`"],
        ),
        ("route.port", "\"twenty-five\"", &["port", "expected u16"]),
        ("route.port", "70000", &["70000", "u16"]),
        (
            "route.budget",
            "\"soon\"",
            &["soon", "write 20s, 15m, 4h or 5d"],
        ),
        ("route.profile", "\"lax\"", &["lax", "strict"]),
        ("relay.hostname", "\"not a name\"", &["hostname"]),
        ("listen.web", "\"localhost\"", &["web", "socket address"]),
        (
            "listen.web",
            "\"0.0.0.0:0\"",
            &["sms.provider", "twilio", "127.0.0.1"],
        ),
        (
            "route.profile",
            "\"standard\"",
            &["[[dns.vantage]]", "route.profile = \"strict\""],
        ),
        (
            "route.allow_networks",
            "[\"127.0.0.0/99\"]",
            &["route.allow_networks", "127.0.0.0/99"],
        ),
        ("dns.servers", "\"127.0.0.1:53\"", &["servers", "sequence"]),
        ("sms.provider", "\"pigeon\"", &["pigeon", "twilio"]),
    ];
    for (key, value, words) in cases {
        let mut place = Place::new(&world);
        place.set(key, value);
        let said = place.relay(&["config", "check", "--config", "{}"]);
        ended(&said, 2, words);
        let said = place.relay(&["run", "--config", "{}"]);
        ended(&said, 1, words);
        assert!(!place.data_dir().exists(), "it left something: {key}");
    }
    let place = Place::new(&world);
    let said = place.relay(&["config", "check", "--config", "{}"]);
    ended(&said, 0, &["can be used"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_missing_are_named() {
    let world = World::start().await;
    for (section, key) in [
        ("relay", "hostname"),
        ("relay", "data_dir"),
        ("dns", "servers"),
        ("dns", "second_opinion"),
        ("portal", "url"),
        ("notice", "from"),
        ("keys", "master_key_file"),
        ("sms", "provider"),
    ] {
        let mut place = Place::new(&world);
        drop(place.settings[section].as_table_mut().unwrap().remove(key));
        let said = place.relay(&["config", "check", "--config", "{}"]);
        ended(&said, 2, &[&format!("missing field `{key}`")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_is_wanted_and_not_beside_the_data() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    place.set("keys.master_key_file", "\"/nonexistent/master.key\"");
    let said = place.relay(&["run", "--config", "{}"]);
    ended(
        &said,
        1,
        &["keys.master_key_file", "/dev/urandom", "outside data_dir"],
    );

    let mut place = Place::new(&world);
    let inside = place.data_dir().join("master.key");
    fs::create_dir_all(place.data_dir()).unwrap();
    fs::write(&inside, [7_u8; 32]).unwrap();
    place.set("keys.master_key_file", &format!("{inside:?}"));
    let said = place.relay(&["run", "--config", "{}"]);
    ended(
        &said,
        1,
        &["master_key_file lies inside relay.data_dir", "move it"],
    );

    // A link that leads inside is inside.
    let link = place.folder().join("linked.key");
    std::os::unix::fs::symlink(&inside, &link).unwrap();
    place.set("keys.master_key_file", &format!("{link:?}"));
    let said = place.relay(&["run", "--config", "{}"]);
    ended(&said, 1, &["master_key_file lies inside relay.data_dir"]);

    let mut place = Place::new(&world);
    let short = place.folder().join("short.key");
    fs::write(&short, [7_u8; 31]).unwrap();
    place.set("keys.master_key_file", &format!("{short:?}"));
    let said = place.relay(&["run", "--config", "{}"]);
    ended(&said, 1, &["keys.master_key_file", "short.key", "32"]);
    fs::write(&short, [7_u8; 32]).unwrap();
    let said = place.relay(&["run", "--config", "{}"]);
    ended(&said, 1, &["keys.master_key_file", "not random"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_than_before_is_noticed_at_start() {
    let world = World::start().await;
    let place = Place::new(&world);
    place.start().stop();
    fs::write(
        place.folder().join("master.key"),
        Sha256::digest("another key"),
    )
    .unwrap();
    match place.try_start() {
        Ok(_) => panic!("it serves with a key that opens nothing"),
        Err(said) => assert!(said.contains("master"), "{said}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolver_that_drops_dnssec_stops_run_and_check() {
    let world = World::start().await;
    world.dns.inject(Fault::StripDnssec);
    let place = Place::new(&world);
    let said = place.relay(&["run", "--config", "{}"]);
    ended(&said, 1, &["DNSSEC", "unbound"]);
    let said = place.relay(&["check", "proved.test", "--config", "{}"]);
    ended(&said, 3, &["DNSSEC", "unbound"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_answers_in_words_and_in_codes() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    let check = |place: &Place, arguments: &[&str]| {
        let all = [&["check"], arguments, &["--config", "{}"]].concat();
        place.relay(&all)
    };
    let said = check(&place, &["proved.test", "--connect"]);
    ended(&said, 0, &["proved.test", "DANE"]);
    let said = check(&place, &["nullmx.test"]);
    ended(&said, 20, &["nullmx.test"]);
    let said = check(&place, &["missing.test"]);
    ended(&said, 20, &["missing.test"]);
    for domain in ["b\u{fc}cher.test", "xn--bcher-kva.test"] {
        let said = check(&place, &[domain]);
        ended(&said, 20, &["Mail for b\u{fc}cher.test goes back"]);
    }
    let said = check(&place, &["bogus.test"]);
    ended(&said, 30, &["bogus.test"]);
    let said = check(&place, &["mismatch.test", "--connect"]);
    ended(&said, 30, &["mismatch.test"]);
    place.set("route.confirm_after", "\"0s\"");
    let said = check(&place, &["open.test", "--connect"]);
    ended(&said, 10, &["open.test"]);
    let said = check(&place, &["not a name"]);
    ended(&said, 2, &["not a name"]);
    for (text, hint) in [
        ("jan@proved.test", "name the domain behind the @"),
        ("192.0.2.1", "an IP address"),
        ("[2001:db8::1]", "an IP address"),
    ] {
        ended(&check(&place, &[text]), 2, &[hint]);
    }
    ended(&relay(&["check", "proved.test"]), 2, &["--config"]);

    let said = check(&place, &["proved.test", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert!(
        json["sentence"].as_str().unwrap().contains("proved.test"),
        "{json}"
    );

    let file = place.folder().join("decided.json");
    fs::write(&file, &said.out).unwrap();
    let replay = |file: &Path| relay(&["check", "--replay", file.to_str().unwrap()]);
    ended(
        &replay(&file),
        0,
        &["proved.test", "DANE", "Asked:", "(signed"],
    );
    let changed = said
        .out
        .replacen("\"fresh_until\": 1", "\"fresh_until\": 2", 1);
    assert_ne!(changed, said.out);
    fs::write(&file, changed).unwrap();
    ended(&replay(&file), 3, &["not the decision in the file"]);
    fs::write(&file, "{}").unwrap();
    ended(&replay(&file), 2, &["decided.json", "missing field"]);
    ended(&relay(&["check"]), 2, &["DOMAIN"]);

    assert!(world.proved.messages().is_empty(), "check sent something");
    world.dns.inject(Fault::Code {
        name: "proved.test.".to_owned(),
        code: 2,
    });
    let said = check(&place, &["proved.test"]);
    assert!(matches!(said.code, Some(3 | 30)), "{said:?}");
}

/// Says the lines after a login, and gives the last reply.
async fn after_login(submitter: &Submitter, lines: &[&str]) -> String {
    let mut session = submitter.login().await.unwrap();
    let mut last = String::new();
    for line in lines {
        last = session.say(line).await.unwrap();
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_and_envelopes_that_do_not_fit_are_refused() {
    let world = World::start().await;
    let place = Place::new(&world);
    let relay = place.start();
    let anna = relay.submitter();
    let refusal = async |username: &str, secret: &str| {
        let other = Submitter {
            username: username.to_owned(),
            secret: secret.to_owned(),
            ..anna.clone()
        };
        other.login().await.map(drop).unwrap_err().to_string()
    };
    let wrong = refusal("anna", "wrong").await;
    assert!(wrong.starts_with("535 5.7.8"), "{wrong}");
    assert_eq!(
        wrong,
        refusal("nobody", "wrong").await,
        "it tells who exists"
    );

    let mut stranger = anna.connect().await.unwrap();
    let reply = stranger.say("MAIL FROM:<anna@sender.test>").await.unwrap();
    assert!(reply.starts_with("530"), "{reply}");

    let from = "MAIL FROM:<anna@sender.test>";
    for (lines, code) in [
        (&["MAIL FROM:<anna@elsewhere.test>"][..], "5"),
        (
            &["MAIL FROM:<anna@sender.test> SIZE=99999999999"],
            "552 5.3.4",
        ),
        (&[from, "RCPT TO:<eva@missing.test>"], "550 5.1.2"),
        (&[from, "RCPT TO:<eva@nullmx.test>"], "556 5.1.10"),
        (&[from, "RCPT TO:<eva@[127.0.0.1]>"], "5"),
        (&[from, "RCPT TO:<not an address>"], "5"),
        (&[from, "DATA"], "5"),
    ] {
        let reply = after_login(&anna, lines).await;
        assert!(reply.starts_with(code), "{lines:?}: {reply}");
    }
    // The session and the relay go on.
    let good = message("1", "eva@proved.test", "s", "b");
    let reply = anna.submit(&["eva@proved.test"], &good).await.unwrap();
    assert!(reply.starts_with("250 2.0.0 delivered"), "{reply}");
    assert_eq!(world.proved.messages().len(), 1);
}

/// One transaction in a session of its own, octets as they are.
async fn raw(submitter: &Submitter, recipients: &[&str], octets: &[u8]) -> String {
    let mut session: Session = submitter.login().await.unwrap();
    session.say(&format!("MAIL FROM:<{ANNA}>")).await.unwrap();
    for recipient in recipients {
        let reply = session
            .say(&format!("RCPT TO:<{recipient}>"))
            .await
            .unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    session.data(octets).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_do_not_fit_are_refused_and_reach_nobody() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    place.set("limits.message_bytes", "1000000");
    let relay = place.start();
    let anna = relay.submitter();
    let eva = "eva@proved.test";
    let good = message("2", eva, "s", "b");
    let with = |from: &str, to: &str| {
        String::from_utf8_lossy(&good)
            .replace(from, to)
            .into_bytes()
    };

    let reply = raw(&anna, &[eva, "kim@proved.test"], &good).await;
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
    assert!(
        reply.contains('1') && !reply.contains("kim"),
        "only the count: {reply}"
    );
    let reply = raw(
        &anna,
        &[eva],
        &with("Subject: s", "Bcc: <kim@proved.test>\r\nSubject: s"),
    )
    .await;
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
    let reply = raw(
        &anna,
        &[eva],
        &with("<anna@sender.test>\r\n", "<eve@elsewhere.test>\r\n"),
    )
    .await;
    assert!(reply.starts_with("550 5.7.1"), "{reply}");

    let reply = raw(&anna, &[eva], &with("\r\nb\r\n", "\r\nb\nc\r\n")).await;
    assert!(reply.starts_with("521 5.5.2"), "bare LF: {reply}");
    let reply = raw(&anna, &[eva], &with("\r\nb\r\n", "\r\nb\0c\r\n")).await;
    assert!(reply.starts_with("521 5.5.2"), "NUL: {reply}");
    let reply = raw(
        &anna,
        &[eva],
        &with("\r\nb\r\n", "\r\nb\n.\nMAIL FROM:<eve@elsewhere.test>\r\n"),
    )
    .await;
    assert!(reply.starts_with('5'), "smuggling: {reply}");

    let long = "0123456789abcdef\r\n".repeat(60_000);
    let reply = raw(&anna, &[eva], &with("\r\nb\r\n", &format!("\r\n{long}"))).await;
    assert!(reply.starts_with("552 5.3.4"), "too large: {reply}");

    assert!(world.proved.messages().is_empty(), "something got through");
    let reply = raw(&anna, &[eva], &good).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(world.proved.messages().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_queue_id_and_by_address() {
    let world = World::start().await;
    let place = Place::new(&world);
    let relay = place.start();
    let anna = relay.submitter();
    let marker = "M4RK3R-OF-EVENTS";
    let reply = anna
        .submit(
            &["eva@proved.test"],
            &message("1", "eva@proved.test", marker, marker),
        )
        .await
        .unwrap();
    let queue = queue_id(&reply).to_owned();
    let held = anna
        .submit(
            &["kim@mismatch.test"],
            &message("2", "kim@mismatch.test", marker, marker),
        )
        .await
        .unwrap();
    assert!(held.starts_with("250"), "{held}");
    let refused = after_login(
        &anna,
        &["MAIL FROM:<anna@sender.test>", "RCPT TO:<eva@nullmx.test>"],
    );
    assert!(refused.await.starts_with("556"));

    let by_queue = place.relay(&["events", "--config", "{}", &queue]);
    ended(
        &by_queue,
        0,
        &["proved.test", "decided", "signed DNS", "handed over"],
    );
    assert!(!by_queue.out.contains("mismatch.test"), "{}", by_queue.out);
    let by_address = place.relay(&["events", "--config", "{}", "eva@proved.test"]);
    ended(&by_address, 0, &["proved.test"]);
    let by_message_id = place.relay(&["events", "--config", "{}", "<1@sender.test>"]);
    ended(&by_message_id, 0, &["proved.test"]);
    let all = place.relay(&["events", "--config", "{}"]);
    ended(&all, 0, &["proved.test", "mismatch.test"]);
    assert!(!all.out.contains(marker), "content in events: {}", all.out);
    let none = place.relay(&["events", "--config", "{}", "nobody@proved.test"]);
    ended(&none, 1, &["nothing is known"]);
    let unknown = place.relay(&["events", "--config", "{}", "--tenant", "nobody"]);
    ended(&unknown, 1, &["no tenant is named nobody"]);
}

const DISK: &str = "SECUREMAIL_RELAY_DISK";

/// Mounts a small file system in a mount namespace of its own, and runs the other test on it.
#[test]
fn a_full_disk_refuses_for_a_while_and_loses_nothing() {
    let disk = tempfile::TempDir::new().unwrap();
    let script = "mount -t tmpfs -o size=64m tmpfs \"$1\" && echo mounted && exec \"$2\" \
                  --exact child_fills_its_disk --nocapture";
    let run = |options: &[&str]| {
        let output = Command::new("unshare")
            .args(options)
            .args(["sh", "-c", script, "sh"])
            .arg(disk.path())
            .arg(std::env::current_exe().unwrap())
            .env(DISK, disk.path())
            .output();
        output.expect("`unshare` of util-linux is needed")
    };
    let mut output = run(&["--mount"]);
    if !output.stdout.starts_with(b"mounted") {
        output = run(&["--map-root-user", "--mount"]);
    }
    let said = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let (told, complained) = (said(&output.stdout), said(&output.stderr));
    assert!(
        told.starts_with("mounted"),
        "cannot mount a tmpfs: run as root, or allow user namespaces\n{complained}"
    );
    assert!(output.status.success(), "{told}\n{complained}");
    assert!(
        told.contains("everything held"),
        "the child did nothing: {told}"
    );
}

/// Not a test of its own: what happens on the small disk.
#[tokio::test(flavor = "multi_thread")]
async fn child_fills_its_disk() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the parent tells its child where the disk is"
    )]
    let Ok(disk) = std::env::var(DISK) else {
        return;
    };
    let disk = PathBuf::from(disk);
    let world = World::start().await;
    let mut place = Place::new(&world);
    place.set("relay.data_dir", &format!("{:?}", disk.join("data")));
    let relay = place.start();
    let anna = relay.submitter();
    let kim = "kim@mismatch.test";
    let mut taken = Vec::new();
    for n in 0..5 {
        let held = message(&format!("held-{n}"), kim, "s", "before");
        let reply = anna.submit(&[kim], &held).await.unwrap();
        assert!(reply.starts_with("250 2.0.0 accepted"), "{reply}");
        taken.push(reply);
    }

    let filler = take_all_room(&disk);
    let mut refused = 0;
    for n in 0..40 {
        for to in [kim, "eva@proved.test", "jan@open.test"] {
            let content = message(&format!("full-{n}"), to, "s", &"full\r\n".repeat(5_000));
            let reply = anna.submit(&[to], &content).await.unwrap();
            // What finds room in what was reserved may pass; what does not is told so.
            let known = ["250 2.0.0", "452 4.3.1", "451 4.3.0"];
            assert!(known.iter().any(|code| reply.starts_with(code)), "{reply}");
            refused += usize::from(!reply.starts_with("250"));
        }
    }
    assert!(refused > 100, "a full disk took {} messages", 120 - refused);

    fs::remove_file(filler).unwrap();
    let reply = eventually_taken(&anna, kim).await;
    assert!(reply.starts_with("250 2.0.0 accepted"), "{reply}");
    drop(relay);
    taken.push(reply);

    world.heal_mismatch();
    let store = place.store().await;
    for reply in &taken {
        store
            .wake(&delivery(reply), UnixTime::from_secs(0))
            .await
            .unwrap();
    }
    let _relay = place.start();
    for n in 0..5 {
        let id = format!("<held-{n}@sender.test>");
        arrival(&world.mismatch, |mail| contains(&mail.data, &id)).await;
    }
    arrival(&world.mismatch, |mail| {
        contains(&mail.data, "<after@sender.test>")
    })
    .await;
    std::io::stdout().write_all(b"everything held\n").unwrap();
}

/// Writes until nothing more goes.
fn take_all_room(disk: &Path) -> PathBuf {
    let path = disk.join("filler");
    let mut file = fs::File::create(&path).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    path
}

/// The first reply that is not "not now".
async fn eventually_taken(submitter: &Submitter, to: &str) -> String {
    let content = message("after", to, "s", "there is room again");
    let begun = Instant::now();
    loop {
        let reply = submitter.submit(&[to], &content).await.unwrap();
        if !reply.starts_with('4') || begun.elapsed() > PATIENCE {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
