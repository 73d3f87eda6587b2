//! The gate of a pickup: codes, wrong codes, sessions.

use std::time::Duration;

use super::outcome::{Checked, CodeGrant, Loggable, NoCode};
use super::state::{Challenge, ChallengeId, DAY, HOUR, Pickup, Session};
use super::tell::TellKind;
use super::{SessionToken, code};
use crate::limits::{
    CODE_AGAIN_SECS, CODE_MINUTES, CODES_PER_DAY_MAX, CODES_PER_HOUR_MAX, SESSION_HOURS,
    SESSIONS_MAX, WRONG_CODES_MAX,
};
use crate::secret::Key32;
use crate::vocab::UnixTime;

const CODE_LIFE: Duration = Duration::from_secs(CODE_MINUTES * 60);

impl Pickup {
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

    /// The code that was granted at `at` was not sent: it does not count, and nobody can type it. Whoever types an
    /// older one is told that it has expired, which costs no try.
    pub fn code_not_sent(&mut self, at: UnixTime) {
        let granted = |challenge: &Challenge| challenge.until == at.plus(CODE_LIFE);
        if self.challenge.as_ref().is_some_and(granted) {
            self.challenge = None;
        }
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
