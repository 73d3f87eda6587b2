//! DKIM keys, here or in a KMS.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::BoxError;
use crate::vocab::DnsName;

/// Finds the DKIM keys of a domain.
#[async_trait]
pub trait SigningKeys: fmt::Debug + Send + Sync + 'static {
    /// The signers for `domain`: none, RSA, or RSA and Ed25519 under different selectors.
    ///
    /// # Errors
    /// Where it cannot be said now; the message is then held.
    async fn signers(&self, domain: &DnsName) -> Result<Vec<Arc<dyn DkimSigner>>, SigningError>;
}

/// One DKIM key.
#[async_trait]
pub trait DkimSigner: fmt::Debug + Send + Sync + 'static {
    /// The signing domain (`d=`).
    fn domain(&self) -> &DnsName;

    /// The selector (`s=`).
    fn selector(&self) -> &str;

    /// The algorithm (`a=`).
    fn algorithm(&self) -> DkimAlgorithm;

    /// The signature over `header`: the canonicalised header fields and, last, the
    /// DKIM-Signature field with an empty `b=` (RFC 6376, section 3.7).
    ///
    /// For RSA it is PKCS #1 v1.5 over SHA-256 of `header`; for Ed25519 it is PureEdDSA over the
    /// SHA-256 digest of `header` (RFC 8463, section 3).
    ///
    /// # Errors
    /// Where the key cannot be used now; the message is then held.
    async fn sign(&self, header: &[u8]) -> Result<Vec<u8>, SigningError>;
}

/// The algorithms that signers use (RFC 8301, RFC 8463).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DkimAlgorithm {
    /// `ed25519-sha256`.
    Ed25519Sha256,
    /// `rsa-sha256`, 2048 bits or more.
    RsaSha256,
}

/// A DKIM key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// The key is not of a kind that may sign.
    #[error("not a usable DKIM key: {0}")]
    BadKey(&'static str),
    /// The key service does not answer.
    #[error("the DKIM key cannot be used now")]
    Unavailable(#[source] BoxError),
}
