//! Takes what is due out of the spool, and tries again.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use futures_channel::oneshot;
use futures_util::future::{self, BoxFuture, Either, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::Relay;
use super::deliver::{Delivery, Outgoing};
use super::gate::LeasedDot;
use super::item::{DeliveryRecord, ItemHeader};
use crate::StoreError;
use crate::backend::{
    DotClosed, Due, DueMail, FinalDot, ItemClass, Lease, Leased, RecipientOutcome, SessionOutcome,
    Settlement,
};
use crate::route::AttemptEvidence;
use crate::vocab::{Content, UnixTime};

/// An attempt at our own mail is never called off, and a second copy of it harms nobody.
#[derive(Debug)]
pub(super) struct AlwaysOpen;

#[async_trait]
impl FinalDot for AlwaysOpen {
    async fn open(&self) -> Result<(), DotClosed> {
        Ok(())
    }
}

/// The retries under way.
#[derive(Default)]
struct Running {
    ends: FuturesUnordered<BoxFuture<'static, ItemClass>>,
    /// How many of them are of messages.
    messages: usize,
}

impl Running {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn add(&mut self, class: ItemClass, ended: oneshot::Receiver<()>) {
        self.messages += usize::from(class == ItemClass::Content);
        self.ends.push(ended.map(move |_| class).boxed());
    }

    /// The next one has ended; never, where none runs.
    async fn next(&mut self) {
        match self.ends.next().await {
            Some(ItemClass::Content) => self.messages = self.messages.saturating_sub(1),
            Some(ItemClass::Notice | ItemClass::SenderMail | ItemClass::TlsReport) => {}
            None => future::pending().await,
        }
    }

    async fn all_ended(&mut self) {
        while self.ends.next().await.is_some() {}
    }
}

impl Relay {
    /// Works until `stop` ends; then it takes nothing new, calls off what has not come to its final dot,
    /// and waits for the rest as long as [`RelaySettings::last_replies`](super::RelaySettings) says.
    ///
    /// Each retry is a task of its own. Were they polled here, one that waits its turn at a store would
    /// keep that turn while this loop waits for the same store, and both would wait for ever.
    pub async fn work(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        let mut running = Running::default();
        loop {
            let found = self.begin_due(&mut running).await;
            if found && running.len() < self.settings.workers {
                continue;
            }
            let next_poll = self.now().plus(self.settings.poll_every);
            let pause = self.parts.clock.sleep_until(next_poll);
            let wake = future::select(pause, stop.as_mut());
            match future::select(std::pin::pin!(running.next()), wake).await {
                Either::Left(_) | Either::Right((Either::Left(_), _)) => {}
                Either::Right((Either::Right(_), _)) => break,
            }
        }
        self.stopping.tell();
        let over = self.now().plus(self.settings.last_replies);
        let over = self.parts.clock.sleep_until(over);
        if let Either::Right(_) = future::select(std::pin::pin!(running.all_ended()), over).await {
            tracing::warn!("retries have not ended in time; what they sent counts as unconfirmed");
        }
    }

    /// Begins retries of what is due while there are places; an eighth of these takes mail of ours alone.
    async fn begin_due(self: &Arc<Self>, running: &mut Running) -> bool {
        let places = self.settings.workers;
        let for_messages = places.saturating_sub(places / 8);
        let mut found = false;
        for which in [DueMail::All, DueMail::Own] {
            let room = places.saturating_sub(running.len());
            let room = match which {
                DueMail::All => room.min(for_messages.saturating_sub(running.messages)),
                DueMail::Own => room,
            };
            for leased in self.take_due_logged(which, room).await {
                found = true;
                running.add(leased.class, self.begin_retry(leased));
            }
        }
        found
    }

    /// Starts a retry; what is returned ends with it.
    fn begin_retry(self: &Arc<Self>, leased: Leased) -> oneshot::Receiver<()> {
        let (done, ended) = oneshot::channel();
        let relay = self.clone();
        self.parts.executor.spawn(Box::pin(async move {
            relay.retry_logged(leased).await;
            drop(done);
        }));
        ended
    }

    async fn take_due_logged(&self, which: DueMail, room: usize) -> Vec<Leased> {
        self.take_due(which, room).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the spool cannot be asked for what is due");
            Vec::new()
        })
    }

    /// Tries everything that is due now, once; returns how many deliveries that were.
    ///
    /// # Errors
    /// Where the spool does not answer.
    pub async fn work_once(self: &Arc<Self>) -> Result<usize, StoreError> {
        let due = self.take_due(DueMail::All, self.settings.workers).await?;
        let count = due.len();
        future::join_all(
            due.into_iter()
                .map(|leased| self.clone().retry_logged(leased)),
        )
        .await;
        Ok(count)
    }

    async fn take_due(&self, which: DueMail, room: usize) -> Result<Vec<Leased>, StoreError> {
        if room == 0 {
            return Ok(Vec::new());
        }
        self.parts
            .spool
            .lease_due(which, self.now(), self.settings.attempt_lease, room)
            .await
    }

    async fn retry_logged(self: Arc<Self>, leased: Leased) {
        let lease = leased.lease.clone();
        let attempt = Box::pin(self.retry(leased));
        let leases = [lease.clone()];
        if let Err(error) = Box::pin(self.while_renewing(&leases, attempt)).await {
            tracing::warn!(queue_id = %lease.delivery, %error, "a retry could not be finished");
        }
    }

    /// Drives `attempt` to its end and keeps its leases alive meanwhile.
    pub(super) async fn while_renewing<T>(
        &self,
        leases: &[Lease],
        attempt: impl Future<Output = T>,
    ) -> T {
        let mut attempt = std::pin::pin!(attempt);
        loop {
            let half = self.now().plus(self.settings.attempt_lease / 2);
            let pause = self.parts.clock.sleep_until(half);
            match future::select(attempt.as_mut(), pause).await {
                Either::Left((result, _)) => return result,
                Either::Right(_) => {
                    // The attempt goes on meanwhile: it may hold what renewing waits for.
                    let renewing = std::pin::pin!(self.renew_all(leases));
                    if let Either::Left((result, _)) =
                        future::select(attempt.as_mut(), renewing).await
                    {
                        return result;
                    }
                }
            }
        }
    }

    async fn renew_all(&self, leases: &[Lease]) {
        for lease in leases {
            self.renew(lease).await;
        }
    }

    async fn renew(&self, lease: &Lease) {
        let more = self.settings.attempt_lease;
        if let Err(error) = self.parts.spool.renew(lease, self.now(), more).await {
            tracing::warn!(queue_id = %lease.delivery, %error, "lease not renewed");
        }
    }

    async fn retry(&self, leased: Leased) -> Result<(), StoreError> {
        let Leased {
            lease,
            class,
            sealed_header,
            sealed_state,
            unsettled,
        } = leased;
        let key = lease.delivery.clone();
        let header: ItemHeader = self.open_record(&key.tenant, key.queue, &sealed_header)?;
        let mut record: DeliveryRecord = self.open_record(&key.tenant, key.queue, &sealed_state)?;
        if unsettled && class == ItemClass::Content {
            record.note(self.lost_attempt(&record));
        }
        // Before the log is asked: behind a domain that is stuck this is what all others do every few seconds.
        let Some(_permits) = self.destinations.enter_again(record.recipient.domain()) else {
            let due = self.now().plus(self.settings.crowded_retry);
            return self.put_back(&lease, &record, due).await;
        };
        if class == ItemClass::Content {
            match self.settle_reached(&header, &lease, &record).await {
                Ok(false) => {}
                Ok(true) => return Ok(()),
                Err(error) => {
                    tracing::warn!(queue_id = %key, %error, "it may have come to its end; it waits");
                    let due = self.now().plus(self.settings.own_fault_retry);
                    return self.put_back(&lease, &record, due).await;
                }
            }
        }
        let (content, delivery) = match self.gather((class, &header), &lease, &record).await {
            Ok(ready) => ready,
            // Nothing was tried: it waits its time, rather than the rest of its lease.
            Err(error) => {
                tracing::warn!(queue_id = %key, %error, "cannot be tried now; it waits");
                let due = self.now().plus(self.settings.own_fault_retry);
                return self.put_back(&lease, &record, due).await;
            }
        };
        match class {
            ItemClass::Content => self.retry_content(&header, &content, delivery).await,
            ItemClass::Notice | ItemClass::SenderMail | ItemClass::TlsReport => {
                self.retry_own(class, &header, &content, delivery).await
            }
        }
    }

    /// What a try needs: the content, opened, and what is known of the recipient's domain now.
    async fn gather(
        &self,
        (class, header): (ItemClass, &ItemHeader),
        lease: &Lease,
        record: &DeliveryRecord,
    ) -> Result<(Arc<dyn Content>, Delivery), StoreError> {
        let key = &lease.delivery;
        let content = self.open_content(&key.tenant, key.queue, header).await?;
        let log = self.log(&key.tenant).await?;
        let domain = record.recipient.domain();
        let tenant = self.parts.directory.tenant(&key.tenant).await?;
        let mut facts = header.facts();
        facts.round_began = self.now();
        if let (ItemClass::Content, Some(tenant)) = (class, &tenant) {
            facts.nta7516.clone_from(&tenant.nta7516);
        }
        let profile = match (class, tenant) {
            // Any authenticated session will do for a notice, as `notice_route` has it: a tenant that
            // demands DANE of messages must still be able to tell their recipients.
            (ItemClass::Notice | ItemClass::TlsReport, _) => crate::vocab::Profile::Basic,
            (_, Some(tenant)) => header.wished.profile(&tenant, domain),
            (_, None) => crate::vocab::Profile::default(),
        };
        let mut evidence = self.parts.inquirer.inquire(domain, profile, facts).await?;
        evidence.attempts.clone_from(&record.attempts);
        evidence.message.utf8_recipient = record.recipient.needs_utf8();
        let delivery = Delivery {
            lease: lease.clone(),
            log,
            record: record.clone(),
            evidence,
            sent: None,
        };
        Ok((content, delivery))
    }

    /// Gives a delivery back untried.
    async fn put_back(
        &self,
        lease: &Lease,
        record: &DeliveryRecord,
        due: UnixTime,
    ) -> Result<(), StoreError> {
        let key = &lease.delivery;
        let settlement = Settlement::Deferred {
            due: Due::At(due),
            sealed_state: self.seal_record(&key.tenant, key.queue, record)?,
        };
        self.settle(lease, settlement, Vec::new()).await
    }

    async fn retry_content(
        &self,
        header: &ItemHeader,
        content: &Arc<dyn Content>,
        delivery: Delivery,
    ) -> Result<(), StoreError> {
        let outgoing = delivery.record.marked(content);
        let Ok(signed) = self.sign(&outgoing).await else {
            let due = self.now().plus(self.settings.own_fault_retry);
            return self.put_off(delivery, due, Vec::new()).await;
        };
        let outgoing = Outgoing {
            reverse_path: header.reverse_path.clone(),
            signed,
            demands: header.demands,
        };
        let spool = self.parts.spool.clone();
        let gate = Arc::new(LeasedDot::new(spool, delivery.lease.clone()));
        let leave = self.leave_of_retry(gate, header.size);
        let result = self.run_round(&outgoing, vec![delivery], &leave).await;
        self.learn(&result).await;
        for (delivery, verdict) in result {
            self.settle_spooled(header, content, delivery, verdict)
                .await?;
        }
        Ok(())
    }

    /// An attempt of which nothing is known: its node died, or lost its store. It may have reached
    /// the peer (class U).
    fn lost_attempt(&self, record: &DeliveryRecord) -> AttemptEvidence {
        let host = record.attempts.last().map_or_else(
            || record.recipient.domain().clone(),
            |attempt| attempt.host.clone(),
        );
        AttemptEvidence {
            host,
            at: self.now(),
            outcome: SessionOutcome::Completed,
            recipient: Some(RecipientOutcome::Unconfirmed),
        }
    }

    /// Does what is due in the vault, and tells whom it concerns.
    ///
    /// # Errors
    /// Where the stores do not answer.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        let tells = self
            .pickups
            .sweep(self.now(), self.settings.workers)
            .await
            .map_err(StoreError::unavailable)?;
        let count = tells.len();
        for tell in tells {
            // It comes again with the next sweep, and must not stop the others.
            if let Err(error) = self.tell(tell).await {
                tracing::warn!(%error, "somebody must still be told");
            }
        }
        let before: UnixTime = self.now().minus(self.settings.remember_ended);
        self.parts.spool.forget_ended(before).await?;
        self.erase_old_day_keys().await?;
        self.end_quiet_alarms().await;
        Ok(count)
    }
}
