//! What is read of a sender's header, what is refused because of it, and with what header it leaves.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use securemail_core::mail::{
    DeliveryWish, HeaderError, HeaderView, Language, Protocol, TlsSession, Trace, Wishes,
    check_submission, read_header,
};
use securemail_core::vocab::{
    Account, AccountId, AccountKind, Address, Content, Credential, DnsName, Envelope,
    MemoryContent, Profile, QueueId, Reply, ReversePath, Tenant, UnixTime,
};

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn view(header: &str) -> HeaderView {
    HeaderView::parse(Bytes::copy_from_slice(header.as_bytes())).unwrap()
}

fn error(header: &[u8]) -> HeaderError {
    HeaderView::parse(Bytes::copy_from_slice(header)).unwrap_err()
}

fn tenant() -> Tenant {
    Tenant {
        id: "gemeente".parse().unwrap(),
        display_name: "Gemeente Voorbeeld".to_owned(),
        domains: vec![name("sender.example")],
        profile: Profile::Standard,
        domain_profiles: BTreeMap::new(),
        languages: vec!["nl".to_owned()],
        lists: vec![address("team@sender.example")],
        forget_link: false,
        nta7516: None,
        subject_tags: false,
        retention: Duration::from_secs(30 * 86_400),
        grace: Duration::from_secs(7 * 86_400),
    }
}

fn account(kind: AccountKind) -> Account {
    Account {
        id: AccountId::new("a1"),
        tenant: tenant().id,
        kind,
        credential: Credential::Secret([0; 32]),
        domains: vec![name("sender.example")],
    }
}

