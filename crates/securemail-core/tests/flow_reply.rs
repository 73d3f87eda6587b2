//! One reply for all recipients, and exactly one outcome for each.

mod flow_world;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flow_world::{
    DAY, MINUTE, SECRET, World, defers, is_marked, message, message_with, refuses, submission, text,
};
use mail_parser::MessageParser;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use securemail_core::backend::{RecipientOutcome, SessionOutcome};
use securemail_core::ledger::EventName;
use securemail_core::route::PeerFailure;
use securemail_testkit::scripted::HostScript;

#[tokio::test]
async fn p3_direct_delivery_stores_nothing_of_the_content() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    let reply = world.submit(message(&["eva@proved.example"])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    assert!(reply.text().starts_with("delivered as"), "{reply}");
    let got = world.got("eva@proved.example");
    assert_eq!(got.len(), 1);
    let mail = text(&got[0].octets);
    assert!(mail.contains(SECRET));
    assert!(mail.starts_with("DKIM-Signature:"), "{mail}");
    assert_eq!(world.spool.inner().contents(), 0, "the spool took content");
    assert_eq!(world.vault.inner().count(), 0, "the vault took content");
    assert_eq!(world.keys.inner().count(), 0, "no key was needed");
    assert_eq!(world.work_after(DAY).await, 0, "nothing is left to do");
}

#[tokio::test]
async fn each_of_many_recipients_has_its_own_true_outcome_and_the_sender_one_reply() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    let wrong_key = SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch);
    world.proved(
        "mismatch.example",
        "mx.mismatch.example",
        HostScript::ends(wrong_key),
    );
    let plain = HostScript::ends(SessionOutcome::NoStartTls(None));
    world.unsigned("open.example", "mx.open.example", plain);
    world.absent("absent.example");
    world.phone("ole@open.example").await;
    world
        .transport
        .notice_host(&flow_world::name("mx.open.example"), HostScript::takes());
    let to = [
        "eva@proved.example",
        "mia@mismatch.example",
        "ole@open.example",
        "abe@absent.example",
    ];
    let reply = world.submit(message(&to)).await;
    assert_eq!(reply.code(), 250, "{reply}");
    assert_eq!(world.got("eva@proved.example").len(), 1);

    world.work_after(20 * MINUTE).await;
    assert_eq!(
        world.vault.inner().count(),
        1,
        "the host without TLS: vault"
    );
    assert_eq!(world.transport.notices().len(), 1, "and a notice");
    let home = world.mails_home();
    assert_eq!(home.len(), 1, "the domain that is not there: one DSN");
    assert!(home[0].contains("abe@absent.example"), "{}", home[0]);
    assert!(!home[0].contains("mia@"), "{}", home[0]);

    for _ in 0..20 {
        world.work_after(8 * 60 * MINUTE).await;
    }
    assert_eq!(world.got("eva@proved.example").len(), 1, "once");
    assert_eq!(world.got("mia@mismatch.example").len(), 0, "never");
    assert_eq!(world.got("ole@open.example").len(), 0, "never in clear");
    let home = world.mails_home();
    let failed: Vec<&String> = home
        .iter()
        .filter(|mail| mail.contains("Action: failed"))
        .collect();
    assert_eq!(failed.len(), 2, "{home:#?}");
    assert!(failed[1].contains("mia@mismatch.example"), "{}", failed[1]);
    assert_eq!(world.vault.inner().count(), 1);
}

#[tokio::test]
async fn where_all_are_refused_the_session_says_so_and_no_dsn_is_written() {
    let world = World::new().await;
    world.absent("absent.example");
    let strict = HostScript::says(refuses());
    world.proved("strict.example", "mx.strict.example", strict);
    let to = ["abe@absent.example", "eva@strict.example"];
    let reply = world.submit(message(&to)).await;
    assert_eq!(reply.code(), 550, "{reply}");
    world.work_after(DAY).await;
    assert!(world.mails_home().is_empty(), "told twice");
    assert_eq!(world.spool.inner().contents(), 0);
}

