//! The way in, for what comes back: MX, addresses, TLSA of our own host (Internet.nl, checks of a receiving domain).

use std::net::{IpAddr, SocketAddr};

use securemail_core::backend::{PolicyFetcher, Resolver};
use securemail_core::limits::ADDRESSES_PER_HOST_MAX;
use securemail_core::vocab::{DnsName, Mx, MxTarget, RecordKind};

use super::lookup::{Found, addresses, exchangers, takes_no_mail, tlsa};
use super::report::{Level, Report, advice, fail, good, unknown};
use super::unused::is_null_among_others;
use super::{announced, caa, few_at_once, reach, rollover};
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
    /// Where it takes what comes back.
    pub listener: SocketAddr,
    /// The port on which mail servers are reached: 25, but for tests.
    pub port: u16,
}

/// Looks at the relay's own name, and at each host that takes mail for it.
pub async fn look(resolver: &dyn Resolver, inbound: Inbound<'_>) -> Report {
    let mut report = Report::default();
    let hostname = inbound.hostname;
    let found = exchangers(resolver, hostname).await;
    let hosts = match &found {
        Found::Records(records, _) if is_null_among_others(records) => {
            let text = "a null MX stands beside others; senders may bring nothing back";
            report.add(hostname, "mx", fail(text));
            return report;
        }
        Found::Records(records, _) => hosts(records),
        // Without MX records the name itself is the host (RFC 5321, section 5.1).
        Found::Absent(_) => vec![hostname.clone()],
        Found::Unknown(why) => {
            report.add(hostname, "mx", unknown(why.clone()));
            return report;
        }
    };
    let nowhere = hosts.is_empty().then_some("its MX records name no host");
    if let Some(why) = takes_no_mail(resolver, hostname, &found).await.or(nowhere) {
        let text = format!(
            "{why}, so notices that come back are lost; publish an address of {hostname}, and \
             {hostname} MX 10 {hostname}"
        );
        report.add(hostname, "mx", fail(text));
        return report;
    }
    let found = if hosts.contains(hostname) {
        good("what comes back comes here")
    } else {
        advice("other hosts take its mail; they must hand what comes back to listen.bounces")
    };
    report.add(hostname, "mx", found);
    let (policy, reports, of_hosts) = tokio::join!(
        announced::policy((resolver, inbound.fetcher), hostname, &hosts),
        announced::reports(resolver, hostname),
        few_at_once(
            hosts
                .iter()
                .map(|host| look_at_host(resolver, host, inbound))
        ),
    );
    report.add(hostname, "mta_sts", policy);
    report.add(hostname, "tlsrpt", reports);
    for found in of_hosts {
        report.append(found);
    }
    report
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

async fn look_at_host(resolver: &dyn Resolver, host: &DnsName, inbound: Inbound<'_>) -> Report {
    let mut report = Report::default();
    let (v4, v6) = tokio::join!(
        addresses(resolver, host, RecordKind::A),
        addresses(resolver, host, RecordKind::Aaaa),
    );
    let is_proved = match (&v4, &v6) {
        (Found::Unknown(why), _) | (_, Found::Unknown(why)) => {
            report.add(host, "mx_addresses", unknown(why.clone()));
            return report;
        }
        (Found::Records(_, four), Found::Records(_, six) | Found::Absent(six))
        | (Found::Absent(four), Found::Records(_, six)) => *four && *six,
        (Found::Absent(_), Found::Absent(_)) => {
            report.add(host, "mx_addresses", fail("it has no address"));
            return report;
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
    let addresses: Vec<IpAddr> = [v4, v6]
        .into_iter()
        .filter_map(|found| match found {
            Found::Records(addresses, _) => Some(addresses),
            Found::Absent(_) | Found::Unknown(_) => None,
        })
        .flat_map(|addresses| addresses.into_iter().take(ADDRESSES_PER_HOST_MAX))
        .collect();
    let (reached, caa, tlsa) = tokio::join!(
        reach::look(&addresses, inbound.port, inbound.listener),
        caa::of_host(resolver, host),
        look_at_tlsa(resolver, host, inbound),
    );
    report.add(host, "mx_reach", reached);
    report.add(host, "mail_caa", caa);
    for (check, found) in tlsa {
        report.add(host, check, found);
    }
    report
}

/// Of our own host the certificate is known; of another one only what it publishes.
async fn look_at_tlsa(
    resolver: &dyn Resolver,
    host: &DnsName,
    inbound: Inbound<'_>,
) -> Vec<(&'static str, (Level, String))> {
    if host == inbound.hostname {
        let state = rollover::look(resolver, host, rollover::SMTP_PORT, inbound.certificate).await;
        return state.judge();
    }
    let found = match tlsa(resolver, host, rollover::SMTP_PORT).await {
        Found::Records(records, true) => good(format!(
            "{} records; whether they fit is for that host to see",
            records.len()
        )),
        Found::Records(_, false) => fail("the TLSA records are not signed, and count for nothing"),
        Found::Absent(true) => {
            fail("no TLSA record, and that is proved; let its operator publish one")
        }
        Found::Absent(false) => fail("no TLSA record, and the zone is not signed"),
        Found::Unknown(why) => unknown(format!(
            "{why}; senders with DANE hold their mail while that is so"
        )),
    };
    vec![("dane_exists", found)]
}
