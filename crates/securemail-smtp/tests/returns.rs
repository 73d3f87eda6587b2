//! Mail goes to a host that the operator named only where the host is proved and lets us in.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::mx::{Cut, Mx, Reaction, Script, Stage, honest, say, server_config};
use common::pem;
use securemail_core::backend::{
    Login, RecipientOutcome, ReturnAttempt, ReturnOutcome, ReturnTransport, SessionOutcome,
    TlsStart,
};
use securemail_core::mail::{
    ContentFree, Head, Language, Reference, ReturnRoute, SenderMail, SenderNews,
};
use securemail_core::route::{Authority, Hop, PeerFailure};
use securemail_core::secret::SecretText;
use securemail_core::vocab::{Address, Demands, DnsName, QueueId, ReversePath, UnixTime, VaultId};
use securemail_testkit::ca::{Issued, TestCa};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const PASSWORD: &str = "correct horse";

fn letter() -> ContentFree {
    let recipient = Address::parse("eva@example.test").unwrap();
    let head = Head {
        id: QueueId::from_bytes([1; 16]),
        host: &DnsName::parse("relay.test").unwrap(),
        now: UnixTime::from_secs(1_795_255_200),
        language: Language::English,
        organisation: "Clinic",
        from: &Address::parse("notice@relay.test").unwrap(),
        to: &Address::parse("ward@clinic.test").unwrap(),
    };
    SenderMail {
        head,
        reference: Reference::of_vault(VaultId::from_bytes([1; 16])),
        received: UnixTime::from_secs(1_795_255_000),
        route: ReturnRoute::Authenticated,
    }
    .mail(&SenderNews::NoticeBounced {
        recipient: &recipient,
        status: None,
    })
}

fn attempt(mx: &Mx, login: Option<Login>) -> ReturnAttempt {
    ReturnAttempt {
        hop: Hop {
            authority: Authority::Operator,
            ..mx.hop()
        },
        start: TlsStart::StartTls,
        login,
        reverse_path: ReversePath::Null,
        recipient: Address::parse("ward@clinic.test").unwrap(),
        demands: Demands::default(),
        mail: letter(),
    }
}

fn login() -> Login {
    Login::new("relay", SecretText::new(PASSWORD)).unwrap()
}

/// A host that takes this login, and no mail without it.
fn asks_for_login() -> Script {
    let response = STANDARD.encode(format!("\0relay\0{PASSWORD}"));
    Arc::new(move |stage, line: &str| match (stage, line) {
        (Stage::Tls, "EHLO relay.test") => Some(say("250-mx.test\r\n250 AUTH LOGIN PLAIN")),
        (Stage::Tls, "AUTH PLAIN") => Some(say("334 ")),
        (Stage::Tls, line) if line == response => Some(say("235 2.7.0 welcome")),
        _ => None,
    })
}

fn is_taken(outcome: &ReturnOutcome) -> bool {
    matches!(
        outcome,
        ReturnOutcome::Answered(RecipientOutcome::HandedOver(_))
    )
}

/// Nothing of the mail, its envelope or the login was said.
fn nothing_left(mx: &Mx) -> bool {
    let said = |verb| mx.seen.said(Stage::Clear, verb) || mx.seen.said(Stage::Tls, verb);
    let messages = mx.seen.messages.lock().unwrap().len();
    !["AUTH", "MAIL", "RCPT", "DATA"].into_iter().any(said) && messages == 0
}

async fn host_with(certificate: impl FnOnce(&TestCa) -> Issued) -> Mx {
    let ca = TestCa::new().unwrap();
    let issued = certificate(&ca);
    let (chain, key) = pem(&issued);
    let config = server_config(chain, key, rustls::DEFAULT_VERSIONS);
    Mx::start_tls(asks_for_login(), Cut::default(), config, (ca, issued)).await
}

