//! The relay ends when it is told, whatever hosts do meanwhile.

mod common;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::world::World;
use common::{Place, eventually, message};

/// Whose host takes connections and never says a word.
const MUTE: &str = "jan@mismatch.test";

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_never_speaks_does_not_keep_the_relay_from_its_end() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    place.set("route.budget", "\"1s\"");
    let host = (world.host(12), world.port);
    drop(world.mismatch);
    let listener = eventually("its place", || TcpListener::bind(host).ok()).await;
    let connected = Arc::new(AtomicUsize::new(0));
    let counted = connected.clone();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for connection in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            kept.push(connection);
        }
    });
    let relay = place.start();
    let letter = message("mute", MUTE, "a subject", "a body");
    let reply = relay.submitter().submit(&[MUTE], &letter).await.unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    // The first is of the sender's budget, the second of a retry, which would wait for five minutes.
    eventually("a retry", || {
        (connected.load(Ordering::SeqCst) >= 2).then_some(())
    })
    .await;
    let begun = Instant::now();
    let ended = relay.stop();
    assert!(ended.success(), "{ended}");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(90), "{took:?}");
}
