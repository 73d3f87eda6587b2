//! What the relay holds at the moment it is asked.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use securemail_core::backend::{Census, Clock};
use securemail_core::route::valid_until;
use securemail_core::vocab::UnixTime;
use tokio::time::timeout;

use super::table;

/// Where the numbers of this moment come from.
#[derive(Debug)]
pub struct State {
    pub store: Arc<dyn Census>,
    pub clock: Arc<dyn Clock>,
    /// The relay's own certificate, DER.
    pub certificate: Option<Vec<u8>>,
    pub started: UnixTime,
    /// For the store to answer.
    pub patience: Duration,
}

impl State {
    /// What can be read now; what cannot be is left out.
    pub async fn read(&self) -> BTreeMap<&'static str, f64> {
        let now = self.clock.now();
        let mut gauges = BTreeMap::from([(table::STARTED, number(self.started.as_secs()))]);
        gauges.extend(resident_memory().map(|octets| (table::MEMORY, octets)));
        let until = self.certificate.as_deref().and_then(valid_until);
        gauges.extend(until.map(|until| {
            let left = number(until.as_secs()) - number(now.as_secs());
            (table::CERTIFICATE, left)
        }));
        match timeout(self.patience, self.store.census(now)).await {
            Ok(Ok(census)) => {
                let oldest = census.oldest.map_or(0, |since| now.since(since).as_secs());
                gauges.extend([
                    (table::STORE_UP, 1.0),
                    (table::SPOOL_QUEUED, number(census.queued)),
                    (table::SPOOL_DUE, number(census.due)),
                    (table::SPOOL_OLDEST, number(oldest)),
                    (table::OWN_QUEUED, number(census.own_queued)),
                    (table::VAULT, number(census.pickups)),
                ]);
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store cannot be counted now");
                gauges.insert(table::STORE_UP, 0.0);
            }
            Err(_) => {
                tracing::warn!("the store takes too long to be counted");
                gauges.insert(table::STORE_UP, 0.0);
            }
        }
        gauges
    }

    /// Whether the store answers, in time.
    pub async fn is_healthy(&self) -> bool {
        let answered = timeout(self.patience, self.store.answers()).await;
        answered.is_ok_and(|answer| answer.is_ok())
    }
}

/// Prometheus has floating numbers only; beyond 2^53 the last digits are rounded.
const fn number(value: u64) -> f64 {
    value as f64
}

/// `VmRSS` of proc_pid_status(5); nothing where the system has no such file.
fn resident_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number(kibibytes.saturating_mul(1024)))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use securemail_core::StoreError;
    use securemail_core::backend::Counts;
    use securemail_testkit::sim::ManualClock;

    use super::*;

    /// Counts for ever, or fails at once; says that it is there where it can count.
    #[derive(Debug)]
    enum Store {
        Hangs,
        Fails,
        /// Only counting takes for ever.
        Large,
    }

    #[async_trait]
    impl Census for Store {
        async fn census(&self, _: UnixTime) -> Result<Counts, StoreError> {
            match self {
                Self::Hangs | Self::Large => std::future::pending().await,
                Self::Fails => Err(StoreError::NotFound),
            }
        }

        async fn answers(&self) -> Result<(), StoreError> {
            match self {
                Self::Hangs => std::future::pending().await,
                Self::Fails => Err(StoreError::NotFound),
                Self::Large => Ok(()),
            }
        }
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_holds_nobody() {
        for (store, is_healthy) in [
            (Store::Hangs, false),
            (Store::Fails, false),
            (Store::Large, true),
        ] {
            let said = format!("{store:?}");
            let state = State {
                store: Arc::new(store),
                clock: Arc::new(ManualClock::default()),
                certificate: None,
                started: UnixTime::from_secs(1),
                patience: Duration::from_millis(20),
            };
            let gauges = timeout(Duration::from_secs(20), state.read()).await;
            let gauges = gauges.expect("it gives up");
            assert_eq!(gauges.get(table::STORE_UP), Some(&0.0), "{said}");
            assert!(!gauges.contains_key(table::SPOOL_QUEUED), "{said}");
            assert!(gauges.contains_key(table::STARTED), "the rest is shown");
            assert_eq!(state.is_healthy().await, is_healthy, "{said}");
        }
    }
}
