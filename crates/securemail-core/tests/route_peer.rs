//! Which peers are their hops: certificate state by mechanism (rules M, N and CE).

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, NameConstraints, PublicKeyData, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256, Sha512};

use securemail_core::route::{
    Authentication, Authority, Hop, Matched, PeerAuthenticated, PeerFailure, Strength, Trust,
    authenticate, public_key,
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
fn ce_02_a_certificate_signed_by_itself_is_proved_by_usage_3_alone() {
    let leaf = root_of(params(&["mx1.example.org"], "alone"));
    assert!(check(&dane(&[record(3, 0, 1, &leaf)]), &[&leaf], &[]).is_ok());
    let other = root();
    assert_eq!(
        check(&pkix(), &[&leaf], &[&other]).map(drop),
        Err(PeerFailure::Untrusted)
    );
}

#[test]
fn m_03_a_leaf_is_never_its_own_trust_anchor() {
    let leaf = root_of(params(&["mx1.example.org"], "alone"));
    for (selector, matching) in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)] {
        let hop = dane(&[record(2, selector, matching, &leaf)]);
        let none = Err(PeerFailure::NoTlsaMatch);
        assert_eq!(check(&hop, &[&leaf], &[]).map(drop), none);
        // Shown twice it is still the leaf.
        assert_eq!(check(&hop, &[&leaf, &leaf], &[]).map(drop), none);
    }
}

#[test]
fn m_03_another_certificate_for_the_leaf_key_is_no_trust_anchor_either() {
    let leaf = root_of(params(&["mx1.example.org"], "alone"));
    let twin = ca_params("alone", None)
        .self_signed(&leaf.key)
        .unwrap()
        .der()
        .clone();
    let chain = [leaf.der.clone(), twin];
    let hop = dane(&[record(2, 1, 1, &leaf), record(2, 1, 0, &leaf)]);
    assert!(authenticate(&hop, &chain, NOW, &trust(&[])).is_err());
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
fn ce_10_and_11_a_wildcard_is_one_whole_left_most_label() {
    let root = root();
    for (pattern, matches) in [
        ("*.example.org", true),
        ("*.org", false),
        ("mx*.example.org", false),
        ("*.mx1.example.org", false),
        ("MX1.EXAMPLE.ORG", true),
    ] {
        let leaf = root.issue(params(&[pattern], "wild"));
        assert_eq!(
            check(&pkix(), &[&leaf], &[&root]).is_ok(),
            matches,
            "{pattern}"
        );
    }
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
    let root = root();
    let mut params = params(&["mx1.example.org"], "client");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let [usage_3, usage_2, pkix] = by_each(&root.issue(params), &[&root], &root);
    assert_eq!(usage_3, Ok(()));
    assert!(matches!(usage_2, Err(PeerFailure::Certificate(_))));
    assert!(matches!(pkix, Err(PeerFailure::Certificate(_))));
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
fn m_01_usage_3_matches_certificate_or_key_by_each_type() {
    let leaf = root_of(params(&["other.example.com"], "leaf"));
    for selector in [0, 1] {
        for matching in [0, 1, 2] {
            let wrong = Tlsa {
                data: vec![0; 32],
                ..record(3, selector, matching, &leaf)
            };
            let hop = dane(&[wrong.clone(), record(3, selector, matching, &leaf)]);
            let proof = check(&hop, &[&leaf], &[]).unwrap();
            assert_eq!(
                proof.proof().matched,
                Matched::Tlsa {
                    record: 1,
                    depth: 0
                }
            );
            assert_eq!(proof.proof().strength, Strength::Dane);
            assert!(check(&dane(&[wrong]), &[&leaf], &[]).is_err());
        }
    }
}

#[test]
fn m_02_usages_2_and_3_are_alternatives() {
    let root = root();
    let leaf = root.leaf();
    let other = root.leaf();
    let by_issuer = dane(&[record(3, 1, 1, &other), record(2, 0, 1, &root)]);
    assert!(check(&by_issuer, &[&leaf, &root], &[]).is_ok());
    let by_leaf = dane(&[record(2, 0, 1, &other), record(3, 1, 1, &leaf)]);
    assert!(check(&by_leaf, &[&leaf, &root], &[]).is_ok());
}

#[test]
fn usages_0_and_1_never_match() {
    let root = root();
    let leaf = root.leaf();
    let hop = dane(&[record(0, 0, 1, &root), record(1, 1, 1, &leaf)]);
    assert!(check(&hop, &[&leaf, &root], &[&root]).is_err());
}

#[test]
fn m_04_the_trust_anchor_must_be_valid_now() {
    let mut old = ca_params("root", None);
    old.not_after = date_time_ymd(2026, 2, 1);
    let root = root_of(old);
    let leaf = root.leaf();
    for matching in [0, 1] {
        let hop = dane(&[record(2, 0, matching, &root)]);
        assert_eq!(
            check(&hop, &[&leaf, &root], &[]).map(drop),
            Err(PeerFailure::Expired)
        );
    }
    // Out of the handshake its dates still stand in the record.
    let hop = dane(&[record(2, 0, 0, &root)]);
    assert_eq!(
        check(&hop, &[&leaf], &[]).map(drop),
        Err(PeerFailure::Expired)
    );
    // In the handshake they bind the bare key too.
    let hop = dane(&[record(2, 1, 0, &root)]);
    assert_eq!(
        check(&hop, &[&leaf, &root], &[]).map(drop),
        Err(PeerFailure::Expired)
    );
}

#[test]
fn m_04_the_path_length_of_the_trust_anchor_counts() {
    for (path_length, fits) in [(0, false), (1, true)] {
        let root = root_of(ca_params("root", Some(path_length)));
        let middle = root.issue(ca_params("middle", None));
        let leaf = middle.leaf();
        let hop = dane(&[record(2, 0, 0, &root)]);
        assert_eq!(check(&hop, &[&leaf, &middle], &[]).is_ok(), fits);
        assert_eq!(check(&hop, &[&leaf, &middle, &root], &[]).is_ok(), fits);
    }
}

#[test]
fn m_04_the_trust_anchor_must_be_an_authority() {
    let root = root_of(params(&[], "no authority"));
    let leaf = root.leaf();
    let hop = dane(&[record(2, 0, 1, &root)]);
    assert!(check(&hop, &[&leaf, &root], &[]).is_err());
}

#[test]
fn m_04_name_constraints_of_the_trust_anchor_count() {
    let mut constrained = ca_params("root", None);
    constrained.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example.com".to_owned())],
        excluded_subtrees: Vec::new(),
    });
    let root = root_of(constrained);
    let leaf = root.leaf();
    assert!(check(&dane(&[record(2, 0, 1, &root)]), &[&leaf, &root], &[]).is_err());
}

