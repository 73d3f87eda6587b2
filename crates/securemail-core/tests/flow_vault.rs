//! The vault way: confirmed first, told once; and what a sender may wish of it.

mod flow_world;

use flow_world::{DAY, HOUR, MINUTE, SECRET, World, address, message, message_with, name, text};
use securemail_core::backend::{
    Directory as _, KeyPurpose, KeyRef, KeyStore, SessionOutcome, Vault, Verdict,
};
use securemail_core::route::{PeerFailure, Route};
use securemail_core::vocab::{LookupFailure, Profile, RecordKind, Security};
use securemail_testkit::fakes::FixedScanner;
use securemail_testkit::scripted::HostScript;

const OLE: &str = "ole@open.example";
const EVA: &str = "eva@proved.example";
const OPEN: &str = "mx.open.example";

/// A domain whose host offers no TLS and takes notices, and one that is proved.
async fn world() -> World {
    let world = World::new().await;
    let plain = HostScript::ends(SessionOutcome::NoStartTls(None));
    world.unsigned("open.example", OPEN, plain);
    world
        .transport
        .notice_host(&name(OPEN), HostScript::takes());
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    world
}

fn notice(world: &World, place: usize) -> String {
    text(world.transport.notices()[place].mail.octets())
}

#[tokio::test]
async fn no_secure_path_is_confirmed_on_a_fresh_connection_before_the_vault() {
    let world = world().await;
    world.phone(OLE).await;
    assert_eq!(world.submit(message(&[OLE])).await.code(), 250);
    assert_eq!(world.transport.attempts(), 1);
    world.work_after(14 * MINUTE).await;
    assert_eq!(world.transport.attempts(), 1, "before its time");
    assert_eq!(world.vault.inner().count(), 0);
    world.work_after(2 * MINUTE).await;
    assert_eq!(world.vault.inner().count(), 1);
    let messages = world.transport.attempts() - 1;
    assert!(messages >= 1, "not asked again");
    assert_eq!(world.spool.inner().contents(), 0, "the spool keeps nothing");
    assert_eq!(world.transport.notices().len(), 1);
    let notice = notice(&world, 0);
    assert!(notice.contains("https://mail.example/m/"), "{notice}");
    for trace in [SECRET, "uw aanvraag", "m1@gemeente.example"] {
        assert!(!notice.contains(trace), "{trace} in {notice}");
    }
    assert!(world.mails_home().is_empty());
}

#[tokio::test]
async fn a_host_that_is_well_again_gets_the_message_after_all() {
    let world = world().await;
    assert_eq!(world.submit(message(&[OLE])).await.code(), 250);
    world.transport.host(&name(OPEN), HostScript::takes());
    world.work_after(16 * MINUTE).await;
    assert_eq!(world.got(OLE).len(), 1);
    assert_eq!(world.vault.inner().count(), 0);
}

#[tokio::test]
async fn without_a_number_the_sender_is_asked_and_the_recipient_told_nothing() {
    let world = world().await;
    assert_eq!(world.submit(message(&[OLE])).await.code(), 250);
    world.work_after(16 * MINUTE).await;
    assert_eq!(world.vault.inner().count(), 1);
    assert!(world.transport.notices().is_empty());
    let home = world.mails_home();
    assert_eq!(home.len(), 1);
    assert!(home[0].contains("https://mail.example/s/"), "{}", home[0]);
    assert!(!home[0].contains(SECRET));
}

#[tokio::test]
async fn a_scanner_that_requires_the_vault_gets_it() {
    let vault = FixedScanner(Some(Verdict::RequireVault));
    let world = World::with(|_| {}, std::sync::Arc::new(vault)).await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    world.phone(EVA).await;
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    assert_eq!(world.vault.inner().count(), 1);
    assert!(world.got(EVA).is_empty());
    world.work().await;
    assert_eq!(world.told(EVA).len(), 1, "the notice takes the proved way");
    let direct = message_with("X-Securemail-Delivery: direct\r\n", &[EVA]);
    let reply = world.submit(direct).await;
    assert_eq!(reply.code(), 550, "{reply}");
}

