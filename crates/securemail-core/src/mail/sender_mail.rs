//! Mail to the sender of a message: a telephone number is missing, a message is locked, a notice bounced.

use super::compose::{Block, Letter};
use super::dsn::found_by_us;
use super::{ContentFree, Head, Language, Link, Reference};
use crate::route::Summary;
use crate::vocab::{Address, EnhancedStatus, UnixTime};

/// A mail to the sender.
#[derive(Clone, Copy, Debug)]
pub struct SenderMail<'a> {
    /// Its header. The organisation named there is the tenant.
    pub head: Head<'a>,
    /// Which message it is about.
    pub reference: Reference,
    /// When that message was handed in.
    pub received: UnixTime,
    /// Whether the way back is proved.
    pub route: ReturnRoute,
}

/// Whether a mail to the sender travels over a proved way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReturnRoute {
    /// It is: recipients and links may be named.
    Authenticated,
    /// It is not: anybody may read along, so there is a reference and nothing else.
    Unauthenticated,
}

/// What the sender is told.
#[derive(Clone, Copy, Debug)]
pub enum SenderNews<'a> {
    /// Nobody knows where a code would go.
    PhoneMissing {
        /// The form that asks for the number.
        form: &'a Link,
        /// All recipients of the message.
        recipients: &'a [(Address, Progress)],
        /// Why it did not go directly: what the event of the decision says too, here in the reader's language.
        why: Option<&'a Summary>,
        /// How long the message is kept.
        kept_until: UnixTime,
    },
    /// Three wrong codes: nobody can open the message until the sender releases it.
    Locked {
        /// Where it is released.
        release: &'a Link,
        /// Whose it is.
        recipient: &'a Address,
        /// How long the message is kept.
        kept_until: UnixTime,
    },
    /// The notice could not be delivered, so the recipient knows nothing of the message.
    NoticeBounced {
        /// Who was not told.
        recipient: &'a Address,
        /// What their server said.
        status: Option<EnhancedStatus>,
    },
}

/// How a message stands for one recipient.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// Handed over to the recipient's server.
    Delivered,
    /// Still on its way, without need of anything.
    OnItsWay,
    /// Waits for a telephone number.
    PhoneMissing,
    /// In the vault; the recipient was told.
    Ready,
}

