//! The master key as 32 octets in this process: from a file or a systemd credential.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::derive::derive;
use super::{RecordCipher, SealError};
use crate::backend::{Entropy, KeyError, KeyRef, MasterKey, WrappedKey};
use crate::secret::Key32;

/// A [`MasterKey`] that is held in memory. Reading the file is the program's part.
#[derive(Clone)]
pub struct LocalMasterKey {
    wrapping: RecordCipher,
    deriving: Key32,
    entropy: Arc<dyn Entropy>,
}

/// A file does not hold a master key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MasterKeyFormat {
    /// It has 32 octets, but they are typed characters, or all the same.
    #[error("this is not random; make a key with: head -c 32 /dev/urandom | base64")]
    NotRandom,
    /// It has another length or form.
    #[error("a master key is 32 octets: raw, as 64 hexadecimal digits, or in base64")]
    Form,
}

impl LocalMasterKey {
    /// Uses `key`.
    #[must_use]
    pub fn new(key: &Key32, entropy: Arc<dyn Entropy>) -> Self {
        let part = |info: &[u8]| derive(&[], key.expose(), &[info]);
        Self {
            wrapping: RecordCipher::new(part(b"securemail/v1/master/wrap")),
            deriving: part(b"securemail/v1/master/derive"),
            entropy,
        }
    }

    /// Reads what a key file holds: 32 raw octets, or 64 hexadecimal digits or base64 of them, with
    /// white space around.
    ///
    /// # Errors
    /// Where it is none of these, or plainly not random.
    pub fn from_file_octets(
        octets: &[u8],
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, MasterKeyFormat> {
        let key = Zeroizing::new(read_key(octets)?);
        if key.iter().all(|octet| Some(octet) == key.first()) {
            return Err(MasterKeyFormat::NotRandom);
        }
        Ok(Self::new(&Key32::from_bytes(*key), entropy))
    }
}

fn read_key(octets: &[u8]) -> Result<[u8; 32], MasterKeyFormat> {
    if let Ok(raw) = <[u8; 32]>::try_from(octets) {
        // Random octets are never all printable; 32 typed characters are half a key in hexadecimal,
        // or a password.
        let typed = raw
            .iter()
            .all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
        return if typed {
            Err(MasterKeyFormat::NotRandom)
        } else {
            Ok(raw)
        };
    }
    let text = octets.trim_ascii();
    let key = if text.len() == 64 {
        Zeroizing::new(read_hex(text).ok_or(MasterKeyFormat::Form)?)
    } else {
        Zeroizing::new(STANDARD.decode(text).map_err(|_| MasterKeyFormat::Form)?)
    };
    <[u8; 32]>::try_from(key.as_slice()).map_err(|_| MasterKeyFormat::Form)
}

fn read_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    digits
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
            _ => None,
        })
        .collect()
}

#[async_trait]
impl MasterKey for LocalMasterKey {
    async fn wrap(&self, context: &KeyRef, key: &Key32) -> Result<WrappedKey, KeyError> {
        self.wrapping
            .seal(&context.associated_data(), key.expose(), &*self.entropy)
            .map(WrappedKey)
            .map_err(KeyError::from)
    }

    async fn unwrap(&self, context: &KeyRef, wrapped: &WrappedKey) -> Result<Key32, KeyError> {
        let key = self.wrapping.open(&context.associated_data(), &wrapped.0)?;
        let key = Zeroizing::new(key);
        let key = <[u8; 32]>::try_from(key.as_slice()).map_err(|_| KeyError::Mismatch)?;
        Ok(Key32::from_bytes(key))
    }

    async fn derive(&self, label: &str) -> Result<Key32, KeyError> {
        let info: [&[u8]; 2] = [b"securemail/v1/derive\0", label.as_bytes()];
        Ok(derive(&[], self.deriving.expose(), &info))
    }
}

impl From<SealError> for KeyError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Mismatch => Self::Mismatch,
            SealError::NoEntropy(none) => Self::NoEntropy(none),
            SealError::Cipher | SealError::TooLong => Self::Unavailable(error.into()),
        }
    }
}

impl fmt::Debug for LocalMasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalMasterKey(..)")
    }
}
