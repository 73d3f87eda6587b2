//! Which TLSA records count, whom they let in and by which names, with the examples of RFC 7671.

use std::collections::BTreeMap;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData,
    date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use sha2::{Digest, Sha256, Sha512};

use securemail_core::backend::TransportPolicy;
use securemail_core::route::{
    Asked, Authentication, Authority, Evidence, Hop, MessageFacts, Route, Rule, StandardPolicy,
    Trust, authenticate, unusable, usable,
};
use securemail_core::vocab::{
    Answer, DnsName, Mx, MxTarget, Outcome, Profile, Question, RecordKind, Security, Tlsa, UnixTime,
};

const VECTORS: &str = include_str!("../../../vectors/dane/rfc7671.json");
/// 2026-11-21.
const NOW: UnixTime = UnixTime::from_secs(1_795_219_200);

/// The file.
#[derive(Deserialize)]
struct Vectors {
    agility: Vec<Agility>,
    keys: Vec<Keys>,
    hosts: Vec<Hosts>,
}

/// Which of the records count.
#[derive(Deserialize)]
struct Agility {
    section: String,
    records: Vec<String>,
    count: Vec<usize>,
}

/// Which keys the records let in.
#[derive(Deserialize)]
struct Keys {
    section: String,
    what: String,
    records: Vec<String>,
    #[serde(default = "yes")]
    issuer_is_shown: bool,
    lets_in: Vec<String>,
}

/// What is asked of the hosts of a signed domain.
#[derive(Deserialize)]
struct Hosts {
    section: String,
    domain: String,
    mx: Vec<String>,
    tlsa: BTreeMap<String, String>,
    names: BTreeMap<String, Vec<String>>,
}

const fn yes() -> bool {
    true
}

fn vectors() -> Vectors {
    serde_json::from_str(VECTORS).unwrap()
}

