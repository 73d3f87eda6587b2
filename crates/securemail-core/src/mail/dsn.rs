//! Delivery status notifications (RFC 3464, RFC 6522, RFC 6533): to the sender, with nothing of the
//! message in them.

use super::compose::{Block, Letter, Writer};
use super::sender_mail::needs_you;
use super::{ContentFree, Head, Language, Reference, ReturnRoute};
use crate::route::Summary;
use crate::vocab::{Address, DnsName, EnhancedStatus, Reply, UnixTime};

/// A notification about one message. It goes out with `MAIL FROM:<>` (RFC 3464, section 2).
#[derive(Clone, Copy, Debug)]
pub struct Dsn<'a> {
    /// Its header; `to` is the reverse-path of the message, and never an address of its header.
    pub head: Head<'a>,
    /// Which message.
    pub reference: Reference,
    /// When it was handed in.
    pub received: UnixTime,
    /// Whether the way back is proved. If not, no recipient is named.
    pub route: ReturnRoute,
    /// What became of it; at least one.
    pub recipients: &'a [DsnRecipient<'a>],
}

/// What became of a message for one recipient.
#[derive(Clone, Copy, Debug)]
pub struct DsnRecipient<'a> {
    /// The recipient.
    pub address: &'a Address,
    /// What happened.
    pub action: DsnAction,
    /// Why.
    pub reason: DsnReason,
    /// Where it was to go and why: what the event of the decision says too, here in the reader's language.
    pub why: Option<&'a Summary>,
    /// The status code (RFC 3463).
    pub status: EnhancedStatus,
    /// The host that answered, if one did.
    pub host: Option<&'a DnsName>,
    /// What it answered.
    pub reply: Option<&'a Reply>,
    /// When that was.
    pub last_attempt: Option<UnixTime>,
}

/// What happened (RFC 3464, section 2.3.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DsnAction {
    /// Not delivered yet; it is tried until this moment.
    Delayed {
        /// When it is given up.
        until: UnixTime,
    },
    /// Not delivered, and not tried any more.
    Failed,
    /// Handed to a system that sends no notifications: the recipient's server, or the vault.
    Relayed,
}

/// Why, in the catalogue of reasons.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DsnReason {
    /// The recipient's server takes no addresses in these letters, and so no notice either.
    AddressLetters,
    /// The recipient declined registered mail.
    Declined,
    /// The recipient's domain does not exist, or takes no mail.
    DomainUnknown,
    /// It was tried for as long as the settings allow.
    Expired,
    /// Three wrong codes, and the sender did not release it in time.
    Locked,
    /// No secure way, and the vault may not be used.
    NoSecurePath,
    /// The recipient did not open it in time.
    NotCollected,
    /// The notice bounced: the recipient knows nothing of it.
    NoticeBounced,
    /// A host that proved nothing refuses the notice; it is tried again.
    NoticeResisted,
    /// No telephone number came in time.
    PhoneMissing,
    /// The recipient's server does not know the recipient.
    RecipientUnknown,
    /// The recipient's server refused it.
    Refused,
    /// The sender demanded REQUIRETLS, and no server of the recipient promises it.
    RequireTls,
    /// What the recipient's domain publishes about its security does not hold.
    SecurityBroken,
    /// It was handed over, or waits in the vault for the recipient.
    Sent,
    /// It is larger than the way allows.
    TooLarge,
    /// It waits for the recipient's server.
    Waiting,
}

