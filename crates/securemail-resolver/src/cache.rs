//! Answers that may still be used, denials too; the number is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use securemail_core::vocab::{Answer, Question, UnixTime};

/// Answers by question. What expires first makes room.
#[derive(Debug)]
pub(crate) struct Cache {
    capacity: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    answers: BTreeMap<Question, Answer>,
    by_expiry: BTreeSet<(UnixTime, Question)>,
}

impl Cache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            kept: Mutex::default(),
        }
    }

    /// The answer, unless it has expired.
    pub(crate) fn get(&self, question: &Question, now: UnixTime) -> Option<Answer> {
        let kept = self.lock();
        let answer = kept.answers.get(question)?;
        (answer.expires > now).then(|| answer.clone())
    }

    /// Keeps the answer until it expires.
    pub(crate) fn put(&self, question: &Question, answer: &Answer, now: UnixTime) {
        let mut kept = self.lock();
        kept.forget(question);
        if answer.expires <= now || self.capacity == 0 {
            return;
        }
        while kept.answers.len() >= self.capacity {
            let Some((_, oldest)) = kept.by_expiry.pop_first() else {
                break;
            };
            kept.answers.remove(&oldest);
        }
        kept.by_expiry.insert((answer.expires, question.clone()));
        kept.answers.insert(question.clone(), answer.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget(&mut self, question: &Question) {
        if let Some(old) = self.answers.remove(question) {
            self.by_expiry.remove(&(old.expires, question.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use securemail_core::vocab::{DnsName, Outcome, RecordKind, Security};

    use super::*;

    fn question(n: u64) -> Question {
        Question::new(
            DnsName::parse(&format!("h{n}.test")).unwrap(),
            RecordKind::A,
        )
    }

    fn until(secs: u64) -> Answer {
        Answer::new(
            Outcome::NoData,
            Security::Insecure,
            UnixTime::from_secs(secs),
        )
    }

    #[test]
    fn an_expired_answer_is_not_given() {
        let cache = Cache::new(8);
        let now = UnixTime::from_secs(100);
        cache.put(&question(1), &until(101), now);
        assert!(cache.get(&question(1), now).is_some());
        assert!(cache.get(&question(1), UnixTime::from_secs(101)).is_none());
    }

    #[test]
    fn a_flood_of_names_pushes_out_what_expires_first() {
        let cache = Cache::new(3);
        let now = UnixTime::from_secs(0);
        for n in 1..=5 {
            cache.put(&question(n), &until(n * 10), now);
            cache.put(&question(n), &until(n * 10 + 1), now);
        }
        let held: Vec<u64> = (1..=5)
            .filter(|n| cache.get(&question(*n), now).is_some())
            .collect();
        assert_eq!(held, [3, 4, 5]);
        assert_eq!(cache.lock().by_expiry.len(), 3);
    }
}
