//! Counts for metrics, each up to a bound.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use securemail_core::StoreError;
use securemail_core::backend::{Census, Counts};
use securemail_core::limits::COUNTED_MAX;
use securemail_core::vocab::UnixTime;

use crate::db::{DbResult, millis, moment_of, number};
use crate::store::SqliteStore;

#[async_trait]
impl Census for SqliteStore {
    async fn census(&self, now: UnixTime) -> Result<Counts, StoreError> {
        self.readers
            .call(move |db| {
                // State 2 is queued. While a delivery is being tried, its lease's end is when it is due.
                let queued = "FROM deliveries WHERE state = 2";
                let due = "FROM deliveries WHERE due <= ?1 AND state = 2";
                // Class 1 is somebody's message, the others are mail of ours.
                let own = "FROM deliveries d JOIN items i USING (tenant, queue)
                           WHERE d.state = 2 AND i.class > 1";
                let sql = format!("SELECT min(since) {queued}");
                let oldest = db.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
                Ok(Counts {
                    queued: count(db, queued, None)?,
                    due: count(db, due, Some(now))?,
                    own_queued: count(db, own, None)?,
                    oldest: moment_of(oldest)?,
                    pickups: count(db, "FROM pickups", None)?,
                })
            })
            .await
    }
}

/// How many rows there are, counted no further than [`COUNTED_MAX`].
fn count(db: &Connection, rows: &str, at: Option<UnixTime>) -> DbResult<u64> {
    let most = number(COUNTED_MAX);
    let sql = format!("SELECT count(*) FROM (SELECT 1 {rows} LIMIT {most})");
    let mut counting = db.prepare_cached(&sql)?;
    let counted: i64 = match at {
        Some(at) => counting.query_row(params![millis(at)], |row| row.get(0))?,
        None => counting.query_row([], |row| row.get(0))?,
    };
    Ok(u64::try_from(counted).unwrap_or(0))
}
