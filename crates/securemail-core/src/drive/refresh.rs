//! Looks at MTA-STS policies in the background, so that they are there before anybody hides them.
//!
//! A policy that is kept is fetched anew each day, whatever its TXT record says, and only a fetch makes it
//! live longer (RFC 8461, sections 3.3 and 10.2; rule P-08). A domain without one is asked each day whether it
//! has one now. Of several processes over one domain memory exactly one looks at a domain.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{self, Either, join_all};
use sha2::{Digest as _, Sha256};

use super::Inquirer;
use crate::StoreError;
use crate::backend::{CachedPolicy, Fact, Observer, PolicyRefresh};
use crate::limits::{REFRESHES_AT_ONCE_MAX, STS_FETCH_AGAIN_SECS};
use crate::route::{
    Announcement, Asked, Evidence, MessageFacts, announcement, keepable, missed_until,
};
use crate::vocab::{DnsName, Profile, UnixTime};

/// Looks at policies in the background.
#[derive(Clone, Debug)]
pub struct Refresher {
    /// Asks, fetches and remembers.
    pub inquirer: Inquirer,
    /// Is told how looks at policies end; `()` hears nothing.
    pub observer: Arc<dyn Observer>,
    /// Domains of the address book: they are looked at before the first message goes there.
    pub address_book: Vec<DnsName>,
}

impl Refresher {
    /// Works until `stop`.
    pub async fn work(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop.fuse());
        let mut warm_again = UnixTime::default();
        loop {
            let clock = &self.inquirer.clock;
            let now = clock.now();
            if now >= warm_again {
                warm_again = now.plus(EVERY);
                self.warm_up(now).await;
            }
            let looked = std::pin::pin!(self.run_due());
            match future::select(looked, stop.as_mut()).await {
                Either::Left((Ok(REFRESHES_AT_ONCE_MAX..), _)) => continue,
                Either::Left((Ok(_), _)) => {}
                Either::Left((Err(error), _)) => {
                    tracing::warn!(%error, "policies could not be looked at in the background");
                }
                Either::Right(_) => return,
            }
            let pause = clock.sleep_until(clock.now().plus(PAUSE));
            if let Either::Right(_) = future::select(pause, stop.as_mut()).await {
                return;
            }
        }
    }

    /// Puts the address book on the list.
    async fn warm_up(&self, now: UnixTime) {
        let memory = &self.inquirer.memory;
        for domain in &self.address_book {
            if let Err(error) = memory.watch(domain, now, now.plus(WATCH_FOR)).await {
                tracing::warn!(%error, "the address book could not be put on the list of policies");
                return;
            }
        }
    }

    /// Looks at the domains whose time has come; says at how many.
    ///
    /// # Errors
    /// Where domain memory does not answer.
    pub async fn run_due(&self) -> Result<usize, StoreError> {
        let now = self.inquirer.clock.now();
        let memory = &self.inquirer.memory;
        let claimed = memory
            .claim_due(now, now.plus(CLAIM), REFRESHES_AT_ONCE_MAX)
            .await?;
        let count = claimed.len();
        for looked in join_all(claimed.iter().map(|domain| self.look(domain))).await {
            looked?;
        }
        Ok(count)
    }

    /// Looks at one domain, and says when it is next.
    async fn look(&self, domain: &DnsName) -> Result<(), StoreError> {
        let kept = self.inquirer.memory.policy(domain).await?;
        let now = self.inquirer.clock.now();
        let in_force = kept.filter(|kept| kept.expires > now);
        let again = match self.refresh(domain, in_force.as_ref()).await? {
            Looked::Nothing => spread(domain, EVERY),
            Looked::Fetched { lives } => {
                self.told(PolicyRefresh::Fetched);
                spread(domain, before_its_end(lives))
            }
            Looked::Failed => {
                if let Some(kept) = &in_force {
                    self.tell_failure(domain, kept, now);
                }
                AFTER_FAILURE
            }
        };
        let due = self.inquirer.clock.now().plus(again);
        self.inquirer.memory.looked_at(domain, due).await
    }

    fn told(&self, refresh: PolicyRefresh) {
        self.observer.observe(Fact::PolicyRefresh(refresh));
    }

    /// Whoever blocks the policy host wins when the policy ends, so the operator hears of it long before (RFC
    /// 8461, section 10.2): after two days without a fetch, or after half of its life where that is less.
    fn tell_failure(&self, domain: &DnsName, kept: &CachedPolicy, now: UnixTime) {
        let missed = now.since(kept.fetched);
        let life = kept.expires.since(kept.fetched);
        if missed < PATIENCE.min(life / 2) {
            return self.told(PolicyRefresh::Failed);
        }
        self.told(PolicyRefresh::Missed);
        let hours = kept.expires.since(now).as_secs() / 3600;
        if is_worth_a_line(missed, life) {
            tracing::warn!(
                %domain,
                hours,
                "the policy (MTA-STS) in force could not be fetched anew for some time; it ends in so many hours"
            );
        }
    }

    /// Fetches the policy of a domain, where it announces one or one is in force.
    async fn refresh(
        &self,
        domain: &DnsName,
        in_force: Option<&CachedPolicy>,
    ) -> Result<Looked, StoreError> {
        let Inquirer {
            fetcher,
            memory,
            clock,
            ..
        } = &self.inquirer;
        let id = match (self.announced(domain).await, in_force) {
            (Announcement::Id(id), _) => id,
            (Announcement::Nothing | Announcement::Unknown, Some(kept)) => kept.id.clone(),
            (Announcement::Nothing, None) => return Ok(Looked::Nothing),
            (Announcement::Unknown, None) => return Ok(Looked::Failed),
        };
        if self.failed_lately(domain, &id).await? {
            return Ok(Looked::Failed);
        }
        let Ok(fetched) = fetcher.fetch(domain).await else {
            return Ok(Looked::Failed);
        };
        let policy = keepable(&fetched, id, clock.now());
        // What is no policy must not replace one that is in force (RFC 8461, section 3.3).
        if policy.expires <= policy.fetched {
            return Ok(Looked::Failed);
        }
        memory.put_policy(domain, &policy).await?;
        self.will_be_missed(domain, &policy).await?;
        Ok(Looked::Fetched {
            lives: policy.expires.since(policy.fetched),
        })
    }

    /// Whoever hides the policy once it has expired meets what was seen of it, though no message ever asked for it
    /// (RFC 8461, section 10.2; rule P-30).
    async fn will_be_missed(
        &self,
        domain: &DnsName,
        policy: &CachedPolicy,
    ) -> Result<(), StoreError> {
        let memory = &self.inquirer.memory;
        let mut history = memory.recall(domain).await?.unwrap_or_default();
        let until = missed_until(policy);
        if history.sts_enforced_until == until {
            return Ok(());
        }
        history.sts_enforced_until = until;
        memory.remember(domain, &history).await
    }

    /// A message may have asked for it just before (RFC 8461, section 3.3).
    async fn failed_lately(&self, domain: &DnsName, id: &str) -> Result<bool, StoreError> {
        let now = self.inquirer.clock.now();
        let history = self.inquirer.memory.recall(domain).await?;
        let failed = history.and_then(|history| history.sts_failed);
        let pause = Duration::from_secs(STS_FETCH_AGAIN_SECS);
        Ok(failed.is_some_and(|failed| failed.id == id && now < failed.at.plus(pause)))
    }

    async fn announced(&self, domain: &DnsName) -> Announcement {
        let facts = MessageFacts::at(self.inquirer.clock.now());
        let mut evidence = Evidence::new(domain.clone(), Profile::default(), facts);
        loop {
            match announcement(&evidence) {
                Ok(announcement) => return announcement,
                Err(question) => {
                    let answer = self.inquirer.resolver.resolve_anew(&question).await;
                    evidence.dns.push(Asked { question, answer });
                }
            }
        }
    }
}

