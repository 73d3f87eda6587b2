//! Several handles, as several processes have them, share one database and one vault.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::{Disk, NOW, event, item, queue};
use securemail_core::StoreError;
use securemail_core::backend::{
    AuditSink, Budget, Claim, Directory, DueMail, Intent, Pickups, ResubmissionKey, Settlement,
    Spent, Spool, Vault,
};
use securemail_core::ledger::verify;
use securemail_core::vocab::{DeliveryKey, KeyedHash, QueueId, TenantId, VaultId, VaultKey};
use securemail_store_sqlite::{FileVault, OpenError, SqliteKeyStore, SqliteStore};
use securemail_testkit::conformance::{Pattern, block_on, sealed};

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

const MINUTE: Duration = Duration::from_secs(60);

/// The numbers of deliveries that are due now, for a lease of a minute.
async fn due(store: &SqliteStore) -> Vec<QueueId> {
    let leased = store
        .lease_due(DueMail::All, NOW, MINUTE, 10)
        .await
        .unwrap();
    leased.iter().map(|one| one.lease.delivery.queue).collect()
}

#[test]
fn leases_of_who_is_gone_end_at_once_and_leases_of_others_stay() {
    block_on(async {
        let disk = Disk::default();
        let (gone, other) = (disk.store(), disk.store());
        for n in 0..2 {
            gone.commit(item(n, sealed(b"sealed")), NOW).await.unwrap();
        }
        let first = gone
            .lease_due(DueMail::All, NOW, MINUTE, 1)
            .await
            .unwrap()
            .remove(0);
        gone.open_dot(&first.lease).await.unwrap();
        let second = other
            .lease_due(DueMail::All, NOW, MINUTE, 1)
            .await
            .unwrap()
            .remove(0);
        let intents = [intent(7, 1), intent(8, 2)];
        let [lost, kept] = intents.map(|intent| vec![intent]);
        assert!(matches!(
            gone.intend(lost, NOW, MINUTE).await.unwrap()[..],
            [Claim::Granted { .. }]
        ));
        assert!(matches!(
            other.intend(kept, NOW, MINUTE).await.unwrap()[..],
            [Claim::Granted { .. }]
        ));
        let beside = disk.store();
        assert!(due(&beside).await.is_empty(), "both live");
        drop(gone);
        let next = disk.store();
        let again = next.lease_due(DueMail::All, NOW, MINUTE, 10).await.unwrap();
        assert_eq!(again.len(), 1, "one ended, one lives");
        assert_eq!(again[0].lease.delivery, first.lease.delivery);
        assert!(again[0].unsettled, "its dot was open");
        // Nobody can settle under what ended, and everybody under what did not.
        let late = next
            .settle(&first.lease, Settlement::Sent, vec![], NOW)
            .await;
        assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
        other
            .settle(&second.lease, Settlement::Sent, vec![], NOW)
            .await
            .unwrap();
        // A repeat is granted where its first holder is gone, and says so; else it joins.
        next.forget_ended(NOW).await.unwrap();
        let repeats = vec![intent(17, 1), intent(18, 2)];
        let claims = next.intend(repeats, NOW, MINUTE).await.unwrap();
        let [Claim::Granted { lost, .. }, Claim::Earlier(_)] = &claims[..] else {
            panic!("{claims:?}");
        };
        assert_eq!(*lost, Some(intent(7, 1).delivery));
    });
}

fn intent(n: u64, submission: u8) -> Intent {
    Intent {
        delivery: DeliveryKey {
            tenant: acme(),
            queue: queue(n),
            recipient: 0,
        },
        resubmission: Some(ResubmissionKey(KeyedHash::from_bytes([submission; 32]))),
        events: Vec::new(),
    }
}

#[test]
fn handles_share_budgets() {
    block_on(async {
        let disk = Disk::default();
        let mut running = Vec::new();
        for handle in (0..3).map(|_| Arc::new(disk.store())) {
            for _ in 0..4 {
                let pickups = handle.clone();
                running.push(tokio::spawn(async move {
                    let budget = [Budget {
                        of: KeyedHash::from_bytes([7; 32]),
                        most: 5,
                        window: Duration::from_secs(3600),
                    }];
                    pickups.spend(&acme(), &budget, NOW).await.unwrap()
                }));
            }
        }
        let (mut granted, mut first) = (0, 0);
        for one in running {
            match one.await.unwrap() {
                Spent::Granted => granted += 1,
                Spent::Refused { first: true, .. } => first += 1,
                Spent::Refused { .. } => {}
            }
        }
        assert_eq!((granted, first), (5, 1), "of twelve");
    });
}