impl Dsn<'_> {
    /// The mail.
    #[must_use]
    pub fn mail(&self) -> ContentFree {
        if self.route == ReturnRoute::Unauthenticated {
            return needs_you(&self.head, self.reference);
        }
        let letter = self.letter();
        let mut mail = Writer::default();
        mail.head(&self.head, &letter.subject, "auto-replied");
        mail.raw("Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"=_report\"\r\n\r\n");
        mail.raw("--=_report\r\n");
        mail.part("text/plain", &letter.to_text());
        // RFC 6522, section 3: the third part, with the message or its header, may be left out.
        mail.raw(&format!(
            "--=_report\r\nContent-Type: message/{}\r\n\r\n",
            match self.letters() {
                Letters::Ascii => "delivery-status",
                Letters::Utf8 => "global-delivery-status",
            }
        ));
        self.write_status(&mut mail);
        mail.raw("\r\n--=_report--\r\n");
        mail.finish()
    }

    /// A notification is in UTF-8 only where the way to its reader needs SMTPUTF8 anyway, so that it asks
    /// for no more than its address does (RFC 6533, section 3).
    fn letters(&self) -> Letters {
        if self.head.to.needs_utf8() {
            Letters::Utf8
        } else {
            Letters::Ascii
        }
    }

    fn letter(&self) -> Letter<'static> {
        let language = self.head.language;
        let mut blocks = vec![Block::Text(match language {
            Language::Dutch => format!(
                "Dit gaat over uw bericht van {}, kenmerk {}.",
                language.moment(self.received),
                self.reference
            ),
            Language::English => format!(
                "This is about your message of {}, reference {}.",
                language.moment(self.received),
                self.reference
            ),
        })];
        for recipient in self.recipients {
            recipient.write_blocks(language, &mut blocks);
        }
        Letter {
            subject: self.subject(),
            blocks,
        }
    }

    /// The worst that happened to any recipient.
    fn subject(&self) -> String {
        let language = self.head.language;
        let any = |wanted: fn(&DsnAction) -> bool| {
            self.recipients
                .iter()
                .any(|recipient| wanted(&recipient.action))
        };
        let what = if any(|action| *action == DsnAction::Failed) {
            language.choose("Niet bezorgd", "Not delivered")
        } else if any(|action| matches!(action, DsnAction::Delayed { .. })) {
            language.choose("Nog niet bezorgd", "Not delivered yet")
        } else {
            language.choose("Verstuurd", "Sent")
        };
        let word = language.choose("kenmerk", "reference");
        format!("{what}: {word} {}", self.reference)
    }

    /// RFC 3464, section 2.1: fields of the message, then of each recipient. Original-Envelope-Id is left
    /// out, since a sender may put anything into it.
    fn write_status(&self, mail: &mut Writer) {
        mail.status_field("Reporting-MTA", &format!("dns; {}", self.head.host));
        mail.status_field("Arrival-Date", &self.received.rfc5322());
        for recipient in self.recipients {
            mail.raw("\r\n");
            recipient.write_status(self.letters(), mail);
        }
    }
}

/// In which letters a notification writes addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Letters {
    Ascii,
    Utf8,
}

impl DsnRecipient<'_> {
    fn write_blocks(&self, language: Language, blocks: &mut Vec<Block<'_>>) {
        let (what, advice) = self.reason.texts(language);
        blocks.push(Block::Text(format!(
            "{}: {what} {advice}",
            self.address.shown()
        )));
        if let DsnAction::Delayed { until } = self.action {
            let until = language.moment(until);
            blocks.push(Block::Text(match language {
                Language::Dutch => format!("Wij proberen het nog tot {until}."),
                Language::English => format!("We keep trying until {until}."),
            }));
        }
        if let Some(reply) = self.reply {
            let said = language.choose(
                "De mailserver van de ontvanger zei",
                "The recipient's mail server said",
            );
            blocks.push(Block::Text(format!("{said}: {reply}")));
        }
        blocks.extend(
            self.why
                .into_iter()
                .flat_map(|why| found_by_us(why, language)),
        );
    }

    fn write_status(&self, letters: Letters, mail: &mut Writer) {
        match (self.address.needs_utf8(), letters) {
            (false, _) => {
                mail.status_field("Final-Recipient", &format!("rfc822; {}", self.address));
            }
            (true, Letters::Ascii) => {
                let address = utf8_addr_xtext(self.address);
                mail.status_field("Final-Recipient", &format!("utf-8; {address}"));
            }
            (true, Letters::Utf8) => {
                mail.raw(&format!("Final-Recipient: utf-8; {}\r\n", self.address));
            }
        }
        let action = match self.action {
            DsnAction::Delayed { .. } => "delayed",
            DsnAction::Failed => "failed",
            DsnAction::Relayed => "relayed",
        };
        mail.status_field("Action", action);
        mail.status_field("Status", &self.status.to_string());
        if let Some(host) = self.host {
            mail.status_field("Remote-MTA", &format!("dns; {host}"));
        }
        if let Some(reply) = self.reply {
            mail.status_field("Diagnostic-Code", &format!("smtp; {reply}"));
        }
        if let Some(moment) = self.last_attempt {
            mail.status_field("Last-Attempt-Date", &moment.rfc5322());
        }
        if let DsnAction::Delayed { until } = self.action {
            mail.status_field("Will-Retry-Until", &until.rfc5322());
        }
    }
}

