//! The least that a TLS session may be (NCSC-NL, TLS guidelines 2025-05), on both sides. What is below it
//! gets an alert, and no mail.

mod common;

use std::sync::Arc;

use common::mx::{Cut, Dot, Mx, attempt, handed_over, honest};
use common::pem;
use rustls::crypto::aws_lc_rs::{ALL_CIPHER_SUITES, ALL_KX_GROUPS, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use securemail_core::backend::{AttemptReport, SessionOutcome};
use securemail_testkit::ca::TestCa;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A host that speaks just this.
async fn host_with(
    versions: &[&'static SupportedProtocolVersion],
    suites: &[SupportedCipherSuite],
    groups: &[&'static dyn SupportedKxGroup],
) -> Mx {
    let ca = TestCa::new().unwrap();
    let issued = ca.issue(&["mx.test"]).unwrap();
    let (chain, key) = pem(&issued);
    let provider = CryptoProvider {
        cipher_suites: suites.to_vec(),
        kx_groups: groups.to_vec(),
        ..rustls::crypto::aws_lc_rs::default_provider()
    };
    let signer = provider.key_provider.load_private_key(key).unwrap();
    let resolver = SingleCertAndKey::from(CertifiedKey::new(chain, signer));
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    Mx::start_tls(honest(), Cut::default(), config, (ca, issued)).await
}

async fn report_of(mx: &Mx) -> AttemptReport {
    mx.attempt(attempt(mx.hop(), Dot::new(true))).await
}

#[tokio::test]
async fn hybrid_key_exchange_comes_first() {
    for (groups, taken) in [
        (ALL_KX_GROUPS, "X25519MLKEM768"),
        (
            &[kx_group::X25519, kx_group::X25519MLKEM768][..],
            "X25519MLKEM768",
        ),
        (&[kx_group::SECP256R1MLKEM768], "SecP256r1MLKEM768"),
        (&[kx_group::SECP384R1], "secp384r1"),
    ] {
        let mx = host_with(&[&TLS13], ALL_CIPHER_SUITES, groups).await;
        let report = report_of(&mx).await;
        assert_eq!(handed_over(&report), 2, "{:?}", report.outcome);
        let group = report.peer.unwrap().group;
        assert!(group.eq_ignore_ascii_case(taken), "{group} is not {taken}");
    }
}

#[tokio::test]
async fn tls_1_2_is_taken_with_ephemeral_keys_and_authenticated_encryption() {
    for suite in [
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ] {
        let mx = host_with(&[&TLS12], &[suite], ALL_KX_GROUPS).await;
        let report = report_of(&mx).await;
        assert_eq!(handed_over(&report), 2, "{:?}", report.outcome);
        let peer = report.peer.unwrap();
        assert_eq!(peer.version, "TLSv1.2");
        assert_eq!(peer.cipher, format!("{:?}", suite.suite()));
    }
}

/// A record with a handshake message in it.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
    message.extend_from_slice(body);
    let mut record = vec![22, 3, 1];
    record.extend_from_slice(&u16::try_from(message.len()).unwrap().to_be_bytes());
    record.extend_from_slice(&message);
    record
}

/// The alert in what was received: level and description, where it came in clear.
fn alert(octets: &[u8]) -> Option<(u8, u8)> {
    let [21, 3, _, 0, 2, level, description, ..] = octets else {
        return None;
    };
    Some((*level, *description))
}

/// RFC 8446, section 6: protocol_version, handshake_failure, illegal_parameter.
const PROTOCOL_VERSION: u8 = 70;
const HANDSHAKE_FAILURE: u8 = 40;
const ILLEGAL_PARAMETER: u8 = 47;

/// A host whose ServerHello takes this version and suite, whatever was offered. Its answer to STARTTLS is
/// the last thing in order; returns what the attempt says, and the alert that the host got.
async fn attempt_at_host_that_takes(version: [u8; 2], suite: [u8; 2]) -> (SessionOutcome, u8) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            stream.write_all(b"220 mx.test ESMTP\r\n").await.unwrap();
            for reply in ["250-mx.test\r\n250 STARTTLS\r\n", "220 go\r\n"] {
                assert!(stream.read(&mut buffer).await.unwrap() > 0);
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
            let count = stream.read(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..2], [22, 3], "a ClientHello of {count} octets");
            let mut hello = version.to_vec();
            hello.extend_from_slice(&[7; 32]);
            hello.push(0);
            hello.extend_from_slice(&suite);
            hello.push(0);
            stream.write_all(&record(2, &hello)).await.unwrap();
            let mut rest = Vec::new();
            drop(stream.read_to_end(&mut rest).await);
            // What is left of a ClientHello in several segments comes before the alert.
            let at = rest.len().saturating_sub(7);
            if tell.send(alert(&rest[at..])).is_err() {
                return;
            }
        }
    });
    let mx = Mx::start(honest()).await;
    let mut hop = mx.hop();
    hop.port = port;
    let report = mx.attempt(attempt(hop, Dot::new(true))).await;
    let (level, description) = told.recv().await.unwrap().expect("an alert");
    assert_eq!(level, 2, "fatal");
    assert!(report.recipients.is_empty());
    (report.outcome, description)
}

