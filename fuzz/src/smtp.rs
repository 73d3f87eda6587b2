//! What an SMTP peer says: commands, replies, content.

use bytes::BytesMut;
use securemail_smtp::proto::command::Command;
use securemail_smtp::proto::data::{DataEvent, Unstuffer};
use securemail_smtp::proto::extension::Extensions;
use securemail_smtp::proto::reply::{ReplyParser, WireReply};
use securemail_smtp::proto::sasl::{Exchange, SaslStep};

/// A command that is read prints to one that reads the same.
pub(crate) fn command(octets: &[u8]) {
    let Ok(command) = Command::parse(octets) else {
        return;
    };
    let printed = command.to_string();
    assert!(!printed.contains(['\r', '\n']), "one line");
    assert_eq!(Command::parse(printed.as_bytes()), Ok(command));
}

/// Replies are the same however the octets are cut, and print to what reads the same.
pub(crate) fn reply(octets: &[u8]) {
    let whole = replies(octets, octets.len().max(1));
    assert_eq!(whole, replies(octets, 1), "cut otherwise");
    let mut printed = BytesMut::new();
    for reply in &whole {
        reply.print(&mut printed);
    }
    let again = replies(&printed, printed.len().max(1));
    assert_eq!(again, whole);
    for reply in &whole {
        if let Some((name, extensions)) = Extensions::parse(reply) {
            assert_eq!(
                Extensions::parse(&extensions.to_reply(&name)),
                Some((name, extensions))
            );
        }
    }
}

fn replies(octets: &[u8], step: usize) -> Vec<WireReply> {
    let (mut parser, mut buffer, mut found) = (ReplyParser::default(), BytesMut::new(), Vec::new());
    for part in octets.chunks(step) {
        buffer.extend_from_slice(part);
        loop {
            match parser.next_reply(&mut buffer) {
                Ok(Some(reply)) => found.push(reply),
                Ok(None) => break,
                Err(_) => return found,
            }
        }
    }
    found
}

/// Content ends where RFC 5321, section 4.5.2, has its end and nowhere else, however it is cut.
pub(crate) fn data(octets: &[u8]) {
    let whole = content(octets, octets.len().max(1));
    assert_eq!(whole, content(octets, 1));
    let expected = unstuffed(octets);
    assert_eq!(
        whole,
        (expected.clone().unwrap_or_default(), expected.is_some())
    );
}

/// Line by line, as slow and as plain as the text of the standard.
fn unstuffed(mut octets: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let end = octets
            .iter()
            .position(|octet| matches!(octet, b'\r' | b'\n' | 0))?;
        let (line, rest) = octets.split_at(end);
        octets = rest.strip_prefix(b"\r\n")?;
        if line == b"." {
            return Some(content);
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        content.extend_from_slice(b"\r\n");
    }
}

/// What was read, and whether it ended.
fn content(octets: &[u8], step: usize) -> (Vec<u8>, bool) {
    let (mut unstuffer, mut buffer, mut read) = (Unstuffer::default(), BytesMut::new(), Vec::new());
    for part in octets.chunks(step) {
        buffer.extend_from_slice(part);
        loop {
            match unstuffer.next_event(&mut buffer) {
                Ok(DataEvent::Content(content)) => read.extend_from_slice(&content),
                Ok(DataEvent::End) => return (read, true),
                Ok(DataEvent::NeedMore) => break,
                Err(_) => return (Vec::new(), false),
            }
        }
    }
    (Vec::new(), false)
}

/// An exchange ends whatever the client says.
pub(crate) fn sasl(octets: &[u8]) {
    for mechanism in ["PLAIN", "LOGIN", "EXTERNAL"] {
        drop(Exchange::begin(mechanism, std::str::from_utf8(octets).ok()));
        let mut step = Exchange::begin(mechanism, None);
        let mut lines = 0;
        while let Ok(SaslStep::Challenge(exchange, _)) = step {
            lines += 1;
            assert!(lines < 5, "an exchange without end");
            step = exchange.respond(octets);
        }
    }
}
