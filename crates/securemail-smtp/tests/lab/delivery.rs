//! Delivery to Postfix: with proof it arrives, without proof nothing of it leaves.

use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use securemail_core::backend::{
    Attempt, AttemptReport, Connection, DotClosed, FinalDot, RecipientOutcome, SessionOutcome,
    Transport,
};
use securemail_core::route::{Authentication, Authority, Hop, PeerFailure};
use securemail_core::vocab::{Demands, DnsName, MemoryContent, ReversePath, Tlsa};
use securemail_smtp::{ClientSettings, SmtpTransport, trust};
use securemail_testkit::lab::{Lab, WallClock};
use webpki::anchor_from_trusted_cert;

const LINE: &str = ".0123456789 a line that begins with a dot, of seventy-six octets in all ..\r\n";

#[derive(Debug)]
struct Open;

#[async_trait]
impl FinalDot for Open {
    async fn open(&self) -> Result<(), DotClosed> {
        Ok(())
    }
}

#[tokio::test]
async fn matching_tlsa_record_lets_ten_megabytes_arrive_octet_for_octet() {
    let lab = Lab::here().unwrap();
    let hop = hop(&lab, "dane", "dane.test", dane("dane.test"));
    let body = LINE.repeat(10 * 1024 * 1024 / LINE.len());
    let marker = "Subject: ten megabytes\r\n";
    let report = deliver(&lab, hop, &format!("{marker}\r\n{body}")).await;
    assert_handed_over(&report);
    let peer = report.peer.unwrap();
    assert_eq!(peer.version, "TLSv1.3");
    let arrived = arrived(&lab, "dane.test", "Subject: ten megabytes").await;
    // Postfix keeps lines with LF alone.
    assert!(arrived.ends_with(&format!("\n\n{}", body.replace("\r\n", "\n"))));
}

/// Postfix and Exim both offer CHUNKING. Two messages over one connection, and the same by DATA.
#[tokio::test]
async fn a_message_in_many_chunks_arrives_octet_for_octet_at_postfix_and_exim() {
    let lab = Lab::here().unwrap();
    let piece = ".\r\n..\r\n.x\r\nBDAT 0 LAST\r\nQUIT\r\n";
    let body = piece.repeat(3 * 1024 * 1024 / piece.len());
    for (peer, domain) in [("dane", "dane.test"), ("exim", "exim.test")] {
        for chunking in [true, false] {
            let transport = transport_with(&lab, |settings| settings.chunking = chunking);
            for number in 1..=2 {
                let subject = format!("Subject: chunks {peer} {chunking} {number}");
                let hop = hop(&lab, peer, domain, dane(domain));
                let sending = Attempt {
                    connection: Connection::OfTenant("clinic".parse().unwrap()),
                    ..attempt(hop, &format!("{subject}\r\n\r\n{body}"))
                };
                assert_handed_over(&transport.attempt(sending).await);
                // Both keep lines with LF alone.
                let arrived = arrived(&lab, domain, &subject).await;
                let expected = format!("\n\n{}", body.replace("\r\n", "\n"));
                assert!(arrived.ends_with(&expected), "{subject}: octets differ");
            }
        }
    }
    // What Exim writes of a message that came in chunks, and Postfix of a session: the first octet, 13 chunks
    // and the last, twice.
    let exim = lab.log_of("exim").unwrap();
    let in_chunks = exim
        .lines()
        .filter(|line| line.contains(" <= ") && line.contains(" K "));
    assert_eq!(in_chunks.count(), 2, "{exim}");
    eventually("Postfix tells of the chunks", || {
        let log = lab.mail_log().unwrap();
        log.lines()
            .any(|line| line.contains("disconnect") && line.contains(" bdat=30 "))
    })
    .await;
}

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn trusted_certificate_with_the_name_of_the_host_is_enough() {
    let lab = Lab::here().unwrap();
    let hop = hop(&lab, "pkix", "pkix.test", pkix("mx.pkix.test"));
    let report = deliver(&lab, hop, "Subject: by name\r\n\r\nHello\r\n").await;
    assert_handed_over(&report);
    arrived(&lab, "pkix.test", "Subject: by name").await;
}

#[tokio::test]
async fn an_address_and_a_header_in_utf8_arrive_at_postfix() {
    let lab = Lab::here().unwrap();
    let hop = hop(&lab, "dane", "dane.test", dane("dane.test"));
    let message = "Subject: caf\u{e9} in letters\r\n\r\nHello\r\n";
    let report = transport(&lab)
        .attempt(Attempt {
            recipients: vec!["j\u{f6}rg@dane.test".parse().unwrap()],
            ..attempt(hop, message)
        })
        .await;
    assert_handed_over(&report);
    let arrived = arrived(&lab, "dane.test", "Subject: caf\u{e9} in letters").await;
    assert!(arrived.contains("for <j\u{f6}rg@dane.test>"), "{arrived}");
    // What Postfix writes where SMTPUTF8 was used (RFC 6531, section 4.3).
    assert!(arrived.contains("with UTF8SMTPS"), "{arrived}");
}

#[tokio::test]
async fn expired_certificate_gets_nothing() {
    let lab = Lab::here().unwrap();
    let hop = hop(&lab, "expired", "expired.test", pkix("mx.expired.test"));
    refused(&lab, hop, |outcome| {
        *outcome == SessionOutcome::NotAuthenticated(PeerFailure::Expired)
    })
    .await;
}

#[tokio::test]
async fn tlsa_record_that_does_not_match_gets_nothing() {
    let lab = Lab::here().unwrap();
    let hop = hop(&lab, "badtlsa", "badtlsa.test", dane("badtlsa.test"));
    refused(&lab, hop, |outcome| {
        *outcome == SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch)
    })
    .await;
}

