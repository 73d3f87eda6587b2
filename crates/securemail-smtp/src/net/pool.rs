//! Connections that rest between two messages: how many, for how long, and for whom.
//!
//! Nothing here says that a peer is whom a message is for. Whoever takes a connection proves that anew.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use securemail_core::backend::{Attempt, Connection, PeerFacts};
use securemail_core::route::{Authentication, Hop};
use securemail_core::vocab::{DnsName, TenantId, Tlsa};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::client::TlsStream;

use super::wire::Wire;
use crate::proto::client::Resting;
use crate::settings::Keeping;

/// A connection with TLS, and what it has behind it.
pub(super) struct Line {
    pub(super) wire: Wire<TlsStream<TcpStream>>,
    pub(super) address: IpAddr,
    opened: Instant,
    messages: u32,
}

impl Line {
    pub(super) fn new(wire: Wire<TlsStream<TcpStream>>, address: IpAddr) -> Self {
        Self {
            wire,
            address,
            opened: Instant::now(),
            messages: 0,
        }
    }

    /// Whether it carried a message before.
    pub(super) const fn has_served(&self) -> bool {
        self.messages > 0
    }
}

/// For which attempts a connection may serve again. The tenant is part of it, so that a fault at the
/// border of two messages stays within a tenant, and the evidence of a session is of one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Key {
    tenant: TenantId,
    host: DnsName,
    port: u16,
    sni: DnsName,
    /// A host whose records changed is met afresh, though its old certificate may still match.
    records: Option<Vec<Tlsa>>,
}

impl Key {
    /// None where the attempt wants a connection of its own.
    pub(super) fn of(attempt: &Attempt) -> Option<Self> {
        let Hop {
            // Where to connect is compared on its own; the rest is what the new proof is about.
            domain: _,
            addresses: _,
            authority: _,
            must_name_domain: _,
            host,
            port,
            sni,
            authenticate,
        } = &attempt.hop;
        let Connection::OfTenant(tenant) = &attempt.connection else {
            return None;
        };
        let records = match authenticate {
            Authentication::Dane { records, names: _ } => Some(records.clone()),
            Authentication::Pkix { name: _ } => None,
        };
        Some(Self {
            tenant: tenant.clone(),
            host: host.clone(),
            port: *port,
            sni: sni.clone(),
            records,
        })
    }
}

/// A connection at rest.
pub(super) struct Kept {
    pub(super) line: Line,
    pub(super) session: Resting,
    pub(super) facts: PeerFacts,
    key: Key,
    until: Instant,
}

/// All that rest, those that rest longest first.
pub(super) struct Pool {
    keeping: Keeping,
    quit: Duration,
    resting: Mutex<Rests>,
}

#[derive(Default)]
struct Rests {
    lines: VecDeque<Kept>,
    /// A task looks after them.
    watched: bool,
}

impl Pool {
    /// `quit` is how long a peer may take for its goodbye.
    pub(super) fn new(keeping: Keeping, quit: Duration) -> Self {
        Self {
            keeping,
            quit,
            resting: Mutex::default(),
        }
    }

    /// A connection to one of these addresses on which nothing was said meanwhile. A peer that said
    /// something unasked is left without a word.
    pub(super) fn take(&self, key: &Key, addresses: &[IpAddr]) -> Option<Kept> {
        loop {
            let mut kept = {
                let lines = &mut self.lock().lines;
                let fits = |kept: &Kept| kept.key == *key && addresses.contains(&kept.line.address);
                // The one that rested shortest, so that those that are not needed come to their end.
                let place = lines.iter().rposition(fits)?;
                lines.remove(place)?
            };
            if kept.until > Instant::now() && kept.line.wire.is_quiet() {
                return Some(kept);
            }
        }
    }

    /// Lets a connection rest after a message, or ends it. As with [`take`](Self::take), a peer that goes
    /// on talking is left.
    pub(super) fn put(
        self: &Arc<Self>,
        mut line: Line,
        session: Resting,
        facts: PeerFacts,
        key: Key,
    ) {
        let now = Instant::now();
        let keeping = self.keeping;
        line.messages = line.messages.saturating_add(1);
        let until = (now + keeping.rest).min(line.opened + keeping.age);
        if !line.wire.is_quiet() {
            return;
        }
        let is_off = keeping.per_host == 0 || keeping.total == 0;
        if is_off || line.messages >= keeping.messages || until <= now {
            return self.end([line]);
        }
        let kept = Kept {
            line,
            session,
            facts,
            key,
            until,
        };
        let mut rests = self.lock();
        let ended = rests.add(kept, keeping);
        let unwatched = !std::mem::replace(&mut rests.watched, true);
        drop(rests);
        self.end(ended.into_iter().map(|kept| kept.line));
        if unwatched {
            tokio::spawn(watch(Arc::downgrade(self)));
        }
    }

    /// Ends what has rested long enough; tells when the next one will have. `None`: nothing rests.
    fn end_rested(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut rests = self.lock();
        let (over, lines) = std::mem::take(&mut rests.lines)
            .into_iter()
            .partition(|kept| kept.until <= now);
        rests.lines = lines;
        let next = rests.lines.iter().map(|kept| kept.until).min();
        rests.watched = next.is_some();
        drop(rests);
        let over: VecDeque<Kept> = over;
        self.end(over.into_iter().map(|kept| kept.line));
        next
    }

    fn end(&self, lines: impl IntoIterator<Item = Line>) {
        for line in lines {
            tokio::spawn(line.wire.quit(self.quit));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rests> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rests {
    /// Adds one; gives back the one that has to go for it.
    fn add(&mut self, kept: Kept, keeping: Keeping) -> Option<Kept> {
        let of_key = |other: &Kept| other.key == kept.key;
        let place = if self.lines.iter().filter(|other| of_key(other)).count() >= keeping.per_host {
            self.lines.iter().position(of_key)
        } else {
            (self.lines.len() >= keeping.total).then_some(0)
        };
        let goes = place.and_then(|place| self.lines.remove(place));
        self.lines.push_back(kept);
        goes
    }
}

/// Ends connections when they have rested long enough, until none rests or the pool is gone.
async fn watch(pool: Weak<Pool>) {
    loop {
        let Some(next) = pool.upgrade().and_then(|pool| pool.end_rested()) else {
            return;
        };
        sleep_until(next).await;
    }
}
