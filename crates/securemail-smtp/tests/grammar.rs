//! Print and parse are inverse; stuffing and unstuffing too, in whatever pieces the octets come.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use securemail_core::vocab::{Address, Reply, ReversePath};
use securemail_smtp::proto::command::{Chunk, Command, Parameter, SaslLine};
use securemail_smtp::proto::data::{DataEvent, Stuffer, Unstuffer};
use securemail_smtp::proto::line::{LineFault, take_line};
use securemail_smtp::proto::reply::{ReplyFault, ReplyParser, WireReply};

/// Feeds `octets` in pieces of `sizes`, in turn.
fn unstuff(octets: &[u8], sizes: &[usize]) -> Result<(Vec<u8>, Vec<u8>), LineFault> {
    let (mut buffer, mut content, mut unstuffer) =
        (BytesMut::new(), Vec::new(), Unstuffer::default());
    let mut rest = octets;
    let mut sizes = sizes.iter().cycle();
    loop {
        match unstuffer.next_event(&mut buffer)? {
            DataEvent::Content(octets) => content.extend_from_slice(&octets),
            DataEvent::End => {
                buffer.extend_from_slice(rest);
                return Ok((content, buffer.to_vec()));
            }
            DataEvent::NeedMore => {
                assert!(!rest.is_empty(), "no end of data in what was stuffed");
                let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                buffer.extend_from_slice(now);
                rest = later;
            }
        }
    }
}

fn stuff(content: &[u8], sizes: &[usize]) -> Result<Vec<u8>, LineFault> {
    let (mut out, mut stuffer) = (BytesMut::new(), Stuffer::default());
    let mut rest = content;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        stuffer.push(now, &mut out)?;
        rest = later;
    }
    stuffer.finish(&mut out)?;
    Ok(out.to_vec())
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = vec(
        prop_oneof![
            Just(b'.'),
            any::<u8>().prop_filter("no control", |b| !b"\r\n\0".contains(b))
        ],
        0..8,
    );
    vec(line, 0..12).prop_map(|lines| {
        lines
            .into_iter()
            .flat_map(|line| [line, b"\r\n".to_vec()].concat())
            .collect()
    })
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(1_usize..9, 1..6)
}

fn address() -> impl Strategy<Value = Address> {
    let local = prop_oneof![
        "[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,10}(\\.[a-zA-Z0-9]{1,5}){0,2}",
        "\"([ !#-\\[\\]-~]|\\\\[ -~]){0,12}\"",
    ];
    (local, "[a-z0-9]{1,10}(\\.[a-z0-9]{1,10}){1,3}")
        .prop_filter_map("not a mailbox", |(local, domain)| {
            Address::parse(&format!("{local}@{domain}")).ok()
        })
}

fn parameters() -> impl Strategy<Value = Vec<Parameter>> {
    let one = (
        "[A-Z0-9][A-Z0-9-]{0,8}",
        proptest::option::of("[!-<>-~]{1,12}"),
    )
        .prop_map(|(keyword, value)| Parameter { keyword, value });
    vec(one, 0..4)
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (
            "[A-Z0-9_-]{1,20}",
            proptest::option::of("=|[A-Za-z0-9+/]{1,30}={0,2}")
        )
            .prop_map(|(mechanism, initial)| Command::Auth {
                mechanism,
                initial: initial.map(SaslLine)
            }),
        "[!-~]{1,60}".prop_map(Command::Ehlo),
        "[!-~]{1,60}".prop_map(Command::Helo),
        (proptest::option::of(address()), parameters()).prop_map(|(mailbox, parameters)| {
            let reverse_path = mailbox.map_or(ReversePath::Null, ReversePath::Mailbox);
            Command::Mail {
                reverse_path,
                parameters,
            }
        }),
        (address(), parameters()).prop_map(|(recipient, parameters)| Command::Rcpt {
            recipient,
            parameters
        }),
        (any::<u64>(), any::<bool>())
            .prop_map(|(size, is_last)| Command::Bdat(Chunk { size, is_last })),
        Just(Command::Data),
        Just(Command::Noop),
        Just(Command::Quit),
        Just(Command::Rset),
        Just(Command::StartTls),
        Just(Command::Vrfy),
    ]
}

