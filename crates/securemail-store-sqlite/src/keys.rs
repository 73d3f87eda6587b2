//! The key store: a database of its own, in which an erased key leaves nothing but its tombstone.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};
use securemail_core::StoreError;
use securemail_core::backend::{KeyPurpose, KeyRef, KeyStore, WrappedKey};

use crate::db::{Class, Kind, OpenError, Opener, Readers, Reserve, Writer};

/// Room for tombstones and overwriting when the disk is full.
const RESERVE: u64 = 1024 * 1024;

/// Wrapped keys in a database of their own.
#[derive(Clone)]
pub struct SqliteKeyStore {
    readers: Readers,
    writer: Writer,
}

impl SqliteKeyStore {
    /// Opens the database at `path`, making it where it is missing. It must not be the store's.
    ///
    /// # Errors
    /// Where it cannot be opened; the variant says what to do.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let opener = Opener::new(path, Kind::Keys)?;
        let writer = Writer::start(&opener, Reserve::beside(path, RESERVE, None))?;
        let readers = Readers::new(opener);
        Ok(Self { readers, writer })
    }
}

impl fmt::Debug for SqliteKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteKeyStore(..)")
    }
}

#[async_trait]
impl KeyStore for SqliteKeyStore {
    async fn put(&self, reference: &KeyRef, key: &WrappedKey) -> Result<(), StoreError> {
        let (reference, key) = (reference.clone(), key.clone());
        let put = move |db: &rusqlite::Connection| {
            let KeyRef {
                tenant,
                purpose,
                id,
            } = &reference;
            db.prepare_cached("INSERT INTO keys VALUES (?1, ?2, ?3, 0, ?4)")?
                .execute(params![tenant.as_str(), *purpose as u8, id, key.0])?;
            Ok(())
        };
        self.writer.call(Class::Admit, put).await
    }

    async fn fetch(&self, reference: &KeyRef) -> Result<WrappedKey, StoreError> {
        let reference = reference.clone();
        let fetch = move |db: &rusqlite::Connection| {
            let KeyRef {
                tenant,
                purpose,
                id,
            } = &reference;
            let sql = "SELECT wrapped FROM keys
                       WHERE tenant = ?1 AND purpose = ?2 AND id = ?3 AND erased = 0";
            let found = db
                .prepare_cached(sql)?
                .query_row(params![tenant.as_str(), *purpose as u8, id], |row| {
                    row.get(0)
                })
                .optional()?;
            found.ok_or_else(|| StoreError::NotFound.into())
        };
        self.readers.call(fetch).await.map(WrappedKey)
    }

    async fn erase(&self, reference: &KeyRef) -> Result<(), StoreError> {
        let reference = reference.clone();
        let erase = move |db: &rusqlite::Connection| {
            let KeyRef {
                tenant,
                purpose,
                id,
            } = &reference;
            // A value of the same length is written in the place of the old one, so that no page is
            // split or merged and no copy of a neighbour stays behind.
            let sql = "INSERT INTO keys VALUES (?1, ?2, ?3, 1, x'')
                       ON CONFLICT DO UPDATE SET erased = 1, wrapped = zeroblob(length(wrapped))";
            db.prepare_cached(sql)?
                .execute(params![tenant.as_str(), *purpose as u8, id])?;
            Ok(())
        };
        self.writer.call(Class::Scrub, erase).await
    }

    async fn before(
        &self,
        purpose: KeyPurpose,
        id: [u8; 16],
        limit: usize,
    ) -> Result<Vec<KeyRef>, StoreError> {
        let before = move |db: &rusqlite::Connection| {
            let sql = "SELECT tenant, id FROM keys
                       WHERE purpose = ?1 AND id < ?2 AND erased = 0 LIMIT ?3";
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map(params![purpose as u8, id, limit], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?))
            })?;
            rows.map(|row| {
                let (tenant, id) = row?;
                let tenant = tenant
                    .parse()
                    .map_err(|_| StoreError::Corrupt("a tenant's name in the key store"))?;
                Ok(KeyRef {
                    tenant,
                    purpose,
                    id,
                })
            })
            .collect()
        };
        self.readers.call(before).await
    }
}
