//! A row that is not as it was written harms itself alone.

mod common;

use std::time::Duration;

use common::{Disk, NOW, item, queue};
use rusqlite::Connection;
use securemail_core::backend::{DueMail, Spool};
use securemail_core::vocab::{QueueId, UnixTime};
use securemail_store_sqlite::SqliteStore;
use securemail_testkit::conformance::{block_on, sealed};

const MINUTE: Duration = Duration::from_secs(60);

/// What happens to a row, and what mends it.
const DAMAGES: [(&str, &str); 4] = [
    (
        "UPDATE deliveries SET fence = -1",
        "UPDATE deliveries SET fence = 0",
    ),
    (
        "UPDATE deliveries SET recipient = 70000",
        "UPDATE deliveries SET recipient = 0",
    ),
    ("UPDATE items SET class = 9", "UPDATE items SET class = 1"),
    (
        "UPDATE items SET tenant = 'a/b'; UPDATE deliveries SET tenant = 'a/b'",
        "UPDATE items SET tenant = 'acme'; UPDATE deliveries SET tenant = 'acme'",
    ),
];

async fn leased(store: &SqliteStore, now: UnixTime, limit: usize) -> Vec<QueueId> {
    let leased = store.lease_due(DueMail::All, now, MINUTE, limit).await;
    let leased = leased.unwrap().into_iter();
    leased.map(|one| one.lease.delivery.queue).collect()
}

#[test]
fn a_damaged_delivery_waits_and_the_others_go() {
    for (damage, repair) in DAMAGES {
        block_on(async {
            let disk = Disk::default();
            let store = disk.store();
            let db = Connection::open(disk.path("store.db")).unwrap();
            db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
            store.commit(item(1, sealed(b"sealed")), NOW).await.unwrap();
            db.execute_batch(damage).unwrap();
            store.commit(item(2, sealed(b"sealed")), NOW).await.unwrap();
            // The first is due no later than the second, and takes the only place just once.
            assert!(leased(&store, NOW, 1).await.is_empty(), "{damage}");
            assert_eq!(leased(&store, NOW, 1).await, [queue(2)], "{damage}");
            assert!(leased(&store, NOW, 9).await.is_empty(), "{damage}");
            let later = NOW.plus(MINUTE);
            assert_eq!(leased(&store, later, 9).await, [queue(2)], "{damage}");
            assert!(store.oldest().await.unwrap().is_some(), "{damage}");
            db.execute("DELETE FROM deliveries WHERE rowid = 2", [])
                .unwrap();
            db.execute_batch(repair).unwrap();
            let later = later.plus(MINUTE);
            assert_eq!(leased(&store, later, 9).await, [queue(1)], "{damage}");
        });
    }
}

#[test]
fn a_delivery_without_its_item_waits_too() {
    block_on(async {
        let disk = Disk::default();
        let store = disk.store();
        let db = Connection::open(disk.path("store.db")).unwrap();
        db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        for n in [1, 2] {
            store.commit(item(n, sealed(b"sealed")), NOW).await.unwrap();
        }
        let lost = queue(1);
        db.execute("DELETE FROM items WHERE queue = ?1", [lost.as_bytes()])
            .unwrap();
        assert_eq!(leased(&store, NOW, 9).await, [queue(2)]);
        let due = "SELECT due FROM deliveries WHERE queue = ?1";
        let due: i64 = db
            .query_row(due, [lost.as_bytes()], |row| row.get(0))
            .unwrap();
        let later = NOW.plus(MINUTE).as_secs() * 1000;
        assert_eq!(due, i64::try_from(later).unwrap(), "it is put off");
    });
}
