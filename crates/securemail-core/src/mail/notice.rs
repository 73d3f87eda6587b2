//! The notice to a recipient: something waits, and how to open it. Nothing of the message is in it.

use super::compose::{Block, Letter};
use super::{ContentFree, Head, Language, Link, Reference};
use crate::route::VaultReason;
use crate::vocab::UnixTime;

/// What a notice says.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// Its header. The organisation named there is the sender's.
    pub head: Head<'a>,
    /// Whether it is the first.
    pub kind: NoticeKind,
    /// The pickup link.
    pub link: &'a Link,
    /// Until when the message can be opened.
    pub available_until: UnixTime,
    /// The last two digits of the number to which the code will go.
    pub last_two: &'a str,
    /// The reference that the page shows too.
    pub reference: Reference,
    /// Why it was not simply delivered: the sentence of [`reason`].
    pub reason: &'a str,
}

/// Which notice of a message it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoticeKind {
    /// The first.
    First,
    /// A reminder.
    Reminder,
    /// The first, of registered mail: it is accepted or declined.
    Registered,
}

impl Notice<'_> {
    /// The mail.
    #[must_use]
    pub fn mail(&self) -> ContentFree {
        let letter = match self.head.language {
            Language::Dutch => self.dutch(),
            Language::English => self.english(),
        };
        letter.into_mail(&self.head)
    }

    fn dutch(&self) -> Letter<'_> {
        let organisation = self.head.organisation;
        let (subject, first) = match self.kind {
            NoticeKind::First => (
                format!("Beveiligd bericht van {organisation}"),
                format!("U heeft een beveiligd bericht van {organisation}."),
            ),
            NoticeKind::Reminder => (
                format!("Herinnering: beveiligd bericht van {organisation}"),
                format!(
                    "Een beveiligd bericht van {organisation} staat nog voor u klaar. Als u het opent, krijgt u geen herinnering meer."
                ),
            ),
            NoticeKind::Registered => (
                format!("Aangetekend bericht van {organisation}"),
                format!(
                    "U heeft een aangetekend bericht van {organisation}. U kunt het aannemen of weigeren."
                ),
            ),
        };
        let blocks = vec![
            Block::Text(first),
            Block::Text(format!("Het staat voor u klaar tot {}.", self.until())),
            Block::Button {
                label: "Bericht openen",
                link: self.link,
            },
            Block::Text(format!(
                "U krijgt een code per sms op het nummer dat eindigt op {}.",
                self.last_two
            )),
            Block::Text(format!(
                "Kenmerk {}. U ziet dit kenmerk ook op de pagina.",
                self.reference
            )),
            Block::Text(format!("Waarom niet gewoon per e-mail? {}", self.reason)),
            Block::Text("Wij vragen nooit om een wachtwoord of betaling.".to_owned()),
            Block::Text("English: open the link.".to_owned()),
        ];
        Letter { subject, blocks }
    }

    fn english(&self) -> Letter<'_> {
        let organisation = self.head.organisation;
        let (subject, first) = match self.kind {
            NoticeKind::First => (
                format!("Secure message from {organisation}"),
                format!("You have a secure message from {organisation}."),
            ),
            NoticeKind::Reminder => (
                format!("Reminder: secure message from {organisation}"),
                format!(
                    "A secure message from {organisation} is still waiting for you. Once you open it, no more reminders come."
                ),
            ),
            NoticeKind::Registered => (
                format!("Registered message from {organisation}"),
                format!(
                    "You have a registered message from {organisation}. You can accept or decline it."
                ),
            ),
        };
        let blocks = vec![
            Block::Text(first),
            Block::Text(format!("It is available until {}.", self.until())),
            Block::Button {
                label: "Open message",
                link: self.link,
            },
            Block::Text(format!(
                "You will get a code by text message on the number ending in {}.",
                self.last_two
            )),
            Block::Text(format!(
                "Reference {}, also shown on the page.",
                self.reference
            )),
            Block::Text(format!("Why not plain e-mail? {}", self.reason)),
            Block::Text("We never ask for a password or a payment.".to_owned()),
            Block::Text("Nederlands: open de link.".to_owned()),
        ];
        Letter { subject, blocks }
    }

    fn until(&self) -> String {
        self.head.language.day(self.available_until)
    }
}

/// Why a message was not simply delivered, in one sentence for anybody.
#[must_use]
pub const fn reason(reason: VaultReason, language: Language) -> &'static str {
    match reason {
        VaultReason::DowngradeConsented => language.choose(
            "Uw mailserver is nu minder goed beveiligd dan voorheen.",
            "Your mail server is less secure now than it was before.",
        ),
        VaultReason::Incapable => language.choose(
            "Uw mailserver kan dit bericht niet aannemen.",
            "Your mail server cannot take this message.",
        ),
        VaultReason::NoSecurePath => language.choose(
            "Wij konden niet vaststellen dat de verbinding met uw mailserver veilig is.",
            "We could not establish that the connection to your mail server is secure.",
        ),
        VaultReason::Unreachable => language.choose(
            "Uw mailserver was niet bereikbaar.",
            "Your mail server could not be reached.",
        ),
        VaultReason::Required => language.choose(
            "De afzender heeft gekozen voor extra beveiliging.",
            "The sender has chosen extra protection.",
        ),
    }
}