#[tokio::test]
async fn certificate_with_another_name_gets_nothing() {
    let lab = Lab::here().unwrap();
    let hop = hop(&lab, "pkix", "other.test", pkix("mx.other.test"));
    refused(&lab, hop, |outcome| {
        *outcome == SessionOutcome::NotAuthenticated(PeerFailure::Name)
    })
    .await;
}

#[tokio::test]
async fn root_that_is_not_trusted_gets_nothing() {
    let lab = Lab::here().unwrap();
    let hop = hop(&lab, "pkix", "pkix.test", pkix("mx.pkix.test"));
    let settings = ClientSettings::new(name("relay.sender.test"));
    let stranger = SmtpTransport::new(settings, Arc::new(trust(Vec::new())), Arc::new(WallClock));
    let report = stranger
        .attempt(attempt(hop, "Subject: untrusted\r\n\r\nSecret\r\n"))
        .await;
    let expected = SessionOutcome::NotAuthenticated(PeerFailure::Untrusted);
    assert_eq!(report.outcome, expected);
}

#[tokio::test]
async fn host_without_starttls_gets_nothing() {
    let lab = Lab::here().unwrap();
    let hop = hop(&lab, "notls", "notls.test", pkix("mx.notls.test"));
    refused(&lab, hop, |outcome| {
        matches!(outcome, SessionOutcome::NoStartTls(_))
    })
    .await;
}

/// Nothing arrives, and the peer was told no recipient.
async fn refused(lab: &Lab, hop: Hop, is_expected: impl Fn(&SessionOutcome) -> bool) {
    let domain = hop.domain.to_string();
    let report = deliver(lab, hop, "Subject: must not leave\r\n\r\nSecret\r\n").await;
    assert!(is_expected(&report.outcome), "{:?}", report.outcome);
    assert!(
        report
            .recipients
            .iter()
            .all(|r| *r == RecipientOutcome::NotTried)
    );
    // The relay's tests send notices to some of these domains, before or after.
    let mail = lab.mail_for(&domain).unwrap();
    let is_ours = |octets: &Vec<u8>| String::from_utf8_lossy(octets).contains("must not leave");
    assert!(!mail.iter().any(is_ours));
    let log = lab.mail_log().unwrap();
    assert!(!log.contains(&format!("to=<taker@{domain}>")), "{log}");
}

fn assert_handed_over(report: &AttemptReport) {
    assert_eq!(report.outcome, SessionOutcome::Completed);
    let taken = matches!(&report.recipients[..], [RecipientOutcome::HandedOver(_)]);
    assert!(taken, "{:?}", report.recipients);
}

async fn deliver(lab: &Lab, hop: Hop, message: &str) -> AttemptReport {
    transport(lab).attempt(attempt(hop, message)).await
}

fn transport(lab: &Lab) -> SmtpTransport {
    transport_with(lab, |_| {})
}

fn transport_with(lab: &Lab, change: impl FnOnce(&mut ClientSettings)) -> SmtpTransport {
    let ca = CertificateDer::from_pem_file(lab.ca_file()).unwrap();
    let root = anchor_from_trusted_cert(&ca).unwrap().to_owned();
    let mut settings = ClientSettings::new(name("relay.sender.test"));
    change(&mut settings);
    let trust = Arc::new(trust(vec![root]));
    SmtpTransport::new(settings, trust, Arc::new(WallClock))
}

fn attempt(hop: Hop, message: &str) -> Attempt {
    Attempt {
        recipients: vec![format!("taker@{}", hop.domain).parse().unwrap()],
        hop,
        connection: Connection::Own,
        reverse_path: ReversePath::Mailbox("clinic@sender.test".parse().unwrap()),
        demands: Demands::default(),
        content: Arc::new(MemoryContent::new(Bytes::from(message.to_owned()))),
        final_dot: Arc::new(Open),
    }
}

fn hop(lab: &Lab, peer: &str, domain: &str, authenticate: Authentication) -> Hop {
    let socket = lab.peer(peer).unwrap();
    let host = name(&format!("mx.{domain}"));
    Hop {
        domain: name(domain),
        sni: host.clone(),
        host,
        addresses: vec![socket.ip()],
        port: socket.port(),
        authenticate,
        authority: Authority::Dnssec,
        must_name_domain: false,
    }
}

fn pkix(host: &str) -> Authentication {
    Authentication::Pkix { name: name(host) }
}

/// The records that the lab's DNS has; how they are validated is tested with the resolver.
fn dane(domain: &str) -> Authentication {
    let owner = format!("_25._tcp.mx.{domain}");
    let output = Command::new("dig")
        .args(["+short", "+tries=5", "TLSA", &owner])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (fields, digest) = text.split_at("3 1 1 ".len());
    assert_eq!(fields, "3 1 1 ");
    let digits: Vec<u8> = digest.bytes().filter(u8::is_ascii_hexdigit).collect();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let data = digits.chunks(2).map(octet).collect();
    let record = Tlsa {
        usage: 3,
        selector: 1,
        matching: 1,
        data,
    };
    Authentication::Dane {
        records: vec![record],
        names: Vec::new(),
    }
}

/// The one message with this header line, once it is in the mailbox.
async fn arrived(lab: &Lab, domain: &str, line: &str) -> String {
    for _ in 0..600 {
        for message in lab.mail_for(domain).unwrap() {
            let message = String::from_utf8(message).unwrap();
            if message.contains(line) {
                return message;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!(
        "no message with `{line}` for {domain}\n{}",
        lab.mail_log().unwrap()
    );
}

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}
