//! `kill -9` at any moment, again and again, under load: what was acknowledged is not lost, and what
//! comes twice says so (promise P2).

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::smtp::Submitter;
use common::world::{World, contains};
use common::{PATIENCE, Place, TENANT, delivery, link_in, message, queue_id};
use securemail_core::backend::{AuditSink as _, DeliveryState, Spool as _};
use securemail_core::ledger::{self, EventName, Log};
use securemail_core::vocab::{DeliveryKey, UnixTime, VaultId};
use securemail_store_sqlite::SqliteStore;
use securemail_testkit::sink::{Conduct, Received, Sink};

/// Senders that are at it all the time.
const SUBMITTERS: usize = 12;
/// Rounds of the normal run.
const ROUNDS: usize = 12;
/// Whose server knows no TLS.
const JAN: &str = "jan@open.test";
/// What stands in front of a message that may have come before.
const MARK: &str = "X-Securemail-Possible-Duplicate:";

/// One message that was answered with 250.
#[derive(Clone, Debug)]
struct Taken {
    id: String,
    to: &'static str,
    reply: String,
}

/// What the senders share.
#[derive(Default)]
struct Load {
    enough: AtomicBool,
    resubmitted: AtomicUsize,
    taken: Mutex<Vec<Taken>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_relay_is_killed() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    // Shorter than what the slow server takes under load: some attempts go on in flight.
    place.set("route.budget", "\"3s\"");
    let mut relay = place.start();
    let load = Arc::new(Load::default());
    let senders: Vec<_> = (0..SUBMITTERS)
        .map(|number| tokio::spawn(send(number, relay.submitter(), load.clone())))
        .collect();
    let rounds = rounds();
    let mut random = seed();
    say(&format!("kills by seed {random}\n"));
    for _ in 0..rounds {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let life = Duration::from_millis(200 + (random >> 33) % 3_700);
        tokio::time::sleep(life).await;
        relay.kill();
        relay = place.start();
    }
    load.enough.store(true, Ordering::Relaxed);
    for sender in senders {
        let ended = sender.await;
        assert!(ended.is_ok(), "a sender gave up\n{}", relay.log());
    }
    let taken = load.taken.lock().unwrap().clone();
    let Drained { waiting, vaulted } = drain(&place, &world, &taken).await;
    told(&place, &world, &taken).await;
    let (marked, alone) = no_unmarked_copies(&[&world.proved, &world.slow]);
    drop(relay);
    let events = verified(&place.store().await).await;
    let report = format!(
        "{rounds} kills, {} messages acknowledged, {} resubmissions, {marked} marked copies ({alone} of them came alone), \
         {vaulted} in the vault, {waiting} unclear and still in the spool, {events} events\n",
        taken.len(),
        load.resubmitted.load(Ordering::Relaxed),
    );
    say(&report);
    // A run in which no kill hit anything shows nothing.
    assert!(
        load.resubmitted.load(Ordering::Relaxed) >= rounds / 2,
        "{report}"
    );
    assert!(taken.len() > rounds, "{report}");
    assert!(vaulted > 0, "{report}");
}

fn say(text: &str) {
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).unwrap();
}

/// The lease of an attempt is a minute, and so it is here: who comes after a killed process does not wait
/// for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_taken_at_once_by_the_process_that_comes_after() {
    let world = World::start().await;
    let place = Place::new(&world);
    let mut relay = place.start();
    world
        .slow
        .behave(Conduct::DelayAtDot(Duration::from_secs(600)));
    let to = "kim@slow.test";
    let content = message("one", to, "under load", "message one");
    let first = {
        let (submitter, content) = (relay.submitter(), content.clone());
        tokio::spawn(async move { submitter.submit(&[to], &content).await })
    };
    let begun = Instant::now();
    while world.slow.messages().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "it never came");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    relay.kill();
    assert!(first.await.unwrap().is_err(), "nobody may have answered");
    world.slow.behave(Conduct::Accept);
    let relay = place.start();
    let begun = Instant::now();
    let reply = relay.submitter().submit(&[to], &content).await.unwrap();
    assert!(reply.starts_with("250"), "{reply}\n{}", relay.log());
    assert!(begun.elapsed() < Duration::from_secs(45), "it waited");
    let last = world.slow.messages().pop().unwrap();
    assert!(contains(&last.data, MARK), "the first may have arrived");
}

