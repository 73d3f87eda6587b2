//! What ends a notice, or a mail to a sender: a proved refusal, or time. Never a word of somebody on the way.

mod flow_world;

use flow_world::{
    DAY, HOME, HOUR, MINUTE, SECRET, World, message, message_with, name, passes, refuses,
    submission, tenant, text,
};
use securemail_core::backend::{Directory as _, Lack, RecipientOutcome, SessionOutcome, Verdict};
use securemail_core::ledger::EventName;
use securemail_core::vocab::Tenant;
use securemail_testkit::fakes::FixedScanner;
use securemail_testkit::scripted::{HostScript, reply};

const OLE: &str = "ole@open.example";
const EVA: &str = "eva@proved.example";
const OPEN: &str = "mx.open.example";

/// A domain whose host offers no TLS: whoever is on the way speaks for it.
async fn world() -> World {
    let world = World::with(|_| {}, passes()).await;
    let plain = HostScript::ends(SessionOutcome::NoStartTls(None));
    world.unsigned("open.example", OPEN, plain);
    world.phone(OLE).await;
    world
}

fn says_no() -> HostScript {
    HostScript::says(RecipientOutcome::Refused(reply(
        550,
        "5.1.1 no such mailbox",
    )))
}

/// The message is in the vault, and its notice met `script`.
async fn noticed(world: &World, script: HostScript, to: &str) {
    world.transport.notice_host(&name(OPEN), script);
    // The recipient is written in another language than the organisation's.
    let fields = "X-Securemail-Language: nl\r\n";
    assert_eq!(world.submit(message_with(fields, &[to])).await.code(), 250);
    world.work_after(16 * MINUTE).await;
    assert_eq!(world.vault.inner().count(), 1);
    assert_eq!(world.transport.notices().len(), 1);
}

#[tokio::test]
async fn a_refusal_that_nobody_proved_is_told_once_and_tried_again() {
    let world = world().await;
    noticed(&world, says_no(), OLE).await;
    let home = world.mails_home();
    assert_eq!(home.len(), 1, "the sender hears it at once: {home:?}");
    for said in [
        OLE,
        "Action: delayed",
        "Will-Retry-Until:",
        "no such mailbox",
        "Check the address",
        "Content-Language: en",
    ] {
        assert!(home[0].contains(said), "{said} in {}", home[0]);
    }
    assert!(!home[0].contains(SECRET));
    for _ in 0..20 {
        world.work_after(HOUR).await;
        world.sweep().await;
    }
    let tries = world.transport.notices().len();
    assert!((6..=12).contains(&tries), "{tries} tries in a day");
    assert_eq!(world.mails_home().len(), 1, "and once");
    let failed = EventName::ConsignmentNotificationFailure;
    assert_eq!(world.count(failed).await, 0);
    world
        .transport
        .notice_host(&name(OPEN), HostScript::takes());
    world.work_after(5 * HOUR).await;
    assert_eq!(world.count(EventName::NotificationDelivered).await, 1);
    world.work_after(5 * DAY).await;
    world.sweep().await;
    world.work().await;
    assert_eq!(world.transport.notices().len(), tries + 1);
    assert_eq!(world.mails_home().len(), 1);
}

#[tokio::test]
async fn a_refusal_that_nobody_proved_ends_a_notice_when_its_time_is_over() {
    let world = world().await;
    noticed(&world, says_no(), OLE).await;
    for _ in 0..6 {
        world.work_after(DAY).await;
    }
    let failed = EventName::ConsignmentNotificationFailure;
    assert_eq!(world.count(failed).await, 1);
    world.clock.advance(MINUTE);
    world.sweep().await;
    world.work().await;
    let home = world.mails_home();
    assert_eq!(home.len(), 2, "{home:#?}");
    assert!(home[1].contains("was not reached"), "{}", home[1]);
    let tries = world.transport.notices().len();
    world.work_after(DAY).await;
    assert_eq!(world.transport.notices().len(), tries, "it is over");
}

