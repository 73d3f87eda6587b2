//! Hosts that lie, and people on the way: nothing of a message leaves, and nothing said before TLS is
//! permanent.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::mx::{
    Cut, Dot, MESSAGE, Mx, Reaction, Script, Stage, attempt, attempt_with, handed_over, honest,
    say, server_config,
};
use common::{eventually, pem};
use rcgen::{CertificateParams, CustomExtension, KeyPair, PublicKeyData};
use securemail_core::backend::{AttemptReport, SessionOutcome, Transport};
use securemail_core::route::{Authentication, PeerFailure};
use securemail_testkit::ca::{Issued, TestCa};
use sha2::{Digest, Sha256};

/// Reacts to one line at one stage.
fn at(stage: Stage, line: &'static str, reaction: Reaction) -> Script {
    Arc::new(move |now, said: &str| {
        (now == stage && said.split(' ').next() == Some(line)).then(|| reaction.clone())
    })
}

/// Attempts, and checks that nothing of the message left.
async fn attempt_in_vain(mx: &Mx) -> AttemptReport {
    let dot = Dot::new(true);
    let report = mx.attempt(attempt(mx.hop(), dot.clone())).await;
    for stage in [Stage::Clear, Stage::Tls] {
        for command in ["MAIL", "RCPT", "DATA"] {
            assert!(!mx.seen.said(stage, command), "{command} at {stage:?}");
        }
    }
    assert_eq!((dot.opened(), report.recipients.len()), (0, 0));
    report
}

#[tokio::test]
async fn nothing_said_before_tls_is_permanent() {
    for (line, reply) in [
        ("<connect>", "554 5.7.1 go away"),
        ("<connect>", "421 4.3.2 later"),
        ("<connect>", "521 no mail here"),
        ("EHLO", "550 5.7.1 go away"),
        ("EHLO", "250"),
    ] {
        let mx = Mx::start(at(Stage::Clear, line, say(reply))).await;
        let report = attempt_in_vain(&mx).await;
        assert!(
            matches!(report.outcome, SessionOutcome::Unreachable(_)),
            "{line} {reply}"
        );
        assert!(!mx.seen.said(Stage::Clear, "HELO"));
    }
}

#[tokio::test]
async fn starttls_is_tried_though_it_is_not_offered() {
    let mx = Mx::start(at(Stage::Clear, "EHLO", say("250 mx.test"))).await;
    let report = mx.attempt(attempt(mx.hop(), Dot::new(true))).await;
    assert_eq!(handed_over(&report), 2);
}

#[tokio::test]
async fn only_220_to_starttls_counts() {
    for reply in [
        "454 4.7.0 later",
        "502 5.5.1 what",
        "250 ok",
        "221 ok",
        "334 ok",
    ] {
        let mx = Mx::start(at(Stage::Clear, "STARTTLS", say(reply))).await;
        let report = attempt_in_vain(&mx).await;
        assert!(
            matches!(report.outcome, SessionOutcome::NoStartTls(Some(_))),
            "{reply}"
        );
    }
}

#[tokio::test]
async fn octets_behind_the_220_are_an_injection() {
    for behind in ["x", "250 ok\r\n", "220 again\r\n", "\r\n"] {
        let reaction = Reaction::StartTls(format!("220 go\r\n{behind}"));
        let mx = Mx::start(at(Stage::Clear, "STARTTLS", reaction)).await;
        assert_eq!(
            attempt_in_vain(&mx).await.outcome,
            SessionOutcome::Injected,
            "{behind:?}"
        );
    }
}

#[tokio::test]
async fn a_220_that_came_before_starttls_is_an_injection() {
    let early = say("250-mx.test\r\n250 STARTTLS\r\n220 go");
    let mx = Mx::start(at(Stage::Clear, "EHLO", early)).await;
    assert_eq!(attempt_in_vain(&mx).await.outcome, SessionOutcome::Injected);
    assert!(!mx.seen.said(Stage::Clear, "STARTTLS"));
}

#[tokio::test]
async fn malformed_replies_in_clear_end_the_session() {
    for reply in [
        "250-a\r\n251 b",
        "garbage",
        "250 a\rb",
        "250 a\n250 b",
        "HTTP/1.1 400 Bad Request",
    ] {
        let mx = Mx::start(at(Stage::Clear, "EHLO", say(reply))).await;
        let report = attempt_in_vain(&mx).await;
        assert_eq!(report.outcome, SessionOutcome::Injected, "{reply:?}");
    }
}

