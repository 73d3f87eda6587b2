//! A kept connection serves a message only by what its own session offered inside TLS: SMTPUTF8, REQUIRETLS
//! and CHUNKING are of a session, and not of a host.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::mx::{Dot, MESSAGE, Mx, Reaction, Script, Stage, attempt_with, handed_over, say};
use securemail_core::backend::{Attempt, Lack, SessionOutcome, Transport};
use securemail_core::vocab::{Demands, RequireTls};

const UTF8: &str = "SMTPUTF8";
const TLS: &str = "REQUIRETLS";
/// Nothing that matters here.
const NONE: &str = "HELP";

/// A host whose first session offers this keyword inside TLS, and whose later sessions offer that one; in
/// clear it offers everything, which counts for nothing.
fn host([first, later]: [&'static str; 2]) -> Script {
    let sessions = AtomicUsize::new(0);
    Arc::new(move |stage, line: &str| {
        if !line.starts_with("EHLO") {
            return None;
        }
        let keyword = match (stage, sessions.load(Ordering::SeqCst)) {
            (Stage::Clear, _) => "SMTPUTF8\r\n250-REQUIRETLS\r\n250-CHUNKING\r\n250-STARTTLS",
            (Stage::Tls, 0) => first,
            (Stage::Tls, _) => later,
        };
        sessions.fetch_add(usize::from(stage == Stage::Tls), Ordering::SeqCst);
        Some(say(&format!(
            "250-mx.test\r\n250-8BITMIME\r\n250-{keyword}\r\n250 PIPELINING"
        )))
    })
}

fn plain(mx: &Mx) -> Attempt {
    attempt_with(mx.hop(), Dot::new(true), MESSAGE, &["a@example.test"])
}

fn demanding(mx: &Mx, keyword: &str) -> Attempt {
    let demands = match keyword {
        UTF8 => Demands {
            smtp_utf8: true,
            ..Demands::default()
        },
        _ => Demands {
            require_tls: RequireTls::Always,
            ..Demands::default()
        },
    };
    Attempt {
        demands,
        ..plain(mx)
    }
}

fn lack(keyword: &str) -> SessionOutcome {
    SessionOutcome::Incapable(match keyword {
        UTF8 => Lack::SmtpUtf8,
        _ => Lack::RequireTls,
    })
}

/// The lines of MAIL, in their order, and whether each bears the keyword.
fn mails(mx: &Mx, keyword: &str) -> Vec<bool> {
    let lines = mx.seen.lines.lock().unwrap();
    let mails = lines.iter().filter(|(_, line)| line.starts_with("MAIL"));
    mails.map(|(_, line)| line.contains(keyword)).collect()
}

#[tokio::test]
async fn a_session_that_did_not_offer_it_is_left_for_one_that_does() {
    for keyword in [UTF8, TLS] {
        let mx = Mx::start(host([NONE, keyword])).await;
        let transport = mx.transport();
        assert_eq!(handed_over(&transport.attempt(plain(&mx)).await), 1);
        let report = transport.attempt(demanding(&mx, keyword)).await;
        assert_eq!(handed_over(&report), 1, "{keyword}");
        assert_eq!(mx.seen.connections(), 2, "{keyword}");
        assert_eq!(mails(&mx, keyword), [false, true], "{keyword}");
        // The second session is kept, and serves both kinds.
        assert_eq!(handed_over(&transport.attempt(plain(&mx)).await), 1);
        assert_eq!(
            handed_over(&transport.attempt(demanding(&mx, keyword)).await),
            1
        );
        assert_eq!(
            (mx.seen.connections(), mails(&mx, keyword)),
            (2, vec![false, true, false, true])
        );
    }
}

#[tokio::test]
async fn where_no_session_offers_it_the_fresh_one_says_so_and_hears_no_mail() {
    for keyword in [UTF8, TLS] {
        let mx = Mx::start(host([NONE, NONE])).await;
        let transport = mx.transport();
        assert_eq!(handed_over(&transport.attempt(plain(&mx)).await), 1);
        let report = transport.attempt(demanding(&mx, keyword)).await;
        assert_eq!(
            report.outcome,
            lack(keyword),
            "the judgement is of a fresh session"
        );
        assert_eq!((mx.seen.connections(), mails(&mx, keyword).len()), (2, 1));
    }
}

#[tokio::test]
async fn a_message_without_the_demand_goes_over_a_session_that_offered_it_and_says_nothing_of_it() {
    for keyword in [UTF8, TLS] {
        let mx = Mx::start(host([keyword, keyword])).await;
        let transport = mx.transport();
        for sending in [demanding(&mx, keyword), plain(&mx), demanding(&mx, keyword)] {
            assert_eq!(handed_over(&transport.attempt(sending).await), 1);
        }
        assert_eq!(
            (mx.seen.connections(), mails(&mx, keyword)),
            (1, vec![true, false, true])
        );
    }
}

#[tokio::test]
async fn what_an_earlier_session_offered_is_no_promise_of_the_next() {
    for keyword in [UTF8, TLS] {
        let offered = host([keyword, NONE]);
        let mx = Mx::start(Arc::new(move |stage, line: &str| {
            // The first session goes away when it is used again.
            let goes = stage == Stage::Tls && line == "RSET";
            goes.then_some(Reaction::Close)
                .or_else(|| offered(stage, line))
        }))
        .await;
        let transport = mx.transport();
        assert_eq!(
            handed_over(&transport.attempt(demanding(&mx, keyword)).await),
            1
        );
        let report = transport.attempt(demanding(&mx, keyword)).await;
        assert_eq!(report.outcome, lack(keyword));
        // MAIL to the session that went away stood in one write with RSET; it was not read.
        assert_eq!((mx.seen.connections(), handed_over(&report)), (2, 0));
        assert_eq!(mails(&mx, keyword), [true], "{keyword}");
    }
}

#[tokio::test]
async fn chunks_go_over_a_session_that_offered_them_and_over_no_other() {
    for (offers, by_bdat) in [
        (["CHUNKING", NONE], [true, true, false]),
        ([NONE, "CHUNKING"], [false, false, true]),
    ] {
        let mx = Mx::start(host(offers)).await;
        let transport = mx.transport_with(|settings| settings.keeping.messages = 2);
        for _ in by_bdat {
            assert_eq!(handed_over(&transport.attempt(plain(&mx)).await), 1);
        }
        let lines = mx.seen.lines.lock().unwrap().clone();
        let openings = lines
            .iter()
            .filter(|(_, line)| line == "BDAT 1" || line == "DATA");
        let found: Vec<bool> = openings.map(|(_, line)| line == "BDAT 1").collect();
        assert_eq!((found, mx.seen.connections()), (by_bdat.to_vec(), 2));
        assert!(
            mx.seen
                .messages
                .lock()
                .unwrap()
                .iter()
                .all(|message| message == MESSAGE)
        );
    }
}
