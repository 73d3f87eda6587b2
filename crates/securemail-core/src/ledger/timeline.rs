//! What happened to a message, line by line, in words.

use crate::route::Decision;

use super::event::{EventName, Fact};
use super::log::{PersonalPart, ReadEvent};

/// The timeline of one message, one line an event, in the order given:
/// `2026-11-21T10:00:00Z  #0 eva@example.org  waits: host mx.example.org, 451 4.7.1 later`.
#[must_use]
pub fn timeline(events: &[ReadEvent]) -> String {
    events.iter().map(line).collect()
}

fn line(event: &ReadEvent) -> String {
    let who = match (event.recipient, event.fact(Fact::Recipient)) {
        (None, _) => "-".to_owned(),
        (Some(number), None) => format!("#{number}"),
        (Some(number), Some(address)) => format!("#{number} {address}"),
    };
    let what = words(event.name);
    let details = details(event);
    let separator = if details.is_empty() { "" } else { ": " };
    // Facts come from outside: no escape sequence may reach a terminal, no line be forged.
    let line = format!("{}  {who}  {what}{separator}{details}", event.time);
    line.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .chain(['\n'])
        .collect()
}

fn details(event: &ReadEvent) -> String {
    match &event.personal {
        PersonalPart::Damaged => "DAMAGED: the details are not those that were logged".to_owned(),
        PersonalPart::Erased => "details erased".to_owned(),
        PersonalPart::Kept(_) => {
            const SHOWN: [(Fact, &str); 9] = [
                (Fact::Sender, "from "),
                (Fact::Account, "account "),
                (Fact::Client, "client "),
                (Fact::MessageId, "Message-ID "),
                (Fact::Host, "host "),
                (Fact::Reply, ""),
                (Fact::PhoneEnd, "number ending in "),
                (Fact::SubmittedDigest, "SHA-256 as handed in "),
                (Fact::ContentDigest, "SHA-256 "),
            ];
            let why = event.fact(Fact::Reason).map(str::to_owned);
            let why = why.or_else(|| event.fact(Fact::Decision).map(decision));
            let why = why.map(|why| why.trim_end_matches('.').to_owned());
            let facts = SHOWN
                .iter()
                .filter_map(|(fact, label)| Some(format!("{label}{}", event.fact(*fact)?)));
            why.into_iter().chain(facts).collect::<Vec<_>>().join(", ")
        }
    }
}

fn decision(json: &str) -> String {
    serde_json::from_str::<Decision>(json).map_or_else(
        |_| "written by another version of this program".to_owned(),
        |decision| decision.sentence(),
    )
}

const fn words(name: EventName) -> &'static str {
    match name {
        EventName::SubmissionAcceptance => "accepted from the sender",
        EventName::SubmissionRejection => "refused to the sender",
        EventName::ConsignmentAcceptance => "accepted by the recipient",
        EventName::ConsignmentRejection => "declined by the recipient",
        EventName::AcceptanceRejectionExpiry => "neither accepted nor declined in time",
        EventName::ContentConsignment => "sealed in the vault",
        EventName::ContentConsignmentFailure => "could not be put into the vault",
        EventName::ConsignmentNotification => "notice sent to the recipient",
        EventName::ConsignmentNotificationFailure => "notice could not be delivered",
        EventName::NotificationDelivered => "notice taken by the recipient's host",
        EventName::ContentHandover => "picked up",
        EventName::ContentHandoverFailure => "not picked up in time",
        EventName::RelayToNonErds => "handed over to the recipient's host",
        EventName::RelayToNonErdsFailure => "could not be handed over",
        EventName::AlarmOver => "over",
        EventName::AlarmRaised => "ALARM",
        EventName::AddressBlocked => "address blocked after wrong codes",
        EventName::CodeFailed => "code could not be sent",
        EventName::CodeSent => "code sent by SMS",
        EventName::CodeWrong => "wrong code",
        EventName::Decision => "decided",
        EventName::Deferral => "waits",
        EventName::Destroyed => "content destroyed",
        EventName::Locked => "locked after three wrong codes",
        EventName::PhoneGiven => "telephone number given",
        EventName::PhoneMissing => "telephone number missing; sender asked",
        EventName::RelayIntent => "about to be handed over",
        EventName::RelayUnconfirmed => "unclear whether the host has it",
        EventName::Released => "released by the sender",
        EventName::SenderInformed => "sender informed",
        EventName::SenderNotInformed => "sender could not be informed; operator called",
        EventName::Suspicious => "held as suspicious; operator called",
    }
}
