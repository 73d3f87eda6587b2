//! The state of a pickup and its transitions.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcome::{Checked, CodeGrant, Ending, Loggable, NoCode, Passed, Unlogged};
use super::tell::{TellKind, Untold};
use super::{Facts, LinkDigest, SessionToken, code};
use crate::backend::{Entropy, NoEntropy};
use crate::limits::{
    CODE_AGAIN_SECS, CODE_MINUTES, CODES_PER_DAY_MAX, CODES_PER_HOUR_MAX, SESSION_HOURS,
    SESSIONS_MAX, WRONG_CODES_MAX,
};
use crate::seal::WrappedContentKey;
use crate::secret::Key32;
use crate::vocab::{PhoneNumber, UnixTime};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Events that a record keeps while the log cannot be written.
const UNLOGGED_MAX: usize = 64;
const CODE_LIFE: Duration = Duration::from_secs(CODE_MINUTES * 60);

/// The state of a pickup. It is kept sealed; see [`crate::backend::PickupRecord`].
#[derive(Clone, Deserialize, Serialize)]
pub struct Pickup {
    facts: Facts,
    phase: Phase,
    #[serde(with = "phone_text")]
    phone: Option<PhoneNumber>,
    /// The content key under HKDF(link secret ‖ server share), once there is a link.
    wrapped_key: Option<WrappedContentKey>,
    link: Option<LinkDigest>,
    #[serde(with = "key_bytes")]
    sender_secret: Key32,
    challenge: Option<Challenge>,
    /// When codes were sent, within the last day.
    sent: Vec<UnixTime>,
    /// Wrong codes since the last right one or release; a new code does not make them good.
    wrong: u8,
    locked: Option<UnixTime>,
    sessions: Vec<Session>,
    picked_up: Option<UnixTime>,
    number_doubted: bool,
    /// A bounce of the notice came back, and the notice was not renewed since.
    #[serde(default)]
    notice_bounced: bool,
    reminders: u8,
    untold: Vec<Untold>,
    serial: u32,
    /// Written with the change itself, so that a full disk or a crash loses no event.
    #[serde(default)]
    unlogged: Vec<Unlogged>,
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
struct Challenge {
    id: ChallengeId,
    until: UnixTime,
}

#[derive(Clone, Deserialize, Serialize)]
struct Session {
    digest: LinkDigest,
    until: UnixTime,
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
            picked_up: None,
            number_doubted: false,
            notice_bounced: false,
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
    /// its holder may have caused is gone. Says whether there was a number to change.
    #[must_use]
    pub fn change_number(&mut self, phone: PhoneNumber) -> bool {
        if !self.is_waiting() {
            return false;
        }
        self.phone = Some(phone);
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

    /// The notice is to be sent again. Says whether there is one.
    #[must_use]
    pub fn renew_notice(&mut self, now: UnixTime) -> bool {
        let can = self.is_waiting() && !self.facts.forget_link;
        if can {
            self.notice_bounced = false;
            self.add_untold(TellKind::Notice, now);
        }
        can
    }

    /// A code is wished for. `fresh` names the challenge if a new one begins; while one is good, the
    /// same code is sent again.
    pub fn request_code(&mut self, now: UnixTime, fresh: ChallengeId) -> CodeGrant {
        if !self.is_open(now) {
            return CodeGrant::Refused(NoCode::Ended);
        }
        let Some(phone) = self.phone.clone() else {
            return CodeGrant::Refused(NoCode::Ended);
        };
        if let Some(refusal) = self.why_no_code(now) {
            return CodeGrant::Refused(refusal);
        }
        let challenge = match self.challenge.take() {
            Some(good) if good.until > now => good,
            Some(_) | None => Challenge {
                id: fresh,
                until: now.plus(CODE_LIFE),
            },
        };
        let (id, until) = (challenge.id, challenge.until);
        self.challenge = Some(challenge);
        self.sent.push(now);
        CodeGrant::Send {
            challenge: id,
            phone,
            until,
        }
    }

    fn why_no_code(&mut self, now: UnixTime) -> Option<NoCode> {
        if self.locked.is_some() {
            return Some(NoCode::Locked);
        }
        self.sent.retain(|sent| sent.plus(DAY) > now);
        let last = self.sent.last().copied();
        let again = last.map(|last| last.plus(Duration::from_secs(CODE_AGAIN_SECS)));
        if let Some(again) = again.filter(|again| *again > now) {
            return Some(NoCode::TooSoonUntil(again));
        }
        let spent = [(HOUR, CODES_PER_HOUR_MAX), (DAY, CODES_PER_DAY_MAX)];
        spent
            .into_iter()
            .filter_map(|(window, max)| {
                let within: Vec<_> = self
                    .sent
                    .iter()
                    .filter(|at| at.plus(window) > now)
                    .collect();
                let excess = within.len().checked_sub(usize::from(max))?;
                within.get(excess).map(|oldest| oldest.plus(window))
            })
            .max()
            .map(NoCode::SpentUntil)
    }

    /// The carrier did not take the code that was granted at `at`: it does not count.
    pub fn code_not_sent(&mut self, at: UnixTime) {
        if let Some(place) = self.sent.iter().rposition(|sent| *sent == at) {
            self.sent.remove(place);
        }
    }

    /// A code was typed. If it is right, `session` begins and the message counts as picked up.
    pub fn check_code(
        &mut self,
        now: UnixTime,
        typed: &str,
        code_key: &Key32,
        session: &SessionToken,
    ) -> Checked {
        if !self.is_open(now) {
            return Checked::Ended;
        }
        if self.locked.is_some() {
            return Checked::Locked;
        }
        let typed = match code::read(typed) {
            Ok(typed) => typed,
            Err(malformed) => return Checked::Malformed(malformed),
        };
        let Some(challenge) = self.challenge.as_ref().filter(|good| good.until > now) else {
            return Checked::Expired;
        };
        if !code::matches(&code::of(code_key, challenge.id), &typed) {
            return self.count_wrong(now);
        }
        // Good once (ASVS 5.0, 6.5.1).
        self.challenge = None;
        self.wrong = 0;
        self.picked_up.get_or_insert(now);
        self.sessions.retain(|session| session.until > now);
        if self.sessions.len() >= SESSIONS_MAX {
            self.sessions.remove(0);
        }
        self.sessions.push(Session {
            digest: session.digest(),
            until: self.session_end(now),
        });
        Checked::Right
    }

    fn count_wrong(&mut self, now: UnixTime) -> Checked {
        self.wrong = self.wrong.saturating_add(1);
        self.add_unlogged(Loggable::CodeWrong, now);
        let left = WRONG_CODES_MAX.saturating_sub(self.wrong);
        if left > 0 {
            return Checked::Wrong { left };
        }
        self.challenge = None;
        self.locked = Some(now);
        self.add_unlogged(Loggable::Locked, now);
        self.add_untold(TellKind::Locked, now);
        Checked::LockedNow
    }

    /// When a session that begins at `now` ends at the latest.
    #[must_use]
    pub fn session_end(&self, now: UnixTime) -> UnixTime {
        now.plus(HOUR * u32::try_from(SESSION_HOURS).unwrap_or(1))
            .min(self.end())
    }

    /// Whether a session that began here still lasts.
    #[must_use]
    pub fn admits(&self, session: &SessionToken, now: UnixTime) -> bool {
        let digest = session.digest();
        let lasts = |known: &Session| known.until > now && known.digest.matches(&digest);
        self.is_open(now) && self.sessions.iter().any(lasts)
    }

    /// The recipient closes a session.
    pub fn close(&mut self, session: &SessionToken) {
        let digest = session.digest();
        self.sessions.retain(|known| !known.digest.matches(&digest));
    }

    /// What the passing of time does.
    pub fn pass(&mut self, now: UnixTime) -> Passed {
        if self.phase != Phase::Ended && now >= self.end() {
            return Passed::Over(self.ending());
        }
        let mut reminded = false;
        while self.next_reminder().is_some_and(|at| at <= now) {
            self.reminders = self.reminders.saturating_add(1);
            reminded = true;
        }
        if !reminded {
            return Passed::Unchanged;
        }
        let kind = if self.phase == Phase::NumberMissing {
            TellKind::NumberReminder
        } else {
            TellKind::Reminder
        };
        self.add_untold(kind, now);
        Passed::Reminded
    }

    fn ending(&self) -> Ending {
        match self.phase {
            Phase::Sealing => Ending::Abandoned,
            Phase::NumberMissing => Ending::NumberNeverCame,
            Phase::NoticePending | Phase::Notified | Phase::Ended if self.picked_up.is_some() => {
                Ending::GraceOver
            }
            Phase::NoticePending | Phase::Notified | Phase::Ended => Ending::Expired,
        }
    }

    /// Keys and content are destroyed; forgets all that belonged to them. The record stays until that
    /// is logged and the sender was told.
    pub fn finish(&mut self, ending: Ending, now: UnixTime) {
        self.phase = Phase::Ended;
        self.phone = None;
        self.wrapped_key = None;
        self.link = None;
        self.challenge = None;
        self.sessions.clear();
        self.untold.clear();
        self.add_unlogged(Loggable::Destroyed(ending), now);
        if let Some(kind) = ending.tells() {
            self.add_untold(kind, now);
        }
    }

    /// Whether nothing is left to be done: the record may go.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Ended) && self.untold.is_empty() && self.unlogged.is_empty()
    }

