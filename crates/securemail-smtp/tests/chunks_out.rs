//! Content to a peer by BDAT (RFC 3030): one end of data that needs leave, as with the final dot.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::eventually;
use common::mx::{
    Cut, Dot, MESSAGE, Mx, Reaction, Script, Stage, attempt, attempt_with, handed_over, honest,
    offering_chunks, say, unconfirmed,
};
use securemail_core::backend::{AttemptReport, RecipientOutcome, SessionOutcome, Transport};
use securemail_core::vocab::DnsName;
use securemail_smtp::{ClientSettings, SmtpTransport};
use securemail_testkit::sim::ManualClock;

/// Long enough for several chunks, with everything that could be taken for an end.
fn long() -> &'static [u8] {
    let line = ".\r\n..\r\nBDAT 0 LAST\r\nRSET\r\nQUIT\r\n";
    line.repeat(1_500_000 / line.len()).leak().as_bytes()
}

/// Answers to lines inside TLS that begin so.
fn answer(begins: &'static str, reaction: Reaction) -> Script {
    offering_chunks(Arc::new(move |stage, line: &str| {
        (stage == Stage::Tls && line.starts_with(begins)).then(|| reaction.clone())
    }))
}

fn chunk(reply: &str) -> Reaction {
    Reaction::Chunk(format!("{reply}\r\n"))
}

fn lines(mx: &Mx) -> Vec<String> {
    let lines = mx.seen.lines.lock().unwrap();
    let in_tls = lines.iter().filter(|(stage, _)| *stage == Stage::Tls);
    in_tls.map(|(_, line)| line.clone()).collect()
}

fn messages(mx: &Mx) -> Vec<Vec<u8>> {
    mx.seen.messages.lock().unwrap().clone()
}

#[tokio::test]
async fn content_goes_as_it_is_and_its_end_needs_leave() {
    let mx = Mx::start(offering_chunks(honest())).await;
    let dot = Dot::new(true);
    let report = mx.attempt(attempt(mx.hop(), dot.clone())).await;
    assert_eq!((handed_over(&report), dot.opened()), (2, 1));
    assert_eq!(messages(&mx), [MESSAGE]);
    assert_eq!(
        lines(&mx)[1..7],
        [
            "MAIL FROM:<ward@clinic.test> BODY=8BITMIME",
            "RCPT TO:<a@example.test>",
            "RCPT TO:<b@example.test>",
            "BDAT 1",
            "BDAT 24",
            "BDAT 0 LAST",
        ]
    );
}

#[tokio::test]
async fn without_leave_the_last_chunk_stays() {
    let mx = Mx::start(offering_chunks(honest())).await;
    let dot = Dot::new(false);
    let report = mx.attempt(attempt(mx.hop(), dot.clone())).await;
    assert_eq!(report.outcome, SessionOutcome::CalledOff);
    let untouched = |r: &RecipientOutcome| *r == RecipientOutcome::NotTried;
    assert!(report.recipients.iter().all(untouched));
    let is_out = || mx.seen.said(Stage::Tls, "BDAT 24");
    eventually("the content is out", is_out).await;
    assert!(!mx.seen.said(Stage::Tls, "BDAT 0 LAST"));
    assert_eq!((dot.opened(), messages(&mx).len()), (1, 0));
}

#[tokio::test]
async fn only_an_offer_inside_tls_counts_and_the_setting_turns_it_off() {
    let clear = Arc::new(|stage, line: &str| {
        let is_ehlo = stage == Stage::Clear && line.starts_with("EHLO");
        is_ehlo.then(|| say("250-mx.test\r\n250-CHUNKING\r\n250 STARTTLS"))
    });
    let in_clear = Mx::start(clear).await;
    let report = in_clear
        .attempt(attempt(in_clear.hop(), Dot::new(true)))
        .await;
    assert_eq!(handed_over(&report), 2);
    let offers = Mx::start(offering_chunks(honest())).await;
    let transport = offers.transport_with(|settings| settings.chunking = false);
    let report = transport
        .attempt(attempt(offers.hop(), Dot::new(true)))
        .await;
    assert_eq!(handed_over(&report), 2);
    for mx in [in_clear, offers] {
        assert_eq!((mx.seen.count("BDAT"), mx.seen.count("DATA")), (0, 1));
        assert_eq!(messages(&mx), [MESSAGE]);
    }
}

