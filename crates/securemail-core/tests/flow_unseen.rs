//! P7 over the whole flow: the tenant's log, notices and reminders in it, does not tell when a message
//! was opened.

mod flow_world;

use std::net::IpAddr;

use flow_world::{DAY, MINUTE, World, message, name, text};
use securemail_core::backend::SessionOutcome;
use securemail_core::drive::pickup::{CodeRequested, Verified};
use securemail_core::ledger::{EventName, PersonalPart};
use securemail_core::pickup::LinkSecret;
use securemail_core::vocab::{UnixTime, VaultId};
use securemail_testkit::scripted::HostScript;

const OLE: &str = "ole@open.example";
const OPEN: &str = "mx.open.example";

/// A message for Ole lies in the vault, and he has the notice.
async fn notified() -> World {
    let world = World::new().await;
    let plain = HostScript::ends(SessionOutcome::NoStartTls(None));
    world.unsigned("open.example", OPEN, plain);
    world
        .transport
        .notice_host(&name(OPEN), HostScript::takes());
    world.phone(OLE).await;
    assert_eq!(world.submit(message(&[OLE])).await.code(), 250);
    world.work_after(16 * MINUTE).await;
    assert_eq!(world.transport.notices().len(), 1);
    world
}

async fn opens(world: &World) {
    let client: IpAddr = [192, 0, 2, 1].into();
    // Without the soft line breaks of quoted-printable (RFC 2045, section 6.7).
    let notice = text(world.transport.notices()[0].mail.octets()).replace("=\r\n", "");
    let (_, rest) = notice.split_once("https://mail.example/m/").unwrap();
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || "/-_".contains(c)))
        .unwrap();
    let (id, secret) = rest[..end].split_once('/').unwrap();
    let (id, link): (VaultId, _) = (id.parse().unwrap(), LinkSecret::parse(secret).unwrap());
    let pickups = world.relay.pickups().clone();
    let asked = pickups.request_code(id, &link, client).await.unwrap();
    assert!(matches!(asked, CodeRequested::Sent { .. }));
    let sent = world
        .notifier
        .sent()
        .last()
        .unwrap()
        .text
        .expose()
        .to_owned();
    let code = sent.rsplit('#').next().unwrap().trim();
    let verified = pickups.verify(id, &link, code, client).await.unwrap();
    assert!(matches!(verified, Verified::Open(_)), "{verified:?}");
}

async fn events(world: &World) -> Vec<(u64, UnixTime, EventName, PersonalPart)> {
    let log = world.log().await.into_iter();
    log.map(|event| (event.position, event.time, event.name, event.personal))
        .collect()
}

async fn a_day(world: &World) {
    world.work_after(DAY).await;
    world.sweep().await;
    world.work().await;
}

#[tokio::test]
async fn reminders_and_ends_do_not_tell_the_tenant_when_it_was_opened() {
    let (never, opened) = (notified().await, notified().await);
    for day in 1..30 {
        a_day(&never).await;
        if day == 2 {
            opens(&opened).await;
        }
        a_day(&opened).await;
        assert_eq!(events(&opened).await, events(&never).await, "day {day}");
    }
    assert_eq!(opened.vault.inner().count(), 0);
    assert_eq!(never.vault.inner().count(), 1);
    let notices = |world: &World| world.transport.notices().len();
    assert_eq!((notices(&opened), notices(&never)), (1, 3));
    let delivered = EventName::NotificationDelivered;
    assert_eq!(never.count(delivered).await, 1, "the first notice");
    for world in [&never, &opened] {
        a_day(world).await;
        a_day(world).await;
    }
    assert_eq!(opened.count(EventName::Destroyed).await, 1);
    assert_eq!(never.count(EventName::ContentHandoverFailure).await, 1);
}
