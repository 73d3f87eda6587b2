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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
    use securemail_testkit::ca::TestCa;

    use super::*;

    /// RSA 1024, and a signature with SHA-1; `README.md` beside them says how they were made.
    const WEAK: &[u8] =
        include_bytes!("../../../../crates/securemail-core/tests/certificates/weak.der");
    const SHA1: &[u8] =
        include_bytes!("../../../../crates/securemail-core/tests/certificates/sha1.der");
    /// 2019-01-01 to 2020-01-01: the validity of a certificate of the test CA that is called expired.
    const NOT_BEFORE: u64 = 1_546_300_800;
    const NOT_AFTER: u64 = 1_577_836_800;
    const TODAY: UnixTime = UnixTime::from_secs(1_795_262_400);

    fn level(leaf: &[u8], check: &str, now: UnixTime) -> Option<Level> {
        let chain = [CertificateDer::from(leaf)];
        let found = judge(&chain, now);
        let mut of = found.iter().filter(|(name, _)| *name == check);
        of.next().map(|(_, (level, _))| *level)
    }

    fn of_rsa(bits: RsaKeySize) -> Vec<u8> {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, bits).unwrap();
        let params = CertificateParams::new(vec!["relay.test".to_owned()]).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn an_elliptic_curve_is_good_and_rsa_as_far_as_it_is_long() {
        let curve = TestCa::self_signed(&["relay.test"]).unwrap().leaf_der;
        for (leaf, wanted) in [
            (curve, Level::Good),
            (of_rsa(RsaKeySize::_3072), Level::Good),
            (of_rsa(RsaKeySize::_2048), Level::Advice),
            (WEAK.to_vec(), Level::Fail),
            (b"no certificate".to_vec(), Level::Fail),
        ] {
            assert_eq!(level(&leaf, "cert_pubkey", TODAY), Some(wanted));
        }
        let none = judge(&[], TODAY);
        assert_eq!(none.len(), 1);
        assert_eq!(none[0].1.0, Level::Fail);
    }

    #[test]
    fn a_signature_with_sha_1_is_wrong() {
        let ca = TestCa::new().unwrap();
        let good = ca.issue(&["relay.test"]).unwrap().leaf_der;
        assert_eq!(level(&good, "cert_signature", TODAY), Some(Level::Good));
        assert_eq!(level(SHA1, "cert_signature", TODAY), Some(Level::Fail));
    }

    #[test]
    fn two_weeks_before_its_end_a_certificate_is_wrong_already() {
        let ca = TestCa::new().unwrap();
        let leaf = ca.issue_expired(&["relay.test"]).unwrap().leaf_der;
        let soon = NOT_AFTER - EXPIRES_SOON.as_secs();
        for (now, wanted) in [
            (NOT_BEFORE - 1, Level::Fail),
            (NOT_BEFORE, Level::Good),
            (soon, Level::Good),
            (soon + 1, Level::Fail),
            (NOT_AFTER, Level::Fail),
            (NOT_AFTER + 1, Level::Fail),
            (u64::MAX / 1000, Level::Fail),
        ] {
            let found = level(&leaf, "cert_expiry", UnixTime::from_secs(now));
            assert_eq!(found, Some(wanted), "at {now}");
        }
    }
}
