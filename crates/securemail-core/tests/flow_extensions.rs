//! Messages that demand more of a host: header and addresses in UTF-8, and REQUIRETLS.

mod flow_world;

use std::sync::Arc;

use bytes::Bytes;
use flow_world::{DAY, HOME, MINUTE, SECRET, World, message, message_with, name, submission, text};
use securemail_core::backend::Lack;
use securemail_core::drive::Submission;
use securemail_core::ledger::EventName;
use securemail_core::mail::{HeaderView, Protocol, has_utf8_below};
use securemail_core::vocab::{Demands, MemoryContent, RequireTls};
use securemail_testkit::scripted::HostScript;

const UTF8: &str = "j\u{f6}rg@proved.example";

fn requiring_tls(to: &[&str]) -> Submission {
    let require_tls = RequireTls::Always;
    Submission {
        demands: Demands {
            require_tls,
            ..Demands::default()
        },
        ..message(to)
    }
}

fn proved_without(world: &World, lack: Lack) {
    let script = HostScript::takes().without(lack);
    world.proved("proved.example", "mx.proved.example", script);
}

#[tokio::test]
async fn what_needs_utf8_is_found_out_from_envelope_and_header() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    let asked = Demands {
        smtp_utf8: true,
        ..Demands::default()
    };
    let plain = "eva@proved.example";
    let header = "Subject: caf\u{e9}\r\nMessage-ID: <h@gemeente.example>\r\n";
    let cases = [
        (message(&[plain]), false),
        // The sender's program said so, and nothing is there that needs it.
        (
            Submission {
                demands: asked,
                ..message_with("Message-ID: <p@x>\r\n", &[plain])
            },
            false,
        ),
        // Not said, and needed.
        (message_with("Message-ID: <u@x>\r\n", &[UTF8]), true),
        (
            message_with(&header.replace("Subject", "Comments"), &[plain]),
            true,
        ),
        // A field that never leaves us.
        (
            message_with(
                "X-Securemail-Phone: j\u{f6}@x.example; +31612345678\r\n",
                &[plain],
            ),
            false,
        ),
    ];
    for (submission, wanted) in cases {
        let to = submission.envelope.recipients[0].to_string();
        let before = world.got(&to).len();
        let reply = world.submit(submission).await;
        assert_eq!(reply.code(), 250, "{reply}");
        let got = world.got(&to);
        assert_eq!(got.len(), before + 1);
        let last = got.last().unwrap();
        assert_eq!(last.demands.smtp_utf8, wanted, "{}", text(&last.octets));
    }
}

#[tokio::test]
async fn the_received_field_names_the_protocol_of_rfc_6531() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    let submission = Submission {
        protocol: Protocol::Utf8Smtpsa,
        ..message(&[UTF8])
    };
    world.submit(submission).await;
    let mail = text(&world.got(UTF8)[0].octets);
    assert!(mail.contains("\r\n with UTF8SMTPSA id "), "{mail}");
    assert!(
        mail.contains("\r\n for <j\u{f6}rg@proved.example>"),
        "{mail}"
    );
}

#[tokio::test]
async fn recipients_in_ascii_do_not_suffer_from_one_in_utf8() {
    let world = World::new().await;
    proved_without(&world, Lack::SmtpUtf8);
    let reply = world.submit(message(&["eva@proved.example", UTF8])).await;
    // The header names both in letters outside ASCII, so it is no mail for this host at all...
    assert_eq!(reply.code(), 250, "{reply}");
    assert_eq!(world.got("eva@proved.example").len(), 0);
    assert_eq!(
        world.vault.inner().count(),
        1,
        "...and the vault is a way to her"
    );
    world.work().await;
    let home = world.mails_home();
    let given_back: Vec<_> = home.iter().filter(|mail| mail.contains("5.6.7")).collect();
    assert_eq!(given_back.len(), 1, "and none to him: {home:?}");
    assert!(given_back[0].contains("Final-Recipient: utf-8; j\\x{F6}rg@proved.example\r\n"));

    // An envelope alone in UTF-8: he is on a list, and she gets hers directly.
    let world = World::new().await;
    proved_without(&world, Lack::SmtpUtf8);
    let octets = format!(
        "From: jan@gemeente.example\r\nTo: eva@proved.example\r\nSubject: x\r\n\r\n{SECRET}\r\n"
    );
    let reply = world
        .submit(submission("", &["eva@proved.example", UTF8], &octets))
        .await;
    assert_eq!(reply.code(), 250, "{reply}");
    assert_eq!(world.got("eva@proved.example").len(), 1);
    assert_eq!(world.got(UTF8).len(), 0);
}

