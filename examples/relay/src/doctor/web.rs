//! The name of the portal in the DNS: reachable, signed, and of no use to whoever forges mail (Internet.nl).

use std::collections::BTreeSet;

use securemail_core::backend::Resolver;
use securemail_core::vocab::{DnsName, RecordKind};

use super::lookup::{Found, addresses};
use super::report::{Report, fail, good, unknown};
use super::{caa, unused};

/// Looks at the portal's name; at what it says of mail only where it has no other job.
pub async fn look(
    resolver: &dyn Resolver,
    host: Option<&DnsName>,
    domains: &BTreeSet<DnsName>,
    hostname: &DnsName,
) -> Report {
    let mut report = Report::default();
    let Some(host) = host else {
        return report;
    };
    let (v4, v6, caa) = tokio::join!(
        addresses(resolver, host, RecordKind::A),
        addresses(resolver, host, RecordKind::Aaaa),
        caa::of_host(resolver, host),
    );
    let aaaa = match &v6 {
        Found::Absent(_) if matches!(v4, Found::Absent(_)) => {
            fail("it has no address, so links in notices lead nowhere")
        }
        Found::Records(..) => good("the portal has an IPv6 address"),
        Found::Absent(_) => fail("no IPv6 address; publish AAAA where the network has IPv6"),
        Found::Unknown(why) => unknown(why.clone()),
    };
    report.add(host, "web_aaaa", aaaa);
    let is_proved = |found: &Found<_>| match found {
        Found::Records(_, is_proved) | Found::Absent(is_proved) => Ok(*is_proved),
        Found::Unknown(why) => Err(why.clone()),
    };
    let signed = match (is_proved(&v4), is_proved(&v6)) {
        (Ok(true), Ok(true)) => good("signed, and validates"),
        (Err(why), _) | (_, Err(why)) => unknown(why),
        _ => fail("not signed; links in notices lead wherever somebody on the way says"),
    };
    report.add(host, "web_dnssec", signed);
    report.add(host, "web_caa", caa);
    if host != hostname && !domains.contains(host) {
        report.append(unused::look_at_web(resolver, host).await);
    }
    report
}

#[cfg(test)]
mod tests {
    use securemail_core::vocab::{LookupFailure, Outcome, Security};
    use securemail_testkit::scripted::ScriptedDns;

    use super::*;
    use crate::doctor::report::Level;

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    async fn levels(dns: &ScriptedDns, hostname: &str) -> Vec<(&'static str, Level)> {
        let host = name("portal.example");
        let report = look(dns, Some(&host), &BTreeSet::new(), &name(hostname)).await;
        let found = report.findings.iter();
        found.map(|one| (one.check, one.level)).collect()
    }

    #[tokio::test]
    async fn the_name_of_the_portal_has_ipv6_and_is_signed() {
        use Level::{Advice, Fail, Good, Unknown};
        let own = "portal.example";
        let dns = ScriptedDns::default();
        let expected = [
            ("web_aaaa", Fail),
            ("web_dnssec", Fail),
            ("web_caa", Advice),
        ];
        assert_eq!(levels(&dns, own).await, expected);
        let four = Outcome::Addresses(vec![[192, 0, 2, 1].into()]);
        dns.put(&name(own), RecordKind::A, four, Security::Insecure);
        assert_eq!(levels(&dns, own).await, expected, "no IPv6");
        dns.remove(&name(own), RecordKind::A);
        dns.sign(&name("portal.example"));
        let address = Outcome::Addresses(vec![[0, 0, 0, 0, 0, 0, 0, 1].into()]);
        dns.put(
            &name("portal.example"),
            RecordKind::Aaaa,
            address,
            Security::Secure,
        );
        let found = levels(&dns, own).await;
        assert_eq!(found[..2], [("web_aaaa", Good), ("web_dnssec", Good)]);
        dns.fail(&name("portal.example"), RecordKind::A, LookupFailure::Bogus);
        assert_eq!(levels(&dns, own).await[1], ("web_dnssec", Unknown));
    }

    #[tokio::test]
    async fn a_name_that_is_also_the_relays_is_not_asked_to_be_silent() {
        let dns = ScriptedDns::default();
        assert_eq!(levels(&dns, "portal.example").await.len(), 3);
        let found = levels(&dns, "relay.example").await;
        assert!(found.contains(&("null_mx", Level::Advice)), "{found:?}");
    }
}
