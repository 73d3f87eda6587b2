//! The name servers of our zones: two at least, over IPv6 too, and each one speaks for its zone (Internet.nl, `ns_*`).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use securemail_core::backend::Resolver;
use securemail_core::limits::ADDRESSES_PER_HOST_MAX;
use securemail_core::vocab::{DnsName, RecordKind};
use securemail_resolver::{AuthorityAnswer, ask_authority};

use super::few_at_once;
use super::lookup::{Found, addresses, name_servers, upwards};
use super::report::{Level, Report, advice, fail, good, unknown};

/// RFC 1034, section 4.1; RFC 2182, section 5.
const SERVERS_MIN: usize = 2;
/// For each question to a name server.
const PATIENCE: Duration = Duration::from_secs(3);
const DNS_PORT: u16 = 53;

/// Asks name servers themselves.
#[async_trait]
pub trait Authorities: Send + Sync {
    /// What the server at this address says of a zone.
    async fn ask(&self, server: IpAddr, zone: &DnsName) -> AuthorityAnswer;
}

/// Those of the world.
#[derive(Debug)]
pub struct ByNetwork;

#[async_trait]
impl Authorities for ByNetwork {
    async fn ask(&self, server: IpAddr, zone: &DnsName) -> AuthorityAnswer {
        ask_authority(SocketAddr::new(server, DNS_PORT), zone, PATIENCE).await
    }
}

/// Looks at the zones that these names lie in, each once.
pub async fn look(
    resolver: &dyn Resolver,
    authorities: &dyn Authorities,
    names: &[DnsName],
) -> Report {
    let mut report = Report::default();
    let mut zones = BTreeMap::new();
    let found = few_at_once(names.iter().map(|name| zone_of(resolver, name))).await;
    for (name, found) in names.iter().zip(found) {
        match found {
            Ok(Some((zone, servers))) => drop(zones.insert(zone, servers)),
            Ok(None) => report.add(name, "ns_exist", unknown("no zone was found for it")),
            Err(why) => report.add(name, "ns_exist", unknown(why)),
        }
    }
    let zones = zones.iter();
    let looking = zones.map(|(zone, servers)| look_at_zone(resolver, authorities, zone, servers));
    for found in few_at_once(looking).await {
        report.append(found);
    }
    report
}

/// The zone that a name lies in, and its name servers.
async fn zone_of(
    resolver: &dyn Resolver,
    name: &DnsName,
) -> Result<Option<(DnsName, Vec<DnsName>)>, String> {
    for zone in upwards(name) {
        match name_servers(resolver, &zone).await {
            Found::Records(servers, _) => return Ok(Some((zone, servers))),
            Found::Absent(_) => {}
            Found::Unknown(why) => return Err(format!("NS of {zone}: {why}")),
        }
    }
    Ok(None)
}

/// One address of a name server, and what it said.
struct Said {
    server: DnsName,
    address: IpAddr,
    answer: AuthorityAnswer,
}

async fn look_at_zone(
    resolver: &dyn Resolver,
    authorities: &dyn Authorities,
    zone: &DnsName,
    servers: &[DnsName],
) -> Report {
    let mut report = Report::default();
    let found = join_all(servers.iter().map(|server| reached_at(resolver, server))).await;
    let mut known = Vec::new();
    for (server, found) in servers.iter().zip(found) {
        match found {
            Ok(found) => known.push((server, found)),
            Err(why) => report.add(zone, "ns_exist", unknown(format!("{server}: {why}"))),
        }
    }
    report.add(zone, "ns_exist", judge_count(servers, &known));
    report.add(zone, "ns_aaaa", judge_aaaa(&known));
    let every = known.iter().flat_map(|(server, addresses)| {
        let each = addresses.iter();
        each.map(move |address| ((*server).clone(), *address))
    });
    let asking = every.map(async |(server, address)| Said {
        answer: authorities.ask(address, zone).await,
        server,
        address,
    });
    report.add(zone, "ns_reach", judge_answers(&join_all(asking).await));
    report
}

