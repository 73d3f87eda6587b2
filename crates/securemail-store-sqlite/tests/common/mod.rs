//! A place on the disk for one test, and small items for it.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test file uses a part"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use securemail_core::backend::{Due, ItemClass, NewDelivery, NewEvent, NewItem};
use securemail_core::seal::RecordCipher;
use securemail_core::secret::Key32;
use securemail_core::vocab::{QueueId, SealedContent, UnixTime};
use securemail_store_sqlite::{SqliteStore, StoreSettings};
use securemail_testkit::sim::SeededEntropy;
use tempfile::TempDir;

pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_795_262_400);

/// A folder that goes with the test.
pub(crate) struct Disk(TempDir);

impl Default for Disk {
    fn default() -> Self {
        Self(TempDir::new().unwrap())
    }
}

impl Disk {
    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn store(&self) -> SqliteStore {
        open(&self.path("store.db"))
    }

    pub(crate) fn small_store(&self, limit: u64) -> SqliteStore {
        let settings = settings().with_limit(limit).with_reserve(1 << 20);
        SqliteStore::open(&self.path("store.db"), settings).unwrap()
    }
}

pub(crate) fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, settings()).unwrap()
}

pub(crate) fn settings() -> StoreSettings {
    let cipher = RecordCipher::new(Key32::from_bytes([1; 32]));
    StoreSettings::new(cipher, Arc::new(SeededEntropy::new(1)))
}

pub(crate) fn queue(n: u64) -> QueueId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id[8..].copy_from_slice(&n.to_be_bytes());
    QueueId::from_bytes(id)
}

pub(crate) fn item(n: u64, content: SealedContent) -> NewItem {
    NewItem {
        tenant: "acme".parse().unwrap(),
        queue: queue(n),
        class: ItemClass::Content,
        sealed_header: b"header".to_vec(),
        content,
        deliveries: vec![NewDelivery {
            recipient: 0,
            lease: None,
            resubmission: None,
            due: Due::At(NOW),
            sealed_state: b"state".to_vec(),
        }],
        events: vec![event(n)],
    }
}

pub(crate) fn event(n: u64) -> NewEvent {
    NewEvent {
        time: NOW,
        queue: queue(n),
        chained: format!("event {n}").into_bytes(),
        personal: b"personal".to_vec(),
        index: Vec::new(),
    }
}
