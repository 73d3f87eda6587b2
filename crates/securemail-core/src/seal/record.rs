//! Small records: states, headers, personal data of events. What a store keeps and may not read.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::chunked::{HEADER, open_in_memory};
use super::derive::derive;
use super::{ChunkSealer, CipherProvider, SealError};
use crate::backend::Entropy;
use crate::secret::Key32;
use crate::vocab::KeyedHash;

/// The form of a sealed record; a later form has another first octet.
const FORM: u8 = 1;
/// Octets that sealing adds to a record that is shorter than one chunk.
const OVERHEAD: usize = 1 + HEADER + 16;

/// Seals records under one key, and hashes what they are found by under another.
///
/// Each record has a key of its own, derived from a random salt of 24 octets: random nonces of 12
/// octets under one key would allow 2³² records at most (NIST SP 800-38D, section 8.3). The form is
/// that of content, so a record commits to its key and its context.
#[derive(Clone)]
pub struct RecordCipher {
    sealing: Key32,
    hashing: Key32,
}

impl RecordCipher {
    /// A cipher whose keys are derived from `key`, which may be used for nothing else.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "the caller keeps no copy")]
    pub fn new(key: Key32) -> Self {
        Self {
            sealing: derive(&[], key.expose(), &[b"securemail/v1/record/seal"]),
            hashing: derive(&[], key.expose(), &[b"securemail/v1/record/hash"]),
        }
    }

    /// Seals `plain`; it opens only with the same `context`, which names whose record it is and of
    /// what kind.
    ///
    /// # Errors
    /// `NoEntropy`.
    pub fn seal(
        &self,
        context: &[u8],
        plain: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let mut sealer = ChunkSealer::new(&self.sealing, context, entropy)?;
        let mut out = Vec::with_capacity(plain.len().saturating_add(OVERHEAD));
        out.push(FORM);
        out.extend_from_slice(sealer.header());
        sealer.push(plain, &mut out)?;
        sealer.finish(&mut out)?;
        Ok(out)
    }

    /// Opens what [`seal`](Self::seal) made.
    ///
    /// # Errors
    /// `Mismatch` where the octets, the key or the context are not those of the sealing.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let Some((&FORM, sealed)) = sealed.split_first() else {
            return Err(SealError::Mismatch);
        };
        open_in_memory(CipherProvider::default(), &self.sealing, context, sealed)
    }

    /// HMAC-SHA-256 of `data`, apart for every `label`: finds a record without naming it.
    #[must_use]
    pub fn hash(&self, label: &str, data: &[u8]) -> KeyedHash {
        let key = derive(
            &[],
            self.hashing.expose(),
            &[b"securemail/v1/record/hash/", label.as_bytes()],
        );
        // HMAC takes a key of any length (RFC 2104, section 2): this never fails.
        let mac = Hmac::<Sha256>::new_from_slice(key.expose())
            .map(|mac| mac.chain_update(data).finalize().into_bytes().into());
        debug_assert!(mac.is_ok(), "HMAC takes any key");
        KeyedHash::from_bytes(mac.unwrap_or_default())
    }
}

impl fmt::Debug for RecordCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordCipher(..)")
    }
}
