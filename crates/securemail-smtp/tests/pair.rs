//! A delivery from connection to QUIT, and cut at every octet: never two outcomes, and no hand-over
//! without a 250.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::mx::{
    Cut, Dot, MESSAGE, Mx, Reaction, Stage, attempt, attempt_with, handed_over, honest, say,
    unconfirmed,
};
use securemail_core::backend::{AttemptReport, RecipientOutcome, SessionOutcome, Transport};
use securemail_core::route::Authentication;
use securemail_core::vocab::DnsName;
use securemail_smtp::{ClientSettings, SmtpTransport, trust};
use securemail_testkit::sim::ManualClock;

#[tokio::test]
async fn a_message_is_handed_over_with_its_facts() {
    let mx = Mx::start(honest()).await;
    for hop in [mx.hop(), mx.dane_hop()] {
        let dot = Dot::new(true);
        let report = mx.attempt(attempt(hop, dot.clone())).await;
        assert_eq!(report.outcome, SessionOutcome::Completed);
        assert_eq!(handed_over(&report), 2);
        assert_eq!(dot.opened(), 1);
        let peer = report.peer.unwrap();
        assert_eq!(
            (peer.version.as_str(), peer.ehlo.as_str()),
            ("TLSv1.3", "mx.test")
        );
        assert_eq!(peer.group, "X25519MLKEM768");
        assert_eq!(peer.cipher, "TLS13_AES_256_GCM_SHA384");
        assert_eq!(peer.chain[0], mx.issued.leaf_der);
        assert_eq!(mx.seen.messages.lock().unwrap().pop().unwrap(), MESSAGE);
    }
    assert!(!mx.seen.said(Stage::Clear, "MAIL"), "no MAIL in clear");
    assert!(mx.seen.said(
        Stage::Tls,
        "MAIL FROM:<ward@clinic.test> SIZE=25 BODY=8BITMIME"
    ));
}

#[tokio::test]
async fn each_recipient_has_its_own_outcome() {
    let script = Arc::new(|_, line: &str| match line {
        "RCPT TO:<no@example.test>" => Some(say("550 5.1.1 nobody")),
        "RCPT TO:<later@example.test>" => Some(say("450 4.2.0 greylisted")),
        _ => None,
    });
    let mx = Mx::start(script).await;
    let names = ["no@example.test", "yes@example.test", "later@example.test"];
    let report = mx
        .attempt(attempt_with(mx.hop(), Dot::new(true), MESSAGE, &names))
        .await;
    let outcomes: Vec<_> = report.recipients.iter().collect();
    assert!(matches!(
        outcomes.as_slice(),
        [
            RecipientOutcome::Refused(_),
            RecipientOutcome::HandedOver(_),
            RecipientOutcome::Deferred(_)
        ]
    ));
}

#[tokio::test]
async fn without_pipelining_each_command_waits_for_its_reply() {
    let script = Arc::new(|stage, line: &str| match (stage, line) {
        (Stage::Tls, "EHLO relay.test") => Some(say("250 mx.test")),
        _ => None,
    });
    let mx = Mx::start(script).await;
    let report = mx.attempt(attempt(mx.hop(), Dot::new(true))).await;
    assert_eq!(handed_over(&report), 2);
    assert!(mx.seen.said(Stage::Tls, "MAIL FROM:<ward@clinic.test>"));
    assert!(
        !mx.seen.said(Stage::Tls, "MAIL FROM:<ward@clinic.test> "),
        "no parameter unoffered"
    );
}

