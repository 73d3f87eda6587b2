//! What our own domains publish: signed zones, SPF, DMARC, DKIM keys (Internet.nl, checks of a sending domain).

use securemail_core::backend::Resolver;
use securemail_core::dkim::LocalDkimKey;
use securemail_core::vocab::DnsName;

use super::lookup::{Found, exchangers, exists, texts};
use super::report::{Level, Report, advice, fail, good, unknown};
use super::{caa, dmarc, spf, unused};

/// Looks at a domain that we send for, with the keys that sign for it.
pub async fn look(resolver: &dyn Resolver, domain: &DnsName, keys: &[&LocalDkimKey]) -> Report {
    let (signed, answers, spf, dmarc, parent, mail_caa) = tokio::join!(
        signed(resolver, domain),
        unused::of_sender(resolver, domain),
        spf::look(resolver, domain),
        dmarc::look(resolver, domain),
        above_keys(resolver, domain),
        caa::of_mail(resolver, domain),
    );
    let mut report = Report::default();
    report.add(domain, "dnssec", signed);
    report.add(domain, "null_mx", answers);
    for (check, found) in spf.into_iter().chain(dmarc) {
        report.add(domain, check, found);
    }
    for key in keys {
        report.add(domain, "dkim", published(resolver, key).await);
    }
    if let Some(found) = parent {
        report.add(domain, "dkim", found);
    }
    report.add(domain, "mail_caa", mail_caa);
    report
}

/// What is wrong where the name above all keys is said not to exist. RFC 8020: below such a name there is nothing, and
/// resolvers that know that ask no further.
async fn above_keys(resolver: &dyn Resolver, domain: &DnsName) -> Option<(Level, String)> {
    let name = domain.below("_domainkey").ok()?;
    match exists(resolver, &name).await {
        Ok(true) => None,
        Ok(false) => Some(fail(format!(
            "the DNS says that {name} does not exist, so nobody looks for keys below it"
        ))),
        Err(why) => Some(unknown(format!("{name}: {why}"))),
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
    use securemail_core::vocab::{LookupFailure, Outcome, RecordKind, Security};
    use securemail_testkit::scripted::ScriptedDns;

    use super::*;

    #[tokio::test]
    async fn keys_below_a_name_that_is_denied_are_not_looked_for() {
        let dns = ScriptedDns::default();
        let domain = DnsName::parse("example.org").unwrap();
        let name = domain.below("_domainkey").unwrap();
        let level = async |dns: &ScriptedDns| {
            let found = above_keys(dns, &domain).await;
            found.map(|(level, _)| level)
        };
        assert_eq!(level(&dns).await, Some(Level::Fail));
        dns.put(&name, RecordKind::Txt, Outcome::NoData, Security::Secure);
        assert_eq!(level(&dns).await, None);
        dns.fail(&name, RecordKind::Txt, LookupFailure::Timeout);
        assert_eq!(level(&dns).await, Some(Level::Unknown));
    }

    #[test]
    fn a_key_is_compared_without_its_blanks_and_with_its_case() {
        assert_eq!(public_half("v=DKIM1; p=AB cd"), Some("ABcd".to_owned()));
        assert_ne!(public_half("p=ABCD"), public_half("p=ABcd"));
        assert_eq!(public_half("v=DKIM1"), None);
    }
}
