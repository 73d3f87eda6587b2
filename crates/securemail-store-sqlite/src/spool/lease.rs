//! Gives out what is due, and writes down how it ended.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use securemail_core::StoreError;
use securemail_core::backend::{DeliveryState, Due, DueMail, Lease, Leased, Settlement};
use securemail_core::vocab::{DeliveryKey, QueueId, UnixTime};

use super::row::{Found, class_of, column_of, end, find, held};
use crate::db::{DbResult, fence_of, millis, name_of, number};

/// Leases what is due to `holder`, the longest due first. A row that cannot be read keeps nobody from the others: it is
/// put off for as long as a lease, and named in the log each time.
pub(super) fn lease_due(
    db: &Connection,
    (which, now): (DueMail, UnixTime),
    (until, holder): (UnixTime, i64),
    limit: usize,
) -> DbResult<Vec<Leased>> {
    let (due, damaged) = read_due(db, (which, now), limit)?;
    put_off(db, &damaged, until)?;
    let sql = "UPDATE deliveries SET fence = ?4, leased = ?5, due = ?5, holder = ?6
               WHERE tenant = ?1 AND queue = ?2 AND recipient = ?3";
    let mut write = db.prepare_cached(sql)?;
    for leased in &due {
        let Lease { delivery, fence } = &leased.lease;
        write.execute(params![
            delivery.tenant.as_str(),
            delivery.queue.as_bytes(),
            delivery.recipient,
            number(*fence),
            millis(until),
            holder
        ])?;
    }
    Ok(due)
}

/// What is due, with the fence that its lease will have; and the ids of rows that cannot be read.
fn read_due(
    db: &Connection,
    (which, now): (DueMail, UnixTime),
    limit: usize,
) -> DbResult<(Vec<Leased>, Vec<i64>)> {
    let (by, only) = match which {
        DueMail::All => ("", ""),
        DueMail::Own => ("INDEXED BY deliveries_due_own", "AND d.own = 1"),
    };
    let sql = format!(
        "SELECT d.tenant, d.queue, d.recipient, d.fence, d.dot, d.sealed_state,
                i.class, i.sealed_header, d.rowid
         FROM deliveries d {by} LEFT JOIN items i USING (tenant, queue)
         WHERE d.due <= ?1 {only} ORDER BY d.due LIMIT ?2"
    );
    let mut found = db.prepare_cached(&sql)?;
    let mut rows = found.query(params![millis(now), number(limit as u64)])?;
    let (mut due, mut damaged) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        match leased_of(row) {
            Ok(leased) => due.push(leased),
            Err(_) => damaged.push(row.get(8)?),
        }
    }
    Ok((due, damaged))
}

/// Errors are of values alone: they do not have the form that was written.
fn leased_of(row: &Row<'_>) -> DbResult<Leased> {
    let delivery = DeliveryKey {
        tenant: name_of(&row.get::<_, String>(0)?)?,
        queue: QueueId::from_bytes(row.get(1)?),
        recipient: row.get(2)?,
    };
    let fence = fence_of(row.get(3)?)?.saturating_add(1);
    Ok(Leased {
        lease: Lease { delivery, fence },
        unsettled: row.get(4)?,
        sealed_state: row.get(5)?,
        class: class_of(row.get(6)?)?,
        sealed_header: row.get(7)?,
    })
}

/// Nothing else of these rows is changed: once repaired they are given out like others.
fn put_off(db: &Connection, damaged: &[i64], until: UnixTime) -> DbResult<()> {
    for rowid in damaged {
        tracing::error!(
            rowid,
            "a delivery in the spool is damaged and waits; restore its row from a backup"
        );
        db.prepare_cached("UPDATE deliveries SET due = ?2 WHERE rowid = ?1")?
            .execute(params![rowid, millis(until)])?;
    }
    Ok(())
}

/// Writes down that a final dot may leave under this lease.
pub(super) fn open_dot(db: &Connection, lease: &Lease) -> DbResult<()> {
    held(db, lease)?;
    let key = &lease.delivery;
    let sql = "UPDATE deliveries SET dot = 1 WHERE tenant = ?1 AND queue = ?2 AND recipient = ?3";
    db.prepare_cached(sql)?.execute(params![
        key.tenant.as_str(),
        key.queue.as_bytes(),
        key.recipient
    ])?;
    Ok(())
}

pub(super) fn renew(db: &Connection, lease: &Lease, until: UnixTime) -> DbResult<()> {
    let found = held(db, lease)?;
    let due = (found.state == DeliveryState::Queued).then_some(until);
    update(
        db,
        &lease.delivery,
        "leased = ?4, due = ?5",
        (Some(until), due),
    )
}

