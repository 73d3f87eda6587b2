//! What was reached and not settled is settled, never decided anew: wherever a process ends, and whatever its
//! stores refuse, a message has one end, its recipient hears once, and the log says the same.

mod flow_world;

use std::collections::BTreeSet;
use std::time::Duration;

use flow_world::{
    DAY, HOUR, MINUTE, SECOND, World, defers, is_marked, message, message_with, name, refuses, text,
};
use securemail_core::backend::{Pickups as _, SessionOutcome};
use securemail_core::drive::Submission;
use securemail_core::ledger::EventName;
use securemail_core::vocab::UnixTime;
use securemail_testkit::outage::{Fault, Trip};
use securemail_testkit::scripted::HostScript;

const EVA: &str = "eva@proved.example";
const MX: &str = "mx.proved.example";
const OLE: &str = "ole@open.example";
const OPEN: &str = "mx.open.example";

/// How often a longest chain of acts is looked at before it must have ended.
const CALLS_MAX: usize = 200;

/// All stores fail for some time, or one does once.
const TROUBLES: [(&str, Trouble); 2] = [("from", Trip::fail_after), ("at", Trip::fail_once_after)];

type Trouble = fn(&Trip, usize);

/// Ole's host offers no TLS, and his number is known; Eva's is proved.
async fn world() -> World {
    let world = World::new().await;
    let plain = HostScript::ends(SessionOutcome::NoStartTls(None));
    world.unsigned("open.example", OPEN, plain);
    world
        .transport
        .notice_host(&name(OPEN), HostScript::takes());
    world.phone(OLE).await;
    world.proved("proved.example", MX, HostScript::takes());
    world
}

/// The vault is what the second look will say; the host is well again after that.
async fn about_to_be_diverted() -> World {
    let world = world().await;
    assert_eq!(world.submit(message(&[OLE])).await.code(), 250);
    world.clock.advance(16 * MINUTE);
    world
}

/// Of the next message to Ole the vault is decided at once.
async fn known_to_prove_nothing() -> World {
    let world = about_to_be_diverted().await;
    world.work().await;
    assert_eq!(world.vault.inner().count(), 1);
    assert_eq!(world.notices(), 1);
    world
}

fn second_message() -> Submission {
    message_with("Message-ID: <m2@gemeente.example>\r\n", &[OLE])
}

impl World {
    /// Notices to Ole, proved or not.
    fn notices(&self) -> usize {
        let unproved = self.transport.notices();
        let unproved = unproved.iter().map(|notice| text(notice.mail.octets()));
        // A store that fails behind the dot makes a second copy of one notice, which harms nobody.
        let ids = unproved.chain(self.told(OLE)).map(|notice| {
            let id = notice.lines().find(|line| line.starts_with("Message-ID:"));
            id.unwrap().to_owned()
        });
        ids.collect::<BTreeSet<_>>().len()
    }

    /// Ole's host proves itself from here on; all that is left of the past gets its time.
    async fn heals(&self) {
        self.transport.host(&name(OPEN), HostScript::takes());
        for _ in 0..6 {
            self.clock.advance(16 * MINUTE);
            self.sweep().await;
            self.work().await;
        }
    }

    /// Works until a call to a store hangs, and dies there. Says whether one did.
    async fn works_and_dies(&mut self, calls: usize) -> bool {
        self.trip.hang_after(calls);
        let relay = self.relay.clone();
        let task = tokio::spawn(async move { relay.work_once().await });
        self.pass(5 * SECOND).await;
        self.dies(task).await
    }

    async fn dies<T>(&mut self, task: tokio::task::JoinHandle<T>) -> bool {
        task.abort();
        drop(task.await);
        self.crash().await;
        self.trip.disarm()
    }

    /// Ole has a copy or a notice of each of `messages` messages. The log says the same, and nothing is left.
    async fn ole_has_one_end(&self, messages: usize, what: &str) {
        let (copies, notices) = (self.got(OLE).len(), self.notices());
        assert_eq!(
            copies + notices,
            messages,
            "{copies} copies, {notices} notices, {what}"
        );
        assert_eq!(
            self.count(EventName::RelayToNonErds).await,
            copies,
            "{what}"
        );
        let consigned = self.sealed_as_logged().await;
        assert_eq!(consigned, notices, "{what}");
        assert_eq!(self.spool.inner().contents(), 0, "{what}");
    }

    /// How often the log says that something was sealed into the vault.
    async fn sealed_as_logged(&self) -> usize {
        let consigned = self.logged(EventName::ContentConsignment).await;
        let sealed = |event: &&securemail_core::ledger::ReadEvent| {
            event
                .fact(securemail_core::ledger::Fact::ContentDigest)
                .is_some()
        };
        consigned.iter().filter(sealed).count()
    }
}

