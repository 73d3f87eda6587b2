//! Writes what the cases say into three zones, signs them once, and serves them with NSD.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::Trouble;
use crate::case::{Alias, Case, Host, Mx, Of, Place, Record, Sts, Zone};
use crate::certificates::Shown;
use crate::system::{shell, wait_for_port};

/// Where NSD serves these zones; the lab delegates `diff.test` to it.
const SERVER: &str = "127.0.0.2";
/// Where the policy host of every domain stands.
pub(crate) const POLICY_HOST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 24);

/// The records of all zones.
#[derive(Debug)]
pub(crate) struct Zones(BTreeMap<Zone, String>);

/// A host of a case as it is set up.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// Where it listens.
    pub(crate) address: Ipv4Addr,
    /// What it shows.
    pub(crate) shown: Shown,
}

impl Default for Zones {
    fn default() -> Self {
        let head = |zone: Zone| {
            format!(
                "$ORIGIN {}.\n$TTL 60\n@ SOA ns.diff.test. hostmaster.test. 1 3600 600 86400 60\n\
                 @ NS ns.diff.test.\n",
                zone.apex()
            )
        };
        let zones = [Zone::Secure, Zone::Insecure, Zone::Bogus];
        let mut zones: BTreeMap<Zone, String> =
            zones.into_iter().map(|zone| (zone, head(zone))).collect();
        let delegations = format!("ns A {SERVER}\nopen NS ns.diff.test.\nbad NS ns.diff.test.\n");
        zones
            .entry(Zone::Secure)
            .or_default()
            .push_str(&delegations);
        Self(zones)
    }
}

impl Zones {
    /// Adds one domain with its hosts.
    pub(crate) fn add(&mut self, case: &Case, placed: &[Placed]) {
        let domain = case.domain();
        match case.mx {
            Mx::Absent => return,
            Mx::Null => self.put(case.zone, &domain, "MX 0 ."),
            Mx::NullAndHost => self.put(case.zone, &domain, "MX 0 ."),
            Mx::Missing => self.put(case.zone, &domain, "MX 10 nowhere.diff.test."),
            Mx::Aliased(_) => {
                self.put(case.zone, &domain, &format!("CNAME {}.", case.expanded()));
            }
            Mx::Equal | Mx::Implicit | Mx::One | Mx::Several => {}
        }
        self.add_policy(case);
        for (index, (host, placed)) in case.hosts.iter().zip(placed).enumerate() {
            if case.mx != Mx::Implicit {
                let zone = match case.mx {
                    Mx::Aliased(zone) => zone,
                    _ => case.zone,
                };
                let preference = case.preference(index);
                let record = format!("MX {preference} {}.", case.host_name(index));
                self.put(zone, &case.expanded(), &record);
            }
            self.add_host(case, index, host, placed);
        }
    }

    fn add_policy(&mut self, case: &Case) {
        if case.sts == Sts::None {
            return;
        }
        let domain = case.domain();
        let announced = format!("TXT \"v=STSv1; id={}\"", case.id);
        self.put(case.zone, &format!("_mta-sts.{domain}"), &announced);
        let address = format!("A {POLICY_HOST}");
        self.put(case.zone, &format!("mta-sts.{domain}"), &address);
    }

    fn add_host(&mut self, case: &Case, index: usize, host: &Host, placed: &Placed) {
        let name = case.host_name(index);
        let last = case.final_name(index);
        let zone = if case.mx == Mx::Implicit {
            case.zone
        } else {
            host.zone
        };
        let last_zone = match host.alias {
            Alias::None => zone,
            Alias::To(target) => {
                self.put(zone, &name, &format!("CNAME {last}."));
                target
            }
            Alias::Twice(between, target) => {
                let middle = format!("m{}x{index}.{}", case.id, between.apex());
                self.put(zone, &name, &format!("CNAME {middle}."));
                self.put(between, &middle, &format!("CNAME {last}."));
                target
            }
        };
        self.put(last_zone, &last, &format!("A {}", placed.address));
        let records: Vec<String> = host
            .tlsa
            .iter()
            .map(|record| tlsa(record, placed))
            .collect();
        let wrong: Vec<String> = host
            .tlsa
            .iter()
            .map(|record| {
                let wrong = Record {
                    of: Of::Other,
                    ..*record
                };
                tlsa(&wrong, placed)
            })
            .collect();
        let shared = host.tlsa_alias.filter(|_| !host.tlsa.is_empty());
        let mut at = |zone: Zone, name: &str, records: &[String]| {
            let owner = format!("_25._tcp.{name}");
            if records.is_empty() {
                return;
            }
            let Some(target) = shared else {
                for record in records {
                    self.put(zone, &owner, record);
                }
                return;
            };
            let target_name = format!("s-{}.{}", name.replace('.', "-"), target.apex());
            self.put(zone, &owner, &format!("CNAME {target_name}."));
            for record in records {
                self.put(target, &target_name, record);
            }
        };
        match host.place {
            _ if host.alias == Alias::None => at(zone, &name, &records),
            Place::Initial => at(zone, &name, &records),
            Place::Final => at(last_zone, &last, &records),
            Place::Both => {
                at(zone, &name, &records);
                at(last_zone, &last, &records);
            }
            Place::InitialAndWrongAtFinal => {
                at(zone, &name, &records);
                at(last_zone, &last, &wrong);
            }
        }
    }