#[tokio::test]
async fn a_long_message_arrives_octet_for_octet_in_chunks_of_bounded_size() {
    for pipelining in [true, false] {
        let script: Script = Arc::new(move |stage, line: &str| {
            let is_ehlo = stage == Stage::Tls && line.starts_with("EHLO");
            (is_ehlo && !pipelining).then(|| say("250-mx.test\r\n250-CHUNKING\r\n250 8BITMIME"))
        });
        let mx = Mx::start(offering_chunks(script)).await;
        let dot = Dot::new(true);
        let names = ["a@example.test"];
        let report = mx
            .attempt(attempt_with(mx.hop(), dot.clone(), long(), &names))
            .await;
        assert_eq!((handed_over(&report), dot.opened()), (1, 1));
        assert!(messages(&mx) == [long()], "the octets differ");
        let sizes: Vec<usize> = lines(&mx)
            .iter()
            .filter_map(|line| line.strip_prefix("BDAT ")?.parse().ok())
            .collect();
        assert!(sizes.len() > 5, "{sizes:?}");
        assert!(sizes.iter().all(|size| *size <= 256 * 1024), "{sizes:?}");
    }
}

#[tokio::test]
async fn what_no_line_may_hold_does_not_leave_and_an_open_line_is_ended() {
    let mx = Mx::start(offering_chunks(honest())).await;
    for message in [
        &b"Subject: x\r\n\r\nbare\nLF\r\n"[..],
        b"Subject: x\r\n\r\nbare\rCR\r\n",
        b"Subject: x\r\n\r\nnul\0\r\n",
        b"Subject: x\r\n\r\nends in CR\r",
    ] {
        let dot = Dot::new(true);
        let report = mx
            .attempt(attempt_with(mx.hop(), dot.clone(), message, &["a@b.test"]))
            .await;
        assert_eq!(report.outcome, SessionOutcome::CalledOff);
        assert_eq!((dot.opened(), messages(&mx).len()), (0, 0));
    }
    let report = mx
        .attempt(attempt_with(
            mx.hop(),
            Dot::new(true),
            b"Subject: x\r\n\r\nopen",
            &["a@b.test"],
        ))
        .await;
    assert_eq!(handed_over(&report), 1);
    assert_eq!(messages(&mx), [b"Subject: x\r\n\r\nopen\r\n"]);
}

/// Where a reply comes, the reply, what it makes of a recipient, and whether leave was asked for.
type Case = (
    &'static str,
    &'static str,
    fn(&RecipientOutcome) -> bool,
    usize,
);

#[tokio::test]
async fn replies_to_each_chunk_mean_what_they_say() {
    let refused: fn(&RecipientOutcome) -> bool = |r| matches!(r, RecipientOutcome::Refused(_));
    let deferred: fn(&RecipientOutcome) -> bool = |r| matches!(r, RecipientOutcome::Deferred(_));
    let not_tried: fn(&RecipientOutcome) -> bool = |r| *r == RecipientOutcome::NotTried;
    let unclear: fn(&RecipientOutcome) -> bool = |r| *r == RecipientOutcome::Unconfirmed;
    let cases: [Case; 16] = [
        ("BDAT 1", "554 5.7.1 no", refused, 0),
        ("BDAT 1", "452 4.3.1 full", deferred, 0),
        ("BDAT 1", "421 4.3.2 closing", deferred, 0),
        ("BDAT 1", "354 go", not_tried, 0),
        ("BDAT 1", "251 what", not_tried, 0),
        ("BDAT 24", "552 5.3.4 too much", refused, 0),
        ("BDAT 24", "452 4.3.1 full", deferred, 0),
        ("BDAT 24", "421 4.3.2 closing", deferred, 0),
        ("BDAT 24", "354 what", not_tried, 0),
        ("BDAT 24", "garbage", not_tried, 0),
        ("<dot>", "554 5.7.1 no", refused, 1),
        ("<dot>", "503 5.5.1 no", refused, 1),
        ("<dot>", "421 4.3.2 later", deferred, 1),
        ("<dot>", "251 what", unclear, 1),
        ("<dot>", "garbage", unclear, 1),
        ("<dot>", "250-one\r\n251 two", unclear, 1),
    ];
    for (at, reply, is_right, opened) in cases {
        let script = offering_chunks(Arc::new(move |_, line: &str| match line {
            "<dot>" => (at == line).then(|| say(reply)),
            _ => (at == line).then(|| chunk(reply)),
        }));
        let mx = Mx::start(script).await;
        let dot = Dot::new(true);
        let report = mx.attempt(attempt(mx.hop(), dot.clone())).await;
        let what = format!("{at} {reply}: {:?}", report.recipients);
        assert_eq!(report.outcome, SessionOutcome::Completed, "{what}");
        assert!(report.recipients.iter().all(is_right), "{what}");
        assert_eq!(dot.opened(), opened, "{what}");
        assert_eq!(mx.seen.connections(), 1, "{what}");
        if opened == 0 {
            assert!(!mx.seen.said(Stage::Tls, "BDAT 0 LAST"), "{what}");
            assert_eq!(messages(&mx).len(), 0, "{what}");
        }
    }
}

