//! Which peers are their hops: certificate state by mechanism (rules M, N and CE).

mod published;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PublicKeyData, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256, Sha512};

use securemail_core::route::{
    Authentication, Authority, Hop, Matched, PeerAuthenticated, PeerFailure, Strength, Trust,
    authenticate,
};
use securemail_core::vocab::{DnsName, Tlsa, UnixTime};

/// 2026-11-21.
const NOW: UnixTime = UnixTime::from_secs(1_795_219_200);

struct Entity {
    params: CertificateParams,
    key: KeyPair,
    der: CertificateDer<'static>,
}

fn params(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

fn ca_params(common_name: &str, path_length: Option<u8>) -> CertificateParams {
    let mut params = params(&[], common_name);
    let constraint = path_length.map_or(
        BasicConstraints::Unconstrained,
        BasicConstraints::Constrained,
    );
    params.is_ca = IsCa::Ca(constraint);
    params
}

fn root_of(params: CertificateParams) -> Entity {
    let key = KeyPair::generate().unwrap();
    let der = params.self_signed(&key).unwrap().der().clone();
    Entity { params, key, der }
}

fn root() -> Entity {
    root_of(ca_params("root", None))
}

impl Entity {
    fn issue(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().clone();
        Self { params, key, der }
    }

    fn leaf(&self) -> Self {
        self.issue(params(&["mx1.example.org"], "leaf"))
    }

    fn spki(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }
}

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

fn hop(authenticate: Authentication) -> Hop {
    Hop {
        domain: name("example.org"),
        host: name("mx1.example.org"),
        addresses: vec!["192.0.2.1".parse().unwrap()],
        port: 25,
        sni: name("mx1.example.org"),
        authenticate,
        authority: Authority::Dnssec,
        must_name_domain: false,
    }
}

fn pkix() -> Hop {
    hop(Authentication::Pkix {
        name: name("mx1.example.org"),
    })
}

fn dane(records: &[Tlsa]) -> Hop {
    let names = vec![name("mx1.example.org"), name("example.org")];
    hop(Authentication::Dane {
        records: records.to_vec(),
        names,
    })
}

fn record(usage: u8, selector: u8, matching: u8, entity: &Entity) -> Tlsa {
    let octets = if selector == 0 {
        entity.der.to_vec()
    } else {
        entity.spki()
    };
    let data = match matching {
        0 => octets,
        1 => Sha256::digest(&octets).to_vec(),
        _ => Sha512::digest(&octets).to_vec(),
    };
    Tlsa {
        usage,
        selector,
        matching,
        data,
    }
}

fn trust(roots: &[&Entity]) -> Trust {
    let anchor = |root: &&Entity| {
        webpki::anchor_from_trusted_cert(&root.der)
            .unwrap()
            .to_owned()
    };
    Trust {
        roots: roots.iter().map(anchor).collect(),
        algorithms: webpki::ALL_VERIFICATION_ALGS,
    }
}

fn check(
    hop: &Hop,
    chain: &[&Entity],
    roots: &[&Entity],
) -> Result<PeerAuthenticated, PeerFailure> {
    let chain: Vec<_> = chain.iter().map(|entity| entity.der.clone()).collect();
    authenticate(hop, &chain, NOW, &trust(roots))
}

/// The same leaf under usage 3, usage 2 and PKIX.
fn by_each(leaf: &Entity, above: &[&Entity], issuer: &Entity) -> [Result<(), PeerFailure>; 3] {
    let chain: Vec<&Entity> = std::iter::once(leaf).chain(above.iter().copied()).collect();
    [
        check(&dane(&[record(3, 1, 1, leaf)]), &chain, &[]).map(drop),
        check(&dane(&[record(2, 0, 1, issuer)]), &chain, &[]).map(drop),
        check(&pkix(), &chain, &[issuer]).map(drop),
    ]
}

#[test]
fn a_good_certificate_is_proved_in_all_three_ways() {
    let root = root();
    let leaf = root.leaf();
    assert_eq!(by_each(&leaf, &[&root], &root), [Ok(()), Ok(()), Ok(())]);
}

#[test]
fn the_witness_is_for_its_hop_and_leaf_alone() {
    let root = root();
    let leaf = root.leaf();
    let proof = check(&pkix(), &[&leaf], &[&root]).unwrap();
    assert!(proof.is_for(&pkix(), &leaf.der));
    assert!(!proof.is_for(&pkix(), &root.der));
    assert!(!proof.is_for(&dane(&[record(3, 1, 1, &leaf)]), &leaf.der));
    let elsewhere = Hop {
        port: 2525,
        ..pkix()
    };
    assert!(!proof.is_for(&elsewhere, &leaf.der));
    assert_eq!(proof.proof().strength, Strength::Pkix);
    assert_eq!(
        proof.proof().matched,
        Matched::Root {
            subject: "CN=root".to_owned()
        }
    );
}

#[test]
fn ce_01_validity_matters_except_to_usage_3() {
    let root = root();
    let mut old = params(&["mx1.example.org"], "old");
    old.not_after = date_time_ymd(2026, 2, 1);
    let mut early = params(&["mx1.example.org"], "early");
    early.not_before = date_time_ymd(2026, 12, 1);
    let expired = Err(PeerFailure::Expired);
    for params in [old, early] {
        let leaf = root.issue(params);
        assert_eq!(
            by_each(&leaf, &[&root], &root),
            [Ok(()), expired.clone(), expired.clone()]
        );
    }
}

#[test]
fn ce_02_a_certificate_signed_by_itself_is_proved_by_usage_3() {
    let leaf = root_of(params(&["mx1.example.org"], "alone"));
    assert!(check(&dane(&[record(3, 0, 1, &leaf)]), &[&leaf], &[]).is_ok());
}

#[test]
fn ce_02_a_certificate_signed_by_itself_leads_to_no_root() {
    let leaf = root_of(params(&["mx1.example.org"], "alone"));
    let other = root();
    assert_eq!(
        check(&pkix(), &[&leaf], &[&other]).map(drop),
        Err(PeerFailure::Untrusted)
    );
}

#[test]
fn ce_03_another_name_matters_except_to_usage_3() {
    let root = root();
    let leaf = root.issue(params(&["mx1.example.com"], "other"));
    let name = Err(PeerFailure::Name);
    assert_eq!(
        by_each(&leaf, &[&root], &root),
        [Ok(()), name.clone(), name]
    );
}

#[test]
fn n_1_usage_2_accepts_the_domain_and_pkix_does_not() {
    let root = root();
    let leaf = root.issue(params(&["example.org"], "domain"));
    let [usage_3, usage_2, pkix] = by_each(&leaf, &[&root], &root);
    assert_eq!(
        (usage_3, usage_2, pkix),
        (Ok(()), Ok(()), Err(PeerFailure::Name))
    );
}

#[test]
fn ce_04_an_unknown_issuer_matters_to_pkix_alone() {
    let (root, unknown) = (root(), root());
    let leaf = unknown.leaf();
    assert!(
        check(
            &dane(&[record(3, 1, 1, &leaf)]),
            &[&leaf, &unknown],
            &[&root]
        )
        .is_ok()
    );
    assert!(
        check(
            &dane(&[record(2, 0, 1, &unknown)]),
            &[&leaf, &unknown],
            &[&root]
        )
        .is_ok()
    );
    let result = check(&pkix(), &[&leaf, &unknown], &[&root]).map(drop);
    assert_eq!(result, Err(PeerFailure::Untrusted));
}

#[test]
fn ce_05_and_x_04_a_trusted_root_never_stands_in_for_a_tlsa_match() {
    let (root, other) = (root(), root());
    let leaf = root.leaf();
    let records = [record(2, 0, 1, &other), record(3, 1, 1, &other)];
    let result = check(&dane(&records), &[&leaf, &root], &[&root]).map(drop);
    assert_eq!(result, Err(PeerFailure::NoTlsaMatch));
}

#[test]
fn ce_06_a_missing_intermediate_is_not_fetched() {
    let root = root();
    let middle = root.issue(ca_params("middle", None));
    let leaf = middle.leaf();
    assert!(check(&pkix(), &[&leaf, &middle], &[&root]).is_ok());
    assert_eq!(
        check(&pkix(), &[&leaf], &[&root]).map(drop),
        Err(PeerFailure::Untrusted)
    );
    let hop = dane(&[record(2, 0, 1, &root)]);
    assert!(check(&hop, &[&leaf, &middle, &root], &[]).is_ok());
    assert!(check(&hop, &[&leaf, &root], &[]).is_err());
}

#[test]
fn ce_07_an_expired_intermediate_breaks_the_chain() {
    let root = root();
    let mut params = ca_params("middle", None);
    params.not_after = date_time_ymd(2026, 2, 1);
    let middle = root.issue(params);
    let leaf = middle.leaf();
    let expired = Err(PeerFailure::IssuerExpired);
    assert_eq!(
        by_each(&leaf, &[&middle, &root], &root),
        [Ok(()), expired.clone(), expired]
    );
}

#[test]
fn ce_01_a_leaf_that_has_expired_too_is_what_is_told() {
    let root = root();
    let mut above = ca_params("middle", None);
    above.not_after = date_time_ymd(2026, 2, 1);
    let middle = root.issue(above);
    let mut params = params(&["mx1.example.org"], "old");
    params.not_after = date_time_ymd(2026, 2, 1);
    let leaf = middle.issue(params);
    let expired = Err(PeerFailure::Expired);
    assert_eq!(
        by_each(&leaf, &[&middle, &root], &root),
        [Ok(()), expired.clone(), expired]
    );
}

#[test]
fn ce_09_weak_keys_and_signatures_are_refused_except_for_usage_3() {
    let read = |file: &str| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates");
        CertificateDer::from(std::fs::read(folder.join(file)).unwrap())
    };
    let ca = read("ca.der");
    let anchor = webpki::anchor_from_trusted_cert(&ca).unwrap().to_owned();
    let trust = Trust {
        roots: vec![anchor],
        algorithms: webpki::ALL_VERIFICATION_ALGS,
    };
    let tlsa = |usage, der: &CertificateDer<'_>| Tlsa {
        usage,
        selector: 0,
        matching: 1,
        data: Sha256::digest(der).to_vec(),
    };
    for (file, is_strong) in [("good.der", true), ("weak.der", false), ("sha1.der", false)] {
        let chain = [read(file), ca.clone()];
        let later = UnixTime::from_secs(2_000_000_000);
        let result = |hop: &Hop| authenticate(hop, &chain, later, &trust).map(drop);
        assert_eq!(result(&pkix()).is_ok(), is_strong, "{file}");
        assert_eq!(result(&dane(&[tlsa(2, &ca)])).is_ok(), is_strong, "{file}");
        assert_eq!(result(&dane(&[tlsa(3, &chain[0])])), Ok(()), "{file}");
    }
}

