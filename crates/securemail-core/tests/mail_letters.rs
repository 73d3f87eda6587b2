//! The mail and the text messages that we write: their words, and that nothing breaks out of its place.

use std::time::Duration;

use bytes::Bytes;
use mail_parser::{MessageParser, MimeHeaders};
use proptest::prelude::*;
use securemail_core::mail::sms::{self, SmsAlphabet};
use securemail_core::mail::{
    ContentFree, Dsn, DsnAction, DsnReason, DsnRecipient, Head, HeaderView, Language, Link, Notice,
    NoticeKind, Progress, Reference, ReturnRoute, SenderMail, SenderNews, reason, verp,
};
use securemail_core::route::{
    Decision, Effect, Finding, Route, Rule, Subject, Summary, VaultReason,
};
use securemail_core::secret::{Key32, SecretText};
use securemail_core::vocab::{
    Address, DnsName, EnhancedStatus, PhoneNumber, QueueId, Reply, UnixTime, VaultId,
};

const NOW: UnixTime = UnixTime::from_secs(1_795_255_200);
const UNTIL: UnixTime = UnixTime::from_secs(1_795_255_200 + 30 * 86_400);
const HOST: &str = "mail.gemeente.example";
const VALID: Duration = Duration::from_secs(600);
const LANGUAGES: [Language; 2] = [Language::Dutch, Language::English];

/// What a letter is made of.
struct Facts {
    host: DnsName,
    from: Address,
    to: Address,
    link: Link,
    phone: PhoneNumber,
    reference: Reference,
    recipients: Vec<(Address, Progress)>,
    why: Summary,
}

/// Into the vault, because its four hosts have no STARTTLS.
fn why() -> Summary {
    let without_tls = |number: usize| Finding {
        rule: Rule::C04,
        subject: Subject::Host(DnsName::parse(&format!("mx{number}.rcpt.example")).unwrap()),
        effect: Effect::Exclude,
        fact: "no STARTTLS".into(),
    };
    let decision = Decision {
        domain: DnsName::parse("rcpt.example").unwrap(),
        route: Route::Vault {
            reason: VaultReason::NoSecurePath,
        },
        findings: (1..=4).map(without_tls).collect(),
        decided_at: NOW,
        fresh_until: NOW,
    };
    decision.summary()
}

fn key() -> Key32 {
    Key32::from_bytes([7; 32])
}

fn facts() -> Facts {
    Facts {
        host: DnsName::parse("relay.example").unwrap(),
        from: Address::parse("notice@relay.example").unwrap(),
        to: Address::parse("jan@rcpt.example").unwrap(),
        link: Link::parse("https://mail.example/m/0123/abc-DEF_9?x=1&y=2").unwrap(),
        phone: "+31612345678".parse().unwrap(),
        reference: Reference::of_vault(VaultId::from_bytes([1; 16])),
        recipients: vec![
            (
                Address::parse("ann@rcpt.example").unwrap(),
                Progress::Delivered,
            ),
            (
                Address::parse("jan@other.example").unwrap(),
                Progress::PhoneMissing,
            ),
        ],
        why: why(),
    }
}

impl Facts {
    fn head<'a>(&'a self, language: Language, organisation: &'a str) -> Head<'a> {
        Head {
            id: QueueId::from_bytes([9; 16]),
            host: &self.host,
            now: NOW,
            language,
            organisation,
            from: &self.from,
            to: &self.to,
        }
    }

    fn notice<'a>(&'a self, language: Language, organisation: &'a str) -> Notice<'a> {
        Notice {
            head: self.head(language, organisation),
            kind: NoticeKind::First,
            link: &self.link,
            available_until: UNTIL,
            last_two: self.phone.last_two(),
            reference: self.reference,
            reason: reason(VaultReason::NoSecurePath, language),
        }
    }

    fn sender_mail<'a>(&'a self, head: Head<'a>, route: ReturnRoute) -> SenderMail<'a> {
        SenderMail {
            head,
            reference: self.reference,
            received: NOW,
            route,
        }
    }