#[tokio::test]
async fn a_host_with_less_gets_an_alert_and_no_mail() {
    for (version, suite, alerts) in [
        // TLS 1.0 and 1.1 (RFC 8996).
        ([3, 1], [0xc0, 0x2b], &[PROTOCOL_VERSION][..]),
        ([3, 2], [0xc0, 0x2b], &[PROTOCOL_VERSION]),
        // SSL 3.0 (RFC 7568).
        ([3, 0], [0xc0, 0x2b], &[PROTOCOL_VERSION]),
        // Key exchange by RSA; CBC; finite fields; no encryption; anonymous: none was offered.
        (
            [3, 3],
            [0x00, 0x9d],
            &[HANDSHAKE_FAILURE, ILLEGAL_PARAMETER],
        ),
        (
            [3, 3],
            [0xc0, 0x0a],
            &[HANDSHAKE_FAILURE, ILLEGAL_PARAMETER],
        ),
        (
            [3, 3],
            [0x00, 0x9f],
            &[HANDSHAKE_FAILURE, ILLEGAL_PARAMETER],
        ),
        (
            [3, 3],
            [0xc0, 0x06],
            &[HANDSHAKE_FAILURE, ILLEGAL_PARAMETER],
        ),
        (
            [3, 3],
            [0xc0, 0x19],
            &[HANDSHAKE_FAILURE, ILLEGAL_PARAMETER],
        ),
    ] {
        let (outcome, description) = attempt_at_host_that_takes(version, suite).await;
        let SessionOutcome::TlsFailed(said) = &outcome else {
            panic!("{version:?} {suite:?}: {outcome:?}");
        };
        assert!(
            alerts.contains(&description),
            "{version:?} {suite:?}: alert {description}"
        );
        assert!(said.starts_with("peer "), "{version:?} {suite:?}: {said}");
    }
}

/// A ClientHello of at most this version, with these suites and elliptic curves.
fn client_hello(version: [u8; 2], suites: &[[u8; 2]]) -> Vec<u8> {
    let mut hello = version.to_vec();
    hello.extend_from_slice(&[9; 32]);
    hello.push(0);
    hello.extend_from_slice(&u16::try_from(suites.len() * 2).unwrap().to_be_bytes());
    hello.extend(suites.iter().flatten());
    hello.extend_from_slice(&[1, 0]);
    // Groups x25519 and secp256r1; uncompressed points; ECDSA and RSA with SHA-256; extended master secret.
    let extensions: &[&[u8]] = &[
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1],
        &[0, 23, 0, 0],
    ];
    let extensions = extensions.concat();
    hello.extend_from_slice(&u16::try_from(extensions.len()).unwrap().to_be_bytes());
    hello.extend_from_slice(&extensions);
    record(1, &hello)
}

/// Asks our server for TLS like this; the first octets of its answer.
async fn answer_to(hello: &[u8]) -> Vec<u8> {
    let server = common::start().await;
    let mut stream = TcpStream::connect(server.submission).await.unwrap();
    let mut buffer = [0; 4096];
    for command in ["EHLO client.test\r\n", "STARTTLS\r\n"] {
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        stream.write_all(command.as_bytes()).await.unwrap();
    }
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    stream.write_all(hello).await.unwrap();
    let count = stream.read(&mut buffer).await.unwrap();
    buffer[..count].to_vec()
}

const ECDHE_GCM: [u8; 2] = [0xc0, 0x2b];

#[tokio::test]
async fn a_client_with_less_gets_an_alert() {
    // The same hello with what is allowed is answered: 2 is ServerHello.
    let answer = answer_to(&client_hello([3, 3], &[ECDHE_GCM])).await;
    assert_eq!(
        (answer[0], answer[5]),
        (22, 2),
        "TLS 1.2 with ECDHE and AEAD"
    );
    for (version, suites, description) in [
        ([3, 0], &[ECDHE_GCM][..], PROTOCOL_VERSION),
        ([3, 1], &[ECDHE_GCM], PROTOCOL_VERSION),
        ([3, 2], &[ECDHE_GCM], PROTOCOL_VERSION),
        // RSA key exchange, CBC with ECDHE, finite fields, NULL, anonymous.
        ([3, 3], &[[0x00, 0x9c], [0x00, 0x9d]], HANDSHAKE_FAILURE),
        ([3, 3], &[[0xc0, 0x0a], [0xc0, 0x24]], HANDSHAKE_FAILURE),
        ([3, 3], &[[0x00, 0x9e], [0x00, 0x9f]], HANDSHAKE_FAILURE),
        ([3, 3], &[[0xc0, 0x06]], HANDSHAKE_FAILURE),
        ([3, 3], &[[0xc0, 0x19]], HANDSHAKE_FAILURE),
    ] {
        let answer = answer_to(&client_hello(version, suites)).await;
        assert_eq!(
            alert(&answer),
            Some((2, description)),
            "{version:?} {suites:?}"
        );
    }
}
