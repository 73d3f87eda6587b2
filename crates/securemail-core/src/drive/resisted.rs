//! Tells a sender at once that a host refuses the notice of their message, while it is tried again.

use super::Relay;
use super::deliver::Delivery;
use super::dsn::DsnNews;
use super::item::ItemHeader;
use super::own_mail::{OwnMail, own_queue};
use super::retry_own::vault_key;
use crate::StoreError;
use crate::backend::{NewEvent, RecipientOutcome};
use crate::ledger::{Event, EventName};
use crate::mail::{DsnAction, DsnReason, DsnRecipient, Reference};
use crate::pickup::Facts;
use crate::route::AttemptEvidence;
use crate::vocab::{EnhancedStatus, Reply, RequireTls, UnixTime};

impl Relay {
    /// Says it once for each notice, with the words of the host. The refusal may be somebody's on the
    /// way, so it ends nothing; but most are true, and who mistyped an address must not wait for days to
    /// hear it. What cannot be told now is told with the next try.
    pub(super) async fn tell_resisted(
        &self,
        header: &ItemHeader,
        delivery: &mut Delivery,
        until: UnixTime,
    ) -> Vec<NewEvent> {
        // A reminder goes out as long as nobody came; what is told of it would say so (P7).
        if delivery.record.delay_told || header.arrives_quietly {
            return Vec::new();
        }
        match self.commit_resisted(header, delivery, until).await {
            Ok(Some(facts)) => {
                delivery.record.delay_told = true;
                self.on_resisted(&facts, delivery)
            }
            Ok(None) => Vec::new(),
            Err(error) => {
                tracing::warn!(queue_id = %delivery.lease.delivery, %error, "a refused notice is not told yet");
                Vec::new()
            }
        }
    }

    /// `None` where there is nothing to tell any more.
    async fn commit_resisted(
        &self,
        header: &ItemHeader,
        delivery: &Delivery,
        until: UnixTime,
    ) -> Result<Option<Facts>, StoreError> {
        let (Some(key), Some(session)) = (
            vault_key(header, delivery),
            delivery.record.unproved.as_ref(),
        ) else {
            return Ok(None);
        };
        let waiting = self.pickups.waiting(&key).await;
        let Some(facts) = waiting.map_err(StoreError::unavailable)? else {
            return Ok(None);
        };
        let own = self.resisted(&facts, delivery, session, until);
        self.commit_own(own).await?;
        Ok(Some(facts))
    }

    fn resisted(
        &self,
        facts: &Facts,
        delivery: &Delivery,
        session: &AttemptEvidence,
        until: UnixTime,
    ) -> OwnMail {
        let reply = refusal(session);
        let recipient = DsnRecipient {
            address: &facts.recipient,
            action: DsnAction::Delayed { until },
            reason: match reply {
                Some(_) => DsnReason::NoticeResisted,
                None => DsnReason::AddressLetters,
            },
            why: None,
            status: still_open(reply),
            host: Some(&session.host),
            reply,
            last_attempt: Some(session.at),
        };
        self.dsn(DsnNews {
            queue: own_queue("resisted", &delivery.lease.delivery),
            about: facts.delivery(),
            sender: &facts.sender,
            language: facts.language_of_sender(),
            organisation: &facts.organisation,
            received: facts.deposited,
            recipient,
            require_tls: RequireTls::No,
            events: Vec::new(),
        })
    }

    fn on_resisted(&self, facts: &Facts, delivery: &Delivery) -> Vec<NewEvent> {
        let event = Event::new(EventName::SenderInformed, self.now(), facts.queue)
            .recipient(facts.recipient_number, &facts.recipient)
            .reason("a host that proved nothing refuses the notice; it is tried again")
            .reference(&Reference::of_vault(facts.id).to_string());
        self.entries(&delivery.log, [event])
    }
}

const fn refusal(session: &AttemptEvidence) -> Option<&Reply> {
    match &session.recipient {
        Some(RecipientOutcome::Refused(reply)) => Some(reply),
        _ => None,
    }
}

/// The status of the reply, in the class of what may still arrive (RFC 3463, section 3.1).
fn still_open(reply: Option<&Reply>) -> EnhancedStatus {
    match reply {
        None => EnhancedStatus::new(4, 6, 7),
        Some(reply) => match reply.enhanced() {
            Some(status) => EnhancedStatus::new(4, status.subject, status.detail),
            None => EnhancedStatus::new(4, 0, 0),
        },
    }
}
