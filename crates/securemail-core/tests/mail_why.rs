//! What a sender is told of why a message did not go directly, word for word.

use mail_parser::MessageParser;
use securemail_core::mail::{
    Dsn, DsnAction, DsnReason, DsnRecipient, Head, Language, Reference, ReturnRoute,
};
use securemail_core::route::{Decision, Effect, Finding, Route, Rule, Subject, VaultReason};
use securemail_core::vocab::{Address, DnsName, EnhancedStatus, QueueId, UnixTime, VaultId};

const NOW: UnixTime = UnixTime::from_secs(1_795_255_200);

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

/// Into the vault, because none of its four hosts has STARTTLS.
fn decision() -> Decision {
    let without_tls = |number: usize| Finding {
        rule: Rule::C04,
        subject: Subject::Host(name(&format!("mx{number}.rcpt.example"))),
        effect: Effect::Exclude,
        fact: "no STARTTLS".into(),
    };
    Decision {
        domain: name("rcpt.example"),
        route: Route::Vault {
            reason: VaultReason::NoSecurePath,
        },
        findings: (1..=4).map(without_tls).collect(),
        decided_at: NOW,
        fresh_until: NOW,
    }
}

/// The text of a notification about one recipient for whom no way was found.
fn failed_text(language: Language) -> String {
    let (host, from) = (
        name("relay.example"),
        Address::parse("notice@relay.example").unwrap(),
    );
    let to = Address::parse("jan@rcpt.example").unwrap();
    let why = decision().summary();
    let reference = Reference::of_vault(VaultId::from_bytes([1; 16]));
    let recipients = [DsnRecipient {
        address: &to,
        action: DsnAction::Failed,
        reason: DsnReason::NoSecurePath,
        why: Some(&why),
        status: EnhancedStatus::new(5, 7, 10),
        host: None,
        reply: None,
        last_attempt: None,
    }];
    let dsn = Dsn {
        head: Head {
            id: QueueId::from_bytes([9; 16]),
            host: &host,
            now: NOW,
            language,
            organisation: "Org",
            from: &from,
            to: &to,
        },
        reference,
        received: NOW,
        route: ReturnRoute::Authenticated,
        recipients: &recipients,
    };
    let mail = dsn.mail();
    let message = MessageParser::new().parse(mail.octets().as_ref()).unwrap();
    let text = message.body_text(0).unwrap().replace('\r', "");
    text.replace(&reference.to_string(), "K7")
}

#[test]
fn a_dutch_sender_reads_in_dutch_why_and_what_the_owner_can_do() {
    assert_eq!(
        failed_text(Language::Dutch),
        "Dit gaat over uw bericht van zaterdag 21 november 2026 10:00 UTC, kenmerk K7.\n\n\
         jan@rcpt.example: er is geen veilige weg naar deze mailserver. Verstuur het bericht \
         opnieuw met een telefoonnummer, of neem op een andere manier contact op.\n\n\
         Wat onze controle vond: Mail voor rcpt.example gaat in de kluis, omdat geen mailserver \
         van het domein kan bewijzen dat hij veilig is.\n\n\
         Wat de beheerder van rcpt.example kan doen om mail rechtstreeks te ontvangen (u mag dit \
         doorsturen):\n\n\
         - STARTTLS aanzetten op mx1.rcpt.example\n\
         - STARTTLS aanzetten op mx2.rcpt.example\n\
         - STARTTLS aanzetten op mx3.rcpt.example"
    );
}

#[test]
fn an_english_sender_reads_the_same_in_english() {
    assert_eq!(
        failed_text(Language::English),
        "This is about your message of Saturday 21 November 2026 10:00 UTC, reference K7.\n\n\
         jan@rcpt.example: there is no secure way to this mail server. Send the message again \
         with a phone number, or get in touch another way.\n\n\
         What our check found: Mail for rcpt.example goes into the vault, because no mail server \
         of the domain can be proved safe.\n\n\
         What the owner of rcpt.example can do to receive mail directly (you may pass this on):\n\n\
         - switch on STARTTLS at mx1.rcpt.example\n\
         - switch on STARTTLS at mx2.rcpt.example\n\
         - switch on STARTTLS at mx3.rcpt.example"
    );
}
