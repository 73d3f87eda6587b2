//! Loads, opens, changes and replaces records; fetches and makes the keys of a message.

use super::{PickupError, PickupService};
use crate::StoreError;
use crate::backend::{KeyPurpose, KeyRef, PickupRecord};
use crate::pickup::{LinkSecret, Pickup, SenderToken};
use crate::secret::Key32;
use crate::vocab::{VaultId, VaultKey};

/// Changes of one record that may get in each other's way before a caller is told to come back.
/// Fifty codes at once need four at most: each conflict means that another one was counted.
const CONFLICTS_MAX: usize = 64;

/// A record as it was read.
pub(super) struct Loaded {
    pub(super) pickup: Pickup,
    version: u64,
}

impl PickupService {
    pub(super) async fn load(&self, key: &VaultKey) -> Result<Loaded, PickupError> {
        self.read(&self.parts.pickups.load(key).await?)
    }

    pub(super) fn read(&self, record: &PickupRecord) -> Result<Loaded, PickupError> {
        let plain = self
            .records
            .open(&context(&record.key, record.version), &record.sealed_state)?;
        let pickup = serde_json::from_slice(&plain)
            .map_err(|_| StoreError::Corrupt("the state of a pickup"))?;
        Ok(Loaded {
            pickup,
            version: record.version,
        })
    }

    pub(super) fn record(
        &self,
        pickup: &Pickup,
        version: u64,
    ) -> Result<PickupRecord, PickupError> {
        let key = pickup.facts().key();
        let plain = zeroize::Zeroizing::new(
            serde_json::to_vec(pickup).map_err(|_| StoreError::Corrupt("the state of a pickup"))?,
        );
        let sealed_state =
            self.records
                .seal(&context(&key, version), &plain, &*self.parts.entropy)?;
        Ok(PickupRecord {
            key,
            version,
            due: pickup.due(),
            sealed_state,
        })
    }

    /// Applies `change` to the record as it stands, and writes it if it says `Write`.
    ///
    /// Of all that try at once one wins, and the others look again at what it left.
    pub(super) async fn change<T>(
        &self,
        key: &VaultKey,
        mut change: impl FnMut(&mut Pickup) -> Outcome<T> + Send,
    ) -> Result<(T, Pickup), PickupError> {
        for _ in 0..CONFLICTS_MAX {
            let Loaded {
                mut pickup,
                version,
            } = self.load(key).await?;
            let value = match change(&mut pickup) {
                Outcome::Keep(value) => return Ok((value, pickup)),
                Outcome::Write(value) => value,
            };
            let record = self.record(&pickup, version.saturating_add(1))?;
            match self.parts.pickups.replace(&record, version).await {
                Ok(()) => return Ok((value, pickup)),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// The pickup that a link leads to, if the link's secret is its own.
    pub(super) async fn find(&self, id: VaultId, link: &LinkSecret) -> Result<Pickup, PickupError> {
        let pickup = self.locate(id).await?;
        if pickup.has_link(&link.digest()) {
            Ok(pickup)
        } else {
            Err(PickupError::Unknown)
        }
    }

    /// The pickup that a sender's form is about, if the token is its own.
    pub(super) async fn find_for_sender(&self, token: &SenderToken) -> Result<Pickup, PickupError> {
        let pickup = self.locate(token.id).await?;
        if token.matches(pickup.sender_secret()) {
            Ok(pickup)
        } else {
            Err(PickupError::Unknown)
        }
    }

    pub(super) async fn locate(&self, id: VaultId) -> Result<Pickup, PickupError> {
        let key = self.parts.pickups.locate(id).await.map_err(unknown)?;
        let record = self.parts.pickups.load(&key).await.map_err(unknown)?;
        Ok(self.read(&record)?.pickup)
    }

    /// The key for `purpose`; made now if it was never there. A destroyed one does not come back.
    pub(super) async fn fetch_or_make(
        &self,
        key: &VaultKey,
        purpose: KeyPurpose,
    ) -> Result<Key32, PickupError> {
        let reference = KeyRef::of_message(&key.tenant, purpose, key.id);
        if let Some(known) = self.fetch(&reference).await? {
            return Ok(known);
        }
        let fresh = Key32::random(&*self.parts.entropy)?;
        let wrapped = self.parts.master.wrap(&reference, &fresh).await?;
        match self.parts.keys.put(&reference, &wrapped).await {
            Ok(()) => Ok(fresh),
            Err(StoreError::AlreadyExists) => {
                self.fetch(&reference).await?.ok_or(PickupError::Destroyed)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The key for `purpose`, which must be there.
    pub(super) async fn fetch_known(
        &self,
        key: &VaultKey,
        purpose: KeyPurpose,
    ) -> Result<Key32, PickupError> {
        let reference = KeyRef::of_message(&key.tenant, purpose, key.id);
        self.fetch(&reference).await?.ok_or(PickupError::Destroyed)
    }

    async fn fetch(&self, reference: &KeyRef) -> Result<Option<Key32>, PickupError> {
        match self.parts.keys.fetch(reference).await {
            Ok(wrapped) => Ok(Some(self.parts.master.unwrap(reference, &wrapped).await?)),
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn erase_key(
        &self,
        key: &VaultKey,
        purpose: KeyPurpose,
    ) -> Result<(), PickupError> {
        let reference = KeyRef::of_message(&key.tenant, purpose, key.id);
        Ok(self.parts.keys.erase(&reference).await?)
    }
}

/// What a change says about the record that it saw.
pub(super) enum Outcome<T> {
    /// It stays as it is.
    Keep(T),
    /// It must be written.
    Write(T),
}

/// The version is part of it: an older state of the same record does not pass for the newest.
fn context(key: &VaultKey, version: u64) -> Vec<u8> {
    let mut context = b"pickup\0".to_vec();
    context.extend_from_slice(key.tenant.as_str().as_bytes());
    context.push(0);
    context.extend_from_slice(key.id.as_bytes());
    context.extend_from_slice(&version.to_be_bytes());
    context
}

fn unknown(error: StoreError) -> PickupError {
    match error {
        StoreError::NotFound => PickupError::Unknown,
        other => other.into(),
    }
}
