//! On a disk that is really full nothing is half done, and what was begun can be written down.

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Disk, NOW, event, item, queue};
use securemail_core::StoreError;
use securemail_core::backend::{
    AuditSink, Claim, DueMail, Intent, KeyPurpose, KeyRef, KeyStore, Lease, Settlement, Spool,
    Vault, WrappedKey,
};
use securemail_core::vocab::{DeliveryKey, TenantId, VaultId, VaultKey};
use securemail_store_sqlite::{FileVault, SqliteKeyStore, SqliteStore};
use securemail_testkit::conformance::{Pattern, block_on};

const DIR: &str = "SECUREMAIL_FULL_DISK_TEST_DIR";
const MINUTE: Duration = Duration::from_secs(60);

/// Mounts a small file system in a mount namespace of its own, and runs the other test on it.
#[test]
fn a_full_disk_loses_nothing() {
    let disk = Disk::default();
    let script = "mount -t tmpfs -o size=12m tmpfs \"$1\" && echo mounted && exec \"$2\" \
                  --exact child_fills_its_disk --nocapture";
    let run = |options: &[&str]| {
        let output = Command::new("unshare")
            .args(options)
            .args(["sh", "-c", script, "sh"])
            .arg(disk.dir())
            .arg(std::env::current_exe().unwrap())
            .env(DIR, disk.dir())
            .output();
        output.expect("`unshare` of util-linux is needed")
    };
    let mut output = run(&["--mount"]);
    if !output.stdout.starts_with(b"mounted") {
        output = run(&["--map-root-user", "--mount"]);
    }
    let said = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let (told, complained) = (said(&output.stdout), said(&output.stderr));
    assert!(
        told.starts_with("mounted"),
        "cannot mount a tmpfs: run as root, or allow user namespaces\n{complained}"
    );
    assert!(output.status.success(), "{told}\n{complained}");
    assert!(
        told.contains("everything held"),
        "the child did nothing: {told}"
    );
}

/// Not a test of its own: what happens on the small disk.
#[test]
fn child_fills_its_disk() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the parent tells its child where the disk is"
    )]
    let Ok(dir) = std::env::var(DIR) else {
        return;
    };
    block_on(fill(Path::new(&dir)));
    std::io::stdout().write_all(b"everything held\n").unwrap();
}

async fn fill(dir: &Path) {
    let settings = common::settings().with_reserve(2 << 20);
    let store = SqliteStore::open(&dir.join("store.db"), settings).unwrap();
    let keys = SqliteKeyStore::open(&dir.join("keys.db")).unwrap();
    let vault = FileVault::open(&dir.join("vault")).unwrap();
    for n in 0..20 {
        store
            .commit(
                item(
                    n,
                    Pattern {
                        size: 3_000,
                        seed: n,
                    }
                    .sealed(),
                ),
                NOW,
            )
            .await
            .unwrap();
        keys.put(&key_ref(n), &wrapped(n)).await.unwrap();
    }
    let leased = store
        .lease_due(DueMail::All, NOW, MINUTE, 20)
        .await
        .unwrap();
    let intents = (100..120).map(intent).collect();
    let claims = store.intend(intents, NOW, MINUTE).await.unwrap();

    let refused = commit_until_full(&store).await;
    refused_left_nothing(&store, refused, dir).await;
    large_content_is_refused(&store, &vault, dir).await;
    let filler = take_all_room(dir);
    let mut n = 1_000;
    while store.intend(vec![intent(n)], NOW, MINUTE).await.is_ok() {
        n += 1;
        assert!(n < 50_000, "intents never were refused");
    }

    for one in &leased {
        settle(&store, &one.lease).await;
    }
    for claim in &claims {
        let Claim::Granted { lease, .. } = claim else {
            panic!("not granted");
        };
        settle(&store, lease).await;
    }
    let newer = store.intend(vec![intent(9_000_000)], NOW, MINUTE).await;
    assert!(
        matches!(newer, Err(StoreError::Full)),
        "admitted into the reserve: {newer:?}"
    );
    for n in 0..20 {
        keys.erase(&key_ref(n)).await.expect("erase on a full disk");
    }
    store.check().await.unwrap();

    fs::remove_file(filler).unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let again = store.intend(vec![intent(9_000_001)], NOW, MINUTE).await;
    assert!(again.is_ok(), "room was made: {again:?}");
}

async fn commit_until_full(store: &SqliteStore) -> u64 {
    for n in 200..400 {
        match store
            .commit(
                item(
                    n,
                    Pattern {
                        size: 150_000,
                        seed: n,
                    }
                    .sealed(),
                ),
                NOW,
            )
            .await
        {
            Ok(_) => {}
            Err(StoreError::Full) => return n,
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the disk never was full");
}

async fn refused_left_nothing(store: &SqliteStore, n: u64, dir: &Path) {
    let state = store.state(&delivery(n)).await;
    assert!(matches!(state, Err(StoreError::NotFound)), "{state:?}");
    let content = store.content(&acme(), queue(n)).await;
    assert!(matches!(content, Err(StoreError::NotFound)), "{content:?}");
    let events = store.of_message(&acme(), queue(n)).await.unwrap();
    assert_eq!(events, []);
    assert!(
        dir.join("store.db-reserve").exists(),
        "new items took the reserve"
    );
}

async fn large_content_is_refused(store: &SqliteStore, vault: &FileVault, dir: &Path) {
    let large = Pattern {
        size: 9_000_000,
        seed: 1,
    }
    .sealed();
    let committed = store.commit(item(500, large.clone()), NOW).await;
    assert!(matches!(committed, Err(StoreError::Full)), "{committed:?}");
    let key = VaultKey {
        tenant: acme(),
        id: VaultId::from_bytes([1; 16]),
    };
    let stored = vault.store(&key, NOW, &large).await;
    assert!(matches!(stored, Err(StoreError::Full)), "{stored:?}");
    let opened = vault.open(&key).await;
    assert!(matches!(opened, Err(StoreError::NotFound)), "{opened:?}");
    for left in ["store.db-contents/acme", "vault/incoming"] {
        assert_eq!(fs::read_dir(dir.join(left)).unwrap().count(), 0, "{left}");
    }
}

/// Leaves not a page on the disk.
fn take_all_room(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("filler");
    let mut file = File::create(&path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    path
}

async fn settle(store: &SqliteStore, lease: &Lease) {
    let settled = store
        .settle(lease, Settlement::Sent, vec![event(1)], NOW)
        .await;
    settled.expect("an outcome has room");
}

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

fn delivery(n: u64) -> DeliveryKey {
    DeliveryKey {
        tenant: acme(),
        queue: queue(n),
        recipient: 0,
    }
}

fn intent(n: u64) -> Intent {
    Intent {
        delivery: delivery(n),
        resubmission: None,
        events: vec![event(n)],
    }
}

fn key_ref(n: u64) -> KeyRef {
    let id = VaultId::from_bytes(*queue(n).as_bytes());
    KeyRef::of_message(&acme(), KeyPurpose::ServerShare, id)
}

fn wrapped(n: u64) -> WrappedKey {
    WrappedKey(n.to_be_bytes().repeat(8))
}
