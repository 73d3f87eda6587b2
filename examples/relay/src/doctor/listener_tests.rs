//! What is said of each thing that a listener may show.

use securemail_testkit::ca::{Issued, TestCa};

use super::*;

const HOST: &str = "relay.test";

fn target(needs_trust: bool) -> Target {
    Target {
        name: "web",
        address: ([127, 0, 0, 1], 1).into(),
        begins: Begins::AtOnce,
        host: ServerName::try_from(HOST).unwrap(),
        needs_trust,
    }
}

/// As it should be; a test says what differs.
fn seen(shown: &Issued) -> Seen {
    Seen {
        version: Some(ProtocolVersion::TLSv1_3),
        group: Some(NamedGroup::X25519MLKEM768),
        chain: vec![shown.leaf_der.clone().into()],
        early_data: false,
    }
}

fn roots(ca: &TestCa) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.root_der()).unwrap();
    Arc::new(roots)
}

/// What is not as it should be, by check.
fn not_good(found: Vec<(&'static str, (Level, String))>) -> Vec<(&'static str, Level)> {
    let levels = found.into_iter().map(|(check, (level, _))| (check, level));
    levels.filter(|(_, level)| *level != Level::Good).collect()
}

#[test]
fn only_tls_1_3_is_good_and_what_is_below_1_2_is_wrong() {
    for (version, wanted) in [
        (Some(ProtocolVersion::TLSv1_3), Level::Good),
        (Some(ProtocolVersion::TLSv1_2), Level::Advice),
        (Some(ProtocolVersion::TLSv1_1), Level::Fail),
        (Some(ProtocolVersion::TLSv1_0), Level::Fail),
        (Some(ProtocolVersion::SSLv3), Level::Fail),
        (Some(ProtocolVersion::Unknown(0x0505)), Level::Fail),
        (None, Level::Fail),
    ] {
        assert_eq!(judge_version(version).0, wanted, "{version:?}");
    }
}

#[test]
fn a_key_exchange_without_a_known_group_is_wrong() {
    for (group, wanted) in [
        (Some(NamedGroup::X25519MLKEM768), Level::Good),
        (Some(NamedGroup::secp256r1MLKEM768), Level::Good),
        (Some(NamedGroup::MLKEM1024), Level::Good),
        (Some(NamedGroup::X25519), Level::Advice),
        (Some(NamedGroup::secp256r1), Level::Advice),
        (Some(NamedGroup::secp521r1), Level::Advice),
        (Some(NamedGroup::FFDHE2048), Level::Fail),
        (Some(NamedGroup::Unknown(0x0015)), Level::Fail),
        (None, Level::Fail),
    ] {
        assert_eq!(judge_group(group).0, wanted, "{group:?}");
    }
}

#[test]
fn a_certificate_that_programs_would_not_accept_is_wrong_where_people_connect() {
    let ca = TestCa::new().unwrap();
    let roots = roots(&ca);
    let trust = |chain: Vec<CertificateDer<'static>>, needs_trust| {
        let seen = Seen {
            chain,
            ..seen(&ca.issue(&[HOST]).unwrap())
        };
        judge_trust(&target(needs_trust), &seen, &roots).0
    };
    let good = ca.issue(&[HOST]).unwrap();
    for needs_trust in [true, false] {
        let level = trust(vec![good.leaf_der.clone().into()], needs_trust);
        assert_eq!(level, Level::Good);
        assert_eq!(trust(Vec::new(), needs_trust), Level::Fail, "none");
    }
    for (what, bad) in [
        ("expired", ca.issue_expired(&[HOST])),
        ("not yet valid", ca.issue_future(&[HOST])),
        ("of another name", ca.issue_wrong_name()),
        ("self-signed", TestCa::self_signed(&[HOST])),
        ("of another root", TestCa::new().unwrap().issue(&[HOST])),
    ] {
        let shown = || vec![bad.as_ref().unwrap().leaf_der.clone().into()];
        assert_eq!(trust(shown(), true), Level::Fail, "{what}");
        // Senders of mail go by DANE or not at all.
        assert_eq!(trust(shown(), false), Level::Advice, "{what}");
    }
}

#[test]
fn each_fault_of_a_session_is_found_by_its_check() {
    let ca = TestCa::new().unwrap();
    let (good, roots) = (ca.issue(&[HOST]).unwrap(), roots(&ca));
    let found = |seen: &Seen| not_good(judge(&target(true), seen, &roots));
    assert_eq!(found(&seen(&good)), []);
    let early = Seen {
        early_data: true,
        ..seen(&good)
    };
    assert_eq!(found(&early), [("zero_rtt", Level::Fail)]);
    let old = Seen {
        version: Some(ProtocolVersion::TLSv1_2),
        group: None,
        ..seen(&good)
    };
    let wanted = [("tls_version", Level::Advice), ("fs_params", Level::Fail)];
    assert_eq!(found(&old), wanted);
    let expired = seen(&ca.issue_expired(&[HOST]).unwrap());
    let wanted = [("cert_expiry", Level::Fail), ("cert_trust", Level::Fail)];
    assert_eq!(found(&expired), wanted);
}

/// Nobody listens: that is not known to be a fault of TLS, and not good either. It is said once.
#[tokio::test]
async fn a_listener_that_does_not_answer_is_unknown() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut target = target(true);
    target.address = nobody.local_addr().unwrap();
    drop(nobody);
    let report = look(&target, &Arc::new(RootCertStore::empty())).await;
    let found = report.findings.iter();
    let found: Vec<_> = found.map(|one| (one.check, one.level)).collect();
    assert_eq!(found, [("starttls", Level::Unknown)]);
}
