//! A spool in memory: the reference for every other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use securemail_core::StoreError;
use securemail_core::backend::NewEvent;
use securemail_core::backend::{
    Claim, Committed, Counts, DeliveryState, Due, DueMail, Earlier, Intent, ItemClass, Lease,
    Leased, NewDelivery, NewItem, ResubmissionKey, Settlement, Spool,
};
use securemail_core::vocab::{
    DeliveryKey, MemoryContent, QueueId, SealedContent, TenantId, UnixTime,
};

use super::{MemoryAudit, collect, lock, unread};

/// How long a submission stands in the way of a repeat of itself.
const RESUBMISSION_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// A spool in memory. Its events go to the audit sink that it was made with.
#[derive(Debug)]
pub struct MemorySpool {
    audit: Arc<MemoryAudit>,
    room: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    deliveries: BTreeMap<DeliveryKey, Delivery>,
    items: BTreeMap<(TenantId, QueueId), Item>,
}

#[derive(Debug)]
struct Item {
    class: ItemClass,
    header: Vec<u8>,
    content: Option<Bytes>,
}

#[derive(Debug)]
struct Delivery {
    state: DeliveryState,
    resubmission: Option<ResubmissionKey>,
    /// The first delivery of its submission, where attempts were lost.
    first: Option<DeliveryKey>,
    /// When it was intended or committed.
    since: UnixTime,
    fence: u64,
    /// Until when it is leased; stays when the lease runs out, and goes when it is settled.
    leased: Option<UnixTime>,
    /// A final dot may have left, and nobody said how that ended.
    open: bool,
    /// When it is to be tried; while it is leased, when that lease ends.
    due: Option<UnixTime>,
    /// What `wake` asked for while it was leased.
    woken: Option<UnixTime>,
    sealed: Vec<u8>,
    ended: Option<UnixTime>,
}

impl MemorySpool {
    /// An empty spool that logs to `audit`.
    #[must_use]
    pub fn new(audit: Arc<MemoryAudit>) -> Self {
        Self::with_room(audit, usize::MAX)
    }

    /// An empty spool whose contents may have `room` octets together.
    #[must_use]
    pub fn with_room(audit: Arc<MemoryAudit>, room: usize) -> Self {
        Self {
            audit,
            room,
            state: Mutex::default(),
        }
    }
}

impl MemorySpool {
    /// How many contents it holds, sealed.
    #[must_use]
    pub fn contents(&self) -> usize {
        let state = lock(&self.state);
        let held = |item: &&Item| item.content.is_some();
        state.items.values().filter(held).count()
    }

    /// What waits; pickups are not among it.
    pub(super) fn counts(&self, now: UnixTime) -> Counts {
        let state = lock(&self.state);
        let mut counts = Counts::default();
        for (key, delivery) in &state.deliveries {
            if delivery.state != DeliveryState::Queued {
                continue;
            }
            counts.queued += 1;
            counts.due += u64::from(delivery.due.is_some_and(|due| due <= now));
            let item = state.items.get(&(key.tenant.clone(), key.queue));
            let is_own = item.is_some_and(|item| item.class != ItemClass::Content);
            counts.own_queued += u64::from(is_own);
            let oldest = counts.oldest.unwrap_or(delivery.since);
            counts.oldest = Some(oldest.min(delivery.since));
        }
        counts
    }
}

impl State {
    fn octets(&self) -> usize {
        let contents = self.items.values().filter_map(|item| item.content.as_ref());
        contents.map(Bytes::len).sum()
    }

