//! Content-free mail takes the best TLS offered, and clear text only where it may and nothing is offered.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::mx::{Cut, Mx, Reaction, Script, Stage, handed_over, honest, say, server_config};
use common::pem;
use securemail_core::backend::{NoticeAttempt, NoticeTransport, SessionOutcome};
use securemail_core::mail::{ContentFree, Head, Language, Link, Notice, NoticeKind, Reference};
use securemail_core::vocab::{Address, DnsName, QueueId, ReversePath, UnixTime, VaultId};
use securemail_testkit::ca::TestCa;

fn letter() -> ContentFree {
    let queue = QueueId::from_bytes([1; 16]);
    let head = Head {
        id: queue,
        host: &DnsName::parse("relay.test").unwrap(),
        now: UnixTime::from_secs(1_795_255_200),
        language: Language::English,
        organisation: "Clinic",
        from: &Address::parse("notice@relay.test").unwrap(),
        to: &Address::parse("a@example.test").unwrap(),
    };
    Notice {
        head,
        kind: NoticeKind::First,
        link: &Link::parse("https://mail.test/m/1/x").unwrap(),
        available_until: UnixTime::from_secs(1_797_255_200),
        last_two: "78",
        reference: Reference::of_vault(VaultId::from_bytes([1; 16])),
        reason: "",
    }
    .mail()
}

fn notice(mx: &Mx, may_be_clear: bool) -> NoticeAttempt {
    NoticeAttempt {
        host: DnsName::parse("mx.test").unwrap(),
        addresses: vec!["127.0.0.1".parse().unwrap()],
        port: mx.port,
        may_be_clear,
        without_tls: false,
        reverse_path: ReversePath::Null,
        recipient: Address::parse("a@example.test").unwrap(),
        mail: letter(),
    }
}

/// A host that offers no STARTTLS, and does not know it.
fn without_starttls() -> Script {
    Arc::new(|stage, line: &str| match (stage, line.split(' ').next()) {
        (Stage::Clear, Some("EHLO")) => Some(say("250-mx.test\r\n250 8BITMIME")),
        (Stage::Clear, Some("STARTTLS")) => Some(say("502 5.5.1 what")),
        _ => None,
    })
}

#[tokio::test]
async fn a_notice_goes_over_tls_that_nobody_proved() {
    let issued = TestCa::self_signed(&["elsewhere.test"]).unwrap();
    let (chain, key) = pem(&issued);
    let config = server_config(chain, key, rustls::DEFAULT_VERSIONS);
    let ca = TestCa::new().unwrap();
    let mx = Mx::start_tls(honest(), Cut::default(), config, (ca, issued)).await;
    let report = mx.transport().attempt_notice(notice(&mx, true)).await;
    assert_eq!((handed_over(&report), report.peer.is_some()), (1, true));
    assert!(mx.seen.said(Stage::Tls, "MAIL FROM:<>"));
    assert!(!mx.seen.said(Stage::Clear, "MAIL"));
    assert_eq!(
        mx.seen.messages.lock().unwrap()[0],
        letter().octets().as_ref()
    );
}

#[tokio::test]
async fn it_goes_in_clear_where_it_may_and_starttls_is_absent() {
    let mx = Mx::start(without_starttls()).await;
    let report = mx.transport().attempt_notice(notice(&mx, true)).await;
    assert_eq!((handed_over(&report), report.peer.is_some()), (1, false));
    assert!(mx.seen.said(Stage::Clear, "MAIL FROM:<>"));
}

#[tokio::test]
async fn it_stays_where_it_may_not_go_in_clear() {
    let mx = Mx::start(without_starttls()).await;
    let report = mx.transport().attempt_notice(notice(&mx, false)).await;
    assert!(matches!(
        report.outcome,
        SessionOutcome::NoStartTls(Some(_))
    ));
    assert!(!mx.seen.said(Stage::Clear, "MAIL"));
}

#[tokio::test]
async fn starttls_that_is_offered_and_fails_never_leads_to_clear_text() {
    let reactions = [
        say("454 4.7.0 later"),
        Reaction::SayAndClose("220 go\r\n".to_owned()),
        Reaction::Close,
    ];
    for reaction in reactions {
        let script: Script = Arc::new(move |stage, line: &str| {
            (stage == Stage::Clear && line == "STARTTLS").then(|| reaction.clone())
        });
        let mx = Mx::start(script).await;
        let report = mx.transport().attempt_notice(notice(&mx, true)).await;
        assert_ne!(report.outcome, SessionOutcome::Completed);
        assert!(!mx.seen.said(Stage::Clear, "MAIL"));
    }
}

/// A report about TLS may go in clear where the domain's TLS is broken (RFC 8460, section 3).
#[tokio::test]
async fn clear_text_goes_by_a_starttls_that_is_offered_only_where_it_is_asked_for() {
    let broken: Script = Arc::new(|stage, line: &str| {
        let closes = Reaction::SayAndClose("220 go\r\n".to_owned());
        (stage == Stage::Clear && line == "STARTTLS").then_some(closes)
    });
    let mx = Mx::start(broken).await;
    let transport = mx.transport();
    let first = transport.attempt_notice(notice(&mx, true)).await;
    assert!(matches!(first.outcome, SessionOutcome::Unreachable(_)));
    let again = NoticeAttempt {
        without_tls: true,
        ..notice(&mx, true)
    };
    let report = transport.attempt_notice(again).await;
    assert_eq!((handed_over(&report), report.peer.is_some()), (1, false));
}

#[tokio::test]
async fn a_host_without_proof_comes_to_mail_in_time_or_is_left() {
    let silent: Script = Arc::new(|_, line| (line == "<connect>").then_some(Reaction::Hang));
    let mx = Mx::start(silent).await;
    let transport = mx.transport_with(|settings| {
        settings.timeouts.proof = Duration::from_millis(500);
    });
    let mut notice = notice(&mx, true);
    notice.addresses = vec![notice.addresses[0]; 4];
    let began = Instant::now();
    let report = transport.attempt_notice(notice).await;
    assert!(matches!(report.outcome, SessionOutcome::Unreachable(_)));
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(report.others.len(), 0, "the others were not tried");
}
