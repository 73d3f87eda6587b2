//! Forgets old counts of sessions and old reports about TLS, once a day, whoever comes first.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::StoreError;
use crate::backend::DomainMemory;
use crate::limits::TLS_REPORTS_KEPT_DAYS;
use crate::tlsrpt::UtcDay;

/// The day on which it was last done.
#[derive(Debug, Default)]
pub(super) struct Forgetting(AtomicU32);

impl Forgetting {
    pub(super) async fn once_a_day(
        &self,
        memory: &dyn DomainMemory,
        today: UtcDay,
    ) -> Result<(), StoreError> {
        if self.0.load(Ordering::Relaxed) == today.number() {
            return Ok(());
        }
        let (counts, received) = (COUNTS_KEPT_DAYS, TLS_REPORTS_KEPT_DAYS);
        memory
            .forget_reports(today.minus(counts), today.minus(received))
            .await?;
        self.0.store(today.number(), Ordering::Relaxed);
        Ok(())
    }
}

/// Reports are tried for a day; what is older than this is over.
const COUNTS_KEPT_DAYS: u32 = 4;