    /// Grants an intent, or says what stands in its way.
    fn claim(&mut self, intent: &Intent, now: UnixTime, until: UnixTime) -> Claim {
        let key = &intent.delivery;
        let mut lost = None;
        if let Some(own) = self.deliveries.get(key) {
            let again = own.ran_out(now) || own.state == DeliveryState::Released;
            if !again {
                return Claim::Earlier(own.earlier(key));
            }
            lost = own.ran_out(now).then(|| own.first_of(key));
        }
        if let Some((other, found)) = self.standing(intent, now) {
            if !found.ran_out(now) {
                return Claim::Earlier(found.earlier(&other));
            }
            lost = Some(found.first_of(&other));
            // Whoever held it comes too late: one is granted at a time.
            if let Some(old) = self.deliveries.get_mut(&other) {
                old.end(DeliveryState::Released, now);
            }
        }
        let fence = self
            .deliveries
            .get(key)
            .map_or(1, |own| own.fence.saturating_add(1));
        self.deliveries.insert(
            key.clone(),
            Delivery {
                state: DeliveryState::Intended,
                resubmission: intent.resubmission,
                first: lost.clone(),
                since: now,
                fence,
                leased: Some(until),
                open: false,
                due: None,
                woken: None,
                sealed: Vec::new(),
                ended: None,
            },
        );
        let delivery = key.clone();
        let lease = Lease { delivery, fence };
        Claim::Granted { lease, lost }
    }

    /// The newest delivery of the same submission that stands in the way.
    fn standing(&self, intent: &Intent, now: UnixTime) -> Option<(DeliveryKey, &Delivery)> {
        let wanted = intent.resubmission?;
        self.deliveries
            .iter()
            .filter(|(key, _)| key.tenant == intent.delivery.tenant && **key != intent.delivery)
            .filter(|(_, d)| d.resubmission == Some(wanted))
            .filter(|(_, d)| now < d.since.plus(RESUBMISSION_WINDOW))
            .filter(|(_, d)| !matches!(d.state, DeliveryState::Bounced | DeliveryState::Released))
            .max_by_key(|(_, d)| d.since)
            .map(|(key, d)| (key.clone(), d))
    }

    /// The delivery, if `lease` is its newest and is not settled.
    fn held(&mut self, lease: &Lease) -> Result<&mut Delivery, StoreError> {
        self.deliveries
            .get_mut(&lease.delivery)
            .filter(|d| d.fence == lease.fence && d.leased.is_some())
            .ok_or(StoreError::LeaseLost)
    }

    /// Whether a delivery of a new item may be written over what is there.
    fn check_new(&mut self, key: &DeliveryKey, new: &NewDelivery) -> Result<(), StoreError> {
        match &new.lease {
            Some(lease) if lease.delivery == *key => self.held(lease).map(|_| ()),
            Some(_) => Err(StoreError::LeaseLost),
            None if new.due == Due::InFlight => Err(StoreError::LeaseLost),
            None => match self.deliveries.get(key) {
                Some(own) if own.state != DeliveryState::Released => Err(StoreError::LeaseLost),
                _ => Ok(()),
            },
        }
    }

    fn write_new(&mut self, key: DeliveryKey, new: NewDelivery, now: UnixTime) {
        let old = self.deliveries.remove(&key);
        let fence = old.as_ref().map_or(0, |d| d.fence);
        let leased = old.as_ref().and_then(|d| d.leased);
        let first = old.as_ref().and_then(|d| d.first.clone());
        let (leased, due) = match new.due {
            Due::At(due) => (None, Some(due)),
            Due::InFlight => (leased, leased),
            Due::WhenWoken => (None, None),
        };
        let delivery = Delivery {
            state: DeliveryState::Queued,
            resubmission: old.and_then(|d| d.resubmission).or(new.resubmission),
            first,
            since: now,
            fence,
            leased,
            open: new.due == Due::InFlight,
            due,
            woken: None,
            sealed: new.sealed_state,
            ended: None,
        };
        self.deliveries.insert(key, delivery);
    }

    /// Erases the content of an item of which nothing is left to deliver.
    fn erase_if_done(&mut self, tenant: &TenantId, queue: QueueId) {
        let open = self.deliveries.iter().any(|(key, d)| {
            key.tenant == *tenant && key.queue == queue && d.state == DeliveryState::Queued
        });
        if open {
            return;
        }
        if let Some(item) = self.items.get_mut(&(tenant.clone(), queue)) {
            item.content = None;
            item.header = Vec::new();
        }
    }
}