impl SenderMail<'_> {
    /// The mail that tells `news`.
    #[must_use]
    pub fn mail(&self, news: &SenderNews<'_>) -> ContentFree {
        if self.route == ReturnRoute::Unauthenticated {
            return needs_you(&self.head, self.reference);
        }
        let letter = match (news, self.head.language) {
            (
                SenderNews::PhoneMissing {
                    form,
                    recipients,
                    why,
                    kept_until,
                },
                Language::Dutch,
            ) => self.phone_missing_nl(form, recipients, *why, *kept_until),
            (
                SenderNews::PhoneMissing {
                    form,
                    recipients,
                    why,
                    kept_until,
                },
                Language::English,
            ) => self.phone_missing_en(form, recipients, *why, *kept_until),
            (
                SenderNews::Locked {
                    release,
                    recipient,
                    kept_until,
                },
                _,
            ) => self.locked(release, recipient, *kept_until),
            (SenderNews::NoticeBounced { recipient, status }, _) => {
                self.notice_bounced(recipient, *status)
            }
        };
        letter.into_mail(&self.head)
    }

    fn phone_missing_nl<'b>(
        &self,
        form: &'b Link,
        recipients: &[(Address, Progress)],
        why: Option<&Summary>,
        kept_until: UnixTime,
    ) -> Letter<'b> {
        let whom = whom(recipients, "ontvangers");
        let mut blocks = vec![
            Block::Text(format!(
                "Uw bericht van {} is nog niet bij iedereen bezorgd. Er is een mobiel nummer nodig voor {whom}: het wordt geopend met een code, en die sturen wij per sms.",
                self.head.language.moment(self.received)
            )),
            Block::Items(progress_items(recipients, self.head.language)),
            Block::Button {
                label: "Nummer invullen",
                link: form,
            },
            Block::Text(format!(
                "Wij bewaren het bericht tot {}. Daarna krijgt u het terug als niet bezorgd.",
                self.head.language.day(kept_until)
            )),
        ];
        blocks.extend(
            why.into_iter()
                .flat_map(|why| found_by_us(why, self.head.language)),
        );
        blocks.push(Block::Text(format!("Kenmerk {}.", self.reference)));
        Letter {
            subject: format!("Nog niet bezorgd: telefoonnummer nodig voor {whom}"),
            blocks,
        }
    }

    fn phone_missing_en<'b>(
        &self,
        form: &'b Link,
        recipients: &[(Address, Progress)],
        why: Option<&Summary>,
        kept_until: UnixTime,
    ) -> Letter<'b> {
        let whom = whom(recipients, "recipients");
        let mut blocks = vec![
            Block::Text(format!(
                "Your message of {} has not reached everybody yet. A mobile number is needed for {whom}: it is opened with a code, which we send by text message.",
                self.head.language.moment(self.received)
            )),
            Block::Items(progress_items(recipients, self.head.language)),
            Block::Button {
                label: "Enter the number",
                link: form,
            },
            Block::Text(format!(
                "We keep the message until {}. After that it comes back to you as undelivered.",
                self.head.language.day(kept_until)
            )),
        ];
        blocks.extend(
            why.into_iter()
                .flat_map(|why| found_by_us(why, self.head.language)),
        );
        blocks.push(Block::Text(format!("Reference {}.", self.reference)));
        Letter {
            subject: format!("Not delivered yet: phone number needed for {whom}"),
            blocks,
        }
    }

    fn locked<'b>(
        &self,
        release: &'b Link,
        recipient: &Address,
        kept_until: UnixTime,
    ) -> Letter<'b> {
        let day = self.head.language.day(kept_until);
        let recipient = recipient.shown();
        let (subject, texts, label) = match self.head.language {
            Language::Dutch => (
                format!("Vergrendeld: bericht voor {recipient}"),
                [
                    format!(
                        "Voor uw bericht aan {recipient} is drie keer een verkeerde code ingevuld. Het is vergrendeld; niemand kan het openen."
                    ),
                    format!(
                        "Vraag de ontvanger of zij dat waren, en controleer het telefoonnummer. Daarna kunt u het bericht vrijgeven. Wij bewaren het tot {day}."
                    ),
                    format!("Kenmerk {}.", self.reference),
                ],
                "Bekijken en vrijgeven",
            ),
            Language::English => (
                format!("Locked: message for {recipient}"),
                [
                    format!(
                        "A wrong code was entered three times for your message to {recipient}. It is locked; nobody can open it."
                    ),
                    format!(
                        "Ask the recipient whether it was them, and check the phone number. Then you can release the message. We keep it until {day}."
                    ),
                    format!("Reference {}.", self.reference),
                ],
                "Look and release",
            ),
        };
        let [what, advice, reference] = texts;
        let blocks = vec![
            Block::Text(what),
            Block::Text(advice),
            Block::Button {
                label,
                link: release,
            },
            Block::Text(reference),
        ];
        Letter { subject, blocks }
    }

    fn notice_bounced(
        &self,
        recipient: &Address,
        status: Option<EnhancedStatus>,
    ) -> Letter<'static> {
        let recipient = recipient.shown();
        let (subject, mut texts) = match self.head.language {
            Language::Dutch => (
                format!("Niet bezorgd: {recipient} is niet bereikt"),
                vec![
                    format!(
                        "De mailserver van {recipient} weigerde de mail met de link naar uw bericht. De ontvanger weet dus niet dat er een bericht klaarstaat."
                    ),
                    "Controleer het adres en verstuur het bericht opnieuw, of bel de ontvanger."
                        .to_owned(),
                    format!("Kenmerk {}.", self.reference),
                ],
            ),
            Language::English => (
                format!("Not delivered: {recipient} was not reached"),
                vec![
                    format!(
                        "The mail server of {recipient} refused the mail with the link to your message. The recipient therefore does not know that a message is waiting."
                    ),
                    "Check the address and send the message again, or call the recipient."
                        .to_owned(),
                    format!("Reference {}.", self.reference),
                ],
            ),
        };
        if let Some(status) = status {
            texts.push(format!("Status {status}."));
        }
        Letter {
            subject,
            blocks: texts.into_iter().map(Block::Text).collect(),
        }
    }
}

/// All that an unproved way may carry.
pub(super) fn needs_you(head: &Head<'_>, reference: Reference) -> ContentFree {
    let (subject, text) = match head.language {
        Language::Dutch => (
            format!("Er is iets van u nodig: kenmerk {reference}"),
            format!(
                "Er is iets van u nodig voor een bericht dat u heeft verstuurd. Meld u aan bij uw beveiligde mail, of vraag uw beheerder naar kenmerk {reference}."
            ),
        ),
        Language::English => (
            format!("Something needs you: reference {reference}"),
            format!(
                "Something needs you for a message that you have sent. Sign in to your secure mail, or ask your administrator about reference {reference}."
            ),
        ),
    };
    Letter {
        subject,
        blocks: vec![Block::Text(text)],
    }
    .into_mail(head)
}

/// The one whose number is missing, or how many there are.
fn whom(recipients: &[(Address, Progress)], plural: &str) -> String {
    let missing: Vec<&Address> = recipients
        .iter()
        .filter(|(_, progress)| *progress == Progress::PhoneMissing)
        .map(|(address, _)| address)
        .collect();
    match missing.as_slice() {
        [only] => only.shown(),
        several => format!("{} {plural}", several.len()),
    }
}

fn progress_items(recipients: &[(Address, Progress)], language: Language) -> Vec<String> {
    let word = |progress| match progress {
        Progress::Delivered => language.choose("bezorgd", "delivered"),
        Progress::OnItsWay => language.choose("onderweg", "on its way"),
        Progress::PhoneMissing => language.choose("wacht op een nummer", "waiting for a number"),
        Progress::Ready => {
            language.choose("staat klaar voor de ontvanger", "ready for the recipient")
        }
    };
    recipients
        .iter()
        .map(|(address, progress)| format!("{}: {}", address.shown(), word(*progress)))
        .collect()
}
