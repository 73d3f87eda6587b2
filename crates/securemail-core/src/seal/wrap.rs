//! Content keys, wrapped: under link secret and server share, or under the spool key of a day.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::derive::derive;
use super::{RecordCipher, SealError};
use crate::backend::Entropy;
use crate::secret::Key32;
use crate::vocab::{QueueId, TenantId, VaultKey};

/// A content key that nobody can use without what it was wrapped under. Not a secret by itself.
#[derive(Clone, Eq, PartialEq)]
pub struct WrappedContentKey(Vec<u8>);

impl WrappedContentKey {
    /// Wraps the content key of a vault message: both the link and the server's share are needed to
    /// open it, and only for this message of this tenant.
    ///
    /// # Errors
    /// `NoEntropy`.
    pub fn for_link(
        content_key: &Key32,
        vault: &VaultKey,
        link: &Key32,
        share: &Key32,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        wrap(link_key(vault, link, share), content_key, entropy)
    }

    /// The content key of a vault message.
    ///
    /// # Errors
    /// `Mismatch` where link, share or message are others.
    pub fn open_with_link(
        &self,
        vault: &VaultKey,
        link: &Key32,
        share: &Key32,
    ) -> Result<Key32, SealError> {
        unwrap(link_key(vault, link, share), self)
    }

    /// Wraps the content key of a spooled message under the spool key of the day.
    ///
    /// # Errors
    /// `NoEntropy`.
    pub fn for_spool(
        content_key: &Key32,
        tenant: &TenantId,
        queue: QueueId,
        day_key: &Key32,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        wrap(spool_key(tenant, queue, day_key), content_key, entropy)
    }

    /// The content key of a spooled message.
    ///
    /// # Errors
    /// `Mismatch` where day key or message are others.
    pub fn open_with_day_key(
        &self,
        tenant: &TenantId,
        queue: QueueId,
        day_key: &Key32,
    ) -> Result<Key32, SealError> {
        unwrap(spool_key(tenant, queue, day_key), self)
    }

    /// From the octets that were stored. They are checked when it is opened.
    #[must_use]
    pub const fn from_octets(octets: Vec<u8>) -> Self {
        Self(octets)
    }

    /// Its octets, to be stored.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// What the content of a vault message is sealed for: the `context` of [`seal`](super::seal()).
#[must_use]
pub fn vault_context(vault: &VaultKey) -> Vec<u8> {
    context(
        b"securemail/v1/vault-content\0",
        &vault.tenant,
        vault.id.as_bytes(),
    )
}

/// What the content of a spooled message is sealed for: the `context` of [`seal`](super::seal()).
#[must_use]
pub fn spool_context(tenant: &TenantId, queue: QueueId) -> Vec<u8> {
    context(b"securemail/v1/spool-content\0", tenant, queue.as_bytes())
}

/// A tenant has no zero octet in it, so the zero ends it.
fn context(label: &[u8], tenant: &TenantId, id: &[u8; 16]) -> Vec<u8> {
    [label, tenant.as_str().as_bytes(), &[0], id].concat()
}

fn link_key(vault: &VaultKey, link: &Key32, share: &Key32) -> Key32 {
    let mut secret = Zeroizing::new([0; 64]);
    for (to, from) in secret
        .iter_mut()
        .zip(link.expose().iter().chain(share.expose()))
    {
        *to = *from;
    }
    derive(
        vault.id.as_bytes(),
        secret.as_slice(),
        &[b"securemail/v1/wrap\0", vault.tenant.as_str().as_bytes()],
    )
}

fn spool_key(tenant: &TenantId, queue: QueueId, day_key: &Key32) -> Key32 {
    derive(
        queue.as_bytes(),
        day_key.expose(),
        &[b"securemail/v1/spool-wrap\0", tenant.as_str().as_bytes()],
    )
}

/// The wrapping key holds the purpose, the tenant and the message; the record form commits to it.
fn wrap(
    under: Key32,
    content_key: &Key32,
    entropy: &dyn Entropy,
) -> Result<WrappedContentKey, SealError> {
    RecordCipher::new(under)
        .seal(b"content key", content_key.expose(), entropy)
        .map(WrappedContentKey)
}

fn unwrap(under: Key32, wrapped: &WrappedContentKey) -> Result<Key32, SealError> {
    let key = Zeroizing::new(RecordCipher::new(under).open(b"content key", &wrapped.0)?);
    let key = <[u8; 32]>::try_from(key.as_slice()).map_err(|_| SealError::Mismatch)?;
    Ok(Key32::from_bytes(key))
}

impl fmt::Debug for WrappedContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappedContentKey(..)")
    }
}

impl Serialize for WrappedContentKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for WrappedContentKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        URL_SAFE_NO_PAD
            .decode(text.as_ref())
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}