#[tokio::test]
async fn hundreds_of_recipients_go_in_groups() {
    let mx = Mx::start(honest()).await;
    let names: Vec<_> = (0..350).map(|n| format!("r{n}@example.test")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let report = mx
        .attempt(attempt_with(mx.hop(), Dot::new(true), MESSAGE, &names))
        .await;
    assert_eq!(handed_over(&report), 350);
}

#[tokio::test]
async fn where_all_recipients_are_refused_no_content_and_no_dot_leaves() {
    let script = Arc::new(|_, line: &str| line.starts_with("RCPT").then(|| say("550 5.1.1 no")));
    let mx = Mx::start(script).await;
    let dot = Dot::new(true);
    let report = mx.attempt(attempt(mx.hop(), dot.clone())).await;
    assert!(
        report
            .recipients
            .iter()
            .all(|r| matches!(r, RecipientOutcome::Refused(_)))
    );
    assert_eq!(
        (dot.opened(), mx.seen.messages.lock().unwrap().len()),
        (0, 0)
    );
}

#[tokio::test]
async fn without_leave_the_dot_stays_and_the_message_is_nobodys() {
    let mx = Mx::start(honest()).await;
    let dot = Dot::new(false);
    let report = mx.attempt(attempt(mx.hop(), dot.clone())).await;
    assert_eq!(report.outcome, SessionOutcome::CalledOff);
    assert!(
        report
            .recipients
            .iter()
            .all(|r| *r == RecipientOutcome::NotTried)
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        (dot.opened(), mx.seen.messages.lock().unwrap().len()),
        (1, 0)
    );
}

#[tokio::test]
async fn an_attempt_dropped_before_the_dot_hands_nothing_over() {
    let script = Arc::new(|stage, line: &str| {
        (stage == Stage::Tls && line.starts_with("MAIL")).then_some(Reaction::Hang)
    });
    let mx = Mx::start(script).await;
    let (transport, dot) = (mx.transport(), Dot::new(true));
    let attempting = transport.attempt(attempt(mx.hop(), dot.clone()));
    assert!(
        tokio::time::timeout(Duration::from_millis(300), attempting)
            .await
            .is_err()
    );
    assert_eq!(
        (dot.opened(), mx.seen.messages.lock().unwrap().len()),
        (0, 0)
    );
}

/// Where a reply comes, the reply, and what it makes of a recipient.
type Case = (&'static str, &'static str, fn(&RecipientOutcome) -> bool);

#[tokio::test]
async fn replies_at_each_step_mean_what_they_say() {
    let cases: [Case; 12] = [
        ("MAIL", "550 5.7.1 no", |r| {
            matches!(r, RecipientOutcome::Refused(_))
        }),
        ("MAIL", "451 4.7.1 later", |r| {
            matches!(r, RecipientOutcome::Deferred(_))
        }),
        ("MAIL", "354 what", |r| *r == RecipientOutcome::NotTried),
        ("RCPT", "421 closing", |r| {
            matches!(r, RecipientOutcome::Deferred(_))
        }),
        ("DATA", "554 5.7.1 no", |r| {
            matches!(r, RecipientOutcome::Refused(_))
        }),
        ("DATA", "250 what", |r| *r == RecipientOutcome::NotTried),
        ("<dot>", "554 5.7.1 no", |r| {
            matches!(r, RecipientOutcome::Refused(_))
        }),
        ("<dot>", "421 4.3.2 later", |r| {
            matches!(r, RecipientOutcome::Deferred(_))
        }),
        ("<dot>", "251 what", |r| *r == RecipientOutcome::Unconfirmed),
        ("<dot>", "354 what", |r| *r == RecipientOutcome::Unconfirmed),
        ("<dot>", "garbage", |r| *r == RecipientOutcome::Unconfirmed),
        ("<dot>", "250-one\r\n251 two", |r| {
            *r == RecipientOutcome::Unconfirmed
        }),
    ];
    for (at, reply, is_right) in cases {
        let script = Arc::new(move |stage, line: &str| {
            (stage == Stage::Tls && line.starts_with(at)).then(|| say(reply))
        });
        let mx = Mx::start(script).await;
        let report = mx.attempt(attempt(mx.hop(), Dot::new(true))).await;
        assert_eq!(report.outcome, SessionOutcome::Completed, "{at} {reply}");
        assert!(
            report.recipients.iter().all(is_right),
            "{at} {reply}: {:?}",
            report.recipients
        );
    }
}

#[tokio::test]
async fn silence_after_the_dot_is_unconfirmed() {
    let script = Arc::new(|_, line: &str| (line == "<dot>").then_some(Reaction::Hang));
    let mx = Mx::start(script).await;
    let transport = mx.transport_with(|s| s.timeouts.final_dot = Duration::from_millis(200));
    let report = transport.attempt(attempt(mx.hop(), Dot::new(true))).await;
    assert_eq!(unconfirmed(&report), 2);
}

#[tokio::test]
async fn a_250_that_came_before_the_dot_is_no_hand_over() {
    let script = Arc::new(|_, line: &str| {
        (line == "DATA").then(|| Reaction::Data("354 go\r\n250 2.0.0 queued\r\n".to_owned()))
    });
    let mx = Mx::start(script).await;
    let dot = Dot::new(true);
    let report = mx.attempt(attempt(mx.hop(), dot.clone())).await;
    assert_eq!((handed_over(&report), dot.opened()), (0, 0));
}

#[tokio::test]
async fn our_client_delivers_to_our_server_octet_for_octet() {
    let server = common::start().await;
    let mx = Mx::start(honest()).await;
    let host = DnsName::parse("relay.test").unwrap();
    let mut hop = mx.hop();
    hop.port = server.bounces.port();
    hop.authenticate = Authentication::Pkix { name: host.clone() };
    (hop.host, hop.sni) = (host.clone(), host.clone());
    let root = server.ca.root_der();
    let anchor = webpki::anchor_from_trusted_cert(&root).unwrap().to_owned();
    let transport = |chunking| {
        let settings = ClientSettings {
            chunking,
            ..ClientSettings::new(host.clone())
        };
        let trust = Arc::new(trust(vec![anchor.clone()]));
        SmtpTransport::new(settings, trust, Arc::new(ManualClock::default()))
    };
    let (by_bdat, by_data) = (transport(true), transport(false));
    let large: &'static [u8] = ".\r\n..\r\nx.\r\n.x\r\n\r\nlast\r\n"
        .repeat(40_000)
        .leak()
        .as_bytes();
    let messages = [MESSAGE, large, b"", b"\r\n", b".\r\n", b"open"];
    for (transport, message) in [&by_bdat, &by_data]
        .into_iter()
        .flat_map(|transport| messages.map(|message| (transport, message)))
    {
        let dot = Dot::new(true);
        let names = ["a@clinic.test", "refused@clinic.test"];
        let report = transport
            .attempt(attempt_with(hop.clone(), dot.clone(), message, &names))
            .await;
        assert_eq!(
            (handed_over(&report), dot.opened()),
            (1, 1),
            "{:?}",
            report.outcome
        );
        let taken = server.handler.taken.lock().unwrap().pop().unwrap();
        let whole = [message, b"\r\n"].concat();
        let expected = if message == b"open" { &whole } else { message };
        assert!(taken.octets == expected, "the octets differ");
        assert!(taken.tls);
        assert_eq!(taken.envelope.recipients.len(), 1);
    }
}

/// What must hold wherever the connection was cut.
fn check(mx: &Mx, dot: &Dot, report: &AttemptReport, whole_reply: bool, at: usize) {
    let kept = mx.seen.messages.lock().unwrap().len();
    let (handed, unclear) = (handed_over(report), unconfirmed(report));
    assert!(dot.opened() <= 1);
    assert!(kept <= 1);
    assert!(
        kept == 0 || dot.opened() == 1,
        "cut at {at}: kept without leave"
    );
    assert_eq!(
        handed == 2,
        whole_reply,
        "cut at {at}: hand-over and 250 do not agree"
    );
    assert!(handed == 0 || unclear == 0, "cut at {at}: two outcomes");
    if dot.opened() == 1 && handed == 0 {
        assert_eq!(
            unclear, 2,
            "cut at {at}: the host may have it and nobody says so"
        );
    }
    if dot.opened() == 0 {
        assert_eq!(unclear, 0, "cut at {at}: unconfirmed without a dot");
    }
}

#[tokio::test]
async fn cut_at_every_octet_of_the_replies() {
    let whole = Mx::start(honest()).await;
    whole.attempt(attempt(whole.hop(), Dot::new(true))).await;
    let until_250 = "250-mx.test hello\r\n250-PIPELINING\r\n250-SIZE 100000\r\n250 8BITMIME\r\n"
        .len()
        + 3 * "250 2.1.0 ok\r\n".len()
        + "354 go\r\n".len()
        + "250 2.0.0 queued\r\n".len();
    for at in 0..=until_250 {
        let mx = Mx::start_cut(
            honest(),
            Cut {
                written: Some(at),
                ..Cut::default()
            },
        )
        .await;
        let dot = Dot::new(true);
        let report = mx.attempt(attempt(mx.hop(), dot.clone())).await;
        check(&mx, &dot, &report, at == until_250, at);
    }
}

#[tokio::test]
async fn cut_at_every_octet_of_what_is_sent() {
    let whole = Mx::start(honest()).await;
    whole.attempt(attempt(whole.hop(), Dot::new(true))).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The connection is kept, so there is no QUIT among them.
    let total = *whole.seen.read.lock().unwrap();
    assert_eq!(whole.seen.count("QUIT"), 0);
    assert!(total > 150);
    for at in 0..total {
        let mx = Mx::start_cut(
            honest(),
            Cut {
                read: Some(at),
                ..Cut::default()
            },
        )
        .await;
        let dot = Dot::new(true);
        let report = mx.attempt(attempt(mx.hop(), dot.clone())).await;
        check(&mx, &dot, &report, false, at);
    }
}
