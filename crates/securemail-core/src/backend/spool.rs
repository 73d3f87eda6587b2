//! Holds what we have taken responsibility for, and what we are about to try.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::NewEvent;
use crate::StoreError;
use crate::vocab::{DeliveryKey, KeyedHash, QueueId, SealedContent, TenantId, UnixTime};

/// Holds deliveries: one for each recipient of each message.
///
/// A delivery is first *intended* (durable before the final dot goes out; its content is in memory
/// only), then *sent*, *bounced*, *vaulted*, or *queued* with its sealed content. Calls that come at
/// the same time share one commit to the disk.
///
/// # Contract
/// - **S1** When `intend` returns `Ok`, the granted intents are durable. The lease of a delivery that
///   was not known is [`Lease::first`].
/// - **S2** Of several intents with one resubmission key, within 24 hours, one is granted at a time;
///   the others get `Earlier`. One that ended `Bounced` or `Released` does not stand in the way; one
///   whose lease ran out without a result is granted again, with the first that was `lost` so.
/// - **S3** When `commit` returns `Ok`, the item, its deliveries and its content survive the loss of
///   this process and machine state.
/// - **S4** While a lease runs, no other caller is given the delivery.
/// - **S5** A queued delivery whose lease ran out is due again; nothing is lost between lease and settle.
///   A spool that knows that the process of a holder ended may let its leases run out at once.
/// - **S6** `settle` with a lease that is not the newest fails with `LeaseLost` and changes nothing.
/// - **S7** Events handed in with a change are in the tenant's log exactly when the change is.
/// - **S8** When the last delivery of an item ended, its content is erased.
/// - **S9** `commit` of an item that is already there, under leases that still hold, fails with
///   `AlreadyExists` and changes nothing.
/// - **S10** When a call returns `Full`, nothing was changed, and `settle` still works.
/// - **S11** `oldest` is when the delivery that has been queued for longest was committed, however often
///   it was put off, and `None` only where none is queued: what is older may be destroyed.
/// - **S12** When `open_dot` returns `Ok`, it is durable that the peer may have the message: until the
///   delivery is settled, each later lease is `unsettled`. So is one that was committed in flight. A
///   lease that ran out without either is given again as if it had never been.
/// - **S13** Asked for mail of ours alone, `lease_due` gives no message, and passes by however many are
///   due at no cost.
#[async_trait]
pub trait Spool: fmt::Debug + Send + Sync + 'static {
    /// Writes down what is about to be tried; answers in the order of `intents`.
    ///
    /// # Errors
    /// `Full`, `Unavailable`: then nothing may be tried.
    async fn intend(
        &self,
        intents: Vec<Intent>,
        now: UnixTime,
        lease: Duration,
    ) -> Result<Vec<Claim>, StoreError>;

    /// Takes responsibility: content and deliveries become durable.
    ///
    /// # Errors
    /// `AlreadyExists`, `Full`, `LeaseLost`, `Unavailable`.
    async fn commit(&self, item: NewItem, now: UnixTime) -> Result<Committed, StoreError>;

    /// Deliveries that are due, of all tenants, the longest due first, leased to the caller.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn lease_due(
        &self,
        which: DueMail,
        now: UnixTime,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Leased>, StoreError>;

    /// Writes down that the final dot of the attempt under this lease may leave from here on.
    ///
    /// An intent needs no such call: when its lease runs out, it counts as tried.
    ///
    /// # Errors
    /// `LeaseLost`, `Unavailable`: then the final dot must not leave.
    async fn open_dot(&self, lease: &Lease) -> Result<(), StoreError>;

    /// Makes the lease last until `now + lease`.
    ///
    /// # Errors
    /// `LeaseLost`, `Unavailable`.
    async fn renew(&self, lease: &Lease, now: UnixTime, more: Duration) -> Result<(), StoreError>;

    /// The sealed content of a committed item.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn content(&self, tenant: &TenantId, queue: QueueId)
    -> Result<SealedContent, StoreError>;

    /// Writes down how an attempt ended.
    ///
    /// # Errors
    /// `LeaseLost`, `Unavailable`; `NotFound` where a delivery is deferred that was never committed:
    /// nothing of it is there that could be tried again.
    async fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        events: Vec<NewEvent>,
        now: UnixTime,
    ) -> Result<(), StoreError>;

    /// How a delivery stands.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn state(&self, delivery: &DeliveryKey) -> Result<DeliveryState, StoreError>;

    /// Makes a queued delivery due at `due`: when a telephone number came, or the sender released it.
    /// While an attempt runs, it takes effect when that is deferred.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn wake(&self, delivery: &DeliveryKey, due: UnixTime) -> Result<(), StoreError>;

    /// When the oldest delivery that is still queued was committed; `None` where none is queued.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn oldest(&self) -> Result<Option<UnixTime>, StoreError>;

    /// Forgets deliveries that ended before `before`, and intents whose lease ran out before it;
    /// returns how many.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn forget_ended(&self, before: UnixTime) -> Result<usize, StoreError>;
}

/// What identifies a repeated submission: a keyed hash over tenant, account, recipient, Message-ID and
/// the octets received. Without a Message-ID there is none, and nothing is deduplicated.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ResubmissionKey(pub KeyedHash);

/// One attempt that is about to be made from memory.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Which delivery.
    pub delivery: DeliveryKey,
    /// What makes a repeat recognisable.
    pub resubmission: Option<ResubmissionKey>,
    /// Events to be logged with it.
    pub events: Vec<NewEvent>,
}

