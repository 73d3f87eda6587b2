//! The chain over a tenant's log: one value at each position that covers everything before it.

use sha2::{Digest, Sha256};

use crate::backend::StoredEvent;

/// The chain value before the first event.
pub const START: [u8; 32] = [0; 32];

/// The leaf hash of a chained part (RFC 6962, section 2.1), so that a Merkle tree can be laid over it.
#[must_use]
pub fn leaf_hash(chained: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update([0])
        .chain_update(chained)
        .finalize()
        .into()
}

/// The chain value of an event: `SHA-256(1 ‖ previous ‖ leaf)`. The first one's previous is [`START`].
#[must_use]
pub fn chain(previous: &[u8; 32], leaf: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update([1])
        .chain_update(previous)
        .chain_update(leaf)
        .finalize()
        .into()
}

/// The log is not what was written: this position is missing, moved or changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the log of events is broken at position {0}")]
pub struct BrokenAt(pub u64);

/// Verifies a log event by event, from position 0 on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Verifier {
    next: u64,
    head: [u8; 32],
}

impl Verifier {
    /// Before the first event.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            next: 0,
            head: START,
        }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// Where it is not the event that was written there.
    pub fn take(&mut self, event: &StoredEvent) -> Result<(), BrokenAt> {
        let head = chain(&self.head, &leaf_hash(&event.chained));
        if event.position != self.next || event.chain != head {
            return Err(BrokenAt(self.next));
        }
        self.head = head;
        self.next = self.next.saturating_add(1);
        Ok(())
    }

    /// The chain value of the last event taken, or [`START`].
    #[must_use]
    pub const fn head(&self) -> [u8; 32] {
        self.head
    }

    /// How many events were taken.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.next
    }
}

/// Verifies a whole log; gives its last chain value.
///
/// # Errors
/// The first position that is not what was written.
pub fn verify<'a>(log: impl IntoIterator<Item = &'a StoredEvent>) -> Result<[u8; 32], BrokenAt> {
    let mut verifier = Verifier::new();
    for event in log {
        verifier.take(event)?;
    }
    Ok(verifier.head())
}
