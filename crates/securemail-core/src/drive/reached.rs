//! Ends that stand in the tenant's log: who came to one and did not live to settle it does not decide anew.

use crate::StoreError;
use crate::backend::AuditSink;
use crate::ledger::{EventName, Log};
use crate::mail::Reference;
use crate::vocab::{DeliveryKey, VaultId};

/// An end of a delivery from which there is no way back, whether it is settled or not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reached {
    /// A DSN about it is durable.
    GivenBack,
    /// The vault has it.
    Vaulted,
}

/// The end that the log holds of `delivery`.
///
/// A DSN is committed together with its entry, and the vault's entry is written between the content and the
/// first word to anybody. So what stands here was done, and of what does not nobody was told.
pub(super) async fn reached(
    audit: &dyn AuditSink,
    log: &Log,
    delivery: &DeliveryKey,
) -> Result<Option<Reached>, StoreError> {
    let reference = Reference::of_vault(VaultId::of(delivery)).to_string();
    let index = log.by_reference(&reference);
    let found = audit.find(&delivery.tenant, index, FOUND_MAX).await?;
    // A reference is short; another message may have the same.
    let own = found.iter().filter(|event| event.queue == delivery.queue);
    let own = own.filter_map(|event| log.read(event).ok());
    let mut own = own.filter(|event| event.recipient == Some(delivery.recipient));
    Ok(own.find_map(|event| end_of(event.name)))
}

fn end_of(name: EventName) -> Option<Reached> {
    if name == EventName::ContentConsignment {
        Some(Reached::Vaulted)
    } else if name == EventName::RelayToNonErdsFailure {
        Some(Reached::GivenBack)
    } else {
        None
    }
}

/// One delivery has a handful of events with its reference.
const FOUND_MAX: usize = 64;