#[tokio::test]
async fn a_greeting_without_end_ends() {
    let script = at(
        Stage::Clear,
        "<connect>",
        Reaction::Say("220-x\r\n".repeat(500)),
    );
    let mx = Mx::start(script).await;
    let report = attempt_in_vain(&mx).await;
    assert!(matches!(report.outcome, SessionOutcome::Unreachable(_)));
    let script = at(
        Stage::Clear,
        "<connect>",
        Reaction::Say("2".repeat(100_000)),
    );
    let mx = Mx::start(script).await;
    let report = attempt_in_vain(&mx).await;
    assert!(matches!(report.outcome, SessionOutcome::Unreachable(_)));
}

#[tokio::test]
async fn another_service_inside_tls_is_not_spoken_to() {
    for reply in [
        "HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n<html>",
        "* OK IMAP4rev1 ready",
        "+OK POP3",
        "220 mx.test ESMTP",
        "250-a\r\n220 b",
        "250",
        "334 what",
    ] {
        let mx = Mx::start(at(Stage::Tls, "EHLO", say(reply))).await;
        let report = attempt_in_vain(&mx).await;
        assert_eq!(report.outcome, SessionOutcome::Injected, "{reply:?}");
        assert!(report.peer.is_some());
    }
}

#[tokio::test]
async fn a_refused_ehlo_inside_tls_is_no_refusal_of_the_message() {
    let mx = Mx::start(at(Stage::Tls, "EHLO", say("550 5.7.1 no"))).await;
    let report = attempt_in_vain(&mx).await;
    assert!(matches!(report.outcome, SessionOutcome::Unreachable(_)));
}

#[tokio::test]
async fn what_was_offered_before_tls_is_forgotten() {
    let script: Script = Arc::new(|stage, line: &str| match (stage, line) {
        (Stage::Clear, "EHLO relay.test") => Some(say(
            "250-mx.test\r\n250-SIZE 1\r\n250-8BITMIME\r\n250 STARTTLS",
        )),
        (Stage::Tls, "EHLO relay.test") => Some(say("250 mx.test")),
        _ => None,
    });
    let mx = Mx::start(script).await;
    let report = mx.attempt(attempt(mx.hop(), Dot::new(true))).await;
    assert_eq!(handed_over(&report), 2, "SIZE 1 in clear does not count");
    assert!(mx.seen.said(Stage::Tls, "MAIL FROM:<ward@clinic.test>"));
    assert!(!mx.seen.said(Stage::Tls, "MAIL FROM:<ward@clinic.test> "));
}

#[tokio::test]
async fn a_host_that_cannot_take_the_message_is_not_asked() {
    let small = at(
        Stage::Tls,
        "EHLO",
        say("250-mx.test\r\n250-8BITMIME\r\n250 SIZE 24"),
    );
    let mx = Mx::start(small).await;
    assert!(matches!(
        attempt_in_vain(&mx).await.outcome,
        SessionOutcome::Incapable(_)
    ));
    let seven = || at(Stage::Tls, "EHLO", say("250-mx.test\r\n250 SIZE 0"));
    let mx = Mx::start(seven()).await;
    let names = ["a@example.test"];
    let eight = attempt_with(
        mx.hop(),
        Dot::new(true),
        b"Subject: \xc3\xa9\r\n\r\n",
        &names,
    );
    let report = mx.attempt(eight).await;
    assert!(matches!(report.outcome, SessionOutcome::Incapable(_)));
    assert!(!mx.seen.said(Stage::Tls, "MAIL"));
    let report = mx
        .attempt(attempt_with(mx.hop(), Dot::new(true), MESSAGE, &names))
        .await;
    assert_eq!(handed_over(&report), 1, "seven bits need nothing");
}

#[tokio::test]
async fn content_with_false_line_ends_never_leaves() {
    let contents: [&[u8]; 5] = [
        b"x\n.\nMAIL",
        b"x\r.\r\n",
        b"x\r\n.\r\r\n",
        b"x\0\r\n",
        b"x\r",
    ];
    for content in contents {
        let mx = Mx::start(honest()).await;
        let dot = Dot::new(true);
        let bad = attempt_with(mx.hop(), dot.clone(), content, &["a@example.test"]);
        let report = mx.attempt(bad).await;
        assert_eq!(report.outcome, SessionOutcome::CalledOff, "{content:?}");
        assert_eq!(
            (dot.opened(), mx.seen.messages.lock().unwrap().len()),
            (0, 0)
        );
    }
}

