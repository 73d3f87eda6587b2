//! Names, addresses, numbers, links, codes, certificates, and the texts of MTA-STS and DANE.

use securemail_core::ledger::{EventName, Fact};
use securemail_core::mail::{Link, Reference};
use securemail_core::pickup::{LinkSecret, SenderToken, code};
use securemail_core::route::{Network, StsPolicy, announced_id, public_key, unusable, usable};
use securemail_core::seal::RecordCipher;
use securemail_core::secret::Key32;
use securemail_core::tlsrpt::UtcDay;
use securemail_core::vocab::{
    Address, Alarm, DnsName, PhoneNumber, QueueId, TenantId, Tlsa, VaultId,
};

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

/// What names a thing has one spelling, but for the case of letters: it prints as it was read.
pub(crate) fn id(octets: &[u8]) {
    let text = text(octets);
    let printed = [
        text.parse::<VaultId>().map(|id| id.to_string()).ok(),
        text.parse::<QueueId>().map(|id| id.to_string()).ok(),
        text.parse::<TenantId>().map(|id| id.to_string()).ok(),
        text.parse::<EventName>().map(|name| name.to_string()).ok(),
        text.parse::<Fact>().map(|fact| fact.to_string()).ok(),
        text.parse::<Alarm>().map(|alarm| alarm.to_string()).ok(),
        text.parse::<UtcDay>().map(|day| day.to_string()).ok(),
    ];
    for printed in printed.into_iter().flatten() {
        assert!(text.eq_ignore_ascii_case(&printed), "{text}: {printed}");
    }
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string().parse(), Ok(reference));
        let signs = text.bytes().filter(u8::is_ascii_alphanumeric).count();
        assert_eq!(signs, 6, "{text}");
    }
}

/// A network that is read prints to itself, and holds its own address.
pub(crate) fn network(octets: &[u8]) {
    let text = text(octets);
    let Ok(network) = text.parse::<Network>() else {
        return;
    };
    let printed = network.to_string();
    assert_eq!(printed.parse(), Ok(network), "{text}");
    let (address, prefix) = printed.split_once('/').unwrap_or((&printed, ""));
    assert!(address.parse().is_ok_and(|own| network.contains(own)));
    // One way to write a length (RFC 4632, section 3.1): digits.
    let written = text.split_once('/').map_or(prefix, |(_, written)| written);
    assert!(
        written.bytes().all(|octet| octet.is_ascii_digit()),
        "{text}"
    );
}

/// A link is a URL that breaks out of no line, no quotes and no brackets.
pub(crate) fn link(octets: &[u8]) {
    if let Ok(link) = Link::parse(text(octets)) {
        let link = link.expose();
        let breaks = |octet: u8| !octet.is_ascii_graphic() || b"\"'<>()\\".contains(&octet);
        assert!(!link.bytes().any(breaks) && link.len() <= octets.len());
        assert!(link.starts_with("https://") || link.starts_with("http://"));
    }
}

/// A certificate, or none.
pub(crate) fn certificate(octets: &[u8]) {
    drop(public_key(octets));
}

/// A policy lives for a year at most, and names hosts that it names: with a star one label more, and not two.
pub(crate) fn sts_policy(octets: &[u8]) {
    let Ok(policy) = StsPolicy::parse(&String::from_utf8_lossy(octets)) else {
        return;
    };
    assert!(policy.max_age.as_secs() <= 31_557_600);
    let text = String::from_utf8_lossy(octets);
    assert!(text.contains("STSv1") && text.contains("max_age"));
    for host in policy.hosts() {
        let name = host.replacen("*.", "x.", 1);
        assert!(
            DnsName::parse(&name).is_ok_and(|name| policy.names(&name)),
            "{host}"
        );
        if let Some(below) = host.strip_prefix("*.") {
            let is_named = |name: &str| {
                let hosts: Vec<String> = policy.hosts().filter(|other| *other != host).collect();
                let name = DnsName::parse(name).ok().filter(|_| hosts.is_empty());
                name.is_some_and(|name| policy.names(&name))
            };
            assert!(
                !is_named(below) && !is_named(&format!("x.y.{below}")),
                "{host}"
            );
            assert!(!is_named(&format!("x{below}")), "{host}");
        }
    }
}

/// An id has at most 32 letters and digits. Lines stand for records.
pub(crate) fn sts_record(octets: &[u8]) {
    let records: Vec<String> = text(octets).lines().map(str::to_owned).collect();
    if let Some(id) = announced_id(&records) {
        let announces = |record: &&String| record.starts_with("v=STSv1;");
        assert_eq!(records.iter().filter(announces).count(), 1);
        assert!(text(octets).contains(&format!("id={id}")));
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
    let usable = usable(&records);
    for record in &usable {
        assert!(unusable(record).is_none() && records.contains(record));
        // RFC 7672, section 3.1.3, and RFC 6698, sections 2.1.2 and 2.1.3.
        assert!(matches!(record.usage, 2 | 3) && record.selector <= 1);
        let length = record.data.len();
        assert!(matches!(
            (record.matching, length),
            (0, 1..) | (1, 32) | (2, 64)
        ));
        // Of digests only the strongest counts (RFC 7671, section 9).
        let is_stronger = |other: &&Tlsa| {
            (other.usage, other.selector) == (record.usage, record.selector)
                && other.matching > record.matching
        };
        assert!(record.matching == 0 || !usable.iter().any(|other| is_stronger(&other)));
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