#[expect(clippy::disallowed_methods, reason = "the long run is asked for so")]
fn rounds() -> usize {
    std::env::var("SECUREMAIL_KILL_ROUNDS")
        .ok()
        .map_or(ROUNDS, |text| text.parse().expect("a number of rounds"))
}

/// Other moments in each run, unless those of an earlier one are asked for.
#[expect(
    clippy::disallowed_methods,
    reason = "it is printed, and given back so"
)]
fn seed() -> u64 {
    if let Ok(text) = std::env::var("SECUREMAIL_KILL_SEED") {
        return text.parse().expect("a seed");
    }
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    u64::from(now.subsec_nanos()) ^ now.as_secs()
}

/// Sends one message after the other, each until it is acknowledged.
async fn send(number: usize, submitter: Submitter, load: Arc<Load>) {
    // Who waits for the slow server is hit by nearly every kill; the others go on in between.
    let recipients: &[&'static str] = match number % 3 {
        0 => &["kim@slow.test"],
        _ => &["eva@proved.test", JAN],
    };
    for n in 0.. {
        if load.enough.load(Ordering::Relaxed) {
            return;
        }
        let to = recipients[(number + n) % recipients.len()];
        let id = format!("{number}-{n}");
        let content = message(&id, to, "under load", &format!("message {id}"));
        let mut begun = Instant::now();
        let reply = loop {
            let last = match submitter.submit(&[to], &content).await {
                Ok(reply) if reply.starts_with("250") => break reply,
                Ok(reply) => {
                    assert!(reply.starts_with('4'), "{id}: {reply}");
                    reply
                }
                // The session broke: nobody knows whether it was taken.
                Err(error) => error.to_string(),
            };
            load.resubmitted.fetch_add(1, Ordering::Relaxed);
            // A machine that is slow may need all the time between two kills to start the relay.
            if !load.enough.load(Ordering::Relaxed) {
                begun = Instant::now();
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{id} to {to} is never taken: {last}"
            );
            tokio::time::sleep(Duration::from_millis(150)).await;
        };
        load.taken.lock().unwrap().push(Taken { id, to, reply });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Where what was acknowledged is in the end, but for what arrived.
struct Drained {
    /// In the spool: nobody knows whether it arrived.
    waiting: usize,
    vaulted: usize,
}

/// Waits until everything that was acknowledged is where it belongs. What a killed worker was at may have arrived,
/// and is not tried again for half an hour (class U); nothing else may wait.
async fn drain(place: &Place, world: &World, taken: &[Taken]) -> Drained {
    let (store, log) = (place.store().await, place.log().await);
    let mut open: Vec<&Taken> = taken.iter().collect();
    let mut drained = Drained {
        waiting: 0,
        vaulted: 0,
    };
    let begun = Instant::now();
    while drained.waiting < open.len() {
        let arrived = arrived(world);
        let mut left = Vec::new();
        drained.waiting = 0;
        for one in open {
            let key = delivery(&one.reply);
            let state = store.state(&key).await;
            match state {
                _ if arrived.contains(&one.id) => continue,
                Ok(DeliveryState::Vaulted) => {
                    assert_eq!(one.to, JAN, "diverted without a reason: {one:?}");
                    drained.vaulted += 1;
                    continue;
                }
                Ok(DeliveryState::Queued) if is_unclear(&store, &log, &key).await => {
                    drained.waiting += 1;
                }
                Ok(DeliveryState::Queued) => {
                    store.wake(&key, UnixTime::from_secs(0)).await.unwrap();
                }
                _ => {}
            }
            if begun.elapsed() > PATIENCE {
                let events = place.relay(&["events", "--config", "{}", queue_id(&one.reply)]);
                assert!(
                    matches!(state, Ok(DeliveryState::Queued)),
                    "lost: {one:?}, {state:?}\n{}",
                    events.out
                );
                let is_unclear = is_unclear(&store, &log, &key).await;
                assert!(is_unclear, "nobody is at it: {one:?}\n{}", events.out);
            }
            left.push(one);
        }
        open = left;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for one in &open {
        let key = delivery(&one.reply);
        let content = store.content(&key.tenant, key.queue).await;
        assert!(content.is_ok(), "queued without content: {one:?}");
    }
    for notice in world.open.messages() {
        assert!(
            !contains(&notice.data, "under load"),
            "a notice has the subject"
        );
    }
    drained
}

/// Whether its host may have it, and did not say so.
async fn is_unclear(store: &SqliteStore, log: &Log, key: &DeliveryKey) -> bool {
    let events = store.of_message(&key.tenant, key.queue).await.unwrap();
    let mut names = events.iter().map(|event| log.read(event).unwrap().name);
    names.any(|name| name == EventName::RelayUnconfirmed)
}

/// Waits until Jan was told of each message that the vault has for him, by one link each. A message that
/// was lost and handed in again has the link of its first attempt.
async fn told(place: &Place, world: &World, taken: &[Taken]) {
    let store = place.store().await;
    let begun = Instant::now();
    let mut was_so = false;
    loop {
        let links: BTreeSet<String> = world
            .open
            .messages()
            .iter()
            .filter_map(|mail| link_in(&mail.data))
            .collect();
        let mut vaulted = Vec::new();
        for one in taken {
            let state = store.state(&delivery(&one.reply)).await;
            if matches!(state, Ok(DeliveryState::Vaulted)) {
                vaulted.push(one);
            }
        }
        let is_so = links.len() == vaulted.len();
        if is_so && was_so {
            return;
        }
        if begun.elapsed() > PATIENCE {
            let untold = vaulted.iter().find(|one| {
                let id = VaultId::of(&delivery(&one.reply)).to_string();
                !links.iter().any(|link| link.contains(id.as_str()))
            });
            let events = untold.map(|one| {
                let queue = queue_id(&one.reply);
                place.relay(&["events", "--config", "{}", queue]).out
            });
            panic!(
                "{} messages have {} notices: {untold:?}\n{}",
                vaulted.len(),
                links.len(),
                events.unwrap_or_default()
            );
        }
        // Once more after a second: nothing may come that nobody waits for.
        was_so = is_so;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The Message-IDs of everything that arrived somewhere.
fn arrived(world: &World) -> BTreeSet<String> {
    let mut all = world.proved.messages();
    all.extend(world.slow.messages());
    let ids = all.iter().map(id_of);
    ids.filter_map(|id| Some(id.split_once('@')?.0.to_owned()))
        .collect()
}

/// Of each message one copy at most is without a mark; gives the number of those with one, and how many
/// of these were the only copy.
fn no_unmarked_copies(sinks: &[&Sink]) -> (usize, usize) {
    let mut copies: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for mail in sinks.iter().flat_map(|sink| sink.messages()) {
        copies
            .entry(id_of(&mail))
            .or_default()
            .push(contains(&mail.data, MARK));
    }
    for (id, marks) in &copies {
        let unmarked = marks.iter().filter(|marked| !**marked).count();
        assert!(unmarked <= 1, "{id} came {unmarked} times without a mark");
    }
    let marked = copies.values().flatten().filter(|marked| **marked).count();
    let alone = copies.values().filter(|marks| marks[..] == [true]).count();
    (marked, alone)
}

fn id_of(mail: &Received) -> String {
    let text = String::from_utf8_lossy(&mail.data);
    let id = text.split_once("Message-ID: <").expect("a Message-ID").1;
    id.split_once('>').unwrap().0.to_owned()
}

/// The chain of events holds; gives their number.
async fn verified(store: &SqliteStore) -> usize {
    let tenant = TENANT.parse().unwrap();
    let mut all = Vec::new();
    loop {
        let page = store.page(&tenant, all.len() as u64, 1000).await.unwrap();
        if page.events.is_empty() {
            assert_eq!(page.size, all.len() as u64);
            break;
        }
        all.extend(page.events);
    }
    ledger::verify(&all).expect("the chain of events is broken");
    all.len()
}