#[tokio::test]
async fn wishes_for_the_vault_are_granted_and_leave_no_trace() {
    let world = world().await;
    let fields = format!(
        "X-Securemail-Delivery: portal\r\nX-Securemail-Phone: {EVA}; +31 6 87654321\r\n\
         X-Securemail-Expires: P7D\r\nX-Securemail-Language: nl\r\n"
    );
    world.phone(EVA).await;
    assert_eq!(
        world.submit(message_with(&fields, &[EVA])).await.code(),
        250
    );
    world.work().await;
    assert!(world.got(EVA).is_empty());
    let told = world.told(EVA);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("eindigt op 21."),
        "the sender's number comes before the directory's"
    );
    assert!(told[0].contains("Content-Language: nl"), "{}", told[0]);
    let now = world.now();
    let vault = world.vault.inner();
    let early = vault.expired(now.plus(6 * DAY), 10).await.unwrap();
    let late = vault.expired(now.plus(8 * DAY), 10).await.unwrap();
    assert_eq!((early.len(), late.len()), (0, 1), "kept for a week");
}

/// The language of a message is that of its recipients; its sender reads that of the organisation.
#[tokio::test]
async fn the_sender_is_asked_in_the_language_of_the_organisation() {
    let world = world().await;
    let fields = "X-Securemail-Delivery: portal\r\nX-Securemail-Language: nl\r\n";
    let reply = world.submit(message_with(fields, &[EVA])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    world.work().await;
    let home = world.mails_home();
    assert_eq!(home.len(), 1);
    assert!(home[0].contains("Content-Language: en"), "{}", home[0]);
    assert!(home[0].contains("goes into the vault"), "{}", home[0]);
}

/// The flow of a tenant that wants tags in subjects read.
async fn tagging() -> World {
    let world = world().await;
    let tenant = securemail_core::vocab::Tenant {
        subject_tags: true,
        ..flow_world::tenant()
    };
    world.directory.put_tenant(&tenant).await.unwrap();
    world
}

/// A message with this subject.
fn titled(subject: &str, to: &[&str]) -> securemail_core::drive::Submission {
    let octets = format!(
        "From: Jan <jan@gemeente.example>\r\nTo: {}\r\nSubject: {subject}\r\n\
         Thread-Topic: {subject}\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\n{SECRET}\r\n",
        to.join(", ")
    );
    flow_world::submission("jan@gemeente.example", to, &octets)
}

#[tokio::test]
async fn wishes_in_the_subject_are_granted_and_leave_no_trace() {
    let world = tagging().await;
    let subject = "uw [Veilig] aanvraag [sms:+31 6 87654321] [keep:7d] [language:nl]";
    assert_eq!(world.submit(titled(subject, &[EVA])).await.code(), 250);
    world.work().await;
    assert!(world.got(EVA).is_empty(), "the vault was wished");
    let told = world.told(EVA);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("eindigt op 21."), "{}", told[0]);
    let now = world.now();
    let vault = world.vault.inner();
    assert_eq!(vault.expired(now.plus(8 * DAY), 10).await.unwrap().len(), 1);
    let subject = "[direct] [EXTERN] uw aanvraag [sms:+31687654321]";
    assert_eq!(world.submit(titled(subject, &[EVA])).await.code(), 250);
    let got = world.got(EVA);
    let mail = text(&got[0].octets);
    assert!(
        mail.contains("\r\nSubject: [EXTERN] uw aanvraag\r\n"),
        "{mail}"
    );
    assert!(
        mail.contains("\r\nThread-Topic: [EXTERN] uw aanvraag\r\n"),
        "{mail}"
    );
    assert!(!mail.contains("687654321"), "{mail}");
}

