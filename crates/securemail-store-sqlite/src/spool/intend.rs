//! Grants intents: one at a time for each submission.

use rusqlite::{Connection, params};
use securemail_core::StoreError;
use securemail_core::backend::{Claim, DeliveryState, Intent, Lease};
use securemail_core::vocab::{DeliveryKey, QueueId, UnixTime};

use super::row::{Found, column_of, end, find};
use crate::audit;
use crate::db::{DAY, DbResult, millis, number};

/// Grants `intent` to `holder` until `until`, or says what stands in its way.
pub(super) fn claim(
    db: &Connection,
    intent: &Intent,
    now: UnixTime,
    (until, holder): (UnixTime, i64),
) -> DbResult<Claim> {
    let key = &intent.delivery;
    let own = find(db, key)?;
    let mut lost = None;
    if let Some(own) = &own {
        let again = own.ran_out(now) || own.state == DeliveryState::Released;
        if !again {
            return Ok(Claim::Earlier(own.earlier(key.clone())));
        }
        lost = own.ran_out(now).then(|| own.first_of(key));
    }
    if let Some((other, found)) = standing(db, intent, now)? {
        if !found.ran_out(now) {
            return Ok(Claim::Earlier(found.earlier(other)));
        }
        lost = Some(found.first_of(&other));
        // Whoever held it comes too late: one is granted at a time.
        end(db, &other, DeliveryState::Released, now)?;
    }
    let fence = own.map_or(1, |own| own.fence.saturating_add(1));
    let lease = Lease {
        delivery: key.clone(),
        fence,
    };
    write(db, intent, (fence, holder), (now, until))?;
    if let Some(first) = &lost {
        name_first(db, key, first)?;
    }
    audit::append(db, &key.tenant, &intent.events)?;
    Ok(Claim::Granted { lease, lost })
}

/// The newest delivery of the same submission that stands in the way.
fn standing(
    db: &Connection,
    intent: &Intent,
    now: UnixTime,
) -> DbResult<Option<(DeliveryKey, Found)>> {
    let (Some(wanted), key) = (intent.resubmission, &intent.delivery) else {
        return Ok(None);
    };
    let sql = "SELECT queue, recipient FROM deliveries
               WHERE tenant = ?1 AND resubmission = ?2 AND since > ?3 AND state NOT IN (?4, ?5)
                   AND NOT (queue = ?6 AND recipient = ?7)
               ORDER BY since DESC LIMIT 1";
    let mut found = db.prepare_cached(sql)?;
    // A submission stands in the way of its repeat for 24 hours.
    let since = millis(now).saturating_sub(DAY);
    let mut rows = found.query(params![
        key.tenant.as_str(),
        wanted.0.as_bytes(),
        since,
        column_of(DeliveryState::Bounced),
        column_of(DeliveryState::Released),
        key.queue.as_bytes(),
        key.recipient,
    ])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let other = DeliveryKey {
        tenant: key.tenant.clone(),
        queue: QueueId::from_bytes(row.get(0)?),
        recipient: row.get(1)?,
    };
    let found = find(db, &other)?.ok_or(StoreError::Corrupt("an index of deliveries"))?;
    Ok(Some((other, found)))
}

fn write(
    db: &Connection,
    intent: &Intent,
    (fence, holder): (u64, i64),
    (now, until): (UnixTime, UnixTime),
) -> DbResult<()> {
    let key = &intent.delivery;
    let sql = "INSERT OR REPLACE INTO deliveries
                   (tenant, queue, recipient, state, fence, since, leased, resubmission, holder,
                    sealed_state)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, x'')";
    db.prepare_cached(sql)?.execute(params![
        key.tenant.as_str(),
        key.queue.as_bytes(),
        key.recipient,
        column_of(DeliveryState::Intended),
        number(fence),
        millis(now),
        millis(until),
        intent.resubmission.as_ref().map(|key| key.0.as_bytes()),
        holder,
    ])?;
    Ok(())
}

/// Remembers the first delivery of a submission, of which attempts were lost.
fn name_first(db: &Connection, key: &DeliveryKey, first: &DeliveryKey) -> DbResult<()> {
    let sql = "UPDATE deliveries SET first_queue = ?4, first_recipient = ?5
               WHERE tenant = ?1 AND queue = ?2 AND recipient = ?3";
    db.prepare_cached(sql)?.execute(params![
        key.tenant.as_str(),
        key.queue.as_bytes(),
        key.recipient,
        first.queue.as_bytes(),
        first.recipient,
    ])?;
    Ok(())
}
