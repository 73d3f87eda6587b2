//! How a pickup ends: by time, by wish, and what is left of it.

use super::Facts;
use super::outcome::{Ending, Loggable, Passed, Unlogged};
use super::state::{DAY, HOUR, LONGEST, Phase, Pickup};
use super::tell::TellKind;
use crate::vocab::UnixTime;

impl Pickup {
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
    ///
    /// The end of a message that was picked up dates its opening, and its place in the log would do so
    /// whatever time it is given. It is logged when retention ends, and until then the sender sees what
    /// they would see had nobody come (P7).
    pub fn finish(&mut self, ending: Ending, now: UnixTime) {
        let expires = self.facts.expires;
        let (at, facade) = match ending {
            Ending::GraceOver | Ending::RecipientsWish => (now.max(expires), self.last_two()),
            Ending::Abandoned
            | Ending::Expired
            | Ending::NoticeRefused
            | Ending::NumberNeverCame => (now, None),
        };
        self.facade = facade.map(str::to_owned);
        if self.facade.is_none() {
            self.locked = None;
        }
        self.phase = Phase::Ended;
        self.phone = None;
        self.wrapped_key = None;
        self.link = None;
        self.challenge = None;
        self.sent.clear();
        self.sessions.clear();
        self.picked_up = None;
        self.reminders = 0;
        self.untold.clear();
        self.add_unlogged(Loggable::Destroyed(ending), at);
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
    ///
    /// What is not durable yet is not kept for its recipient, so retention says nothing of it: its keys
    /// stay for as long as somebody may try to seal it again.
    #[must_use]
    pub fn end(&self) -> UnixTime {
        let Facts {
            deposited,
            expires,
            number_until,
            grace,
            ..
        } = self.facts;
        if self.phase == Phase::Sealing {
            return deposited.plus(LONGEST);
        }
        if self.phase == Phase::NumberMissing {
            return number_until.min(expires);
        }
        // Grace never reaches past retention.
        self.picked_up
            .map_or(expires, |at| at.plus(grace).min(expires))
    }

    /// When it ends as far as its sender may know: that somebody came does not show in it (P7).
    #[must_use]
    pub fn end_for_sender(&self) -> UnixTime {
        if self.phase == Phase::NumberMissing {
            self.end()
        } else {
            self.facts.expires
        }
    }

    /// When there is next something to do.
    #[must_use]
    pub fn due(&self) -> UnixTime {
        let untold = self.untold.first().map(|untold| untold.since);
        let unlogged = self.unlogged.iter().map(Unlogged::due).min();
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
}