fn envelope(from: &str, to: &[&str]) -> Envelope {
    Envelope {
        tenant: tenant().id,
        account: AccountId::new("a1"),
        reverse_path: match from {
            "" => ReversePath::Null,
            from => ReversePath::Mailbox(address(from)),
        },
        recipients: to.iter().map(|to| address(to)).collect(),
        helo: "pc.sender.example".to_owned(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

fn check(header: &str, to: &[&str]) -> Result<(), Reply> {
    check_submission(
        &view(header),
        &envelope("a@sender.example", to),
        &account(AccountKind::Sender),
        &tenant(),
    )
}

fn refusal(header: &str, to: &[&str]) -> String {
    check(header, to).unwrap_err().to_string()
}

const BASE: &str = "From: A <a@sender.example>\r\nTo: b@rcpt.example\r\n";

#[test]
fn fields_keep_their_order_folds_and_repeats() {
    let view = view("A: 1\r\nSubject: two\r\n\t lines\r\nA: 2\r\n\r\nbody: no field\r\n");
    let names: Vec<&str> = view.fields().map(|field| field.name()).collect();
    assert_eq!(names, ["A", "Subject", "A"]);
    assert_eq!(view.count("a"), 2);
    assert_eq!(view.get("SUBJECT").unwrap().text(), "two\t lines");
    assert_eq!(view.body_offset(), 37);
    assert!(!view.has("body"));
}

#[test]
fn a_header_without_body_ends_with_the_message() {
    let whole = view("A: 1\r\n");
    assert_eq!((whole.fields().count(), whole.body_offset()), (1, 6));
    let empty = view("\r\nbody");
    assert_eq!((empty.fields().count(), empty.body_offset()), (0, 2));
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    for header in ["A: 1\nB: 2\r\n\r\n", "A: 1\rB: 2\r\n\r\n", "A: 1", "A: 1\r"] {
        assert!(
            matches!(error(header.as_bytes()), HeaderError::BareLineEnd),
            "{header:?}"
        );
    }
    for header in [
        " folded first\r\n\r\n",
        "no colon\r\n\r\n",
        ": no name\r\n\r\n",
        "Space : x\r\n\r\n",
        "A: n\0ul\r\n\r\n",
        "N\u{e9}: x\r\n\r\n",
    ] {
        assert!(
            matches!(error(header.as_bytes()), HeaderError::NotAField),
            "{header:?}"
        );
    }
}

#[test]
fn long_lines_and_long_headers_are_refused_at_their_limit() {
    let line = |length: usize| format!("A: {}\r\n\r\n", "x".repeat(length - 5));
    assert!(HeaderView::parse(line(1000).into()).is_ok());
    assert!(matches!(
        error(line(1001).as_bytes()),
        HeaderError::LineTooLong
    ));
    let long = "A: x\r\n".repeat(256 * 1024 / 6 + 1);
    assert!(matches!(error(long.as_bytes()), HeaderError::TooLong));
    assert_eq!(HeaderError::TooLong.reply().code(), 552);
}

#[test]
fn mailboxes_are_found_whatever_stands_around_them() {
    let view = view(
        "To: \"Jansen, J.\" <j@x.example>, =?utf-8?q?Ren=C3=A9?= <r@y.example> (c@no.example),\r\n\
         \tTeam: k@x.example, <L@Z.example>;, undisclosed-recipients:;,\r\n \
         m@x.example <m@x.example>\r\n\
         Cc:\r\nTo: n@b\u{fc}cher.example, nobody\r\n",
    );
    let to = view.mailboxes("To");
    let found: Vec<String> = to.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "j@x.example",
            "r@y.example",
            "k@x.example",
            "L@z.example",
            "m@x.example",
            "n@xn--bcher-kva.example"
        ]
    );
    assert_eq!(to.unreadable, 1);
    assert!(view.mailboxes("Cc").addresses.is_empty());
}

#[test]
fn a_message_id_is_one_or_none() {
    assert_eq!(view("Message-ID: <a@b> \r\n").message_id().unwrap(), "a@b");
    assert_eq!(
        view("Message-ID:\r\n <a@b>\r\n").message_id().unwrap(),
        "a@b"
    );
    for header in [
        "Subject: x\r\n",
        "Message-ID: a@b\r\n",
        "Message-ID: <>\r\n",
        "Message-ID: <a b>\r\n",
        "Message-ID: <a@b>\r\nMessage-Id: <c@d>\r\n",
    ] {
        assert_eq!(view(header).message_id(), None, "{header:?}");
    }
}

#[tokio::test]
async fn a_header_is_read_over_several_reads() {
    let fields = "X-Long: 0123456789\r\n".repeat(3000);
    let content = MemoryContent::new(format!("{fields}\r\nbody\r\n").into());
    let view = read_header(&content).await.unwrap();
    assert_eq!(view.count("x-long"), 3000);
    assert_eq!(view.body_offset(), fields.len() as u64 + 2);
    let endless = MemoryContent::new("X: y\r\n".repeat(60_000).into());
    assert!(matches!(
        read_header(&endless).await,
        Err(HeaderError::TooLong)
    ));
}

#[test]
fn a_message_that_names_its_recipients_is_taken() {
    assert_eq!(check(BASE, &["b@rcpt.example"]), Ok(()));
    // Case, plus-tag and the spelling of the domain do not matter.
    let header = "From: a@sender.example\r\nCc: B+x@b\u{fc}cher.example\r\n";
    assert_eq!(check(header, &["b+y@XN--BCHER-KVA.example"]), Ok(()));
    let resent = format!("{BASE}Resent-To: Group: c@rcpt.example;\r\n");
    assert_eq!(check(&resent, &["c@rcpt.example"]), Ok(()));
    // The tenant's list.
    assert_eq!(check(BASE, &["TEAM@sender.example"]), Ok(()));
}

#[test]
fn hidden_recipients_are_refused_and_only_counted() {
    let reply = refusal(
        BASE,
        &["b@rcpt.example", "c@rcpt.example", "d@rcpt.example"],
    );
    assert!(reply.starts_with("550 5.7.1 2 of 3 recipients"), "{reply}");
    assert!(!reply.contains('@'), "{reply}");
    for field in ["Bcc: c@rcpt.example", "Bcc:", "Resent-Bcc: c@rcpt.example"] {
        let reply = refusal(&format!("{BASE}{field}\r\n"), &["b@rcpt.example"]);
        assert!(reply.starts_with("550 5.7.1 Bcc"), "{reply}");
    }
    // A mention in another field, in a display name or in a comment names nobody.
    for field in [
        "Reply-To: c@rcpt.example",
        "Cc: \"c@rcpt.example\" <b@rcpt.example>",
        "Cc: x@rcpt.example (c@rcpt.example)",
    ] {
        let reply = refusal(&format!("{BASE}{field}\r\n"), &["c@rcpt.example"]);
        assert!(reply.starts_with("550 5.7.1 1 of 1"), "{reply}");
    }
}

#[test]
fn a_recipient_is_named_by_its_domain_in_either_form() {
    let letters = "From: a@sender.example\r\nTo: Jan <jan@bücher.example>\r\n\r\n";
    let ascii = "From: a@sender.example\r\nTo: Jan <jan@xn--bcher-kva.example>\r\n\r\n";
    for header in [letters, ascii] {
        for to in ["jan@bücher.example", "jan@XN--bcher-kva.example"] {
            assert_eq!(check(header, &[to]), Ok(()));
        }
        let said = refusal(header, &["jan@bucher.example"]);
        assert!(said.starts_with("550 5.7.1 1 of 1"), "{said}");
    }
}

#[test]
fn mail_from_null_is_for_connectors_and_may_name_nobody() {
    let null = envelope("", &["hidden@rcpt.example"]);
    let of = |kind| check_submission(&view(BASE), &null, &account(kind), &tenant());
    assert_eq!(of(AccountKind::Connector), Ok(()));
    let reply = of(AccountKind::Sender).unwrap_err();
    assert!(reply.to_string().starts_with("550 5.7.1 "), "{reply}");
}

#[test]
fn an_author_outside_the_account_is_refused() {
    let to = &["b@rcpt.example"];
    for from in [
        "From: c@evil.example",
        "From: a@sub.sender.example",
        "From: a@sender.example, c@evil.example",
        "From: Team: a@sender.example, c@evil.example;",
        "From: a@sender.example\r\nSender: c@evil.example",
    ] {
        let reply = refusal(&format!("{from}\r\nTo: b@rcpt.example\r\n"), to);
        assert!(reply.starts_with("550 5.7.1 "), "{from}: {reply}");
        assert!(!reply.contains("evil"), "{reply}");
    }
    for from in [
        "From: nobody",
        "From:",
        "From: a@sender.example, nobody",
        "From: <a@sender.example> <c@evil.example>",
        "From: c@evil.example a@sender.example",
        "From: a@sender.example\r\nSender: nobody",
    ] {
        let reply = refusal(&format!("{from}\r\nTo: b@rcpt.example\r\n"), to);
        assert!(reply.starts_with("550 5.6.0 "), "{from}: {reply}");
    }
    let foreign = envelope("c@evil.example", to);
    let reply = check_submission(
        &view(BASE),
        &foreign,
        &account(AccountKind::Connector),
        &tenant(),
    );
    assert!(
        reply
            .unwrap_err()
            .to_string()
            .starts_with("550 5.7.1 MAIL FROM")
    );
}

#[test]
fn a_missing_or_repeated_field_is_refused() {
    let to = &["b@rcpt.example"];
    assert!(refusal("To: b@rcpt.example\r\n", to).contains("no From field"));
    let twice = refusal(&format!("{BASE}from: a@sender.example\r\n"), to);
    assert!(twice.contains("more than one From"), "{twice}");
    for field in [
        "To: b@rcpt.example",
        "Content-Type: text/plain\r\nContent-type: text/html",
    ] {
        let reply = refusal(&format!("{BASE}{field}\r\n"), to);
        assert!(
            reply.starts_with("550 5.6.0 the message has more than one"),
            "{reply}"
        );
    }
}

#[test]
fn a_wish_for_mail_without_tls_is_refused() {
    let reply = refusal(&format!("{BASE}TLS-Required: No\r\n"), &["b@rcpt.example"]);
    assert!(reply.contains("TLS-Required"), "{reply}");
}

#[test]
fn a_message_that_passed_a_hundred_servers_loops() {
    let with = |count: usize| format!("{}{BASE}", "Received: x\r\n".repeat(count));
    assert_eq!(check(&with(99), &["b@rcpt.example"]), Ok(()));
    assert!(refusal(&with(100), &["b@rcpt.example"]).starts_with("550 5.4.6 "));
}

fn trace<'a>(by: &'a DnsName, recipients: &'a [Address]) -> Trace<'a> {
    Trace {
        by,
        queue: QueueId::from_bytes([7; 16]),
        received: UnixTime::from_secs(1_795_255_200),
        helo: "mail.sender.example",
        with: Protocol::Esmtpsa,
        tls: Some(TlsSession {
            cipher: "TLS_AES_256_GCM_SHA384",
            group: Some("X25519MLKEM768"),
        }),
        recipients,
        possible_duplicate: false,
    }
}

#[test]
fn our_received_field_says_what_rfc_8314_asks_and_no_more() {
    let by = name("relay.example");
    let one = [address("b@rcpt.example")];
    assert_eq!(
        trace(&by, &one).received_field(),
        "Received: from mail.sender.example by relay.example\r\n with ESMTPSA id 07070707070707070707070707070707\r\n for <b@rcpt.example>\r\n tls TLS_AES_256_GCM_SHA384 group X25519MLKEM768;\r\n Sat, 21 Nov 2026 10:00:00 +0000\r\n"
    );
    let several = [address("b@rcpt.example"), address("c@rcpt.example")];
    assert!(!trace(&by, &several).received_field().contains('@'));
    for helo in [
        "[192.0.2.7]",
        "192.0.2.7",
        "[IPv6:2001:db8::1]",
        "laptop-jan",
        "a b\r\nBcc: x",
        "",
    ] {
        let field = Trace {
            helo,
            ..trace(&by, &one)
        }
        .received_field();
        assert!(
            field.starts_with("Received: from unknown by relay.example\r\n"),
            "{field}"
        );
    }
    let tls = Some(TlsSession {
        cipher: "X\r\nEvil: y; (z",
        group: None,
    });
    let field = Trace {
        tls,
        ..trace(&by, &one)
    }
    .received_field();
    assert!(field.contains("\r\n tls XEvilyz;\r\n"), "{field}");
}

#[tokio::test]
async fn the_message_leaves_with_trace_and_without_control_fields() {
    let message = "x-securemail-phone: b@rcpt.example; +31612345678\r\n more\r\nFrom: a@sender.example\r\nZivver-Access-Right: x\r\nReturn-Path: <x@y>\r\nAuthentication-Results: (c)\r\n Relay.example; dkim=pass\r\nX-Securemail-Possible-Duplicate: yes\r\nX-Other: stays\r\n\r\nX-Securemail-Phone: in the body stays\r\n";
    let content = Arc::new(MemoryContent::new(message.into()));
    let view = read_header(content.as_ref()).await.unwrap();
    let by = name("relay.example");
    let recipients = [address("b@rcpt.example")];
    let mut facts = trace(&by, &recipients);
    facts.tls = None;
    let outgoing = facts.outgoing(&view, content.clone());
    let octets = whole(outgoing.as_ref()).await;
    assert_eq!(octets.len() as u64, outgoing.size());
    let received = facts.received_field();
    assert_eq!(
        octets,
        format!(
            "{received}From: a@sender.example\r\nX-Other: stays\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <07070707070707070707070707070707@relay.example>\r\n\r\nX-Securemail-Phone: in the body stays\r\n"
        )
    );
    facts.possible_duplicate = true;
    let marked = String::from_utf8(facts.header(&view).to_vec()).unwrap();
    assert!(marked.starts_with(&format!(
        "{received}X-Securemail-Possible-Duplicate: yes\r\n"
    )));
}

#[test]
fn date_and_message_id_of_the_sender_stay() {
    let view = view("From: a@sender.example\r\nDate: yesterday\r\nMessage-ID: mine\r\n\r\n");
    let by = name("relay.example");
    let header = trace(&by, &[]).header(&view);
    let header = HeaderView::parse(header).unwrap();
    assert_eq!((header.count("Date"), header.count("Message-ID")), (1, 1));
    assert_eq!(header.get("Message-ID").unwrap().text(), "mine");
}

async fn whole(content: &dyn Content) -> String {
    let mut octets = Vec::new();
    loop {
        let chunk = content.read(octets.len() as u64, 11).await.unwrap();
        if chunk.is_empty() {
            return String::from_utf8(octets).unwrap();
        }
        octets.extend_from_slice(&chunk);
    }
}

proptest! {
    #[test]
    fn no_address_field_makes_the_reader_panic(value in "[ -~\\t\u{e9}]{0,200}") {
        for name in ["From", "To"] {
            let header = format!("{name}: {value}\r\n");
            prop_assert!(view(&header).mailboxes(name).addresses.len() <= 200);
        }
    }

    #[test]
    fn no_address_field_of_specials_makes_the_reader_panic(value in "[a@.<>\",;:()\\\\ =?]{0,60}") {
        let header = format!("To: {value}\r\n");
        prop_assert!(view(&header).mailboxes("To").addresses.len() <= 60);
    }

    #[test]
    fn what_leaves_is_a_header_again(helo in "\\PC{0,60}", cipher in "\\PC{0,60}") {
        let by = name("relay.example");
        let mut facts = trace(&by, &[]);
        facts.helo = &helo;
        facts.tls = Some(TlsSession { cipher: &cipher, group: Some(&cipher) });
        let header = facts.header(&view(BASE));
        let again = HeaderView::parse(header).unwrap();
        prop_assert_eq!(again.fields().count(), 5);
        prop_assert!(again.octets().is_ascii());
    }
}

fn wishes(fields: &str) -> Result<Wishes, Reply> {
    Wishes::read(&view(&format!("{BASE}{fields}")))
}

#[test]
fn wishes_are_read_in_every_form() {
    let read = wishes(
        "X-SecureMail-Delivery: Registered\r\n\
         X-SecureMail-Phone: b@rcpt.example; +31 6 1234-5678\r\n\
         x-securemail-phone:\r\n c@rcpt.example;+32475123456\r\n\
         X-SecureMail-Expires: P30D\r\nX-SecureMail-Language: en\r\n\
         X-SecureMail-Profile: dane-only\r\n",
    )
    .unwrap();
    assert_eq!(read.delivery, Some(DeliveryWish::Registered));
    let phones: Vec<(String, &str)> = read
        .phones
        .iter()
        .map(|(to, number)| (to.to_string(), number.expose()))
        .collect();
    assert_eq!(
        phones,
        [
            ("b@rcpt.example".to_owned(), "+31612345678"),
            ("c@rcpt.example".to_owned(), "+32475123456")
        ]
    );
    assert_eq!(read.retention, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(
        (read.language, read.profile),
        (Some(Language::English), Some(Profile::DaneOnly))
    );
    assert!(!format!("{read:?}").contains("612345"), "the number itself");

    let moved = wishes(
        "zivver-access-right: b@rcpt.example sms +31612345678\r\nzivver-message-expiration: delete P7D\r\nzivver-other: x\r\n",
    )
    .unwrap();
    assert_eq!(
        (moved.phones.len(), moved.retention),
        (1, Some(Duration::from_secs(7 * 86_400)))
    );
    assert_eq!(wishes("").unwrap(), Wishes::default());
}

#[test]
fn a_wish_that_cannot_be_read_refuses_the_message_and_repeats_nothing_personal() {
    for field in [
        "X-Securemail-Delivery: quickly",
        "X-Securemail-Delivery: direct\r\nX-Securemail-Delivery: portal",
        "X-Securemail-Phone: jan@rcpt.example 0612345678",
        "X-Securemail-Phone: jan@rcpt.example; 0612345678",
        "X-Securemail-Phone: +31612345678",
        "X-Securemail-Expires: P0D",
        "X-Securemail-Expires: P91D",
        "X-Securemail-Expires: P99999999999999999999D",
        "X-Securemail-Expires: P1M",
        "X-Securemail-Language: xx",
        "X-Securemail-Profile: none",
        "X-Securemail-Fone: jan@rcpt.example; +31612345678",
        "zivver-access-right: jan@rcpt.example",
        "zivver-message-expiration: P30D",
    ] {
        let reply = wishes(&format!("{field}\r\n")).unwrap_err().to_string();
        assert!(reply.starts_with("550 5.6.0 "), "{field}: {reply}");
        assert!(!reply.contains("jan@"), "{reply}");
    }
}
