//! The state of a pickup and its transitions.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcome::Unlogged;
use super::tell::{TellKind, Untold};
use super::{Facts, LinkDigest};
use crate::backend::{Entropy, NoEntropy};
use crate::limits::RETENTION_DAYS_MAX;
use crate::seal::WrappedContentKey;
use crate::secret::Key32;
use crate::vocab::{PhoneNumber, UnixTime};

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
/// No message is kept for longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(RETENTION_DAYS_MAX * 24 * 3600);

/// The state of a pickup. It is kept sealed; see [`crate::backend::PickupRecord`].
#[derive(Clone, Deserialize, Serialize)]
pub struct Pickup {
    pub(super) facts: Facts,
    pub(super) phase: Phase,
    #[serde(with = "phone_text")]
    pub(super) phone: Option<PhoneNumber>,
    /// The content key under HKDF(link secret ‖ server share), once there is a link.
    pub(super) wrapped_key: Option<WrappedContentKey>,
    pub(super) link: Option<LinkDigest>,
    #[serde(with = "key_bytes")]
    pub(super) sender_secret: Key32,
    pub(super) challenge: Option<Challenge>,
    /// When codes were sent, within the last day.
    pub(super) sent: Vec<UnixTime>,
    /// Wrong codes since the last right one or release; a new code does not make them good.
    pub(super) wrong: u8,
    pub(super) locked: Option<UnixTime>,
    pub(super) sessions: Vec<Session>,
    /// The last digits of the number of a message that was picked up and is destroyed: until retention
    /// ends, its sender sees it wait (P7).
    #[serde(default)]
    pub(super) facade: Option<String>,
    pub(super) picked_up: Option<UnixTime>,
    pub(super) number_doubted: bool,
    /// A bounce of the notice came back, and the notice was not renewed since.
    #[serde(default)]
    pub(super) notice_bounced: bool,
    /// A notice was taken once: that a later one arrives is no event (P7).
    #[serde(default)]
    pub(super) has_notice: bool,
    pub(super) reminders: u8,
    pub(super) untold: Vec<Untold>,
    pub(super) serial: u32,
    /// Written with the change itself, so that a full disk or a crash loses no event.
    #[serde(default)]
    pub(super) unlogged: Vec<Unlogged>,
}

/// Where a pickup stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Phase {
    /// The keys are there, the content is not durable yet; nobody knows of it.
    Sealing,
    /// Nobody knows where a code could go; there is no link.
    NumberMissing,
    /// There is a link; the recipient's server has not taken the notice yet.
    NoticePending,
    /// The recipient's server took the notice.
    Notified,
    /// Keys and content are destroyed; the sender must still be told.
    Ended,
}

/// Names one challenge. It stays in the record: who has the master key and this can make the code.
#[derive(Clone, Copy, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ChallengeId(pub(super) [u8; 16]);

impl ChallengeId {
    /// A fresh one.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub fn random(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for ChallengeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChallengeId(..)")
    }
}

#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Challenge {
    pub(super) id: ChallengeId,
    pub(super) until: UnixTime,
}

#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Session {
    pub(super) digest: LinkDigest,
    pub(super) until: UnixTime,
}

impl Pickup {
    /// A pickup whose content is about to be sealed.
    #[must_use]
    pub const fn new(facts: Facts, sender_secret: Key32) -> Self {
        Self {
            facts,
            phase: Phase::Sealing,
            phone: None,
            wrapped_key: None,
            link: None,
            sender_secret,
            challenge: None,
            sent: Vec::new(),
            wrong: 0,
            locked: None,
            sessions: Vec::new(),
            facade: None,
            picked_up: None,
            number_doubted: false,
            notice_bounced: false,
            has_notice: false,
            reminders: 0,
            untold: Vec::new(),
            serial: 0,
            unlogged: Vec::new(),
        }
    }

    /// The number, the link and the wrapped content key of a pickup that has a number from the start.
    #[must_use]
    pub fn with_link(
        mut self,
        phone: PhoneNumber,
        link: LinkDigest,
        wrapped_key: WrappedContentKey,
    ) -> Self {
        self.phone = Some(phone);
        self.link = Some(link);
        self.wrapped_key = Some(wrapped_key);
        self
    }

    /// The content is about to be sealed once more. It was not durable, so its times count from now.
    pub fn begin_again(&mut self, facts: Facts) {
        if self.phase == Phase::Sealing {
            self.facts = facts;
        }
    }

    /// The content is durable: from now on somebody can be told.
    pub fn content_is_durable(&mut self, now: UnixTime) {
        if self.phase != Phase::Sealing {
            return;
        }
        if self.phone.is_some() {
            self.phase = Phase::NoticePending;
            self.add_untold(TellKind::Notice, now);
        } else {
            self.phase = Phase::NumberMissing;
            self.add_untold(TellKind::NumberMissing, now);
        }
    }

    /// A number came for a pickup that had none: now there is a link. Says whether that was so.
    #[must_use]
    pub fn give_number(
        &mut self,
        phone: PhoneNumber,
        link: LinkDigest,
        wrapped_key: WrappedContentKey,
        now: UnixTime,
    ) -> bool {
        if self.phase != Phase::NumberMissing {
            return false;
        }
        self.phase = Phase::NoticePending;
        self.phone = Some(phone);
        self.link = Some(link);
        self.wrapped_key = Some(wrapped_key);
        self.reminders = 0;
        self.untold.clear();
        self.add_untold(TellKind::Notice, now);
        true
    }

