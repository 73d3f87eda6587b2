//! After the first attempts: every recipient is covered, or the sender keeps the message.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_channel::oneshot;
use futures_util::future::join_all;

use super::Relay;
use super::deliver::{Delivery, Verdict};
use super::item::DeliveryRecord;
use super::rounds::CommitDone;
use super::settled::Covered;
use super::submission::Accepted;
use crate::StoreError;
use crate::backend::{Due, End, ItemClass, Lease, NewDelivery, NewEvent, NewItem, Settlement};
use crate::route::{Decision, Route};
use crate::vocab::{Language, Reply, ReversePath};

/// How a delivery stands when its sender has to be answered.
#[derive(Debug)]
pub(super) enum Standing {
    /// Its round ended.
    Ended(Box<Delivery>, Verdict),
    /// Attempts that may have reached the peer; they share one session.
    InFlight(Vec<Lease>, oneshot::Sender<CommitDone>),
    /// Nothing was handed over.
    NotTried(Lease),
}

/// A delivery that goes into the spool.
#[derive(Debug)]
struct Waiting {
    lease: Lease,
    record: DeliveryRecord,
    due: Due,
    events: Vec<NewEvent>,
}

impl Relay {
    /// Covers recipients in the order of certainty: handed over, vault, spool; refused ones last,
    /// since a refusal is given in the session only where nobody took anything.
    pub(super) async fn conclude(
        &self,
        message: &Accepted,
        standings: Vec<Standing>,
        covered: &mut BTreeMap<u16, Covered>,
    ) {
        let mut refused = Vec::new();
        let mut waiting = Vec::new();
        let mut in_flight = Vec::new();
        let mut handed = Vec::new();
        let mut diverted = Vec::new();
        for standing in standings {
            match standing {
                Standing::Ended(delivery, Verdict::Decided(decision)) => match decision.route {
                    Route::Bounce { .. } => refused.push((*delivery, decision)),
                    Route::Vault { .. } => diverted.push((*delivery, decision)),
                    Route::Defer { not_before, .. } => {
                        waiting.push(self.waiting(*delivery, Due::At(not_before), Some(&decision)));
                    }
                    Route::Deliver(_) => {
                        waiting.push(self.waiting(*delivery, Due::At(self.now()), None));
                    }
                },
                Standing::Ended(delivery, Verdict::CalledOff) => {
                    waiting.push(self.waiting(*delivery, Due::At(self.now()), None));
                }
                Standing::Ended(delivery, verdict) => handed.push((*delivery, verdict)),
                Standing::NotTried(lease) => {
                    waiting.extend(message.waiting(lease, Due::At(self.now())))
                }
                Standing::InFlight(leases, committed) => {
                    let leases = leases.into_iter();
                    waiting.extend(leases.filter_map(|l| message.waiting(l, Due::InFlight)));
                    in_flight.push(committed);
                }
            }
        }
        let handed = handed.into_iter().map(|(d, v)| self.conclude_handed(d, v));
        covered.extend(join_all(handed).await.into_iter().flatten());
        for (mut delivery, decision) in diverted {
            let index = delivery.lease.delivery.recipient;
            match self
                .divert(&message.header, &message.content, &delivery, &decision)
                .await
            {
                Ok(committed) => {
                    covered.insert(index, Covered::Committed(Arc::new(committed)));
                }
                Err(error) => {
                    tracing::warn!(queue_id = %delivery.lease.delivery, %error, "the vault cannot take it now; it waits");
                    let due = self.now().plus(self.settings.own_fault_retry);
                    delivery.record.deposited = true;
                    // The decision is logged when it is carried out.
                    waiting.push(self.waiting(delivery, Due::At(due), None));
                }
            }
        }
        if message.header.reverse_path == ReversePath::Null
            && !(waiting.is_empty() && covered.is_empty())
        {
            // No DSN can be sent to `<>`; the worker ends these (RFC 5321, section 6.1).
            let late = refused
                .drain(..)
                .map(|(d, c)| self.waiting(d, Due::At(self.now()), Some(&c)));
            waiting.extend(late);
        }
        self.conclude_waiting(message, waiting, in_flight, covered)
            .await;
        self.conclude_refused(message, refused, covered).await;
    }

    async fn conclude_handed(
        &self,
        delivery: Delivery,
        verdict: Verdict,
    ) -> Option<(u16, Covered)> {
        let index = delivery.lease.delivery.recipient;
        let handed = self.settle_handed(&delivery, &verdict).await.ok()?;
        Some((index, Covered::HandedOver(handed)))
    }