/// A host with a certificate of its own making.
async fn with_certificate(issued: Issued, ca: TestCa) -> Mx {
    let (chain, key) = pem(&issued);
    let config = server_config(chain, key, rustls::DEFAULT_VERSIONS);
    Mx::start_tls(honest(), Cut::default(), config, (ca, issued)).await
}

#[tokio::test]
async fn a_peer_that_is_not_proved_gets_quit_and_nothing_else() {
    let ca = || TestCa::new().unwrap();
    let named = ["mx.test"];
    let (expired, wrong) = (ca(), ca());
    let (old, other) = (
        expired.issue_expired(&named).unwrap(),
        wrong.issue_wrong_name().unwrap(),
    );
    let own = TestCa::self_signed(&named).unwrap();
    for (issued, ca, failure) in [
        (old, expired, PeerFailure::Expired),
        (other, wrong, PeerFailure::Name),
        (own, ca(), PeerFailure::Untrusted),
    ] {
        let mx = with_certificate(issued, ca).await;
        let report = attempt_in_vain(&mx).await;
        assert_eq!(report.outcome, SessionOutcome::NotAuthenticated(failure));
        let peer = report.peer.unwrap();
        assert_eq!(
            peer.chain[0], mx.issued.leaf_der,
            "the chain is kept as evidence"
        );
        eventually("QUIT", || mx.seen.said(Stage::Tls, "QUIT")).await;
        assert!(!mx.seen.said(Stage::Tls, "EHLO"));
    }
}

#[tokio::test]
async fn a_tlsa_record_of_another_key_is_no_proof_though_the_root_is_trusted() {
    let mx = Mx::start(honest()).await;
    let mut hop = mx.dane_hop();
    if let Authentication::Dane { records, .. } = &mut hop.authenticate {
        records[0].data[0] ^= 1;
    }
    let report = mx.attempt(attempt(hop, Dot::new(true))).await;
    assert_eq!(
        report.outcome,
        SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch)
    );
    assert!(!mx.seen.said(Stage::Tls, "MAIL"));
}

#[tokio::test]
async fn a_certificate_without_its_key_fails_in_the_handshake() {
    let thief = TestCa::self_signed(&["mx.test"]).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let ca = TestCa::new().unwrap();
        let issued = ca.issue(&["mx.test"]).unwrap();
        let ((chain, _), (_, key)) = (pem(&issued), pem(&thief));
        let config = server_config(chain, key, &[version]);
        let mx = Mx::start_tls(honest(), Cut::default(), config, (ca, issued)).await;
        for hop in [mx.hop(), mx.dane_hop()] {
            let report = mx.attempt(attempt(hop, Dot::new(true))).await;
            assert!(
                matches!(report.outcome, SessionOutcome::TlsFailed(_)),
                "{version:?}"
            );
        }
    }
}

/// A leaf that WebPKI refuses to parse: a critical extension that nobody knows.
fn unparsable_leaf() -> Issued {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["mx.test".to_owned()]).unwrap();
    let mut extension =
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
    let certificate = params.self_signed(&key).unwrap();
    Issued {
        chain_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        leaf_der: certificate.der().to_vec(),
        spki_sha256: Sha256::digest(key.subject_public_key_info()).into(),
    }
}

#[tokio::test]
async fn usage_3_proves_a_leaf_that_webpki_cannot_parse() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let issued = unparsable_leaf();
        let (chain, key) = pem(&issued);
        assert!(
            webpki::EndEntityCert::try_from(&chain[0]).is_err(),
            "the test tests something"
        );
        let config = server_config(chain, key, &[version]);
        let ca = TestCa::new().unwrap();
        let mx = Mx::start_tls(honest(), Cut::default(), config, (ca, issued)).await;
        let report = mx.attempt(attempt(mx.dane_hop(), Dot::new(true))).await;
        assert_eq!(handed_over(&report), 2, "{version:?}: {:?}", report.outcome);
    }
}