#[tokio::test]
async fn a_proved_host_takes_the_mail_and_the_login() {
    let starttls = Mx::start(asks_for_login()).await;
    let at_once = Mx::start_at_once(asks_for_login()).await;
    for (mx, start) in [(starttls, TlsStart::StartTls), (at_once, TlsStart::AtOnce)] {
        let attempt = ReturnAttempt {
            start,
            ..attempt(&mx, Some(login()))
        };
        let outcome = mx.transport().attempt_return(attempt).await;
        assert!(is_taken(&outcome), "{start:?}: {outcome:?}");
        let messages = mx.seen.messages.lock().unwrap().clone();
        assert_eq!(messages, [letter().octets().to_vec()]);
        assert!(mx.seen.said(Stage::Tls, "MAIL FROM:<>"));
        for verb in ["AUTH", "MAIL"] {
            assert!(
                !mx.seen.said(Stage::Clear, verb),
                "{start:?}: {verb} in clear"
            );
        }
    }
}

#[tokio::test]
async fn a_tlsa_record_of_the_host_proves_it_and_one_that_does_not_match_does_not() {
    let mx = Mx::start(honest()).await;
    let dane = |hop: Hop| ReturnAttempt {
        hop,
        ..attempt(&mx, None)
    };
    let outcome = mx.transport().attempt_return(dane(mx.dane_hop())).await;
    assert!(is_taken(&outcome), "{outcome:?}");
    let other = Mx::start(honest()).await;
    let wrong = Hop {
        port: other.port,
        ..mx.dane_hop()
    };
    let outcome = other.transport().attempt_return(dane(wrong)).await;
    let failure = SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch);
    assert_eq!(outcome, ReturnOutcome::Unanswered(failure));
    assert!(nothing_left(&other));
}

#[tokio::test]
async fn whoever_is_not_the_host_gets_nothing() {
    let wrong_name = host_with(|ca| ca.issue(&["other.test"]).unwrap()).await;
    let unknown = host_with(|_| TestCa::self_signed(&["mx.test"]).unwrap()).await;
    let expired = host_with(|ca| ca.issue_expired(&["mx.test"]).unwrap()).await;
    for (mx, failure) in [
        (wrong_name, PeerFailure::Name),
        (unknown, PeerFailure::Untrusted),
        (expired, PeerFailure::Expired),
    ] {
        let outcome = mx
            .transport()
            .attempt_return(attempt(&mx, Some(login())))
            .await;
        let wanted = SessionOutcome::NotAuthenticated(failure);
        assert_eq!(outcome, ReturnOutcome::Unanswered(wanted));
        assert!(nothing_left(&mx));
    }
}

#[tokio::test]
async fn what_one_address_said_is_not_hidden_by_silence_at_the_next() {
    let refused = AtomicBool::new(false);
    let mx = Mx::start(Arc::new(move |_, line: &str| match line {
        "STARTTLS" => Some(say("502 5.5.1 what")),
        "<connect>" if refused.swap(true, Ordering::SeqCst) => Some(Reaction::Hang),
        _ => None,
    }))
    .await;
    let transport = mx.transport_with(|settings| {
        settings.timeouts.proof = Duration::from_secs(4);
    });
    let mut attempt = attempt(&mx, None);
    attempt.hop.addresses = vec![attempt.hop.addresses[0]; 4];
    let outcome = transport.attempt_return(attempt).await;
    assert!(
        matches!(
            outcome,
            ReturnOutcome::Unanswered(SessionOutcome::NoStartTls(Some(_)))
        ),
        "{outcome:?}"
    );
    assert_eq!(mx.seen.connections(), 2, "then its time was over");
}

#[tokio::test]
async fn without_tls_nothing_leaves() {
    let script: Script = Arc::new(|stage, line: &str| match (stage, line.split(' ').next()) {
        (Stage::Clear, Some("EHLO")) => Some(say("250-mx.test\r\n250 AUTH PLAIN")),
        (Stage::Clear, Some("STARTTLS")) => Some(say("502 5.5.1 what")),
        _ => None,
    });
    let mx = Mx::start(script).await;
    for start in [TlsStart::StartTls, TlsStart::AtOnce] {
        let attempt = ReturnAttempt {
            start,
            ..attempt(&mx, Some(login()))
        };
        let outcome = mx.transport().attempt_return(attempt).await;
        assert!(
            matches!(outcome, ReturnOutcome::Unanswered(_)),
            "{outcome:?}"
        );
        assert!(nothing_left(&mx));
    }
}

