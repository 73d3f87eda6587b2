//! SQLite and files keep every contract.

mod common;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use common::Disk;
use securemail_core::backend::{AuditSink, Directory, DomainMemory, KeyStore, Pickups, Vault};
use securemail_store_sqlite::{FileVault, SqliteKeyStore, SqliteStore};
use securemail_testkit::conformance::Harness;
use securemail_testkit::conformance::census::{CensusHarness, Counted};
use securemail_testkit::conformance::domain_memory::DomainMemoryHarness;
use securemail_testkit::conformance::keys::KeysHarness;
use securemail_testkit::conformance::spool::{SpoolHarness, SpoolWithLog};

macro_rules! on_disk {
    ($($backend:ident: $open:expr),+ $(,)?) => {$(
        #[async_trait]
        impl Harness<dyn $backend> for Disk {
            async fn fresh(&self) -> Arc<dyn $backend> {
                let open: fn(&Disk) -> _ = $open;
                Arc::new(open(self))
            }

            async fn reopen(&self, old: Arc<dyn $backend>) -> Arc<dyn $backend> {
                drop(old);
                let open: fn(&Disk) -> _ = $open;
                Arc::new(open(self))
            }
        }
    )+};
}

on_disk!(
    AuditSink: Disk::store,
    Directory: Disk::store,
    DomainMemory: Disk::store,
    Pickups: Disk::store,
    KeyStore: |disk| SqliteKeyStore::open(&disk.path("keys.db")).unwrap(),
    Vault: |disk| FileVault::open(&disk.path("vault")).unwrap(),
);

#[async_trait]
impl KeysHarness for Disk {
    async fn leaves(&self, octets: &[u8]) -> bool {
        holds(self.dir(), octets)
    }
}

#[async_trait]
impl DomainMemoryHarness for Disk {
    async fn watching(&self, most: usize) -> Arc<dyn DomainMemory> {
        let settings = common::settings().with_watched_max(most);
        Arc::new(SqliteStore::open(&self.path("store.db"), settings).unwrap())
    }
}

/// Whether any file below `dir` holds these octets, in use or not.
fn holds(dir: &Path, octets: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, octets);
        }
        let file = std::fs::read(path).unwrap();
        file.windows(octets.len()).any(|window| window == octets)
    })
}

#[async_trait]
impl SpoolHarness for Disk {
    async fn fresh(&self) -> SpoolWithLog {
        let store = Arc::new(self.store());
        SpoolWithLog {
            spool: store.clone(),
            log: store,
        }
    }

    async fn small(&self) -> SpoolWithLog {
        let store = Arc::new(self.small_store(2 << 20));
        SpoolWithLog {
            spool: store.clone(),
            log: store,
        }
    }

    async fn reopen(&self, old: SpoolWithLog) -> SpoolWithLog {
        drop(old);
        SpoolHarness::fresh(self).await
    }
}

#[async_trait]
impl CensusHarness for Disk {
    async fn fresh(&self) -> Counted {
        let store = Arc::new(self.store());
        Counted {
            spool: store.clone(),
            pickups: store.clone(),
            census: store,
        }
    }
}

securemail_testkit::audit_conformance!(Disk::default());
securemail_testkit::census_conformance!(Disk::default());
securemail_testkit::directory_conformance!(Disk::default());
securemail_testkit::domain_memory_conformance!(Disk::default());
securemail_testkit::key_store_conformance!(Disk::default());
securemail_testkit::pickups_conformance!(Disk::default());
securemail_testkit::spool_conformance!(Disk::default());
securemail_testkit::vault_conformance!(Disk::default());