#[test]
fn handles_share_leases_and_one_chain() {
    block_on(async {
        let disk = Disk::default();
        let handles: Vec<_> = (0..3).map(|_| Arc::new(disk.store())).collect();
        for n in 0..60 {
            handles[0]
                .commit(item(n, sealed(b"sealed")), NOW)
                .await
                .unwrap();
        }
        let mut workers = Vec::new();
        for handle in handles.iter().chain(&handles) {
            let spool = handle.clone();
            workers.push(tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let leased = spool
                        .lease_due(DueMail::All, NOW, Duration::from_secs(60), 4)
                        .await
                        .unwrap();
                    if leased.is_empty() {
                        return mine;
                    }
                    for one in leased {
                        let events = vec![event(1)];
                        spool
                            .settle(&one.lease, Settlement::Sent, events, NOW)
                            .await
                            .unwrap();
                        mine.push(one.lease.delivery.queue);
                    }
                }
            }));
        }
        let mut given = Vec::new();
        for worker in workers {
            given.extend(worker.await.unwrap());
        }
        assert_eq!(given.len(), 60);
        assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 60);
        let page = handles[2].page(&acme(), 0, 999).await.unwrap();
        assert_eq!(page.events.len(), 120);
        verify(&page.events).unwrap();
        handles[1].check().await.unwrap();
    });
}

#[test]
fn opening_takes_nothing_from_a_handle_that_writes() {
    block_on(async {
        let disk = Disk::default();
        let vault = FileVault::open(&disk.path("vault")).unwrap();
        let store = disk.store();
        let mut running = Vec::new();
        for n in 0..6_u8 {
            let (vault, store) = (vault.clone(), store.clone());
            running.push(tokio::spawn(async move {
                let body = Pattern {
                    size: 2_000_000,
                    seed: n.into(),
                }
                .sealed();
                vault.store(&vault_key(n), NOW, &body).await.unwrap();
                store.commit(item(n.into(), body), NOW).await.unwrap();
            }));
        }
        while !running.iter().all(tokio::task::JoinHandle::is_finished) {
            FileVault::open(&disk.path("vault")).unwrap();
            drop(disk.store());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for one in running {
            one.await.unwrap();
        }
        for n in 0..6_u8 {
            vault.open(&vault_key(n)).await.unwrap();
            store.content(&acme(), queue(n.into())).await.unwrap();
        }
    });
}

fn vault_key(n: u8) -> VaultKey {
    VaultKey {
        tenant: acme(),
        id: VaultId::from_bytes([n; 16]),
    }
}

#[test]
fn what_a_killed_writer_left_is_swept() {
    block_on(async {
        let disk = Disk::default();
        let body = Pattern {
            size: 600_000,
            seed: 1,
        }
        .sealed();
        let store = disk.store();
        store.commit(item(1, body.clone()), NOW).await.unwrap();
        drop(FileVault::open(&disk.path("vault")).unwrap());
        let left = disk.path("store.db-contents").join("acme").join("left.0");
        let half = disk.path("vault").join("incoming").join("acme.00.0");
        for path in [&left, &half] {
            std::fs::write(path, b"half").unwrap();
        }
        drop(store);
        drop(FileVault::open(&disk.path("vault")).unwrap());
        let store = disk.store();
        assert!(!left.exists() && !half.exists(), "left behind");
        store
            .content(&acme(), queue(1))
            .await
            .expect("what is named stays");
    });
}

#[test]
fn another_kind_or_a_newer_schema_is_refused() {
    let disk = Disk::default();
    drop(disk.store());
    let store = disk.path("store.db");
    assert!(matches!(
        SqliteKeyStore::open(&store),
        Err(OpenError::Kind(_))
    ));
    let newer = disk.path("newer.db");
    drop(common::open(&newer));
    let db = rusqlite::Connection::open(&newer).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    let opened = SqliteStore::open(&newer, common::settings());
    assert!(matches!(opened, Err(OpenError::Newer { found: 99, .. })));
    std::fs::write(disk.path("text"), vec![b'x'; 9000]).unwrap();
    let opened = SqliteStore::open(&disk.path("text"), common::settings());
    assert!(matches!(opened, Err(OpenError::Database(_))), "{opened:?}");
}

#[test]
fn addresses_and_numbers_stand_nowhere_in_clear() {
    block_on(async {
        let disk = Disk::default();
        let store = disk.store();
        let recipient = "bob.example@example.net".parse().unwrap();
        let number = "+31600000001".parse().unwrap();
        store.put_phone(&acme(), &recipient, &number).await.unwrap();
        for entry in std::fs::read_dir(disk.dir()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
                assert!(!text.contains("bob.example") && !text.contains("31600000001"));
            }
        }
        assert_eq!(
            store.phone(&acme(), &recipient).await.unwrap(),
            Some(number)
        );
    });
}

#[test]
fn a_record_under_another_key_is_damage_not_absence() {
    block_on(async {
        let disk = Disk::default();
        let recipient = "bob@example.net".parse().unwrap();
        let number = "+31600000001".parse().unwrap();
        disk.store()
            .put_phone(&acme(), &recipient, &number)
            .await
            .unwrap();
        let db = rusqlite::Connection::open(disk.path("store.db")).unwrap();
        db.execute("UPDATE phones SET sealed = x'0102'", [])
            .unwrap();
        let found = disk.store().phone(&acme(), &recipient).await;
        assert!(matches!(found, Err(StoreError::Corrupt(_))), "{found:?}");
    });
}
