//! rustls configuration, and handshake signatures of any certificate whose key can be read.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, Error,
    PeerMisbehaved, ProtocolVersion, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime,
};
use securemail_core::route::{Trust, public_key};

use super::floor;
use crate::handler::TlsFacts;

/// A server configuration with this certificate; clients may show theirs.
///
/// It allows what the floor does: TLS 1.3, or 1.2 with ECDHE and AEAD. Any client certificate may be shown, a
/// self-signed one too; it counts only where the directory knows it.
///
/// # Errors
/// Where certificate and key do not fit together.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, Error> {
    let provider = floor::provider();
    let signatures = HandshakeSignatures(provider.signature_verification_algorithms);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(floor::VERSIONS)?
        .with_client_cert_verifier(Arc::new(signatures))
        .with_single_cert(chain, key)?;
    // A client that offers protocols and not this one speaks something else: a handshake for another
    // service was sent here (RFC 9325, section 3.7). Mail clients offer none.
    config.alpn_protocols = vec![b"smtp".to_vec()];
    // Ours is the better order (NCSC-NL, 2025-05, guideline on the order of algorithms).
    config.ignore_client_order = true;
    Ok(config)
}

/// What `route::authenticate` needs besides certificates: these roots, and the algorithms of the
/// provider that does the handshakes.
#[must_use]
pub fn trust(roots: Vec<TrustAnchor<'static>>) -> Trust {
    Trust {
        roots,
        algorithms: default_provider().signature_verification_algorithms.all,
    }
}

/// How large a ClientHello is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HelloSize {
    /// Without hybrid key exchange, for peers that choke on more than one segment (C-08). Still TLS 1.2 or
    /// higher.
    Conservative,
    /// All that we can.
    Full,
}

/// A client configuration. It serves any number of attempts, since nothing of one session is kept for
/// the next: a resumed handshake shows no certificate (RFC 9325, section 3.4).
fn client_config(hello: HelloSize) -> Result<Arc<ClientConfig>, Error> {
    let provider = match hello {
        HelloSize::Conservative => floor::small_provider(),
        HelloSize::Full => floor::provider(),
    };
    let signatures = HandshakeSignatures(provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(floor::VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(signatures))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

/// The client configurations, made once.
pub(crate) struct ClientConfigs {
    full: Result<Arc<ClientConfig>, Error>,
    conservative: Result<Arc<ClientConfig>, Error>,
}

impl ClientConfigs {
    pub(crate) fn new() -> Self {
        Self {
            full: client_config(HelloSize::Full),
            conservative: client_config(HelloSize::Conservative),
        }
    }

    /// The configuration whose ClientHello is so large.
    pub(crate) fn of(&self, hello: HelloSize) -> Result<Arc<ClientConfig>, Error> {
        match hello {
            HelloSize::Conservative => self.conservative.clone(),
            HelloSize::Full => self.full.clone(),
        }
    }
}

/// The facts of a session whose handshake is complete.
pub(crate) fn facts(session: &CommonState) -> TlsFacts {
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2".to_owned(),
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3".to_owned(),
        other => format!("{other:?}"),
    };
    TlsFacts {
        version,
        cipher: session
            .negotiated_cipher_suite()
            .map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
        group: session
            .negotiated_key_exchange_group()
            .map_or_else(String::new, |group| format!("{:?}", group.name())),
    }
}

/// Checks that the peer holds the key of the certificate it shows, and nothing else.
///
/// Who the peer is, is not decided here: for servers `route::authenticate` does it before MAIL, for
/// clients the directory. The key is taken out of the certificate, and not the certificate parsed as
/// WebPKI wants it, because usage 3 of DANE vouches for keys in certificates of any form (RFC 7671,
/// section 5.1).
#[derive(Debug)]
struct HandshakeSignatures(WebPkiSupportedAlgorithms);

impl HandshakeSignatures {
    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = key_of(certificate)?;
        let key = webpki::RawPublicKeyEntity::try_from(&key).map_err(|_| bad_encoding())?;
        let (_, algorithms) = self
            .0
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == signed.scheme)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        // A scheme of TLS 1.2 leaves the curve open, so each algorithm of it is tried.
        algorithms
            .iter()
            .any(|algorithm| {
                key.verify_signature(*algorithm, message, signed.signature())
                    .is_ok()
            })
            .then(HandshakeSignatureValid::assertion)
            .ok_or(Error::InvalidCertificate(CertificateError::BadSignature))
    }

    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(message, &key_of(certificate)?, signed, &self.0)
    }
}

fn key_of(certificate: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    public_key(certificate)
        .map(SubjectPublicKeyInfoDer::from)
        .ok_or_else(bad_encoding)
}

const fn bad_encoding() -> Error {
    Error::InvalidCertificate(CertificateError::BadEncoding)
}

impl ServerCertVerifier for HandshakeSignatures {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

impl ClientCertVerifier for HandshakeSignatures {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
