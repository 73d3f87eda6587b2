//! Counts for metrics, each up to a bound.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
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
            .call(move |db| counts(db, now, COUNTED_MAX))
            .await
    }

    async fn answers(&self) -> Result<(), StoreError> {
        self.readers
            .call(|db| {
                let mut asking = db.prepare_cached("SELECT EXISTS (SELECT 1 FROM tenants)")?;
                Ok(asking.query_row([], |_| Ok(()))?)
            })
            .await
    }
}

/// Every number in one statement, so that all are of one moment (G1). `?1` bounds the rows that are looked at, `?2` is
/// now.
///
/// State 2 is queued; while a delivery is being tried, its lease's end is when it is due. Class 1 is somebody's
/// message, the others are mail of ours: the bound stands inside the join, since outside of it the whole queue would be
/// walked where nothing of it is ours.
const COUNTS: &str = "
SELECT (SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE state = 2 LIMIT ?1)) AS queued,
       (SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE due <= ?2 AND state = 2 LIMIT ?1)) AS due,
       (SELECT count(*)
          FROM (SELECT tenant, queue FROM deliveries WHERE state = 2 ORDER BY since LIMIT ?1)
          JOIN items USING (tenant, queue)
         WHERE class > 1) AS own_queued,
       (SELECT min(since) FROM deliveries WHERE state = 2) AS oldest,
       (SELECT count(*) FROM (SELECT 1 FROM pickups LIMIT ?1)) AS pickups";

/// What is kept, with at most `most` rows of each kind looked at.
fn counts(db: &Connection, now: UnixTime, most: u64) -> DbResult<Counts> {
    let mut counting = db.prepare_cached(COUNTS)?;
    let mut rows = counting.query(params![number(most), millis(now)])?;
    let row = rows.next()?.ok_or(StoreError::NotFound)?;
    Ok(Counts {
        queued: count(row, "queued")?,
        due: count(row, "due")?,
        own_queued: count(row, "own_queued")?,
        oldest: moment_of(row.get("oldest")?)?,
        pickups: count(row, "pickups")?,
    })
}

fn count(row: &Row<'_>, column: &str) -> DbResult<u64> {
    let counted: i64 = row.get(column)?;
    Ok(u64::try_from(counted).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns that count, with the indices of the real tables.
    const TABLES: &str = "
        CREATE TABLE items (tenant TEXT, queue INTEGER, class INTEGER, PRIMARY KEY (tenant, queue));
        CREATE TABLE deliveries (tenant TEXT, queue INTEGER, state INTEGER, since INTEGER, due INTEGER);
        CREATE INDEX deliveries_due ON deliveries (due) WHERE due IS NOT NULL;
        CREATE INDEX deliveries_queued ON deliveries (since) WHERE state = 2;
        CREATE TABLE pickups (id INTEGER);";

    /// `messages` that wait since the beginning, then as many notices, and as many pickups.
    fn database(messages: i64) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(TABLES).unwrap();
        for n in 0..messages {
            for (queue, class, since) in [(n, 1, 0), (messages + n, 2, 1000)] {
                db.execute(
                    "INSERT INTO items VALUES ('a', ?1, ?2)",
                    params![queue, class],
                )
                .unwrap();
                let sql = "INSERT INTO deliveries VALUES ('a', ?1, 2, ?2, ?2)";
                db.execute(sql, params![queue, since]).unwrap();
            }
            db.execute("INSERT INTO pickups VALUES (?1)", [n]).unwrap();
        }
        db
    }

    fn counted(messages: i64, most: u64) -> [u64; 4] {
        let counts = counts(&database(messages), UnixTime::from_secs(9), most).unwrap();
        [counts.queued, counts.due, counts.own_queued, counts.pickups]
    }

    #[test]
    fn no_more_rows_are_looked_at_than_the_bound() {
        assert_eq!(counted(5, 10), [10, 10, 5, 5], "up to the bound all are");
        assert_eq!(
            counted(8, 10),
            [10, 10, 2, 8],
            "the last six notices are not"
        );
        assert_eq!(counted(30, 10), [10, 10, 0, 10]);
    }

    /// What waits is found by its indices: no sort, and no walk through a table.
    #[test]
    fn nothing_is_walked_but_indices() {
        let db = database(1);
        let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {COUNTS}")).unwrap();
        let steps = plan.query_map(params![10, 9000], |row| row.get::<_, String>("detail"));
        for step in steps.unwrap().map(Result::unwrap) {
            let is_walk = step.contains("SCAN items") || step.contains("TEMP B-TREE");
            assert!(!is_walk, "{step}");
        }
    }
}