async fn reached_at(resolver: &dyn Resolver, server: &DnsName) -> Result<Vec<IpAddr>, String> {
    let mut found = Vec::new();
    for kind in [RecordKind::A, RecordKind::Aaaa] {
        match addresses(resolver, server, kind).await {
            Found::Records(addresses, _) => {
                found.extend(addresses.into_iter().take(ADDRESSES_PER_HOST_MAX));
            }
            Found::Absent(_) => {}
            Found::Unknown(why) => return Err(why),
        }
    }
    Ok(found)
}

fn judge_count(servers: &[DnsName], known: &[(&DnsName, Vec<IpAddr>)]) -> (Level, String) {
    let mut lost = known.iter().filter(|(_, addresses)| addresses.is_empty());
    if let Some((server, _)) = lost.next() {
        return fail(format!("{server} is named, and has no address"));
    }
    if servers.len() < SERVERS_MIN {
        return fail("only one name server; when it is down, nobody finds this zone");
    }
    good(format!("{} name servers", servers.len()))
}

fn judge_aaaa(known: &[(&DnsName, Vec<IpAddr>)]) -> (Level, String) {
    let with = known.iter();
    let with = with.filter(|(_, addresses)| addresses.iter().any(IpAddr::is_ipv6));
    match with.count() {
        0 => fail("no name server has an IPv6 address"),
        1 => fail("only one name server has an IPv6 address; two must have one"),
        count => good(format!("{count} name servers have an IPv6 address")),
    }
}

/// A server that is silent while others answer is down. Where nobody of a family answers, the fault may be ours.
fn judge_answers(said: &[Said]) -> (Level, String) {
    let mut found = Vec::new();
    for (family, is_family) in FAMILIES {
        let of: Vec<&Said> = said.iter().filter(|one| is_family(&one.address)).collect();
        let is = |one: &&&Said, answer| one.answer == answer;
        let named = |answer| {
            let mut of = of.iter().filter(|one| is(one, answer));
            of.next()
                .map(|one| format!("{} ({})", one.server, one.address))
        };
        let any_answers = of.iter().any(|one| {
            matches!(
                one.answer,
                AuthorityAnswer::Authoritative | AuthorityAnswer::Lame
            )
        });
        if let Some(server) = named(AuthorityAnswer::Lame) {
            found.push(fail(format!("{server} does not speak for the zone")));
        } else if let Some(server) = named(AuthorityAnswer::Silent) {
            found.push(if any_answers {
                fail(format!("{server} does not answer"))
            } else {
                unknown(format!(
                    "no name server answers over {family}, or this machine may not ask them"
                ))
            });
        } else if named(AuthorityAnswer::NoRoute).is_some() {
            found.push(advice(format!(
                "this machine has no {family}, so nobody was asked over it"
            )));
        }
    }
    let worst = found.into_iter().max_by_key(|(level, _)| *level);
    worst.unwrap_or_else(|| match said.len() {
        0 => unknown("there was nobody to ask"),
        count => good(format!("every address speaks for the zone ({count})")),
    })
}

type OfFamily = fn(&IpAddr) -> bool;

/// The families of addresses, and what belongs to each.
const FAMILIES: [(&str, OfFamily); 2] = [("IPv4", IpAddr::is_ipv4), ("IPv6", IpAddr::is_ipv6)];

#[cfg(test)]
mod tests {
    use securemail_core::vocab::{LookupFailure, Outcome, Security};
    use securemail_testkit::scripted::ScriptedDns;

    use super::*;

    const V4: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
    const V6: [&str; 2] = ["2001:db8::1", "2001:db8::2"];

