//! How many connections at once, in all and from one address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use securemail_core::backend::AddressPrefix;

/// Counts connections, of whatever protocol.
#[derive(Debug)]
pub struct Connections {
    most: usize,
    most_per_address: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: BTreeMap<AddressPrefix, usize>,
}

/// One counted connection; it counts until this is dropped.
#[derive(Debug)]
pub struct Counted {
    connections: Arc<Connections>,
    prefix: AddressPrefix,
}

impl Connections {
    /// At most so many, and at most so many from one address (IPv4 /32, IPv6 /64).
    #[must_use]
    pub fn new(most: usize, most_per_address: usize) -> Self {
        Self {
            most,
            most_per_address,
            open: Mutex::default(),
        }
    }

    /// Counts a connection from `address`; `None` where that would be one too many.
    #[must_use]
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let prefix = AddressPrefix::of(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = open.by_address.get(&prefix).copied().unwrap_or(0);
        if open.total >= self.most || of_address >= self.most_per_address {
            return None;
        }
        open.total = open.total.saturating_add(1);
        open.by_address.insert(prefix, of_address.saturating_add(1));
        Some(Counted {
            connections: Arc::clone(self),
            prefix,
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self
            .connections
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        let left = open
            .by_address
            .get(&self.prefix)
            .map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            open.by_address.remove(&self.prefix);
        } else {
            open.by_address.insert(self.prefix, left);
        }
    }
}
