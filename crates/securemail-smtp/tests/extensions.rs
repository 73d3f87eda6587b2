//! SMTPUTF8 (RFC 6531) and REQUIRETLS (RFC 8689), in and out.

mod common;

use std::sync::Arc;

use common::mx::{Dot, MESSAGE, Mx, Script, Stage, attempt_with, handed_over, say};
use common::{Running, TlsRaw, start};
use securemail_core::backend::{Attempt, Lack, SessionOutcome};
use securemail_core::vocab::{Address, Demands, RequireTls, ReversePath};

async fn take(raw: &mut TlsRaw, mail: &str, rcpt: &str) {
    raw.ask(mail, "250").await;
    raw.ask(rcpt, "250").await;
    raw.ask("DATA", "354").await;
    raw.send("Subject: x\r\n\r\nx\r\n.\r\n").await;
    raw.expect("250").await;
}

#[tokio::test]
async fn an_address_in_utf8_is_taken_with_smtputf8_just_as_it_was_written() {
    let server = start().await;
    let mut raw = server.connector().await;
    // Decomposed, and in capitals: both are kept.
    let (from, to) = (
        "d\u{f6}ner@clinic.test",
        "JO\u{308}RG.\u{424}@b\u{fc}cher.test",
    );
    let mail = format!("MAIL FROM:<{from}> BODY=8BITMIME SMTPUTF8");
    take(&mut raw, &mail, &format!("RCPT TO:<{to}>")).await;
    let taken = &server.handler.taken()[0];
    assert!(taken.demands.smtp_utf8);
    let path = taken.envelope.reverse_path.mailbox().unwrap();
    assert_eq!(path.to_string(), from);
    assert_eq!(
        taken.envelope.recipients[0].to_string(),
        "JO\u{308}RG.\u{424}@xn--bcher-kva.test"
    );
    assert!(!taken.debug.contains("clinic"));
}

#[tokio::test]
async fn without_smtputf8_letters_outside_ascii_are_refused_with_the_way_out() {
    let server = start().await;
    let mut raw = server.connector().await;
    let reply = raw
        .ask("MAIL FROM:<d\u{f6}ner@clinic.test>", "553 5.6.7")
        .await;
    assert!(reply.contains("SMTPUTF8"), "{reply}");
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    for to in ["j\u{f6}rg@b.test", "joerg@b\u{fc}cher.test"] {
        let reply = raw.ask(&format!("RCPT TO:<{to}>"), "553 5.6.7").await;
        assert!(reply.contains("SMTPUTF8"), "{reply}");
    }
    // What one transaction said does not count for the next.
    raw.ask("RSET", "250").await;
    raw.ask("MAIL FROM:<a@clinic.test> SMTPUTF8", "250").await;
    raw.ask("RCPT TO:<j\u{f6}rg@b.test>", "250").await;
    raw.ask("RSET", "250").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    raw.ask("RCPT TO:<j\u{f6}rg@b.test>", "553 5.6.7").await;
}

#[tokio::test]
async fn local_parts_have_64_octets_and_nothing_that_hides() {
    let server = start().await;
    let mut raw = server.connector().await;
    raw.ask("MAIL FROM:<a@clinic.test> SMTPUTF8", "250").await;
    let of = |local: &str| format!("RCPT TO:<{local}@b.test>");
    raw.ask(&of(&"\u{f6}".repeat(32)), "250").await;
    for local in [
        "\u{f6}".repeat(33),
        "a\u{202e}b".to_owned(),
        "a\u{200b}b".to_owned(),
        "a\u{feff}".to_owned(),
        "a\u{ff20}good.test".to_owned(),
        "a\u{85}b".to_owned(),
        "a\u{a0}b".to_owned(),
    ] {
        let mut raw = server.connector().await;
        raw.ask("MAIL FROM:<a@clinic.test> SMTPUTF8", "250").await;
        raw.ask(&of(&local), "501 5.1.3").await;
    }
    // Octets that are no UTF-8 are no command.
    raw.send(b"RCPT TO:<j\xf6rg@b.test>\r\n").await;
    raw.expect("500 5.5.1").await;
    raw.send(b"RCPT TO:<\xc0\xaf@b.test>\r\n").await;
    raw.expect("500 5.5.1").await;
}

