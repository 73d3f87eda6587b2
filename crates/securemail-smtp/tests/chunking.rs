//! Messages by BDAT (RFC 3030): the same content as by DATA, and no octet of it ever read as a command.

mod common;

use bytes::BytesMut;
use common::{Running, TlsRaw, start, start_with};
use proptest::prelude::*;
use securemail_core::limits::CHUNKS_MAX;
use securemail_core::vocab::{
    AccountKind, Address, Credential, Demands, DnsName, Reply, ReversePath,
};
use securemail_smtp::TransactionFacts;
use securemail_smtp::proto::data::{LastLine, StrictLines, Stuffer};
use securemail_smtp::proto::server::{Login, ServerSession, SessionOptions, Step};

/// What somebody would smuggle in a chunk.
const INSIDE: &str =
    "NOOP\r\nRSET\r\nMAIL FROM:<a@clinic.test>\r\nRCPT TO:<victim@b.test>\r\nQUIT\r\n";

async fn ready(server: &Running) -> TlsRaw {
    let mut raw = server.connector().await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    raw.ask("RCPT TO:<a@b.test>", "250").await;
    raw
}

fn bdat(content: &[u8], is_last: bool) -> Vec<u8> {
    let last = if is_last { " LAST" } else { "" };
    let line = format!("BDAT {}{last}\r\n", content.len());
    [line.as_bytes(), content].concat()
}

/// Only the reply to this NOOP is left, so nothing before it was obeyed that should not have been.
async fn nothing_more_was_obeyed(raw: &mut TlsRaw) {
    raw.ask("NOOP", "250 2.0.0 ok").await;
    raw.ask("QUIT", "221").await;
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn chunking_is_offered_and_binarymime_is_not() {
    let server = start().await;
    let mut raw = server.connector().await;
    let offer = raw.ask("EHLO client.test", "250").await;
    assert!(offer.contains("CHUNKING"), "{offer}");
    assert!(!offer.contains("BINARYMIME"), "{offer}");
    raw.ask("MAIL FROM:<a@clinic.test> BODY=BINARYMIME", "501 5.5.4")
        .await;
}

#[tokio::test]
async fn any_split_gives_the_content_that_data_gives() {
    let server = start().await;
    let content =
        b"Subject: x\r\n\r\n.\r\n..\r\n.dot\r\n\r\nx.\r\n.\r\nMAIL FROM:<e@clinic.test>\r\n";
    for size in [1, 2, 3, 7, 11, 30, content.len(), 1000] {
        let mut raw = ready(&server).await;
        let pieces: Vec<_> = content.chunks(size).collect();
        // All at once, as RFC 3030, section 4.2, allows, and the last chunk with content or empty.
        let empty_end = size % 2 == 0;
        let mut all = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            all.extend(bdat(piece, !empty_end && at + 1 == pieces.len()));
        }
        if empty_end {
            all.extend(bdat(b"", true));
        }
        all.extend(b"NOOP\r\n");
        raw.send(all).await;
        for piece in pieces.iter().take(pieces.len() - usize::from(!empty_end)) {
            let reply = format!("250 2.0.0 {} octets", piece.len());
            raw.expect(&reply).await;
        }
        raw.expect("250 2.0.0 taken").await;
        raw.expect("250 2.0.0 ok").await;
        assert_eq!(server.handler.taken().last().unwrap().octets, content);
    }
    assert_eq!(server.handler.taken().len(), 8);
}

#[tokio::test]
async fn octets_that_trickle_are_the_same_message() {
    let server = start().await;
    let mut raw = ready(&server).await;
    let content = b"Subject: x\r\n\r\n.\r\n";
    for octet in [bdat(&content[..9], false), bdat(&content[9..], true)].concat() {
        raw.send([octet]).await;
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    raw.expect("250 2.0.0 9 octets").await;
    raw.expect("250 2.0.0 taken").await;
    assert_eq!(server.handler.taken()[0].octets, content);
}

#[tokio::test]
async fn a_whole_transaction_goes_in_one_write() {
    let server = start().await;
    let mut raw = server.connector().await;
    let group = b"MAIL FROM:<a@clinic.test>\r\nRCPT TO:<a@b.test>\r\n";
    raw.send([group.as_slice(), &bdat(b"Subject: x\r\n\r\n", true)].concat())
        .await;
    for reply in ["250", "250", "250 2.0.0 taken"] {
        raw.expect(reply).await;
    }
    assert_eq!(server.handler.taken()[0].octets, b"Subject: x\r\n\r\n");
}

#[tokio::test]
async fn rset_and_ehlo_in_the_middle_begin_anew_and_nothing_is_left() {
    let server = start().await;
    for command in ["RSET", "EHLO client.test"] {
        let mut raw = ready(&server).await;
        raw.send(bdat(b"Subject: old\r\n", false)).await;
        raw.expect("250 2.0.0 14 octets").await;
        raw.ask(command, "250").await;
        raw.send(bdat(b"x\r\n", true)).await;
        raw.expect("503 5.5.1").await;
        raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
        raw.ask("RCPT TO:<a@b.test>", "250").await;
        raw.send(bdat(b"Subject: new\r\n\r\n", true)).await;
        raw.expect("250 2.0.0 taken").await;
        assert_eq!(
            server.handler.taken().last().unwrap().octets,
            b"Subject: new\r\n\r\n"
        );
    }
}

#[tokio::test]
async fn data_and_bdat_are_not_mixed_and_the_message_goes_on() {
    let server = start().await;
    let mut raw = ready(&server).await;
    raw.send(bdat(b"Subject: x\r\n", false)).await;
    raw.expect("250").await;
    raw.ask("DATA", "503 5.5.1").await;
    raw.ask("RCPT TO:<other@b.test>", "503 5.5.1").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "503 5.5.1").await;
    raw.ask("NOOP", "250").await;
    raw.send(bdat(b"\r\nx\r\n", true)).await;
    raw.expect("250 2.0.0 taken").await;
    let taken = server.handler.taken();
    assert_eq!(taken[0].octets, b"Subject: x\r\n\r\nx\r\n");
    assert_eq!(taken[0].envelope.recipients.len(), 1);
    // The transaction is over.
    raw.ask("DATA", "503").await;
}