    /// Every server speaks for its zone, but for these.
    struct But(Vec<(&'static str, AuthorityAnswer)>);

    #[async_trait]
    impl Authorities for But {
        async fn ask(&self, server: IpAddr, _zone: &DnsName) -> AuthorityAnswer {
            let server = server.to_string();
            let mut told = self.0.iter().filter(|(address, _)| *address == server);
            told.next()
                .map_or(AuthorityAnswer::Authoritative, |(_, answer)| *answer)
        }
    }

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    /// The zone `example.org` with two name servers, each with both kinds of address.
    fn dns() -> ScriptedDns {
        let dns = ScriptedDns::default();
        serve(&dns, &["ns1.test", "ns2.test"]);
        for (server, (v4, v6)) in ["ns1.test", "ns2.test"].into_iter().zip(V4.iter().zip(V6)) {
            for (kind, address) in [(RecordKind::A, *v4), (RecordKind::Aaaa, v6)] {
                let address = Outcome::Addresses(vec![address.parse().unwrap()]);
                dns.put(&name(server), kind, address, Security::Secure);
            }
        }
        dns
    }

    fn serve(dns: &ScriptedDns, servers: &[&str]) {
        let servers = servers.iter().map(|server| name(server)).collect();
        let servers = Outcome::NameServers(servers);
        dns.put(
            &name("example.org"),
            RecordKind::Ns,
            servers,
            Security::Secure,
        );
    }

    /// The levels of `ns_exist`, `ns_aaaa` and `ns_reach`.
    async fn levels(dns: &ScriptedDns, but: &[(&'static str, AuthorityAnswer)]) -> Vec<Level> {
        let names = [name("relay.example.org"), name("example.org")];
        let report = look(dns, &But(but.to_vec()), &names).await;
        report.findings.iter().map(|one| one.level).collect()
    }

    #[tokio::test]
    async fn a_zone_has_two_name_servers_over_both_families() {
        use Level::{Fail, Good};
        let dns = dns();
        assert_eq!(levels(&dns, &[]).await, [Good, Good, Good]);
        dns.remove(&name("ns2.test"), RecordKind::Aaaa);
        assert_eq!(levels(&dns, &[]).await, [Good, Fail, Good]);
        dns.remove(&name("ns2.test"), RecordKind::A);
        assert_eq!(levels(&dns, &[]).await, [Fail, Fail, Good], "no address");
        serve(&dns, &["ns1.test"]);
        assert_eq!(levels(&dns, &[]).await, [Fail, Fail, Good], "only one");
    }

    #[tokio::test]
    async fn each_name_server_speaks_for_its_zone() {
        use AuthorityAnswer::{Lame, NoRoute, Silent};
        let reach = async |but: &[(&'static str, AuthorityAnswer)]| levels(&dns(), but).await[2];
        assert_eq!(reach(&[(V4[1], Lame)]).await, Level::Fail);
        assert_eq!(reach(&[(V4[1], Silent)]).await, Level::Fail);
        assert_eq!(reach(&[(V6[0], Silent)]).await, Level::Fail);
        let nobody = V6.map(|address| (address, Silent));
        assert_eq!(reach(&nobody).await, Level::Unknown, "ours or theirs");
        let no_ipv6 = V6.map(|address| (address, NoRoute));
        assert_eq!(reach(&no_ipv6).await, Level::Advice);
        let lame_and_no_ipv6 = [no_ipv6[0], no_ipv6[1], (V4[0], Lame)];
        assert_eq!(reach(&lame_and_no_ipv6).await, Level::Fail);
    }

    #[tokio::test]
    async fn what_the_dns_does_not_say_is_not_known() {
        let dns = dns();
        dns.fail(&name("ns2.test"), RecordKind::A, LookupFailure::Timeout);
        assert!(levels(&dns, &[]).await.contains(&Level::Unknown));
        dns.fail(&name("example.org"), RecordKind::Ns, LookupFailure::Bogus);
        assert_eq!(levels(&dns, &[]).await, [Level::Unknown; 2]);
    }
}
