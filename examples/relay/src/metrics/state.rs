//! What the relay holds at the moment it is asked.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use securemail_core::backend::{Census, Clock};
use securemail_core::route::valid_until;
use securemail_core::vocab::UnixTime;

use super::table;

/// Where the numbers of this moment come from.
#[derive(Debug)]
pub struct State {
    pub store: Arc<dyn Census>,
    pub clock: Arc<dyn Clock>,
    /// The relay's own certificate, DER.
    pub certificate: Option<Vec<u8>>,
    pub started: UnixTime,
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
        match self.store.census(now).await {
            Ok(census) => {
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
            Err(error) => {
                tracing::warn!(%error, "the store cannot be counted now");
                gauges.insert(table::STORE_UP, 0.0);
            }
        }
        gauges
    }

    /// Whether the store answers.
    pub async fn is_healthy(&self) -> bool {
        self.store.census(self.clock.now()).await.is_ok()
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