#[tokio::test]
async fn a_tag_that_cannot_be_read_refuses_and_a_field_stands_before_a_tag() {
    let world = tagging().await;
    for subject in [
        "[sms:0612345678] uitslag",
        "[sms:ole@open.example] uitslag",
        "[keep:91d] uitslag",
        "[taal:xx] uitslag",
        "[direct] [secure] uitslag",
        "[sms +31687654321] uitslag",
        "[sms=+31687654321] uitslag",
        "[sms:+31687654321 uitslag",
        "[sms:[+31687654321] uitslag",
        "[secure: yes] uitslag",
        "[registered=1] uitslag",
        "[keep 30d] uitslag",
        "[taal=nl] uitslag",
        "=?utf-8?q?=5Bsms=3A12=5D_uitslag?=",
        // A control character goes on as a space, and before it the tag was read.
        "[\u{16}secure] [direct] uitslag",
    ] {
        let reply = world.submit(titled(subject, &[EVA])).await;
        assert_eq!(reply.code(), 550, "{subject}: {reply}");
        assert!(!reply.text().contains("0612345678"), "{reply}");
        assert!(!reply.text().contains("87654321"), "{reply}");
    }
    let many = "[secure]".repeat(33);
    assert_eq!(world.submit(titled(&many, &[EVA])).await.code(), 550);
    let two = world
        .submit(titled("[sms:+31612345678] x", &[EVA, OLE]))
        .await;
    assert_eq!(two.code(), 550, "whose number is it? {two}");
    assert_eq!(world.transport.attempts(), 0);
    let fields = "Subject: [secure] x\r\nX-Securemail-Delivery: direct\r\n";
    let octets = format!(
        "From: Jan <jan@gemeente.example>\r\nTo: {EVA}\r\n{fields}\
         Date: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\n{SECRET}\r\n"
    );
    let direct = flow_world::submission("jan@gemeente.example", &[EVA], &octets);
    assert_eq!(world.submit(direct).await.code(), 250);
    assert_eq!(world.got(EVA).len(), 1);
}

#[tokio::test]
async fn without_the_setting_a_subject_is_left_alone() {
    let world = world().await;
    let subject = "[secure] [sms:12] uw aanvraag";
    assert_eq!(world.submit(titled(subject, &[EVA])).await.code(), 250);
    let mail = text(&world.got(EVA)[0].octets);
    assert!(
        mail.contains(&format!("\r\nSubject: {subject}\r\n")),
        "{mail}"
    );
}

#[tokio::test]
async fn a_number_that_the_sender_gives_waits_with_the_message() {
    let world = world().await;
    let fields = format!("X-Securemail-Phone: {OLE}; +31687654321\r\n");
    assert_eq!(
        world.submit(message_with(&fields, &[OLE])).await.code(),
        250
    );
    world.work_after(16 * MINUTE).await;
    assert!(
        world.mails_home().is_empty(),
        "the sender was asked for what they gave"
    );
    assert_eq!(world.transport.notices().len(), 1);
    assert!(
        notice(&world, 0).contains("ending in 21."),
        "{}",
        notice(&world, 0)
    );
}

#[tokio::test]
async fn wishes_do_not_leave_with_the_message() {
    let world = world().await;
    let fields = format!("X-Securemail-Phone: {EVA}; +31687654321\r\n");
    assert_eq!(
        world.submit(message_with(&fields, &[EVA])).await.code(),
        250
    );
    let mail = text(&world.got(EVA)[0].octets);
    assert!(!mail.contains("+31687654321"), "{mail}");
    assert!(
        !mail.to_lowercase().contains("\r\nx-securemail-phone"),
        "{mail}"
    );
}

