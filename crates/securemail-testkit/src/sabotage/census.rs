//! A census that breaks one clause.

use std::sync::Arc;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{Census, Counts};
use securemail_core::vocab::UnixTime;

use crate::conformance::census::{CensusHarness, Counted};
use crate::memory::{MemoryAudit, MemoryCensus, MemoryPickups, MemorySpool};

/// Which clause of the contract of `Census` is broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CensusFault {
    /// What is being tried counts as due.
    G1,
    /// Numbers end long before their bound.
    G2,
    /// It says that it is not there.
    G3,
}

/// A census of what is in memory that breaks one clause.
#[derive(Debug)]
pub struct SabotagedCensus {
    fault: CensusFault,
    inner: MemoryCensus,
}

/// As a harness, a fault gives censuses that have it.
#[async_trait]
impl CensusHarness for CensusFault {
    async fn fresh(&self) -> Counted {
        let spool = Arc::new(MemorySpool::new(Arc::new(MemoryAudit::default())));
        let pickups = Arc::new(MemoryPickups::default());
        let inner = MemoryCensus {
            spool: spool.clone(),
            pickups: pickups.clone(),
        };
        let fault = *self;
        Counted {
            spool,
            pickups,
            census: Arc::new(SabotagedCensus { fault, inner }),
        }
    }
}

#[async_trait]
impl Census for SabotagedCensus {
    async fn census(&self, now: UnixTime) -> Result<Counts, StoreError> {
        let mut counts = self.inner.census(now).await?;
        match self.fault {
            // An item that is leased is due when its lease ends.
            CensusFault::G1 => counts.due = self.inner.census(UnixTime::MAX).await?.due,
            CensusFault::G2 => counts.queued = counts.queued.min(40),
            CensusFault::G3 => {}
        }
        Ok(counts)
    }

    async fn answers(&self) -> Result<(), StoreError> {
        match self.fault {
            CensusFault::G1 | CensusFault::G2 => self.inner.answers().await,
            CensusFault::G3 => Err(StoreError::NotFound),
        }
    }
}