#[tokio::test]
async fn a_proved_refusal_of_a_notice_ends_it_at_once() {
    let vault = FixedScanner(Some(Verdict::RequireVault));
    let world = World::with(|_| {}, std::sync::Arc::new(vault)).await;
    world.proved("proved.example", "mx.proved.example", says_no());
    world.phone(EVA).await;
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    world.work().await;
    assert_eq!(world.transport.attempts(), 1);
    let failed = EventName::ConsignmentNotificationFailure;
    assert_eq!(world.count(failed).await, 1);
    world.clock.advance(MINUTE);
    world.sweep().await;
    world.work().await;
    let home = world.mails_home();
    assert_eq!(home.len(), 1, "{home:#?}");
    assert!(home[0].contains("was not reached"), "{}", home[0]);
}

#[tokio::test]
async fn a_message_whose_link_is_forgotten_outlives_a_refusal_that_nobody_proved() {
    let world = world().await;
    let forgets = Tenant {
        forget_link: true,
        ..tenant()
    };
    world.directory.put_tenant(&forgets).await.unwrap();
    noticed(&world, says_no(), OLE).await;
    for _ in 0..4 {
        world.work_after(DAY).await;
        world.sweep().await;
        assert_eq!(
            world.vault.inner().count(),
            1,
            "somebody's 550 destroyed it"
        );
    }
    world.work_after(2 * DAY).await;
    world.sweep().await;
    assert_eq!(world.vault.inner().count(), 0, "its time is over");
}

#[tokio::test]
async fn letters_that_somebody_cut_out_of_a_greeting_end_no_notice() {
    let world = world().await;
    let jose = "josé@open.example";
    world.phone(jose).await;
    let without = HostScript::takes().without(Lack::SmtpUtf8);
    noticed(&world, without, jose).await;
    let home = world.mails_home();
    assert_eq!(home.len(), 1, "{home:#?}");
    assert!(home[0].contains("Status: 4.6.7"), "{}", home[0]);
    world
        .transport
        .notice_host(&name(OPEN), HostScript::takes());
    world.work_after(5 * HOUR).await;
    assert_eq!(world.count(EventName::NotificationDelivered).await, 1);
}

#[tokio::test]
async fn a_refused_reminder_says_nothing_to_the_sender() {
    let world = world().await;
    noticed(&world, HostScript::takes(), OLE).await;
    world.transport.notice_host(&name(OPEN), says_no());
    for _ in 0..25 {
        world.work_after(DAY).await;
        world.sweep().await;
    }
    assert!(world.transport.notices().len() > 1, "no reminder went out");
    let home = world.mails_home();
    let delayed = home.iter().filter(|mail| mail.contains("Action: delayed"));
    assert_eq!(delayed.count(), 0, "{home:#?}");
}

#[tokio::test]
async fn a_refusal_that_nobody_proved_ends_no_mail_to_a_sender() {
    let world = World::new().await;
    let late = HostScript {
        answers_at_dot: true,
        ..HostScript::says(refuses())
    };
    let late = late.after(std::time::Duration::ZERO, 25 * flow_world::SECOND);
    world.proved("proved.example", "mx.proved.example", late);
    // The sender's own domain publishes nothing, and its host offers no TLS.
    let home = "mx.buiten.example";
    let plain = HostScript::ends(SessionOutcome::NoStartTls(None));
    world.unsigned("gemeente.example", home, plain);
    world.transport.notice_host(&name(home), says_no());
    let octets = text(
        b"From: Jan <jan@gemeente.example>\r\nTo: eva@proved.example\r\n\
        Subject: x\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\nx\r\n",
    );
    let mail = submission("jan@gemeente.example", &[EVA], &octets);
    assert_eq!(world.submit(mail).await.code(), 250);
    world.idle().await;
    world.work_after(MINUTE).await;
    world.work_after(HOUR).await;
    assert!(!world.transport.notices().is_empty(), "{HOME} was asked");
    world
        .transport
        .notice_host(&name(home), HostScript::takes());
    world.work_after(5 * HOUR).await;
    let not_informed = EventName::SenderNotInformed;
    assert_eq!(world.count(not_informed).await, 0, "given up");
    let last = world.transport.notices().pop().unwrap();
    assert!(text(last.mail.octets()).contains("Something needs you"));
    let tries = world.transport.notices().len();
    world.work_after(5 * HOUR).await;
    assert_eq!(world.transport.notices().len(), tries, "it arrived");
}