#[test]
fn ce_10_a_wildcard_stands_for_the_whole_left_most_label() {
    for pattern in ["*.example.org", "*.EXAMPLE.org"] {
        assert_eq!(named_by(pattern), Ok(()), "{pattern}");
    }
}

#[test]
fn ce_10_a_wildcard_stands_for_no_part_of_a_label() {
    for pattern in ["mx*.example.org", "*1.example.org", "m*1.example.org"] {
        assert!(named_by(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn ce_11_a_wildcard_stands_for_neither_two_labels_nor_none() {
    for pattern in ["*.org", "*.mx1.example.org"] {
        assert_eq!(named_by(pattern), Err(PeerFailure::Name), "{pattern}");
    }
}

/// What the host `mx1.example.org` proves with a certificate for this name.
fn named_by(pattern: &str) -> Result<(), PeerFailure> {
    let root = root();
    let leaf = root.issue(params(&[pattern], "wild"));
    check(&pkix(), &[&leaf], &[&root]).map(drop)
}

#[test]
fn ce_12_a_common_name_is_no_name() {
    let root = root();
    let leaf = root.issue(params(&[], "mx1.example.org"));
    let [usage_3, usage_2, pkix] = by_each(&leaf, &[&root], &root);
    assert_eq!(usage_3, Ok(()));
    assert_eq!(usage_2, Err(PeerFailure::Name));
    assert_eq!(pkix, Err(PeerFailure::Name));
}

#[test]
fn ce_13_a_certificate_for_clients_is_refused_except_for_usage_3() {
    let [usage_3, usage_2, pkix] = used_for(&[ExtendedKeyUsagePurpose::ClientAuth]);
    assert_eq!(usage_3, Ok(()));
    assert!(matches!(usage_2, Err(PeerFailure::Misused(_))));
    assert!(matches!(pkix, Err(PeerFailure::Misused(_))));
}

#[test]
fn ce_13_a_certificate_for_servers_and_more_is_taken() {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    for purposes in [&[ServerAuth][..], &[ClientAuth, ServerAuth]] {
        assert_eq!(used_for(purposes), [Ok(()), Ok(()), Ok(())]);
    }
}

fn used_for(purposes: &[ExtendedKeyUsagePurpose]) -> [Result<(), PeerFailure>; 3] {
    let root = root();
    let mut params = params(&["mx1.example.org"], "purposes");
    params.extended_key_usages = purposes.to_vec();
    by_each(&root.issue(params), &[&root], &root)
}

#[test]
fn ce_14_no_certificate_proves_nothing() {
    let root = root();
    let records = [record(3, 1, 1, &root)];
    for hop in [pkix(), dane(&records)] {
        assert_eq!(
            check(&hop, &[], &[&root]).map(drop),
            Err(PeerFailure::NoCertificate)
        );
    }
}

#[test]
fn ce_17_a_stale_record_fails_whatever_else_is_right() {
    let root = root();
    let (old, new) = (root.leaf(), root.leaf());
    let result = check(&dane(&[record(3, 1, 1, &old)]), &[&new, &root], &[&root]).map(drop);
    assert_eq!(result, Err(PeerFailure::NoTlsaMatch));
}

#[test]
fn a_certificate_of_a_trusted_root_that_names_the_domain_raises_s_to_s1() {
    let root = root();
    let named = root.issue(params(&["mx1.example.org", "example.org"], "named"));
    let plain = root.leaf();
    let unsigned = Hop {
        authority: Authority::Unsigned,
        must_name_domain: true,
        ..pkix()
    };
    let proof = check(&unsigned, &[&named], &[&root]).unwrap();
    assert_eq!(proof.proof().authority, Authority::Named);
    assert_eq!(
        check(&unsigned, &[&plain], &[&root]).map(drop),
        Err(PeerFailure::NotNamed)
    );
    let content = Hop {
        must_name_domain: false,
        ..unsigned
    };
    let proof = check(&content, &[&plain], &[&root]).unwrap();
    assert_eq!(proof.proof().authority, Authority::Unsigned);
}

#[test]
fn a_private_issuer_published_by_the_host_cannot_name_the_domain() {
    let (private, root) = (root(), root());
    let leaf = private.issue(params(&["mx1.example.org", "example.org"], "named"));
    for records in [
        vec![record(2, 0, 1, &private)],
        vec![record(3, 1, 1, &leaf)],
    ] {
        let hop = Hop {
            authority: Authority::Unsigned,
            must_name_domain: true,
            ..dane(&records)
        };
        let result = check(&hop, &[&leaf, &private], &[&root]).map(drop);
        assert_eq!(result, Err(PeerFailure::NotNamed));
    }
}

#[test]
fn octets_that_are_no_certificate_are_refused() {
    let root = root();
    let leaf = root.leaf();
    for octets in [&b""[..], b"\x30", b"\x30\x82\xff\xff", &leaf.der[..40]] {
        let chain = [CertificateDer::from(octets.to_vec())];
        assert!(authenticate(&pkix(), &chain, NOW, &trust(&[&root])).is_err());
        let records = [
            record(3, 1, 1, &leaf),
            record(2, 1, 0, &root),
            record(2, 0, 0, &root),
        ];
        assert!(authenticate(&dane(&records), &chain, NOW, &trust(&[])).is_err());
    }
    for data in [vec![], vec![0x30], vec![0x30, 0x82, 0xff, 0xff]] {
        for usage in [2, 3] {
            for selector in [0, 1] {
                let hop = dane(&[Tlsa {
                    usage,
                    selector,
                    matching: 0,
                    data: data.clone(),
                }]);
                assert!(check(&hop, &[&leaf], &[]).is_err());
            }
        }
    }
}