#[tokio::test]
async fn what_is_in_the_vault_does_not_go_directly_when_its_settlement_failed() {
    let world = about_to_be_diverted().await;
    world.spool.fail("settle", Fault::Unavailable);
    world.work().await;
    world.spool.up();
    assert_eq!(world.vault.inner().count(), 1, "it was deposited");
    world.heals().await;
    assert!(world.got(OLE).is_empty(), "a copy beside the notice");
    world.ole_has_one_end(1, "").await;
    assert_eq!(
        world.count(EventName::Decision).await,
        2,
        "to wait, and the vault"
    );
}

#[tokio::test]
async fn a_worker_that_dies_anywhere_leaves_one_end() {
    for calls in 0..CALLS_MAX {
        let mut world = about_to_be_diverted().await;
        let died = world.works_and_dies(calls).await;
        world.heals().await;
        world
            .ole_has_one_end(1, &format!("died after {calls} calls"))
            .await;
        if !died {
            assert!(calls > 15, "{calls} calls are too few");
            return;
        }
    }
    panic!("it never comes to its end");
}

#[tokio::test]
async fn stores_that_fail_from_anywhere_on_leave_one_end() {
    for (from, trouble) in TROUBLES {
        let mut ended = None;
        for calls in 0..CALLS_MAX {
            let world = about_to_be_diverted().await;
            trouble(&world.trip, calls);
            world.work().await;
            let failed = world.trip.disarm();
            world.heals().await;
            let what = format!("failed {from} call {calls}");
            world.ole_has_one_end(1, &what).await;
            if !failed {
                ended = Some(calls);
                break;
            }
        }
        let enough = ended.is_some_and(|calls| calls > 15);
        assert!(enough, "{from}: ended after {ended:?} calls");
    }
}

#[tokio::test]
async fn a_session_that_dies_anywhere_leaves_one_end_to_its_repeat() {
    for calls in 0..CALLS_MAX {
        let mut world = known_to_prove_nothing().await;
        world.trip.hang_after(calls);
        let relay = world.relay.clone();
        let task = tokio::spawn(async move { relay.submit(second_message()).await });
        world.pass(5 * SECOND).await;
        let died = world.dies(task).await;
        world.transport.host(&name(OPEN), HostScript::takes());
        world.clock.advance(16 * MINUTE);
        assert_eq!(world.submit(second_message()).await.code(), 250);
        world.heals().await;
        world
            .ole_has_one_end(2, &format!("died after {calls} calls"))
            .await;
        if !died {
            assert!(calls > 15, "{calls} calls are too few");
            return;
        }
    }
    panic!("it never comes to its end");
}

#[tokio::test]
async fn a_session_whose_stores_fail_from_anywhere_on_leaves_one_end() {
    for (from, trouble) in TROUBLES {
        let mut ended = None;
        for calls in 0..CALLS_MAX {
            let world = known_to_prove_nothing().await;
            trouble(&world.trip, calls);
            let reply = world.submit(second_message()).await;
            let failed = world.trip.disarm();
            let what = format!("failed {from} call {calls}: {reply}");
            world.transport.host(&name(OPEN), HostScript::takes());
            if reply.code() != 250 {
                assert!((400..500).contains(&reply.code()), "{what}");
                world.clock.advance(16 * MINUTE);
                let reply = world.submit(second_message()).await;
                assert_eq!(reply.code(), 250, "{what}, then {reply}");
            }
            world.heals().await;
            world.ole_has_one_end(2, &what).await;
            if !failed {
                ended = Some(calls);
                break;
            }
        }
        let enough = ended.is_some_and(|calls| calls > 15);
        assert!(enough, "{from}: ended after {ended:?} calls");
    }
}

/// Eva's host says "later" and then no: her sender is told, or she gets it, and never both.
#[tokio::test]
async fn a_worker_that_dies_while_it_gives_back_does_not_deliver_as_well() {
    for calls in 0..CALLS_MAX {
        let mut world = world().await;
        world.transport.host(&name(MX), HostScript::says(defers()));
        assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
        world.transport.host(&name(MX), HostScript::says(refuses()));
        world.clock.advance(HOUR);
        let died = world.works_and_dies(calls).await;
        world.transport.host(&name(MX), HostScript::takes());
        world.heals().await;
        let (copies, failed) = (world.got(EVA).len(), world.mails_home().len());
        let what = format!("died after {calls} calls");
        assert_eq!(
            copies + failed,
            1,
            "{copies} copies, {failed} reports, {what}"
        );
        assert_eq!(
            world.count(EventName::RelayToNonErds).await,
            copies,
            "{what}"
        );
        let told = world.count(EventName::RelayToNonErdsFailure).await;
        assert_eq!(told, failed, "{what}");
        assert_eq!(
            world.count(EventName::SenderInformed).await,
            failed,
            "{what}"
        );
        assert_eq!(world.spool.inner().contents(), 0, "{what}");
        if !died {
            assert!(calls > 8, "{calls} calls are too few");
            return;
        }
    }
    panic!("it never comes to its end");
}

