//! The sender's side: the number that is missing or wrong, and the release of a locked message.

use super::log::Happened;
use super::record::Outcome;
use super::{PickupError, PickupService};
use crate::backend::KeyPurpose;
use crate::pickup::{Facts, Phase, Pickup, SenderToken, Tell, TellKind};
use crate::vocab::{PhoneNumber, VaultKey};

/// What the sender's form shows. Nothing of the message is in it, nor whether it was read.
#[derive(Clone, Debug)]
pub struct SenderView {
    /// The facts of the pickup.
    pub facts: Facts,
    /// What is to be done.
    pub step: SenderStep,
}

/// What a sender can do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SenderStep {
    /// Nothing: it is over.
    Ended,
    /// Release it, or give another number.
    Locked {
        /// The last two digits of the number.
        last_two: String,
    },
    /// Give the number.
    NumberMissing,
    /// It waits for its recipient; another number can be given.
    Waiting {
        /// The last two digits of the number.
        last_two: String,
    },
}

/// For what a number is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Remember {
    /// For every message of the organisation to this recipient.
    ForOrganisation,
    /// For this message.
    ThisMessage,
}

/// What became of a number.
#[derive(Clone, Debug)]
pub enum NumberGiven {
    /// It replaces another one.
    Changed,
    /// It is over; the number is of no use.
    Ended,
    /// It was missing; now the recipient must be told, if that was not done by an earlier call.
    LinkMade(Option<Box<Tell>>),
}

impl PickupService {
    /// What the sender's form shows.
    ///
    /// # Errors
    /// `Unknown` for any token that is not the message's own.
    pub async fn sender_view(&self, token: &SenderToken) -> Result<SenderView, PickupError> {
        let pickup = self.find_for_sender(token).await?;
        let now = self.now();
        let last_two = pickup.last_two().unwrap_or("").to_owned();
        let step = if pickup.phase() == Phase::NumberMissing && now < pickup.end_for_sender() {
            SenderStep::NumberMissing
        } else if !pickup.seems_to_wait(now) {
            SenderStep::Ended
        } else if pickup.locked().is_some() {
            SenderStep::Locked { last_two }
        } else {
            SenderStep::Waiting { last_two }
        };
        Ok(SenderView {
            facts: pickup.facts().clone(),
            step,
        })
    }

    /// The sender gives a number: the missing one, or another one.
    ///
    /// # Errors
    /// `Unknown` for any token that is not the message's own.
    pub async fn set_number(
        &self,
        token: &SenderToken,
        phone: &PhoneNumber,
        remember: Remember,
    ) -> Result<NumberGiven, PickupError> {
        let pickup = self.find_for_sender(token).await?;
        let facts = pickup.facts();
        let given = self.number_given(&facts.key(), phone).await?;
        // Only now: the form of a message that is over changes nothing for the organisation.
        let is_over = matches!(given, NumberGiven::Ended);
        if remember == Remember::ForOrganisation && !is_over {
            self.parts
                .directory
                .put_phone(&facts.tenant, &facts.recipient, phone)
                .await?;
        }
        Ok(given)
    }

    /// A number came for this message, from its sender or from the directory. If it was missing, the
    /// link is made now, and the content key is left under link secret and server share alone.
    ///
    /// # Errors
    /// Where it could not be done whole; then call it again.
    pub async fn number_given(
        &self,
        key: &VaultKey,
        phone: &PhoneNumber,
    ) -> Result<NumberGiven, PickupError> {
        let pickup = self.load(key).await?.pickup;
        let now = self.now();
        if pickup.phase() == Phase::NumberMissing && now < pickup.end_for_sender() {
            return self.first_number(key, phone).await;
        }
        if pickup.seems_to_wait(now) {
            return self.other_number(key, phone).await;
        }
        Ok(NumberGiven::Ended)
    }

    async fn first_number(
        &self,
        key: &VaultKey,
        phone: &PhoneNumber,
    ) -> Result<NumberGiven, PickupError> {
        let content_key = match self.fetch_known(key, KeyPurpose::ContentKey).await {
            Ok(content_key) => content_key,
            // Another call was faster: its number stands, and this one replaces it.
            Err(PickupError::Destroyed) if self.load(key).await?.pickup.is_waiting() => {
                return self.other_number(key, phone).await;
            }
            Err(error) => return Err(error),
        };
        let (link, wrapped) = self.make_link(key, &content_key).await?;
        let now = self.now();
        let give = |pickup: &mut Pickup| {
            if pickup.give_number(phone.clone(), link.digest(), wrapped.clone(), now) {
                Outcome::Write(true)
            } else {
                Outcome::Keep(false)
            }
        };
        let (given, pickup) = self.change(key, give).await?;
        // Only now: before, the record did not hold the wrapped key yet.
        self.erase_key(key, KeyPurpose::ContentKey).await?;
        if given {
            self.log(pickup.facts(), vec![Happened::NumberGiven(phone)], now)
                .await?;
        }
        let notice = pickup
            .untold()
            .iter()
            .find(|untold| untold.kind == TellKind::Notice);
        let tell = match notice {
            Some(untold) => self.tell(&pickup, *untold).await?,
            None => None,
        };
        Ok(NumberGiven::LinkMade(tell.map(Box::new)))
    }

    async fn other_number(
        &self,
        key: &VaultKey,
        phone: &PhoneNumber,
    ) -> Result<NumberGiven, PickupError> {
        // Here too: an earlier call may have ended before it came to that.
        self.erase_key(key, KeyPurpose::ContentKey).await?;
        let replace = |pickup: &mut Pickup| {
            if pickup.change_number(phone.clone()) {
                Outcome::Write(true)
            } else {
                Outcome::Keep(false)
            }
        };
        let (changed, pickup) = self.change(key, replace).await?;
        if changed {
            self.log(
                pickup.facts(),
                vec![Happened::NumberGiven(phone)],
                self.now(),
            )
            .await?;
        }
        Ok(if pickup.seems_to_wait(self.now()) {
            NumberGiven::Changed
        } else {
            NumberGiven::Ended
        })
    }

    /// The sender releases a locked message; the recipient needs a new code then.
    ///
    /// # Errors
    /// `Unknown` for any token that is not the message's own.
    pub async fn release(&self, token: &SenderToken) -> Result<(), PickupError> {
        let key = self.find_for_sender(token).await?.facts().key();
        let release = |pickup: &mut Pickup| {
            if pickup.release() {
                Outcome::Write(true)
            } else {
                Outcome::Keep(false)
            }
        };
        let (released, pickup) = self.change(&key, release).await?;
        if released {
            self.log(pickup.facts(), vec![Happened::Released], self.now())
                .await?;
        }
        Ok(())
    }

    /// The sender wants the notice sent again. Says whether that can be.
    ///
    /// # Errors
    /// `Unknown` for any token that is not the message's own.
    pub async fn renew_notice(&self, token: &SenderToken) -> Result<bool, PickupError> {
        let key = self.find_for_sender(token).await?.facts().key();
        let now = self.now();
        let renew = |pickup: &mut Pickup| {
            if pickup.renew_notice(now) {
                Outcome::Write(true)
            } else {
                Outcome::Keep(false)
            }
        };
        Ok(self.change(&key, renew).await?.0)
    }
}