    fn news(&self) -> [SenderNews<'_>; 3] {
        [
            SenderNews::PhoneMissing {
                form: &self.link,
                recipients: &self.recipients,
                why: Some(&self.why),
                kept_until: UNTIL,
            },
            SenderNews::Locked {
                release: &self.link,
                recipient: &self.to,
                kept_until: UNTIL,
            },
            SenderNews::NoticeBounced {
                recipient: &self.to,
                status: Some(EnhancedStatus::new(5, 1, 1)),
            },
        ]
    }

    /// Every mail that this module writes.
    fn all(&self, language: Language, organisation: &str, route: ReturnRoute) -> Vec<ContentFree> {
        let head = self.head(language, organisation);
        let notice = self.notice(language, organisation);
        let kinds = [
            NoticeKind::First,
            NoticeKind::Reminder,
            NoticeKind::Registered,
        ];
        let mut mails: Vec<ContentFree> = kinds.map(|kind| Notice { kind, ..notice }.mail()).into();
        let sender = self.sender_mail(head, route);
        mails.extend(self.news().iter().map(|news| sender.mail(news)));
        let reply = Reply::new(
            550,
            Some(EnhancedStatus::new(5, 1, 1)),
            &"no such user ".repeat(30),
        );
        let recipient = DsnRecipient {
            address: &self.to,
            action: DsnAction::Delayed { until: UNTIL },
            reason: DsnReason::Waiting,
            why: Some(&self.why),
            status: EnhancedStatus::new(4, 4, 1),
            host: Some(&self.host),
            reply: Some(&reply),
            last_attempt: Some(NOW),
        };
        let recipients = [
            recipient,
            DsnRecipient {
                action: DsnAction::Failed,
                reason: DsnReason::Refused,
                ..recipient
            },
        ];
        let dsn = Dsn {
            head,
            reference: self.reference,
            received: NOW,
            route,
            recipients: &recipients,
        };
        mails.push(dsn.mail());
        mails
    }
}

fn parts(mail: &ContentFree) -> (String, String) {
    let message = MessageParser::new().parse(mail.octets().as_ref()).unwrap();
    (
        message.body_text(0).unwrap().into_owned(),
        message.body_html(0).unwrap().into_owned(),
    )
}

/// What every mail has, whatever it was made of.
fn assert_well_formed(mail: &ContentFree) {
    let octets = mail.octets();
    let text = std::str::from_utf8(octets).unwrap();
    assert!(text.is_ascii(), "7-bit");
    assert!(text.ends_with("\r\n"));
    assert!(
        !text.replace("\r\n", "").contains(['\r', '\n']),
        "CRLF alone"
    );
    assert!(
        text.split("\r\n").all(|line| line.len() <= 500),
        "short lines"
    );
    assert!(text.split("\r\n").all(|line| line != "."), "no end of data");
    let view = HeaderView::parse(Bytes::clone(octets)).unwrap();
    let names: Vec<&str> = view.fields().map(|field| field.name()).collect();
    let expected = [
        "Date",
        "From",
        "To",
        "Message-ID",
        "Subject",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "Content-Language",
        "MIME-Version",
        "Content-Type",
    ];
    assert_eq!(names, expected);
    assert_eq!(view.mailboxes("From").addresses.len(), 1);
    assert_eq!(view.mailboxes("To").addresses.len(), 1);
    assert!(view.fields().all(|field| {
        field
            .raw()
            .split(|b| *b == b'\n')
            .all(|line| line.len() <= 150)
    }));
}

#[test]
fn the_dutch_notice_reads_as_designed() {
    let facts = facts();
    let mail = facts.notice(Language::Dutch, "Gemeente Súdwest").mail();
    let message = MessageParser::new().parse(mail.octets().as_ref()).unwrap();
    assert_eq!(
        message.subject().unwrap(),
        "Beveiligd bericht van Gemeente Súdwest"
    );
    assert_eq!(
        message.from().unwrap().first().unwrap().name().unwrap(),
        "Gemeente Súdwest"
    );
    assert_eq!(
        parts(&mail).0.replace('\r', ""),
        format!(
            "U heeft een beveiligd bericht van Gemeente Súdwest.\n\n\
             Het staat voor u klaar tot maandag 21 december 2026.\n\n\
             Bericht openen:\nhttps://mail.example/m/0123/abc-DEF_9?x=1&y=2\n\n\
             U krijgt een code per sms op het nummer dat eindigt op 78.\n\n\
             Kenmerk {}. U ziet dit kenmerk ook op de pagina.\n\n\
             Waarom niet gewoon per e-mail? Wij konden niet vaststellen dat de verbinding met uw mailserver veilig is.\n\n\
             Wij vragen nooit om een wachtwoord of betaling.\n\n\
             English: open the link.",
            facts.reference
        )
    );
}

