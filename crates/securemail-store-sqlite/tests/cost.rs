//! Calls share commits, and what waits costs nothing.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Disk, NOW, event, item, queue};
use securemail_core::StoreError;
use securemail_core::backend::{Due, DueMail, Settlement, Spool};
use securemail_testkit::conformance::{Pattern, block_on, sealed};

#[test]
fn calls_that_wait_together_share_one_commit() {
    block_on(async {
        let disk = Disk::default();
        let store = Arc::new(disk.store());
        store.commit(item(7, sealed(b"sealed")), NOW).await.unwrap();
        let before = commits(&disk.path("store.db-wal"));
        let other = rusqlite::Connection::open(disk.path("store.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut running = Vec::new();
        for n in 0..100 {
            let store = store.clone();
            running.push(tokio::spawn(async move {
                let content = Pattern {
                    size: 4096,
                    seed: n,
                }
                .sealed();
                store.commit(item(n, content), NOW).await
            }));
        }
        // All have reached the writer, and none can go on.
        tokio::time::sleep(Duration::from_secs(2)).await;
        other.execute_batch("ROLLBACK").unwrap();
        for (n, one) in (0..).zip(running) {
            let committed = one.await.unwrap();
            // One that was there already does not fail the others.
            match n {
                7 => assert!(matches!(committed, Err(StoreError::AlreadyExists))),
                _ => assert!(committed.is_ok(), "{n}: {committed:?}"),
            }
        }
        let shared = commits(&disk.path("store.db-wal")) - before;
        assert!((1..=3).contains(&shared), "99 items took {shared} commits");
    });
}

/// How many transactions a write-ahead log holds: frames that say how large the database is now
/// (SQLite file format, section 4.1).
fn commits(wal: &Path) -> usize {
    const FRAME: usize = 24 + 4096;
    let octets = std::fs::read(wal).unwrap();
    let salts = &octets[16..24];
    let frames = octets[32..].chunks_exact(FRAME);
    frames
        .filter(|frame| frame[4..8] != [0; 4] && frame[8..16] == *salts)
        .count()
}

#[test]
fn leasing_costs_the_same_with_a_backlog() {
    block_on(async {
        let disks = [Disk::default(), Disk::default()];
        let stores = disks.each_ref().map(Disk::store);
        for store in &stores {
            store.commit(item(1, sealed(b"sealed")), NOW).await.unwrap();
        }
        park(&disks[1].path("store.db"), 50_000);
        // In turn, so that both meet a machine that is busy.
        let [mut empty, mut full] = [Duration::MAX; 2];
        for _ in 0..20 {
            empty = empty.min(round(&stores[0]).await);
            full = full.min(round(&stores[1]).await);
        }
        assert!(
            full < empty * 5,
            "{empty:?} became {full:?} with 50,000 waiting"
        );
    });
}

/// Adds deliveries that are not due for a long time.
fn park(path: &Path, count: u32) {
    let db = rusqlite::Connection::open(path).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let sql =
        "INSERT INTO deliveries (tenant, queue, recipient, state, fence, since, due, sealed_state)
               VALUES ('acme', ?1, 0, 2, 0, 0, 9000000000000000000, x'00')";
    let mut add = db.prepare(sql).unwrap();
    for n in 0..count {
        add.execute([queue(1_000_000 + u64::from(n)).as_bytes()])
            .unwrap();
    }
    db.execute_batch("COMMIT").unwrap();
}

/// The time of a lease, its settlement, a wake, and forgetting.
async fn round(store: &impl Spool) -> Duration {
    let begun = Instant::now();
    let leased = store
        .lease_due(DueMail::All, NOW, Duration::from_secs(60), 10)
        .await
        .unwrap();
    let [one] = &leased[..] else {
        panic!("one is due, not {}", leased.len());
    };
    let sealed_state = b"state".to_vec();
    let due = Due::WhenWoken;
    let settlement = Settlement::Deferred { due, sealed_state };
    store
        .settle(&one.lease, settlement, vec![event(1)], NOW)
        .await
        .unwrap();
    store.wake(&one.lease.delivery, NOW).await.unwrap();
    store.forget_ended(NOW).await.unwrap();
    begun.elapsed()
}