/// The answer to an intent.
#[derive(Debug)]
pub enum Claim {
    /// The same submission is known already.
    Earlier(Earlier),
    /// Go on.
    Granted {
        /// The right to settle it.
        lease: Lease,
        /// The first delivery of the same submission, where attempts ended without a known result:
        /// mark this one as a possible duplicate, and let its acts meet what that one left behind.
        lost: Option<DeliveryKey>,
    },
}

/// An earlier submission of the same octets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Earlier {
    /// The delivery that stands for it.
    pub delivery: DeliveryKey,
    /// How it stands.
    pub state: DeliveryState,
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeliveryState {
    /// Given back to its sender with a DSN.
    Bounced,
    /// Being tried from memory; nothing is known yet.
    Intended,
    /// Committed; it is tried when due.
    Queued,
    /// Refused while the sender was still there, or not tried: nobody was promised anything.
    Released,
    /// Handed over to the next server.
    Sent,
    /// In the vault.
    Vaulted,
}

/// The right to settle one attempt, fenced: a later lease makes an earlier one void.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lease {
    /// Which delivery.
    pub delivery: DeliveryKey,
    /// Rises with each lease of the delivery.
    pub fence: u64,
}

impl Lease {
    /// The lease that `intend` gives for a delivery that the spool does not know (contract S1).
    #[must_use]
    pub const fn first(delivery: DeliveryKey) -> Self {
        Self { delivery, fence: 1 }
    }
}

/// A message that we take responsibility for.
#[derive(Debug)]
pub struct NewItem {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id.
    pub queue: QueueId,
    /// What kind of mail it is.
    pub class: ItemClass,
    /// Header facts and keys that all deliveries need; sealed by core, opaque to the store.
    pub sealed_header: Vec<u8>,
    /// The sealed content. Content-free mail has its text here too, sealed likewise.
    pub content: SealedContent,
    /// Its deliveries; those that were intended bring their lease.
    pub deliveries: Vec<NewDelivery>,
    /// Events to be logged with it.
    pub events: Vec<NewEvent>,
}

/// What kind of mail an item is. Only `Content` was written by a sender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ItemClass {
    /// Somebody's message.
    Content,
    /// "Something is waiting for you": to a recipient, content-free.
    Notice,
    /// DSN, "number missing", status: to the authenticated sender, content-free.
    SenderMail,
    /// Counts of sessions, to a domain that asks for them (RFC 8460).
    TlsReport,
}

/// Which of the deliveries that are due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DueMail {
    /// Messages, and mail of ours.
    All,
    /// Mail of ours alone.
    Own,
}

/// One delivery of a new item.
#[derive(Debug)]
pub struct NewDelivery {
    /// Which recipient.
    pub recipient: u16,
    /// The lease of its intent, if it was intended; the commit ends that lease unless `due` keeps it.
    pub lease: Option<Lease>,
    /// What makes a repeat recognisable, for a delivery that was not intended.
    pub resubmission: Option<ResubmissionKey>,
    /// When it is tried.
    pub due: Due,
    /// Recipient, schedule and history; sealed by core, opaque to the store.
    pub sealed_state: Vec<u8>,
}

/// When a delivery is tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Due {
    /// From this moment on.
    At(UnixTime),
    /// An attempt is in flight under the lease that came with it; due when that lease ends unsettled.
    InFlight,
    /// When `wake` is called: something is missing.
    WhenWoken,
}

/// A due delivery, leased.
#[derive(Debug)]
pub struct Leased {
    /// The right to settle it.
    pub lease: Lease,
    /// What kind of mail it is.
    pub class: ItemClass,
    /// As it was committed.
    pub sealed_header: Vec<u8>,
    /// As it was last written.
    pub sealed_state: Vec<u8>,
    /// An earlier lease ended without a result after its final dot may have left: the peer may have
    /// the message.
    pub unsettled: bool,
}

/// How an attempt ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Settlement {
    /// A DSN about it is durable.
    Bounced,
    /// It stays queued.
    Deferred {
        /// When it is tried again.
        due: Due,
        /// The new state, sealed.
        sealed_state: Vec<u8>,
    },
    /// Refused in the session or not tried; nobody was promised anything.
    Released,
    /// Handed over.
    Sent,
    /// The vault has it.
    Vaulted,
}

/// Witness: this item is durable. Only a spool makes one.
#[derive(Debug)]
pub struct Committed(QueueId);

impl Committed {
    /// Asserts that the item is durable. Called by spools alone; `cargo xtask tidy` lists them.
    #[must_use]
    pub const fn assertion(queue: QueueId) -> Self {
        Self(queue)
    }

    /// Which item.
    #[must_use]
    pub const fn queue(&self) -> QueueId {
        self.0
    }
}

/// Witness: the next server took responsibility and that is written down.
#[derive(Debug)]
pub struct HandedOver(DeliveryKey);

impl HandedOver {
    /// Asserts that `settle(Sent)` of this delivery returned `Ok`. `cargo xtask tidy` lists the calls.
    #[must_use]
    pub const fn assertion(delivery: DeliveryKey) -> Self {
        Self(delivery)
    }

    /// Which delivery.
    #[must_use]
    pub const fn delivery(&self) -> &DeliveryKey {
        &self.0
    }
}

/// Witness: a DSN about a recipient is durable.
#[derive(Debug)]
pub struct DsnCommitted(Committed);

impl DsnCommitted {
    /// Asserts that `dsn` is the commit of a DSN. `cargo xtask tidy` lists the calls.
    #[must_use]
    pub const fn assertion(dsn: Committed) -> Self {
        Self(dsn)
    }

    /// The DSN's own item.
    #[must_use]
    pub const fn dsn(&self) -> QueueId {
        self.0.queue()
    }
}