    /// When it ends by itself.
    #[must_use]
    pub fn end(&self) -> UnixTime {
        let Facts {
            expires,
            number_until,
            grace,
            ..
        } = self.facts;
        if self.phase == Phase::NumberMissing {
            return number_until.min(expires);
        }
        // Grace never reaches past retention.
        self.picked_up
            .map_or(expires, |at| at.plus(grace).min(expires))
    }

    /// When there is next something to do.
    #[must_use]
    pub fn due(&self) -> UnixTime {
        let untold = self.untold.first().map(|untold| untold.since);
        let unlogged = self.unlogged.first().map(Unlogged::due);
        if let Some(since) = untold.into_iter().chain(unlogged).min() {
            return since;
        }
        if self.phase == Phase::Ended {
            return UnixTime::default();
        }
        self.next_reminder()
            .map_or(self.end(), |at| at.min(self.end()))
    }

    fn next_reminder(&self) -> Option<UnixTime> {
        let Facts {
            deposited, expires, ..
        } = self.facts;
        let half = deposited.plus(expires.since(deposited) / 2);
        let times: &[UnixTime] = match self.phase {
            Phase::NumberMissing => &[
                deposited.plus(4 * HOUR),
                deposited.plus(DAY),
                deposited.plus(3 * DAY),
            ],
            Phase::NoticePending | Phase::Notified
                if self.picked_up.is_none() && self.has_link_for_reminders() =>
            {
                &[half, expires.minus(2 * DAY).max(half)]
            }
            Phase::Sealing | Phase::NoticePending | Phase::Notified | Phase::Ended => &[],
        };
        times
            .get(usize::from(self.reminders))
            .copied()
            .filter(|at| *at < self.end())
    }