#[tokio::test]
async fn a_failed_handshake_is_tried_once_more_and_never_in_clear() {
    let script = at(
        Stage::Clear,
        "STARTTLS",
        Reaction::SayAndClose("220 go\r\n".to_owned()),
    );
    let mx = Mx::start(script).await;
    let report = attempt_in_vain(&mx).await;
    assert!(matches!(report.outcome, SessionOutcome::Unreachable(_)));
    assert_eq!(upgrades(&mx), 2);
}

fn upgrades(mx: &Mx) -> usize {
    let tried = mx.seen.lines.lock().unwrap();
    tried.iter().filter(|(_, line)| line == "STARTTLS").count()
}

/// Only what TLS itself says is a look at the host; silence proves nothing of it (class B and not A).
#[tokio::test]
async fn a_handshake_that_is_cut_or_not_answered_proves_nothing() {
    let go = || "220 go\r\n".to_owned();
    let hangs = Reaction::SayTwice(go(), Duration::from_secs(5), String::new());
    for reaction in [Reaction::SayAndClose(go()), hangs] {
        let mx = Mx::start(at(Stage::Clear, "STARTTLS", reaction)).await;
        let transport = mx.transport_with(|settings| {
            settings.timeouts.handshake = Duration::from_millis(200);
        });
        let report = transport.attempt(attempt(mx.hop(), Dot::new(true))).await;
        let SessionOutcome::Unreachable(why) = &report.outcome else {
            panic!("{:?}", report.outcome);
        };
        assert!(why.starts_with("in the handshake: "), "{why}");
        assert_eq!(upgrades(&mx), 2, "tried again with a smaller ClientHello");
    }
    let babble = Reaction::SayTwice(go(), Duration::from_secs(1), "no TLS\r\n".to_owned());
    let mx = Mx::start(at(Stage::Clear, "STARTTLS", babble)).await;
    let report = mx.attempt(attempt(mx.hop(), Dot::new(true))).await;
    let outcome = report.outcome;
    assert!(
        matches!(outcome, SessionOutcome::TlsFailed(_)),
        "{outcome:?}"
    );
}

/// Whoever can cut a connection does not turn a host that was looked at (class A) into a silent one (class B).
#[tokio::test]
async fn what_tls_said_is_not_hidden_by_a_second_connection_that_is_cut() {
    let go = || "220 go\r\n".to_owned();
    let alert = "\x15\x03\x03\x00\x02\x02\x28".to_owned();
    for (line, then) in [
        ("<connect>", Reaction::Close),
        ("STARTTLS", Reaction::Close),
        ("STARTTLS", Reaction::SayAndClose(go())),
        ("STARTTLS", say("454 4.7.0 later")),
        ("STARTTLS", say("421 4.3.2 later")),
        ("<connect>", Reaction::Hang),
    ] {
        let refuses = Reaction::SayTwice(go(), Duration::from_secs(1), alert.clone());
        let (name, again) = (format!("{line} {then:?}"), AtomicBool::new(false));
        let mx = Mx::start(Arc::new(move |_, said: &str| match said {
            "STARTTLS" if !again.swap(true, Ordering::SeqCst) => Some(refuses.clone()),
            said if said == line && again.load(Ordering::SeqCst) => Some(then.clone()),
            _ => None,
        }))
        .await;
        let transport = mx.transport_with(|settings| {
            settings.timeouts.proof = Duration::from_secs(4);
            settings.timeouts.greeting = Duration::from_secs(60);
        });
        let attempt = attempt(mx.hop(), Dot::new(true));
        let outcome = transport.attempt(attempt).await.outcome;
        let SessionOutcome::TlsFailed(why) = &outcome else {
            panic!("{name}: {outcome:?}");
        };
        assert!(why.contains("HandshakeFailure"), "{name}: {why}");
        assert_eq!(mx.seen.connections(), 2, "{name}");
    }
}

