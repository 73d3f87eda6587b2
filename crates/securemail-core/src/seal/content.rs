//! Sealed and opened views of a content, made chunk by chunk when they are read.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::chunked::{CHUNK, HEADER, Layout, MessageKeys, SALT, SEALED_CHUNK};
use super::cipher::CipherFailed;
use super::{CipherProvider, SealError};
use crate::backend::Entropy;
use crate::secret::Key32;
use crate::vocab::{Content, ContentError, SealedContent};

/// Chunks made for one read at most; they bound its memory to 256 KiB.
const CHUNKS_PER_READ: usize = 16;

/// Seals `plain` under `key`, for the purpose that `context` names.
///
/// Nothing is encrypted now: the ciphertext is made when it is read, any range of it, as often as
/// wanted. That is safe because the octets of a content never change (contract C2) and the salt,
/// drawn here once, makes them always the same ciphertext.
///
/// # Errors
/// `NoEntropy`; `TooLong` for 4 PiB and more.
pub fn seal(
    plain: Arc<dyn Content>,
    key: &Key32,
    context: &[u8],
    entropy: &dyn Entropy,
) -> Result<SealedContent, SealError> {
    seal_with(CipherProvider::default(), plain, key, context, entropy)
}

/// The same, by a given library.
///
/// # Errors
/// As [`seal`].
pub fn seal_with(
    provider: CipherProvider,
    plain: Arc<dyn Content>,
    key: &Key32,
    context: &[u8],
    entropy: &dyn Entropy,
) -> Result<SealedContent, SealError> {
    let layout = Layout::of_plain(plain.size())?;
    let mut salt = [0; SALT];
    entropy.fill(&mut salt)?;
    let keys = MessageKeys::derive(provider, key, &salt, context)?;
    Ok(SealedContent::assertion(Arc::new(Sealing {
        header: Bytes::copy_from_slice(&keys.header(&salt)),
        layout,
        keys,
        plain,
    })))
}

/// Opens `sealed` with the key and context of its sealing, to be read in any order.
///
/// The commitment to the key is checked first, then the last chunk, so that the size can be
/// believed. Every read gives authenticated octets only.
///
/// # Errors
/// `Damaged` where the octets, the key or the context are not those of the sealing.
pub async fn open(
    sealed: &SealedContent,
    key: &Key32,
    context: &[u8],
) -> Result<Arc<dyn Content>, ContentError> {
    open_with(CipherProvider::default(), sealed, key, context).await
}

/// The same, by a given library.
///
/// # Errors
/// As [`open`].
pub async fn open_with(
    provider: CipherProvider,
    sealed: &SealedContent,
    key: &Key32,
    context: &[u8],
) -> Result<Arc<dyn Content>, ContentError> {
    let sealed = Arc::clone(sealed.ciphertext());
    let layout = Layout::of_sealed(sealed.size())?;
    let header = read_exactly(&*sealed, 0, HEADER).await?;
    let header = header.first_chunk().ok_or(ContentError::Damaged)?;
    let keys = MessageKeys::check(provider, key, header, context)?;
    let mut opened = Opened {
        keys,
        layout,
        sealed,
        last: Bytes::new(),
    };
    opened.last = opened.chunks(layout.full, 1).await?;
    Ok(Arc::new(opened))
}

/// The ciphertext of a content, made when it is read.
struct Sealing {
    keys: MessageKeys,
    header: Bytes,
    layout: Layout,
    plain: Arc<dyn Content>,
}

#[async_trait]
impl Content for Sealing {
    fn size(&self) -> u64 {
        self.layout.sealed_size()
    }

    async fn read(&self, offset: u64, max: usize) -> Result<Bytes, ContentError> {
        if max == 0 || offset >= self.size() {
            return Ok(Bytes::new());
        }
        let Some(offset) = offset.checked_sub(HEADER as u64) else {
            return Ok(window(&self.header, offset, max));
        };
        let range = ChunkRange::new(offset, max, SEALED_CHUNK);
        let behind = (range.first + range.count as u64).min(self.layout.full + 1);
        let mut out = Vec::with_capacity(range.count * SEALED_CHUNK);
        for number in range.first..behind {
            self.append_chunk(number, &mut out).await?;
        }
        Ok(window(&out.into(), range.skip, max))
    }
}

impl Sealing {
    async fn append_chunk(&self, number: u64, out: &mut Vec<u8>) -> Result<(), ContentError> {
        let size = if number < self.layout.full {
            CHUNK
        } else {
            self.layout.last
        };
        let start = out.len();
        let mut offset = number * CHUNK as u64;
        while out.len() < start + size {
            let piece = read_some(&*self.plain, offset, start + size - out.len()).await?;
            offset += piece.len() as u64;
            out.extend_from_slice(&piece);
        }
        self.keys
            .seal_tail(number, out, start)
            .map_err(|failed| SealError::from(failed).into())
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealing({} octets)", self.layout.plain_size())
    }
}

