//! The least that a TLS session may be, and what is preferred: NCSC-NL, TLS guidelines 2025-05.
//!
//! Versions, suites and groups are written out, so that a later rustls with other defaults changes nothing in them.
//! Everything is *good* or *sufficient* there; nothing that is to be phased out is offered. Signatures are checked by
//! the algorithms that rustls has; they follow its releases. None is by SHA-1 or an RSA key below 2048 bits.

use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// TLS 1.3, and 1.2 for those who lack it (RFC 8996; RFC 9325, section 3.1.1).
pub(super) const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Authenticated encryption with ephemeral keys only: no CBC, no key exchange by RSA, no finite fields.
const SUITES: &[SupportedCipherSuite] = &[
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

/// With a part that a quantum computer does not break first: what is recorded today stays closed.
const HYBRID_GROUPS: &[&dyn SupportedKxGroup] =
    &[kx_group::X25519MLKEM768, kx_group::SECP256R1MLKEM768];

/// Elliptic curves alone, for peers that have no more.
const CURVES: &[&dyn SupportedKxGroup] =
    &[kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// The provider with all that the floor allows.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: SUITES.to_vec(),
        kx_groups: [HYBRID_GROUPS, CURVES].concat(),
        ..default_provider()
    }
}

/// The same without hybrid groups, whose ClientHello fills more than one segment.
pub(super) fn small_provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: CURVES.to_vec(),
        ..provider()
    }
}
