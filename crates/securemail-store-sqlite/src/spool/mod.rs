//! The spool: deliveries in the database, small content beside them, large content in files.

mod commit;
mod content;
mod intend;
mod lease;
mod row;

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::params;
use securemail_core::StoreError;
use securemail_core::backend::{
    Claim, Committed, DeliveryState, DueMail, Intent, Lease, Leased, NewEvent, NewItem, Settlement,
    Spool,
};
use securemail_core::vocab::{DeliveryKey, QueueId, SealedContent, TenantId, UnixTime};

use crate::db::{Class, millis, number};
use crate::store::SqliteStore;

/// How many deliveries are forgotten in one transaction: others must get their turn.
const FORGET_STEP: u64 = 1000;

#[async_trait]
impl Spool for SqliteStore {
    async fn intend(
        &self,
        intents: Vec<Intent>,
        now: UnixTime,
        lease: Duration,
    ) -> Result<Vec<Claim>, StoreError> {
        let holder = self.holder.column();
        self.writer
            .call(Class::Admit, move |db| {
                let until = now.plus(lease);
                let claim = |intent| intend::claim(db, intent, now, (until, holder));
                intents.iter().map(claim).collect()
            })
            .await
    }

    async fn commit(&self, item: NewItem, now: UnixTime) -> Result<Committed, StoreError> {
        let queue = item.queue;
        self.commit_item(item, now).await?;
        Ok(Committed::assertion(queue))
    }

    async fn lease_due(
        &self,
        which: DueMail,
        now: UnixTime,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Leased>, StoreError> {
        // Reading first keeps an idle process from holding the database against the others.
        let any = self.readers.call(move |db| {
            let sql = match which {
                DueMail::All => "SELECT 1 FROM deliveries WHERE due <= ?1 LIMIT 1",
                DueMail::Own => {
                    "SELECT 1 FROM deliveries INDEXED BY deliveries_due_own
                     WHERE due <= ?1 AND own = 1 LIMIT 1"
                }
            };
            Ok(db.prepare_cached(sql)?.exists([millis(now)])?)
        });
        if limit == 0 || !any.await? {
            return Ok(Vec::new());
        }
        let holder = self.holder.column();
        self.writer
            .call(Class::Settle, move |db| {
                lease::lease_due(db, (which, now), (now.plus(lease), holder), limit)
            })
            .await
    }

    async fn open_dot(&self, lease: &Lease) -> Result<(), StoreError> {
        let lease = lease.clone();
        self.writer
            .call(Class::Settle, move |db| lease::open_dot(db, &lease))
            .await
    }

    async fn renew(&self, lease: &Lease, now: UnixTime, more: Duration) -> Result<(), StoreError> {
        let lease = lease.clone();
        self.writer
            .call(Class::Settle, move |db| {
                lease::renew(db, &lease, now.plus(more))
            })
            .await
    }

    async fn content(
        &self,
        tenant: &TenantId,
        queue: QueueId,
    ) -> Result<SealedContent, StoreError> {
        self.open_content(tenant, queue).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        events: Vec<NewEvent>,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let lease = lease.clone();
        let tenant = lease.delivery.tenant.clone();
        let settle = move |db: &rusqlite::Connection| {
            let erased = lease::settle(db, &lease, &settlement, now)?;
            crate::audit::append(db, &lease.delivery.tenant, &events)?;
            Ok(erased)
        };
        if let Some(file) = self.writer.call(Class::Settle, settle).await? {
            self.remove_content(&tenant, &file).await;
        }
        Ok(())
    }

    async fn state(&self, delivery: &DeliveryKey) -> Result<DeliveryState, StoreError> {
        let delivery = delivery.clone();
        self.readers
            .call(move |db| {
                let found = row::find(db, &delivery)?;
                Ok(found.ok_or(StoreError::NotFound)?.state)
            })
            .await
    }

    async fn wake(&self, delivery: &DeliveryKey, due: UnixTime) -> Result<(), StoreError> {
        let delivery = delivery.clone();
        self.writer
            .call(Class::Settle, move |db| lease::wake(db, &delivery, due))
            .await
    }

    async fn oldest(&self) -> Result<Option<UnixTime>, StoreError> {
        self.readers.call(row::oldest).await
    }

    async fn forget_ended(&self, before: UnixTime) -> Result<usize, StoreError> {
        let mut forgotten: usize = 0;
        loop {
            let step = self.writer.call(Class::Settle, move |db| {
                let values = params![millis(before), number(FORGET_STEP)];
                Ok(lease::forget(db, values)?)
            });
            match step.await? {
                0 => return Ok(forgotten),
                count => forgotten = forgotten.saturating_add(count),
            }
        }
    }
}
