//! A vault of one's own in sixty lines: one file for each object in a folder.
//!
//! It reads a body whole and looks at every file to find what expired, which is fine for a few
//! messages. `tests/contract.rs` holds it to the contract of [`Vault`], clause by clause.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use securemail_core::StoreError;
use securemail_core::backend::Vault;
use securemail_core::vocab::{MemoryContent, SealedContent, UnixTime, VaultKey};

/// Objects as files: eight octets that say when it expires, then the sealed body.
#[derive(Clone, Debug)]
pub struct FolderVault(pub PathBuf);

impl FolderVault {
    fn path(&self, key: &VaultKey) -> PathBuf {
        self.0.join(format!("{}.{}", key.tenant, key.id))
    }

    fn read(path: &Path) -> Result<(UnixTime, Bytes), StoreError> {
        let mut octets = Bytes::from(fs::read(path).map_err(of_io)?);
        let Some(head) = octets.first_chunk().copied() else {
            return Err(StoreError::Corrupt("a file of the vault"));
        };
        let expires = UnixTime::from_millis(u64::from_be_bytes(head));
        Ok((expires, octets.split_off(head.len())))
    }
}

fn of_io(error: std::io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::AlreadyExists => StoreError::AlreadyExists,
        ErrorKind::NotFound => StoreError::NotFound,
        ErrorKind::StorageFull => StoreError::Full,
        _ => StoreError::Unavailable(Box::new(error)),
    }
}

#[async_trait]
impl Vault for FolderVault {
    async fn store(
        &self,
        key: &VaultKey,
        expires: UnixTime,
        body: &SealedContent,
    ) -> Result<(), StoreError> {
        let (body, mut octets) = (body.ciphertext(), BytesMut::new());
        octets.extend_from_slice(&expires.as_millis().to_be_bytes());
        while (octets.len() as u64) < body.size().saturating_add(8) {
            let part = body.read(octets.len() as u64 - 8, 65_536).await;
            octets.extend_from_slice(&part.map_err(|error| StoreError::Unavailable(error.into()))?);
        }
        // V2: it gets its name when it is whole. V3: a link, unlike a rename, replaces nothing.
        let mut whole = tempfile::NamedTempFile::new_in(&self.0).map_err(of_io)?;
        whole.write_all(&octets).map_err(of_io)?;
        whole.as_file().sync_all().map_err(of_io)?;
        fs::hard_link(whole.path(), self.path(key)).map_err(of_io)?;
        // V1: the name must be on the disk too.
        File::open(&self.0)
            .and_then(|folder| folder.sync_all())
            .map_err(of_io)
    }

    async fn open(&self, key: &VaultKey) -> Result<SealedContent, StoreError> {
        let (_, body) = Self::read(&self.path(key))?;
        Ok(SealedContent::assertion(Arc::new(MemoryContent::new(body))))
    }

    async fn erase(&self, key: &VaultKey) -> Result<(), StoreError> {
        match fs::remove_file(self.path(key)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(of_io(error)),
            _ => File::open(&self.0)
                .and_then(|folder| folder.sync_all())
                .map_err(of_io),
        }
    }

    async fn expired(&self, now: UnixTime, limit: usize) -> Result<Vec<VaultKey>, StoreError> {
        let mut due = Vec::new();
        for file in fs::read_dir(&self.0).map_err(of_io)? {
            let path = file.map_err(of_io)?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|n| n.split_once('.'));
            let Some((Ok(tenant), Ok(id))) = name.map(|(tenant, id)| (tenant.parse(), id.parse()))
            else {
                continue;
            };
            let (expires, _) = Self::read(&path)?;
            if expires <= now {
                due.push((expires, VaultKey { tenant, id }));
            }
        }
        due.sort();
        Ok(due.into_iter().map(|(_, key)| key).take(limit).collect())
    }
}
