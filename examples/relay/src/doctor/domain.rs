//! What our own domains publish: DMARC, DKIM keys, signed zones (Internet.nl, checks of a sending domain).

use std::collections::BTreeMap;

use securemail_core::backend::Resolver;
use securemail_core::dkim::LocalDkimKey;
use securemail_core::vocab::DnsName;

use super::lookup::{Found, exchangers, texts};
use super::report::{Level, Report, advice, fail, good, unknown};
use super::spf;

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
    let (record, policy) = dmarc(resolver, domain).await;
    report.add(domain, "dmarc", record);
    if let Some(policy) = policy {
        report.add(domain, "dmarc_policy", policy);
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

/// The record (RFC 7489, section 6.6.3), and what it asks for.
async fn dmarc(
    resolver: &dyn Resolver,
    domain: &DnsName,
) -> ((Level, String), Option<(Level, String)>) {
    let Ok(name) = domain.below("_dmarc") else {
        return (unknown("the name is too long"), None);
    };
    let texts = match texts(resolver, &name).await {
        Found::Records(texts, _) => texts,
        Found::Absent(_) => Vec::new(),
        Found::Unknown(why) => return (unknown(why), None),
    };
    let mut records = texts.iter().filter(|text| is_dmarc(text));
    match (records.next(), records.next()) {
        (Some(record), None) => (good(record.clone()), Some(judge_dmarc(record))),
        (Some(_), Some(_)) => (
            fail("more than one DMARC record; receivers then use none"),
            None,
        ),
        (None, _) => (
            fail(format!(
                "no DMARC record; publish {name} TXT \"v=DMARC1; p=reject; rua=mailto:ADDRESS\""
            )),
            None,
        ),
    }
}

fn is_dmarc(text: &str) -> bool {
    text.split(';').next().is_some_and(|first| {
        first
            .split_once('=')
            .is_some_and(|(tag, value)| tag.trim() == "v" && value.trim() == "DMARC1")
    })
}

fn judge_dmarc(record: &str) -> (Level, String) {
    let tags = tags(record);
    let is_test = tags.get("t").is_some_and(|value| value == "y");
    match (tags.get("p").map(String::as_str), is_test) {
        (Some("reject"), false) => good("p=reject"),
        (Some("reject"), true) => good("p=reject with t=y, which counts as quarantine"),
        (Some("quarantine"), false) => good("p=quarantine"),
        (Some("quarantine"), true) => fail("t=y makes p=quarantine count for nothing"),
        (Some("none"), _) => {
            fail("p=none lets forged mail through; write p=quarantine or p=reject")
        }
        _ => fail("no policy that receivers know; write p=quarantine or p=reject"),
    }
}

/// Tags of a `tag=value;` list, names and values in lower case.
fn tags(record: &str) -> BTreeMap<String, String> {
    let pairs = record.split(';').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(tag, value)| {
            let tidy = |text: &str| text.trim().to_ascii_lowercase();
            (tidy(tag), tidy(value))
        })
        .collect()
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
    fn a_policy_that_does_nothing_is_wrong() {
        let level = |record| judge_dmarc(record).0;
        assert_eq!(level("v=DMARC1; p=reject"), Level::Good);
        assert_eq!(
            level("v=DMARC1;p=quarantine; rua=mailto:d@example.org"),
            Level::Good
        );
        assert_eq!(level("v=DMARC1; p=none"), Level::Fail);
        assert_eq!(level("v=DMARC1; p=quarantine; t=y"), Level::Fail);
        assert_eq!(level("v=DMARC1; p=reject; t=y"), Level::Good);
        assert_eq!(level("v=DMARC1"), Level::Fail);
        assert!(is_dmarc("v = DMARC1; p=none"));
        assert!(!is_dmarc("v=DMARC2; p=none"));
    }

    #[test]
    fn a_key_is_compared_without_its_blanks_and_with_its_case() {
        assert_eq!(public_half("v=DKIM1; p=AB cd"), Some("ABcd".to_owned()));
        assert_ne!(public_half("p=ABCD"), public_half("p=ABcd"));
        assert_eq!(public_half("v=DKIM1"), None);
    }
}