#[tokio::test]
async fn a_dsn_bears_nothing_of_the_message() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    world.absent("absent.example");
    let to = ["eva@proved.example", "abe@absent.example"];
    let reply = world.submit(message(&to)).await;
    assert_eq!(reply.code(), 250, "{reply}");
    world.work().await;
    assert!(world.got("jan@gemeente.example").is_empty(), "content");
    let home = world.mails_home();
    assert_eq!(home.len(), 1);
    // Encoded words hide nothing from a reader.
    let read = MessageParser::new().parse(home[0].as_bytes()).unwrap();
    let sender = read.from().and_then(|from| from.first());
    let name = sender.and_then(|sender| sender.name()).unwrap();
    let shown = [name, read.subject().unwrap(), &*read.body_text(0).unwrap()].join("\n");
    for trace in ["uw aanvraag", "m1@gemeente.example", "Jan <"] {
        for text in [&home[0], &shown] {
            assert!(!text.contains(trace), "{trace} in {text}");
        }
    }
    assert!(home[0].contains("multipart/report"), "{}", home[0]);
}

#[tokio::test]
async fn mail_from_nobody_is_never_answered() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    world.absent("absent.example");
    let wrong_key = SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch);
    let held = HostScript::ends(wrong_key);
    world.proved("mismatch.example", "mx.mismatch.example", held);
    let to = [
        "eva@proved.example",
        "abe@absent.example",
        "mia@mismatch.example",
    ];
    let octets = format!(
        "From: jan@gemeente.example\r\nTo: {}\r\nSubject: x\r\n\r\n{SECRET}\r\n",
        to.join(", ")
    );
    let reply = world.submit(submission("", &to, &octets)).await;
    assert_eq!(reply.code(), 250, "{reply}");
    // One fails at once, the other when it was held for as long as may be.
    for _ in 0..30 {
        world.work_after(DAY).await;
    }
    assert_eq!(world.got("eva@proved.example").len(), 1);
    assert!(world.mails_home().is_empty(), "an answer to <>");
    assert_eq!(world.spool.inner().contents(), 0, "and it is at an end");
    let failures = world.count(EventName::RelayToNonErdsFailure).await;
    assert!(failures >= 2, "but both are written down");
}

#[tokio::test]
async fn two_spellings_of_one_mailbox_are_two_recipients() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    let to = ["eva+a@proved.example", "Eva+b@proved.example"];
    let reply = world.submit(message(&to)).await;
    assert_eq!(reply.code(), 250, "{reply}");
    for recipient in to {
        assert_eq!(world.got(recipient).len(), 1, "{recipient}");
    }
}

#[tokio::test]
async fn a_destination_with_all_its_places_taken_waits_in_the_spool() {
    let world = World::with(|s| s.per_destination = 1, flow_world::passes()).await;
    let slow = HostScript::takes().after(5 * flow_world::SECOND, Duration::ZERO);
    world.proved("slow.example", "mx.slow.example", slow);
    let first = world.relay.clone();
    let second = world.relay.clone();
    let replies = world
        .drive(async move {
            let other = message_with("Message-ID: <m2@gemeente.example>\r\n", &["b@slow.example"]);
            tokio::join!(
                first.submit(message(&["a@slow.example"])),
                second.submit(other)
            )
        })
        .await;
    assert!(replies.0.text().starts_with("delivered"), "{}", replies.0);
    assert!(replies.1.text().starts_with("accepted"), "{}", replies.1);
    assert_eq!(world.got("b@slow.example").len(), 0);
    world.work().await;
    assert_eq!(world.got("b@slow.example").len(), 1);
}

