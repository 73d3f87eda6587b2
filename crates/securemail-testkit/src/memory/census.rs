//! Counts what is in memory.

use std::sync::Arc;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{Census, Counts};
use securemail_core::vocab::UnixTime;

use super::{MemoryPickups, MemorySpool};

/// Counts a spool and pickups.
#[derive(Clone, Debug)]
pub struct MemoryCensus {
    /// What waits.
    pub spool: Arc<MemorySpool>,
    /// What is in the vault.
    pub pickups: Arc<MemoryPickups>,
}

#[async_trait]
impl Census for MemoryCensus {
    async fn census(&self, now: UnixTime) -> Result<Counts, StoreError> {
        Ok(Counts {
            pickups: self.pickups.count(),
            ..self.spool.counts(now)
        })
    }

    async fn answers(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
