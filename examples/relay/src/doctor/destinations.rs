//! Where reports go: whether the receiver agreed, and takes mail at all (RFC 7489, section 7.1; RFC 9990).
//!
//! A domain may ask that reports about it go to another one. Whoever sends them asks that other one first.

use std::collections::{BTreeMap, BTreeSet};

use securemail_core::backend::Resolver;
use securemail_core::tlsrpt::ReportUri;
use securemail_core::vocab::{Address, DnsName};

use super::dmarc::{is_dmarc, organization};
use super::lookup::{Found, exchangers, takes_no_mail, texts};
use super::report::{Level, advice, fail, good, unknown};

/// Places that are looked at of one record; senders use two at least (RFC 7489, section 6.2).
const PLACES_MAX: usize = 10;

/// The places that a DMARC record of `owner` names; `None` where it names none.
pub async fn of_dmarc(
    resolver: &dyn Resolver,
    owner: &DnsName,
    tags: &BTreeMap<String, String>,
) -> Option<(Level, String)> {
    let lists = ["rua", "ruf"].into_iter().filter_map(|tag| tags.get(tag));
    let places: Vec<&str> = lists.flat_map(|list| list.split(',')).collect();
    if places.is_empty() {
        return None;
    }
    let mut domains = BTreeSet::new();
    for place in places.into_iter().take(PLACES_MAX) {
        match mailbox(place) {
            Some(address) => drop(domains.insert(address.domain().clone())),
            None => {
                let text = format!(
                    "\"{}\" is no place for reports; write mailto:ADDRESS",
                    place.trim()
                );
                return Some(fail(text));
            }
        }
    }
    for domain in &domains {
        if let Some(found) = agreed(resolver, owner, domain).await {
            return Some(found);
        }
        if let Some(found) = deaf(resolver, domain).await {
            return Some(found);
        }
    }
    Some(good("whoever is to get reports agreed, and takes mail"))
}

/// The places that a TLSRPT record names: only that they take mail; nobody asks for more (RFC 8460, section 3).
pub async fn of_tlsrpt(resolver: &dyn Resolver, places: &[ReportUri]) -> Option<(Level, String)> {
    for place in places {
        if let ReportUri::Mailto(address) = place
            && let Some(found) = deaf(resolver, address.domain()).await
        {
            return Some(found);
        }
    }
    None
}

/// The mailbox of a place, with or without a size behind it (RFC 7489, section 6.4).
fn mailbox(place: &str) -> Option<Address> {
    let place = place.trim();
    let (uri, _) = place.split_once('!').unwrap_or((place, ""));
    let (scheme, rest) = uri.split_once(':')?;
    let (address, _) = rest.split_once('?').unwrap_or((rest, ""));
    if !scheme.eq_ignore_ascii_case("mailto") {
        return None;
    }
    address.parse().ok()
}

/// What is wrong where reports about `owner` go to `domain`; `None` where it agreed, or need not.
async fn agreed(
    resolver: &dyn Resolver,
    owner: &DnsName,
    domain: &DnsName,
) -> Option<(Level, String)> {
    if domain == owner {
        return None;
    }
    let (one, other) = match (
        organization(resolver, owner).await,
        organization(resolver, domain).await,
    ) {
        (Ok(one), Ok(other)) => (one, other),
        (Err(why), _) | (_, Err(why)) => return Some(unknown(why)),
    };
    if one == other {
        return None;
    }
    let Ok(name) = domain.below(&format!("{owner}._report._dmarc")) else {
        return Some(unknown("the name is too long"));
    };
    match texts(resolver, &name).await {
        Found::Records(texts, _) if texts.iter().any(|text| is_dmarc(text)) => None,
        Found::Unknown(why) => Some(unknown(format!("{name}: {why}"))),
        Found::Records(..) | Found::Absent(_) => Some(fail(format!(
            "{domain} did not agree to get reports about {owner}, so nobody sends any; let it publish \
             {name} TXT \"v=DMARC1\""
        ))),
    }
}