#[test]
fn m_05_to_07_an_anchor_outside_the_handshake_counts_in_full_alone() {
    let root = root();
    let middle = root.issue(ca_params("middle", None));
    let leaf = middle.leaf();
    for (selector, matching, works) in [
        (0, 0, true),
        (1, 0, true),
        (0, 1, false),
        (1, 1, false),
        (0, 2, false),
        (1, 2, false),
    ] {
        let hop = dane(&[record(2, selector, matching, &root)]);
        assert_eq!(
            check(&hop, &[&leaf, &middle], &[]).is_ok(),
            works,
            "2 {selector} {matching}"
        );
        let depth = check(&hop, &[&leaf, &middle, &root], &[])
            .unwrap()
            .proof()
            .matched
            .clone();
        assert_eq!(
            depth,
            Matched::Tlsa {
                record: 0,
                depth: 2
            }
        );
    }
    // The key of somebody else signs nothing here.
    let other = root_of(ca_params("root", None));
    assert!(check(&dane(&[record(2, 1, 0, &other)]), &[&leaf, &middle], &[]).is_err());
}

#[test]
fn m_08_the_trust_anchor_may_be_an_intermediate() {
    let root = root();
    let middle = root.issue(ca_params("middle", None));
    let leaf = middle.leaf();
    for (selector, matching) in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)] {
        let hop = dane(&[record(2, selector, matching, &middle)]);
        let proof = check(&hop, &[&leaf, &middle], &[]).unwrap();
        assert_eq!(
            proof.proof().matched,
            Matched::Tlsa {
                record: 0,
                depth: 1
            }
        );
    }
}

#[test]
fn m_09_order_and_extra_certificates_do_not_matter() {
    let (root, stranger) = (root(), root());
    let middle = root.issue(ca_params("middle", None));
    let leaf = middle.leaf();
    let hop = dane(&[record(2, 0, 1, &root)]);
    assert!(check(&hop, &[&leaf, &stranger, &root, &middle], &[]).is_ok());
    assert!(check(&pkix(), &[&leaf, &stranger, &middle], &[&root]).is_ok());
}

#[test]
fn m_11_usage_3_takes_leaves_of_any_form() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates");
    let v1 = CertificateDer::from(std::fs::read(folder.join("v1.der")).unwrap());
    assert!(
        webpki::EndEntityCert::try_from(&v1).is_err(),
        "webpki refuses to read it"
    );
    let key = public_key(&v1).unwrap();
    let data = Sha256::digest(&key).to_vec();
    let hop = dane(&[Tlsa {
        usage: 3,
        selector: 1,
        matching: 1,
        data,
    }]);
    assert!(authenticate(&hop, &[v1], NOW, &trust(&[])).is_ok());

    let mut strange = params(&["mx1.example.org"], "strange");
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 9999, 1], vec![5, 0]);
    extension.set_criticality(true);
    strange.custom_extensions = vec![extension];
    let root = root();
    let [usage_3, usage_2, pkix] = by_each(&root.issue(strange), &[&root], &root);
    assert_eq!(usage_3, Ok(()));
    assert!(usage_2.is_err() && pkix.is_err());
}

#[test]
fn m_11a_a_leaf_that_is_an_authority_is_taken_by_usage_3_alone() {
    let root = root();
    let mut ca = ca_params("leaf", None);
    ca.subject_alt_names = params(&["mx1.example.org"], "").subject_alt_names;
    let [usage_3, usage_2, pkix] = by_each(&root.issue(ca), &[&root], &root);
    assert_eq!(usage_3, Ok(()));
    assert!(usage_2.is_err() && pkix.is_err());
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
