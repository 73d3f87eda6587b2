//! Counts of sessions for reports about TLS, and reports that came in.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use securemail_core::StoreError;
use securemail_core::backend::{ReceivedReport, ReportClaim, ReportSettlement};
use securemail_core::limits::{
    TLS_REPORTS_A_DAY_MAX, TLS_REPORTS_A_DAY_OCTETS_MAX, TLS_SESSION_KINDS_MAX,
};
use securemail_core::tlsrpt::{DomainSessions, Session, UtcDay};
use securemail_core::vocab::{DnsName, UnixTime};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::db::{Class, DbResult, fence_of, millis, moment, name_of, number};
use crate::store::SqliteStore;

impl SqliteStore {
    pub(crate) async fn add_counts(&self, counted: &[DomainSessions]) -> Result<(), StoreError> {
        let counted = counted.iter().map(Rows::of);
        let counted = counted.collect::<Result<Vec<_>, _>>()?;
        let add = move |db: &Connection| counted.iter().try_for_each(|rows| rows.add(db));
        self.writer.call(Class::Admit, add).await
    }

    pub(crate) async fn claim(
        &self,
        now: UnixTime,
        lease: Duration,
    ) -> Result<Option<ReportClaim>, StoreError> {
        // Most times nothing is due, and then nobody writes.
        if !self.readers.call(move |db| is_due(db, now)).await? {
            return Ok(None);
        }
        let claim = move |db: &Connection| claim(db, now, now.plus(lease));
        self.writer.call(Class::Settle, claim).await
    }

    pub(crate) async fn settle_claim(
        &self,
        claim: &ReportClaim,
        settlement: ReportSettlement,
    ) -> Result<(), StoreError> {
        let (domain, day, fence) = (claim.domain.clone(), claim.day, claim.fence);
        let settle = move |db: &Connection| settle(db, (&domain, day), fence, settlement);
        self.writer.call(Class::Settle, settle).await
    }

    pub(crate) async fn put_received(&self, report: &ReceivedReport) -> Result<(), StoreError> {
        let text = text_of(report)?;
        let octets = text.len();
        let (domain, key, day) = (report.domain.clone(), report.key.clone(), report.day);
        let (signed, size) = (report.signer.is_some(), report.report.to_json().len());
        let put = move |db: &Connection| {
            let sql =
                "INSERT OR IGNORE INTO tls_received (domain, key, day, report, signed, octets)
                       SELECT ?1, ?2, ?3, ?4, ?5, ?6
                       WHERE (SELECT count(*) < ?7 AND total(octets) + ?6 <= ?8
                              FROM tls_received WHERE domain = ?1 AND day = ?3 AND signed = ?5)";
            db.prepare_cached(sql)?.execute(params![
                domain.as_str(),
                key,
                day.number(),
                text,
                signed,
                number(size as u64),
                number(TLS_REPORTS_A_DAY_MAX as u64),
                number(TLS_REPORTS_A_DAY_OCTETS_MAX as u64),
            ])?;
            Ok(())
        };
        self.writer.call_sized(Class::Admit, octets, put).await
    }

    pub(crate) async fn received(
        &self,
        domain: &DnsName,
        limit: usize,
    ) -> Result<Vec<ReceivedReport>, StoreError> {
        let domain = domain.clone();
        self.readers
            .call(move |db| {
                let sql = "SELECT report FROM tls_received WHERE domain = ?1
                           ORDER BY day DESC, signed DESC, key LIMIT ?2";
                let mut found = db.prepare_cached(sql)?;
                let rows = found
                    .query_map(params![domain.as_str(), number(limit as u64)], |row| {
                        row.get::<_, String>(0)
                    })?;
                rows.map(|text| Ok(value_of(&text?)?)).collect()
            })
            .await
    }

    pub(crate) async fn forget_days(
        &self,
        counts: UtcDay,
        received: UtcDay,
    ) -> Result<usize, StoreError> {
        let forget = move |db: &Connection| {
            let counts = [counts.number()];
            db.prepare_cached(
                "DELETE FROM tls_sessions WHERE (domain, day) IN
                 (SELECT domain, day FROM tls_days WHERE day < ?1)",
            )?
            .execute(counts)?;
            let days = db
                .prepare_cached("DELETE FROM tls_days WHERE day < ?1")?
                .execute(counts)?;
            let reports = db
                .prepare_cached("DELETE FROM tls_received WHERE day < ?1")?
                .execute([received.number()])?;
            Ok(days.saturating_add(reports))
        };
        self.writer.call(Class::Settle, forget).await
    }
}

/// Counts of one domain and day, ready to be written.
struct Rows {
    domain: DnsName,
    day: UtcDay,
    due: UnixTime,
    sessions: Vec<(String, u64)>,
}

