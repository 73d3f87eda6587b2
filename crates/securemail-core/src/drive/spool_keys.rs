//! The spool key of each day, and content sealed under it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Relay;
use super::item::ItemHeader;
use super::submission::day_of;
use crate::StoreError;
use crate::backend::{KeyError, KeyPurpose, KeyRef};
use crate::seal::{self, WrappedContentKey};
use crate::secret::Key32;
use crate::vocab::{Content, ContentError, QueueId, SealedContent, TenantId};

/// Day keys that were used lately.
#[derive(Debug, Default)]
pub(super) struct DayKeys(Mutex<BTreeMap<(u64, TenantId), Key32>>);

impl Relay {
    /// Seals content that must wait; the header returned holds its key, wrapped.
    pub(super) async fn seal_content(
        &self,
        tenant: &TenantId,
        queue: QueueId,
        content: &Arc<dyn Content>,
        header: &ItemHeader,
    ) -> Result<(SealedContent, ItemHeader), StoreError> {
        let entropy = &*self.parts.entropy;
        let day_key = self.day_key(tenant, header.day).await?;
        let content_key = Key32::random(entropy).map_err(StoreError::unavailable)?;
        let wrapped = WrappedContentKey::for_spool(&content_key, tenant, queue, &day_key, entropy)
            .map_err(StoreError::unavailable)?;
        let context = seal::wrap::spool_context(tenant, queue);
        let sealed = seal::seal(content.clone(), &content_key, &context, entropy)
            .map_err(StoreError::unavailable)?;
        let header = ItemHeader {
            wrapped_key: wrapped.octets().to_vec(),
            ..header.clone()
        };
        Ok((sealed, header))
    }

    /// The plaintext of a spooled item, read in ranges.
    pub(super) async fn open_content(
        &self,
        tenant: &TenantId,
        queue: QueueId,
        header: &ItemHeader,
    ) -> Result<Arc<dyn Content>, StoreError> {
        let day_key = self.day_key(tenant, header.day).await?;
        let content_key = WrappedContentKey::from_octets(header.wrapped_key.clone())
            .open_with_day_key(tenant, queue, &day_key)
            .map_err(|_| StoreError::Corrupt("the key of a spooled message does not open"))?;
        let sealed = self.parts.spool.content(tenant, queue).await?;
        seal::open(
            &sealed,
            &content_key,
            &seal::wrap::spool_context(tenant, queue),
        )
        .await
        .map_err(|error| match error {
            ContentError::Damaged => StoreError::Corrupt("a spooled message does not open"),
            ContentError::Unavailable(source) => StoreError::Unavailable(source),
        })
    }

    /// The spool key of a day; the first caller of the day makes it.
    async fn day_key(&self, tenant: &TenantId, day: u64) -> Result<Key32, StoreError> {
        let slot = (day, tenant.clone());
        let known = self
            .day_keys
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&slot)
            .cloned();
        if let Some(key) = known {
            return Ok(key);
        }
        let key = self.fetch_or_make_day_key(tenant, day).await?;
        let mut keys = self
            .day_keys
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while keys.len() >= DAY_KEYS_KEPT {
            keys.pop_first();
        }
        keys.insert(slot, key.clone());
        Ok(key)
    }

    /// Destroys the keys of days of which nothing can be left: older than anything the spool still holds,
    /// and than a message may wait.
    pub(super) async fn erase_old_day_keys(&self) -> Result<usize, StoreError> {
        let waits = self.now().minus(self.settings.policy.hold_for);
        let oldest = self.parts.spool.oldest().await?;
        let before = day_of(
            oldest
                .map_or(waits, |oldest| oldest.min(waits))
                .minus(DAY_KEY_MARGIN),
        );
        let old = self
            .parts
            .keys
            .before(KeyPurpose::SpoolDay, day_id(before), DAY_KEYS_KEPT)
            .await?;
        for reference in &old {
            self.parts.keys.erase(reference).await?;
        }
        let mut known = self
            .day_keys
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.retain(|(day, _), _| *day >= before);
        Ok(old.len())
    }

    async fn fetch_or_make_day_key(
        &self,
        tenant: &TenantId,
        day: u64,
    ) -> Result<Key32, StoreError> {
        let id = day_id(day);
        let reference = KeyRef {
            tenant: tenant.clone(),
            purpose: KeyPurpose::SpoolDay,
            id,
        };
        let wrapped = match self.parts.keys.fetch(&reference).await {
            Ok(wrapped) => wrapped,
            Err(StoreError::NotFound) => {
                let key = Key32::random(&*self.parts.entropy).map_err(StoreError::unavailable)?;
                let wrapped = self
                    .parts
                    .master
                    .wrap(&reference, &key)
                    .await
                    .map_err(key_error)?;
                match self.parts.keys.put(&reference, &wrapped).await {
                    Ok(()) => return Ok(key),
                    // Another node was first.
                    Err(StoreError::AlreadyExists) => self.parts.keys.fetch(&reference).await?,
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        self.parts
            .master
            .unwrap(&reference, &wrapped)
            .await
            .map_err(key_error)
    }
}

/// The name of a day's key; later days sort behind.
fn day_id(day: u64) -> [u8; 16] {
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(day.to_be_bytes()) {
        *to = from;
    }
    id
}

fn key_error(error: KeyError) -> StoreError {
    match error {
        KeyError::Mismatch => StoreError::Corrupt("a key was wrapped with another master key"),
        KeyError::NoEntropy(_) | KeyError::Unavailable(_) => StoreError::unavailable(error),
    }
}

/// A message is sealed under the key of the day on which it came, and committed a little later.
const DAY_KEY_MARGIN: Duration = Duration::from_secs(2 * 86_400);
/// Keys kept in memory: a handful of tenants over the days that a spool spans.
const DAY_KEYS_KEPT: usize = 1024;
