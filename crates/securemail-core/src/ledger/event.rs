//! What can happen to a message, and the facts that go with it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Serialize;

use crate::backend::AttemptReport;
use crate::limits::FACT_OCTETS_MAX;
use crate::route::{Decision, Evidence, PolicySettings};
use crate::vocab::{
    AccountId, Address, Alarm, DnsName, KeyedHash, PhoneNumber, QueueId, Reply, ReversePath,
    UnixTime,
};

/// Makes an enum whose values have a stable text, which stands in the log for ever.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$value_doc])* $value,)*
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$value,)*];

            /// Its stable text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)*
                }
            }
        }

        impl FromStr for $name {
            type Err = Unknown;

            fn from_str(text: &str) -> Result<Self, Unknown> {
                match text {
                    $($text => Ok(Self::$value),)*
                    _ => Err(Unknown),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// The log names something that this program does not know; it may come from a later one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("written by a later version of this program")]
pub struct Unknown;

named! {
    /// What happened. Names of ETSI EN 319 522-1 where it has one; ours begin with a lower-case letter.
    ///
    /// There is no name for "opened" by a recipient of ordinary mail: nobody learns that (P7).
    EventName {
        /// A.1: taken from the sender.
        SubmissionAcceptance = "SubmissionAcceptance",
        /// A.2: refused in the session.
        SubmissionRejection = "SubmissionRejection",
        /// C.3: the recipient of registered mail accepted it.
        ConsignmentAcceptance = "ConsignmentAcceptance",
        /// C.4: the recipient of registered mail declined it.
        ConsignmentRejection = "ConsignmentRejection",
        /// C.5: the recipient of registered mail did neither in time.
        AcceptanceRejectionExpiry = "AcceptanceRejectionExpiry",
        /// D.1: the content is in the vault for the recipient.
        ContentConsignment = "ContentConsignment",
        /// D.2: it could not be put there.
        ContentConsignmentFailure = "ContentConsignmentFailure",
        /// D.3: the recipient was sent a notice.
        ConsignmentNotification = "ConsignmentNotification",
        /// D.4: the notice could not be sent, or came back.
        ConsignmentNotificationFailure = "ConsignmentNotificationFailure",
        /// The recipient's host took the notice (V1.2.1).
        NotificationDelivered = "NotificationDelivered",
        /// E.1: handed to somebody who had the link and the code.
        ContentHandover = "ContentHandover",
        /// E.2: not picked up in time.
        ContentHandoverFailure = "ContentHandoverFailure",
        /// F.1: the recipient's host took the content over a proved session.
        RelayToNonErds = "RelayToNonERDS",
        /// F.2: it could not be handed to the recipient's host.
        RelayToNonErdsFailure = "RelayToNonERDSFailure",
        /// An alarm of the node is over.
        AlarmOver = "alarmOver",
        /// An alarm of the node began.
        AlarmRaised = "alarmRaised",
        /// A wrong code locked the address out for some time.
        AddressBlocked = "addressBlocked",
        /// The carrier did not take a code.
        CodeFailed = "codeFailed",
        /// A code was handed to the carrier.
        CodeSent = "codeSent",
        /// A wrong code was given.
        CodeWrong = "codeWrong",
        /// A way was decided, or that none is proved.
        Decision = "decision",
        /// It waits, and is tried again.
        Deferral = "deferral",
        /// The content was destroyed: picked up and over, declined, expired, or as the recipient asked.
        Destroyed = "destroyed",
        /// Three wrong codes locked the message until its sender releases it.
        Locked = "locked",
        /// The sender gave a telephone number.
        PhoneGiven = "phoneGiven",
        /// No telephone number is known; the sender was asked.
        PhoneMissing = "phoneMissing",
        /// An attempt is about to be made.
        RelayIntent = "relayIntent",
        /// The final dot may have left and no reply came.
        RelayUnconfirmed = "relayUnconfirmed",
        /// The sender released a locked message.
        Released = "released",
        /// A report about a failure is on its way to the sender.
        SenderInformed = "senderInformed",
        /// No report to the sender could be delivered; it was given up, and the operator was called.
        SenderNotInformed = "senderNotInformed",
        /// It is held because of something that an attack would look like; the operator was called.
        Suspicious = "suspicious",
    }
}

impl EventName {
    /// The URI of the event, where ETSI EN 319 522 names it.
    #[must_use]
    pub fn etsi_uri(self) -> Option<String> {
        let name = self.as_str();
        name.starts_with(|first: char| first.is_ascii_uppercase())
            .then(|| format!("http://uri.etsi.org/19522/Event/{name}"))
    }
}

named! {
    /// A kind of fact. Every fact is personal until somebody shows that it is not: it stands in the
    /// sealed part, and the chain holds a salted commitment to it.
    Fact {
        /// The account that handed the message in.
        Account = "account",
        /// Which alarm of the node.
        Alarm = "alarm",
        /// One session with a host, as JSON.
        Attempt = "attempt",
        /// The carrier's id of a text message.
        CarrierId = "carrierId",
        /// The network address of the sender or recipient that did it.
        Client = "client",
        /// SHA-256 of the octets that were handed over or sealed.
        ContentDigest = "contentDigest",
        /// What was decided and why, as JSON.
        Decision = "decision",
        /// Everything that the decision came from, as JSON; it can be replayed.
        Evidence = "evidence",
        /// The host that took it or did not.
        Host = "host",
        /// The Message-ID field.
        MessageId = "messageId",
        /// The last two digits of the telephone number.
        PhoneEnd = "phoneEnd",
        /// Why, in words. It holds nothing of the message.
        Reason = "reason",
        /// The clocks and exceptions of the policy that decided, as JSON.
        PolicySettings = "policySettings",
        /// The recipient.
        Recipient = "recipient",
        /// What the host, or we, replied.
        Reply = "reply",
        /// The reverse-path.
        Sender = "sender",
        /// SHA-256 of the octets that the sender handed in.
        SubmittedDigest = "submittedDigest",
    }
}

/// One event, to be logged by [`Log::entry`](super::Log::entry).
#[derive(Clone, Eq, PartialEq)]
#[must_use]
pub struct Event {
    pub(super) name: EventName,
    pub(super) time: UnixTime,
    pub(super) queue: QueueId,
    pub(super) recipient: Option<u16>,
    pub(super) facts: BTreeMap<&'static str, String>,
    pub(super) find_by: Vec<FindBy>,
}

/// By what an event can be found. Two spellings of one address find the same.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct FindBy {
    pub(super) label: &'static str,
    pub(super) value: String,
}

impl FindBy {
    pub(super) fn recipient(address: &Address) -> Self {
        Self {
            label: "event/recipient",
            value: address.canonical(),
        }
    }

    pub(super) fn sender(address: &Address) -> Self {
        Self {
            label: "event/sender",
            value: address.canonical(),
        }
    }

    pub(super) fn message_id(id: &str) -> Self {
        let id = id.trim().trim_start_matches('<').trim_end_matches('>');
        Self {
            label: "event/message-id",
            value: id.to_owned(),
        }
    }

    pub(super) fn reference(reference: &str) -> Self {
        Self {
            label: "event/reference",
            value: reference.to_owned(),
        }
    }

    pub(super) fn hash(&self, cipher: &crate::seal::RecordCipher) -> KeyedHash {
        cipher.hash(self.label, self.value.as_bytes())
    }
}

impl Event {
    /// `name` happened at `time` to the message `queue`.
    pub const fn new(name: EventName, time: UnixTime, queue: QueueId) -> Self {
        Self {
            name,
            time,
            queue,
            recipient: None,
            facts: BTreeMap::new(),
            find_by: Vec::new(),
        }
    }

    /// An alarm of the node began or is over; it is about no message. `why` says more in words.
    pub fn of_node(name: EventName, time: UnixTime, alarm: Alarm, why: &str) -> Self {
        let event = Self::new(name, time, QueueId::from_bytes([0; 16])).fact(Fact::Alarm, alarm);
        let text = alarm.text();
        match why {
            "" => event.reason(text),
            why => event.reason(&format!("{text}: {why}")),
        }
    }

    /// It is about this recipient, who has this number in the envelope. The event is found by it.
    pub fn recipient(mut self, number: u16, address: &Address) -> Self {
        self.recipient = Some(number);
        self.find_by.push(FindBy::recipient(address));
        self.fact(Fact::Recipient, address)
    }

    /// It is about the recipient who has this number in the envelope, whose address is not at hand.
    pub const fn recipient_number(mut self, number: u16) -> Self {
        self.recipient = Some(number);
        self
    }

    /// The reverse-path. The event is found by it.
    pub fn sender(mut self, reverse_path: &ReversePath) -> Self {
        self.find_by
            .extend(reverse_path.mailbox().map(FindBy::sender));
        self.fact(Fact::Sender, reverse_path)
    }

    /// The Message-ID field, with or without angle brackets. The event is found by it.
    pub fn message_id(mut self, id: &str) -> Self {
        self.find_by.push(FindBy::message_id(id));
        self.fact(Fact::MessageId, id.trim())
    }

    /// What letters and pages call the message by. The event is found by it.
    pub fn reference(mut self, reference: &str) -> Self {
        self.find_by.push(FindBy::reference(reference));
        self
    }

    /// The account that handed the message in.
    pub fn account(self, account: &AccountId) -> Self {
        self.fact(Fact::Account, account.as_str())
    }

    /// The network address of whoever did it.
    pub fn client(self, address: IpAddr) -> Self {
        self.fact(Fact::Client, address)
    }

    /// The host that took it or did not.
    pub fn host(self, host: &DnsName) -> Self {
        self.fact(Fact::Host, host)
    }

    /// What the host, or we, replied.
    pub fn reply(self, reply: &Reply) -> Self {
        self.fact(Fact::Reply, reply)
    }

    /// What was decided, and everything that it came from.
    pub fn decision(
        self,
        decision: &Decision,
        evidence: &Evidence,
        settings: &PolicySettings,
    ) -> Self {
        self.json(Fact::Decision, decision)
            .json(Fact::Evidence, evidence)
            .json(Fact::PolicySettings, settings)
    }

    /// One session with a host.
    pub fn attempt(self, report: &AttemptReport) -> Self {
        self.json(Fact::Attempt, report)
    }

    /// SHA-256 of the octets that were handed over or sealed.
    pub fn content_digest(self, sha256: &[u8; 32]) -> Self {
        self.fact(Fact::ContentDigest, hex(sha256))
    }

    /// SHA-256 of the octets that the sender handed in.
    pub fn submitted_digest(self, sha256: &[u8; 32]) -> Self {
        self.fact(Fact::SubmittedDigest, hex(sha256))
    }

    /// The telephone; its last two digits are kept.
    pub fn phone(self, number: &PhoneNumber) -> Self {
        self.fact(Fact::PhoneEnd, number.last_two())
    }

    /// The carrier's id of a text message.
    pub fn carrier_id(self, id: &str) -> Self {
        self.fact(Fact::CarrierId, id)
    }

    /// Why, in words. Nothing of the message may stand in it.
    pub fn reason(self, words: &str) -> Self {
        self.fact(Fact::Reason, words)
    }

    /// A text; what is longer than a fact may be is cut.
    fn fact(mut self, fact: Fact, value: impl fmt::Display) -> Self {
        let mut value = value.to_string();
        value.truncate(value.floor_char_boundary(FACT_OCTETS_MAX));
        self.facts.insert(fact.as_str(), value);
        self
    }

    /// Our own types always serialise; should one not, that is written, so that it cannot go unseen.
    fn json(mut self, fact: Fact, value: &impl Serialize) -> Self {
        let json = serde_json::to_string(value);
        debug_assert!(json.is_ok(), "{fact} does not serialise");
        let json = json.unwrap_or_else(|error| error.to_string());
        self.facts.insert(fact.as_str(), json);
        self
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({} of {} at {})", self.name, self.queue, self.time)
    }
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        for half in [octet >> 4, octet & 15] {
            text.extend(char::from_digit(half.into(), 16));
        }
        text
    })
}