/// The sentence of a decision, and what the owner of the domain can do.
pub(super) fn found_by_us(why: &Summary, language: Language) -> Vec<Block<'static>> {
    let found = language.choose("Wat onze controle vond", "What our check found");
    let sentence = why.sentence(language);
    let mut blocks = vec![Block::Text(format!("{found}: {sentence}"))];
    let remedies = why.remedies().iter().take(REMEDIES_MAX);
    let remedies: Vec<String> = remedies.map(|remedy| remedy.words(language)).collect();
    if !remedies.is_empty() {
        let domain = why.domain().shown();
        blocks.push(Block::Text(match language {
            Language::Dutch => format!(
                "Wat de beheerder van {domain} kan doen om mail rechtstreeks te ontvangen (u mag dit doorsturen):"
            ),
            Language::English => format!(
                "What the owner of {domain} can do to receive mail directly (you may pass this on):"
            ),
        }));
        blocks.push(Block::Items(remedies));
    }
    blocks
}

/// A sender is told no more things that the owner of a domain can do: the first are of the hosts that the
/// domain prefers.
const REMEDIES_MAX: usize = 3;

/// RFC 6533, section 3: `\x{FC}` for what ASCII has not, and for what has a meaning of its own.
fn utf8_addr_xtext(address: &Address) -> String {
    let mut text = String::new();
    for c in address.to_string().chars() {
        if c.is_ascii_graphic() && !matches!(c, '+' | '=' | '\\') {
            text.push(c);
        } else {
            text.push_str(&format!("\\x{{{:02X}}}", u32::from(c)));
        }
    }
    text
}

impl DsnReason {
    /// What happened, and what to do now.
    #[must_use]
    pub const fn texts(self, language: Language) -> (&'static str, &'static str) {
        match language {
            Language::Dutch => self.dutch(),
            Language::English => self.english(),
        }
    }