#[tokio::test]
async fn false_line_ends_in_chunks_end_the_session_and_nothing_is_taken() {
    let server = start().await;
    let faults: [&[&[u8]]; 12] = [
        &[b"x\ny\r\n"],
        &[b"x\ry\r\n"],
        &[b"x\0\r\n"],
        &[b"x\n.\n"],
        &[b"x\r\n.\n"],
        &[b"x\r.\r\n"],
        &[b"x\r\r\n"],
        // Across the border of two chunks, and at the end.
        &[b"x\r", b"x\r\n"],
        &[b"x", b"\n"],
        &[b"x\r", b"\r\n"],
        &[b"x\r\n", b"\n"],
        &[b"x\r", b""],
    ];
    for chunks in faults {
        let mut raw = ready(&server).await;
        let mut all = Vec::new();
        for (at, chunk) in chunks.iter().enumerate() {
            all.extend(bdat(chunk, at + 1 == chunks.len()));
        }
        all.extend(INSIDE.as_bytes());
        raw.send(all).await;
        let said = raw.rest().await;
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("521 5.5.2"), "{chunks:?}: {said:?}");
        let before = said.lines().count() - 1;
        assert!(before < chunks.len(), "nothing behind is obeyed: {said:?}");
    }
    assert_eq!(server.handler.taken().len(), 0);
}

#[tokio::test]
async fn the_octets_of_a_refused_chunk_are_never_commands() {
    let server = start_with(|settings| settings.message_bytes = 400).await;
    let inside = INSIDE.as_bytes();
    let mut raw = server.connector().await;
    raw.send([bdat(inside, false), bdat(inside, true)].concat())
        .await;
    raw.expect("503 5.5.1").await;
    raw.expect("503 5.5.1").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    raw.send(bdat(inside, true)).await;
    raw.expect("554 5.5.1").await;
    raw.ask("RCPT TO:<refused@b.test>", "550").await;
    raw.send(bdat(inside, true)).await;
    raw.expect("554 5.5.1").await;
    nothing_more_was_obeyed(&mut raw).await;
    // Without a login, and before one.
    let mut raw = server.tls().await;
    raw.send(bdat(inside, true)).await;
    raw.expect("503 5.5.1").await;
    nothing_more_was_obeyed(&mut raw).await;
    assert_eq!(server.handler.taken().len(), 0);
}

#[tokio::test]
async fn the_limit_of_size_counts_over_all_chunks() {
    let server = start_with(|settings| settings.message_bytes = 100).await;
    let mut raw = ready(&server).await;
    let sixty = format!("{}\r\n", "x".repeat(58));
    let twice = [bdat(sixty.as_bytes(), false), bdat(sixty.as_bytes(), false)].concat();
    raw.send([twice, bdat(INSIDE.as_bytes(), true)].concat())
        .await;
    raw.expect("250 2.0.0 60 octets").await;
    raw.expect("552 5.3.4").await;
    raw.expect("503 5.5.1").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    raw.ask("RCPT TO:<a@b.test>", "250").await;
    raw.send(bdat(b"Subject: x\r\n\r\n", true)).await;
    raw.expect("250 2.0.0 taken").await;
    // Just too big, all in the last chunk.
    let mut raw = ready(&server).await;
    raw.send(bdat(format!("{}\r\n", "x".repeat(99)).as_bytes(), true))
        .await;
    raw.expect("552 5.3.4").await;
    nothing_more_was_obeyed(&mut raw).await;
}