impl Delivery {
    /// Intended, and its lease ended without a result.
    fn ran_out(&self, now: UnixTime) -> bool {
        self.state == DeliveryState::Intended && self.leased.is_none_or(|until| until <= now)
    }

    /// The first delivery of its submission; `key` is its own.
    fn first_of(&self, key: &DeliveryKey) -> DeliveryKey {
        self.first.as_ref().unwrap_or(key).clone()
    }

    fn earlier(&self, key: &DeliveryKey) -> Earlier {
        Earlier {
            delivery: key.clone(),
            state: self.state,
        }
    }

    fn end(&mut self, state: DeliveryState, now: UnixTime) {
        self.state = state;
        self.leased = None;
        self.open = false;
        self.due = None;
        self.woken = None;
        self.sealed = Vec::new();
        self.ended = Some(now);
    }

    fn defer(&mut self, due: Due, sealed: Vec<u8>) -> Result<(), StoreError> {
        if self.state != DeliveryState::Queued {
            return Err(StoreError::NotFound);
        }
        self.sealed = sealed;
        if due == Due::InFlight {
            return Ok(());
        }
        let planned = match due {
            Due::At(due) => Some(due),
            Due::InFlight | Due::WhenWoken => None,
        };
        // A wake that came while the attempt ran is not lost.
        let woken = self.woken.take();
        self.due = planned.into_iter().chain(woken).min();
        self.leased = None;
        self.open = false;
        Ok(())
    }
}

#[async_trait]
impl Spool for MemorySpool {
    async fn intend(
        &self,
        intents: Vec<Intent>,
        now: UnixTime,
        lease: Duration,
    ) -> Result<Vec<Claim>, StoreError> {
        let mut state = lock(&self.state);
        let mut claims = Vec::new();
        for intent in intents {
            let claim = state.claim(&intent, now, now.plus(lease));
            if matches!(claim, Claim::Granted { .. }) {
                self.audit.record(&intent.delivery.tenant, intent.events);
            }
            claims.push(claim);
        }
        Ok(claims)
    }

    async fn commit(&self, item: NewItem, now: UnixTime) -> Result<Committed, StoreError> {
        let content = collect(&**item.content.ciphertext())
            .await
            .map_err(unread)?;
        let mut state = lock(&self.state);
        let id = (item.tenant.clone(), item.queue);
        if state.items.contains_key(&id) {
            return Err(StoreError::AlreadyExists);
        }
        let key = |recipient| DeliveryKey {
            tenant: item.tenant.clone(),
            queue: item.queue,
            recipient,
        };
        for new in &item.deliveries {
            state.check_new(&key(new.recipient), new)?;
        }
        if state.octets().saturating_add(content.len()) > self.room {
            return Err(StoreError::Full);
        }
        for new in item.deliveries {
            state.write_new(key(new.recipient), new, now);
        }
        let kept = Item {
            class: item.class,
            header: item.sealed_header,
            content: Some(content),
        };
        state.items.insert(id, kept);
        self.audit.record(&item.tenant, item.events);
        Ok(Committed::assertion(item.queue))
    }