#[test]
fn the_english_notice_reads_as_designed() {
    let facts = facts();
    let mail = facts.notice(Language::English, "Example Council").mail();
    let (text, html) = parts(&mail);
    assert!(
        text.starts_with("You have a secure message from Example Council."),
        "{text}"
    );
    assert!(
        text.contains("It is available until Monday 21 December 2026."),
        "{text}"
    );
    assert!(text.contains("on the number ending in 78."), "{text}");
    assert!(
        text.contains("We never ask for a password or a payment."),
        "{text}"
    );
    assert!(!text.contains("612345"), "the number itself");
    assert!(html.contains("<html lang=\"en\">"), "{html}");
    let href = "href=\"https://mail.example/m/0123/abc-DEF_9?x=1&amp;y=2\"";
    assert!(html.contains(href), "{html}");
    assert!(
        !html.contains("<img") && !html.contains("<script"),
        "nothing is loaded: {html}"
    );
}

#[test]
fn every_mail_is_well_formed_in_every_language() {
    let facts = facts();
    for language in LANGUAGES {
        for route in [ReturnRoute::Authenticated, ReturnRoute::Unauthenticated] {
            for mail in facts.all(language, "Stichting Öffentlich \u{1f512}", route) {
                assert_well_formed(&mail);
            }
        }
    }
}

#[test]
fn what_ends_a_line_breaks_out_of_no_field() {
    let facts = facts();
    for organisation in [
        "Org\r\nBcc: eve@evil.example",
        "Org\nBcc: eve@evil.example",
        "Org\rBcc: eve@evil.example",
        "Org\0\"<eve@evil.example>\r\n\r\n<html>",
        "\u{2028}Bcc: eve@evil.example, \u{85}Bcc: eve@evil.example",
    ] {
        for language in LANGUAGES {
            for mail in facts.all(language, organisation, ReturnRoute::Authenticated) {
                assert_well_formed(&mail);
                let message = MessageParser::new().parse(mail.octets().as_ref()).unwrap();
                let from = message.from().unwrap();
                assert_eq!(from.iter().count(), 1);
                let address = from.first().unwrap().address().unwrap();
                assert_eq!(address, facts.from.to_string());
                // Not even a reader that decodes it sees a second line.
                let name = from.first().unwrap().name().unwrap();
                for shown in [name, message.subject().unwrap()] {
                    assert!(!shown.contains(char::is_control), "{shown:?}");
                }
            }
        }
    }
}

#[test]
fn a_mail_over_an_unproved_way_names_nobody_and_opens_nothing() {
    let facts = facts();
    for language in LANGUAGES {
        let mails = facts.all(language, "Org", ReturnRoute::Unauthenticated);
        for mail in &mails[3..] {
            let (text, html) = parts(mail);
            for part in [&text, &html] {
                assert!(part.contains(&facts.reference.to_string()), "{part}");
                assert!(!part.contains('@') && !part.contains("http"), "{part}");
            }
            let raw = std::str::from_utf8(mail.octets()).unwrap();
            assert!(
                !raw.contains("ann@") && !raw.contains("other.example"),
                "{raw}"
            );
            assert_eq!(
                raw.matches("jan@rcpt.example").count(),
                1,
                "the To field alone"
            );
        }
    }
}

