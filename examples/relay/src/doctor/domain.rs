//! What our own domains publish: signed zones, SPF, DMARC, DKIM keys (Internet.nl, checks of a sending domain).

use securemail_core::backend::Resolver;
use securemail_core::dkim::LocalDkimKey;
use securemail_core::vocab::DnsName;

use super::lookup::{Found, exchangers, texts};
use super::report::{Level, Report, advice, fail, good, unknown};
use super::{dmarc, spf};

/// Looks at a domain that we send for, with the keys that sign for it.
pub async fn look(
    resolver: &dyn Resolver,
    domain: &DnsName,
    keys: &[&LocalDkimKey],
    report: &mut Report,
) {
    report.add(domain, "dnssec", signed(resolver, domain).await);
    for (check, found) in spf::look(resolver, domain).await {
        report.add(domain, check, found);
    }
    for (check, found) in dmarc::look(resolver, domain).await {
        report.add(domain, check, found);
    }
    for key in keys {
        report.add(domain, "dkim", published(resolver, key).await);
    }
}

/// Whether the zone is signed. MX is asked because receivers of our bounces ask it too.
async fn signed(resolver: &dyn Resolver, domain: &DnsName) -> (Level, String) {
    match exchangers(resolver, domain).await {
        Found::Records(_, true) | Found::Absent(true) => good("signed, and validates"),
        Found::Records(_, false) | Found::Absent(false) => {
            fail("not signed; let the operator of the DNS switch DNSSEC on")
        }
        Found::Unknown(why) => unknown(why),
    }
}

/// Whether the public half of a key is where receivers look for it.
async fn published(resolver: &dyn Resolver, key: &LocalDkimKey) -> (Level, String) {
    let name = key.dns_name();
    let to_publish = || format!("publish {name} TXT \"{}\"", key.dns_record());
    let Ok(owner) = DnsName::parse(&name) else {
        return unknown(format!("{name} is not a name"));
    };
    let texts = match texts(resolver, &owner).await {
        Found::Records(texts, _) => texts,
        Found::Absent(_) => return fail(format!("the key is not published; {}", to_publish())),
        Found::Unknown(why) => return unknown(format!("{name}: {why}")),
    };
    let wanted = public_half(&key.dns_record());
    if texts.iter().any(|text| public_half(text) == wanted) {
        return match texts.len() {
            1 => good(format!("{name} has our key")),
            _ => advice(format!(
                "{name} has our key, and more records beside it; receivers may use either"
            )),
        };
    }
    fail(format!("{name} has another key; {}", to_publish()))
}

/// `p=` of a key record; blanks in it do not count (RFC 6376, section 3.6.1).
fn public_half(record: &str) -> Option<String> {
    let pairs = record.split(';').filter_map(|pair| pair.split_once('='));
    let mut halves = pairs.filter(|(tag, _)| tag.trim() == "p");
    halves
        .next()
        .map(|(_, value)| value.split_ascii_whitespace().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_compared_without_its_blanks_and_with_its_case() {
        assert_eq!(public_half("v=DKIM1; p=AB cd"), Some("ABcd".to_owned()));
        assert_ne!(public_half("p=ABCD"), public_half("p=ABcd"));
        assert_eq!(public_half("v=DKIM1"), None);
    }
}
