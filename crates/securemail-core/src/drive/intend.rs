//! Writes down what is about to be tried, while it begins: no final dot leaves before that is durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_channel::oneshot;

use super::Relay;
use super::deliver::Delivery;
use super::item::DeliveryRecord;
use super::rounds::Rounds;
use super::submission::{Accepted, Screened, try_later};
use crate::StoreError;
use crate::backend::{Claim, Committed, Earlier, End, Intent, Lease};
use crate::route::Evidence;
use crate::vocab::{DeliveryKey, EnhancedStatus, Reply};

/// The intents of a message, on their way to the disk.
type Intents = oneshot::Receiver<Result<Vec<Claim>, StoreError>>;

/// A message whose attempts are under way and whose intents are durable.
#[derive(Debug)]
pub(super) struct Begun {
    /// The message as it goes out.
    pub message: Arc<Accepted>,
    /// The attempts.
    pub rounds: Rounds,
    /// Recipients whose earlier submission stands, by their place in the envelope.
    pub earlier: Vec<(u16, Earlier)>,
    /// Recipients whose lost attempt is in the vault.
    pub met: Vec<(u16, Arc<Committed>)>,
}

/// What the spool said to the intents of one message.
#[derive(Default)]
struct Claims {
    granted: Vec<Lease>,
    earlier: Vec<(u16, Earlier)>,
    /// Granted ones that were tried before, and nobody knows how that ended.
    lost: BTreeMap<u16, DeliveryKey>,
}

impl Claims {
    /// What may be taken back: whatever was tried before must stay known, so that a repeat is marked.
    fn without_past(self) -> Vec<Lease> {
        let Self {
            mut granted, lost, ..
        } = self;
        granted.retain(|lease| !lost.contains_key(&lease.delivery.recipient));
        granted
    }
}

impl Relay {
    /// Begins the attempts, and returns when their intents are durable: DNS, handshakes and bodies
    /// overlap with the commit.
    ///
    /// Nearly always every intent is granted for the first time, so that is what is begun on. Where the
    /// spool says otherwise, what was begun is called off before its final dot, and what is granted
    /// begins again; a repeat is rare enough to pay for a second handshake.
    ///
    /// # Errors
    /// The reply for the sender. Nothing was handed over then, and nothing stays intended.
    pub(super) async fn begin(self: &Arc<Self>, screened: &Screened) -> Result<Begun, Reply> {
        let intents = self.intend(screened);
        let message = match self.prepare_logged(screened, BTreeMap::new()).await {
            Ok(message) => message,
            Err(reply) => return Err(self.refuse(intents, reply).await),
        };
        let rounds = self.begin_rounds(&message, message.hoped_for());
        let claims = match claimed(intents).await {
            Ok(claims) => claims,
            Err(reply) => {
                rounds.call_off().await;
                return Err(reply);
            }
        };
        if claims.are_as_hoped(&message) {
            return Ok(Begun {
                message,
                rounds: rounds.let_go(),
                earlier: Vec::new(),
                met: Vec::new(),
            });
        }
        rounds.call_off().await;
        self.begin_again(screened, message, claims).await
    }

    /// Begins with what was granted, marked where an earlier copy may have arrived.
    async fn begin_again(
        self: &Arc<Self>,
        screened: &Screened,
        mut message: Arc<Accepted>,
        claims: Claims,
    ) -> Result<Begun, Reply> {
        if !claims.lost.is_empty() {
            message = match self.prepare_logged(screened, claims.lost.clone()).await {
                Ok(message) => message,
                Err(reply) => {
                    self.release_all(claims.without_past()).await;
                    return Err(reply);
                }
            };
        }
        let mut granted = claims.granted.clone();
        let Ok(met) = self.meet_lost(&message, &mut granted).await else {
            self.release_all(claims.without_past()).await;
            return Err(try_later());
        };
        let rounds = self.begin_rounds(&message, granted);
        Ok(Begun {
            message,
            rounds: rounds.let_go(),
            earlier: claims.earlier,
            met,
        })
    }

    /// Settles those of `granted` whose lost attempt came as far as the vault, and takes them out.
    async fn meet_lost(
        &self,
        message: &Accepted,
        granted: &mut Vec<Lease>,
    ) -> Result<Vec<(u16, Arc<Committed>)>, StoreError> {
        let mut met = Vec::new();
        for (index, first) in &message.lost {
            let lease = granted.iter().find(|l| l.delivery.recipient == *index);
            let address = message.envelope.recipients.get(usize::from(*index));
            let (Some(lease), Some(address)) = (lease, address) else {
                continue;
            };
            let found = self.meet(&message.log, (lease, address), first).await?;
            met.extend(found.map(|committed| (*index, Arc::new(committed))));
        }
        granted.retain(|lease| {
            met.iter()
                .all(|(index, _)| *index != lease.delivery.recipient)
        });
        for _ in &met {
            self.observe_end(End::Vaulted, message.header.accepted);
        }
        Ok(met)
    }

