//! Takes responsibility: item, deliveries, content and events in one transaction.

use rusqlite::{Connection, params};
use securemail_core::StoreError;
use securemail_core::backend::{DeliveryState, Due, ItemClass, NewDelivery, NewEvent, NewItem};
use securemail_core::vocab::{DeliveryKey, QueueId, TenantId, UnixTime};

use super::content::Body;
use super::row::{column_of, column_of_class, find, held};
use crate::audit;
use crate::db::{Class, DbResult, millis, number};
use crate::store::SqliteStore;

/// An item whose content stands where the transaction can name it.
struct Ready {
    tenant: TenantId,
    queue: QueueId,
    class: ItemClass,
    header: Vec<u8>,
    deliveries: Vec<NewDelivery>,
    events: Vec<NewEvent>,
    size: u64,
    body: Body,
}

impl SqliteStore {
    pub(super) async fn commit_item(&self, item: NewItem, now: UnixTime) -> Result<(), StoreError> {
        let body = self.place_content(&item).await?;
        let placed = body.clone();
        let ready = Ready {
            tenant: item.tenant,
            queue: item.queue,
            class: item.class,
            header: item.sealed_header,
            deliveries: item.deliveries,
            events: item.events,
            size: item.content.ciphertext().size(),
            body,
        };
        let octets = ready
            .body
            .octets_in_memory()
            .saturating_add(ready.header.len());
        // The transaction owns `ready` and with it the lock on a file, so that no sweep takes the
        // file away while the call waits, also where the caller has gone.
        let commit = move |db: &Connection| write(db, &ready, now);
        let committed = self.writer.call_sized(Class::Admit, octets, commit).await;
        match &committed {
            // Unknown whether it took effect: the next start looks whether the file is wanted.
            Ok(()) | Err(StoreError::Unavailable(_)) => {}
            Err(_) => placed.discard().await,
        }
        committed
    }
}

fn write(db: &Connection, item: &Ready, now: UnixTime) -> DbResult<()> {
    let (tenant, queue) = (item.tenant.as_str(), item.queue.as_bytes());
    let known = db
        .prepare_cached("SELECT 1 FROM items WHERE tenant = ?1 AND queue = ?2")?
        .exists(params![tenant, queue])?;
    if known {
        return Err(StoreError::AlreadyExists.into());
    }
    db.prepare_cached("INSERT INTO items VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            tenant,
            queue,
            column_of_class(item.class),
            item.header
        ])?;
    db.prepare_cached("INSERT INTO contents VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            tenant,
            queue,
            number(item.size),
            item.body.octets(),
            item.body.file()
        ])?;
    for new in &item.deliveries {
        let key = DeliveryKey {
            tenant: item.tenant.clone(),
            queue: item.queue,
            recipient: new.recipient,
        };
        write_delivery(db, &key, (item.class, new), now)?;
    }
    audit::append(db, &item.tenant, &item.events)?;
    Ok(())
}

fn write_delivery(
    db: &Connection,
    key: &DeliveryKey,
    (class, new): (ItemClass, &NewDelivery),
    now: UnixTime,
) -> DbResult<()> {
    let leased = check(db, key, new)?;
    let (leased, due) = match new.due {
        Due::At(due) => (None, Some(due)),
        Due::InFlight => (leased, leased),
        Due::WhenWoken => (None, None),
    };
    // The fence and the resubmission key of an intent stay.
    let sql = "INSERT INTO deliveries (tenant, queue, recipient, state, fence, since, leased, due,
                   resubmission, sealed_state, dot, own)
               VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
               ON CONFLICT DO UPDATE SET state = excluded.state, since = excluded.since,
                   leased = excluded.leased, due = excluded.due, dot = excluded.dot, ended = NULL,
                   resubmission = coalesce(resubmission, excluded.resubmission),
                   sealed_state = excluded.sealed_state";
    db.prepare_cached(sql)?.execute(params![
        key.tenant.as_str(),
        key.queue.as_bytes(),
        key.recipient,
        column_of(DeliveryState::Queued),
        millis(now),
        leased.map(millis),
        due.map(millis),
        new.resubmission.as_ref().map(|key| key.0.as_bytes()),
        new.sealed_state,
        new.due == Due::InFlight,
        class != ItemClass::Content,
    ])?;
    Ok(())
}

/// Whether the delivery may be written over what is there; gives until when it is leased.
fn check(db: &Connection, key: &DeliveryKey, new: &NewDelivery) -> DbResult<Option<UnixTime>> {
    let lost = Err(StoreError::LeaseLost.into());
    match &new.lease {
        Some(lease) if lease.delivery == *key => {
            let found = held(db, lease)?;
            if found.state == DeliveryState::Intended {
                Ok(found.leased)
            } else {
                lost
            }
        }
        Some(_) => lost,
        None if new.due == Due::InFlight => lost,
        None => match find(db, key)? {
            Some(found) if found.state != DeliveryState::Released => lost,
            _ => Ok(None),
        },
    }
}
