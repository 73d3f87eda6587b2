//! What happened to a pickup, as events of the tenant's log.
//!
//! For ordinary mail nobody learns when or where it was opened (P7): no event says that a link was
//! followed, a code was right, or a message was read.

use super::{PickupError, PickupParts, PickupService};
use crate::backend::{KeyError, NewEvent};
use crate::pickup::{Ending, Facts};
use crate::vocab::UnixTime;

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Happened {
    Deposited,
    Destroyed(Ending),
    Locked,
    NumberDoubted,
    NumberGiven,
    Released,
}

impl Happened {
    const fn name(self) -> &'static str {
        match self {
            Self::Deposited => "vault.deposited",
            // Not why: "grace over" would say that it was read, and when.
            Self::Destroyed(Ending::GraceOver | Ending::RecipientsWish) => "vault.destroyed",
            Self::Destroyed(Ending::Abandoned) => "vault.abandoned",
            Self::Destroyed(Ending::Expired) => "vault.expired",
            Self::Destroyed(Ending::NoticeRefused) => "vault.notice-refused",
            Self::Destroyed(Ending::NumberNeverCame) => "vault.number-never-came",
            Self::Locked => "pickup.locked",
            Self::NumberDoubted => "pickup.number-doubted",
            Self::NumberGiven => "pickup.number-given",
            Self::Released => "pickup.released",
        }
    }
}

/// Makes events.
#[derive(Debug)]
pub(super) struct Log;

impl Log {
    #[expect(
        clippy::unused_async,
        reason = "the events of the ledger need a derived key"
    )]
    pub(super) async fn new(_parts: &PickupParts) -> Result<Self, KeyError> {
        Ok(Self)
    }

    fn event(&self, facts: &Facts, happened: Happened, now: UnixTime) -> NewEvent {
        NewEvent {
            time: now,
            queue: facts.queue,
            chained: format!("{} {} {}", happened.name(), facts.queue, now.as_millis())
                .into_bytes(),
            personal: Vec::new(),
            index: Vec::new(),
        }
    }
}

impl PickupService {
    pub(super) async fn log(
        &self,
        facts: &Facts,
        happened: Happened,
        now: UnixTime,
    ) -> Result<(), PickupError> {
        let event = self.ledger.event(facts, happened, now);
        self.parts.audit.append(&facts.tenant, vec![event]).await?;
        Ok(())
    }
}