    async fn lease_due(
        &self,
        which: DueMail,
        now: UnixTime,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Leased>, StoreError> {
        let mut state = lock(&self.state);
        let State { deliveries, items } = &mut *state;
        let mut due: Vec<_> = deliveries
            .iter_mut()
            .filter(|(_, d)| d.state == DeliveryState::Queued)
            .filter_map(|(key, d)| d.due.map(|due| (due, key, d)))
            .filter(|(due, key, _)| {
                let item = items.get(&(key.tenant.clone(), key.queue));
                let is_message = item.is_some_and(|item| item.class == ItemClass::Content);
                *due <= now && (which == DueMail::All || !is_message)
            })
            .collect();
        due.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        let mut leased = Vec::new();
        for (_, key, delivery) in due.into_iter().take(limit) {
            let Some(item) = items.get(&(key.tenant.clone(), key.queue)) else {
                continue;
            };
            let unsettled = delivery.open;
            delivery.fence = delivery.fence.saturating_add(1);
            delivery.leased = Some(now.plus(lease));
            delivery.due = delivery.leased;
            leased.push(Leased {
                lease: Lease {
                    delivery: key.clone(),
                    fence: delivery.fence,
                },
                class: item.class,
                sealed_header: item.header.clone(),
                sealed_state: delivery.sealed.clone(),
                unsettled,
            });
        }
        Ok(leased)
    }

    async fn open_dot(&self, lease: &Lease) -> Result<(), StoreError> {
        lock(&self.state).held(lease)?.open = true;
        Ok(())
    }

    async fn renew(&self, lease: &Lease, now: UnixTime, more: Duration) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        let delivery = state.held(lease)?;
        delivery.leased = Some(now.plus(more));
        if delivery.state == DeliveryState::Queued {
            delivery.due = delivery.leased;
        }
        Ok(())
    }

    async fn content(
        &self,
        tenant: &TenantId,
        queue: QueueId,
    ) -> Result<SealedContent, StoreError> {
        let state = lock(&self.state);
        let item = state.items.get(&(tenant.clone(), queue));
        let octets = item.and_then(|item| item.content.clone());
        let content = MemoryContent::new(octets.ok_or(StoreError::NotFound)?);
        Ok(SealedContent::assertion(Arc::new(content)))
    }

    async fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        events: Vec<NewEvent>,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        let delivery = state.held(lease)?;
        match settlement {
            Settlement::Bounced => delivery.end(DeliveryState::Bounced, now),
            Settlement::Deferred { due, sealed_state } => delivery.defer(due, sealed_state)?,
            Settlement::Released => delivery.end(DeliveryState::Released, now),
            Settlement::Sent => delivery.end(DeliveryState::Sent, now),
            Settlement::Vaulted => delivery.end(DeliveryState::Vaulted, now),
        }
        state.erase_if_done(&lease.delivery.tenant, lease.delivery.queue);
        self.audit.record(&lease.delivery.tenant, events);
        Ok(())
    }

    async fn state(&self, delivery: &DeliveryKey) -> Result<DeliveryState, StoreError> {
        let state = lock(&self.state);
        let found = state.deliveries.get(delivery);
        found.map(|d| d.state).ok_or(StoreError::NotFound)
    }

    async fn wake(&self, delivery: &DeliveryKey, due: UnixTime) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        let found = state.deliveries.get_mut(delivery);
        let queued = found.filter(|d| d.state == DeliveryState::Queued);
        let delivery = queued.ok_or(StoreError::NotFound)?;
        if delivery.leased.is_some() {
            delivery.woken = Some(due);
        } else {
            delivery.due = Some(due);
        }
        Ok(())
    }

    async fn oldest(&self) -> Result<Option<UnixTime>, StoreError> {
        let state = lock(&self.state);
        let queued = |d: &&Delivery| d.state == DeliveryState::Queued;
        let since = state.deliveries.values().filter(queued).map(|d| d.since);
        Ok(since.min())
    }

    async fn forget_ended(&self, before: UnixTime) -> Result<usize, StoreError> {
        let mut state = lock(&self.state);
        let count = state.deliveries.len();
        state.deliveries.retain(|_, d| {
            let abandoned =
                d.state == DeliveryState::Intended && d.leased.is_none_or(|until| until < before);
            !abandoned && d.ended.is_none_or(|ended| ended >= before)
        });
        let forgotten = count.saturating_sub(state.deliveries.len());
        let State { deliveries, items } = &mut *state;
        items.retain(|(tenant, queue), _| {
            deliveries
                .keys()
                .any(|key| key.tenant == *tenant && key.queue == *queue)
        });
        Ok(forgotten)
    }
}
