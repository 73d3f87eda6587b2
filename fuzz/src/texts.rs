//! Names, addresses, numbers, links, codes, certificates, and the texts of MTA-STS and DANE.

use securemail_core::mail::Link;
use securemail_core::pickup::{LinkSecret, SenderToken, code};
use securemail_core::route::{StsPolicy, announced_id, public_key, unusable, usable};
use securemail_core::seal::RecordCipher;
use securemail_core::secret::Key32;
use securemail_core::vocab::{Address, DnsName, PhoneNumber, Tlsa};

fn text(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap_or_default()
}

/// An address that is read prints to one that reads the same.
pub(crate) fn address(octets: &[u8]) {
    let Ok(address) = text(octets).parse::<Address>() else {
        return;
    };
    let printed = address.to_string();
    // A local part may be in letters (RFC 6531), a domain is in A-labels.
    assert!(address.domain().as_str().is_ascii());
    assert_eq!(printed.is_ascii(), !address.needs_utf8());
    assert!(!printed.contains(char::is_control));
    assert!(
        printed
            .parse::<Address>()
            .is_ok_and(|again| again == address)
    );
}

/// A name that is read is made of A-labels and reads the same again.
pub(crate) fn name(octets: &[u8]) {
    let Ok(name) = DnsName::parse(text(octets)) else {
        return;
    };
    assert!(name.as_str().len() <= 253 && name.as_str().is_ascii());
    assert!(DnsName::parse(name.as_str()).is_ok_and(|again| again == name));
}

/// A number that is read reads the same again.
pub(crate) fn number(octets: &[u8]) {
    let Ok(number) = text(octets).parse::<PhoneNumber>() else {
        return;
    };
    let again = number.expose().parse::<PhoneNumber>();
    assert!(again.is_ok_and(|again| again == number));
}

/// A link is a URL without control characters.
pub(crate) fn link(octets: &[u8]) {
    if let Ok(link) = Link::parse(text(octets)) {
        assert!(!link.expose().contains(char::is_control));
    }
}

/// A certificate, or none.
pub(crate) fn certificate(octets: &[u8]) {
    drop(public_key(octets));
}

/// A policy lives for a year at most, and names hosts that it names.
pub(crate) fn sts_policy(octets: &[u8]) {
    let Ok(policy) = StsPolicy::parse(&String::from_utf8_lossy(octets)) else {
        return;
    };
    assert!(policy.max_age.as_secs() <= 31_557_600);
    for host in policy.hosts() {
        let name = host.replacen("*.", "x.", 1);
        assert!(
            DnsName::parse(&name).is_ok_and(|name| policy.names(&name)),
            "{host}"
        );
    }
}

/// An id has at most 32 letters and digits. Lines stand for records.
pub(crate) fn sts_record(octets: &[u8]) {
    let records: Vec<String> = text(octets).lines().map(str::to_owned).collect();
    if let Some(id) = announced_id(&records) {
        assert!(id.len() <= 32 && id.bytes().all(|octet| octet.is_ascii_alphanumeric()));
    }
}

/// Records of any form: those that count are among those that are usable. Each begins with its length.
pub(crate) fn tlsa(mut octets: &[u8]) {
    let mut records = Vec::new();
    while let Some((&[length, usage, selector, matching], rest)) = octets.split_first_chunk() {
        let (data, rest) = rest.split_at(usize::from(length).min(rest.len()));
        records.push(Tlsa {
            usage,
            selector,
            matching,
            data: data.to_vec(),
        });
        octets = rest;
    }
    for record in usable(&records) {
        assert!(unusable(&record).is_none() && records.contains(&record));
    }
}

/// Codes have six digits, links and tokens read the same again, and nobody makes up a cookie.
pub(crate) fn token(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    if let Ok(code) = code::read(&text) {
        assert!(code.expose().len() == 6 && code.expose().bytes().all(|b| b.is_ascii_digit()));
    }
    if let Some(secret) = LinkSecret::parse(&text) {
        assert_eq!(secret.text().expose(), &*text);
    }
    if let Some(token) = SenderToken::parse(&text) {
        assert_eq!(token.text().expose(), &*text);
    }
    let cipher = RecordCipher::new(Key32::from_bytes([7; 32]));
    assert!(cipher.open(b"cookie", octets).is_err());
}
