//! A certificate authority for tests and demonstrations: certificates of every kind, good and bad.

use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no certificate could be made")]
pub struct CaError(#[from] rcgen::Error);

/// A root that signs leaf certificates. Its key never leaves the process.
pub struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for TestCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestCa").finish_non_exhaustive()
    }
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Issued {
    /// The leaf and, unless it is self-signed, the root: PEM.
    pub chain_pem: String,
    /// The private key: PKCS #8, PEM.
    pub key_pem: String,
    /// The leaf: DER.
    pub leaf_der: Vec<u8>,
    /// SHA-256 of the leaf's public key (SubjectPublicKeyInfo).
    pub spki_sha256: [u8; 32],
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

impl Issued {
    /// The data of a TLSA record `3 1 1` for the leaf: `3 1 1 <hex>`.
    #[must_use]
    pub fn tlsa_3_1_1(&self) -> String {
        format!("3 1 1 {}", hex(&self.spki_sha256))
    }

    /// The data of a TLSA record `3 0 1` for the leaf.
    #[must_use]
    pub fn tlsa_3_0_1(&self) -> String {
        format!("3 0 1 {}", hex(&Sha256::digest(&self.leaf_der)))
    }

    /// A TLS server that shows this certificate and asks none of its clients.
    ///
    /// # Errors
    /// Where rustls does not take the certificate or its key.
    pub fn server_config(&self) -> io::Result<Arc<ServerConfig>> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(self.chain_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(io::Error::other)?;
        let key =
            PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(io::Error::other)?;
        Ok(Arc::new(config))
    }
}

impl TestCa {
    /// Makes a root.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn new() -> Result<Self, CaError> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Test root, not for use");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer })
    }

    /// The root: PEM.
    #[must_use]
    pub fn root_pem(&self) -> String {
        self.issuer.pem()
    }

    /// The root: DER.
    #[must_use]
    pub fn root_der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// The data of a TLSA record `2 1 1` for the root.
    #[must_use]
    pub fn tlsa_2_1_1(&self) -> String {
        let spki = self.issuer.key().subject_public_key_info();
        format!("2 1 1 {}", hex(&Sha256::digest(spki)))
    }

    /// A good certificate for these names; a name that is an IP address becomes an address entry.
    ///
    /// # Errors
    /// Where a name cannot stand in a certificate.
    pub fn issue(&self, names: &[&str]) -> Result<Issued, CaError> {
        self.sign(&leaf(names)?)
    }

    /// A certificate for these names that ended long ago.
    ///
    /// # Errors
    /// Where a name cannot stand in a certificate.
    pub fn issue_expired(&self, names: &[&str]) -> Result<Issued, CaError> {
        let mut params = leaf(names)?;
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(&params)
    }

    /// A certificate for these names that only begins in a distant year.
    ///
    /// # Errors
    /// Where a name cannot stand in a certificate.
    pub fn issue_future(&self, names: &[&str]) -> Result<Issued, CaError> {
        let mut params = leaf(names)?;
        params.not_before = date_time_ymd(2090, 1, 1);
        params.not_after = date_time_ymd(2091, 1, 1);
        self.sign(&params)
    }

    /// A good certificate, but for another name: `wrong.invalid`.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn issue_wrong_name(&self) -> Result<Issued, CaError> {
        self.issue(&["wrong.invalid"])
    }

    /// A certificate that its own key signed; no root vouches for it.
    ///
    /// # Errors
    /// Where a name cannot stand in a certificate.
    pub fn self_signed(names: &[&str]) -> Result<Issued, CaError> {
        let key = KeyPair::generate()?;
        let certificate = leaf(names)?.self_signed(&key)?;
        Ok(issued(certificate.pem(), certificate.der(), &key))
    }

    fn sign(&self, params: &CertificateParams) -> Result<Issued, CaError> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = certificate.pem() + &self.issuer.pem();
        Ok(issued(chain, certificate.der(), &key))
    }
}

fn leaf(names: &[&str]) -> Result<CertificateParams, CaError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn issued(chain_pem: String, leaf: &CertificateDer<'_>, key: &KeyPair) -> Issued {
    Issued {
        chain_pem,
        key_pem: key.serialize_pem(),
        leaf_der: leaf.to_vec(),
        spki_sha256: Sha256::digest(key.subject_public_key_info()).into(),
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
