//! The certificate that a listener shows: key, signature, time left (Internet.nl, checks of certificates).

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use securemail_core::vocab::UnixTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

use super::report::{Level, advice, fail, good};

/// Below this an RSA key is being phased out (NCSC-NL, 2025-05).
const RSA_BITS_GOOD: usize = 3072;
const RSA_BITS_MIN: usize = 2048;
const EC_BITS_MIN: usize = 256;
/// Time to notice that renewal fails.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 86_400);
const DAY: i64 = 86_400;

/// Signatures with SHA-256 or better, by object identifier.
const GOOD_SIGNATURES: &[&str] = &[
    "1.2.840.113549.1.1.11", // RSA, SHA-256
    "1.2.840.113549.1.1.12", // RSA, SHA-384
    "1.2.840.113549.1.1.13", // RSA, SHA-512
    "1.2.840.113549.1.1.10", // RSA-PSS
    "1.2.840.10045.4.3.2",   // ECDSA, SHA-256
    "1.2.840.10045.4.3.3",   // ECDSA, SHA-384
    "1.2.840.10045.4.3.4",   // ECDSA, SHA-512
    "1.3.101.112",           // Ed25519
];

/// What the leaf of a chain is worth, by check.
pub fn judge(chain: &[CertificateDer<'_>], now: UnixTime) -> Vec<(&'static str, (Level, String))> {
    let leaf = chain.first().and_then(|leaf| {
        let (rest, certificate) = X509Certificate::from_der(leaf).ok()?;
        rest.is_empty().then_some(certificate)
    });
    let Some(leaf) = leaf else {
        return vec![("cert_pubkey", fail("no certificate that can be read"))];
    };
    vec![
        ("cert_pubkey", judge_key(&leaf)),
        ("cert_signature", judge_signature(&leaf)),
        ("cert_expiry", judge_time(&leaf, now)),
    ]
}

fn judge_key(leaf: &X509Certificate<'_>) -> (Level, String) {
    match leaf.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => match key.key_size() {
            bits if bits >= RSA_BITS_GOOD => good(format!("RSA, {bits} bits")),
            bits if bits >= RSA_BITS_MIN => advice(format!(
                "RSA, {bits} bits, is being phased out; make an ECDSA key (P-256) next time"
            )),
            bits => fail(format!(
                "RSA, {bits} bits, is too weak; make an ECDSA key (P-256)"
            )),
        },
        Ok(PublicKey::EC(point)) if point.key_size() >= EC_BITS_MIN => {
            good(format!("elliptic curve, {} bits", point.key_size()))
        }
        Ok(PublicKey::Unknown(_)) => good("a key of a newer kind"),
        Ok(_) | Err(_) => fail("a key that is not safe; make an ECDSA key (P-256)"),
    }
}

fn judge_signature(leaf: &X509Certificate<'_>) -> (Level, String) {
    let algorithm = leaf.signature_algorithm.algorithm.to_id_string();
    if leaf.issuer() == leaf.subject() {
        return good("self-signed; its signature is not relied on");
    }
    if GOOD_SIGNATURES.contains(&algorithm.as_str()) {
        good("SHA-256 or better")
    } else {
        fail(format!("the signature ({algorithm}) is not safe"))
    }
}

fn judge_time(leaf: &X509Certificate<'_>, now: UnixTime) -> (Level, String) {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let left = leaf.validity().not_after.timestamp().saturating_sub(now);
    if now < leaf.validity().not_before.timestamp() {
        return fail("not valid yet");
    }
    if left < 0 {
        return fail("expired");
    }
    let days = left.checked_div(DAY).unwrap_or_default();
    let soon = i64::try_from(EXPIRES_SOON.as_secs()).unwrap_or(i64::MAX);
    if left < soon {
        fail(format!("{days} days left; renew it now"))
    } else {
        good(format!("{days} days left"))
    }
}