#[tokio::test]
async fn a_destination_that_did_not_answer_goes_to_the_spool_at_once_for_a_while() {
    let world = World::new().await;
    world.proved(
        "far.example",
        "mx.far.example",
        Behaviour::Unreachable.script(),
    );
    let submit = async |id: &str| {
        let relay = world.relay.clone();
        let one = message_with(
            &format!("Message-ID: <{id}@gemeente.example>\r\n"),
            &["a@far.example"],
        );
        world.drive(async move { relay.submit(one).await }).await
    };
    assert!(submit("m1").await.text().starts_with("accepted"));
    let tried = world.transport.attempts();
    assert!(tried > 0);
    assert!(submit("m2").await.text().starts_with("accepted"));
    assert_eq!(
        world.transport.attempts(),
        tried,
        "nobody waits for it again"
    );
    world.clock.advance(3 * 60 * flow_world::SECOND);
    assert!(submit("m3").await.text().starts_with("accepted"));
    assert!(
        world.transport.attempts() > tried,
        "after a while it is asked again"
    );
}

/// How the host of one recipient's domain behaves.
#[derive(Clone, Copy, Debug)]
enum Behaviour {
    Takes,
    TakesLate,
    Refuses,
    RefusesLate,
    Defers,
    Silent,
    WrongKey,
    Unreachable,
    Absent,
    Slow,
}

impl Behaviour {
    fn script(self) -> HostScript {
        let late = |script: HostScript| HostScript {
            answers_at_dot: true,
            ..script.after(Duration::ZERO, 25 * flow_world::SECOND)
        };
        match self {
            Self::Takes => HostScript::takes(),
            Self::TakesLate => late(HostScript::takes()),
            Self::Refuses => HostScript::says(refuses()),
            Self::RefusesLate => late(HostScript::says(refuses())),
            Self::Defers => HostScript::says(defers()),
            Self::Silent => late(HostScript::says(RecipientOutcome::Unconfirmed)),
            Self::WrongKey => {
                HostScript::ends(SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch))
            }
            Self::Unreachable | Self::Absent => {
                HostScript::ends(SessionOutcome::Unreachable("refused".to_owned()))
            }
            Self::Slow => HostScript::takes().after(40 * flow_world::SECOND, Duration::ZERO),
        }
    }

    const fn is_refused_in_time(self) -> bool {
        matches!(self, Self::Refuses | Self::Absent)
    }
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        Just(Behaviour::Takes),
        Just(Behaviour::TakesLate),
        Just(Behaviour::Refuses),
        Just(Behaviour::RefusesLate),
        Just(Behaviour::Defers),
        Just(Behaviour::Silent),
        Just(Behaviour::WrongKey),
        Just(Behaviour::Unreachable),
        Just(Behaviour::Absent),
        Just(Behaviour::Slow),
    ]
}

/// What may fail while a message is taken.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    None,
    NoRoomToQueue,
    NothingSettles,
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        3 => Just(Trouble::None),
        1 => Just(Trouble::NoRoomToQueue),
        1 => Just(Trouble::NothingSettles),
    ]
}

/// P2: whatever the hosts do, a 250 leaves nobody out, a 5xx leaves nobody in, and in the end each
/// recipient has exactly one outcome.
#[test]
fn p2_the_reply_is_true_for_every_recipient() {
    let config = ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let hosts = proptest::collection::vec(behaviour(), 1..5);
    let met = AtomicUsize::new(0);
    let cases = TestRunner::new(config).run(&(hosts, trouble()), |(hosts, trouble)| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        met.fetch_add(runtime.block_on(check(&hosts, trouble)), Ordering::Relaxed);
        Ok(())
    });
    cases.unwrap();
    assert!(
        met.into_inner() > 0,
        "no trouble came in the way of anything"
    );
}