#[tokio::test]
async fn silence_after_the_last_chunk_is_unconfirmed_and_before_it_is_nothing() {
    for (line, opened) in [("BDAT 24", 0), ("BDAT 0 LAST", 1)] {
        for reaction in [Reaction::Hang, Reaction::Close] {
            let mx = Mx::start(answer(line, reaction)).await;
            let transport = mx.transport_with(|settings| {
                settings.timeouts.command = Duration::from_millis(300);
                settings.timeouts.final_dot = Duration::from_millis(300);
            });
            let dot = Dot::new(true);
            let report = transport.attempt(attempt(mx.hop(), dot.clone())).await;
            assert_eq!((unconfirmed(&report), dot.opened()), (2 * opened, opened));
        }
    }
}

#[tokio::test]
async fn behind_a_refused_chunk_no_more_goes_than_was_on_its_way() {
    for reply in ["552 5.3.4 too much", "421 4.3.2 closing", "502 5.5.1 what"] {
        let mx = Mx::start(answer("BDAT 262144", chunk(reply))).await;
        let dot = Dot::new(true);
        let transport = mx.transport();
        let sending = attempt_with(mx.hop(), dot.clone(), long(), &["a@example.test"]);
        let report = transport.attempt(sending).await;
        assert!(mx.seen.count("BDAT 262144") <= 4, "{reply}");
        assert!(!mx.seen.said(Stage::Tls, "BDAT 0 LAST"), "{reply}");
        let by_data = usize::from(reply.starts_with("502"));
        assert_eq!((handed_over(&report), dot.opened()), (by_data, by_data));
    }
}

#[tokio::test]
async fn a_250_that_came_before_the_last_chunk_is_no_hand_over() {
    for at in ["BDAT 1", "BDAT 24"] {
        let early = chunk("250 2.0.0 chunk\r\n250 2.0.0 queued\r\n250 2.0.0 queued");
        let mx = Mx::start(offering_chunks(Arc::new(move |_, line: &str| {
            (line == at).then(|| early.clone())
        })))
        .await;
        let dot = Dot::new(true);
        let report = mx.attempt(attempt(mx.hop(), dot.clone())).await;
        assert_eq!((handed_over(&report), dot.opened()), (0, 0), "{at}");
    }
}

#[tokio::test]
async fn where_all_recipients_are_refused_no_content_leaves() {
    for reply in [
        "554 5.5.1 no valid recipients",
        "503 5.5.1 RCPT first",
        "250 ok",
    ] {
        let script = offering_chunks(Arc::new(move |_, line: &str| {
            match line.split(' ').next().unwrap() {
                "RCPT" => Some(say("550 5.1.1 no")),
                "BDAT" => Some(chunk(reply)),
                _ => None,
            }
        }));
        let mx = Mx::start(script).await;
        let dot = Dot::new(true);
        let report = mx.attempt(attempt(mx.hop(), dot.clone())).await;
        let refused = |r: &RecipientOutcome| matches!(r, RecipientOutcome::Refused(_));
        assert!(report.recipients.iter().all(refused), "{reply}");
        assert_eq!((dot.opened(), mx.seen.count("BDAT")), (0, 1), "{reply}");
        assert_eq!(mx.seen.count("DATA"), 0, "{reply}");
    }
}

#[tokio::test]
async fn who_announces_chunking_and_does_not_know_it_gets_data_over_another_session() {
    for reply in [
        "500 5.5.1 what",
        "501 5.5.4 what",
        "502 5.5.1 no",
        "503 5.5.1 no",
        "504 no",
    ] {
        for at in ["BDAT 1", "BDAT 24"] {
            let mx = Mx::start(answer(at, say(reply))).await;
            let transport = mx.transport();
            for number in 1..=2 {
                let dot = Dot::new(true);
                let report = transport.attempt(attempt(mx.hop(), dot.clone())).await;
                assert_eq!((handed_over(&report), dot.opened()), (2, 1), "{at} {reply}");
                assert_eq!(messages(&mx).len(), number);
            }
            assert!(messages(&mx).iter().all(|message| message == MESSAGE));
            // The second session is kept, and is not asked for chunks again.
            assert_eq!(
                (mx.seen.connections(), mx.seen.count(at)),
                (2, 1),
                "{at} {reply}"
            );
            assert_eq!((mx.seen.count("DATA"), mx.seen.count("BDAT 0")), (2, 0));
        }
    }
}