pub(super) fn wake(db: &Connection, key: &DeliveryKey, due: UnixTime) -> DbResult<()> {
    let found = find(db, key)?.filter(|found| found.state == DeliveryState::Queued);
    match found.ok_or(StoreError::NotFound)?.leased {
        // While an attempt runs it is kept for the moment when that is settled.
        Some(_) => update(
            db,
            key,
            "woken = ?4, due = coalesce(?5, due)",
            (Some(due), None),
        ),
        None => update(db, key, "woken = ?4, due = ?5", (None, Some(due))),
    }
}

fn update(
    db: &Connection,
    key: &DeliveryKey,
    columns: &str,
    (first, second): (Option<UnixTime>, Option<UnixTime>),
) -> DbResult<()> {
    let sql = format!(
        "UPDATE deliveries SET {columns} WHERE tenant = ?1 AND queue = ?2 AND recipient = ?3"
    );
    db.prepare_cached(&sql)?.execute(params![
        key.tenant.as_str(),
        key.queue.as_bytes(),
        key.recipient,
        first.map(millis),
        second.map(millis)
    ])?;
    Ok(())
}

/// Writes down how an attempt ended; gives the file of content that is of no use any more.
pub(super) fn settle(
    db: &Connection,
    lease: &Lease,
    settlement: &Settlement,
    now: UnixTime,
) -> DbResult<Option<String>> {
    let found = held(db, lease)?;
    let key = &lease.delivery;
    let ended = match settlement {
        Settlement::Deferred { due, sealed_state } => {
            defer(db, key, &found, (*due, sealed_state))?;
            return Ok(None);
        }
        Settlement::Bounced => DeliveryState::Bounced,
        Settlement::Released => DeliveryState::Released,
        Settlement::Sent => DeliveryState::Sent,
        Settlement::Vaulted => DeliveryState::Vaulted,
    };
    end(db, key, ended, now)?;
    erase_if_done(db, key)
}

fn defer(
    db: &Connection,
    key: &DeliveryKey,
    found: &Found,
    (due, sealed_state): (Due, &[u8]),
) -> DbResult<()> {
    if found.state != DeliveryState::Queued {
        return Err(StoreError::NotFound.into());
    }
    let sql = "UPDATE deliveries SET sealed_state = ?4
               WHERE tenant = ?1 AND queue = ?2 AND recipient = ?3";
    db.prepare_cached(sql)?.execute(params![
        key.tenant.as_str(),
        key.queue.as_bytes(),
        key.recipient,
        sealed_state
    ])?;
    let planned = match due {
        Due::At(due) => Some(due),
        Due::InFlight => return Ok(()),
        Due::WhenWoken => None,
    };
    // A wake that came while the attempt ran is not lost.
    let due = planned.into_iter().chain(found.woken).min();
    let columns = "leased = NULL, dot = 0, woken = ?4, due = ?5";
    update(db, key, columns, (None, due))
}

/// Erases content and header of an item of which nothing is left to deliver.
fn erase_if_done(db: &Connection, key: &DeliveryKey) -> DbResult<Option<String>> {
    let item = params![key.tenant.as_str(), key.queue.as_bytes()];
    let sql = "SELECT 1 FROM deliveries WHERE tenant = ?1 AND queue = ?2 AND state = 2";
    if db.prepare_cached(sql)?.exists(item)? {
        return Ok(None);
    }
    let sql = "DELETE FROM contents WHERE tenant = ?1 AND queue = ?2 RETURNING file";
    let file = db
        .prepare_cached(sql)?
        .query_row(item, |row| row.get(0))
        .optional()?;
    let sql = "UPDATE items SET sealed_header = x'' WHERE tenant = ?1 AND queue = ?2";
    db.prepare_cached(sql)?.execute(item)?;
    Ok(file.flatten())
}

/// Forgets deliveries that ended, and intents that were abandoned, before ?1, at most ?2; then items
/// without deliveries.
pub(super) fn forget(db: &Connection, values: impl Params) -> rusqlite::Result<usize> {
    // Kept as one statement: what is forgotten is what is counted.
    let sql = "DELETE FROM deliveries WHERE rowid IN (
                   SELECT rowid FROM deliveries WHERE ended < ?1
                   UNION ALL
                   SELECT rowid FROM deliveries WHERE state = 1 AND leased < ?1
                   LIMIT ?2)
               RETURNING tenant, queue";
    let mut forget = db.prepare_cached(sql)?;
    let gone = forget
        .query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(String, Vec<u8>)>>>()?;
    let sql = "DELETE FROM items WHERE tenant = ?1 AND queue = ?2 AND NOT EXISTS (
                   SELECT 1 FROM deliveries d WHERE d.tenant = ?1 AND d.queue = ?2)";
    let mut items = db.prepare_cached(sql)?;
    for (tenant, queue) in &gone {
        items.execute(params![tenant, queue])?;
    }
    Ok(gone.len())
}

/// The states that statements above name by number are these.
const _: () = {
    assert!(column_of(DeliveryState::Intended) == 1);
    assert!(column_of(DeliveryState::Queued) == 2);
};
