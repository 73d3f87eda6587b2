//! What the host shows against what it publishes: usages, trust anchors, forms of a leaf (rules M).

use rcgen::{CustomExtension, GeneralSubtree, NameConstraints, date_time_ymd};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use securemail_core::route::{Matched, PeerFailure, Strength, authenticate, public_key};
use securemail_core::vocab::Tlsa;

use super::{NOW, by_each, ca_params, check, dane, params, pkix, record, root, root_of, trust};

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
            Err(PeerFailure::IssuerExpired)
        );
    }
    // Out of the handshake its dates still stand in the record.
    let hop = dane(&[record(2, 0, 0, &root)]);
    assert_eq!(
        check(&hop, &[&leaf], &[]).map(drop),
        Err(PeerFailure::IssuerExpired)
    );
    // In the handshake they bind the bare key too.
    let hop = dane(&[record(2, 1, 0, &root)]);
    assert_eq!(
        check(&hop, &[&leaf, &root], &[]).map(drop),
        Err(PeerFailure::IssuerExpired)
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
fn m_05_a_certificate_in_full_anchors_a_chain_that_lacks_it() {
    assert_eq!(unshown_anchor(0, 0), Ok(()));
}

#[test]
fn m_05_another_certificate_in_full_anchors_nothing() {
    assert_eq!(unshown_stranger(0), Err(PeerFailure::Untrusted));
}

#[test]
fn m_06_a_key_in_full_anchors_a_chain_that_lacks_its_certificate() {
    assert_eq!(unshown_anchor(1, 0), Ok(()));
}

#[test]
fn m_06_the_key_of_another_authority_signs_nothing_here() {
    assert_eq!(unshown_stranger(1), Err(PeerFailure::NoTlsaMatch));
}

#[test]
fn m_07_an_anchor_known_by_its_digest_must_be_shown() {
    for (selector, matching) in [(0, 1), (1, 1), (0, 2), (1, 2)] {
        assert_eq!(
            unshown_anchor(selector, matching),
            Err(PeerFailure::NoTlsaMatch),
            "2 {selector} {matching}"
        );
    }
}

/// What the host proves with a chain that lacks the published anchor. Shown, it does whatever the record.
fn unshown_anchor(selector: u8, matching: u8) -> Result<(), PeerFailure> {
    let root = root();
    let middle = root.issue(ca_params("middle", None));
    let leaf = middle.leaf();
    let hop = dane(&[record(2, selector, matching, &root)]);
    let shown = check(&hop, &[&leaf, &middle, &root], &[]).unwrap();
    let at_the_end = Matched::Tlsa {
        record: 0,
        depth: 2,
    };
    assert_eq!(shown.proof().matched, at_the_end);
    check(&hop, &[&leaf, &middle], &[]).map(drop)
}

/// The same where another authority of the same name is published in full.
fn unshown_stranger(selector: u8) -> Result<(), PeerFailure> {
    let middle = root().issue(ca_params("middle", None));
    let hop = dane(&[record(2, selector, 0, &root())]);
    check(&hop, &[&middle.leaf(), &middle], &[]).map(drop)
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
fn m_11_a_leaf_that_is_an_authority_is_taken_by_usage_3() {
    assert_eq!(authority_as_leaf()[0], Ok(()));
}

#[test]
fn m_11_a_leaf_that_is_an_authority_is_taken_by_nothing_else() {
    let [_, usage_2, pkix] = authority_as_leaf();
    assert!(usage_2.is_err() && pkix.is_err());
}

fn authority_as_leaf() -> [Result<(), PeerFailure>; 3] {
    let root = root();
    let mut ca = ca_params("leaf", None);
    ca.subject_alt_names = params(&["mx1.example.org"], "").subject_alt_names;
    by_each(&root.issue(ca), &[&root], &root)
}