#[tokio::test]
async fn requiretls_is_offered_in_tls_alone_and_marks_the_message() {
    let server = start().await;
    let mut clear = server.clear().await;
    let offer = clear.ask("EHLO client.test", "250").await;
    assert!(!offer.contains("REQUIRETLS"), "{offer}");
    let mut raw = server.connector().await;
    let offer = raw.ask("EHLO client.test", "250").await;
    assert!(offer.contains("REQUIRETLS"), "{offer}");
    for (mail, wanted) in [
        ("MAIL FROM:<a@clinic.test> REQUIRETLS", RequireTls::Always),
        ("MAIL FROM:<a@clinic.test>", RequireTls::No),
        ("MAIL FROM:<> requiretls", RequireTls::IfOffered),
    ] {
        take(&mut raw, mail, "RCPT TO:<a@b.test>").await;
        let taken = server.handler.taken();
        assert_eq!(taken.last().unwrap().demands.require_tls, wanted, "{mail}");
    }
}

#[tokio::test]
async fn who_takes_bounces_offers_no_requiretls() {
    let server: Running = start().await;
    let stream = tokio::net::TcpStream::connect(server.bounces)
        .await
        .unwrap();
    let mut raw = common::Raw::over(stream);
    raw.expect("220").await;
    raw.ask("EHLO client.test", "250").await;
    raw.ask("MAIL FROM:<> REQUIRETLS", "555 5.5.4").await;
    let offer = raw.ask("EHLO client.test", "250").await;
    assert!(offer.contains("SMTPUTF8"), "{offer}");
}

/// A host that offers these inside TLS.
fn offers(keywords: &'static [&'static str]) -> Script {
    Arc::new(move |stage, line: &str| {
        let is_ehlo = stage == Stage::Tls && line.starts_with("EHLO");
        is_ehlo.then(|| {
            let keywords: String = keywords
                .iter()
                .map(|word| format!("250-{word}\r\n"))
                .collect();
            say(&format!("250-mx.test\r\n{keywords}250 PIPELINING"))
        })
    })
}

fn attempt(mx: &Mx, to: &str, demands: Demands) -> Attempt {
    Attempt {
        demands,
        ..attempt_with(mx.hop(), Dot::new(true), MESSAGE, &[to])
    }
}

fn utf8() -> Demands {
    Demands {
        smtp_utf8: true,
        ..Demands::default()
    }
}

fn require_tls(require_tls: RequireTls) -> Demands {
    Demands {
        require_tls,
        ..Demands::default()
    }
}

#[tokio::test]
async fn a_host_that_takes_utf8_gets_the_parameter_where_it_is_needed() {
    let mx = Mx::start(offers(&["8BITMIME", "SMTPUTF8"])).await;
    let local = Attempt {
        reverse_path: ReversePath::Mailbox(Address::parse("d\u{f6}ner@clinic.test").unwrap()),
        ..attempt(&mx, "a@example.test", Demands::default())
    };
    for (attempt, said) in [
        (
            attempt(&mx, "j\u{f6}rg@b\u{fc}cher.test", Demands::default()),
            "RCPT TO:<j\u{f6}rg@xn--bcher-kva.test>",
        ),
        (
            attempt(&mx, "a@example.test", utf8()),
            "MAIL FROM:<ward@clinic.test> BODY=8BITMIME SMTPUTF8",
        ),
        (
            local,
            "MAIL FROM:<d\u{f6}ner@clinic.test> BODY=8BITMIME SMTPUTF8",
        ),
    ] {
        let report = mx.attempt(attempt).await;
        assert_eq!(handed_over(&report), 1);
        assert!(mx.seen.said(Stage::Tls, said), "{said}");
    }
    mx.seen.lines.lock().unwrap().clear();
    let plain = attempt(&mx, "a@b\u{fc}cher.test", Demands::default());
    assert_eq!(handed_over(&mx.attempt(plain).await), 1);
    assert!(mx.seen.said(Stage::Tls, "RCPT TO:<a@xn--bcher-kva.test>"));
    let lines = mx.seen.lines.lock().unwrap().clone();
    assert!(!lines.iter().any(|(_, line)| line.contains("SMTPUTF8")));
}