#[tokio::test]
async fn what_tls_said_at_once_is_not_hidden_by_a_second_connection_that_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        let mut hello = [0; 1024];
        assert!(first.read(&mut hello).await.unwrap() > 0);
        first.write_all(&[21, 3, 3, 0, 2, 2, 40]).await.unwrap();
        drop(listener.accept().await.unwrap());
        drop(first);
    });
    let mx = Mx::start_at_once(honest()).await;
    let mut attempt = ReturnAttempt {
        start: TlsStart::AtOnce,
        ..attempt(&mx, None)
    };
    attempt.hop.port = port;
    let outcome = mx.transport().attempt_return(attempt).await;
    assert!(
        matches!(
            outcome,
            ReturnOutcome::Unanswered(SessionOutcome::TlsFailed(_))
        ),
        "{outcome:?}"
    );
    host.await.unwrap();
}

#[tokio::test]
async fn without_the_login_no_mail_leaves() {
    let refuses: Script = Arc::new(|stage, line: &str| match (stage, line) {
        (Stage::Tls, "EHLO relay.test") => Some(say("250-mx.test\r\n250 AUTH PLAIN")),
        (Stage::Tls, "AUTH PLAIN") => Some(say("334 ")),
        (Stage::Tls, line) if line.ends_with('=') || line.len() > 20 => Some(say("535 5.7.8 no")),
        _ => None,
    });
    let busy: Script = Arc::new(|stage, line: &str| match (stage, line) {
        (Stage::Tls, "EHLO relay.test") => Some(say("250-mx.test\r\n250 AUTH PLAIN")),
        (Stage::Tls, "AUTH PLAIN") => Some(say("454 4.7.0 later")),
        _ => None,
    });
    for (script, is_wanted) in [
        (refuses, matches_not_let_in as fn(&ReturnOutcome) -> bool),
        (honest(), |outcome| {
            *outcome == ReturnOutcome::NotLetIn(None)
        }),
        (busy, |outcome| {
            matches!(
                outcome,
                ReturnOutcome::Answered(RecipientOutcome::Deferred(_))
            )
        }),
    ] {
        let mx = Mx::start(script).await;
        let outcome = mx
            .transport()
            .attempt_return(attempt(&mx, Some(login())))
            .await;
        assert!(is_wanted(&outcome), "{outcome:?}");
        assert!(!mx.seen.said(Stage::Tls, "MAIL"));
    }
}

fn matches_not_let_in(outcome: &ReturnOutcome) -> bool {
    matches!(outcome, ReturnOutcome::NotLetIn(Some(reply)) if reply.code() == 535)
}

#[tokio::test]
async fn a_missing_reply_to_the_mail_is_unconfirmed_and_a_refusal_is_told() {
    let silent: Script = Arc::new(|_, line: &str| (line == "<dot>").then_some(Reaction::Close));
    let mx = Mx::start(silent).await;
    let outcome = mx.transport().attempt_return(attempt(&mx, None)).await;
    assert_eq!(
        outcome,
        ReturnOutcome::Answered(RecipientOutcome::Unconfirmed)
    );
    let refusing: Script =
        Arc::new(|_, line: &str| line.starts_with("RCPT").then(|| say("550 5.7.1 no")));
    let mx = Mx::start(refusing).await;
    let outcome = mx.transport().attempt_return(attempt(&mx, None)).await;
    assert!(
        matches!(
            outcome,
            ReturnOutcome::Answered(RecipientOutcome::Refused(_))
        ),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_host_that_says_nothing_about_the_mail_has_not_answered() {
    let gone: Script = Arc::new(|stage, line: &str| {
        (stage == Stage::Tls && line.starts_with("MAIL")).then_some(Reaction::Close)
    });
    let mx = Mx::start(gone).await;
    let outcome = mx.transport().attempt_return(attempt(&mx, None)).await;
    assert!(
        matches!(
            outcome,
            ReturnOutcome::Unanswered(SessionOutcome::Unreachable(_))
        ),
        "{outcome:?}"
    );
}