#[tokio::test]
async fn a_wish_can_only_raise_the_profile() {
    let world = World::new().await;
    // Unsigned, and seen the same from elsewhere: enough for `standard`, not for `dane-only`.
    world.unsigned("plain.example", "mx.plain.example", HostScript::takes());
    for (wish, direct) in [("basic", true), ("standard", true), ("dane-only", false)] {
        let to = format!("{wish}@plain.example");
        let fields = format!("X-Securemail-Profile: {wish}\r\n");
        let reply = world.submit(message_with(&fields, &[&to])).await;
        assert_eq!(reply.code(), 250, "{reply}");
        world.work_after(20 * MINUTE).await;
        assert_eq!(world.got(&to).len() == 1, direct, "{wish}");
    }
    assert_eq!(world.vault.inner().count(), 1);
}

#[tokio::test]
async fn direct_or_back_never_the_vault() {
    let world = world().await;
    world.phone(OLE).await;
    let fields = "X-Securemail-Delivery: direct\r\n";
    assert_eq!(world.submit(message_with(fields, &[OLE])).await.code(), 250);
    for _ in 0..20 {
        world.work_after(8 * HOUR).await;
    }
    assert_eq!(world.vault.inner().count(), 0);
    assert!(world.got(OLE).is_empty());
    let home = world.mails_home();
    let failed = home.iter().filter(|mail| mail.contains("Action: failed"));
    assert_eq!(failed.count(), 1, "{home:?}");
}

#[tokio::test]
async fn a_wish_that_cannot_be_granted_is_refused() {
    let world = world().await;
    for fields in [
        "X-Securemail-Delivery: registered\r\n",
        "X-Securemail-Delivery: soon\r\n",
        "X-Securemail-Phone: eva@proved.example; 12\r\n",
        "X-Securemail-Phone: eva@proved.example; +31612345678\r\n\
         X-Securemail-Phone: Eva@proved.example; +31612345679\r\n",
        "X-Securemail-Colour: blue\r\n",
    ] {
        let reply = world.submit(message_with(fields, &[EVA])).await;
        assert_eq!(reply.code(), 550, "{fields}: {reply}");
        assert!(!reply.text().contains("eva@"), "{reply}");
    }
    assert_eq!(world.transport.attempts(), 0);
}

#[tokio::test]
async fn the_sender_hears_of_a_delay_once_after_four_hours() {
    let world = world().await;
    let wrong = HostScript::ends(SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch));
    world.transport.host(&name("mx.proved.example"), wrong);
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    for _ in 0..3 {
        world.work_after(HOUR).await;
    }
    assert!(world.mails_home().is_empty(), "too early");
    for _ in 0..12 {
        world.work_after(4 * HOUR).await;
    }
    let home = world.mails_home();
    assert_eq!(home.len(), 1, "{home:#?}");
    assert!(home[0].contains("Action: delayed"), "{}", home[0]);
    assert!(home[0].contains("Will-Retry-Until:"), "{}", home[0]);
    assert!(!home[0].contains(SECRET) && !home[0].contains("uw aanvraag"));
    world
        .transport
        .host(&name("mx.proved.example"), HostScript::takes());
    world.work_after(9 * HOUR).await;
    assert_eq!(world.got(EVA).len(), 1);
}

#[tokio::test]
async fn a_day_key_is_destroyed_when_nothing_of_its_day_can_be_left() {
    let world = world().await;
    world.phone(OLE).await;
    let day = world.now().as_secs() / 86_400;
    assert_eq!(world.submit(message(&[OLE])).await.code(), 250);
    let reference = day_key(day);
    assert!(world.keys.fetch(&reference).await.is_ok());
    world.work_after(20 * MINUTE).await;
    for _ in 0..6 {
        world.clock.advance(DAY);
        world.work().await;
        world.sweep().await;
    }
    assert!(world.keys.fetch(&reference).await.is_ok(), "too early");
    world.clock.advance(3 * DAY);
    world.sweep().await;
    assert!(
        world.keys.fetch(&reference).await.is_err(),
        "it is still there"
    );
    // The days after it are not touched, and mail goes on.
    world.transport.host(
        &name("mx.proved.example"),
        HostScript::says(flow_world::defers()),
    );
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    world.sweep().await;
    world
        .transport
        .host(&name("mx.proved.example"), HostScript::takes());
    world.work_after(HOUR).await;
    assert_eq!(world.got(EVA).len(), 1);
}

