//! Answers that may still be used, denials too; what they take in memory is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::size_of;
use std::sync::{Mutex, MutexGuard, PoisonError};

use securemail_core::vocab::{
    Answer, Caa, DnsName, Mx, MxTarget, Outcome, Question, Tlsa, UnixTime,
};

/// Answers by question. What expires first makes room.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Octets, by the estimate of [`weight`].
    capacity: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    answers: BTreeMap<Question, Answer>,
    by_expiry: BTreeSet<(UnixTime, Question)>,
    weight: usize,
}

impl Cache {
    /// A cache of so many octets.
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
        // An answer from the future is of a clock that was set back: nobody knows how old it is.
        let is_past = answer.asked.is_none_or(|asked| asked <= now);
        (is_past && answer.expires > now).then(|| answer.clone())
    }

    /// Keeps the answer until it expires.
    pub(crate) fn put(&self, question: &Question, answer: &Answer, now: UnixTime) {
        let mut kept = self.lock();
        kept.forget(question);
        let weight = weight(question, answer);
        if answer.expires <= now || weight > self.capacity {
            return;
        }
        while kept.weight > self.capacity.saturating_sub(weight) {
            let Some((_, oldest)) = kept.by_expiry.first().cloned() else {
                break;
            };
            kept.forget(&oldest);
        }
        kept.weight = kept.weight.saturating_add(weight);
        kept.by_expiry.insert((answer.expires, question.clone()));
        kept.answers.insert(question.clone(), answer.clone());
    }

    /// Keeps nothing of what it has.
    pub(crate) fn clear(&self) {
        *self.lock() = Kept::default();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget(&mut self, question: &Question) {
        if let Some(old) = self.answers.remove(question) {
            self.weight = self.weight.saturating_sub(weight(question, &old));
            self.by_expiry.remove(&(old.expires, question.clone()));
        }
    }
}

/// About how many octets an answer takes with its question. A flood of long answers must not cost more
/// than one of short ones.
fn weight(question: &Question, answer: &Answer) -> usize {
    let name = |name: &DnsName| BLOCK + name.as_str().len();
    let outcome = match &answer.outcome {
        Outcome::Addresses(found) => BLOCK + found.len() * size_of::<std::net::IpAddr>(),
        Outcome::Alias(target) => name(target),
        Outcome::Failed(_) | Outcome::NoData | Outcome::NxDomain => 0,
        Outcome::Mx(found) => found.iter().fold(
            BLOCK,
            |sum,
             Mx {
                 preference: _,
                 target,
             }| {
                let target = match target {
                    MxTarget::Host(host) => name(host),
                    MxTarget::Invalid(text) => BLOCK + text.len(),
                    MxTarget::Null => 0,
                };
                sum + size_of::<Mx>() + target
            },
        ),
        Outcome::Caa(found) => found.iter().fold(BLOCK, |sum, one| {
            sum + size_of::<Caa>() + 2 * BLOCK + one.tag.len() + one.value.len()
        }),
        Outcome::NameServers(found) => found.iter().fold(BLOCK, |sum, server| sum + name(server)),
        Outcome::Tlsa(found) => found.iter().fold(BLOCK, |sum, record| {
            sum + size_of::<Tlsa>() + BLOCK + record.data.len()
        }),
        Outcome::Txt(found) => found.iter().fold(BLOCK, |sum, text| {
            sum + size_of::<String>() + BLOCK + text.len()
        }),
    };
    ENTRY + name(&question.name) + outcome + answer.extended_errors.len() * size_of::<u16>()
}

/// What an entry takes in both trees, whose nodes are two thirds full as a rule.
const ENTRY: usize =
    (2 * size_of::<Question>() + size_of::<Answer>() + size_of::<UnixTime>()) * 3 / 2;
