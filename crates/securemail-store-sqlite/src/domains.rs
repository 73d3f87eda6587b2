//! What was seen of recipient domains.

use async_trait::async_trait;
use rusqlite::OptionalExtension;
use securemail_core::StoreError;
use securemail_core::backend::{CachedPolicy, DomainHistory, DomainMemory};
use securemail_core::vocab::DnsName;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::db::Class;
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
}