#[tokio::test]
async fn a_chunk_without_end_ends_the_session() {
    let server = start_with(|settings| settings.message_bytes = 100).await;
    for size in ["1000000", "18446744073709551615"] {
        let mut raw = ready(&server).await;
        raw.send(format!("BDAT {size}\r\n{}", "x".repeat(400)))
            .await;
        let said = raw.rest().await;
        assert!(said.starts_with("552 5.3.4"), "{size}: {said:?}");
        let mut raw = server.connector().await;
        raw.send(format!("BDAT {size} LAST\r\n{INSIDE}")).await;
        let said = raw.rest().await;
        assert!(said.starts_with("552 5.3.4"), "{size}: {said:?}");
        assert_eq!(said.lines().count(), 1);
    }
}

#[tokio::test]
async fn a_bdat_that_cannot_be_read_ends_the_session() {
    let server = start().await;
    let lines: [&[u8]; 14] = [
        b"BDAT",
        b"BDAT ",
        b"BDAT x",
        b"BDAT -1",
        b"BDAT +5",
        b"BDAT 0x5",
        b"BDAT  5",
        b"BDAT 5 FIRST",
        b"BDAT 5 LAST x",
        b"BDAT 5 LAST ",
        b"BDAT\t5",
        b"bdat5",
        b"BDAT 99999999999999999999",
        b"BDAT 5 \xff",
    ];
    for line in lines {
        let mut raw = ready(&server).await;
        raw.send([line, b"\r\n", INSIDE.as_bytes()].concat()).await;
        let said = raw.rest().await;
        let shown = line.escape_ascii().to_string();
        assert!(said.starts_with("501 5.5.4"), "{shown}: {said:?}");
        assert_eq!(said.lines().count(), 1, "{shown}: {said:?}");
    }
}

#[tokio::test]
async fn where_bdat_is_not_offered_it_ends_the_session() {
    let server = start().await;
    let mut clear = server.clear().await;
    clear.ask("EHLO client.test", "250").await;
    clear.send(bdat(INSIDE.as_bytes(), true)).await;
    let said = clear.rest().await;
    assert!(
        said.starts_with("503 5.5.1") && said.lines().count() == 1,
        "{said:?}"
    );
    let mut raw = server.connector().await;
    raw.ask("HELO client.test", "250").await;
    raw.send("BDAT 5\r\n").await;
    let said = raw.rest().await;
    assert!(said.starts_with("503 5.5.1"), "{said:?}");
}

#[tokio::test]
async fn a_message_that_ends_within_a_line_is_refused_and_not_mended() {
    let server = start().await;
    let mut raw = ready(&server).await;
    raw.send(bdat(b"Subject: x\r\n\r\nx", true)).await;
    raw.expect("554 5.6.0").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    raw.ask("RCPT TO:<a@b.test>", "250").await;
    raw.send(bdat(format!("{}\r\n", "x".repeat(999)).as_bytes(), true))
        .await;
    raw.expect("554 5.6.0").await;
    assert_eq!(server.handler.taken().len(), 0);
}

#[test]
fn chunks_are_counted() {
    let options = SessionOptions {
        hostname: DnsName::parse("relay.test").unwrap(),
        message_bytes: 1000,
        recipients: 10,
    };
    let account = common::account("a", AccountKind::Connector, Credential::Secret([0; 32]));
    let mut session = ServerSession::new(options, Login::Listener(Box::new(account.clone())));
    let ok = Reply::new(250, None, "ok");
    session.handle_line(b"EHLO client.test", false);
    let facts = TransactionFacts {
        account,
        reverse_path: ReversePath::Null,
        recipients: Vec::new(),
        declared_size: None,
        demands: Demands::default(),
    };
    session.sender_answered(facts, &ok);
    session.recipient_answered(Address::parse("a@b.test").unwrap(), &ok);
    for _ in 0..CHUNKS_MAX {
        let step = session.handle_line(b"BDAT 0", true);
        assert!(matches!(step, Step::ReadChunk(_)));
    }
    assert!(matches!(
        session.handle_line(b"BDAT 0", true),
        Step::Close(_)
    ));
}

proptest! {
    /// What is refused behind DATA, where it goes next, is refused in chunks, however it is split.
    #[test]
    fn chunks_hold_to_the_rule_of_data(
        content in prop::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(0), Just(b'x')], 0..24),
        sizes in prop::collection::vec(1_usize..9, 1..6),
    ) {
        let mut lines = StrictLines::default();
        let mut verdict = Ok(());
        let mut rest = content.as_slice();
        for size in sizes.iter().cycle() {
            let (now, later) = rest.split_at((*size).min(rest.len()));
            verdict = verdict.and_then(|()| lines.push(now));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let mut out = BytesMut::new();
        let mut stuffer = Stuffer::default();
        let stuffed = stuffer.push(&content, &mut out).and_then(|()| stuffer.finish(&mut out));
        prop_assert_eq!(verdict.and_then(|()| lines.end().map(drop)), stuffed);
        if stuffed.is_ok() {
            let whole = content.is_empty() || content.ends_with(b"\r\n");
            let wanted = if whole { LastLine::Whole } else { LastLine::Open };
            prop_assert_eq!(lines.end(), Ok(wanted));
        }
    }
}
