//! `doctor`: looks at our own listeners and names as the rest of the world sees them.
//!
//! The list is that of the mail test of Internet.nl, as far as it can be seen from here; `docs/doctor.md` says what
//! cannot. Listeners, domains and hosts are looked at side by side, of the last two a few at once; findings come in the
//! order of the list all the same.

mod announced;
mod caa;
mod certificate;
mod choices;
mod destinations;
mod dmarc;
mod domain;
mod hello;
mod inbound;
mod listener;
mod lookup;
mod name_servers;
mod noted;
mod reach;
mod renegotiation;
mod report;
pub mod rollover;
mod spf;
mod spf_terms;
mod strangers;
mod unused;
mod web;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use rustls::pki_types::ServerName;
use securemail_core::backend::Resolver;
use securemail_core::vocab::DnsName;

use self::inbound::Inbound;
use self::listener::{Begins, Target};
use self::name_servers::ByNetwork;
use self::report::Report;
use crate::assemble::{Trouble, dkim_keys, policy_client, resolver, roots};
use crate::logging;
use crate::run::{in_full, read};
use crate::settings::Settings;
use crate::system::SystemClock;
use crate::{terminal, tls};

#[doc(hidden)]
pub use self::strangers::of_strangers;

/// Of domains, zones and hosts, as many are looked at together. All at once they would find no room at the resolver, and
/// each question without an answer makes a finding unknown.
const AT_ONCE: usize = 8;
/// Used wrongly.
const USAGE: u8 = 2;
/// Could not tell.
const UNKNOWN: u8 = 3;

/// `doctor`.
pub async fn doctor(config: &Path, json: bool) -> ExitCode {
    logging::warnings();
    let settings = match read(config) {
        Ok(settings) => settings,
        Err(error) => return terminal::fail(USAGE, &in_full(&*error)),
    };
    let report = match examine(&settings).await {
        Ok(report) => report,
        Err(error) => return terminal::fail(UNKNOWN, &in_full(&*error)),
    };
    let text = if json {
        serde_json::to_string_pretty(&report).map_err(|error| error.to_string())
    } else {
        Ok(report.to_string())
    };
    match text {
        Ok(text) => terminal::say(&text),
        Err(error) => return terminal::fail(UNKNOWN, &error),
    }
    report.exit_code()
}

async fn examine(settings: &Settings) -> Result<Report, Trouble> {
    let resolver = Arc::new(resolver(settings, Arc::new(SystemClock))?);
    resolver.probe().await?;
    let roots = Arc::new(roots(settings)?);
    let targets = targets(settings)?;
    let (listeners, names, noted) = tokio::join!(
        join_all(targets.iter().map(|target| listener::look(target, &roots))),
        look_at_names(settings, resolver),
        noted::look(settings),
    );
    let mut report = Report::default();
    for found in listeners {
        report.append(found);
    }
    report.append(names?);
    report.append(noted);
    Ok(report)
}

async fn look_at_names(
    settings: &Settings,
    resolver: Arc<dyn Resolver>,
) -> Result<Report, Trouble> {
    let dns = &*resolver;
    let (domains, keys) = (domains(settings), dkim_keys(settings)?);
    let of_domains = domains.iter().map(async |domain| {
        let keys = keys.iter();
        let end = format!("._domainkey.{domain}");
        let keys: Vec<_> = keys.filter(|key| key.dns_name().ends_with(&end)).collect();
        domain::look(dns, domain, &keys).await
    });
    let hostname = &settings.relay.hostname;
    let host = async {
        let mut report = Report::default();
        if !domains.contains(hostname) {
            // Notices leave with an envelope of this name.
            for (check, found) in spf::look(dns, hostname).await {
                report.add(hostname, check, found);
            }
        }
        let Some(listener) = settings.listen.bounces else {
            return Ok::<_, Trouble>(report);
        };
        let inbound = Inbound {
            hostname,
            certificate: &tls::own(settings)?,
            fetcher: &policy_client(settings, resolver.clone())?,
            listener,
            port: settings.route.port,
        };
        report.append(inbound::look(dns, inbound).await);
        Ok(report)
    };
    let web = web_name(settings);
    let names: Vec<DnsName> = domains
        .iter()
        .chain([hostname])
        .chain(&web)
        .cloned()
        .collect();
    let (of_domains, host, web, zones) = tokio::join!(
        few_at_once(of_domains),
        host,
        web::look(dns, web.as_ref(), &domains, hostname),
        name_servers::look(dns, &ByNetwork, &names),
    );
    let mut report = Report::default();
    for found in of_domains {
        report.append(found);
    }
    for found in [host?, web, zones] {
        report.append(found);
    }
    Ok(report)
}

/// What each of `looks` gives, in their order.
async fn few_at_once<L: Future>(looks: impl IntoIterator<Item = L>) -> Vec<L::Output> {
    stream::iter(looks).buffered(AT_ONCE).collect().await
}

/// The name of the portal, where it is one of the public DNS.
fn web_name(settings: &Settings) -> Option<DnsName> {
    settings.listen.web?;
    let name = DnsName::parse(portal_host(&settings.portal.url)).ok()?;
    (name.labels().count() > 1).then_some(name)
}

/// Every domain that we send for.
fn domains(settings: &Settings) -> BTreeSet<DnsName> {
    let tenants = settings.tenant.iter();
    let own = tenants.flat_map(|tenant| tenant.domains.iter().cloned());
    own.chain([settings.notice.from.domain().clone()]).collect()
}

fn targets(settings: &Settings) -> Result<Vec<Target>, Trouble> {
    let host = server_name(settings.relay.hostname.as_str())?;
    let listen = &settings.listen;
    let mail = [
        ("submission", listen.submission, Begins::WithStartTls, true),
        ("submissions", listen.submissions, Begins::AtOnce, true),
        ("bounces", listen.bounces, Begins::WithStartTls, false),
    ];
    let mut targets = Vec::new();
    for (name, address, begins, needs_trust) in mail {
        let Some(address) = address else { continue };
        targets.push(Target {
            name,
            address,
            begins,
            host: host.clone(),
            needs_trust,
        });
    }
    if let Some(address) = listen.web {
        targets.push(Target {
            name: "web",
            address,
            begins: Begins::AtOnce,
            host: server_name(portal_host(&settings.portal.url))?,
            needs_trust: true,
        });
    }
    Ok(targets)
}

fn server_name(host: &str) -> Result<ServerName<'static>, Trouble> {
    Ok(ServerName::try_from(host.to_owned())?)
}

/// The host in the address of the portal, which the settings have checked.
fn portal_host(url: &str) -> &str {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    let host = rest.split(['/', '?']).next().unwrap_or(rest);
    host.rsplit_once(':').map_or(host, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_few_are_looked_at_together_and_their_order_stays() {
        let (running, most) = (Cell::new(0), Cell::new(0));
        let looks = (0..20_u64).map(async |number| {
            running.set(running.get() + 1);
            most.set(most.get().max(running.get()));
            tokio::time::sleep(Duration::from_millis(20 - number)).await;
            running.set(running.get() - 1);
            number
        });
        let found = few_at_once(looks).await;
        assert_eq!(found, (0..20).collect::<Vec<_>>());
        assert_eq!(most.get(), AT_ONCE);
    }

    #[test]
    fn the_host_of_the_portal_is_what_links_name() {
        assert_eq!(portal_host("https://mail.example.org"), "mail.example.org");
        assert_eq!(portal_host("https://localhost:8443/"), "localhost");
    }
}
