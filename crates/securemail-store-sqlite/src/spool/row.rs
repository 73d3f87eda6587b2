//! One delivery as a row.

use rusqlite::{Connection, params};
use securemail_core::StoreError;
use securemail_core::backend::{DeliveryState, Earlier, ItemClass, Lease};
use securemail_core::vocab::{DeliveryKey, QueueId, UnixTime};

use crate::db::{DbResult, fence_of, moment_of, number};

/// What decides about a delivery. Its sealed state is read only where it is given out.
pub(super) struct Found {
    pub(super) state: DeliveryState,
    pub(super) fence: u64,
    pub(super) leased: Option<UnixTime>,
    pub(super) woken: Option<UnixTime>,
    /// The first delivery of its submission, where attempts were lost.
    pub(super) first: Option<DeliveryKey>,
}

impl Found {
    /// Intended, and its lease ended without a result.
    pub(super) fn ran_out(&self, now: UnixTime) -> bool {
        self.state == DeliveryState::Intended && self.leased.is_none_or(|until| until <= now)
    }

    /// The first delivery of its submission; `key` is its own.
    pub(super) fn first_of(&self, key: &DeliveryKey) -> DeliveryKey {
        self.first.as_ref().unwrap_or(key).clone()
    }

    pub(super) fn earlier(&self, delivery: DeliveryKey) -> Earlier {
        let state = self.state;
        Earlier { delivery, state }
    }
}

/// The delivery, if it is known.
pub(super) fn find(db: &Connection, key: &DeliveryKey) -> DbResult<Option<Found>> {
    let sql = "SELECT state, fence, leased, woken, first_queue, first_recipient FROM deliveries
               WHERE tenant = ?1 AND queue = ?2 AND recipient = ?3";
    let mut found = db.prepare_cached(sql)?;
    let mut rows = found.query(params![
        key.tenant.as_str(),
        key.queue.as_bytes(),
        key.recipient
    ])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let first: (Option<[u8; 16]>, Option<u16>) = (row.get(4)?, row.get(5)?);
    Ok(Some(Found {
        first: first.0.zip(first.1).map(|(queue, recipient)| DeliveryKey {
            tenant: key.tenant.clone(),
            queue: QueueId::from_bytes(queue),
            recipient,
        }),
        state: state_of(row.get(0)?)?,
        fence: fence_of(row.get(1)?)?,
        leased: moment_of(row.get(2)?)?,
        woken: moment_of(row.get(3)?)?,
    }))
}

/// The delivery, if `lease` is its newest and is not settled.
pub(super) fn held(db: &Connection, lease: &Lease) -> DbResult<Found> {
    let found = find(db, &lease.delivery)?;
    let held = found.filter(|found| found.fence == lease.fence && found.leased.is_some());
    held.ok_or_else(|| StoreError::LeaseLost.into())
}

/// Ends a delivery: nothing of it stays but how it ended.
pub(super) fn end(
    db: &Connection,
    key: &DeliveryKey,
    state: DeliveryState,
    now: UnixTime,
) -> DbResult<()> {
    let sql = "UPDATE deliveries SET state = ?4, ended = ?5, leased = NULL, dot = 0, due = NULL,
                   woken = NULL, sealed_state = x''
               WHERE tenant = ?1 AND queue = ?2 AND recipient = ?3";
    db.prepare_cached(sql)?.execute(params![
        key.tenant.as_str(),
        key.queue.as_bytes(),
        key.recipient,
        column_of(state),
        number(now.as_millis())
    ])?;
    Ok(())
}

/// A state as the column holds it. An index of the schema names `Intended`.
pub(super) const fn column_of(state: DeliveryState) -> i64 {
    match state {
        DeliveryState::Intended => 1,
        DeliveryState::Queued => 2,
        DeliveryState::Sent => 3,
        DeliveryState::Bounced => 4,
        DeliveryState::Released => 5,
        DeliveryState::Vaulted => 6,
    }
}

pub(super) fn state_of(column: i64) -> Result<DeliveryState, StoreError> {
    Ok(match column {
        1 => DeliveryState::Intended,
        2 => DeliveryState::Queued,
        3 => DeliveryState::Sent,
        4 => DeliveryState::Bounced,
        5 => DeliveryState::Released,
        6 => DeliveryState::Vaulted,
        _ => return Err(StoreError::Corrupt("the state of a delivery")),
    })
}

/// When the oldest delivery that is still queued was committed.
pub(super) fn oldest(db: &Connection) -> DbResult<Option<UnixTime>> {
    let sql = "SELECT MIN(since) FROM deliveries WHERE state = 2";
    let since = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(moment_of(since)?)
}

pub(super) const fn column_of_class(class: ItemClass) -> i64 {
    match class {
        ItemClass::Content => 1,
        ItemClass::Notice => 2,
        ItemClass::SenderMail => 3,
        ItemClass::TlsReport => 4,
    }
}

pub(super) fn class_of(column: i64) -> Result<ItemClass, StoreError> {
    Ok(match column {
        1 => ItemClass::Content,
        2 => ItemClass::Notice,
        3 => ItemClass::SenderMail,
        4 => ItemClass::TlsReport,
        _ => return Err(StoreError::Corrupt("the class of an item")),
    })
}
