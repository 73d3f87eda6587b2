//! Who announces CHUNKING and does not know it, so that each is asked once a day and not in each session.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use securemail_core::limits::CHUNKLESS_HOSTS_MAX;
use securemail_core::vocab::UnixTime;

/// How long a host is left alone: it may be mended.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Hosts to which content goes by DATA though they offer chunks.
///
/// In memory and per process: it spares a connection and decides nothing, so another process need not know.
#[derive(Debug, Default)]
pub(super) struct Chunkless(Mutex<BTreeMap<SocketAddr, UnixTime>>);

impl Chunkless {
    /// This host did not know what a chunk is.
    pub(super) fn add(&self, host: SocketAddr, now: UnixTime) {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|_, until| *until > now);
        if until.len() < CHUNKLESS_HOSTS_MAX {
            until.insert(host, now.plus(REMEMBERED));
        }
    }

    /// Whether it did not within the last day.
    pub(super) fn has(&self, host: SocketAddr, now: UnixTime) -> bool {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(&host).is_some_and(|until| *until > now)
    }
}