#[test]
fn the_mail_about_a_missing_number_says_how_each_recipient_stands() {
    let facts = facts();
    let sender = facts.sender_mail(
        facts.head(Language::Dutch, "Org"),
        ReturnRoute::Authenticated,
    );
    let mail = sender.mail(&facts.news()[0]);
    let message = MessageParser::new().parse(mail.octets().as_ref()).unwrap();
    assert_eq!(
        message.subject().unwrap(),
        "Nog niet bezorgd: telefoonnummer nodig voor jan@other.example"
    );
    let (text, html) = parts(&mail);
    assert!(text.contains("- ann@rcpt.example: bezorgd\r\n"), "{text}");
    assert!(
        text.contains("- jan@other.example: wacht op een nummer\r\n"),
        "{text}"
    );
    assert!(text.contains("tot maandag 21 december 2026"), "{text}");
    let why = "Wat onze controle vond: Mail voor rcpt.example gaat in de kluis, omdat ";
    assert!(text.contains(why), "{text}");
    assert!(
        text.contains("- STARTTLS aanzetten op mx1.rcpt.example"),
        "{text}"
    );
    assert!(
        html.contains("<li>jan@other.example: wacht op een nummer</li>"),
        "{html}"
    );
}

#[test]
fn a_dsn_has_the_fields_of_rfc_3464_and_no_message() {
    let facts = facts();
    let reply = Reply::new(550, Some(EnhancedStatus::new(5, 1, 1)), "no such user");
    let recipients = [
        DsnRecipient {
            address: &facts.to,
            action: DsnAction::Failed,
            reason: DsnReason::RecipientUnknown,
            why: Some(&facts.why),
            status: EnhancedStatus::new(5, 1, 1),
            host: Some(&facts.host),
            reply: Some(&reply),
            last_attempt: Some(NOW),
        },
        DsnRecipient {
            address: &facts.recipients[0].0,
            action: DsnAction::Relayed,
            reason: DsnReason::Sent,
            why: Some(&facts.why),
            status: EnhancedStatus::new(2, 0, 0),
            host: None,
            reply: None,
            last_attempt: None,
        },
    ];
    let dsn = Dsn {
        head: facts.head(Language::English, "Org"),
        reference: facts.reference,
        received: NOW,
        route: ReturnRoute::Authenticated,
        recipients: &recipients,
    };
    let mail = dsn.mail();
    assert_well_formed(&mail);
    let message = MessageParser::new().parse(mail.octets().as_ref()).unwrap();
    let kind = message.content_type().unwrap();
    assert_eq!(
        (kind.ctype(), kind.subtype()),
        ("multipart", Some("report"))
    );
    assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
    let types: Vec<Option<&str>> = message
        .parts
        .iter()
        .map(|part| part.content_type().and_then(|kind| kind.subtype()))
        .collect();
    assert_eq!(
        types,
        [Some("report"), Some("plain"), Some("delivery-status")]
    );
    assert_eq!(
        message.subject().unwrap(),
        format!("Not delivered: reference {}", facts.reference)
    );
    let raw = std::str::from_utf8(mail.octets()).unwrap();
    let (_, status) = raw.split_once("message/delivery-status\r\n\r\n").unwrap();
    assert_eq!(
        status,
        "Reporting-MTA: dns; relay.example\r\n\
         Arrival-Date: Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\n\
         Final-Recipient: rfc822; jan@rcpt.example\r\n\
         Action: failed\r\n\
         Status: 5.1.1\r\n\
         Remote-MTA: dns; relay.example\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\
         Last-Attempt-Date: Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\n\
         Final-Recipient: rfc822; ann@rcpt.example\r\n\
         Action: relayed\r\n\
         Status: 2.0.0\r\n\r\n\
         --=_report--\r\n"
    );
    assert!(raw.contains("Auto-Submitted: auto-replied\r\n"));
}

/// The status part of a notification to `to` about `about`, and the name of its type.
fn status_part(to: &str, about: &str) -> (String, String) {
    let mut facts = facts();
    facts.to = Address::parse(to).unwrap();
    let about = Address::parse(about).unwrap();
    let recipients = [DsnRecipient {
        address: &about,
        action: DsnAction::Failed,
        reason: DsnReason::AddressLetters,
        why: Some(&facts.why),
        status: EnhancedStatus::new(5, 6, 7),
        host: None,
        reply: None,
        last_attempt: None,
    }];
    let mail = Dsn {
        head: facts.head(Language::English, "Org"),
        reference: facts.reference,
        received: NOW,
        route: ReturnRoute::Authenticated,
        recipients: &recipients,
    }
    .mail();
    let text = String::from_utf8(mail.octets().to_vec()).unwrap();
    assert_eq!(
        text.is_ascii(),
        to.is_ascii(),
        "no more than the way to its reader needs"
    );
    let (_, part) = text.split_once("Content-Type: message/").unwrap();
    let (kind, status) = part.split_once("\r\n\r\n").unwrap();
    (kind.to_owned(), status.to_owned())
}