#[tokio::test]
async fn a_host_that_takes_no_utf8_hears_nothing_of_such_a_message() {
    // SMTPUTF8 without 8BITMIME is none (RFC 6531, section 3.1).
    for keywords in [&["8BITMIME"][..], &["SMTPUTF8"]] {
        let mx = Mx::start(offers(keywords)).await;
        for attempt in [
            attempt(&mx, "j\u{f6}rg@example.test", Demands::default()),
            attempt(&mx, "a@example.test", utf8()),
        ] {
            let report = mx.attempt(attempt).await;
            assert_eq!(report.outcome, SessionOutcome::Incapable(Lack::SmtpUtf8));
            assert!(report.proof.is_some(), "it was said on the proved session");
        }
        assert!(!mx.seen.said(Stage::Tls, "MAIL"));
    }
}

#[tokio::test]
async fn what_demands_requiretls_goes_only_to_who_promises_it() {
    let promises = Mx::start(offers(&["8BITMIME", "REQUIRETLS"])).await;
    let does_not = Mx::start(offers(&["8BITMIME"])).await;
    for (demand, sent_without) in [(RequireTls::Always, 0), (RequireTls::IfOffered, 1)] {
        let to = |mx: &Mx| attempt(mx, "a@example.test", require_tls(demand));
        let report = promises.attempt(to(&promises)).await;
        assert_eq!(handed_over(&report), 1);
        assert!(promises.seen.said(
            Stage::Tls,
            "MAIL FROM:<ward@clinic.test> BODY=8BITMIME REQUIRETLS"
        ));
        let report = does_not.attempt(to(&does_not)).await;
        assert_eq!(handed_over(&report), sent_without);
        if sent_without == 0 {
            assert_eq!(report.outcome, SessionOutcome::Incapable(Lack::RequireTls));
            assert!(!does_not.seen.said(Stage::Tls, "MAIL"));
        }
    }
    let lines = does_not.seen.lines.lock().unwrap().clone();
    assert!(!lines.iter().any(|(_, line)| line.contains("REQUIRETLS")));
}

#[tokio::test]
async fn requiretls_that_is_offered_in_clear_alone_is_no_promise() {
    let script: Script = Arc::new(|stage, line: &str| {
        let is_ehlo = stage == Stage::Clear && line.starts_with("EHLO");
        is_ehlo.then(|| say("250-mx.test\r\n250-REQUIRETLS\r\n250 STARTTLS"))
    });
    let mx = Mx::start(script).await;
    let report = mx
        .attempt(attempt(
            &mx,
            "a@example.test",
            require_tls(RequireTls::Always),
        ))
        .await;
    assert_eq!(report.outcome, SessionOutcome::Incapable(Lack::RequireTls));
}

#[tokio::test]
async fn without_recipients_it_is_a_look_that_says_nothing_of_mail() {
    let does = Mx::start(offers(&["8BITMIME", "REQUIRETLS"])).await;
    let lacks = Mx::start(offers(&["8BITMIME"])).await;
    for (mx, expected) in [
        (&does, SessionOutcome::Completed),
        (&lacks, SessionOutcome::Incapable(Lack::RequireTls)),
    ] {
        let look = Attempt {
            recipients: Vec::new(),
            ..attempt(mx, "a@example.test", require_tls(RequireTls::Always))
        };
        let report = mx.attempt(look).await;
        assert_eq!(report.outcome, expected);
        assert!(report.proof.is_some() && report.recipients.is_empty());
        assert_eq!(mx.seen.count("EHLO"), 1);
        assert_eq!(mx.seen.count("MAIL") + mx.seen.count("DATA"), 0);
    }
}
