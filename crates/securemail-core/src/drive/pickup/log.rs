//! What happened to a pickup, as events of the tenant's log.
//!
//! For ordinary mail nobody learns when or where it was opened (P7): no event says that a link was
//! followed, that a code was sent or was right, or that a message was read. The end of a message that
//! was picked up looks like its end by the recipient's wish.

use super::super::reached::{Reached, reached};
use super::record::Outcome;
use super::{PickupError, PickupService};
use crate::backend::NewEvent;
use crate::ledger::{Event, EventName, Log};
use crate::mail::Reference;
use crate::pickup::{Ending, Facts, Loggable, Pickup, Unlogged};
use crate::vocab::{DeliveryKey, PhoneNumber, ReversePath, UnixTime};

/// What happened.
#[derive(Debug)]
pub(super) enum Happened<'a> {
    AddressBlocked,
    CodeFailed(&'a str),
    CodeWrong,
    /// With SHA-256 of the octets that were sealed.
    Deposited([u8; 32]),
    Destroyed(Ending),
    Locked,
    NoticeBounced,
    NumberDoubted,
    NumberGiven(&'a PhoneNumber),
    NumberMissing,
    Released,
}

impl Happened<'_> {
    fn event(&self, facts: &Facts, now: UnixTime) -> Event {
        let (name, reason) = match *self {
            Self::AddressBlocked => (EventName::AddressBlocked, None),
            Self::CodeFailed(why) => (EventName::CodeFailed, Some(why)),
            Self::CodeWrong => (EventName::CodeWrong, None),
            Self::Deposited(_) => (EventName::ContentConsignment, Some(facts.reason.as_str())),
            Self::Destroyed(ending) => ended(ending),
            Self::Locked => (EventName::Locked, None),
            Self::NoticeBounced => (
                EventName::ConsignmentNotificationFailure,
                Some("the notice came back"),
            ),
            Self::NumberDoubted => (
                EventName::CodeFailed,
                Some("the recipient or the carrier says that the number is wrong"),
            ),
            Self::NumberGiven(_) => (EventName::PhoneGiven, None),
            Self::NumberMissing => (EventName::PhoneMissing, None),
            Self::Released => (EventName::Released, None),
        };
        let event = Event::new(name, now, facts.queue)
            .recipient(facts.recipient_number, &facts.recipient)
            .sender(&ReversePath::Mailbox(facts.sender.clone()));
        let event = match self {
            Self::Deposited(digest) => event
                .content_digest(digest)
                .reference(&Reference::of_vault(facts.id).to_string()),
            Self::NumberGiven(phone) => event.phone(phone),
            Self::AddressBlocked
            | Self::CodeFailed(_)
            | Self::CodeWrong
            | Self::Destroyed(_)
            | Self::Locked
            | Self::NoticeBounced
            | Self::NumberDoubted
            | Self::NumberMissing
            | Self::Released => event,
        };
        match reason {
            Some(reason) => event.reason(reason),
            None => event,
        }
    }
}

fn ended(ending: Ending) -> (EventName, Option<&'static str>) {
    match ending {
        // Not which of both: "the grace time is over" would say when it was read.
        Ending::GraceOver | Ending::RecipientsWish => (EventName::Destroyed, None),
        Ending::Abandoned => (
            EventName::ContentConsignmentFailure,
            Some("the content never became durable"),
        ),
        Ending::Expired => (
            EventName::ContentHandoverFailure,
            Some("not picked up in time"),
        ),
        Ending::NoticeRefused => (
            EventName::ContentHandoverFailure,
            Some("the recipient's host refused the notice"),
        ),
        Ending::NumberNeverCame => (
            EventName::ContentHandoverFailure,
            Some("no telephone number came in time"),
        ),
    }
}

impl From<Loggable> for Happened<'_> {
    fn from(what: Loggable) -> Self {
        match what {
            Loggable::CodeWrong => Self::CodeWrong,
            Loggable::Destroyed(ending) => Self::Destroyed(ending),
            Loggable::Locked => Self::Locked,
        }
    }
}

impl PickupService {
    /// Logs what stands in the record and not in the log. Where that fails the sweep does it later.
    pub(super) async fn log_unlogged(
        &self,
        pickup: Pickup,
        events: Vec<Unlogged>,
    ) -> Result<Pickup, PickupError> {
        if events.is_empty() {
            return Ok(pickup);
        }
        let happened = events.iter().map(|event| (event.what.into(), event.at));
        self.append(pickup.facts(), Vec::new(), happened.collect())
            .await?;
        let logged = |pickup: &mut Pickup| {
            pickup.logged(&events);
            Outcome::Write(())
        };
        Ok(self.change(&pickup.facts().key(), logged).await?.1)
    }

    /// Whether the tenant's log says that this delivery is in the vault: from then on it is.
    pub(super) async fn is_consigned(&self, delivery: &DeliveryKey) -> Result<bool, PickupError> {
        let log = Log::of_tenant(delivery.tenant.clone(), &*self.parts.master).await?;
        let reached = reached(&*self.parts.audit, &log, delivery).await?;
        Ok(reached == Some(Reached::Vaulted))
    }

    /// Logs a deposit together with the decision that it came from.
    pub(super) async fn log_deposit(
        &self,
        facts: &Facts,
        decided: Vec<NewEvent>,
        happened: Vec<Happened<'_>>,
    ) -> Result<(), PickupError> {
        let now = self.now();
        let happened = happened.into_iter().map(|happened| (happened, now));
        self.append(facts, decided, happened.collect()).await
    }

    pub(super) async fn log(
        &self,
        facts: &Facts,
        happened: Vec<Happened<'_>>,
        now: UnixTime,
    ) -> Result<(), PickupError> {
        let happened = happened.into_iter().map(|happened| (happened, now));
        self.append(facts, Vec::new(), happened.collect()).await
    }

    async fn append(
        &self,
        facts: &Facts,
        mut entries: Vec<NewEvent>,
        happened: Vec<(Happened<'_>, UnixTime)>,
    ) -> Result<(), PickupError> {
        let log = Log::of_tenant(facts.tenant.clone(), &*self.parts.master).await?;
        for (happened, at) in happened {
            entries.push(log.entry(happened.event(facts, at), &*self.parts.entropy)?);
        }
        self.parts.audit.append(&facts.tenant, entries).await?;
        Ok(())
    }
}