#[tokio::test]
async fn a_recipient_in_utf8_at_a_host_without_it_is_refused_at_once() {
    let world = World::new().await;
    proved_without(&world, Lack::SmtpUtf8);
    let reply = world.submit(message(&[UTF8])).await;
    assert!(reply.to_string().starts_with("550 5.6.7"), "{reply}");
    assert_eq!(world.vault.inner().count(), 0, "no notice could tell of it");
}

#[tokio::test]
async fn a_notice_that_no_host_can_take_is_told_to_the_sender_soon() {
    let world = World::new().await;
    let script = HostScript::ends(securemail_core::backend::SessionOutcome::NoStartTls(None));
    world.unsigned("open.example", "mx.open.example", script);
    let takes_no_letters = HostScript::takes().without(Lack::SmtpUtf8);
    world
        .transport
        .notice_host(&name("mx.open.example"), takes_no_letters);
    world.phone("j\u{f6}rg@open.example").await;
    world.submit(message(&["j\u{f6}rg@open.example"])).await;
    for _ in 0..4 {
        world.work_after(20 * MINUTE).await;
        world.sweep().await;
    }
    assert_eq!(world.vault.inner().count(), 1);
    let failed = EventName::ConsignmentNotificationFailure;
    assert_eq!(world.count(failed).await, 0, "anybody may have said so");
    let home = world.mails_home();
    assert_eq!(home.len(), 1, "{home:?}");
    assert!(home[0].contains("Not delivered yet"), "{}", home[0]);
    for _ in 0..6 {
        world.work_after(DAY).await;
    }
    assert_eq!(world.count(failed).await, 1);
}

#[tokio::test]
async fn requiretls_reaches_the_host_with_its_demand() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    let reply = world.submit(requiring_tls(&["eva@proved.example"])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    let got = world.got("eva@proved.example");
    assert_eq!(got[0].demands.require_tls, RequireTls::Always);
}

#[tokio::test]
async fn requiretls_that_no_host_promises_comes_back_and_never_goes_to_the_vault() {
    let world = World::new().await;
    proved_without(&world, Lack::RequireTls);
    let reply = world.submit(requiring_tls(&["eva@proved.example"])).await;
    assert!(reply.to_string().starts_with("550 5.7.30"), "{reply}");
    assert_eq!(world.vault.inner().count(), 0);
    let again = world.submit(message(&["eva@proved.example"])).await;
    assert_eq!(again.code(), 250, "without the demand it goes: {again}");
}

