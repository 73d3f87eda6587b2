//! Sixty megabytes pass through without standing in memory. Alone in its process, for it measures that.

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use common::{Disk, NOW, item, queue};
use securemail_core::backend::{Spool, Vault};
use securemail_core::vocab::{Content, ContentError, SealedContent, VaultId, VaultKey};
use securemail_store_sqlite::FileVault;
use securemail_testkit::conformance::block_on;

const SIZE: u64 = 60 * 1024 * 1024;
/// What may be added: a few ranges, and what the database caches.
const GROWTH_MAX_KIB: u64 = 16 * 1024;

/// The same few octets again and again, never copied.
#[derive(Debug)]
struct Repeated(Bytes);

impl Repeated {
    fn new() -> Self {
        Self(
            (0..65_521_u32)
                .map(|n| n.to_le_bytes()[n as usize % 2])
                .collect(),
        )
    }

    fn rest(&self, offset: u64) -> Bytes {
        let within = usize::try_from(offset % self.0.len() as u64).unwrap();
        self.0.slice(within..)
    }
}

#[async_trait]
impl Content for Repeated {
    fn size(&self) -> u64 {
        SIZE
    }

    async fn read(&self, offset: u64, max: usize) -> Result<Bytes, ContentError> {
        let left = usize::try_from(SIZE.saturating_sub(offset)).unwrap();
        let rest = self.rest(offset);
        let end = rest.len().min(max).min(left);
        Ok(rest.slice(..end))
    }
}

#[test]
fn large_content_does_not_pass_through_memory() {
    block_on(async {
        let disk = Disk::default();
        let store = disk.store();
        let vault = FileVault::open(&disk.path("vault")).unwrap();
        let body = SealedContent::assertion(Arc::new(Repeated::new()));
        let before = peak_kib();
        store.commit(item(1, body.clone()), NOW).await.unwrap();
        let acme: securemail_core::vocab::TenantId = "acme".parse().unwrap();
        compare(&store.content(&acme, queue(1)).await.unwrap()).await;
        let key = VaultKey {
            tenant: acme,
            id: VaultId::from_bytes([1; 16]),
        };
        vault.store(&key, NOW, &body).await.unwrap();
        compare(&vault.open(&key).await.unwrap()).await;
        let grown = peak_kib() - before;
        assert!(grown < GROWTH_MAX_KIB, "memory grew by {grown} KiB");
    });
}

/// Reads all of it, as much at once as is given, and compares.
async fn compare(found: &SealedContent) {
    let (found, wanted) = (found.ciphertext(), Repeated::new());
    assert_eq!(found.size(), SIZE);
    let mut offset = 0;
    while offset < SIZE {
        let part = found.read(offset, usize::MAX).await.unwrap();
        assert!(
            !part.is_empty() && part.len() <= 256 * 1024,
            "a range of {}",
            part.len()
        );
        let mut at = 0;
        while at < part.len() {
            let rest = wanted.rest(offset + at as u64);
            let end = part.len().min(at + rest.len());
            assert!(part[at..end] == rest[..end - at], "at {offset}");
            at = end;
        }
        offset += part.len() as u64;
    }
}

/// The most memory that this process ever had.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