    /// The sender gave another number: codes and sessions of the old one are void, and the lock that
    /// its holder may have caused is gone. The same number again is no exception: what was destroyed
    /// does not know it any more, and must answer alike. Says whether there was a number to change.
    #[must_use]
    pub fn change_number(&mut self, phone: PhoneNumber) -> bool {
        if self.facade.is_some() {
            self.facade = Some(phone.last_two().to_owned());
        } else if self.is_waiting() {
            self.phone = Some(phone);
        } else {
            return false;
        }
        self.sessions.clear();
        self.number_doubted = false;
        self.unlock();
        true
    }

    /// The sender releases a locked message. Says whether it was locked.
    #[must_use]
    pub fn release(&mut self) -> bool {
        let was_locked = self.locked.is_some();
        if was_locked {
            self.unlock();
        }
        was_locked
    }

    fn unlock(&mut self) {
        self.locked = None;
        self.wrong = 0;
        self.challenge = None;
    }

    /// The recipient, or the carrier, says that the number is wrong. The sender hears it once. Says
    /// whether that is new.
    #[must_use]
    pub fn doubt_number(&mut self, now: UnixTime) -> bool {
        let is_new = self.is_waiting() && !self.number_doubted;
        if is_new {
            self.number_doubted = true;
            self.add_untold(TellKind::NumberWrong, now);
        }
        is_new
    }

    /// The recipient's server took the notice.
    pub fn notice_taken(&mut self) {
        self.has_notice = true;
        if self.phase == Phase::NoticePending {
            self.phase = Phase::Notified;
        }
    }

    /// The recipient's server refused the notice for good, and the link is kept: the sender can have
    /// it sent again once that server takes it.
    pub fn notice_refused(&mut self, now: UnixTime) {
        if self.is_waiting() {
            self.phase = Phase::NoticePending;
            self.add_untold(TellKind::NoticeRefused, now);
        }
    }

    /// A bounce of the notice came back: it counts as refused. The sender hears it once for each notice
    /// of theirs, however often it bounces, and not at all once the message was picked up: then a notice
    /// did arrive. Says whether that was news.
    #[must_use]
    pub fn notice_came_back(&mut self, now: UnixTime) -> bool {
        let is_new = self.is_waiting() && self.picked_up.is_none() && !self.notice_bounced;
        if is_new {
            self.notice_bounced = true;
            self.notice_refused(now);
        }
        is_new
    }

    /// Whether the notice bounced and nobody came all the same.
    #[must_use]
    pub const fn has_bounced(&self) -> bool {
        self.is_waiting() && self.notice_bounced && self.picked_up.is_none()
    }

    /// The notice is to be sent again. Says whether there is one, as far as its sender may know; none is
    /// sent of what is destroyed.
    #[must_use]
    pub fn renew_notice(&mut self, now: UnixTime) -> bool {
        let can = self.seems_to_wait(now) && !self.facts.forget_link;
        if can && self.is_waiting() {
            self.notice_bounced = false;
            self.add_untold(self.next_notice(), now);
        }
        can
    }

    const fn next_notice(&self) -> TellKind {
        if self.has_notice {
            TellKind::NoticeAgain
        } else {
            TellKind::Notice
        }
    }

    /// Whether its link leads somewhere: there is one, and it has not ended.
    #[must_use]
    pub fn is_open(&self, now: UnixTime) -> bool {
        self.is_waiting() && now < self.end()
    }

    /// Whether there is a link and content behind it.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::NoticePending | Phase::Notified)
    }

    /// Whether its sender sees it wait: it does, or it was picked up and retention goes on.
    #[must_use]
    pub fn seems_to_wait(&self, now: UnixTime) -> bool {
        (self.is_waiting() || self.facade.is_some()) && now < self.facts.expires
    }

    /// The last digits of its number, as its sender sees them.
    #[must_use]
    pub fn last_two(&self) -> Option<&str> {
        let digits = self.phone.as_ref().map(PhoneNumber::last_two);
        digits.or(self.facade.as_deref())
    }

    /// Whether this is the secret of its link.
    #[must_use]
    pub fn has_link(&self, link: &LinkDigest) -> bool {
        self.link.is_some_and(|known| known.matches(link))
    }

    /// What is known from the start.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Where it stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The number that codes go to.
    #[must_use]
    pub const fn phone(&self) -> Option<&PhoneNumber> {
        self.phone.as_ref()
    }

    /// The content key under HKDF(link secret ‖ server share).
    #[must_use]
    pub const fn wrapped_key(&self) -> Option<&WrappedContentKey> {
        self.wrapped_key.as_ref()
    }

    /// The secret of the sender's form.
    #[must_use]
    pub const fn sender_secret(&self) -> &Key32 {
        &self.sender_secret
    }

    /// Since when it is locked.
    #[must_use]
    pub const fn locked(&self) -> Option<UnixTime> {
        self.locked
    }

    /// When it was picked up.
    #[must_use]
    pub const fn picked_up(&self) -> Option<UnixTime> {
        self.picked_up
    }
}

impl fmt::Debug for Pickup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pickup")
            .field("facts", &self.facts)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// A telephone number within the sealed state.
mod phone_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::vocab::PhoneNumber;

    pub(super) fn serialize<S: Serializer>(
        phone: &Option<PhoneNumber>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match phone {
            Some(phone) => to.serialize_some(phone.expose()),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<PhoneNumber>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom))
            .transpose()
    }
}

/// A key within the sealed state.
mod key_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::secret::Key32;

    pub(super) fn serialize<S: Serializer>(key: &Key32, to: S) -> Result<S::Ok, S::Error> {
        key.expose().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Key32, D::Error> {
        <[u8; 32]>::deserialize(from).map(Key32::from_bytes)
    }
}