#[test]
fn a_dsn_writes_addresses_in_utf8_as_rfc_6533_has_it() {
    let (kind, status) = status_part("jan@rcpt.example", "j\u{f6}+\u{1f600}@b\u{fc}cher.example");
    assert_eq!(kind, "delivery-status");
    let line = "Final-Recipient: utf-8; j\\x{F6}\\x{2B}\\x{1F600}@xn--bcher-kva.example\r\n";
    assert!(status.contains(line), "{status}");
    let (kind, status) = status_part("j\u{e1}n@rcpt.example", "j\u{f6}@b\u{fc}cher.example");
    assert_eq!(kind, "global-delivery-status");
    let line = "Final-Recipient: utf-8; j\u{f6}@xn--bcher-kva.example\r\n";
    assert!(status.contains(line), "{status}");
    let (kind, status) = status_part("j\u{e1}n@rcpt.example", "jo@rcpt.example");
    assert_eq!(kind, "global-delivery-status");
    assert!(
        status.contains("Final-Recipient: rfc822; jo@rcpt.example\r\n"),
        "{status}"
    );
}

#[test]
fn links_are_urls_and_nothing_else() {
    for url in [
        "javascript:alert(1)",
        "https://x.example/\"onclick=",
        "https://x.example/ a",
        "https://x.example/\r\nBcc:a",
        "https://x.example/<b>",
        "http://x.example/",
        "",
    ] {
        assert!(Link::parse(url).is_err(), "{url:?}");
    }
    let link = Link::parse("https://x.example/m/1/secret").unwrap();
    assert_eq!(format!("{link:?}"), "Link(..)");
}

#[test]
fn a_reference_is_stable_and_readable() {
    let of = |n: u8| Reference::of_vault(VaultId::from_bytes([n; 16])).to_string();
    // The text stands in mails that were sent: it must not change.
    assert_eq!(of(0), "22-2222");
    assert_eq!(of(1), "26-2J42");
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..=255 {
        let text = of(n);
        let (left, right) = text.split_once('-').unwrap();
        assert_eq!((left.len(), right.len()), (2, 4), "{text}");
        assert!(!text.contains(['0', '1', 'I', 'O']), "{text}");
        assert!(seen.insert(text));
    }
}

#[test]
fn a_return_path_names_its_notice_and_cannot_be_made_up() {
    let host = DnsName::parse("bounces.relay.example").unwrap();
    let id = VaultId::from_bytes([0xab; 16]);
    let path = verp::make(&key(), id, &host).unwrap();
    assert_eq!(verp::check(&key(), &path), Some(id));
    let upper = Address::parse(&format!("{}@{host}", path.local().to_ascii_uppercase())).unwrap();
    assert_eq!(verp::check(&key(), &upper), Some(id));
    assert_eq!(verp::check(&Key32::from_bytes([8; 32]), &path), None);
    let elsewhere = Address::parse(&format!("{}@other.example", path.local())).unwrap();
    assert_eq!(verp::check(&key(), &elsewhere), None);
    for at in 7..path.local().len() {
        let mut local = path.local().to_owned().into_bytes();
        local[at] = if local[at] == b'0' { b'1' } else { b'0' };
        let local = String::from_utf8(local).unwrap();
        let forged = Address::parse(&format!("{local}@{host}")).unwrap();
        assert_eq!(verp::check(&key(), &forged), None, "{local}");
    }
    for local in ["bounce", "bounce+", "bounce+.", "jan"] {
        let path = Address::parse(&format!("{}@{host}", local.replace("+.", "+x.y"))).unwrap();
        assert_eq!(verp::check(&key(), &path), None);
    }
}