/// The plaintext of a sealed content, authenticated when it is read.
struct Opened {
    keys: MessageKeys,
    layout: Layout,
    sealed: Arc<dyn Content>,
    /// The plaintext of the last chunk.
    last: Bytes,
}

#[async_trait]
impl Content for Opened {
    fn size(&self) -> u64 {
        self.layout.plain_size()
    }

    async fn read(&self, offset: u64, max: usize) -> Result<Bytes, ContentError> {
        if max == 0 || offset >= self.size() {
            return Ok(Bytes::new());
        }
        let range = ChunkRange::new(offset, max, CHUNK);
        if range.first == self.layout.full {
            return Ok(window(&self.last, range.skip, max));
        }
        let left = usize::try_from(self.layout.full - range.first).unwrap_or(usize::MAX);
        let plain = self.chunks(range.first, range.count.min(left)).await?;
        Ok(window(&plain, range.skip, max))
    }
}

impl Opened {
    /// The plaintext of `count` chunks. Ciphertext is copied chunk by chunk into the place where it is
    /// opened; nothing is given out unless every chunk is authentic.
    async fn chunks(&self, first: u64, count: usize) -> Result<Bytes, ContentError> {
        let mut out = Vec::with_capacity(count * SEALED_CHUNK);
        let mut offset = HEADER as u64 + first * SEALED_CHUNK as u64;
        let end = (offset + (count * SEALED_CHUNK) as u64).min(self.layout.sealed_size());
        let (mut number, mut start) = (first, 0);
        while offset < end {
            let wanted = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let piece = read_some(&*self.sealed, offset, wanted).await?;
            offset += piece.len() as u64;
            let mut piece = piece.as_ref();
            while !piece.is_empty() {
                let size = self.sealed_size_of(number);
                let missing = (start + size).saturating_sub(out.len());
                let (now, later) = piece.split_at(missing.min(piece.len()));
                out.extend_from_slice(now);
                piece = later;
                if out.len() == start + size {
                    self.keys.open_tail(number, &mut out, start)?;
                    number += 1;
                    start = out.len();
                }
            }
        }
        Ok(out.into())
    }

    const fn sealed_size_of(&self, number: u64) -> usize {
        if number < self.layout.full {
            SEALED_CHUNK
        } else {
            self.layout.last + (SEALED_CHUNK - CHUNK)
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({} octets)", self.layout.plain_size())
    }
}

/// Which chunks one read makes: as many as fit whole, so that the next read begins with a new one and
/// no chunk is made twice; one at least.
struct ChunkRange {
    first: u64,
    skip: u64,
    count: usize,
}

impl ChunkRange {
    fn new(offset: u64, max: usize, chunk: usize) -> Self {
        let skip = offset % chunk as u64;
        let reach = usize::try_from(skip).unwrap_or(chunk).saturating_add(max);
        Self {
            first: offset / chunk as u64,
            skip,
            count: (reach / chunk).clamp(1, CHUNKS_PER_READ),
        }
    }
}

/// At most `max` of `octets`, from `skip` on.
fn window(octets: &Bytes, skip: u64, max: usize) -> Bytes {
    let start = usize::try_from(skip).map_or(octets.len(), |skip| skip.min(octets.len()));
    octets.slice(start..start.saturating_add(max).min(octets.len()))
}

async fn read_exactly(
    content: &dyn Content,
    offset: u64,
    size: usize,
) -> Result<Vec<u8>, ContentError> {
    let mut out = Vec::with_capacity(size);
    while out.len() < size {
        let piece = read_some(content, offset + out.len() as u64, size - out.len()).await?;
        out.extend_from_slice(&piece);
    }
    Ok(out)
}

/// One to `max` octets: a content that ends early or gives more than was asked for is damaged.
async fn read_some(content: &dyn Content, offset: u64, max: usize) -> Result<Bytes, ContentError> {
    let piece = content.read(offset, max).await?;
    if piece.is_empty() || piece.len() > max {
        return Err(ContentError::Damaged);
    }
    Ok(piece)
}

impl From<CipherFailed> for ContentError {
    fn from(_: CipherFailed) -> Self {
        Self::Damaged
    }
}

impl From<SealError> for ContentError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Mismatch => Self::Damaged,
            SealError::Cipher | SealError::NoEntropy(_) | SealError::TooLong => {
                Self::Unavailable(error.into())
            }
        }
    }
}
