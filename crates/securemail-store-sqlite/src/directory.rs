//! Tenants, accounts and telephone numbers: every record is sealed, and found by keyed hash.

use std::collections::BTreeSet;

use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};
use securemail_core::StoreError;
use securemail_core::backend::Directory;
use securemail_core::vocab::{
    Account, Address, Identity, KeyedHash, PhoneNumber, Tenant, TenantId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::db::Class;
use crate::store::SqliteStore;

impl SqliteStore {
    /// Names an identity without showing it.
    fn hash_identity(&self, identity: &Identity) -> KeyedHash {
        match identity {
            Identity::Certificate(digest) => self.cipher.hash("certificate", digest),
            Identity::Username(name) => {
                self.cipher.hash("username", name.to_lowercase().as_bytes())
            }
        }
    }

    /// Names a mailbox without showing it; all its spellings have one name.
    fn hash_recipient(&self, recipient: &Address) -> KeyedHash {
        self.cipher
            .hash("recipient", recipient.canonical().as_bytes())
    }

    /// Removes every account that is not among `named`: the settings say who may log in, and whoever
    /// they no longer name may not. Tenants stay, since messages of theirs may still wait.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn keep_accounts(&self, named: &[Identity]) -> Result<usize, StoreError> {
        let named: BTreeSet<KeyedHash> = named
            .iter()
            .map(|identity| self.hash_identity(identity))
            .collect();
        self.writer
            .call(Class::Settle, move |db| {
                let known: Vec<[u8; 32]> = db
                    .prepare_cached("SELECT identity FROM accounts")?
                    .query_map([], |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
                let mut remove = db.prepare_cached("DELETE FROM accounts WHERE identity = ?1")?;
                let mut removed = 0;
                for identity in known {
                    if !named.contains(&KeyedHash::from_bytes(identity)) {
                        removed += remove.execute([identity])?;
                    }
                }
                Ok(removed)
            })
            .await
    }

    fn seal<T: Serialize>(&self, context: &[u8], value: &T) -> Result<Vec<u8>, StoreError> {
        let plain = serde_json::to_vec(value).map_err(unavailable)?;
        let sealed = self.cipher.seal(context, &plain, &*self.entropy);
        sealed.map_err(unavailable)
    }

    fn unseal<T: DeserializeOwned>(&self, context: &[u8], sealed: &[u8]) -> Result<T, StoreError> {
        let damaged = StoreError::Corrupt("a record of the directory, or its key is another");
        let Ok(plain) = self.cipher.open(context, sealed) else {
            return Err(damaged);
        };
        serde_json::from_slice(&plain).map_err(|_| damaged)
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

/// What the sealing of a record is bound to: what it is, whose, and under which name it is found.
fn context(kind: &str, tenant: &TenantId, name: &[u8]) -> Vec<u8> {
    let parts = [kind.as_bytes(), tenant.as_str().as_bytes(), name];
    parts.join(&0)
}

#[async_trait]
impl Directory for SqliteStore {
    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError> {
        let wanted = id.clone();
        let found = self.readers.call(move |db| {
            let mut find = db.prepare_cached("SELECT sealed FROM tenants WHERE tenant = ?1")?;
            let found = find.query_row([wanted.as_str()], |row| row.get::<_, Vec<u8>>(0));
            Ok(found.optional()?)
        });
        let open = |sealed: Vec<u8>| self.unseal(&context("tenant", id, b""), &sealed);
        found.await?.map(open).transpose()
    }

    async fn account(&self, identity: &Identity) -> Result<Option<Account>, StoreError> {
        let hash = self.hash_identity(identity);
        let found = self.readers.call(move |db| {
            let sql = "SELECT tenant, sealed FROM accounts WHERE identity = ?1";
            let found = db
                .prepare_cached(sql)?
                .query_row([hash.as_bytes()], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
                })
                .optional()?;
            Ok(found)
        });
        let Some((tenant, sealed)) = found.await? else {
            return Ok(None);
        };
        let tenant = crate::db::name_of(&tenant)?;
        self.unseal(&context("account", &tenant, hash.as_bytes()), &sealed)
            .map(Some)
    }

    async fn phone(
        &self,
        tenant: &TenantId,
        recipient: &Address,
    ) -> Result<Option<PhoneNumber>, StoreError> {
        let (owner, hash) = (tenant.clone(), self.hash_recipient(recipient));
        let found = self.readers.call(move |db| {
            let sql = "SELECT sealed FROM phones WHERE tenant = ?1 AND recipient = ?2";
            let mut find = db.prepare_cached(sql)?;
            let values = params![owner.as_str(), hash.as_bytes()];
            let found = find.query_row(values, |row| row.get::<_, Vec<u8>>(0));
            Ok(found.optional()?)
        });
        let Some(sealed) = found.await? else {
            return Ok(None);
        };
        let text: String = self.unseal(&context("phone", tenant, hash.as_bytes()), &sealed)?;
        let number = text.parse();
        number
            .map(Some)
            .map_err(|_| StoreError::Corrupt("a telephone number of the directory"))
    }

    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let id = tenant.id.clone();
        let sealed = self.seal(&context("tenant", &id, b""), tenant)?;
        self.writer
            .call(Class::Admit, move |db| {
                db.prepare_cached("INSERT OR REPLACE INTO tenants VALUES (?1, ?2)")?
                    .execute(params![id.as_str(), sealed])?;
                Ok(())
            })
            .await
    }

    async fn put_account(&self, identity: &Identity, account: &Account) -> Result<(), StoreError> {
        let (tenant, hash) = (account.tenant.clone(), self.hash_identity(identity));
        let sealed = self.seal(&context("account", &tenant, hash.as_bytes()), account)?;
        self.writer
            .call(Class::Admit, move |db| {
                // REPLACE also where another tenant had the identity: it has one owner.
                db.prepare_cached("INSERT OR REPLACE INTO accounts VALUES (?1, ?2, ?3)")?
                    .execute(params![tenant.as_str(), hash.as_bytes(), sealed])?;
                Ok(())
            })
            .await
    }

    async fn put_phone(
        &self,
        tenant: &TenantId,
        recipient: &Address,
        number: &PhoneNumber,
    ) -> Result<(), StoreError> {
        let (tenant, hash) = (tenant.clone(), self.hash_recipient(recipient));
        let sealed = self.seal(
            &context("phone", &tenant, hash.as_bytes()),
            &number.expose(),
        )?;
        self.writer
            .call(Class::Admit, move |db| {
                db.prepare_cached("INSERT OR REPLACE INTO phones VALUES (?1, ?2, ?3)")?
                    .execute(params![tenant.as_str(), hash.as_bytes(), sealed])?;
                Ok(())
            })
            .await
    }
}