#[test]
fn each_text_message_is_one_part_and_bound_to_its_host() {
    let code = SecretText::new("482913");
    let dutch = sms::code_text(Language::Dutch, &code, "Gemeente Voorbeeld", HOST, VALID);
    assert_eq!(
        dutch.expose(),
        "482913 is uw code om het bericht van Gemeente Voorbeeld te openen. 10 minuten geldig. Geef de code aan niemand.\n\n@mail.gemeente.example #482913"
    );
    let english = sms::code_text(Language::English, &code, "Example Council", HOST, VALID);
    assert_eq!(
        english.expose(),
        "482913 is your code to open the message from Example Council. Valid for 10 minutes. Do not share it.\n\n@mail.gemeente.example #482913"
    );
    let names = [
        "G",
        "Súdwest-Fryslân",
        "Çelik & Søn €",
        "Москва",
        &"Stichting ".repeat(20),
        "a\r\nb",
    ];
    for language in LANGUAGES {
        for name in names {
            let text = sms::code_text(language, &code, name, HOST, VALID);
            let size = sms::size(text.expose());
            assert_eq!(
                (size.alphabet, size.parts),
                (SmsAlphabet::Gsm7, 1),
                "{name}"
            );
            assert_eq!(
                text.expose().lines().last(),
                Some("@mail.gemeente.example #482913")
            );
            assert_eq!(text.expose().lines().count(), 3, "{name}");
            assert!(!text.expose().contains("http"));
        }
    }
    let folded = sms::code_text(Language::Dutch, &code, "Súdwest-Fryslân", HOST, VALID);
    assert!(
        folded.expose().contains("Sudwest-Fryslan"),
        "{}",
        folded.expose()
    );
}

#[test]
fn a_host_that_leaves_no_room_costs_a_second_part_and_stays_whole() {
    let host = format!("{}.example", "a".repeat(60));
    let text = sms::code_text(
        Language::Dutch,
        &SecretText::new("482913"),
        "Org",
        &host,
        VALID,
    );
    assert!(text.expose().ends_with(&format!("\n@{host} #482913")));
    assert_eq!(sms::size(text.expose()).parts, 2);
}

#[test]
fn parts_are_counted_as_carriers_do() {
    let parts = |text: &str| sms::size(text).parts;
    assert_eq!(
        (parts(""), parts(&"a".repeat(160)), parts(&"a".repeat(161))),
        (1, 1, 2)
    );
    assert_eq!((parts(&"a".repeat(306)), parts(&"a".repeat(307))), (2, 3));
    assert_eq!((parts(&"€".repeat(80)), parts(&"€".repeat(81))), (1, 2));
    assert_eq!((parts(&"ç".repeat(70)), parts(&"ç".repeat(71))), (1, 2));
    assert_eq!(
        (
            parts(&"\u{1f512}".repeat(35)),
            parts(&"\u{1f512}".repeat(36))
        ),
        (1, 2)
    );
}

#[test]
fn the_first_known_language_is_taken() {
    let wanted = |tags: &[&str]| {
        Language::pick(&tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(wanted(&["fy", "en-GB", "nl"]), Language::English);
    assert_eq!(wanted(&["NL_be"]), Language::Dutch);
    assert_eq!(wanted(&[]), Language::Dutch);
}

proptest! {
    #[test]
    fn no_name_breaks_out_of_a_mail(name in "(\\PC|[\r\n\t\0<>\"&'=?@,;\u{202e}]){0,80}") {
        let facts = facts();
        for language in LANGUAGES {
            for mail in facts.all(language, &name, ReturnRoute::Authenticated) {
                assert_well_formed(&mail);
            }
        }
        let (_, html) = parts(&facts.notice(Language::Dutch, &name).mail());
        let plain = parts(&facts.notice(Language::Dutch, "Org").mail()).1;
        prop_assert_eq!(html.matches('<').count(), plain.matches('<').count());
        prop_assert_eq!(html.matches('"').count(), plain.matches('"').count());
    }

    #[test]
    fn no_name_costs_a_second_text_message(name in "\\PC{0,80}") {
        for language in LANGUAGES {
            let text = sms::code_text(language, &SecretText::new("482913"), &name, HOST, VALID);
            prop_assert_eq!(sms::size(text.expose()).parts, 1);
        }
    }
}