#[tokio::test]
async fn a_host_that_never_speaks_is_left_in_time() {
    for line in ["<connect>", "EHLO", "STARTTLS"] {
        let mx = Mx::start(at(Stage::Clear, line, Reaction::Hang)).await;
        let transport = mx.transport_with(|settings| {
            settings.timeouts.greeting = Duration::from_millis(200);
            settings.timeouts.command = Duration::from_millis(200);
        });
        let report = transport.attempt(attempt(mx.hop(), Dot::new(true))).await;
        assert!(
            matches!(report.outcome, SessionOutcome::Unreachable(_)),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_host_has_one_time_for_its_proof_however_many_addresses_it_has() {
    for (stage, line) in [
        (Stage::Clear, "<connect>"),
        (Stage::Clear, "EHLO"),
        (Stage::Clear, "STARTTLS"),
        (Stage::Tls, "EHLO"),
    ] {
        let mx = Mx::start(at(stage, line, Reaction::Hang)).await;
        let transport = mx.transport_with(|settings| {
            settings.timeouts.proof = Duration::from_millis(700);
        });
        let mut hop = mx.hop();
        hop.addresses = vec![hop.addresses[0]; 4];
        let began = std::time::Instant::now();
        let report = transport.attempt(attempt(hop, Dot::new(true))).await;
        assert!(
            matches!(report.outcome, SessionOutcome::Unreachable(_)),
            "{line}: {:?}",
            report.outcome
        );
        assert!(began.elapsed() < Duration::from_secs(4), "{line}");
        assert_eq!(report.others.len(), 0, "{line}: the others were not tried");
    }
}

#[tokio::test]
async fn a_host_that_is_proved_may_take_longer() {
    let slow = at(
        Stage::Tls,
        "MAIL",
        Reaction::SayTwice(
            "250".to_owned(),
            Duration::from_secs(6),
            " ok\r\n".to_owned(),
        ),
    );
    let mx = Mx::start(slow).await;
    let transport = mx.transport_with(|settings| {
        settings.timeouts.proof = Duration::from_secs(5);
        settings.timeouts.command = Duration::from_secs(60);
    });
    let report = transport.attempt(attempt(mx.hop(), Dot::new(true))).await;
    assert_eq!(handed_over(&report), 2);
}

#[tokio::test]
async fn the_next_address_is_tried_and_an_attack_at_the_first_is_not_hidden() {
    let mx = Mx::start(honest()).await;
    let mut hop = mx.hop();
    hop.addresses.insert(0, "127.0.0.2".parse().unwrap());
    let report = mx.attempt(attempt(hop, Dot::new(true))).await;
    assert_eq!(handed_over(&report), 2, "nobody listens at the first");
    let injecting = at(
        Stage::Clear,
        "STARTTLS",
        Reaction::StartTls("220 go\r\nx".to_owned()),
    );
    let mx = Mx::start(injecting).await;
    let mut hop = mx.hop();
    hop.addresses.push("127.0.0.2".parse().unwrap());
    let report = mx.attempt(attempt(hop, Dot::new(true))).await;
    assert_eq!(report.outcome, SessionOutcome::Injected);
    assert_eq!(report.address, Some("127.0.0.1".parse().unwrap()));
}

/// Who is led astray at one address is told, though the next one is right.
#[tokio::test]
async fn a_session_that_failed_stands_beside_the_one_that_handed_over() {
    let refused = AtomicBool::new(false);
    let mx = Mx::start(Arc::new(move |_, line: &str| {
        let is_first = line == "STARTTLS" && !refused.swap(true, Ordering::SeqCst);
        is_first.then(|| say("454 not here"))
    }))
    .await;
    let mut hop = mx.hop();
    hop.addresses.push(hop.addresses[0]);
    hop.addresses.insert(0, "127.0.0.2".parse().unwrap());
    let report = mx.attempt(attempt(hop.clone(), Dot::new(true))).await;
    assert_eq!(handed_over(&report), 2);
    let others: Vec<_> = report.others.iter().map(|one| &one.outcome).collect();
    assert!(
        matches!(
            others[..],
            [
                SessionOutcome::Unreachable(_),
                SessionOutcome::NoStartTls(Some(_))
            ]
        ),
        "{others:?}"
    );
    let addresses: Vec<_> = report.others.iter().map(|one| one.address).collect();
    assert_eq!(addresses, [Some(hop.addresses[0]), Some(hop.addresses[1])]);
}

#[tokio::test]
async fn no_address_is_unreachable() {
    let mx = Mx::start(honest()).await;
    let mut hop = mx.hop();
    hop.addresses.clear();
    let report = mx.attempt(attempt(hop, Dot::new(true))).await;
    assert!(matches!(report.outcome, SessionOutcome::Unreachable(_)));
    assert_eq!(report.address, None);
}
