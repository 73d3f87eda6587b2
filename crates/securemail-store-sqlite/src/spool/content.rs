//! Where content stands: with its item in the database, or in a file.

use std::fs::File;
use std::io::ErrorKind;
use std::sync::Arc;

use bytes::BytesMut;
use rusqlite::params;
use securemail_core::StoreError;
use securemail_core::backend::NewItem;
use securemail_core::vocab::{ContentError, MemoryContent, QueueId, SealedContent, TenantId};

use crate::db::fence_of;
use crate::files::{FileContent, Fresh, RANGE, blocking, of_io, remove, sync_dir, unread};
use crate::store::SqliteStore;

/// Content up to this size shares the commit of its item; a file costs two syncs of its own, but
/// larger content would be written twice, into the WAL and into the database.
const INLINE_MAX: u64 = RANGE as u64;

/// Content, placed.
#[derive(Clone)]
pub(super) enum Body {
    File(Fresh),
    Inline(Arc<[u8]>),
}

impl Body {
    pub(super) fn octets(&self) -> Option<&[u8]> {
        match self {
            Self::File(_) => None,
            Self::Inline(octets) => Some(octets),
        }
    }

    pub(super) fn octets_in_memory(&self) -> usize {
        self.octets().map_or(0, <[u8]>::len)
    }

    /// The name of the file in the folder of its tenant.
    pub(super) fn file(&self) -> Option<&str> {
        match self {
            Self::File(fresh) => fresh.path.file_name()?.to_str(),
            Self::Inline(_) => None,
        }
    }

    /// Removes the file of an item that was not committed.
    pub(super) async fn discard(self) {
        if let Self::File(fresh) = self {
            forget(blocking(move || remove(&fresh.path)).await);
        }
    }
}

/// What cannot be removed now is swept at the next start; somebody should know.
fn forget(removed: Result<std::io::Result<()>, StoreError>) {
    if let Ok(Err(error)) = removed {
        tracing::warn!(%error, "cannot remove a content file of the spool");
    }
}

impl SqliteStore {
    /// Places the content of a new item, before the transaction that names it.
    pub(super) async fn place_content(&self, item: &NewItem) -> Result<Body, StoreError> {
        if item.content.ciphertext().size() <= INLINE_MAX {
            return read_whole(&item.content).await;
        }
        let dir = self.contents.join(item.tenant.as_str());
        let (parent, stem) = (dir.clone(), item.queue.to_string());
        let fresh = blocking(move || Fresh::create(&dir, &stem)).await?;
        let body = Body::File(fresh.map_err(of_io)?);
        let Body::File(fresh) = &body else {
            return Ok(body);
        };
        let filled = fresh.fill(Vec::new(), &item.content).await;
        let synced = match filled {
            Ok(()) => blocking(move || sync_dir(&parent)).await?.map_err(of_io),
            Err(error) => Err(error),
        };
        if let Err(error) = synced {
            body.discard().await;
            return Err(error);
        }
        Ok(body)
    }

    pub(super) async fn open_content(
        &self,
        tenant: &TenantId,
        queue: QueueId,
    ) -> Result<SealedContent, StoreError> {
        let owner = tenant.clone();
        let found = self.readers.call(move |db| {
            let sql = "SELECT octets, file, size FROM contents WHERE tenant = ?1 AND queue = ?2";
            let mut find = db.prepare_cached(sql)?;
            let mut rows = find.query(params![owner.as_str(), queue.as_bytes()])?;
            let row = rows.next()?.ok_or(StoreError::NotFound)?;
            let octets: Option<Vec<u8>> = row.get(0)?;
            let file: Option<String> = row.get(1)?;
            Ok((octets, file, fence_of(row.get(2)?)?))
        });
        match found.await? {
            (Some(octets), _, _) => {
                let content = MemoryContent::new(octets.into());
                Ok(SealedContent::assertion(Arc::new(content)))
            }
            (None, Some(name), size) => {
                let path = self.contents.join(tenant.as_str()).join(name);
                let file = blocking(move || File::open(path)).await?;
                let file = file.map_err(|error| match error.kind() {
                    // It was settled between the two steps.
                    ErrorKind::NotFound => StoreError::NotFound,
                    _ => of_io(error),
                })?;
                Ok(FileContent::sealed(file, 0, size))
            }
            (None, None, _) => Err(StoreError::Corrupt("the content of an item")),
        }
    }

    /// Removes the file of an item that ended. The transaction that ended it does not name it any more.
    pub(super) async fn remove_content(&self, tenant: &TenantId, name: &str) {
        let path = self.contents.join(tenant.as_str()).join(name);
        forget(blocking(move || remove(&path)).await);
    }
}

async fn read_whole(content: &SealedContent) -> Result<Body, StoreError> {
    let content = content.ciphertext();
    let mut octets = BytesMut::new();
    while (octets.len() as u64) < content.size() {
        let part = content.read(octets.len() as u64, RANGE).await;
        let part = part.map_err(unread)?;
        if part.is_empty() {
            return Err(unread(ContentError::Damaged));
        }
        octets.extend_from_slice(&part);
    }
    Ok(Body::Inline(Arc::from(&octets[..])))
}
