//! Pickup records and blocked addresses.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, params};
use securemail_core::StoreError;
use securemail_core::backend::{AddressPrefix, Budget, PickupRecord, Pickups, Spent};
use securemail_core::vocab::{TenantId, UnixTime, VaultId, VaultKey};

use crate::budgets;
use crate::db::{Class, DAY, DbResult, fence_of, millis, moment, moment_of, name_of, number};
use crate::store::SqliteStore;

const COLUMNS: &str = "tenant, id, version, due, sealed_state";

fn record(row: &Row<'_>) -> DbResult<PickupRecord> {
    Ok(PickupRecord {
        key: key(row)?,
        version: fence_of(row.get(2)?)?,
        due: moment(row.get(3)?)?,
        sealed_state: row.get(4)?,
    })
}

fn key(row: &Row<'_>) -> DbResult<VaultKey> {
    Ok(VaultKey {
        tenant: name_of(&row.get::<_, String>(0)?)?,
        id: VaultId::from_bytes(row.get(1)?),
    })
}

#[async_trait]
impl Pickups for SqliteStore {
    async fn create(&self, record: &PickupRecord) -> Result<(), StoreError> {
        let record = record.clone();
        self.writer
            .call(Class::Admit, move |db| {
                db.prepare_cached("INSERT INTO pickups VALUES (?1, ?2, 1, ?3, ?4)")?
                    .execute(params![
                        record.key.tenant.as_str(),
                        record.key.id.as_bytes(),
                        millis(record.due),
                        record.sealed_state,
                    ])?;
                Ok(())
            })
            .await
    }

    async fn load(&self, wanted: &VaultKey) -> Result<PickupRecord, StoreError> {
        let wanted = wanted.clone();
        self.readers
            .call(move |db| {
                let sql = format!("SELECT {COLUMNS} FROM pickups WHERE tenant = ?1 AND id = ?2");
                let mut found = db.prepare_cached(&sql)?;
                let mut rows =
                    found.query(params![wanted.tenant.as_str(), wanted.id.as_bytes()])?;
                record(rows.next()?.ok_or(StoreError::NotFound)?)
            })
            .await
    }

    async fn locate(&self, id: VaultId) -> Result<VaultKey, StoreError> {
        self.readers
            .call(move |db| {
                let mut found =
                    db.prepare_cached("SELECT tenant, id FROM pickups WHERE id = ?1")?;
                let mut rows = found.query([id.as_bytes()])?;
                key(rows.next()?.ok_or(StoreError::NotFound)?)
            })
            .await
    }

    async fn replace(&self, record: &PickupRecord, expected: u64) -> Result<(), StoreError> {
        let record = record.clone();
        self.writer
            .call(Class::Settle, move |db| {
                let (tenant, id) = (record.key.tenant.as_str(), record.key.id.as_bytes());
                let sql = "UPDATE pickups SET version = version + 1, due = ?3, sealed_state = ?4
                           WHERE tenant = ?1 AND id = ?2 AND version = ?5";
                let values = params![
                    tenant,
                    id,
                    millis(record.due),
                    record.sealed_state,
                    number(expected)
                ];
                if db.prepare_cached(sql)?.execute(values)? == 1 {
                    return Ok(());
                }
                let there = db
                    .prepare_cached("SELECT 1 FROM pickups WHERE tenant = ?1 AND id = ?2")?
                    .exists(params![tenant, id])?;
                let error = if there {
                    StoreError::Conflict
                } else {
                    StoreError::NotFound
                };
                Err(error.into())
            })
            .await
    }

    async fn due(&self, now: UnixTime, limit: usize) -> Result<Vec<PickupRecord>, StoreError> {
        self.readers
            .call(move |db| {
                let sql =
                    format!("SELECT {COLUMNS} FROM pickups WHERE due <= ?1 ORDER BY due LIMIT ?2");
                let mut found = db.prepare_cached(&sql)?;
                let mut rows = found.query(params![millis(now), number(limit as u64)])?;
                let mut records = Vec::new();
                while let Some(row) = rows.next()? {
                    records.push(record(row)?);
                }
                Ok(records)
            })
            .await
    }

    async fn erase(&self, key: &VaultKey) -> Result<(), StoreError> {
        let key = key.clone();
        self.writer
            .call(Class::Settle, move |db| {
                db.prepare_cached("DELETE FROM pickups WHERE tenant = ?1 AND id = ?2")?
                    .execute(params![key.tenant.as_str(), key.id.as_bytes()])?;
                Ok(())
            })
            .await
    }

    async fn block(
        &self,
        tenant: &TenantId,
        prefix: AddressPrefix,
        until: UnixTime,
    ) -> Result<(), StoreError> {
        let (tenant, hash) = (
            tenant.clone(),
            self.cipher.hash("address-block", &prefix.octets()),
        );
        self.writer
            .call(Class::Settle, move |db| {
                // A block lasts an hour; what ended a day before this one ends is of no use.
                db.prepare_cached("DELETE FROM blocks WHERE until < ?1")?
                    .execute([millis(until).saturating_sub(DAY)])?;
                let sql = "INSERT INTO blocks VALUES (?1, ?2, ?3)
                           ON CONFLICT DO UPDATE SET until = max(until, excluded.until)";
                db.prepare_cached(sql)?.execute(params![
                    tenant.as_str(),
                    hash.as_bytes(),
                    millis(until)
                ])?;
                Ok(())
            })
            .await
    }

    async fn blocked_until(
        &self,
        tenant: &TenantId,
        prefix: AddressPrefix,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, StoreError> {
        let (tenant, hash) = (
            tenant.clone(),
            self.cipher.hash("address-block", &prefix.octets()),
        );
        self.readers
            .call(move |db| {
                let sql = "SELECT until FROM blocks
                           WHERE tenant = ?1 AND prefix = ?2 AND until > ?3";
                let found = db
                    .prepare_cached(sql)?
                    .query_row(
                        params![tenant.as_str(), hash.as_bytes(), millis(now)],
                        |row| row.get(0),
                    )
                    .optional()?;
                Ok(moment_of(found)?)
            })
            .await
    }

    async fn spend(
        &self,
        tenant: &TenantId,
        budgets: &[Budget],
        now: UnixTime,
    ) -> Result<Spent, StoreError> {
        budgets::spend(&self.writer, tenant, budgets, now).await
    }

    async fn give_back(&self, tenant: &TenantId, budgets: &[Budget]) -> Result<(), StoreError> {
        budgets::give_back(&self.writer, tenant, budgets).await
    }
}