    fn put(&mut self, zone: Zone, name: &str, record: &str) {
        let text = self.0.entry(zone).or_default();
        text.push_str(&format!("{name}. {record}\n"));
    }

    /// Signs and serves. `key` is the key of `diff.test`, without ending.
    ///
    /// # Errors
    /// Where a tool fails; its words are in the error.
    pub(crate) async fn serve(&self, folder: &Path, key: &str) -> Result<Child, Trouble> {
        for (zone, text) in &self.0 {
            std::fs::write(folder.join(format!("{}.zone", zone.apex())), text)?;
        }
        shell(folder, &format!("key={key}\n{SIGN}")).await?;
        std::fs::write(folder.join("nsd.conf"), settings(folder))?;
        let mut nsd = Command::new("nsd");
        nsd.args(["-d", "-c"])
            .arg(folder.join("nsd.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let child = nsd.spawn()?;
        wait_for_port("nsd", &format!("{SERVER}:53")).await?;
        Ok(child)
    }
}

/// RFC 3597 form where no data is left, because NSD reads no shorter one.
fn tlsa(record: &Record, placed: &Placed) -> String {
    let Record {
        usage,
        selector,
        matching,
        ..
    } = record;
    let data = hex(&placed.shown.association(record));
    if data.is_empty() {
        return format!("TYPE52 \\# 3 {usage:02x}{selector:02x}{matching:02x}");
    }
    format!("TLSA {usage} {selector} {matching} {data}")
}

/// Octets as digits.
#[must_use]
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Without a limit of its own (NSD has one of 200 answers a second for each network), because a dropped answer is an
/// error of the peers' resolver, and a difference that nobody meant.
fn settings(folder: &Path) -> String {
    let home = folder.display();
    let mut settings = format!(
        "server:\n ip-address: {SERVER}@53\n do-ip6: no\n zonesdir: \"{home}\"\n\
         \x20pidfile: \"{home}/nsd.pid\"\n zonelistfile: \"{home}/zone.list\"\n\
         \x20xfrdfile: \"{home}/xfrd.state\"\n xfrdir: \"{home}\"\n database: \"\"\n username: \"\"\n\
         \x20logfile: \"{home}/nsd.log\"\n server-count: 1\n\
         \x20rrl-ratelimit: 0\n rrl-whitelist-ratelimit: 0\n\
         remote-control:\n control-enable: no\n"
    );
    for zone in [Zone::Secure, Zone::Insecure, Zone::Bogus] {
        let apex = zone.apex();
        settings.push_str(&format!(
            "zone:\n name: \"{apex}.\"\n zonefile: \"{apex}.zone\"\n"
        ));
    }
    settings
}

/// Another first letter for every signature of the bogus zone but those of its keys; and the form of
/// RFC 3597 again for records without data, which the signer writes as NSD cannot read.
const SIGN: &str = r#"
bad=$(ldns-keygen -a ECDSAP256SHA256 -k -r /dev/urandom bad.diff.test.)
ldns-signzone -n -o bad.diff.test. -f signed bad.diff.test.zone "$bad"
awk '$4 == "RRSIG" && $5 != "DNSKEY" {
    $NF = (substr($NF, 1, 1) == "A" ? "B" : "A") substr($NF, 2)
} { print }' signed > bad.diff.test.zone
cat "$bad.ds" >> diff.test.zone
ldns-signzone -n -o diff.test. -f signed diff.test.zone "$key"
mv signed diff.test.zone
for zone in diff.test bad.diff.test; do
    awk '$4 == "TLSA" && NF < 8 {
        printf "%s %s %s TYPE52 \\# 3 %02x%02x%02x\n", $1, $2, $3, $5, $6, $7; next
    } { print }' $zone.zone > read
    mv read $zone.zone
done
nsd-checkzone diff.test diff.test.zone
nsd-checkzone open.diff.test open.diff.test.zone
nsd-checkzone bad.diff.test bad.diff.test.zone
"#;
