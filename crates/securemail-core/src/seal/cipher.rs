//! AES-256-GCM (NIST SP 800-38D) for single chunks, by two libraries.

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit, Nonce, Tag};

use crate::secret::Key32;

/// Octets of a tag.
pub(super) const TAG: usize = 16;
/// Octets of a nonce.
pub(super) const NONCE: usize = 12;

/// The library did not seal, or the tag is not that of the chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct CipherFailed;

/// Which library does AES-256-GCM. Both write and read the same octets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum CipherProvider {
    /// aws-lc-rs, four to six times as fast where the processor has wide vectors.
    #[cfg(feature = "aws-lc-rs")]
    #[default]
    AwsLc,
    /// The aes-gcm crate.
    #[cfg_attr(not(feature = "aws-lc-rs"), default)]
    RustCrypto,
}

impl CipherProvider {
    /// Every library that this build has.
    pub const ALL: &[Self] = &[
        #[cfg(feature = "aws-lc-rs")]
        Self::AwsLc,
        Self::RustCrypto,
    ];

    /// Prepares `key`.
    pub(super) fn prepare(self, key: &Key32) -> Result<Box<dyn ChunkCipher>, CipherFailed> {
        match self {
            #[cfg(feature = "aws-lc-rs")]
            Self::AwsLc => aws_lc::prepare(key),
            Self::RustCrypto => Ok(Box::new(Aes256Gcm::new(key.expose().into()))),
        }
    }
}

/// Seals and opens single chunks in place, without associated data.
pub(super) trait ChunkCipher: Send + Sync {
    /// Encrypts `chunk`; gives its tag. A nonce is used once.
    fn seal(&self, nonce: [u8; NONCE], chunk: &mut [u8]) -> Result<[u8; TAG], CipherFailed>;

    /// Decrypts `chunk` if `tag` is right; else what it holds afterwards is of no meaning.
    fn open(
        &self,
        nonce: [u8; NONCE],
        chunk: &mut [u8],
        tag: [u8; TAG],
    ) -> Result<(), CipherFailed>;
}

impl ChunkCipher for Aes256Gcm {
    fn seal(&self, nonce: [u8; NONCE], chunk: &mut [u8]) -> Result<[u8; TAG], CipherFailed> {
        self.encrypt_inout_detached(&Nonce::from(nonce), &[], chunk.into())
            .map(Into::into)
            .map_err(|_| CipherFailed)
    }

    fn open(
        &self,
        nonce: [u8; NONCE],
        chunk: &mut [u8],
        tag: [u8; TAG],
    ) -> Result<(), CipherFailed> {
        self.decrypt_inout_detached(&Nonce::from(nonce), &[], chunk.into(), &Tag::from(tag))
            .map_err(|_| CipherFailed)
    }
}

#[cfg(feature = "aws-lc-rs")]
mod aws_lc {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

    use super::{ChunkCipher, CipherFailed, Key32, NONCE, TAG};

    pub(super) fn prepare(key: &Key32) -> Result<Box<dyn ChunkCipher>, CipherFailed> {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| CipherFailed)?;
        Ok(Box::new(LessSafeKey::new(key)))
    }

    impl ChunkCipher for LessSafeKey {
        fn seal(&self, nonce: [u8; NONCE], chunk: &mut [u8]) -> Result<[u8; TAG], CipherFailed> {
            self.seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                chunk,
            )
            .ok()
            .and_then(|tag| tag.as_ref().try_into().ok())
            .ok_or(CipherFailed)
        }

        fn open(
            &self,
            nonce: [u8; NONCE],
            chunk: &mut [u8],
            tag: [u8; TAG],
        ) -> Result<(), CipherFailed> {
            let nonce = Nonce::assume_unique_for_key(nonce);
            self.open_in_place_separate_tag(nonce, Aad::empty(), &tag, chunk)
                .map(|_| ())
                .map_err(|_| CipherFailed)
        }
    }
}
