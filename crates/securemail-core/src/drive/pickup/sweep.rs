//! Does what is due, and destroys.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::record::Outcome;
use super::{PickupError, PickupService};
use crate::StoreError;
use crate::backend::{KeyPurpose, PickupRecord};
use crate::pickup::{Ending, Passed, Phase, Pickup, Tell};
use crate::vocab::{UnixTime, VaultKey};

/// How many at the front of a list stay there whatever the sweep does.
#[derive(Debug, Default)]
pub(super) struct Stuck(AtomicUsize);

impl Stuck {
    /// These, and `limit` behind them.
    fn and(&self, limit: usize) -> usize {
        self.0.load(Ordering::Relaxed).saturating_add(limit)
    }

    /// So many more did not go; begins again at the front where nothing is left behind them.
    fn pass(&self, more: usize, may_have_more: bool) {
        let all = self.0.load(Ordering::Relaxed).saturating_add(more);
        let next = if may_have_more && all < STUCK_MAX {
            all
        } else {
            0
        };
        self.0.store(next, Ordering::Relaxed);
    }
}

/// Whether a record stands where it stood in the order of what is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Other,
    Same,
}

/// How many are passed over; each sweep reads as many.
const STUCK_MAX: usize = 4096;

impl PickupService {
    /// Does what is due at `now`, for at most `limit` pickups: destroys what is over, reminds, and says
    /// who must be told. Commit each mail, then call [`told`](Self::told); until then it comes again.
    ///
    /// One damaged record does not stop the others, nor do many: what could not be done, or must still
    /// be told, is passed over next time, until the sweep has come round to the end.
    ///
    /// # Errors
    /// Where the stores do not answer.
    pub async fn sweep(&self, now: UnixTime, limit: usize) -> Result<Vec<Tell>, PickupError> {
        let mut tells = Vec::new();
        let asked = self.stuck_records.and(limit);
        let due = self.parts.pickups.due(now, asked).await?;
        let found = due.len();
        let mut stuck = 0;
        for record in due.iter().skip(asked.saturating_sub(limit)) {
            match self.sweep_one(record, now).await {
                Ok((more, place)) => {
                    stuck += usize::from(place == Place::Same);
                    tells.extend(more);
                }
                Err(error) => {
                    stuck += 1;
                    tracing::warn!(vault = %record.key.id, %error, "a pickup could not be swept");
                }
            }
        }
        self.stuck_records.pass(stuck, found >= asked);
        self.sweep_orphans(now, limit).await?;
        Ok(tells)
    }

    async fn sweep_orphans(&self, now: UnixTime, limit: usize) -> Result<(), PickupError> {
        let asked = self.stuck_objects.and(limit);
        let expired = self.parts.vault.expired(now, asked).await?;
        let mut stuck = 0;
        for key in expired.iter().skip(asked.saturating_sub(limit)) {
            match self.erase_orphan(key).await {
                Ok(erased) => stuck += usize::from(!erased),
                Err(error) => {
                    stuck += 1;
                    tracing::warn!(vault = %key.id, %error, "a vault object could not be erased");
                }
            }
        }
        self.stuck_objects.pass(stuck, expired.len() >= asked);
        Ok(())
    }

    async fn sweep_one(
        &self,
        record: &PickupRecord,
        now: UnixTime,
    ) -> Result<(Vec<Tell>, Place), PickupError> {
        let mut pickup = self.read(record)?.pickup;
        match pickup.pass(now) {
            Passed::Unchanged => {}
            Passed::Reminded => {
                let remind = |pickup: &mut Pickup| {
                    pickup.pass(now);
                    Outcome::Write(())
                };
                pickup = self.change(&record.key, remind).await?.1;
            }
            Passed::Over(ending) => {
                self.destroy(&record.key, ending).await?;
                match self.load(&record.key).await {
                    Ok(ended) => pickup = ended.pickup,
                    Err(PickupError::Store(StoreError::NotFound)) => {
                        return Ok((Vec::new(), Place::Other));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        // Behind the destruction, which waits for no log.
        let events = pickup.long_unlogged(now);
        let pickup = self.log_unlogged(pickup, events).await?;
        if pickup.is_done() {
            self.parts.pickups.erase(&record.key).await?;
        }
        let tells = self.tells(&pickup).await?;
        let place = if tells.is_empty() || pickup.due() != record.due {
            Place::Other
        } else {
            Place::Same
        };
        Ok((tells, place))
    }

    async fn tells(&self, pickup: &Pickup) -> Result<Vec<Tell>, PickupError> {
        let mut tells = Vec::new();
        for untold in pickup.untold() {
            let Some(tell) = self.tell(pickup, *untold).await? else {
                // Its link is forgotten: there is nothing to say any more.
                let serial = untold.serial;
                self.told(&crate::pickup::Told {
                    key: pickup.facts().key(),
                    serial,
                })
                .await?;
                continue;
            };
            tells.push(tell);
        }
        Ok(tells)
    }

    /// Destroys keys, content and record. The keys go first: without the share nothing opens the rest.
    ///
    /// Every step can be repeated, and the record goes last: what a crash left is found by it. It stays,
    /// without key, number or session in it, until its end is logged, which is at the end of retention
    /// where it was picked up, and the sender was told what they must know.
    pub(super) async fn destroy(&self, key: &VaultKey, ending: Ending) -> Result<(), PickupError> {
        self.erase_keys(key).await?;
        self.parts.vault.erase(key).await?;
        let now = self.now();
        let mut before = 0;
        let finish = |pickup: &mut Pickup| {
            before = pickup.serial();
            if pickup.phase() == Phase::Ended {
                return Outcome::Keep(());
            }
            pickup.finish(ending, now);
            Outcome::Write(())
        };
        let pickup = self.change(key, finish).await?.1;
        let events = pickup.unlogged_since(before, now);
        if self.log_unlogged(pickup, events).await?.is_done() {
            self.parts.pickups.erase(key).await?;
        }
        Ok(())
    }

    async fn erase_keys(&self, key: &VaultKey) -> Result<(), PickupError> {
        for purpose in [
            KeyPurpose::ServerShare,
            KeyPurpose::LinkSecret,
            KeyPurpose::ContentKey,
        ] {
            self.erase_key(key, purpose).await?;
        }
        Ok(())
    }

    /// A vault object past its time without a record: a restored backup brought it back. Says whether
    /// it was one.
    async fn erase_orphan(&self, key: &VaultKey) -> Result<bool, PickupError> {
        match self.parts.pickups.load(key).await {
            Err(StoreError::NotFound) => {
                self.erase_keys(key).await?;
                self.parts.vault.erase(key).await?;
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
