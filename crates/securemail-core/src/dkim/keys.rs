//! DKIM keys in this process: RSA and Ed25519 from files.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::backend::{DkimAlgorithm, DkimSigner, SigningError, SigningKeys};
use crate::secret::SecretText;
use crate::vocab::DnsName;

/// One DKIM key, with the domain and the selector under which its public half is published.
pub struct LocalDkimKey {
    domain: DnsName,
    selector: String,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// A text is not a DKIM key that may sign.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It is neither PEM nor the base64 of an Ed25519 seed.
    #[error("not a private key; give PEM (PKCS#8 or PKCS#1), or the base64 of an Ed25519 seed")]
    NotAKey,
    /// The selector is not a name in the DNS.
    #[error("the selector is not a valid name; use letters, digits and hyphens")]
    Selector,
    /// RFC 8301, section 3.2, and our own measure: RSA of 2048 bits or more, or Ed25519.
    #[error("only RSA keys of 2048 to 8192 bits and Ed25519 keys may sign")]
    Unfit,
}

impl LocalDkimKey {
    /// Reads a private key: PEM with RSA (PKCS#8, PKCS#1) or Ed25519 (PKCS#8), or the base64 of the 32
    /// octets of an Ed25519 seed.
    ///
    /// # Errors
    /// Where it is none, or one that may not sign.
    pub fn from_pem(
        domain: DnsName,
        selector: &str,
        pem: &SecretText,
    ) -> Result<Self, KeyFileError> {
        let selector = check_selector(selector)?;
        let pair = Pair::read(pem.expose())?;
        Ok(Self {
            domain,
            selector,
            pair,
        })
    }

    /// A fresh key, and its private half as PEM (PKCS#8), to be kept.
    ///
    /// # Errors
    /// Where the selector is no name, or no key could be made.
    pub fn generate(
        domain: DnsName,
        selector: &str,
        algorithm: DkimAlgorithm,
    ) -> Result<(Self, SecretText), KeyFileError> {
        let selector = check_selector(selector)?;
        let (pair, der) = Pair::generate(algorithm).map_err(|_| KeyFileError::Unfit)?;
        let text = Zeroizing::new(STANDARD.encode(der.as_ref()));
        let mut pem = Zeroizing::new(String::from("-----BEGIN PRIVATE KEY-----\n"));
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, behind) = rest.split_at_checked(64).unwrap_or((rest, ""));
            pem.push_str(line);
            pem.push('\n');
            rest = behind;
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Ok((
            Self {
                domain,
                selector,
                pair,
            },
            SecretText::new(pem.as_str()),
        ))
    }

    /// Where the public half is published: `selector._domainkey.domain`.
    #[must_use]
    pub fn dns_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }

    /// The text to publish there as TXT (RFC 6376, section 3.6.1; RFC 8463, section 4).
    #[must_use]
    pub fn dns_record(&self) -> String {
        match &self.pair {
            Pair::Ed25519(pair) => {
                let key = STANDARD.encode(pair.public_key());
                format!("v=DKIM1; k=ed25519; p={key}")
            }
            Pair::Rsa(pair) => {
                let der: Result<PublicKeyX509Der<'_>, _> = pair.public_key().as_der();
                let key = der
                    .map(|der| STANDARD.encode(der.as_ref()))
                    .unwrap_or_default();
                format!("v=DKIM1; k=rsa; h=sha256; p={key}")
            }
        }
    }
}

impl Pair {
    fn read(text: &str) -> Result<Self, KeyFileError> {
        if !text.contains("-----BEGIN") {
            let seed = Zeroizing::new(STANDARD.decode(text.trim()).unwrap_or_default());
            return Ed25519KeyPair::from_seed_unchecked(&seed)
                .map(Self::Ed25519)
                .map_err(|_| KeyFileError::NotAKey);
        }
        let key =
            PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyFileError::NotAKey)?;
        match key {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der())
                .map_or(Err(KeyFileError::Unfit), Self::rsa),
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
                    Ok(pair) => Ok(Self::Ed25519(pair)),
                    Err(_) => {
                        RsaKeyPair::from_pkcs8(der).map_or(Err(KeyFileError::Unfit), Self::rsa)
                    }
                }
            }
            _ => Err(KeyFileError::Unfit),
        }
    }

    fn rsa(pair: RsaKeyPair) -> Result<Self, KeyFileError> {
        match pair.public_modulus_len() {
            256..=1024 => Ok(Self::Rsa(Box::new(pair))),
            _ => Err(KeyFileError::Unfit),
        }
    }

    fn generate(
        algorithm: DkimAlgorithm,
    ) -> Result<(Self, Pkcs8V1Der<'static>), aws_lc_rs::error::Unspecified> {
        match algorithm {
            DkimAlgorithm::Ed25519Sha256 => {
                let pair = Ed25519KeyPair::generate()?;
                let der = pair.as_der()?;
                Ok((Self::Ed25519(pair), der))
            }
            DkimAlgorithm::RsaSha256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
                let der = pair.as_der()?;
                Ok((Self::Rsa(Box::new(pair)), der))
            }
        }
    }

    fn sign(&self, header: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
        match self {
            // RFC 8463, section 3: PureEdDSA over the SHA-256 digest.
            Self::Ed25519(pair) => Ok(pair.try_sign(&Sha256::digest(header))?.as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    header,
                    &mut signature,
                )?;
                Ok(signature)
            }
        }
    }
}

fn check_selector(selector: &str) -> Result<String, KeyFileError> {
    let name = DnsName::parse(selector).map_err(|_| KeyFileError::Selector)?;
    Ok(name.to_string())
}

#[async_trait]
impl DkimSigner for LocalDkimKey {
    fn domain(&self) -> &DnsName {
        &self.domain
    }

    fn selector(&self) -> &str {
        &self.selector
    }

    fn algorithm(&self) -> DkimAlgorithm {
        match self.pair {
            Pair::Ed25519(_) => DkimAlgorithm::Ed25519Sha256,
            Pair::Rsa(_) => DkimAlgorithm::RsaSha256,
        }
    }

    async fn sign(&self, header: &[u8]) -> Result<Vec<u8>, SigningError> {
        self.pair
            .sign(header)
            .map_err(|_| SigningError::BadKey("it does not sign"))
    }
}

impl fmt::Debug for LocalDkimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalDkimKey")
            .field("domain", &self.domain)
            .field("selector", &self.selector)
            .finish_non_exhaustive()
    }
}

/// DKIM keys of this process, found by their exact domain.
#[derive(Clone, Debug, Default)]
pub struct LocalKeys(BTreeMap<DnsName, Vec<Arc<dyn DkimSigner>>>);

impl LocalKeys {
    /// These keys; those of one domain sign in their order.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = LocalDkimKey>) -> Self {
        let mut map: BTreeMap<DnsName, Vec<Arc<dyn DkimSigner>>> = BTreeMap::new();
        for key in keys {
            map.entry(key.domain.clone())
                .or_default()
                .push(Arc::new(key));
        }
        Self(map)
    }
}

#[async_trait]
impl SigningKeys for LocalKeys {
    async fn signers(&self, domain: &DnsName) -> Result<Vec<Arc<dyn DkimSigner>>, SigningError> {
        Ok(self.0.get(domain).cloned().unwrap_or_default())
    }
}