#[tokio::test]
async fn what_was_deposited_is_settled_however_its_pickup_ended_meanwhile() {
    let month = 31 * DAY;
    for after in [MINUTE, month] {
        let mut world = about_to_be_diverted().await;
        world.spool.hold("settle");
        assert!(!world.works_and_dies(usize::MAX).await);
        world.spool.up();
        // The sweep tells Ole, and destroys what he does not come for.
        world.clock.advance(MINUTE);
        world.sweep().await;
        world.clock.advance(after);
        world.sweep().await;
        let ever = UnixTime::from_secs(u64::MAX / 1_000_000);
        let left = world.pickups.due(ever, 10).await.unwrap().len();
        assert_eq!(left, usize::from(after != month), "the record is gone");
        world.heals().await;
        assert!(world.got(OLE).is_empty(), "a copy after {after:?}");
        assert!(world.notices() >= 1, "{after:?}");
        assert_eq!(world.sealed_as_logged().await, 1, "{after:?}");
        assert_eq!(world.spool.inner().contents(), 0, "{after:?}");
    }
}

#[tokio::test]
async fn a_deposit_that_was_not_complete_is_decided_anew() {
    let world = about_to_be_diverted().await;
    world.vault.fail("store", Fault::Full);
    world.work().await;
    world.vault.up();
    world.heals().await;
    assert_eq!(world.got(OLE).len(), 1, "nobody knows of a pickup");
    world.ole_has_one_end(1, "").await;
    for _ in 0..100 {
        world.clock.advance(DAY);
        world.sweep().await;
        world.work().await;
    }
    assert_eq!(world.notices(), 0);
    assert!(world.mails_home().is_empty());
}

/// A vault without room for longer than its messages are kept: they wait, and are not lost with their
/// first keys.
#[tokio::test]
async fn a_vault_that_is_full_for_longer_than_retention_loses_nothing() {
    for pause in [HOUR, 25 * HOUR] {
        let world = world().await;
        let fields = "Message-ID: <m1@gemeente.example>\r\nX-Securemail-Expires: P1D\r\n";
        assert_eq!(world.submit(message_with(fields, &[OLE])).await.code(), 250);
        world.vault.fail("store", Fault::Full);
        world.work_after(16 * MINUTE).await;
        let mut waited = Duration::ZERO;
        while waited < 4 * DAY {
            world.clock.advance(pause);
            waited += pause;
            world.sweep().await;
            world.work().await;
        }
        world.vault.up();
        world.sweep().await;
        world.work_after(HOUR).await;
        world.sweep().await;
        world.work().await;
        assert_eq!(world.vault.inner().count(), 1, "it is lost, {pause:?}");
        assert_eq!(world.notices(), 1, "{pause:?}");
        assert_eq!(world.spool.inner().contents(), 0, "{pause:?}");
    }
}

/// The record of the pickup cannot be written right after the log's entry.
#[tokio::test]
async fn a_deposit_is_logged_once_whatever_fails_behind_its_entry() {
    let world = about_to_be_diverted().await;
    world.pickups.fail("replace", Fault::Unavailable);
    world.work().await;
    world.work_after(HOUR).await;
    world.pickups.up();
    assert_eq!(world.sealed_as_logged().await, 1);
    world.work_after(HOUR).await;
    world.ole_has_one_end(1, "").await;
}

const MAX: &str = "max@full.example";
const LIZ: &str = "liz@late.example";

/// One message to four: Eva's host takes it, Max's refuses, Liz's says "later", and Ole's proves nothing.
async fn four_ways() -> (World, Submission) {
    let world = known_to_prove_nothing().await;
    let refuses = HostScript::says(refuses());
    world.proved("full.example", "mx.full.example", refuses);
    let defers = HostScript::says(defers());
    world.proved("late.example", "mx.late.example", defers);
    (world, to_all())
}

fn to_all() -> Submission {
    let fields = "Message-ID: <m3@gemeente.example>\r\n";
    message_with(fields, &[EVA, MAX, OLE, LIZ])
}

impl World {
    /// The sender keeps the message until it is taken; then every host can prove itself. `repeated` says
    /// that it may have been taken before.
    async fn is_repeated_until_taken(&self, repeated: bool, what: &str) {
        for _ in 0..5 {
            self.clock.advance(16 * MINUTE);
            let reply = self.submit(to_all()).await;
            if reply.code() == 250 {
                break;
            }
            assert!((400..500).contains(&reply.code()), "{what}: {reply}");
        }
        self.ends_well(repeated, what).await;
    }

