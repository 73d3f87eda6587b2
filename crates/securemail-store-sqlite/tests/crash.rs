//! A process killed at any moment loses nothing that it acknowledged.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Disk, NOW, item, queue};
use securemail_core::backend::WrappedKey;
use securemail_core::backend::{
    AuditSink, DueMail, KeyPurpose, KeyRef, KeyStore, Settlement, Spool, Vault,
};
use securemail_core::ledger::verify;
use securemail_core::vocab::{VaultId, VaultKey};
use securemail_store_sqlite::{FileVault, SqliteKeyStore, SqliteStore};
use securemail_testkit::conformance::{Pattern, block_on, bytes};

const DIR: &str = "SECUREMAIL_CRASH_TEST_DIR";
const FIRST: &str = "SECUREMAIL_CRASH_TEST_FIRST";

/// Content number `n`: every third is large enough for a file.
fn content(n: u64) -> Pattern {
    let size = if n.is_multiple_of(3) { 400_000 } else { 4_000 };
    Pattern { size, seed: n }
}

/// Not a test of its own: what the killed process does. It says what was acknowledged.
#[test]
fn child_writes_until_it_is_killed() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the parent tells its child where to write"
    )]
    let (Ok(dir), Ok(first)) = (std::env::var(DIR), std::env::var(FIRST)) else {
        return;
    };
    block_on(async {
        let dir = std::path::Path::new(&dir);
        let store = common::open(&dir.join("store.db"));
        let vault = FileVault::open(&dir.join("vault")).unwrap();
        let keys = SqliteKeyStore::open(&dir.join("keys.db")).unwrap();
        let first: u64 = first.parse().unwrap();
        let mut workers = Vec::new();
        for lane in 0..4 {
            let (store, vault, keys) = (store.clone(), vault.clone(), keys.clone());
            workers.push(tokio::spawn(async move {
                for n in (first + lane..).step_by(4) {
                    store
                        .commit(item(n, content(n).sealed()), NOW)
                        .await
                        .unwrap();
                    say(&format!("committed {n}"));
                    vault
                        .store(&vault_key(n), NOW, &content(n).sealed())
                        .await
                        .unwrap();
                    say(&format!("stored {n}"));
                    keys.put(&key_ref(n), &WrappedKey(n.to_be_bytes().to_vec()))
                        .await
                        .unwrap();
                    say(&format!("put {n}"));
                    if n.is_multiple_of(5) {
                        keys.erase(&key_ref(n)).await.unwrap();
                        say(&format!("erased {n}"));
                    }
                }
            }));
        }
        for worker in workers {
            worker.await.unwrap();
        }
    });
}

/// One write, so that a line is whole or not there.
fn say(line: &str) {
    let line = format!("\n@{line}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

fn vault_key(n: u64) -> VaultKey {
    let id = VaultId::from_bytes(*queue(n).as_bytes());
    VaultKey {
        tenant: "acme".parse().unwrap(),
        id,
    }
}

fn key_ref(n: u64) -> KeyRef {
    KeyRef::of_message(
        &"acme".parse().unwrap(),
        KeyPurpose::ServerShare,
        vault_key(n).id,
    )
}

/// What the child acknowledged before it was killed, in the midst of its work after so many words.
fn run_child(dir: &Disk, first: u64, words: u64) -> Vec<(String, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_writes_until_it_is_killed", "--nocapture"])
        .env(DIR, dir.dir())
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (told, lines) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        for line in output.lines() {
            let line = line.unwrap();
            let Some((what, n)) = line.strip_prefix('@').and_then(|line| line.split_once(' '))
            else {
                continue;
            };
            acknowledged.push((what.to_owned(), n.parse().unwrap()));
            // The parent may have stopped listening.
            told.send(()).ok();
        }
        acknowledged
    });
    for _ in 0..words {
        let word = lines.recv_timeout(Duration::from_secs(60));
        word.expect("the child says what it did");
    }
    // SIGKILL: nothing is flushed, no destructor runs.
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    let disk = Disk::default();
    let mut acknowledged = Vec::new();
    for round in 0..8_u64 {
        acknowledged.extend(run_child(&disk, round * 100_000, 5 + round * 37 % 60));
    }
    assert!(acknowledged.len() > 40, "too few: {}", acknowledged.len());
    block_on(async {
        let store = disk.store();
        let vault = FileVault::open(&disk.path("vault")).unwrap();
        let keys = SqliteKeyStore::open(&disk.path("keys.db")).unwrap();
        let acme = "acme".parse().unwrap();
        store.check().await.unwrap();
        for (what, n) in &acknowledged {
            let wanted = bytes(&content(*n).sealed()).await;
            match what.as_str() {
                "committed" => {
                    let found = store
                        .content(&acme, queue(*n))
                        .await
                        .expect("committed, and lost");
                    assert_eq!(bytes(&found).await, wanted, "item {n}");
                }
                "stored" => {
                    let found = vault.open(&vault_key(*n)).await.expect("stored, and lost");
                    assert_eq!(bytes(&found).await, wanted, "object {n}");
                }
                "put" if !n.is_multiple_of(5) => {
                    keys.fetch(&key_ref(*n)).await.expect("put, and lost");
                }
                "erased" => {
                    keys.fetch(&key_ref(*n))
                        .await
                        .expect_err("erased, and came back");
                }
                _ => {}
            }
        }
        let log = store.page(&acme, 0, 100_000).await.unwrap();
        verify(&log.events).unwrap();
        let commits = acknowledged
            .iter()
            .filter(|(what, _)| what == "committed")
            .count();
        assert!(log.events.len() >= commits, "events of commits are missing");
        let delivered = deliver_everything(&store).await;
        assert!(delivered >= commits, "{delivered} of {commits}");
        drop(store);
        drop(disk.store());
        let files = std::fs::read_dir(disk.path("store.db-contents").join("acme")).unwrap();
        assert_eq!(files.count(), 0, "content of what was delivered is left");
        let incoming = std::fs::read_dir(disk.path("vault").join("incoming")).unwrap();
        assert_eq!(incoming.count(), 0, "half written objects are left");
    });
}

/// Everything that stands can be delivered: each item has its content. Gives how many.
async fn deliver_everything(store: &SqliteStore) -> usize {
    let mut delivered = 0;
    loop {
        let leased = store
            .lease_due(DueMail::All, NOW, Duration::from_secs(60), 100)
            .await
            .unwrap();
        if leased.is_empty() {
            return delivered;
        }
        for one in leased {
            let key = &one.lease.delivery;
            let content = store.content(&key.tenant, key.queue).await;
            content.expect("an item without content");
            store
                .settle(&one.lease, Settlement::Sent, vec![], NOW)
                .await
                .unwrap();
            delivered += 1;
        }
    }
}
