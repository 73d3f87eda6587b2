//! Cobblestone-256: the format of C2SP chunked-encryption with AES-256-GCM and SHA-512.
//!
//! `salt (24) ‖ commitment (32) ‖ chunks`. Each chunk is 16 KiB of plaintext and a tag, the last one
//! always shorter, so that a length tells whether the end is there. Written from
//! <https://c2sp.org/chunked-encryption>; sections named below are of that text.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::cipher::{ChunkCipher, CipherFailed, NONCE, TAG};
use super::{CipherProvider, SealError};
use crate::backend::Entropy;
use crate::secret::Key32;

/// Octets of plaintext in every chunk but the last.
pub const CHUNK: usize = 16 * 1024;
/// Octets of such a chunk once it is sealed.
pub const SEALED_CHUNK: usize = CHUNK + TAG;
/// Octets of the salt.
pub const SALT: usize = 24;
/// Octets of salt and commitment, before the first chunk.
pub const HEADER: usize = SALT + COMMITMENT;
/// Chunks of a message at most ("Message chunking").
pub const CHUNKS_MAX: u64 = 1 << 38;

const COMMITMENT: usize = 32;

/// What key, salt and context of one message give ("Key derivation").
pub(super) struct MessageKeys {
    cipher: Box<dyn ChunkCipher>,
    base_nonce: [u8; NONCE],
    commitment: [u8; COMMITMENT],
}

impl MessageKeys {
    pub(super) fn derive(
        provider: CipherProvider,
        key: &Key32,
        salt: &[u8; SALT],
        context: &[u8],
    ) -> Result<Self, CipherFailed> {
        let expanded = expand(key, salt, context)?;
        let mut octets = expanded.iter().copied();
        let message_key = Key32::from_bytes(take(&mut octets));
        Ok(Self {
            cipher: provider.prepare(&message_key)?,
            base_nonce: take(&mut octets),
            commitment: take(&mut octets),
        })
    }

    /// The keys of a message that begins with `header`, if it was sealed with `key` for `context`.
    pub(super) fn check(
        provider: CipherProvider,
        key: &Key32,
        header: &[u8; HEADER],
        context: &[u8],
    ) -> Result<Self, CipherFailed> {
        let mut octets = header.iter().copied();
        let salt = take(&mut octets);
        let commitment: [u8; COMMITMENT] = take(&mut octets);
        let keys = Self::derive(provider, key, &salt, context)?;
        if bool::from(keys.commitment.ct_eq(&commitment)) {
            Ok(keys)
        } else {
            Err(CipherFailed)
        }
    }

    /// `salt ‖ commitment`.
    pub(super) fn header(&self, salt: &[u8; SALT]) -> [u8; HEADER] {
        take(&mut salt.iter().chain(&self.commitment).copied())
    }

    /// Encrypts what `out` holds from `start` on as chunk `number`, and appends the tag.
    pub(super) fn seal_tail(
        &self,
        number: u64,
        out: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), CipherFailed> {
        let chunk = out.get_mut(start..).ok_or(CipherFailed)?;
        let tag = self.cipher.seal(self.nonce(number)?, chunk)?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Decrypts what `out` holds from `start` on as chunk `number`, and takes off the tag. What it
    /// holds after an error is of no meaning and must not be given to anybody.
    pub(super) fn open_tail(
        &self,
        number: u64,
        out: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), CipherFailed> {
        let sealed = out.get_mut(start..).ok_or(CipherFailed)?;
        let (chunk, tag) = sealed.split_last_chunk_mut::<TAG>().ok_or(CipherFailed)?;
        self.cipher.open(self.nonce(number)?, chunk, *tag)?;
        out.truncate(out.len().saturating_sub(TAG));
        Ok(())
    }

    /// The base nonce XORed with the number, big-endian ("AEAD usage").
    fn nonce(&self, number: u64) -> Result<[u8; NONCE], CipherFailed> {
        if number >= CHUNKS_MAX {
            return Err(CipherFailed);
        }
        let mut nonce = self.base_nonce;
        for (octet, counter) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *octet ^= counter;
        }
        Ok(nonce)
    }
}

/// HKDF-Expand (RFC 5869, section 2.3) with SHA-512. The input key is shorter than a hash, which
/// the hkdf crate refuses, so the two HMAC calls stand here.
fn expand(
    key: &Key32,
    salt: &[u8; SALT],
    context: &[u8],
) -> Result<Zeroizing<[u8; 128]>, CipherFailed> {
    let block = |previous: &[u8], number: u8| {
        let mac = Hmac::<Sha512>::new_from_slice(key.expose()).map_err(|_| CipherFailed)?;
        let mac = mac
            .chain_update(previous)
            .chain_update(b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0")
            .chain_update(salt)
            .chain_update(context)
            .chain_update([number]);
        Ok(Zeroizing::new(<[u8; 64]>::from(
            mac.finalize().into_bytes(),
        )))
    };
    let first = block(&[], 1)?;
    let second = block(first.as_slice(), 2)?;
    Ok(Zeroizing::new(take(
        &mut first.iter().chain(second.iter()).copied(),
    )))
}

/// The next `N` octets.
fn take<const N: usize>(octets: &mut impl Iterator<Item = u8>) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(octets) {
        *to = from;
    }
    out
}