    const fn dutch(self) -> (&'static str, &'static str) {
        match self {
            Self::AddressLetters => (
                "de mailserver van de ontvanger neemt geen adressen of kopregels in deze letters aan (SMTPUTF8).",
                "Gebruik een adres van de ontvanger in gewone letters.",
            ),
            Self::Declined => (
                "de ontvanger heeft het aangetekende bericht geweigerd.",
                "Neem op een andere manier contact op.",
            ),
            Self::DomainUnknown => (
                "dit maildomein bestaat niet of ontvangt geen mail.",
                "Controleer het adres en verstuur het bericht opnieuw.",
            ),
            Self::Expired => (
                "het bericht kon niet op tijd veilig worden bezorgd.",
                "Probeer het later opnieuw of neem op een andere manier contact op.",
            ),
            Self::Locked => (
                "er is drie keer een verkeerde code ingevuld en het bericht is niet vrijgegeven.",
                "Controleer het telefoonnummer en verstuur het bericht opnieuw.",
            ),
            Self::NoSecurePath => (
                "er is geen veilige weg naar deze mailserver.",
                "Verstuur het bericht opnieuw met een telefoonnummer, of neem op een andere manier contact op.",
            ),
            Self::NotCollected => (
                "de ontvanger heeft het bericht niet op tijd geopend; het is vernietigd.",
                "Neem contact op met de ontvanger en verstuur het zo nodig opnieuw.",
            ),
            Self::NoticeBounced => (
                "de mail met de link kon niet worden bezorgd; de ontvanger weet niet van het bericht.",
                "Controleer het adres en verstuur het bericht opnieuw.",
            ),
            Self::NoticeResisted => (
                "een mailserver weigert de mail met de link; de ontvanger weet nog niet van het bericht.",
                "Controleer het adres. Klopt het niet, verstuur het bericht dan naar het juiste adres.",
            ),
            Self::PhoneMissing => (
                "er is niet op tijd een telefoonnummer ingevuld.",
                "Verstuur het bericht opnieuw en vul het nummer in.",
            ),
            Self::RecipientUnknown => (
                "de mailserver kent deze ontvanger niet.",
                "Controleer het adres en verstuur het bericht opnieuw.",
            ),
            Self::Refused => (
                "de mailserver van de ontvanger heeft het bericht geweigerd.",
                "Lees hieronder waarom, of neem op een andere manier contact op.",
            ),
            Self::RequireTls => (
                "u eiste REQUIRETLS, en geen mailserver van de ontvanger belooft dat.",
                "Verstuur het bericht zonder die eis; ook dan gaat het alleen langs een veilige weg.",
            ),
            Self::SecurityBroken => (
                "wat dit domein over zijn beveiliging bekendmaakt klopt niet met wat wij zien; uit voorzorg is niets verstuurd.",
                "Vraag de beheerder van de ontvanger om dit te herstellen.",
            ),
            Self::Sent => ("het bericht is overgedragen.", "U hoeft niets te doen."),
            Self::TooLarge => (
                "het bericht is te groot.",
                "Verstuur het zonder of met kleinere bijlagen.",
            ),
            Self::Waiting => (
                "het bericht wacht tot het veilig kan worden bezorgd.",
                "U hoeft niets te doen.",
            ),
        }
    }

    const fn english(self) -> (&'static str, &'static str) {
        match self {
            Self::AddressLetters => (
                "the recipient's mail server takes no addresses or header fields in these letters (SMTPUTF8).",
                "Use an address of the recipient in plain letters.",
            ),
            Self::Declined => (
                "the recipient declined the registered message.",
                "Get in touch another way.",
            ),
            Self::DomainUnknown => (
                "this mail domain does not exist or takes no mail.",
                "Check the address and send the message again.",
            ),
            Self::Expired => (
                "the message could not be delivered securely in time.",
                "Try again later or get in touch another way.",
            ),
            Self::Locked => (
                "a wrong code was entered three times and the message was not released.",
                "Check the phone number and send the message again.",
            ),
            Self::NoSecurePath => (
                "there is no secure way to this mail server.",
                "Send the message again with a phone number, or get in touch another way.",
            ),
            Self::NotCollected => (
                "the recipient did not open the message in time; it has been destroyed.",
                "Get in touch with the recipient and send it again if needed.",
            ),
            Self::NoticeBounced => (
                "the mail with the link could not be delivered; the recipient does not know of the message.",
                "Check the address and send the message again.",
            ),
            Self::NoticeResisted => (
                "a mail server refuses the mail with the link; the recipient does not know of the message yet.",
                "Check the address. If it is wrong, send the message to the right one.",
            ),
            Self::PhoneMissing => (
                "no phone number was entered in time.",
                "Send the message again and enter the number.",
            ),
            Self::RecipientUnknown => (
                "the mail server does not know this recipient.",
                "Check the address and send the message again.",
            ),
            Self::Refused => (
                "the recipient's mail server refused the message.",
                "Read below why, or get in touch another way.",
            ),
            Self::RequireTls => (
                "you demanded REQUIRETLS, and no mail server of the recipient promises it.",
                "Send the message without that demand; it will still go by a secure way only.",
            ),
            Self::SecurityBroken => (
                "what this domain publishes about its security does not match what we see; as a precaution nothing was sent.",
                "Ask the recipient's administrator to repair this.",
            ),
            Self::Sent => (
                "the message was handed over.",
                "There is nothing for you to do.",
            ),
            Self::TooLarge => (
                "the message is too large.",
                "Send it without attachments or with smaller ones.",
            ),
            Self::Waiting => (
                "the message waits until it can be delivered securely.",
                "There is nothing for you to do.",
            ),
        }
    }
}