    const fn has_link_for_reminders(&self) -> bool {
        !self.facts.forget_link
    }

    fn add_untold(&mut self, kind: TellKind, now: UnixTime) {
        if self.untold.iter().any(|known| known.kind == kind) {
            return;
        }
        self.serial = self.serial.saturating_add(1);
        self.untold.push(Untold {
            kind,
            serial: self.serial,
            since: now,
        });
    }

    fn add_unlogged(&mut self, what: Loggable, at: UnixTime) {
        if self.unlogged.len() >= UNLOGGED_MAX {
            self.unlogged.remove(0);
        }
        self.serial = self.serial.saturating_add(1);
        let serial = self.serial;
        self.unlogged.push(Unlogged { serial, what, at });
    }

    /// What the tenant's log does not hold and whoever made it so has had the time to log.
    #[must_use]
    pub fn long_unlogged(&self, now: UnixTime) -> Vec<Unlogged> {
        let all = self.unlogged.iter().copied();
        all.filter(|event| event.due() <= now).collect()
    }

    /// What the tenant's log does not hold, of what came after the serial was `earlier`.
    #[must_use]
    pub fn unlogged_since(&self, earlier: u32) -> Vec<Unlogged> {
        let all = self.unlogged.iter().copied();
        all.filter(|event| event.serial > earlier).collect()
    }

    /// Rises with whatever somebody must be told or the log must hold.
    #[must_use]
    pub const fn serial(&self) -> u32 {
        self.serial
    }

    /// These are in the log now.
    pub fn logged(&mut self, events: &[Unlogged]) {
        self.unlogged.retain(|event| !events.contains(event));
    }

    /// A mail was committed: nobody needs to be told that any more.
    pub fn told(&mut self, serial: u32) {
        self.untold.retain(|untold| untold.serial != serial);
    }

    /// What somebody must still be told, the oldest first.
    #[must_use]
    pub fn untold(&self) -> &[Untold] {
        &self.untold
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

    /// When the last code was sent, and until when it is good, if one is out.
    #[must_use]
    pub fn code_out(&self, now: UnixTime) -> Option<(UnixTime, UnixTime)> {
        let until = self
            .challenge
            .as_ref()
            .map(|good| good.until)
            .filter(|until| *until > now)?;
        self.sent.last().map(|sent| (*sent, until))
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