    async fn ends_well(&self, repeated: bool, what: &str) {
        self.transport
            .host(&name("mx.late.example"), HostScript::takes());
        self.heals().await;
        self.work_after(9 * HOUR).await;
        for to in [EVA, LIZ] {
            let got = self.got(to);
            let unmarked = got.iter().filter(|mail| !is_marked(&mail.octets)).count();
            assert!(!got.is_empty(), "{to} has nothing, {what}");
            assert!(unmarked <= 1, "{to} has two unmarked copies, {what}");
        }
        assert!(self.got(MAX).is_empty(), "{what}");
        let home = self.mails_home();
        let failed = home.iter().filter(|mail| mail.contains("Action: failed"));
        assert!(failed.clone().all(|mail| mail.contains(MAX)), "{what}");
        // What was given back and is handed in again is tried again.
        let reports = 1..=1 + usize::from(repeated);
        let count = failed.count();
        assert!(reports.contains(&count), "{count} reports on Max, {what}");
        let (copies, notices) = (self.got(OLE).len(), self.notices() - 1);
        assert_eq!(
            copies + notices,
            1,
            "{copies} copies, {notices} notices, {what}"
        );
        assert_eq!(self.spool.inner().contents(), 0, "{what}");
    }
}

#[tokio::test]
async fn a_session_that_dies_anywhere_loses_nobody_of_many() {
    for calls in 0..CALLS_MAX {
        let (mut world, to_all) = four_ways().await;
        world.trip.hang_after(calls);
        let relay = world.relay.clone();
        let task = tokio::spawn(async move { relay.submit(to_all).await });
        world.pass(5 * SECOND).await;
        let died = world.dies(task).await;
        let what = format!("died after {calls} calls");
        world.is_repeated_until_taken(true, &what).await;
        if !died {
            assert!(calls > 20, "{calls} calls are too few");
            return;
        }
    }
    panic!("it never comes to its end");
}

#[tokio::test]
async fn a_session_with_a_store_that_fails_once_anywhere_loses_nobody_of_many() {
    for calls in 0..CALLS_MAX {
        let (world, to_all) = four_ways().await;
        world.trip.fail_once_after(calls);
        let reply = world.submit(to_all).await;
        let failed = world.trip.disarm();
        let what = format!("failed at call {calls}: {reply}");
        if reply.code() == 250 {
            world.ends_well(false, &what).await;
        } else {
            world.is_repeated_until_taken(false, &what).await;
        }
        if !failed {
            assert!(calls > 20, "{calls} calls are too few");
            return;
        }
    }
    panic!("it never comes to its end");
}

#[tokio::test]
async fn a_worker_that_dies_while_it_hands_over_leaves_no_second_copy_unmarked() {
    for calls in 0..CALLS_MAX {
        let mut world = world().await;
        world.transport.host(&name(MX), HostScript::says(defers()));
        assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
        world.transport.host(&name(MX), HostScript::takes());
        world.clock.advance(HOUR);
        let died = world.works_and_dies(calls).await;
        world.heals().await;
        world.work_after(9 * HOUR).await;
        let what = format!("died after {calls} calls");
        let got = world.got(EVA);
        let unmarked = got.iter().filter(|mail| !is_marked(&mail.octets)).count();
        assert!(
            !got.is_empty() && unmarked <= 1,
            "{} copies, {what}",
            got.len()
        );
        assert_eq!(world.spool.inner().contents(), 0, "{what}");
        if !died {
            assert!(calls > 8, "{calls} calls are too few");
            return;
        }
    }
    panic!("it never comes to its end");
}

#[tokio::test]
async fn a_worker_that_dies_anywhere_asks_for_a_number_once() {
    for calls in 0..CALLS_MAX {
        let mut world = World::new().await;
        let plain = HostScript::ends(SessionOutcome::NoStartTls(None));
        world.unsigned("open.example", OPEN, plain);
        assert_eq!(world.submit(message(&[OLE])).await.code(), 250);
        world.clock.advance(16 * MINUTE);
        let died = world.works_and_dies(calls).await;
        world.heals().await;
        let what = format!("died after {calls} calls");
        let (copies, asked) = (world.got(OLE).len(), world.mails_home().len());
        assert_eq!(
            copies + asked,
            1,
            "{copies} copies, {asked} questions, {what}"
        );
        assert_eq!(world.count(EventName::PhoneMissing).await, asked, "{what}");
        assert_eq!(world.sealed_as_logged().await, asked, "{what}");
        assert_eq!(world.spool.inner().contents(), 0, "{what}");
        if !died {
            assert!(calls > 15, "{calls} calls are too few");
            return;
        }
    }
    panic!("it never comes to its end");
}
