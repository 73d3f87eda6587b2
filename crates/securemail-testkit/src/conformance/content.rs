//! Contents for tests: of any size without memory, and such as break off.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use securemail_core::vocab::{Content, ContentError, MemoryContent, SealedContent};

use crate::memory::collect;

/// Octets that are computed where they are read. They stand for ciphertext.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// How many there are.
    pub size: u64,
    /// Which ones.
    pub seed: u64,
}

impl Pattern {
    /// The octet at `offset`.
    #[must_use]
    pub const fn at(&self, offset: u64) -> u8 {
        let mixed = offset
            .wrapping_add(self.seed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed.to_be_bytes()[0]
    }

    /// As sealed content.
    #[must_use]
    pub fn sealed(self) -> SealedContent {
        SealedContent::assertion(Arc::new(self))
    }
}

#[async_trait]
impl Content for Pattern {
    fn size(&self) -> u64 {
        self.size
    }

    async fn read(&self, offset: u64, max: usize) -> Result<Bytes, ContentError> {
        // Never as much as was asked for: callers must go on.
        let end = self
            .size
            .min(offset.saturating_add(max.min(100_000) as u64));
        Ok((offset..end).map(|at| self.at(at)).collect())
    }
}

/// Content that cannot be read behind its middle.
#[derive(Clone, Copy, Debug)]
pub struct BrokenContent(pub u64);

#[async_trait]
impl Content for BrokenContent {
    fn size(&self) -> u64 {
        self.0
    }

    async fn read(&self, offset: u64, _: usize) -> Result<Bytes, ContentError> {
        if offset < self.0 / 2 {
            Ok(Bytes::from_static(&[7]))
        } else {
            Err(ContentError::Damaged)
        }
    }
}

/// These octets, taken as sealed.
#[must_use]
pub fn sealed(octets: &[u8]) -> SealedContent {
    let content = MemoryContent::new(Bytes::copy_from_slice(octets));
    SealedContent::assertion(Arc::new(content))
}

/// All octets of a body; `None` where they cannot be read.
pub async fn bytes(body: &SealedContent) -> Option<Bytes> {
    collect(&**body.ciphertext()).await.ok()
}