fn octets(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A record as a zone file has it; what its last field means, the caller says.
fn read(text: &str, data: impl Fn(&str, u8, u8) -> Vec<u8>) -> Tlsa {
    let fields: Vec<&str> = text.split(' ').collect();
    let [usage, selector, matching, of] = fields[..] else {
        panic!("{text}");
    };
    let number = |field: &str| field.parse::<u8>().unwrap();
    let (selector, matching) = (number(selector), number(matching));
    record(
        number(usage),
        selector,
        matching,
        data(of, selector, matching),
    )
}

fn read_hex(text: &str) -> Tlsa {
    read(text, |hex, _, _| octets(hex))
}

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

fn record(usage: u8, selector: u8, matching: u8, data: Vec<u8>) -> Tlsa {
    Tlsa {
        usage,
        selector,
        matching,
        data,
    }
}

#[test]
fn of_the_digests_of_rfc_7671_section_9_the_strongest_counts() {
    for Agility {
        section,
        records,
        count,
    } in vectors().agility
    {
        let records: Vec<Tlsa> = records.iter().map(|text| read_hex(text)).collect();
        let counted: Vec<Tlsa> = count.iter().map(|at| records[*at].clone()).collect();
        assert_eq!(usable(&records), counted, "section {section}");
        // Alone, each of them counts.
        for record in &records {
            let alone = std::slice::from_ref(record);
            assert_eq!(usable(alone), alone);
        }
    }
}

/// The keys of the rollovers: an old one that signs itself, and what an issuer signed.
struct Pki {
    issuer: (CertificateDer<'static>, Vec<u8>),
    leaves: BTreeMap<&'static str, (CertificateDer<'static>, Vec<u8>)>,
}

impl Pki {
    fn new() -> Self {
        let params = |common_name: &str| {
            let mut params = CertificateParams::new(vec!["www.example.org".to_owned()]).unwrap();
            let subject = &mut params.distinguished_name;
            subject.push(DnType::CommonName, common_name);
            params.not_before = date_time_ymd(2026, 1, 1);
            params.not_after = date_time_ymd(2027, 1, 1);
            params
        };
        let key = || KeyPair::generate().unwrap();
        let (issuing, old) = (key(), key());
        let mut authority = params("issuer");
        authority.subject_alt_names.clear();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let shown = authority.self_signed(&issuing).unwrap().der().clone();
        let issuer = Issuer::from_params(&authority, &issuing);
        let issue = || {
            let key = key();
            let certificate = params("leaf").signed_by(&key, &issuer).unwrap();
            (certificate.der().clone(), key.subject_public_key_info())
        };
        let own = params("old").self_signed(&old).unwrap().der().clone();
        let leaves = [
            ("old", (own, old.subject_public_key_info())),
            ("new", issue()),
            ("next", issue()),
        ];
        Self {
            issuer: (shown, issuing.subject_public_key_info()),
            leaves: leaves.into_iter().collect(),
        }
    }

    fn association(&self, of: &str, selector: u8, matching: u8) -> Vec<u8> {
        let (certificate, key) = self.leaves.get(of).unwrap_or(&self.issuer);
        let octets = if selector == 0 {
            certificate.to_vec()
        } else {
            key.clone()
        };
        match matching {
            0 => octets,
            1 => Sha256::digest(&octets).to_vec(),
            _ => Sha512::digest(&octets).to_vec(),
        }
    }

    /// Whether a server with this key gets in by these records.
    fn lets_in(&self, leaf: &str, records: &[Tlsa], issuer_is_shown: bool) -> bool {
        let host = name("www.example.org");
        let hop = Hop {
            domain: host.clone(),
            host: host.clone(),
            addresses: vec!["192.0.2.1".parse().unwrap()],
            port: 25,
            sni: host.clone(),
            authenticate: Authentication::Dane {
                records: usable(records),
                names: vec![host],
            },
            authority: Authority::Dnssec,
            must_name_domain: false,
        };
        let (shown, _) = &self.leaves[leaf];
        let above = issuer_is_shown.then(|| self.issuer.0.clone());
        let chain: Vec<_> = std::iter::once(shown.clone()).chain(above).collect();
        let trust = Trust {
            roots: Vec::new(),
            algorithms: webpki::ALL_VERIFICATION_ALGS,
        };
        authenticate(&hop, &chain, NOW, &trust).is_ok()
    }
}

#[test]
fn rollovers_of_rfc_7671_let_in_the_keys_that_they_should_and_no_stale_one() {
    let pki = Pki::new();
    for keys in vectors().keys {
        let associate = |of: &str, selector, matching| pki.association(of, selector, matching);
        let records: Vec<Tlsa> = keys
            .records
            .iter()
            .map(|text| read(text, associate))
            .collect();
        for leaf in ["old", "new", "next"] {
            let is_let_in = pki.lets_in(leaf, &records, keys.issuer_is_shown);
            let Keys {
                section,
                what,
                lets_in,
                ..
            } = &keys;
            let ought = lets_in.iter().any(|one| one == leaf);
            assert_eq!(is_let_in, ought, "section {section}: {what}: {leaf}");
        }
    }
}

#[test]
fn hosts_of_rfc_7671_are_asked_for_their_own_records_by_the_names_that_it_says() {
    for hosts in vectors().hosts {
        let evidence = gathered(&hosts);
        let decision = StandardPolicy::default().decide(&evidence, NOW);
        let Route::Deliver(hops) = &decision.route else {
            panic!("section {}: {decision}", hosts.section);
        };
        assert_eq!(hops.len(), hosts.mx.len(), "{decision}");
        for hop in hops {
            let host = hop.host.as_str();
            assert_eq!(
                hop.sni, hop.host,
                "section {}: the base domain",
                hosts.section
            );
            let Authentication::Dane { records, names } = &hop.authenticate else {
                panic!("{decision}");
            };
            assert_eq!(*records, [read_hex(&hosts.tlsa[host])]);
            let ought: Vec<DnsName> = hosts.names[host].iter().map(|one| name(one)).collect();
            assert_eq!(*names, ought, "section {}", hosts.section);
        }
    }
}

/// What is known of a domain that is signed, and whose hosts are.
fn gathered(hosts: &Hosts) -> Evidence {
    let list = hosts.mx.iter().map(|text| {
        let (preference, host) = text.split_once(' ').unwrap();
        Mx {
            preference: preference.parse().unwrap(),
            target: MxTarget::Host(name(host)),
        }
    });
    let message = MessageFacts::at(NOW);
    let mut evidence = Evidence::new(name(&hosts.domain), Profile::DaneOnly, message);
    let mut answer = |owner: String, kind, outcome| {
        evidence.dns.push(Asked {
            question: Question::new(name(&owner), kind),
            answer: Answer::new(outcome, Security::Secure, UnixTime::MAX),
        });
    };
    answer(
        hosts.domain.clone(),
        RecordKind::Mx,
        Outcome::Mx(list.collect()),
    );
    answer(
        format!("_mta-sts.{}", hosts.domain),
        RecordKind::Txt,
        Outcome::NxDomain,
    );
    for (host, record) in &hosts.tlsa {
        let address = Outcome::Addresses(vec!["192.0.2.1".parse().unwrap()]);
        answer(host.clone(), RecordKind::A, address);
        answer(host.clone(), RecordKind::Aaaa, Outcome::NoData);
        let records = Outcome::Tlsa(vec![read_hex(record)]);
        answer(format!("_25._tcp.{host}"), RecordKind::Tlsa, records);
    }
    evidence
}

#[test]
fn agility_is_by_usage_and_selector_and_after_usability() {
    let data = |length| vec![7; length];
    let (a, b) = (record(3, 1, 1, data(32)), record(2, 1, 2, data(64)));
    let (c, broken) = (record(3, 0, 1, data(32)), record(3, 1, 2, data(63)));
    let all = [a.clone(), b.clone(), c.clone(), broken];
    assert_eq!(
        usable(&all),
        [a, b, c],
        "a malformed stronger digest does not push out a good one"
    );
}

#[test]
fn each_defect_has_its_rule() {
    let fine = record(3, 1, 1, vec![7; 32]);
    assert_eq!(unusable(&fine), None);
    for (usage, selector, matching, length, rule) in [
        (0, 1, 1, 32, Rule::U01),
        (1, 1, 1, 32, Rule::U01),
        (4, 1, 1, 32, Rule::U02),
        (255, 1, 1, 32, Rule::U02),
        (3, 2, 1, 32, Rule::U02),
        (3, 1, 3, 32, Rule::U02),
        (3, 1, 255, 32, Rule::U02),
        (3, 1, 1, 31, Rule::U03),
        (3, 1, 2, 32, Rule::U03),
        (3, 1, 0, 32, Rule::U04),
        (2, 0, 0, 32, Rule::U04),
        (3, 1, 1, 0, Rule::U05),
    ] {
        let record = record(usage, selector, matching, vec![7; length]);
        assert_eq!(
            unusable(&record),
            Some(rule),
            "{usage} {selector} {matching} {length}"
        );
    }
    // A key is read as a key, not as a certificate.
    let key = read_hex(&vectors().agility[0].records[2]);
    assert_eq!(unusable(&key), None);
    let as_certificate = Tlsa { selector: 0, ..key };
    assert_eq!(unusable(&as_certificate), Some(Rule::U04));
}

#[test]
fn records_are_counted_once_and_bounded() {
    let one = record(3, 1, 1, vec![7; 32]);
    assert_eq!(usable(&vec![one; 5]).len(), 1);
    let many: Vec<Tlsa> = (0..=99).map(|n| record(3, 1, 1, vec![n; 32])).collect();
    assert_eq!(
        usable(&many).len(),
        securemail_core::limits::TLSA_RECORDS_MAX
    );
}