/// Where things stand in a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Layout {
    /// How many chunks of 16 KiB there are; the last chunk has this number.
    pub(super) full: u64,
    /// Octets of plaintext in the last chunk; less than 16 KiB.
    pub(super) last: usize,
}

impl Layout {
    /// The layout of a message of `size` octets.
    pub(super) fn of_plain(size: u64) -> Result<Self, SealError> {
        let full = size / CHUNK as u64;
        let last = usize::try_from(size % CHUNK as u64).map_err(|_| SealError::TooLong)?;
        if full < CHUNKS_MAX {
            Ok(Self { full, last })
        } else {
            Err(SealError::TooLong)
        }
    }

    /// The layout of `size` sealed octets. Not all lengths are valid ("Implementation notes").
    pub(super) fn of_sealed(size: u64) -> Result<Self, SealError> {
        let body = size.checked_sub(HEADER as u64).ok_or(SealError::Mismatch)?;
        let full = body / SEALED_CHUNK as u64;
        // The last chunk is a tag at least; a length that ends with a full chunk is truncated.
        let last = usize::try_from(body % SEALED_CHUNK as u64)
            .ok()
            .and_then(|last| last.checked_sub(TAG))
            .ok_or(SealError::Mismatch)?;
        if full < CHUNKS_MAX {
            Ok(Self { full, last })
        } else {
            Err(SealError::Mismatch)
        }
    }

    pub(super) const fn plain_size(self) -> u64 {
        self.full * CHUNK as u64 + self.last as u64
    }

    pub(super) const fn sealed_size(self) -> u64 {
        HEADER as u64 + self.full * SEALED_CHUNK as u64 + (self.last + TAG) as u64
    }
}

/// Seals a message piece by piece as it comes, in memory of one chunk.
///
/// What it writes is the header, then chunks; [`open`](super::open) reads it.
pub struct ChunkSealer {
    keys: MessageKeys,
    header: [u8; HEADER],
    next: u64,
    /// Plaintext of the chunk that is not full yet.
    pending: Zeroizing<Vec<u8>>,
}

impl ChunkSealer {
    /// Begins a message under a salt of its own.
    ///
    /// # Errors
    /// `NoEntropy`.
    pub fn new(key: &Key32, context: &[u8], entropy: &dyn Entropy) -> Result<Self, SealError> {
        Self::with_provider(CipherProvider::default(), key, context, entropy)
    }

    /// The same, by a given library.
    ///
    /// # Errors
    /// `NoEntropy`.
    pub fn with_provider(
        provider: CipherProvider,
        key: &Key32,
        context: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        let mut salt = [0; SALT];
        entropy.fill(&mut salt)?;
        let keys = MessageKeys::derive(provider, key, &salt, context)?;
        Ok(Self {
            header: keys.header(&salt),
            keys,
            next: 0,
            pending: Zeroizing::new(Vec::with_capacity(CHUNK)),
        })
    }

    /// What stands before the first chunk.
    #[must_use]
    pub const fn header(&self) -> &[u8; HEADER] {
        &self.header
    }

    /// Takes more plaintext; appends every chunk that became full to `out`.
    ///
    /// # Errors
    /// `TooLong`.
    pub fn push(&mut self, mut plain: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        while !plain.is_empty() {
            let room = CHUNK.saturating_sub(self.pending.len());
            let (now, later) = plain.split_at(room.min(plain.len()));
            self.pending.extend_from_slice(now);
            plain = later;
            if self.pending.len() == CHUNK {
                self.seal_pending(out)?;
            }
        }
        Ok(())
    }

    /// Appends the last chunk, which may be empty, to `out`.
    ///
    /// # Errors
    /// `TooLong`.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
        self.seal_pending(out)
    }

    fn seal_pending(&mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
        if self.next >= CHUNKS_MAX {
            return Err(SealError::TooLong);
        }
        let start = out.len();
        out.extend_from_slice(&self.pending);
        self.keys.seal_tail(self.next, out, start)?;
        self.pending.clear();
        self.next += 1;
        Ok(())
    }
}

impl fmt::Debug for ChunkSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkSealer({} chunks)", self.next)
    }
}

/// Opens a whole message in memory.
///
/// # Errors
/// `Mismatch` where anything is not as it was sealed; then nothing is given out.
pub(super) fn open_in_memory(
    provider: CipherProvider,
    key: &Key32,
    context: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, SealError> {
    let layout = Layout::of_sealed(sealed.len() as u64)?;
    let (header, body) = sealed
        .split_first_chunk::<HEADER>()
        .ok_or(SealError::Mismatch)?;
    let keys =
        MessageKeys::check(provider, key, header, context).map_err(|_| SealError::Mismatch)?;
    let mut plain = Vec::with_capacity(body.len());
    for (number, chunk) in (0..=layout.full).zip(body.chunks(SEALED_CHUNK)) {
        let start = plain.len();
        plain.extend_from_slice(chunk);
        keys.open_tail(number, &mut plain, start)
            .map_err(|_| SealError::Mismatch)?;
    }
    Ok(plain)
}

impl From<CipherFailed> for SealError {
    fn from(_: CipherFailed) -> Self {
        Self::Cipher
    }
}