#[tokio::test]
async fn who_does_not_know_chunks_is_asked_once_a_day_and_not_in_each_session() {
    let mx = Mx::start(answer("BDAT 1", say("502 5.5.1 no"))).await;
    let clock = Arc::new(ManualClock::default());
    let mut settings = ClientSettings::new(DnsName::parse("relay.test").unwrap());
    settings.keeping.age = Duration::ZERO;
    let transport = SmtpTransport::new(settings, Arc::new(mx.trust()), clock.clone());
    let hours = Duration::from_secs(3600);
    for (pause, connections, asked) in [(0, 2, 1), (1, 3, 1), (22, 4, 1), (2, 6, 2)] {
        clock.advance(pause * hours);
        let report = transport.attempt(attempt(mx.hop(), Dot::new(true))).await;
        assert_eq!(handed_over(&report), 2);
        let seen = (mx.seen.connections(), mx.seen.count("BDAT 1"));
        assert_eq!(seen, (connections, asked), "after {pause} hours more");
    }
}

#[tokio::test]
async fn who_does_not_know_chunks_has_no_line_of_the_content_to_obey() {
    let mx = Mx::start(answer("BDAT", say("502 5.5.1 what"))).await;
    let content = b"RSET\r\nMAIL FROM:<x@clinic.test>\r\nRCPT TO:<victim@b.test>\r\nDATA\r\n";
    let sending = attempt_with(mx.hop(), Dot::new(true), content, &["a@example.test"]);
    assert_eq!(handed_over(&mx.attempt(sending).await), 1);
    assert_eq!(messages(&mx), [content]);
    let said = lines(&mx);
    assert_eq!(
        (mx.seen.count("RCPT"), mx.seen.count("RSET")),
        (2, 0),
        "{said:?}"
    );
}

#[tokio::test]
async fn the_session_carries_the_next_message() {
    let mx = Mx::start(offering_chunks(honest())).await;
    let transport = mx.transport();
    for number in 1..=3 {
        let report = transport.attempt(attempt(mx.hop(), Dot::new(true))).await;
        assert_eq!((handed_over(&report), messages(&mx).len()), (2, number));
    }
    assert!(messages(&mx).iter().all(|message| message == MESSAGE));
    assert_eq!((mx.seen.connections(), mx.seen.count("RSET")), (1, 2));
    assert_eq!(mx.seen.count("BDAT 0 LAST"), 3);
}

/// What must hold wherever the connection was cut.
fn check(mx: &Mx, dot: &Dot, report: &AttemptReport, whole_reply: bool, at: usize) {
    let kept = messages(mx).len();
    let (handed, unclear) = (handed_over(report), unconfirmed(report));
    assert!(
        dot.opened() <= 1 && kept <= dot.opened(),
        "cut at {at}: without leave"
    );
    assert_eq!(
        handed == 2,
        whole_reply,
        "cut at {at}: hand-over and 250 do not agree"
    );
    match (dot.opened(), whole_reply) {
        (0, _) => assert_eq!(unclear, 0, "cut at {at}: unconfirmed without leave"),
        (_, true) => assert_eq!((unclear, kept), (0, 1), "cut at {at}"),
        (_, false) => assert_eq!(
            unclear, 2,
            "cut at {at}: nobody says that it may have arrived"
        ),
    }
}

async fn cut_at(cut: Cut) -> (Mx, Arc<Dot>, AttemptReport) {
    let mx = Mx::start_cut(offering_chunks(honest()), cut).await;
    let dot = Dot::new(true);
    let report = mx.attempt(attempt(mx.hop(), dot.clone())).await;
    (mx, dot, report)
}

#[tokio::test]
async fn cut_at_every_octet_of_the_replies_to_chunks() {
    let offer = "250-mx.test hello\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n";
    let until_250 = offer.len()
        + 3 * "250 2.1.0 ok\r\n".len()
        + 2 * "250 2.0.0 chunk\r\n".len()
        + "250 2.0.0 queued\r\n".len();
    for at in 0..=until_250 {
        let written = Some(at);
        let (mx, dot, report) = cut_at(Cut {
            written,
            ..Cut::default()
        })
        .await;
        check(&mx, &dot, &report, at == until_250, at);
    }
}

#[tokio::test]
async fn cut_at_every_octet_of_what_is_sent_in_chunks() {
    let (whole, _, _) = cut_at(Cut::default()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The connection is kept, so there is no QUIT among them.
    let total = *whole.seen.read.lock().unwrap();
    assert_eq!(whole.seen.count("QUIT"), 0);
    let mut opened = 0;
    for at in 0..total {
        let read = Some(at);
        let (mx, dot, report) = cut_at(Cut {
            read,
            ..Cut::default()
        })
        .await;
        check(&mx, &dot, &report, false, at);
        opened += dot.opened();
    }
    // Leave is asked for when the whole content is out, and answered.
    assert_eq!(opened, "BDAT 0 LAST\r\n".len());
}
