//! What was seen of recipient domains.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};
use securemail_core::StoreError;
use securemail_core::backend::{
    CachedPolicy, DomainHistory, DomainMemory, ReceivedReport, ReportClaim, ReportSettlement,
};
use securemail_core::tlsrpt::{DomainSessions, UtcDay};
use securemail_core::vocab::{DnsName, UnixTime};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::db::{Class, millis};
use crate::store::SqliteStore;

impl SqliteStore {
    async fn seen<T>(&self, sql: &'static str, domain: &DnsName) -> Result<Option<T>, StoreError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let domain = domain.clone();
        self.readers
            .call(move |db| {
                let found: Option<String> = db
                    .prepare_cached(sql)?
                    .query_row([domain.as_str()], |row| row.get(0))
                    .optional()?;
                let Some(text) = found else {
                    return Ok(None);
                };
                let value = serde_json::from_str(&text);
                value.map_err(|_| StoreError::Corrupt("what was seen of a domain").into())
            })
            .await
    }

    async fn keep<T>(
        &self,
        sql: &'static str,
        domain: &DnsName,
        value: &T,
    ) -> Result<(), StoreError>
    where
        T: Serialize + Sync,
    {
        let domain = domain.clone();
        let text = serde_json::to_string(value);
        let text = text.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        self.writer
            .call(Class::Admit, move |db| {
                db.prepare_cached(sql)?.execute([domain.as_str(), &text])?;
                Ok(())
            })
            .await
    }
}

#[async_trait]
impl DomainMemory for SqliteStore {
    async fn recall(&self, domain: &DnsName) -> Result<Option<DomainHistory>, StoreError> {
        self.seen("SELECT history FROM domains WHERE domain = ?1", domain)
            .await
    }

    async fn remember(&self, domain: &DnsName, history: &DomainHistory) -> Result<(), StoreError> {
        self.keep(
            "INSERT OR REPLACE INTO domains VALUES (?1, ?2)",
            domain,
            history,
        )
        .await
    }

    async fn policy(&self, domain: &DnsName) -> Result<Option<CachedPolicy>, StoreError> {
        self.seen("SELECT policy FROM policies WHERE domain = ?1", domain)
            .await
    }

    async fn put_policy(&self, domain: &DnsName, policy: &CachedPolicy) -> Result<(), StoreError> {
        self.keep(
            "INSERT OR REPLACE INTO policies VALUES (?1, ?2)",
            domain,
            policy,
        )
        .await
    }

    async fn watch(
        &self,
        domain: &DnsName,
        due: UnixTime,
        until: UnixTime,
    ) -> Result<(), StoreError> {
        // Every message watches its domain; most find it watched for long enough and write nothing.
        let name = domain.clone();
        let is_watched = self.readers.call(move |db| {
            let sql = "SELECT 1 FROM watched WHERE domain = ?1 AND until >= ?2";
            let found = db
                .prepare_cached(sql)?
                .exists(params![name.as_str(), millis(until)])?;
            Ok(found)
        });
        if is_watched.await? {
            return Ok(());
        }
        let domain = domain.clone();
        let most = i64::try_from(self.watched_max).unwrap_or(i64::MAX);
        self.writer
            .call(Class::Settle, move |db| {
                let sql = "INSERT INTO watched SELECT ?1, ?2, ?3
                           WHERE (SELECT count(*) FROM watched) < ?4
                              OR EXISTS (SELECT 1 FROM watched WHERE domain = ?1)
                           ON CONFLICT DO UPDATE SET until = max(until, excluded.until)";
                db.prepare_cached(sql)?.execute(params![
                    domain.as_str(),
                    millis(due),
                    millis(until),
                    most
                ])?;
                Ok(())
            })
            .await
    }

    async fn claim_due(
        &self,
        now: UnixTime,
        again: UnixTime,
        most: usize,
    ) -> Result<Vec<DnsName>, StoreError> {
        // Nothing is written while nothing is due.
        let is_due = self.readers.call(move |db| {
            let sql = "SELECT 1 FROM watched WHERE due <= ?1 OR until <= ?1";
            Ok(db.prepare_cached(sql)?.exists([millis(now)])?)
        });
        if !is_due.await? {
            return Ok(Vec::new());
        }
        self.writer
            .call(Class::Settle, move |db| {
                db.prepare_cached("DELETE FROM watched WHERE until <= ?1")?
                    .execute([millis(now)])?;
                let sql = "UPDATE watched SET due = ?2 WHERE domain IN
                               (SELECT domain FROM watched WHERE due <= ?1 ORDER BY due LIMIT ?3)
                           RETURNING domain";
                let most = i64::try_from(most).unwrap_or(i64::MAX);
                let mut claimed = db.prepare_cached(sql)?;
                let rows = claimed.query_map(params![millis(now), millis(again), most], |row| {
                    row.get::<_, String>(0)
                })?;
                let mut domains = Vec::new();
                for row in rows {
                    let domain = DnsName::parse(&row?);
                    domains.push(domain.map_err(|_| StoreError::Corrupt("a watched domain"))?);
                }
                Ok(domains)
            })
            .await
    }

    async fn looked_at(&self, domain: &DnsName, due: UnixTime) -> Result<(), StoreError> {
        let domain = domain.clone();
        self.writer
            .call(Class::Settle, move |db| {
                db.prepare_cached("UPDATE watched SET due = ?2 WHERE domain = ?1")?
                    .execute(params![domain.as_str(), millis(due)])?;
                Ok(())
            })
            .await
    }

    async fn count_sessions(&self, counted: &[DomainSessions]) -> Result<(), StoreError> {
        self.add_counts(counted).await
    }

    async fn claim_report(
        &self,
        now: UnixTime,
        lease: Duration,
    ) -> Result<Option<ReportClaim>, StoreError> {
        self.claim(now, lease).await
    }

    async fn settle_report(
        &self,
        claim: &ReportClaim,
        settlement: ReportSettlement,
    ) -> Result<(), StoreError> {
        self.settle_claim(claim, settlement).await
    }

    async fn keep_received(&self, report: &ReceivedReport) -> Result<(), StoreError> {
        self.put_received(report).await
    }

    async fn received_reports(
        &self,
        domain: &DnsName,
        limit: usize,
    ) -> Result<Vec<ReceivedReport>, StoreError> {
        self.received(domain, limit).await
    }

    async fn forget_reports(&self, counts: UtcDay, received: UtcDay) -> Result<usize, StoreError> {
        self.forget_days(counts, received).await
    }
}