impl Rows {
    fn of(counted: &DomainSessions) -> Result<Self, StoreError> {
        let text = |(session, count): &(Session, u64)| Ok((text_of(session)?, *count));
        let sessions = counted.sessions.iter().map(text);
        Ok(Self {
            domain: counted.domain.clone(),
            day: counted.day,
            due: counted.due,
            sessions: sessions.collect::<Result<_, StoreError>>()?,
        })
    }

    fn add(&self, db: &Connection) -> DbResult<()> {
        let (domain, day) = (self.domain.as_str(), self.day.number());
        db.prepare_cached("INSERT OR IGNORE INTO tls_days VALUES (?1, ?2, ?3, ?3, 0, 0)")?
            .execute(params![domain, day, millis(self.due)])?;
        let open = "SELECT 1 FROM tls_days WHERE domain = ?1 AND day = ?2 AND due IS NOT NULL";
        let open = db.prepare_cached(open)?.exists(params![domain, day])?;
        if !open {
            return Ok(());
        }
        let mut more = db.prepare_cached(
            "UPDATE tls_sessions SET count = count + ?4
             WHERE domain = ?1 AND day = ?2 AND session = ?3",
        )?;
        let mut first = db.prepare_cached(
            "INSERT INTO tls_sessions SELECT ?1, ?2, ?3, ?4
             WHERE (SELECT count(*) FROM tls_sessions WHERE domain = ?1 AND day = ?2) < ?5",
        )?;
        let room = number(TLS_SESSION_KINDS_MAX as u64);
        for (session, count) in &self.sessions {
            let count = number(*count);
            if more.execute(params![domain, day, session, count])? == 0 {
                first.execute(params![domain, day, session, count, room])?;
            }
        }
        Ok(())
    }
}

fn is_due(db: &Connection, now: UnixTime) -> DbResult<bool> {
    let mut due = db.prepare_cached("SELECT 1 FROM tls_days WHERE due <= ?1 LIMIT 1")?;
    Ok(due.exists([millis(now)])?)
}

fn claim(db: &Connection, now: UnixTime, until: UnixTime) -> DbResult<Option<ReportClaim>> {
    let sql = "UPDATE tls_days SET due = ?2, fence = fence + 1 WHERE (domain, day) =
                 (SELECT domain, day FROM tls_days WHERE due <= ?1 ORDER BY due LIMIT 1)
               RETURNING domain, day, first_due, tries, fence";
    let found = db
        .prepare_cached(sql)?
        .query_row(params![millis(now), millis(until)], |row| {
            let domain: String = row.get(0)?;
            let first_due: i64 = row.get(2)?;
            let fence: i64 = row.get(4)?;
            Ok((domain, row.get(1)?, first_due, row.get(3)?, fence))
        })
        .optional()?;
    let Some((domain, day, first_due, tries, fence)) = found else {
        return Ok(None);
    };
    let domain: DnsName = name_of(&domain)?;
    let day = UtcDay::from_number(day);
    Ok(Some(ReportClaim {
        sessions: sessions(db, &domain, day)?,
        domain,
        day,
        first_due: moment(first_due)?,
        tries,
        fence: fence_of(fence)?,
    }))
}

fn sessions(db: &Connection, domain: &DnsName, day: UtcDay) -> DbResult<Vec<(Session, u64)>> {
    let sql = "SELECT session, count FROM tls_sessions WHERE domain = ?1 AND day = ?2";
    let mut found = db.prepare_cached(sql)?;
    let rows = found.query_map(params![domain.as_str(), day.number()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    })?;
    rows.map(|row| {
        let (session, count) = row?;
        Ok((value_of(&session)?, fence_of(count)?))
    })
    .collect()
}

fn settle(
    db: &Connection,
    (domain, day): (&DnsName, UtcDay),
    fence: u64,
    settlement: ReportSettlement,
) -> DbResult<()> {
    // What is settled is settled once: "again" takes the next fence.
    let (due, again) = match settlement {
        ReportSettlement::Again(due) => (Some(millis(due)), 1),
        ReportSettlement::Done => (None, 0),
    };
    let key = (domain.as_str(), day.number());
    let sql = "UPDATE tls_days SET due = ?4, tries = tries + ?5, fence = fence + ?5
               WHERE domain = ?1 AND day = ?2 AND fence = ?3 AND due IS NOT NULL";
    let changed =
        db.prepare_cached(sql)?
            .execute(params![key.0, key.1, number(fence), due, again])?;
    if changed == 0 {
        return Err(StoreError::LeaseLost.into());
    }
    if settlement == ReportSettlement::Done {
        db.prepare_cached("DELETE FROM tls_sessions WHERE domain = ?1 AND day = ?2")?
            .execute(params![key.0, key.1])?;
    }
    Ok(())
}

fn text_of<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unavailable(Box::new(error)))
}

fn value_of<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt("a report about TLS"))
}
