//! The way in, for what comes back: MX, addresses, TLSA of our own host (Internet.nl, checks of a receiving domain).

use securemail_core::backend::{PolicyFetcher, Resolver};
use securemail_core::vocab::{DnsName, Mx, MxTarget, RecordKind};

use super::lookup::{Found, addresses, exchangers};
use super::report::{Report, advice, fail, good, unknown};
use super::{announced, rollover};
use crate::tls::Certificate;

/// What bounces come to.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// This relay; notices come back to addresses of its name.
    pub hostname: &'a DnsName,
    /// What it shows.
    pub certificate: &'a Certificate,
    /// Reads the policy that it announces.
    pub fetcher: &'a dyn PolicyFetcher,
}

/// Looks at the relay's own name, and at each host that takes mail for it.
pub async fn look(resolver: &dyn Resolver, inbound: Inbound<'_>, report: &mut Report) {
    let hostname = inbound.hostname;
    let hosts = match exchangers(resolver, hostname).await {
        Found::Records(records, _) => hosts(&records),
        // Without MX records the name itself is the host (RFC 5321, section 5.1).
        Found::Absent(_) => vec![hostname.clone()],
        Found::Unknown(why) => return report.add(hostname, "mx", unknown(why)),
    };
    if hosts.is_empty() {
        let text = format!(
            "it takes no mail, so notices that come back are lost; publish {hostname} MX 10 {hostname}"
        );
        return report.add(hostname, "mx", fail(text));
    }
    let found = if hosts.contains(hostname) {
        good("what comes back comes here")
    } else {
        advice("other hosts take its mail; they must hand what comes back to listen.bounces")
    };
    report.add(hostname, "mx", found);
    let found = announced::policy((resolver, inbound.fetcher), hostname, &hosts).await;
    report.add(hostname, "mta_sts", found);
    let found = announced::reports(resolver, hostname).await;
    report.add(hostname, "tlsrpt", found);
    for host in &hosts {
        look_at_host(resolver, host, inbound, report).await;
    }
}

fn hosts(records: &[Mx]) -> Vec<DnsName> {
    let targets = records.iter().map(|record| &record.target);
    targets
        .filter_map(|target| match target {
            MxTarget::Host(host) => Some(host.clone()),
            MxTarget::Invalid(_) | MxTarget::Null => None,
        })
        .collect()
}

async fn look_at_host(
    resolver: &dyn Resolver,
    host: &DnsName,
    inbound: Inbound<'_>,
    report: &mut Report,
) {
    let v4 = addresses(resolver, host, RecordKind::A).await;
    let v6 = addresses(resolver, host, RecordKind::Aaaa).await;
    let is_proved = match (&v4, &v6) {
        (Found::Unknown(why), _) | (_, Found::Unknown(why)) => {
            return report.add(host, "mx_addresses", unknown(why.clone()));
        }
        (Found::Records(_, four), Found::Records(_, six) | Found::Absent(six))
        | (Found::Absent(four), Found::Records(_, six)) => *four && *six,
        (Found::Absent(_), Found::Absent(_)) => {
            return report.add(host, "mx_addresses", fail("it has no address"));
        }
    };
    let found = match v6 {
        Found::Records(..) => good("it has an IPv6 address"),
        _ => fail("no IPv6 address; publish AAAA where the network has IPv6"),
    };
    report.add(host, "mx_aaaa", found);
    let found = if is_proved {
        good("signed, and validates")
    } else {
        fail("not signed, so DANE cannot protect mail to it")
    };
    report.add(host, "dnssec_mx", found);
    if host == inbound.hostname {
        let state = rollover::look(resolver, host, rollover::SMTP_PORT, inbound.certificate).await;
        for (check, found) in state.judge() {
            report.add(host, check, found);
        }
    }
}
