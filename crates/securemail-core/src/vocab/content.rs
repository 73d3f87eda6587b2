//! The body of a message as a handle that can be opened many times at once.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::BoxError;

/// Octets that can be read in any order, by many readers, without being copied.
///
/// # Contract
/// - **C1** `read(offset, max)` gives 1 to `max` octets that begin at `offset`, and none only at or
///   behind the end.
/// - **C2** The octets never change.
#[async_trait]
pub trait Content: fmt::Debug + Send + Sync + 'static {
    /// How many octets there are.
    fn size(&self) -> u64;

    /// Octets from `offset` on, at most `max`; fewer may come.
    ///
    /// # Errors
    /// Where the octets cannot be had, or are not the ones that were written.
    async fn read(&self, offset: u64, max: usize) -> Result<Bytes, ContentError>;
}

/// Octets could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// They are not the ones that were written, or the key is not theirs.
    #[error("the stored octets are damaged or the key is not theirs")]
    Damaged,
    /// They could not be had now.
    #[error("the octets cannot be read now")]
    Unavailable(#[source] BoxError),
}

/// SHA-256 of all octets, read in pieces.
///
/// # Errors
/// Where the octets cannot be had.
pub async fn sha256(content: &dyn Content) -> Result<[u8; 32], ContentError> {
    let mut hash = Sha256::new();
    let mut offset = 0_u64;
    while offset < content.size() {
        let piece = content.read(offset, PIECE_OCTETS).await?;
        if piece.is_empty() {
            return Err(ContentError::Damaged);
        }
        hash.update(&piece);
        offset = offset.saturating_add(piece.len() as u64);
    }
    Ok(hash.finalize().into())
}

/// Octets read at a time.
const PIECE_OCTETS: usize = 256 * 1024;

/// Octets in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryContent(Bytes);

impl MemoryContent {
    /// A handle on `bytes`.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

#[async_trait]
impl Content for MemoryContent {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    async fn read(&self, offset: u64, max: usize) -> Result<Bytes, ContentError> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.0.len());
        let end = start.saturating_add(max).min(self.0.len());
        Ok(self.0.slice(start..end))
    }
}

/// Header fields put in front of a body that is not copied.
#[derive(Clone, Debug)]
pub struct Concat {
    head: Bytes,
    tail: Arc<dyn Content>,
}

impl Concat {
    /// `head`, then `tail`.
    #[must_use]
    pub const fn new(head: Bytes, tail: Arc<dyn Content>) -> Self {
        Self { head, tail }
    }
}

#[async_trait]
impl Content for Concat {
    fn size(&self) -> u64 {
        (self.head.len() as u64).saturating_add(self.tail.size())
    }

    async fn read(&self, offset: u64, max: usize) -> Result<Bytes, ContentError> {
        match offset.checked_sub(self.head.len() as u64) {
            Some(behind) => self.tail.read(behind, max).await,
            None => MemoryContent(self.head.clone()).read(offset, max).await,
        }
    }
}

/// The octets of a content from an offset on; nothing is copied.
#[derive(Clone, Debug)]
pub struct Tail {
    whole: Arc<dyn Content>,
    from: u64,
}

impl Tail {
    /// `whole` without its first `from` octets.
    #[must_use]
    pub const fn new(whole: Arc<dyn Content>, from: u64) -> Self {
        Self { whole, from }
    }
}

#[async_trait]
impl Content for Tail {
    fn size(&self) -> u64 {
        self.whole.size().saturating_sub(self.from)
    }

    async fn read(&self, offset: u64, max: usize) -> Result<Bytes, ContentError> {
        self.whole.read(self.from.saturating_add(offset), max).await
    }
}

/// Ciphertext: the only content that a spool or a vault takes.
///
/// It is a witness: its one constructor is called where something was just sealed, or where a store
/// gives back what it took in this form. `cargo xtask tidy` lists the places.
#[derive(Clone, Debug)]
pub struct SealedContent(Arc<dyn Content>);

impl SealedContent {
    /// Asserts that `ciphertext` is sealed.
    #[must_use]
    pub const fn assertion(ciphertext: Arc<dyn Content>) -> Self {
        Self(ciphertext)
    }

    /// The ciphertext.
    #[must_use]
    pub fn ciphertext(&self) -> &Arc<dyn Content> {
        &self.0
    }
}