#[tokio::test]
async fn a_day_key_stays_while_anything_waits_under_it() {
    let world = world().await;
    let day = world.now().as_secs() / 86_400;
    let domain = name("proved.example");
    world
        .dns
        .fail(&domain, RecordKind::Mx, LookupFailure::Unusable);
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    for _ in 0..20 {
        world.work_after(DAY).await;
        world.sweep().await;
    }
    assert!(world.keys.fetch(&day_key(day)).await.is_ok());
    world.dns.dane(&domain, &name("mx.proved.example"));
    world.work_after(DAY).await;
    assert_eq!(world.got(EVA).len(), 1, "held for long, and not lost");
    world.clock.advance(9 * DAY);
    world.work().await;
    world.sweep().await;
    assert!(world.keys.fetch(&day_key(day)).await.is_err());
}

fn day_key(day: u64) -> KeyRef {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&day.to_be_bytes());
    KeyRef {
        tenant: flow_world::tenant().id,
        purpose: KeyPurpose::SpoolDay,
        id,
    }
}

#[tokio::test]
async fn a_route_can_be_considered_without_sending_anything() {
    let world = world().await;
    let (evidence, decision) = world
        .relay
        .consider(&name("proved.example"), Profile::DaneOnly)
        .await
        .unwrap();
    assert!(matches!(decision.route, Route::Deliver(_)), "{decision:?}");
    assert_eq!(evidence.domain, name("proved.example"));
    let (_, decision) = world
        .relay
        .consider(&name("open.example"), Profile::DaneOnly)
        .await
        .unwrap();
    assert!(!matches!(decision.route, Route::Deliver(_)), "{decision:?}");
    assert_eq!(world.transport.attempts(), 0);
    world.memory.down();
    let domain = name("proved.example");
    let unknown = world.relay.consider(&domain, Profile::Basic);
    assert!(unknown.await.is_err(), "no guess without memory");
}

#[tokio::test]
async fn at_rcpt_only_what_is_definite_is_refused() {
    let world = world().await;
    world.absent("absent.example");
    world.dns.put(
        &name("null.example"),
        RecordKind::Mx,
        securemail_core::vocab::Outcome::Mx(vec![securemail_core::vocab::Mx {
            preference: 0,
            target: securemail_core::vocab::MxTarget::Null,
        }]),
        Security::Secure,
    );
    let tenant = flow_world::tenant().id;
    for (to, code) in [
        (EVA, 250),
        (OLE, 250),
        ("a@absent.example", 550),
        ("a@null.example", 556),
    ] {
        let reply = world.relay.recipient(&tenant, &address(to)).await;
        assert_eq!(reply.code(), code, "{to}: {reply}");
    }
    world.memory.down();
    let reply = world
        .relay
        .recipient(&tenant, &address("a@absent.example"))
        .await;
    assert_eq!(reply.code(), 250, "asked again at the end of data: {reply}");
    world.directory.down();
    assert_eq!(
        world.relay.recipient(&tenant, &address(EVA)).await.code(),
        451
    );
}

#[tokio::test]
async fn words_in_brackets_that_only_begin_like_a_tag_stay() {
    let world = tagging().await;
    for (count, subject) in (1..).zip([
        "[secure mail list] hello",
        "[SMS campaign] hello",
        "[keep in mind] hello [direct",
        "[Taal en letteren] hello",
    ]) {
        assert_eq!(world.submit(titled(subject, &[EVA])).await.code(), 250);
        let mail = text(&world.got(EVA)[count - 1].octets);
        assert!(mail.contains(&format!("Subject: {subject}\r\n")), "{mail}");
    }
}
