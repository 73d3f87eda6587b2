//! What an observer is told: every answer, session, hold and end, once.

mod flow_world;

use flow_world::{DAY, HOUR, World, defers, message, message_with, refuses};
use securemail_core::backend::{AttemptKind, End, Fact, ItemClass, SessionOutcome};
use securemail_core::route::{DeferClass, PeerFailure};
use securemail_testkit::scripted::HostScript;

const EVA: &str = "eva@proved.example";
const HOST: &str = "mx.proved.example";

fn ends(world: &World) -> Vec<End> {
    let facts = world.observer.facts().into_iter();
    facts
        .filter_map(|fact| match fact {
            Fact::Ended { end, .. } => Some(end),
            _ => None,
        })
        .collect()
}

fn has(world: &World, wanted: impl Fn(&Fact) -> bool) -> usize {
    world
        .observer
        .facts()
        .iter()
        .filter(|fact| wanted(fact))
        .count()
}

#[tokio::test]
async fn a_message_that_is_handed_over_is_answered_tried_and_ended_once() {
    let world = World::new().await;
    world.proved("proved.example", HOST, HostScript::takes());
    world.submit(message(&[EVA])).await;
    assert_eq!(ends(&world), [End::Delivered]);
    assert_eq!(
        has(&world, |f| *f == Fact::Attempted(AttemptKind::Answered)),
        1
    );
    assert_eq!(
        has(&world, |f| matches!(f, Fact::Answered { code: 250, .. })),
        1
    );
    assert_eq!(world.observer.facts().len(), 3);
}

#[tokio::test]
async fn what_is_refused_in_the_session_is_no_bounce() {
    let world = World::new().await;
    world.proved("proved.example", HOST, HostScript::says(refuses()));
    world.submit(message(&[EVA])).await;
    assert_eq!(ends(&world), [End::Refused]);
    assert_eq!(
        has(&world, |f| matches!(f, Fact::Answered { code: 550, .. })),
        1
    );
}

#[tokio::test]
async fn what_waits_is_held_and_its_end_tells_how_long_it_took() {
    let world = World::new().await;
    world.proved("proved.example", HOST, HostScript::says(defers()));
    world.submit(message(&[EVA])).await;
    assert_eq!(has(&world, |f| *f == Fact::Held(DeferClass::Transient)), 1);
    assert_eq!(ends(&world), []);
    world.proved("proved.example", HOST, HostScript::takes());
    world.work_after(HOUR).await;
    let took = world
        .observer
        .facts()
        .into_iter()
        .find_map(|fact| match fact {
            Fact::Ended { end, after } => Some((end, after)),
            _ => None,
        });
    let (end, after) = took.unwrap();
    assert_eq!(end, End::Delivered);
    assert!((HOUR..2 * HOUR).contains(&after), "{after:?}");
}

#[tokio::test]
async fn failures_of_tls_are_told_by_kind_and_bounces_as_bounces() {
    let world = World::new().await;
    let wrong = SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch);
    world.proved("proved.example", HOST, HostScript::ends(wrong));
    world.submit(message(&[EVA])).await;
    assert!(has(&world, |f| *f == Fact::Attempted(AttemptKind::TlsaMismatch)) >= 1);
    assert!(has(&world, |f| *f == Fact::Held(DeferClass::Suspicious)) >= 1);
    for _ in 0..6 {
        world.work_after(DAY).await;
    }
    assert_eq!(ends(&world), [End::Bounced]);
    let told = Fact::OwnMail {
        class: ItemClass::SenderMail,
        taken: true,
    };
    assert!(has(&world, |f| *f == told) >= 1);
}

#[tokio::test]
async fn what_goes_into_the_vault_ends_there_and_its_notice_is_told() {
    let world = World::new().await;
    let host = HostScript::ends(SessionOutcome::NoStartTls(None));
    world.unsigned("open.example", "mx.open.example", host);
    let host = flow_world::name("mx.open.example");
    world.transport.notice_host(&host, HostScript::takes());
    world.phone("kim@open.example").await;
    let fields = "Message-ID: <m9@gemeente.example>\r\n";
    world
        .submit(message_with(fields, &["kim@open.example"]))
        .await;
    for _ in 0..3 {
        world.work_after(HOUR).await;
    }
    assert_eq!(ends(&world), [End::Vaulted]);
    let told = Fact::OwnMail {
        class: ItemClass::Notice,
        taken: true,
    };
    assert_eq!(has(&world, |f| *f == told), 1);
}
