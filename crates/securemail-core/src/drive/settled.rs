//! One reply for all recipients: it cannot be built while one of them is uncovered.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::{Committed, DsnCommitted, Earlier, HandedOver};
use crate::vocab::{EnhancedStatus, QueueId, Reply};

/// What covers one recipient. Each variant holds the witness that made it true.
#[derive(Debug)]
#[must_use]
pub enum Covered {
    /// The same submission was accepted before.
    Already(Earlier),
    /// We hold it durably: queued, in flight, or in the vault with its notice queued.
    Committed(Arc<Committed>),
    /// It was given back; the DSN is durable.
    DsnCommitted(DsnCommitted),
    /// The next server has it.
    HandedOver(HandedOver),
    /// Refused for good, and nobody has it.
    Refused(Reply),
}

/// Every recipient of an envelope is covered (promise P2).
#[derive(Debug)]
#[must_use]
pub struct Settled {
    queue: QueueId,
    covered: Vec<Covered>,
}

/// Some recipients are not covered: the sender must keep the message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0} recipients are not covered")]
pub struct Uncovered(pub usize);

impl Settled {
    /// Settles an envelope of `recipients` recipients.
    ///
    /// # Errors
    /// Where a recipient is missing from `covered`.
    pub fn of(
        queue: QueueId,
        recipients: usize,
        mut covered: BTreeMap<u16, Covered>,
    ) -> Result<Self, Uncovered> {
        let all: Vec<Covered> = (0..recipients)
            .filter_map(|index| u16::try_from(index).ok())
            .filter_map(|index| covered.remove(&index))
            .collect();
        // A 250 speaks for all: a refusal among others needs a DSN of its own.
        let refused = all
            .iter()
            .filter(|covered| matches!(covered, Covered::Refused(_)))
            .count();
        if all.len() != recipients || recipients == 0 {
            return Err(Uncovered(recipients.saturating_sub(all.len())));
        }
        if refused != 0 && refused != recipients {
            return Err(Uncovered(refused));
        }
        Ok(Self {
            queue,
            covered: all,
        })
    }

    /// The one reply: `5xx` only where all were refused, else `250`.
    #[must_use]
    pub fn reply(&self) -> Reply {
        if let Some(Covered::Refused(reply)) = self.covered.first() {
            return reply.clone();
        }
        let already = self.covered.iter().find_map(|covered| match covered {
            Covered::Already(earlier) => Some(earlier.delivery.queue),
            Covered::Committed(_)
            | Covered::DsnCommitted(_)
            | Covered::HandedOver(_)
            | Covered::Refused(_) => None,
        });
        let text = match already {
            Some(queue)
                if self
                    .covered
                    .iter()
                    .all(|c| matches!(c, Covered::Already(_))) =>
            {
                format!("already accepted as {queue}")
            }
            _ if self
                .covered
                .iter()
                .all(|c| matches!(c, Covered::HandedOver(_))) =>
            {
                format!("delivered as {}", self.queue)
            }
            _ => format!("accepted as {}", self.queue),
        };
        Reply::new(250, Some(EnhancedStatus::new(2, 0, 0)), &text)
    }

    /// What covers each recipient, in the order of the envelope.
    pub fn covered(&self) -> &[Covered] {
        &self.covered
    }
}

/// The reply where a recipient stays uncovered: the sender keeps the message and tries again.
#[must_use]
pub(super) fn keep_it(reason: &str) -> Reply {
    Reply::new(451, Some(EnhancedStatus::new(4, 3, 0)), reason)
}
