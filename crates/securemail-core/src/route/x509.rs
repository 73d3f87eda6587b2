//! The few facts of a certificate that webpki does not tell.

use sha2::{Digest, Sha256, Sha512};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use super::PeerFailure;
use crate::vocab::{Tlsa, UnixTime};

/// Bits below which an RSA key is weak (CA/Browser Forum Baseline Requirements, section 6.1.5).
const RSA_BITS_MIN: usize = 2048;

/// The `SubjectPublicKeyInfo` (DER) of a certificate, of any version and with any extensions.
///
/// A TLS verifier needs it where webpki refuses to read the leaf (X.509 v1, an unknown critical
/// extension) although DANE-EE accepts it (RFC 7671, section 5.1). `None` if it is no certificate.
#[must_use]
pub fn public_key(certificate: &[u8]) -> Option<Vec<u8>> {
    read(certificate).map(|certificate| certificate.public_key().raw.to_vec())
}

/// Until when a certificate (DER) is valid. `None` if it is no certificate.
#[must_use]
pub fn valid_until(certificate: &[u8]) -> Option<UnixTime> {
    let until = read(certificate)?.validity().not_after.timestamp();
    u64::try_from(until).ok().map(UnixTime::from_secs)
}

/// Whether a certificate is in its validity. `false` if it is no certificate.
pub(super) fn is_valid_at(certificate: &[u8], now: UnixTime) -> bool {
    read(certificate).is_some_and(|certificate| is_valid(&certificate, now))
}

fn is_valid(certificate: &X509Certificate<'_>, now: UnixTime) -> bool {
    let secs = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = certificate.validity();
    (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&secs)
}

/// Whether a TLSA record is the association of this certificate (RFC 6698, section 2.1).
pub(super) fn matches(record: &Tlsa, certificate: &[u8]) -> bool {
    match record.selector {
        0 => matches_octets(record, certificate),
        1 => public_key(certificate).is_some_and(|key| matches_octets(record, &key)),
        _ => false,
    }
}

fn matches_octets(record: &Tlsa, octets: &[u8]) -> bool {
    match record.matching {
        0 => record.data == octets,
        1 => record.data == Sha256::digest(octets).as_slice(),
        2 => record.data == Sha512::digest(octets).as_slice(),
        _ => false,
    }
}

/// Whether these octets are one certificate and nothing else.
pub(super) fn is_certificate(octets: &[u8]) -> bool {
    read(octets).is_some()
}

/// Whether these octets are one `SubjectPublicKeyInfo` and nothing else.
pub(super) fn is_public_key(octets: &[u8]) -> bool {
    SubjectPublicKeyInfo::from_der(octets).is_ok_and(|(rest, _)| rest.is_empty())
}

/// Whether the key of this certificate is too weak to be believed (CE-09).
pub(super) fn has_weak_key(certificate: &[u8]) -> bool {
    let Some(certificate) = read(certificate) else {
        return true;
    };
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => key.key_size() < RSA_BITS_MIN,
        Ok(PublicKey::DSA(_)) | Err(_) => true,
        Ok(_) => false,
    }
}

/// The issuer of a certificate, as webpki writes the subject of an anchor: without tag and length.
pub(super) fn issuer(certificate: &[u8]) -> Option<Vec<u8>> {
    let certificate = read(certificate)?;
    sequence_content(certificate.issuer().as_raw()).map(<[u8]>::to_vec)
}

/// Checks what webpki forgets about a trust anchor that is a certificate: that it is a CA, is valid
/// now and may sign for servers (RFC 7671, section 5.2.1). Gives its path length constraint.
pub(super) fn check_anchor(octets: &[u8], now: UnixTime) -> Result<Option<usize>, PeerFailure> {
    let refuse = |why: &str| Err(PeerFailure::Misused(why.to_owned()));
    let Some(certificate) = read(octets) else {
        let why = "the trust anchor is not a certificate".to_owned();
        return Err(PeerFailure::Certificate(why));
    };
    if !is_valid(&certificate, now) {
        return Err(PeerFailure::IssuerExpired);
    }
    let mut path_length = None;
    let mut is_ca = false;
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) => {
                is_ca = constraints.ca;
                path_length = constraints
                    .path_len_constraint
                    .map(|length| usize::try_from(length).unwrap_or(usize::MAX));
            }
            ParsedExtension::KeyUsage(usage) if !usage.key_cert_sign() => {
                return refuse("the trust anchor may not sign certificates");
            }
            ParsedExtension::ExtendedKeyUsage(usage) if !(usage.server_auth || usage.any) => {
                return refuse("the trust anchor is not for servers");
            }
            _ => {}
        }
    }
    if is_ca {
        Ok(path_length)
    } else {
        refuse("the trust anchor is not a certificate authority")
    }
}

/// A name in words, from its content without tag and length.
pub(super) fn name_in_words(content: &[u8]) -> String {
    let mut der = vec![0x30];
    match content.len() {
        length @ 0..=0x7f => der.extend(u8::try_from(length)),
        length => {
            let octets = length.to_be_bytes();
            let significant: Vec<u8> = octets.into_iter().skip_while(|octet| *octet == 0).collect();
            der.extend(u8::try_from(significant.len()).map(|count| 0x80 | count));
            der.extend(significant);
        }
    }
    der.extend_from_slice(content);
    X509Name::from_der(&der).map_or_else(
        |_| "a root without a name".to_owned(),
        |(_, name)| name.to_string(),
    )
}

fn read(octets: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, certificate) = X509Certificate::from_der(octets).ok()?;
    rest.is_empty().then_some(certificate)
}

/// The content of a DER sequence, without its tag and length.
pub(super) fn sequence_content(der: &[u8]) -> Option<&[u8]> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *tag != 0x30 {
        return None;
    }
    if *first < 0x80 {
        return (rest.len() == usize::from(*first)).then_some(rest);
    }
    // The parser has read it before, so the long form is well formed.
    rest.get(usize::from(*first & 0x7f)..)
}
