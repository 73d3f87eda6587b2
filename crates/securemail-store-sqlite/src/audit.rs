//! The log of events.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use securemail_core::StoreError;
use securemail_core::backend::{AuditSink, EventPage, NewEvent, StoredEvent};
use securemail_core::ledger::chain::START;
use securemail_core::ledger::{chain, leaf_hash};
use securemail_core::vocab::{KeyedHash, QueueId, TenantId, UnixTime};

use crate::db::{Class, DbResult, fence_of, millis, moment, number};
use crate::store::SqliteStore;

/// How many events lose their personal part in one transaction: others must get their turn.
const ERASE_STEP: u64 = 1000;

/// Appends events within the transaction of `db`; returns the position of the first.
pub(crate) fn append(db: &Connection, tenant: &TenantId, events: &[NewEvent]) -> DbResult<u64> {
    let (first, mut last) = head(db, tenant)?;
    if events.is_empty() {
        return Ok(first);
    }
    let mut add = db.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let mut index = db.prepare_cached("INSERT OR IGNORE INTO event_index VALUES (?1, ?2, ?3)")?;
    let mut position = first;
    for event in events {
        last = chain(&last, &leaf_hash(&event.chained));
        add.execute(params![
            tenant.as_str(),
            number(position),
            millis(event.time),
            event.queue.as_bytes(),
            event.chained,
            event.personal,
            last,
        ])?;
        for hash in &event.index {
            index.execute(params![tenant.as_str(), hash.as_bytes(), number(position)])?;
        }
        position = position.saturating_add(1);
    }
    let sql = "INSERT INTO logs VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET size = excluded.size, chain = excluded.chain";
    db.prepare_cached(sql)?
        .execute(params![tenant.as_str(), number(position), last])?;
    Ok(first)
}

/// How many events the log has, and its last chain value.
fn head(db: &Connection, tenant: &TenantId) -> DbResult<(u64, [u8; 32])> {
    let found = db
        .prepare_cached("SELECT size, chain FROM logs WHERE tenant = ?1")?
        .query_row([tenant.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((size, last)) = found else {
        return Ok((0, START));
    };
    Ok((fence_of(size)?, last))
}

const COLUMNS: &str = "e.position, e.time, e.queue, e.chained, e.personal, e.chain";

fn event(row: &Row<'_>) -> DbResult<StoredEvent> {
    Ok(StoredEvent {
        position: fence_of(row.get(0)?)?,
        time: moment(row.get(1)?)?,
        queue: QueueId::from_bytes(row.get(2)?),
        chained: row.get(3)?,
        personal: row.get(4)?,
        chain: row.get(5)?,
    })
}

fn select(
    db: &Connection,
    condition: &str,
    values: impl rusqlite::Params,
) -> DbResult<Vec<StoredEvent>> {
    let mut found = db.prepare_cached(&format!("SELECT {COLUMNS} FROM {condition}"))?;
    let mut rows = found.query(values)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(event(row)?);
    }
    Ok(events)
}

#[async_trait]
impl AuditSink for SqliteStore {
    async fn append(&self, tenant: &TenantId, events: Vec<NewEvent>) -> Result<u64, StoreError> {
        let tenant = tenant.clone();
        self.writer
            .call(Class::Admit, move |db| append(db, &tenant, &events))
            .await
    }

    async fn page(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        let tenant = tenant.clone();
        self.readers
            .call(move |db| {
                let condition =
                    "events e WHERE tenant = ?1 AND position >= ?2 ORDER BY position LIMIT ?3";
                let limit = number(limit as u64);
                let events = select(db, condition, params![tenant.as_str(), number(from), limit])?;
                let (size, _) = head(db, &tenant)?;
                Ok(EventPage { events, size })
            })
            .await
    }

    async fn of_message(
        &self,
        tenant: &TenantId,
        queue: QueueId,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let tenant = tenant.clone();
        self.readers
            .call(move |db| {
                let condition = "events e WHERE tenant = ?1 AND queue = ?2 ORDER BY position";
                select(db, condition, params![tenant.as_str(), queue.as_bytes()])
            })
            .await
    }

    async fn find(
        &self,
        tenant: &TenantId,
        index: KeyedHash,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let tenant = tenant.clone();
        self.readers
            .call(move |db| {
                let condition = "event_index i JOIN events e USING (tenant, position)
                    WHERE i.tenant = ?1 AND i.hash = ?2 ORDER BY i.position DESC LIMIT ?3";
                let limit = number(limit as u64);
                select(
                    db,
                    condition,
                    params![tenant.as_str(), index.as_bytes(), limit],
                )
            })
            .await
    }

    async fn erase_personal(
        &self,
        tenant: &TenantId,
        before: UnixTime,
    ) -> Result<usize, StoreError> {
        let mut erased: usize = 0;
        loop {
            let tenant = tenant.clone();
            let step = self.writer.call(Class::Settle, move |db| {
                let sql = "UPDATE events SET personal = NULL WHERE rowid IN (
                    SELECT rowid FROM events
                    WHERE tenant = ?1 AND time < ?2 AND personal IS NOT NULL LIMIT ?3)";
                let mut erase = db.prepare_cached(sql)?;
                Ok(erase.execute(params![tenant.as_str(), millis(before), number(ERASE_STEP)])?)
            });
            match step.await? {
                0 => return Ok(erased),
                count => erased = erased.saturating_add(count),
            }
        }
    }
}