/// Returns how many calls the trouble has met.
async fn check(hosts: &[Behaviour], trouble: Trouble) -> usize {
    let world = World::new().await;
    let mut to = Vec::new();
    for (n, host) in hosts.iter().enumerate() {
        let domain = format!("d{n}.example");
        match host {
            Behaviour::Absent => world.absent(&domain),
            _ => world.proved(&domain, &format!("mx.{domain}"), host.script()),
        }
        to.push(format!("eva@{domain}"));
    }
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    for to in &to {
        world.phone(to).await;
    }
    world.trouble(trouble);
    let reply = world.submit(message(&to)).await;
    let at_reply: Vec<usize> = to.iter().map(|to| world.got(to).len()).collect();
    let met = world.spool.heal();
    world.idle().await;
    let all_refused = hosts.iter().all(|host| host.is_refused_in_time());
    match reply.code() {
        250 => {}
        500..=599 => {
            assert!(all_refused, "{reply} for {hosts:?}");
            assert!(
                at_reply.iter().all(|got| *got == 0),
                "handed over and refused"
            );
        }
        code => {
            assert!((400..500).contains(&code), "{reply}");
            assert!(!matches!(trouble, Trouble::None), "{reply} for {hosts:?}");
        }
    }
    if matches!(trouble, Trouble::None) {
        assert_eq!(reply.code() == 550, all_refused, "{reply} for {hosts:?}");
    }
    assert_eq!(
        world.transport.broken_off(),
        0,
        "dropped behind the end of data"
    );
    if reply.code() == 250 {
        world.ends_once(hosts, &to).await;
    } else if reply.code() < 500 {
        // The sender kept it and tries again.
        world.work_after(60 * MINUTE).await;
        let again = world.submit(message(&to)).await;
        assert!(again.code() == 250 || all_refused, "{again} for {hosts:?}");
        world.idle().await;
    }
    for _ in 0..45 {
        world.work_after(3 * 60 * MINUTE).await;
    }
    for (host, to) in hosts.iter().zip(&to) {
        let got = world.got(to);
        let unmarked = got.iter().filter(|mail| !is_marked(&mail.octets)).count();
        assert!(unmarked <= 1, "{host:?}: {unmarked} copies without a mark");
    }
    met
}

impl World {
    fn trouble(&self, trouble: Trouble) {
        use securemail_testkit::outage::Fault;
        match trouble {
            Trouble::None => {}
            Trouble::NoRoomToQueue => self.spool.fail("commit", Fault::Full),
            Trouble::NothingSettles => self.spool.fail("settle", Fault::Unavailable),
        }
    }

    /// After six days everything is at an end: delivered once, or given back once.
    async fn ends_once(&self, hosts: &[Behaviour], to: &[&str]) {
        for _ in 0..45 {
            self.work_after(3 * 60 * MINUTE).await;
            self.sweep().await;
        }
        let home = self.mails_home();
        let mut in_vault = 0;
        for (host, to) in hosts.iter().zip(to) {
            let got = self.got(to);
            let failed = home
                .iter()
                .filter(|mail| mail.contains("Action: failed") && mail.contains(to))
                .count();
            match host {
                Behaviour::Takes | Behaviour::TakesLate | Behaviour::Slow => {
                    assert_eq!((got.len(), failed), (1, 0), "{host:?}");
                }
                Behaviour::Refuses
                | Behaviour::RefusesLate
                | Behaviour::WrongKey
                | Behaviour::Absent => assert_eq!((got.len(), failed), (0, 1), "{host:?}"),
                Behaviour::Defers | Behaviour::Unreachable => {
                    assert_eq!((got.len(), failed), (0, 0), "{host:?}");
                    in_vault += 1;
                }
                // Ever rarer possible duplicates; then the vault, or the sender is told.
                Behaviour::Silent => {
                    assert!(!got.is_empty(), "{host:?}");
                    assert!(got.len() <= 5, "{} copies", got.len());
                    in_vault += usize::from(failed == 0);
                }
            }
        }
        assert_eq!(self.vault.inner().count(), in_vault, "{hosts:?}");
        assert_eq!(
            self.spool.inner().contents(),
            0,
            "something is left: {hosts:?}"
        );
    }
}
