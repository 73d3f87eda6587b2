//! Reference back-ends in memory: the contracts as plainly as they can be written.
//!
//! They are for tests. Nothing here survives the process; a harness calls "reopened" what another
//! handle on the same value sees.

mod audit;
mod census;
mod directory;
mod domains;
mod keys;
mod pickups;
mod returns;
mod spool;
mod vault;

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use securemail_core::StoreError;
use securemail_core::vocab::{Content, ContentError};

pub use audit::MemoryAudit;
pub use census::MemoryCensus;
pub use directory::MemoryDirectory;
pub use domains::MemoryDomainMemory;
pub use keys::MemoryKeyStore;
pub use pickups::MemoryPickups;
pub use returns::MemoryReturnHosts;
pub use spool::MemorySpool;
pub use vault::MemoryVault;

/// The guarded value; a test that panicked elsewhere does not hide it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All octets of `content`, in memory.
///
/// # Errors
/// Where a read fails, or ends before the size that was promised.
pub async fn collect(content: &dyn Content) -> Result<Bytes, ContentError> {
    let mut all = BytesMut::new();
    while (all.len() as u64) < content.size() {
        let part = content.read(all.len() as u64, 256 * 1024).await?;
        if part.is_empty() {
            return Err(ContentError::Damaged);
        }
        all.extend_from_slice(&part);
    }
    Ok(all.freeze())
}

/// A source that cannot be read makes the call fail without effect.
pub(crate) fn unread(error: ContentError) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}
