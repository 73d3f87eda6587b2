//! Vectors, plaintexts, a fixed salt, and contents that give short pieces or count what is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use securemail_core::backend::{Entropy, NoEntropy};
use securemail_core::secret::Key32;
use securemail_core::vocab::{Content, ContentError, MemoryContent, SealedContent};

/// Octet n is (n*n + n/251) mod 256, as in `vectors/seal/valid.txt`.
pub(crate) fn text(size: usize) -> Vec<u8> {
    (0..size)
        .map(|n| (n * n + n / 251).to_le_bytes()[0])
        .collect()
}

pub(crate) fn memory(octets: impl Into<Bytes>) -> Arc<dyn Content> {
    Arc::new(MemoryContent::new(octets.into()))
}

pub(crate) fn sealed(octets: impl Into<Bytes>) -> SealedContent {
    SealedContent::assertion(memory(octets))
}

pub(crate) async fn read_all(content: &dyn Content) -> Result<Vec<u8>, ContentError> {
    read_range(content, 0, usize::MAX, 100_000).await
}

/// Reads a range in pieces of at most `piece` octets.
pub(crate) async fn read_range(
    content: &dyn Content,
    offset: u64,
    size: usize,
    piece: usize,
) -> Result<Vec<u8>, ContentError> {
    let mut out = Vec::new();
    while out.len() < size {
        let max = piece.min(size - out.len());
        let got = content.read(offset + out.len() as u64, max).await?;
        assert!(got.len() <= max, "C1: more than was asked for");
        if got.is_empty() {
            break;
        }
        out.extend_from_slice(&got);
    }
    Ok(out)
}

/// Gives these octets again and again.
#[derive(Debug)]
pub(crate) struct FixedEntropy(pub(crate) Vec<u8>);

impl Entropy for FixedEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoEntropy> {
        assert_eq!(buffer.len(), self.0.len());
        buffer.copy_from_slice(&self.0);
        Ok(())
    }
}

/// The same octets in pieces of at most `piece`.
#[derive(Debug)]
pub(crate) struct Dribble {
    pub(crate) octets: Bytes,
    pub(crate) piece: usize,
}

#[async_trait]
impl Content for Dribble {
    fn size(&self) -> u64 {
        self.octets.len() as u64
    }

    async fn read(&self, offset: u64, max: usize) -> Result<Bytes, ContentError> {
        let whole = MemoryContent::new(self.octets.clone());
        whole.read(offset, max.min(self.piece)).await
    }
}

/// A terabyte that is nowhere: counts what is asked of it.
#[derive(Debug)]
pub(crate) struct Huge {
    pub(crate) size: u64,
    pub(crate) most: AtomicUsize,
    pub(crate) total: AtomicU64,
}

#[async_trait]
impl Content for Huge {
    fn size(&self) -> u64 {
        self.size
    }

    async fn read(&self, offset: u64, max: usize) -> Result<Bytes, ContentError> {
        let left = usize::try_from(self.size - offset).unwrap_or(usize::MAX);
        self.most.fetch_max(max, Ordering::Relaxed);
        let given = max.min(left);
        self.total.fetch_add(given as u64, Ordering::Relaxed);
        Ok(vec![(offset / 16384).to_le_bytes()[0]; given].into())
    }
}

/// One block of a vector file.
pub(crate) struct Vector(BTreeMap<String, String>);

impl Vector {
    pub(crate) fn all(file: &str) -> Vec<Self> {
        file.split("\n\n")
            .map(|block| {
                let fields = block.lines().filter_map(|line| line.split_once(" = "));
                Self(fields.map(|(k, v)| (k.into(), v.into())).collect())
            })
            .filter(|vector| !vector.0.is_empty())
            .collect()
    }

    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    pub(crate) fn octets(&self, field: &str) -> Option<Vec<u8>> {
        self.text(field).map(unhex)
    }

    pub(crate) fn key(&self, field: &str) -> Key32 {
        Key32::from_bytes(self.octets(field).unwrap().try_into().unwrap())
    }
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap())
        .collect()
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
