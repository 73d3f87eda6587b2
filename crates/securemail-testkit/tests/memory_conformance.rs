//! The reference back-ends keep the contracts that they are the reference for.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use securemail_core::backend::{AuditSink, Directory, DomainMemory, KeyStore, Pickups, Vault};
use securemail_testkit::conformance::Harness;
use securemail_testkit::conformance::census::{CensusHarness, Counted};
use securemail_testkit::conformance::domain_memory::DomainMemoryHarness;
use securemail_testkit::conformance::keys::KeysHarness;
use securemail_testkit::conformance::spool::{SpoolHarness, SpoolWithLog};
use securemail_testkit::memory::{
    MemoryAudit, MemoryCensus, MemoryDirectory, MemoryDomainMemory, MemoryKeyStore, MemoryPickups,
    MemorySpool, MemoryVault,
};

/// What is in memory is "reopened" by looking at the same value again.
struct Memory;

macro_rules! in_memory {
    ($($backend:ident: $memory:ident),+) => {$(
        #[async_trait]
        impl Harness<dyn $backend> for Memory {
            async fn fresh(&self) -> Arc<dyn $backend> {
                Arc::new($memory::default())
            }

            async fn reopen(&self, old: Arc<dyn $backend>) -> Arc<dyn $backend> {
                old
            }
        }
    )+};
}

in_memory!(
    AuditSink: MemoryAudit,
    Directory: MemoryDirectory,
    DomainMemory: MemoryDomainMemory,
    Pickups: MemoryPickups,
    Vault: MemoryVault
);

#[async_trait]
impl DomainMemoryHarness for Memory {
    async fn watching(&self, most: usize) -> Arc<dyn DomainMemory> {
        Arc::new(MemoryDomainMemory::watching(most))
    }
}

#[derive(Default)]
struct Keys(Mutex<Arc<MemoryKeyStore>>);

#[async_trait]
impl Harness<dyn KeyStore> for Keys {
    async fn fresh(&self) -> Arc<dyn KeyStore> {
        self.0.lock().unwrap().clone()
    }

    async fn reopen(&self, old: Arc<dyn KeyStore>) -> Arc<dyn KeyStore> {
        old
    }
}

#[async_trait]
impl KeysHarness for Keys {
    async fn leaves(&self, octets: &[u8]) -> bool {
        self.0.lock().unwrap().leaves(octets)
    }
}

#[async_trait]
impl SpoolHarness for Memory {
    async fn fresh(&self) -> SpoolWithLog {
        let log = Arc::new(MemoryAudit::default());
        let spool = Arc::new(MemorySpool::new(log.clone()));
        SpoolWithLog { spool, log }
    }

    async fn small(&self) -> SpoolWithLog {
        let log = Arc::new(MemoryAudit::default());
        let spool = Arc::new(MemorySpool::with_room(log.clone(), 1 << 20));
        SpoolWithLog { spool, log }
    }

    async fn reopen(&self, old: SpoolWithLog) -> SpoolWithLog {
        old
    }
}

#[async_trait]
impl CensusHarness for Memory {
    async fn fresh(&self) -> Counted {
        let spool = Arc::new(MemorySpool::new(Arc::new(MemoryAudit::default())));
        let pickups = Arc::new(MemoryPickups::default());
        let census = MemoryCensus {
            spool: spool.clone(),
            pickups: pickups.clone(),
        };
        Counted {
            spool,
            pickups,
            census: Arc::new(census),
        }
    }
}

securemail_testkit::audit_conformance!(Memory);
securemail_testkit::census_conformance!(Memory);
securemail_testkit::directory_conformance!(Memory);
securemail_testkit::domain_memory_conformance!(Memory);
securemail_testkit::key_store_conformance!(Keys::default());
securemail_testkit::pickups_conformance!(Memory);
securemail_testkit::spool_conformance!(Memory);
securemail_testkit::vault_conformance!(Memory);
