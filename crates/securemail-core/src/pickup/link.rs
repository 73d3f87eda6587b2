//! The secrets that mails and cookies carry: pickup link, sender's form, session.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::backend::{Entropy, NoEntropy};
use crate::secret::{Key32, SecretText};
use crate::vocab::VaultId;

/// The secret of a pickup link. It opens the message only together with the server share.
#[derive(Clone, Debug)]
pub struct LinkSecret(Key32);

impl LinkSecret {
    /// The secret that consists of this key.
    #[must_use]
    pub const fn new(key: Key32) -> Self {
        Self(key)
    }

    /// Reads it as it stands in a link: 43 characters of base64url.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        read32(text).map(Self)
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &Key32 {
        &self.0
    }

    /// As it stands in a link.
    #[must_use]
    pub fn text(&self) -> SecretText {
        SecretText::new(URL_SAFE_NO_PAD.encode(self.0.expose()))
    }

    /// What the record keeps of it, to tell a right link from a wrong one before a code is sent.
    #[must_use]
    pub fn digest(&self) -> LinkDigest {
        LinkDigest::of(b"securemail/v1/link\0", &self.0)
    }
}

/// The secret of a session: whoever holds it has shown the right code.
#[derive(Clone, Debug)]
pub struct SessionToken(Key32);

impl SessionToken {
    /// A fresh one.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub fn random(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        Key32::random(entropy).map(Self)
    }

    /// The token that consists of this key.
    #[must_use]
    pub const fn new(key: Key32) -> Self {
        Self(key)
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &Key32 {
        &self.0
    }

    /// What the record keeps of it.
    #[must_use]
    pub fn digest(&self) -> LinkDigest {
        LinkDigest::of(b"securemail/v1/session\0", &self.0)
    }
}

/// What is kept of a secret of 256 random bits: enough to recognise it, of no use to find it.
#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(transparent)]
pub struct LinkDigest([u8; 32]);

impl LinkDigest {
    fn of(label: &[u8], key: &Key32) -> Self {
        let digest = Sha256::new().chain_update(label).chain_update(key.expose());
        Self(digest.finalize().into())
    }

    /// Whether both are of the same secret; takes the same time for every answer.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for LinkDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkDigest(..)")
    }
}

/// What the link of the sender's form carries: which message, and a secret that the record keeps.
///
/// The secret is random and not derived from the master key: otherwise the master key and the mail to
/// the recipient together could set a number of the thief's own, and read.
#[derive(Clone, Debug)]
pub struct SenderToken {
    /// Which message.
    pub id: VaultId,
    secret: Key32,
}

impl SenderToken {
    /// The token of message `id` with this secret.
    #[must_use]
    pub const fn new(id: VaultId, secret: Key32) -> Self {
        Self { id, secret }
    }

    /// Reads it as it stands in a link: 64 characters of base64url.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let bytes: [u8; 48] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (id, secret) = bytes.split_first_chunk::<16>()?;
        Some(Self {
            id: VaultId::from_bytes(*id),
            secret: Key32::from_bytes(secret.try_into().ok()?),
        })
    }

    /// As it stands in a link.
    #[must_use]
    pub fn text(&self) -> SecretText {
        let mut bytes = self.id.as_bytes().to_vec();
        bytes.extend_from_slice(self.secret.expose());
        SecretText::new(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Whether it carries this secret; takes the same time for every answer.
    #[must_use]
    pub fn matches(&self, secret: &Key32) -> bool {
        self.secret.expose().ct_eq(secret.expose()).into()
    }
}

fn read32(text: &str) -> Option<Key32> {
    if text.len() != 43 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    bytes.try_into().ok().map(Key32::from_bytes)
}