/// What is wrong where a domain takes no mail.
async fn deaf(resolver: &dyn Resolver, domain: &DnsName) -> Option<(Level, String)> {
    let found = exchangers(resolver, domain).await;
    let why = takes_no_mail(resolver, domain, &found).await?;
    Some(advice(format!(
        "reports by mail to {domain} are lost: {why}"
    )))
}

#[cfg(test)]
mod tests {
    use securemail_core::vocab::{LookupFailure, Outcome, RecordKind, Security};
    use securemail_testkit::scripted::ScriptedDns;

    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    fn text(dns: &ScriptedDns, owner: &str, text: &str) {
        let texts = Outcome::Txt(vec![text.to_owned()]);
        dns.put(&name(owner), RecordKind::Txt, texts, Security::Secure);
    }

    /// `example.org` and `reports.test`, which take mail.
    fn dns() -> ScriptedDns {
        let dns = ScriptedDns::default();
        for domain in ["example.org", "reports.test"] {
            let host = name("mx.reports.test");
            dns.mail(&name(domain), &[&host], Security::Secure);
        }
        text(&dns, "_dmarc.example.org", "v=DMARC1; p=reject");
        dns
    }

    async fn level(dns: &ScriptedDns, tag: &str, places: &str) -> Option<Level> {
        let tags = BTreeMap::from([(tag.to_owned(), places.to_owned())]);
        let found = of_dmarc(dns, &name("example.org"), &tags).await;
        found.map(|(level, _)| level)
    }

    #[tokio::test]
    async fn another_domain_gets_reports_only_where_it_agreed() {
        let dns = dns();
        for tag in ["rua", "ruf"] {
            let elsewhere = level(&dns, tag, "mailto:d@reports.test").await;
            assert_eq!(elsewhere, Some(Level::Fail), "{tag}");
        }
        let agreed = "example.org._report._dmarc.reports.test";
        text(&dns, agreed, "hello");
        let places = "mailto:d@example.org, mailto:d@reports.test!10m";
        assert_eq!(level(&dns, "rua", places).await, Some(Level::Fail));
        text(&dns, agreed, "v=DMARC1");
        assert_eq!(level(&dns, "rua", places).await, Some(Level::Good));
        dns.fail(&name(agreed), RecordKind::Txt, LookupFailure::Timeout);
        assert_eq!(level(&dns, "rua", places).await, Some(Level::Unknown));
    }

    #[tokio::test]
    async fn a_domain_of_the_same_organization_need_not_agree() {
        let dns = dns();
        let host = name("mx.reports.test");
        dns.mail(&name("d.example.org"), &[&host], Security::Secure);
        let inside = level(&dns, "rua", "mailto:x@d.example.org").await;
        assert_eq!(inside, Some(Level::Good));
        assert_eq!(level(&dns, "fo", "1").await, None, "no place at all");
    }

    #[tokio::test]
    async fn a_place_that_is_none_is_wrong() {
        for place in [
            "d@example.org",
            "https://example.org/",
            "mailto:example.org",
        ] {
            assert_eq!(
                level(&dns(), "rua", place).await,
                Some(Level::Fail),
                "{place}"
            );
        }
    }

    #[tokio::test]
    async fn reports_to_a_domain_that_takes_no_mail_are_lost() {
        let dns = dns();
        let place = "mailto:d@example.org";
        dns.remove(&name("example.org"), RecordKind::Mx);
        assert_eq!(level(&dns, "rua", place).await, Some(Level::Advice));
        let wish = [ReportUri::parse(place).unwrap()];
        let found = of_tlsrpt(&dns, &wish).await.map(|(level, _)| level);
        assert_eq!(found, Some(Level::Advice));
        let address = Outcome::Addresses(vec![[192, 0, 2, 1].into()]);
        dns.put(
            &name("example.org"),
            RecordKind::A,
            address,
            Security::Secure,
        );
        assert_eq!(level(&dns, "rua", place).await, Some(Level::Good));
        assert_eq!(of_tlsrpt(&dns, &wish).await, None);
    }
}
