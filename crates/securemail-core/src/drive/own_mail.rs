//! Commits our own, content-free mail to the spool.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Relay;
use super::item::{DeliveryRecord, ItemHeader};
use super::submission::day_of;
use super::wished::Wished;
use crate::StoreError;
use crate::backend::{Committed, Due, ItemClass, NewDelivery, NewEvent, NewItem};
use crate::mail::ContentFree;
use crate::vocab::{
    Address, Content, DeliveryKey, Demands, MemoryContent, QueueId, RequireTls, ReversePath,
    VaultId,
};

/// A mail of ours, ready to be queued.
#[derive(Debug)]
pub(super) struct OwnMail {
    /// Notice or sender mail.
    pub class: ItemClass,
    /// Its id: the same for the same news, so that a repeat meets its own result.
    pub queue: QueueId,
    /// The delivery that it is about.
    pub about: DeliveryKey,
    /// For a notice: the vault object that it speaks of.
    pub vault: Option<VaultId>,
    /// That it arrived is no event.
    pub arrives_quietly: bool,
    /// Where its failures go.
    pub reverse_path: ReversePath,
    /// For whom.
    pub to: Address,
    /// The mail.
    pub mail: ContentFree,
    /// The same news without detail, for a way that is not proved.
    pub bland: Option<ContentFree>,
    /// Whether hosts are asked for REQUIRETLS; never so that it would be lost.
    pub require_tls: RequireTls,
    /// Events to be logged with it.
    pub events: Vec<NewEvent>,
}

impl Relay {
    /// Makes `own` durable. A repeat finds it there already, which is as good.
    pub(super) async fn commit_own(&self, own: OwnMail) -> Result<Committed, StoreError> {
        let now = self.now();
        let tenant = own.about.tenant.clone();
        let content: Arc<dyn Content> = Arc::new(MemoryContent::new(own.mail.octets().clone()));
        let header = ItemHeader {
            account: None,
            author: None,
            reverse_path: own.reverse_path,
            accepted: now,
            size: content.size(),
            wrapped_key: Vec::new(),
            day: day_of(now),
            message_id: None,
            wished: Wished::default(),
            about: Some(own.about),
            vault: own.vault,
            arrives_quietly: own.arrives_quietly,
            bland: own.bland.map(|bland| bland.octets().to_vec()),
            demands: Demands {
                smtp_utf8: !own.mail.octets().is_ascii(),
                require_tls: own.require_tls,
            },
        };
        let (content, header) = self
            .seal_content(&tenant, own.queue, &content, &header)
            .await?;
        let delivery = NewDelivery {
            recipient: 0,
            lease: None,
            resubmission: None,
            due: Due::At(now),
            sealed_state: self.seal_record(&tenant, own.queue, &DeliveryRecord::new(own.to))?,
        };
        let item = NewItem {
            sealed_header: self.seal_record(&tenant, own.queue, &header)?,
            tenant,
            queue: own.queue,
            class: own.class,
            content,
            deliveries: vec![delivery],
            events: own.events,
        };
        match self.parts.spool.commit(item, now).await {
            // Contract S9: the item is there, hence durable.
            Err(StoreError::AlreadyExists) => Ok(Committed::assertion(own.queue)),
            other => other,
        }
    }
}

/// The id of the mail of this `kind` about `delivery`: always the same.
pub(super) fn own_queue(kind: &str, delivery: &DeliveryKey) -> QueueId {
    let hash = Sha256::new()
        .chain_update(b"securemail/v1/own-mail\0")
        .chain_update(kind)
        .chain_update([0])
        .chain_update(delivery.tenant.as_str())
        .chain_update([0])
        .chain_update(delivery.queue.as_bytes())
        .chain_update(delivery.recipient.to_be_bytes());
    id_of(hash)
}

/// The id that a digest gives.
pub(super) fn id_of(hash: Sha256) -> QueueId {
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    QueueId::from_bytes(id)
}