#[tokio::test]
async fn requiretls_to_a_domain_that_publishes_nothing_comes_back_with_a_report_that_demands_it() {
    let world = World::new().await;
    world.unsigned("open.example", "mx.open.example", HostScript::takes());
    world.phone("ole@open.example").await;
    let reply = world.submit(requiring_tls(&["ole@open.example"])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    world.work_after(20 * MINUTE).await;
    world.work().await;
    assert_eq!(world.got("ole@open.example").len(), 0);
    assert_eq!(world.vault.inner().count(), 0);
    let home = world.mails_home();
    assert_eq!(home.len(), 1, "{home:?}");
    assert!(home[0].contains("Status: 5.7.30"), "{}", home[0]);
    assert!(!home[0].contains(SECRET) && !home[0].contains("uw aanvraag"));
    let dsn = world.transport.delivered().pop().unwrap();
    assert_eq!(dsn.host, name(HOME));
    assert_eq!(dsn.demands.require_tls, RequireTls::IfOffered);
    // What was found out says nothing about messages without the demand.
    let reply = world.submit(message(&["ole@open.example"])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    assert_eq!(world.vault.inner().count(), 0, "it is confirmed anew");
}

#[tokio::test]
async fn a_repeat_that_demands_more_is_not_covered_by_what_demanded_less() {
    let world = World::new().await;
    proved_without(&world, Lack::RequireTls);
    assert_eq!(
        world.submit(message(&["eva@proved.example"])).await.code(),
        250
    );
    let reply = world.submit(requiring_tls(&["eva@proved.example"])).await;
    assert!(reply.to_string().starts_with("550 5.7.30"), "{reply}");
}

#[tokio::test]
async fn requiretls_waits_for_a_host_that_does_not_answer_and_then_comes_back() {
    let world = World::new().await;
    world
        .dns
        .dane(&name("silent.example"), &name("mx.silent.example"));
    world.submit(requiring_tls(&["eva@silent.example"])).await;
    for _ in 0..30 {
        world.work_after(DAY / 4).await;
    }
    assert_eq!(world.vault.inner().count(), 0);
    let home = world.mails_home();
    assert!(
        home.iter().any(|mail| mail.contains("Action: failed")),
        "{home:?}"
    );
}

#[tokio::test]
async fn a_header_that_is_no_utf8_is_refused() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    let mut latin = message(&["eva@proved.example"]);
    let octets =
        b"From: jan@gemeente.example\r\nTo: eva@proved.example\r\nSubject: caf\xe9\r\n\r\nx\r\n";
    latin.content = Arc::new(MemoryContent::new(Bytes::from_static(octets)));
    let reply = world.submit(latin).await;
    assert!(reply.to_string().starts_with("550 5.6.0"), "{reply}");
}

#[tokio::test]
async fn letters_in_the_headers_of_parts_are_found_and_those_in_bodies_are_not() {
    let multipart = |parts: &str| {
        format!(
            "Content-Type: multipart/mixed;\r\n boundary=\"b 1\"\r\n\r\npre\u{e9}\r\n{parts}--b 1--\r\nx: \u{e9}\r\n"
        )
    };
    let name = "Content-Disposition: attachment; filename=caf\u{e9}.pdf";
    let nested = format!(
        "--b 1\r\nContent-type: MULTIPART/alternative; boundary=two; x=y\r\n\r\n--two\r\n{name}\r\n\r\n--two--\r\n"
    );
    for (message, wanted) in [
        (multipart(&format!("--b 1\r\n{name}\r\n\r\nx\r\n")), true),
        (multipart(&nested), true),
        (
            multipart("--b 1\r\nContent-Type: message/rfc822\r\n\r\nSubject: caf\u{e9}\r\n\r\n"),
            true,
        ),
        (
            "Content-Type: message/global\r\n\r\nSubject: caf\u{e9}\r\n\r\n".to_owned(),
            true,
        ),
        (multipart("--b 1\r\n\r\nName: caf\u{e9}\r\n"), false),
        (multipart("--b 1\r\n\r\n-- \r\ncaf\u{e9}\r\n"), false),
        (
            "Content-Type: text/plain\r\n\r\n--b\r\nName: caf\u{e9}\r\n".to_owned(),
            false,
        ),
        ("Subject: x\r\n\r\nName: caf\u{e9}\r\n".to_owned(), false),
    ] {
        let octets = Bytes::from(message.clone());
        let view = HeaderView::parse(octets.clone()).unwrap();
        let found = has_utf8_below(&view, &MemoryContent::new(octets)).await;
        assert_eq!(found.unwrap(), wanted, "{message}");
    }
}