/// What came of a look.
enum Looked {
    /// A policy is kept that lives for this time.
    Fetched { lives: Duration },
    /// None is announced, and none is in force.
    Nothing,
    /// It should be there, and could not be had; what is kept stays as it is.
    Failed,
}

/// Half of its life is left to try again where the next fetch fails. Who serves a policy of minutes is not asked
/// every minute: what was seen of it is missed all the same.
fn before_its_end(lives: Duration) -> Duration {
    (lives / 2).clamp(AFTER_FAILURE, EVERY)
}

/// Once a day, or twice: looks come an hour apart and some time, so of two hours one look falls into each. A policy
/// that lives for less than two days has no day to lose, and each look says it.
fn is_worth_a_line(missed: Duration, life: Duration) -> bool {
    let of_day = missed.as_secs() % EVERY.as_secs();
    life < PATIENCE || of_day < AFTER_FAILURE.as_secs() * 2
}

/// How long a domain is looked at to which something goes now: to the end of a day, so that the list is written
/// once a day and not with each message.
pub(super) fn watched_until(now: UnixTime) -> UnixTime {
    let days = now.plus(WATCH_FOR).as_secs() / EVERY.as_secs() + 1;
    UnixTime::from_secs(days * EVERY.as_secs())
}

/// This time, up to an eighth less: domains that began together do not stay together.
fn spread(domain: &DnsName, time: Duration) -> Duration {
    let digest: [u8; 32] = Sha256::digest(domain.as_str()).into();
    let [drawn, ..] = digest;
    let less = time.as_secs() / 8 * u64::from(drawn) / 256;
    time.saturating_sub(Duration::from_secs(less))
}

/// RFC 8461, section 3.3, suggests a day.
pub(super) const EVERY: Duration = Duration::from_secs(86_400);
/// A policy host that is down is asked again after this time.
const AFTER_FAILURE: Duration = Duration::from_secs(3600);
/// A policy that was not fetched for this time is missed.
const PATIENCE: Duration = Duration::from_secs(2 * 86_400);
/// Who claimed a domain has this time to look at it; a fetch takes a minute at most.
const CLAIM: Duration = Duration::from_secs(600);
/// How often the list is looked through.
const PAUSE: Duration = Duration::from_secs(60);
/// A domain to which nothing goes for this time is looked at no longer.
const WATCH_FOR: Duration = Duration::from_secs(30 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_day_passes_without_a_line_about_a_policy_that_is_missed() {
        let life = EVERY * 30;
        for pause in [3600, 3661, 4321, 7199] {
            let mut lines = [0; 30];
            for look in (0..life.as_secs()).step_by(pause) {
                let day = usize::try_from(look / EVERY.as_secs()).unwrap();
                lines[day] += usize::from(is_worth_a_line(Duration::from_secs(look), life));
            }
            let good = lines.iter().all(|lines| (1..=2).contains(lines));
            assert!(good, "{pause}: {lines:?}");
        }
    }

    #[test]
    fn each_look_at_a_policy_of_a_day_is_worth_a_line() {
        let hours = (0..24).map(|hour| AFTER_FAILURE * hour);
        assert!(
            hours
                .into_iter()
                .all(|missed| is_worth_a_line(missed, EVERY))
        );
    }
}