proptest! {
    #[test]
    fn stuffing_and_unstuffing_give_the_same(
        content in lines(), out in sizes(), back in sizes(), behind in "[A-Z\r\n.]{0,6}",
    ) {
        let mut wire = stuff(&content, &out).unwrap();
        prop_assert!(wire.ends_with(b".\r\n"));
        wire.extend_from_slice(behind.as_bytes());
        let (content_again, left) = unstuff(&wire, &back).unwrap();
        prop_assert_eq!(content_again, content);
        prop_assert_eq!(left, behind.as_bytes());
    }

    #[test]
    fn any_octets_are_stuffed_to_what_reads_back_or_are_refused(
        content in vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(0), Just(b'x')], 0..24),
        out in sizes(), back in sizes(),
    ) {
        let strict = content.iter().enumerate().all(|(at, octet)| match octet {
            b'\r' => content.get(at + 1) == Some(&b'\n'),
            b'\n' => at > 0 && content.get(at - 1) == Some(&b'\r'),
            0 => false,
            _ => true,
        });
        match stuff(&content, &out) {
            Ok(wire) => {
                prop_assert!(strict);
                let mut wanted = content.clone();
                if !(content.is_empty() || content.ends_with(b"\r\n")) {
                    wanted.extend_from_slice(b"\r\n");
                }
                prop_assert_eq!(unstuff(&wire, &back).unwrap(), (wanted, Vec::new()));
            }
            Err(_) => prop_assert!(!strict),
        }
    }

    #[test]
    fn commands_print_and_parse_to_the_same(command in command()) {
        let line = command.to_string();
        prop_assert_eq!(Command::parse(line.as_bytes()), Ok(command));
    }

    #[test]
    fn replies_print_and_parse_to_the_same(
        code in (2_u16..=5, 0_u16..=5, 0_u16..=9).prop_map(|(a, b, c)| a * 100 + b * 10 + c),
        lines in vec("[ -~]{0,40}", 1..6),
        at in 0_usize..200,
    ) {
        let reply = WireReply::new(code, lines);
        let (mut wire, mut parser) = (BytesMut::new(), ReplyParser::default());
        reply.print(&mut wire);
        let mut first = wire.split_to(at.min(wire.len()));
        let early = parser.next_reply(&mut first).unwrap();
        let reply_again = match early {
            Some(reply) => reply,
            None => {
                first.extend_from_slice(&wire);
                parser.next_reply(&mut first).unwrap().unwrap()
            }
        };
        prop_assert_eq!(reply_again, reply);
    }

    #[test]
    fn nothing_makes_the_parsers_panic(octets in vec(any::<u8>(), 0..200)) {
        // What is not a command is refused; the results do not matter here.
        drop(Command::parse(&octets));
        drop(ReplyParser::default().next_reply(&mut BytesMut::from(octets.as_slice())));
        drop(take_line(&mut BytesMut::from(octets.as_slice()), 100));
        drop(Unstuffer::default().next_event(&mut BytesMut::from(octets.as_slice())));
    }
}

#[test]
fn replies_that_are_none_are_faults() {
    let long = format!("250 {}\r\n", "x".repeat(2100));
    let many = "250-x\r\n".repeat(200);
    for (wire, fault) in [
        ("250-a\r\n251 b\r\n", ReplyFault::CodesDiffer),
        ("HTTP/1.1 400 Bad Request\r\n", ReplyFault::NoCode),
        ("* OK IMAP\r\n", ReplyFault::NoCode),
        ("25\r\n", ReplyFault::NoCode),
        ("250x\r\n", ReplyFault::NoCode),
        ("160 x\r\n", ReplyFault::NoCode),
        ("\r\n", ReplyFault::NoCode),
        ("250 a\n", ReplyFault::Line(LineFault::BareLf)),
        ("250 a\rb\r\n", ReplyFault::Line(LineFault::BareCr)),
        ("250 \0\r\n", ReplyFault::Line(LineFault::Nul)),
        (long.as_str(), ReplyFault::Line(LineFault::TooLong)),
        (many.as_str(), ReplyFault::TooManyLines),
    ] {
        let result = ReplyParser::default().next_reply(&mut BytesMut::from(wire));
        assert_eq!(result, Err(fault), "{wire:.40}");
    }
}

#[test]
fn an_enhanced_status_counts_only_with_the_class_of_its_reply() {
    let reply = |line: &str| {
        let mut wire = BytesMut::from(line);
        ReplyParser::default()
            .next_reply(&mut wire)
            .unwrap()
            .unwrap()
            .to_reply()
    };
    let refused = reply("550-5.7.1 one\r\n550 5.7.1 two\r\n");
    assert_eq!(refused.enhanced().unwrap().to_string(), "5.7.1");
    assert_eq!(refused.text(), "one two");
    assert_eq!(reply("250 5.7.1 odd\r\n").enhanced(), None);
    assert_eq!(reply("250 2.0 odd\r\n").enhanced(), None);
}

/// The lines of a reply are made printable where they are read, and once more where a reply is made of
/// them: what is logged comes from either.
#[test]
fn nothing_that_a_peer_says_reaches_a_terminal_as_it_came() {
    let mut wire = BytesMut::from("250 \x1b[31m\u{9b}\u{202e}\x07\r\n");
    let reply = ReplyParser::default().next_reply(&mut wire);
    assert_eq!(reply.unwrap().unwrap().lines(), ["?[31m??????"]);
    let made = Reply::new(250, None, "\x1b[31m\u{9b}\u{202e}\x07\n");
    assert_eq!(made.text(), "?[31m????");
}