/// What any piece of memory costs besides what it holds.
const BLOCK: usize = 32;

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
        let cache = Cache::new(10_000);
        let now = UnixTime::from_secs(100);
        cache.put(&question(1), &until(101), now);
        assert!(cache.get(&question(1), now).is_some());
        assert!(cache.get(&question(1), UnixTime::from_secs(101)).is_none());
    }

    #[test]
    fn an_answer_from_the_future_is_not_given() {
        let cache = Cache::new(10_000);
        let (set_back, ahead) = (UnixTime::from_secs(100), UnixTime::from_secs(90_000));
        let mut answer = until(90_300);
        answer.asked = Some(ahead);
        cache.put(&question(1), &answer, ahead);
        assert!(cache.get(&question(1), ahead).is_some());
        assert!(cache.get(&question(1), set_back).is_none());
    }

    #[test]
    fn a_flood_of_names_pushes_out_what_expires_first() {
        let cache = Cache::new(3 * weight(&question(1), &until(1)));
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

    #[test]
    fn long_answers_take_the_room_of_many() {
        let cache = Cache::new(100 * weight(&question(100), &until(1)));
        let now = UnixTime::from_secs(0);
        let mut long = until(90);
        long.outcome = Outcome::Txt(vec!["x".repeat(1000); 10]);
        for n in 1..=100 {
            cache.put(&question(n), &until(50 + n), now);
        }
        assert_eq!(cache.lock().answers.len(), 100);
        cache.put(&question(1), &long, now);
        let left = cache.lock().answers.len();
        assert!((40..80).contains(&left), "{left}");
        assert!(cache.lock().weight <= cache.capacity);
        long.outcome = Outcome::Txt(vec!["x".repeat(1000); 100]);
        cache.put(&question(2), &long, now);
        assert!(cache.get(&question(2), now).is_none(), "it would take all");
    }

    /// Octets of this process in memory: the second field of its statm, in pages.
    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    #[test]
    fn twenty_thousand_domains_take_less_than_40_mb() {
        let name = |text: String| DnsName::parse(&text).unwrap();
        let now = UnixTime::from_secs(0);
        const DOMAINS: u32 = 20_000;
        let cache = Cache::new(200_000_000 / 5);
        let before = resident();
        for n in 0..DOMAINS {
            // Names come in no order.
            let n = n.wrapping_mul(2_654_435_769);
            let (domain, host) = (
                format!("organisation-{n}.example"),
                format!("mx-{n}.mail.example"),
            );
            let mx = Outcome::Mx(vec![Mx {
                preference: 10,
                target: MxTarget::Host(name(host.clone())),
            }]);
            let tlsa = Outcome::Tlsa(vec![Tlsa {
                usage: 3,
                selector: 1,
                matching: 1,
                data: vec![7; 32],
            }]);
            let address = Outcome::Addresses(vec![std::net::Ipv4Addr::from(n).into()]);
            let answers = [
                (name(domain.clone()), RecordKind::Mx, mx),
                (
                    name(format!("_mta-sts.{domain}")),
                    RecordKind::Txt,
                    Outcome::NoData,
                ),
                (name(host.clone()), RecordKind::A, address),
                (name(host.clone()), RecordKind::Aaaa, Outcome::NoData),
                (name(format!("_25._tcp.{host}")), RecordKind::Tlsa, tlsa),
            ];
            for (name, kind, outcome) in answers {
                let expires = UnixTime::from_secs(u64::from(n >> 12) + 1);
                let answer = Answer::new(outcome, Security::Secure, expires);
                cache.put(&Question::new(name, kind), &answer, now);
            }
        }
        let (taken, kept) = (resident() - before, cache.lock().answers.len());
        let estimate = cache.lock().weight;
        assert_eq!(kept, 100_000, "nothing was pushed out");
        assert!(taken < 200_000_000 / 5, "{taken}");
        assert!(
            taken < estimate * 5 / 4,
            "the estimate is too low: {taken}, {estimate}"
        );
    }
}
