//! Takes a message into the vault, and learns how its notice fared.

use std::sync::Arc;
use std::time::Duration;

use super::log::Happened;
use super::record::Outcome;
use super::{PickupError, PickupService};
use crate::StoreError;
use crate::backend::{KeyPurpose, NewEvent};
use crate::pickup::{
    Ending, Facts, LONGEST, LinkSecret, Phase, Pickup, SenderToken, Tell, TellKind, Told, Untold,
};
use crate::route::Summary;
use crate::seal::{self, WrappedContentKey};
use crate::secret::Key32;
use crate::vocab::{
    Address, Content, DeliveryKey, Language, PhoneNumber, Tenant, VaultId, VaultKey, sha256,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A message that goes into the vault for one recipient.
#[derive(Clone, Debug)]
pub struct Deposit {
    /// Which delivery; the same delivery is always the same pickup.
    pub delivery: DeliveryKey,
    /// Whose it is.
    pub tenant: Tenant,
    /// Who sent it.
    pub sender: Address,
    /// For whom it is.
    pub recipient: Address,
    /// The whole message as the recipient shall get it, not sealed.
    pub content: Arc<dyn Content>,
    /// Why it does not go directly, in one sentence without anything of the message.
    pub reason: String,
    /// The same for the sender: what the decision says to anybody.
    pub summary: Summary,
    /// Where codes go, if that is known.
    pub phone: Option<PhoneNumber>,
    /// The language that the recipient is written in.
    pub language: String,
    /// The language that the sender is written in.
    pub sender_language: Language,
    /// What is logged with it: the decision.
    pub events: Vec<NewEvent>,
}

/// The message is durable in the vault: its delivery can be settled as vaulted.
#[derive(Clone, Debug)]
pub struct Deposited {
    /// Its vault object.
    pub key: VaultKey,
    /// Who must be told now: the recipient, or the sender where the number is missing. `None` if that
    /// was done by an earlier call. It comes again from [`PickupService::sweep`] until
    /// [`PickupService::told`] was called.
    pub tell: Option<Tell>,
}

/// How far a deposit was when this call came to it.
enum Begun {
    /// There was nothing; this call made its keys and its record.
    Now(Pickup),
    /// An earlier call had begun.
    Before(Pickup),
}

impl PickupService {
    /// Seals the message into the vault and says who must be told. The same deposit made again gives
    /// the same result.
    ///
    /// # Errors
    /// Where it is not durable; then call it again. `Destroyed` where this delivery was in the vault
    /// and is not any more.
    pub async fn deposit(&self, deposit: Deposit) -> Result<Deposited, PickupError> {
        let key = VaultKey {
            tenant: deposit.delivery.tenant.clone(),
            id: VaultId::of(&deposit.delivery),
        };
        let begun = match self.load(&key).await {
            Ok(known) => Begun::Before(known.pickup),
            Err(PickupError::Store(StoreError::NotFound)) => self.begin(&key, &deposit).await?,
            Err(error) => return Err(error),
        };
        let pickup = match begun {
            Begun::Now(pickup) => self.seal_into_vault(&key, &pickup, deposit).await?,
            Begun::Before(pickup) if pickup.phase() == Phase::Sealing => {
                self.seal_again(&key, deposit).await?
            }
            Begun::Before(pickup) => pickup,
        };
        if pickup.phase() == Phase::Ended {
            return Err(PickupError::Destroyed);
        }
        let tell = self.first_tell(&pickup).await?;
        Ok(Deposited { key, tell })
    }

    /// Goes on with what the log says is in the vault; `None` where its end has come since.
    pub(in crate::drive) async fn resume(
        &self,
        delivery: &DeliveryKey,
    ) -> Result<Option<Deposited>, PickupError> {
        let key = VaultKey {
            tenant: delivery.tenant.clone(),
            id: VaultId::of(delivery),
        };
        let pickup = match self.load(&key).await {
            Ok(known) => known.pickup,
            Err(PickupError::Store(StoreError::NotFound)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let pickup = match pickup.phase() {
            Phase::Sealing => self.write_durable(&key).await?,
            Phase::Ended => return Ok(None),
            Phase::NumberMissing | Phase::NoticePending | Phase::Notified => pickup,
        };
        let tell = self.first_tell(&pickup).await?;
        Ok(Some(Deposited { key, tell }))
    }

    async fn first_tell(&self, pickup: &Pickup) -> Result<Option<Tell>, PickupError> {
        match pickup.untold().first() {
            Some(untold) => self.tell(pickup, *untold).await,
            None => Ok(None),
        }
    }

    /// Makes the keys and the record. Nothing of the content is stored yet.
    async fn begin(&self, key: &VaultKey, deposit: &Deposit) -> Result<Begun, PickupError> {
        let facts = self.facts(key, deposit);
        let pickup = Pickup::new(facts, Key32::random(&*self.parts.entropy)?);
        let pickup = match &deposit.phone {
            Some(phone) => {
                let content_key = Key32::random(&*self.parts.entropy)?;
                let (link, wrapped) = self.make_link(key, &content_key).await?;
                pickup.with_link(phone.clone(), link.digest(), wrapped)
            }
            None => {
                self.fetch_or_make(key, KeyPurpose::ContentKey).await?;
                pickup
            }
        };
        match self.parts.pickups.create(&self.record(&pickup, 1)?).await {
            Ok(()) => Ok(Begun::Now(pickup)),
            // Somebody else began the same deposit: go on with theirs.
            Err(StoreError::AlreadyExists) => Ok(Begun::Before(self.load(key).await?.pickup)),
            Err(error) => Err(error.into()),
        }
    }

    fn facts(&self, key: &VaultKey, deposit: &Deposit) -> Facts {
        let now = self.now();
        let tenant = &deposit.tenant;
        Facts {
            tenant: key.tenant.clone(),
            id: key.id,
            queue: deposit.delivery.queue,
            recipient_number: deposit.delivery.recipient,
            organisation: tenant.display_name.clone(),
            sender: deposit.sender.clone(),
            recipient: deposit.recipient.clone(),
            reason: deposit.reason.clone(),
            summary: Some(deposit.summary.clone()),
            language: deposit.language.clone(),
            sender_language: Some(deposit.sender_language),
            deposited: now,
            expires: now.plus(tenant.retention.min(LONGEST)),
            number_until: now.plus(self.parts.settings.number_wait),
            grace: tenant.grace.clamp(DAY, LONGEST),
            forget_link: tenant.forget_link,
        }
    }

    /// Makes link secret and server share, and wraps the content key under both.
    pub(super) async fn make_link(
        &self,
        key: &VaultKey,
        content_key: &Key32,
    ) -> Result<(LinkSecret, WrappedContentKey), PickupError> {
        let link = self.fetch_or_make(key, KeyPurpose::LinkSecret).await?;
        let share = self.fetch_or_make(key, KeyPurpose::ServerShare).await?;
        let wrapped =
            WrappedContentKey::for_link(content_key, key, &link, &share, &*self.parts.entropy)?;
        Ok((LinkSecret::new(link), wrapped))
    }

    /// Goes on with a deposit that an earlier call began. What the log says is in the vault is there, and
    /// is not said twice.
    async fn seal_again(&self, key: &VaultKey, deposit: Deposit) -> Result<Pickup, PickupError> {
        if self.is_consigned(&deposit.delivery).await? {
            return self.write_durable(key).await;
        }
        let facts = self.facts(key, &deposit);
        let again = |pickup: &mut Pickup| {
            pickup.begin_again(facts.clone());
            Outcome::Write(())
        };
        let pickup = self.change(key, again).await?.1;
        if pickup.phase() != Phase::Sealing {
            // Somebody else sealed it meanwhile.
            return Ok(pickup);
        }
        self.seal_into_vault(key, &pickup, deposit).await
    }

    /// Stores the content, logs that, and writes it into the record, in this order: who comes after a crash
    /// sees by the log whether it must go on.
    async fn seal_into_vault(
        &self,
        key: &VaultKey,
        pickup: &Pickup,
        deposit: Deposit,
    ) -> Result<Pickup, PickupError> {
        let content_key = match pickup.wrapped_key() {
            Some(wrapped) => {
                let link = self.fetch_known(key, KeyPurpose::LinkSecret).await?;
                let share = self.fetch_known(key, KeyPurpose::ServerShare).await?;
                wrapped.open_with_link(key, &link, &share)?
            }
            None => self.fetch_known(key, KeyPurpose::ContentKey).await?,
        };
        let sealed = seal::seal(
            Arc::clone(&deposit.content),
            &content_key,
            &seal::wrap::vault_context(key),
            &*self.parts.entropy,
        )?;
        let vault = &self.parts.vault;
        let digest = match vault.store(key, pickup.facts().expires, &sealed).await {
            Ok(()) => sha256(&*deposit.content).await?,
            // An object that is there already is whole (contract V2) and under the same key, which the
            // record has kept since before it was stored. Its trace may be that of an earlier attempt.
            Err(StoreError::AlreadyExists) => {
                let there = vault.open(key).await?;
                let context = seal::wrap::vault_context(key);
                sha256(&*seal::open(&there, &content_key, &context).await?).await?
            }
            Err(error) => return Err(error.into()),
        };
        let mut happened = vec![Happened::Deposited(digest)];
        if pickup.phone().is_none() {
            happened.push(Happened::NumberMissing);
        }
        self.log_deposit(pickup.facts(), deposit.events, happened)
            .await?;
        self.write_durable(key).await
    }

    async fn write_durable(&self, key: &VaultKey) -> Result<Pickup, PickupError> {
        let now = self.now();
        let durable = |pickup: &mut Pickup| {
            pickup.content_is_durable(now);
            Outcome::Write(())
        };
        Ok(self.change(key, durable).await?.1)
    }

    /// The mail of an untold fact; `None` where its link is forgotten.
    pub(super) async fn tell(
        &self,
        pickup: &Pickup,
        untold: Untold,
    ) -> Result<Option<Tell>, PickupError> {
        let facts = pickup.facts().clone();
        let key = facts.key();
        let link = match untold.kind {
            TellKind::Notice | TellKind::NoticeAgain | TellKind::Reminder => {
                match self.fetch_known(&key, KeyPurpose::LinkSecret).await {
                    Ok(link) => Some(self.pickup_link(key.id, &LinkSecret::new(link))),
                    Err(PickupError::Destroyed) => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
            TellKind::NumberMissing
            | TellKind::NumberReminder
            | TellKind::NumberWrong
            | TellKind::Locked => {
                let token = SenderToken::new(key.id, pickup.sender_secret().clone());
                Some(self.sender_link(&token))
            }
            TellKind::NoticeRefused if pickup.is_waiting() => {
                let token = SenderToken::new(key.id, pickup.sender_secret().clone());
                Some(self.sender_link(&token))
            }
            TellKind::NoticeRefused | TellKind::NumberNeverCame | TellKind::Expired => None,
        };
        Ok(Some(Tell {
            kind: untold.kind,
            serial: untold.serial,
            last_two: pickup.last_two().map(str::to_owned),
            facts,
            link,
        }))
    }

    /// The mail of a tell is committed: it does not come again.
    ///
    /// # Errors
    /// Where that could not be written down; then it comes again, with the same id.
    pub async fn told(&self, told: &Told) -> Result<(), PickupError> {
        let settle = |pickup: &mut Pickup| {
            pickup.told(told.serial);
            Outcome::Write(())
        };
        let pickup = match self.change(&told.key, settle).await {
            Ok((_, pickup)) => pickup,
            Err(PickupError::Store(StoreError::NotFound)) => return Ok(()),
            Err(error) => return Err(error),
        };
        if pickup.is_done() {
            self.parts.pickups.erase(&told.key).await?;
        }
        Ok(())
    }

    /// The recipient's server took the notice. Where the tenant wants it so, the link is forgotten now.
    ///
    /// # Errors
    /// Where that could not be written down; then call it again.
    pub async fn notice_taken(&self, key: &VaultKey) -> Result<(), PickupError> {
        let taken = |pickup: &mut Pickup| {
            pickup.notice_taken();
            Outcome::Write(())
        };
        let (_, pickup) = match self.change(key, taken).await {
            Ok(changed) => changed,
            Err(PickupError::Store(StoreError::NotFound)) => return Ok(()),
            Err(error) => return Err(error),
        };
        if pickup.facts().forget_link {
            self.erase_key(key, KeyPurpose::LinkSecret).await?;
        }
        Ok(())
    }

    /// The recipient's server refused the notice for good. The sender is told; where the link is
    /// forgotten, the message is destroyed as well.
    ///
    /// # Errors
    /// Where that could not be done whole; then call it again.
    pub async fn notice_refused(&self, key: &VaultKey) -> Result<(), PickupError> {
        let now = self.now();
        let refused = |pickup: &mut Pickup| {
            if !pickup.is_waiting() || pickup.facts().forget_link {
                return Outcome::Keep(());
            }
            pickup.notice_refused(now);
            Outcome::Write(())
        };
        let pickup = match self.change(key, refused).await {
            Ok((_, pickup)) => pickup,
            Err(PickupError::Store(StoreError::NotFound)) => return Ok(()),
            Err(error) => return Err(error),
        };
        if pickup.is_waiting() && pickup.facts().forget_link {
            return self.destroy(key, Ending::NoticeRefused).await;
        }
        Ok(())
    }

    /// The notice came back, after the recipient's server had taken it. The sender is told; where the
    /// link is forgotten, the message is destroyed as well. A bounce of what is over, or was picked up,
    /// is nobody's business any more.
    ///
    /// # Errors
    /// Where that could not be done whole; then call it again.
    pub async fn notice_bounced(&self, id: VaultId) -> Result<(), PickupError> {
        let key = match self.locate(id).await {
            Ok(pickup) => pickup.facts().key(),
            Err(PickupError::Unknown) => return Ok(()),
            Err(error) => return Err(error),
        };
        let now = self.now();
        let bounced = |pickup: &mut Pickup| {
            if pickup.notice_came_back(now) {
                Outcome::Write(true)
            } else {
                Outcome::Keep(false)
            }
        };
        let (is_new, pickup) = match self.change(&key, bounced).await {
            Ok(changed) => changed,
            Err(PickupError::Store(StoreError::NotFound)) => return Ok(()),
            Err(error) => return Err(error),
        };
        if is_new {
            self.log(pickup.facts(), vec![Happened::NoticeBounced], now)
                .await?;
        }
        if pickup.has_bounced() && pickup.facts().forget_link {
            return self.destroy(&key, Ending::NoticeRefused).await;
        }
        Ok(())
    }
}