    /// Hands the intents of all recipients to the spool.
    fn intend(self: &Arc<Self>, screened: &Screened) -> Intents {
        let keys = screened.resubmission.as_deref();
        let intents = (0u16..)
            .zip(&screened.envelope.recipients)
            .map(|(recipient, _)| Intent {
                delivery: screened.delivery(recipient),
                resubmission: keys.and_then(|keys| keys.get(usize::from(recipient)).copied()),
                events: self.on_intent(screened, recipient),
            })
            .collect();
        let (answer, claims) = oneshot::channel();
        let relay = self.clone();
        self.parts.executor.spawn(Box::pin(async move {
            let lease = relay.settings.attempt_lease;
            let claims = relay.parts.spool.intend(intents, relay.now(), lease).await;
            drop(answer.send(claims));
        }));
        claims
    }

    /// Nothing was tried: the intents are taken back.
    async fn refuse(&self, intents: Intents, reply: Reply) -> Reply {
        if let Ok(claims) = claimed(intents).await {
            self.release_all(claims.without_past()).await;
        }
        reply
    }

    async fn prepare_logged(
        &self,
        screened: &Screened,
        lost: BTreeMap<u16, DeliveryKey>,
    ) -> Result<Arc<Accepted>, Reply> {
        match self.prepare(screened, lost).await {
            Ok(message) => Ok(Arc::new(message)),
            Err(reply) => {
                self.on_refused(&screened.envelope, None, &reply).await;
                Err(reply)
            }
        }
    }
}

impl Claims {
    fn of(claims: Vec<Claim>) -> Self {
        let mut all = Self::default();
        for (index, claim) in (0u16..).zip(claims) {
            match claim {
                Claim::Granted { lease, lost } => {
                    all.granted.push(lease);
                    all.lost.extend(lost.map(|first| (index, first)));
                }
                Claim::Earlier(found) => all.earlier.push((index, found)),
            }
        }
        all
    }

    fn are_as_hoped(&self, message: &Accepted) -> bool {
        self.lost.is_empty() && self.granted == message.hoped_for()
    }
}

impl Screened {
    fn delivery(&self, recipient: u16) -> DeliveryKey {
        DeliveryKey {
            tenant: self.tenant.id.clone(),
            queue: self.queue,
            recipient,
        }
    }
}

impl Accepted {
    /// The leases that the spool gives for a message that it does not know.
    fn hoped_for(&self) -> Vec<Lease> {
        let first = |(recipient, _)| {
            Lease::first(DeliveryKey {
                tenant: self.tenant.id.clone(),
                queue: self.queue,
                recipient,
            })
        };
        (0u16..).zip(&self.envelope.recipients).map(first).collect()
    }

    /// A recipient for whom nothing was tried yet.
    pub(super) fn record(&self, recipient: u16) -> Option<DeliveryRecord> {
        let address = self.envelope.recipients.get(usize::from(recipient))?;
        let mut record = DeliveryRecord::new(address.clone());
        record.first = self.lost.get(&recipient).cloned();
        Some(record)
    }

    /// The delivery that a lease is for; nothing is known of its domain yet.
    pub(super) fn delivery(&self, lease: Lease) -> Option<Delivery> {
        let record = self.record(lease.delivery.recipient)?;
        let domain = record.recipient.domain();
        let evidence = Evidence::new(domain.clone(), self.profile(domain), self.facts());
        Some(Delivery {
            lease,
            log: self.log.clone(),
            record,
            evidence,
            sent: None,
        })
    }
}

/// What the spool said, or the reply where the intents are not durable.
async fn claimed(intents: Intents) -> Result<Claims, Reply> {
    match intents.await {
        Ok(Ok(claims)) => Ok(Claims::of(claims)),
        Ok(Err(error)) => Err(no_room(&error)),
        Err(oneshot::Canceled) => Err(try_later()),
    }
}

/// No room for the intent: the sender keeps the message (RFC 3463, X.3.1).
fn no_room(error: &StoreError) -> Reply {
    match error {
        StoreError::Full => Reply::new(
            452,
            Some(EnhancedStatus::new(4, 3, 1)),
            "no room for messages now; please try again later",
        ),
        _ => try_later(),
    }
}
