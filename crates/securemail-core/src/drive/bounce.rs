//! Gives a message back to its sender.

use super::Relay;
use super::deliver::Delivery;
use super::dsn::DsnNews;
use super::item::ItemHeader;
use super::own_mail::{OwnMail, own_queue};
use crate::StoreError;
use crate::backend::{Committed, DsnCommitted, End, NewEvent, RecipientOutcome, Settlement};
use crate::mail::{DsnAction, DsnReason, DsnRecipient};
use crate::route::{Decision, Route, Summary};
use crate::vocab::{Address, EnhancedStatus, Reply, RequireTls, ReversePath, Tenant};

/// What a DSN says of one recipient.
#[derive(Debug)]
pub(super) struct News {
    /// Which news: each kind is told once of a delivery.
    pub kind: &'static str,
    pub action: DsnAction,
    pub reason: DsnReason,
    pub status: EnhancedStatus,
    /// What the decision says to anybody.
    pub why: Summary,
    /// What is logged with it.
    pub events: Vec<NewEvent>,
}

impl Relay {
    /// Commits a DSN and ends the delivery. `None` where nobody is to be told: a failure of mail from
    /// `<>` is never answered (RFC 5321, section 6.1).
    ///
    /// The DSN brings its events along: whoever finds them knows that the sender was told.
    pub(super) async fn bounce(
        &self,
        header: &ItemHeader,
        delivery: &Delivery,
        decision: &Decision,
    ) -> Result<Option<DsnCommitted>, StoreError> {
        let mut events = self.on_decision(delivery, decision);
        let ReversePath::Mailbox(sender) = &header.reverse_path else {
            self.settle(&delivery.lease, Settlement::Bounced, events)
                .await?;
            self.observe_end(End::Bounced, header.accepted);
            return Ok(None);
        };
        events.extend(self.on_sender_informed(delivery, "given back"));
        let last = delivery.record.attempts.last();
        let news = News {
            kind: "dsn",
            action: DsnAction::Failed,
            reason: reason_of(
                decision,
                last.and_then(|attempt| attempt.recipient.as_ref()),
            ),
            status: status_of(decision),
            why: decision.summary(),
            events,
        };
        let committed = self.commit_dsn(header, delivery, sender, news).await?;
        let settled = self.settle(&delivery.lease, Settlement::Bounced, Vec::new());
        match settled.await {
            Ok(()) => self.observe_end(End::Bounced, header.accepted),
            // The sender is told all the same; whoever comes to it next finds that in the log.
            Err(error) => {
                tracing::warn!(queue_id = %delivery.lease.delivery, %error, "given back, and not settled");
            }
        }
        Ok(Some(DsnCommitted::assertion(committed)))
    }

    /// Makes a DSN durable. The same news about the same delivery is one mail, however often it is made.
    pub(super) async fn commit_dsn(
        &self,
        header: &ItemHeader,
        delivery: &Delivery,
        sender: &Address,
        news: News,
    ) -> Result<Committed, StoreError> {
        let tenant = &delivery.lease.delivery.tenant;
        let tenant = self.parts.directory.tenant(tenant).await?;
        let own = self.news_of(header, delivery, news, (sender, tenant.as_ref()));
        self.commit_own(own).await
    }

    fn news_of(
        &self,
        header: &ItemHeader,
        delivery: &Delivery,
        news: News,
        (sender, tenant): (&Address, Option<&Tenant>),
    ) -> OwnMail {
        let key = &delivery.lease.delivery;
        let last = delivery.record.attempts.last();
        let recipient = DsnRecipient {
            address: &delivery.record.recipient,
            action: news.action,
            reason: news.reason,
            why: Some(&news.why),
            status: news.status,
            host: last.map(|attempt| &attempt.host),
            reply: last.and_then(|attempt| refused_with(attempt.recipient.as_ref())),
            last_attempt: last.map(|attempt| attempt.at),
        };
        self.dsn(DsnNews {
            queue: own_queue(news.kind, key),
            about: key.clone(),
            sender,
            language: Self::language(tenant.map_or(&[][..], |tenant| &tenant.languages)),
            organisation: tenant.map_or("", |tenant| tenant.display_name.as_str()),
            received: header.accepted,
            recipient,
            require_tls: about_require_tls(header.demands.require_tls),
            events: news.events,
        })
    }
}

/// What is said of a message that demands REQUIRETLS keeps the demand, and is not lost for want of it
/// (RFC 8689, section 5).
const fn about_require_tls(of_message: RequireTls) -> RequireTls {
    match of_message {
        RequireTls::Always | RequireTls::IfOffered => RequireTls::IfOffered,
        RequireTls::No => RequireTls::No,
    }
}

/// Why it comes back, in the words of the catalogue.
fn reason_of(decision: &Decision, last: Option<&RecipientOutcome>) -> DsnReason {
    let status = status_of(decision);
    match (status.subject, status.detail) {
        (1, 2 | 10) => DsnReason::DomainUnknown,
        (1, 1) => DsnReason::RecipientUnknown,
        (4, 7) => DsnReason::Expired,
        (6, 7) => DsnReason::AddressLetters,
        (7, 5) => DsnReason::SecurityBroken,
        (7, 30) => DsnReason::RequireTls,
        _ if refused_with(last).is_some() => DsnReason::Refused,
        (7, _) => DsnReason::NoSecurePath,
        _ => DsnReason::Refused,
    }
}

const fn status_of(decision: &Decision) -> EnhancedStatus {
    match decision.route {
        Route::Bounce { status, .. } => status,
        Route::Defer { .. } | Route::Deliver(_) | Route::Vault { .. } => {
            EnhancedStatus::new(5, 0, 0)
        }
    }
}

const fn refused_with(last: Option<&RecipientOutcome>) -> Option<&Reply> {
    match last {
        Some(RecipientOutcome::Refused(reply)) => Some(reply),
        _ => None,
    }
}