    /// Seals what must wait into the spool, all recipients in one item.
    async fn conclude_waiting(
        &self,
        message: &Accepted,
        waiting: Vec<Waiting>,
        in_flight: Vec<oneshot::Sender<CommitDone>>,
        covered: &mut BTreeMap<u16, Covered>,
    ) {
        if waiting.is_empty() {
            return;
        }
        let indexes: Vec<u16> = waiting.iter().map(|w| w.lease.delivery.recipient).collect();
        // What is in flight settles itself.
        let intents: Vec<(Lease, DeliveryRecord)> = waiting
            .iter()
            .filter(|w| w.due != Due::InFlight)
            .map(|w| (w.lease.clone(), w.record.clone()))
            .collect();
        let done = match self.commit_waiting(message, waiting).await {
            Ok(committed) => {
                let committed = Arc::new(committed);
                let each = indexes
                    .into_iter()
                    .map(|i| (i, Covered::Committed(committed.clone())));
                covered.extend(each);
                CommitDone::Queued
            }
            Err(error) => {
                tracing::warn!(queue_id = %message.queue, %error, "cannot be queued; the sender keeps it");
                for (lease, record) in intents {
                    self.take_back(&lease, &record).await;
                }
                CommitDone::Refused
            }
        };
        for attempt in in_flight {
            if attempt.send(done).is_err() {
                tracing::debug!(queue_id = %message.queue, "an attempt ended without waiting");
            }
        }
    }

    async fn commit_waiting(
        &self,
        message: &Accepted,
        waiting: Vec<Waiting>,
    ) -> Result<crate::backend::Committed, StoreError> {
        let tenant = &message.tenant.id;
        let (content, header) = self
            .seal_content(tenant, message.queue, &message.content, &message.header)
            .await?;
        let mut deliveries = Vec::new();
        let mut events = Vec::new();
        for Waiting {
            lease,
            record,
            due,
            events: mut about,
        } in waiting
        {
            events.append(&mut about);
            deliveries.push(NewDelivery {
                recipient: lease.delivery.recipient,
                lease: Some(lease),
                resubmission: None,
                due,
                sealed_state: self.seal_record(tenant, message.queue, &record)?,
            });
        }
        let item = NewItem {
            tenant: tenant.clone(),
            queue: message.queue,
            class: ItemClass::Content,
            sealed_header: self.seal_record(tenant, message.queue, &header)?,
            content,
            deliveries,
            events,
        };
        self.parts.spool.commit(item, self.now()).await
    }

    /// Refuses in the session where all were refused; else gives back by DSN, if all others are covered.
    async fn conclude_refused(
        &self,
        message: &Accepted,
        refused: Vec<(Delivery, Decision)>,
        covered: &mut BTreeMap<u16, Covered>,
    ) {
        let recipients = message.envelope.recipients.len();
        let all_refused = refused.len() == recipients;
        let others_covered = covered.len().saturating_add(refused.len()) == recipients;
        for (delivery, decision) in refused {
            let index = delivery.lease.delivery.recipient;
            if all_refused {
                let reply = refusal(&decision);
                let events = self.on_decision(&delivery, &decision);
                let settled = self
                    .settle(&delivery.lease, Settlement::Released, events)
                    .await;
                if settled.is_ok() {
                    self.observe_end(End::Refused, message.header.accepted);
                    covered.insert(index, Covered::Refused(reply));
                }
            } else if others_covered {
                match self.bounce(&message.header, &delivery, &decision).await {
                    Ok(Some(dsn)) => drop(covered.insert(index, Covered::DsnCommitted(dsn))),
                    Ok(None) | Err(_) => self.take_back(&delivery.lease, &delivery.record).await,
                }
            } else {
                self.take_back(&delivery.lease, &delivery.record).await;
            }
        }
    }

    pub(super) async fn release_all(&self, leases: Vec<Lease>) {
        for lease in leases {
            if let Err(error) = self.settle(&lease, Settlement::Released, Vec::new()).await {
                tracing::warn!(queue_id = %lease.delivery, %error, "intent not released");
            }
        }
    }

    /// Takes an intent back, of which nobody was promised anything. Where the peer or the vault may have
    /// the message, of this attempt or of an earlier one that was lost, the intent lapses instead: a repeat
    /// is then marked as a possible duplicate, and meets what is in the vault.
    pub(super) async fn take_back(&self, lease: &Lease, record: &DeliveryRecord) {
        let is_known = record.may_have_arrived() || record.deposited || record.first.is_some();
        if !is_known {
            self.release_all(vec![lease.clone()]).await;
        }
    }

    fn waiting(&self, mut delivery: Delivery, due: Due, decision: Option<&Decision>) -> Waiting {
        let mut events = self.on_unconfirmed(&delivery);
        if let Some(decision) = decision {
            events.extend(self.on_decision(&delivery, decision));
            events.extend(self.alarm(&mut delivery, decision));
            self.observe_hold(decision);
        }
        let Delivery {
            lease, mut record, ..
        } = delivery;
        record.rounds = record.rounds.saturating_add(1);
        Waiting {
            lease,
            record,
            due,
            events,
        }
    }
}

impl Accepted {
    fn waiting(&self, lease: Lease, due: Due) -> Option<Waiting> {
        Some(Waiting {
            record: self.record(lease.delivery.recipient)?,
            lease,
            due,
            events: Vec::new(),
        })
    }
}

/// The reply that refuses for good.
fn refusal(decision: &Decision) -> Reply {
    match &decision.route {
        Route::Bounce { status, rule } => {
            let why = rule.verdict(Language::English);
            Reply::new(550, Some(*status), &why)
        }
        Route::Defer { .. } | Route::Deliver(_) | Route::Vault { .. } => {
            super::submission::try_later()
        }
    }
}
