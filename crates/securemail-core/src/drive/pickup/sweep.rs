//! Does what is due, and destroys.

use super::log::Happened;
use super::record::Outcome;
use super::{PickupError, PickupService};
use crate::StoreError;
use crate::backend::{KeyPurpose, PickupRecord};
use crate::pickup::{Ending, Passed, Phase, Pickup, Tell};
use crate::vocab::{UnixTime, VaultKey};

impl PickupService {
    /// Does what is due at `now`, for at most `limit` pickups: destroys what is over, reminds, and says
    /// who must be told. Commit each mail, then call [`told`](Self::told); until then it comes again.
    ///
    /// One damaged record does not stop the others.
    ///
    /// # Errors
    /// Where the stores do not answer.
    pub async fn sweep(&self, now: UnixTime, limit: usize) -> Result<Vec<Tell>, PickupError> {
        let mut tells = Vec::new();
        for record in self.parts.pickups.due(now, limit).await? {
            match self.sweep_one(&record, now).await {
                Ok(more) => tells.extend(more),
                Err(error) => {
                    tracing::warn!(vault = %record.key.id, %error, "a pickup could not be swept");
                }
            }
        }
        for key in self.parts.vault.expired(now, limit).await? {
            self.erase_orphan(&key).await?;
        }
        Ok(tells)
    }

    async fn sweep_one(
        &self,
        record: &PickupRecord,
        now: UnixTime,
    ) -> Result<Vec<Tell>, PickupError> {
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
                    Err(PickupError::Store(StoreError::NotFound)) => return Ok(Vec::new()),
                    Err(error) => return Err(error),
                }
            }
        }
        if pickup.phase() == Phase::Ended && pickup.untold().is_empty() {
            self.parts.pickups.erase(&record.key).await?;
        }
        self.tells(&pickup).await
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
    /// Every step can be repeated, and the record goes last: what a crash left is found by it. The
    /// sender is told what they must know; then the record stays until that was committed, without
    /// key, number or session in it.
    pub(super) async fn destroy(&self, key: &VaultKey, ending: Ending) -> Result<(), PickupError> {
        self.erase_keys(key).await?;
        self.parts.vault.erase(key).await?;
        let now = self.now();
        let finish = |pickup: &mut Pickup| {
            if pickup.phase() == Phase::Ended {
                return Outcome::Keep(!pickup.untold().is_empty());
            }
            let stays = pickup.finish(ending, now);
            Outcome::Write(stays)
        };
        let (stays, pickup) = self.change(key, finish).await?;
        self.log(pickup.facts(), vec![Happened::Destroyed(ending)], now)
            .await?;
        if !stays {
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

    /// A vault object past its time without a record: a restored backup brought it back.
    async fn erase_orphan(&self, key: &VaultKey) -> Result<(), PickupError> {
        match self.parts.pickups.load(key).await {
            Err(StoreError::NotFound) => {
                self.erase_keys(key).await?;
                Ok(self.parts.vault.erase(key).await?)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
