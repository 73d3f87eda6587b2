//! The relay's own certificate: from the settings, or made here and said loudly.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::settings::Settings;
use crate::terminal;

/// A certificate chain with its key.
#[derive(Debug)]
pub struct Certificate {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// No certificate could be had; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{file}: {source}; put the certificate chain and its key there as PEM")]
    Read {
        file: String,
        source: rustls::pki_types::pem::Error,
    },
    #[error("[tls] needs both `certificate` and `key`, or neither")]
    Half,
    #[error("no certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("the certificate could not be kept: {0}")]
    Keep(#[from] io::Error),
}

/// The certificate that this program shows; a self-signed one is said loudly.
///
/// # Errors
/// Where none can be had.
pub fn own(settings: &Settings) -> Result<Certificate, CertificateError> {
    let (certificate, self_signed) = certificate(settings)?;
    if self_signed {
        terminal::warn(
            "no [tls] certificate: using a self-signed one, which clients must be told to trust",
        );
    }
    Ok(certificate)
}

/// Whether certificate and key are both named, or neither.
///
/// # Errors
/// Where one half is missing.
pub const fn is_whole(settings: &Settings) -> Result<(), CertificateError> {
    match (&settings.tls.certificate, &settings.tls.key) {
        (Some(_), Some(_)) | (None, None) => Ok(()),
        (Some(_), None) | (None, Some(_)) => Err(CertificateError::Half),
    }
}

/// Whether the certificate that the settings name can be read. Nothing is made where they name none.
///
/// # Errors
/// Where it cannot.
pub fn can_be_read(settings: &Settings) -> Result<(), CertificateError> {
    match (&settings.tls.certificate, &settings.tls.key) {
        (Some(certificate), Some(key)) => read(certificate, key).map(drop),
        (Some(_), None) | (None, Some(_)) | (None, None) => is_whole(settings),
    }
}

/// The certificate of the settings, or a self-signed one in `data_dir`. `true` where it is self-signed.
///
/// # Errors
/// Where neither can be had.
fn certificate(settings: &Settings) -> Result<(Certificate, bool), CertificateError> {
    match (&settings.tls.certificate, &settings.tls.key) {
        (Some(certificate), Some(key)) => Ok((read(certificate, key)?, false)),
        (None, None) => self_signed(settings).map(|certificate| (certificate, true)),
        (Some(_), None) | (None, Some(_)) => Err(CertificateError::Half),
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Certificate, CertificateError> {
    let wrong = |file: &Path| {
        let file = file.display().to_string();
        move |source| CertificateError::Read { file, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(wrong(certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(wrong(key))?;
    Ok(Certificate { chain, key })
}

/// Made once and kept, so that clients that pinned it go on working.
fn self_signed(settings: &Settings) -> Result<Certificate, CertificateError> {
    let directory = settings.relay.data_dir.join("tls");
    let (certificate, key) = (
        directory.join("self-signed.pem"),
        directory.join("self-signed.key"),
    );
    if !certificate.exists() || !key.exists() {
        fs::create_dir_all(&directory)?;
        let mut names = vec![settings.relay.hostname.to_string(), "localhost".to_owned()];
        names.push("127.0.0.1".to_owned());
        let made = rcgen::generate_simple_self_signed(names)?;
        write_private(&key, made.signing_key.serialize_pem().as_bytes())?;
        fs::write(&certificate, made.cert.pem())?;
    }
    read(&certificate, &key)
}

/// Writes a file that only its owner reads.
///
/// # Errors
/// Where it cannot be written.
pub fn write_private(path: &Path, octets: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(octets)
}

/// TLS for the web listener.
///
/// # Errors
/// Where certificate and key do not fit.
pub fn web_config(certificate: &Certificate) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificate.chain.clone(), certificate.key.clone_key())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Ours is the better order (NCSC-NL, 2025-05, guideline on the order of algorithms).
    config.ignore_client_order = true;
    Ok(Arc::new(config))
}
