//! Sends our own, content-free mail: proved where that can be, else as the recipient's domain allows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Relay;
use super::deliver::{Delivery, Outgoing, Verdict};
use super::item::ItemHeader;
use super::return_home::Returned;
use super::worker::AlwaysOpen;
use crate::StoreError;
use crate::backend::{
    AttemptReport, Fact, ItemClass, Lack, NoticeAttempt, RecipientOutcome, SessionOutcome,
    Settlement,
};
use crate::ledger::EventName;
use crate::limits::{ROUND_SECS_MAX, TLS_REPORT_HOURS};
use crate::mail::ContentFree;
use crate::route::{AttemptEvidence, NoticeHop, NoticeRoute, notice_route, report_route};
use crate::vocab::{Content, ContentError, MemoryContent, UnixTime, VaultKey};

/// How an own mail fared.
enum Fared {
    /// The recipient's server has it.
    Taken,
    /// The recipient's server refused it for good.
    Refused,
    /// A host that proved nothing refused it, or lacks what it needs. Whoever is on the way can say that
    /// (RFC 3207, section 6), so it settles nothing.
    Resisted,
    /// Neither.
    Later,
}

impl Relay {
    /// One round with a mail of ours: the proved way first; what that showed may open another.
    pub(super) async fn retry_own(
        &self,
        class: ItemClass,
        header: &ItemHeader,
        content: &Arc<dyn Content>,
        mut delivery: Delivery,
    ) -> Result<(), StoreError> {
        match self.return_home(class, header, content, &delivery).await? {
            Returned::Taken => return self.own_taken(class, header, &delivery).await,
            Returned::Waits => {
                let due = self.retry_at(&delivery);
                return self.put_off(delivery, due, Vec::new()).await;
            }
            Returned::No => {}
        }
        let mut fared = Fared::Later;
        let mut not_before = None;
        for _ in 0..WAYS_MAX {
            match self.own_way(class, &delivery) {
                NoticeRoute::Hold { not_before: hold } => {
                    not_before = Some(hold);
                    break;
                }
                NoticeRoute::Proved(_) => {
                    (fared, delivery) =
                        self.send_proved((class, header), content, delivery).await?;
                    if !matches!(fared, Fared::Later) {
                        break;
                    }
                }
                NoticeRoute::Opportunistic(hops) => {
                    let mail = (class, header);
                    fared = self
                        .send_unproved(mail, content, &mut delivery, hops)
                        .await?;
                    break;
                }
            }
        }
        let patience = match class {
            ItemClass::TlsReport => Duration::from_secs(TLS_REPORT_HOURS * 3600),
            ItemClass::Content | ItemClass::Notice | ItemClass::SenderMail => {
                self.settings.policy.hold_for
            }
        };
        let until = header.accepted.plus(patience);
        // While nobody can be reached, that is our own fault, and ends nothing. Nor does the end of the
        // relay: what it called off says nothing of the recipient.
        let ours = self.cut_off().is_some() || self.stopping.is_told();
        let over = self.now() >= until && !ours;
        let not_before = not_before.unwrap_or_else(|| self.retry_at(&delivery));
        match fared {
            Fared::Taken => self.own_taken(class, header, &delivery).await,
            Fared::Later if !over => self.put_off(delivery, not_before, Vec::new()).await,
            Fared::Resisted if !over => {
                // Of one that will not be tried again the failure is told, and no delay.
                let events = if class == ItemClass::Notice && self.now() < until {
                    self.tell_resisted(header, &mut delivery, until).await
                } else {
                    Vec::new()
                };
                let due = self.after_refusal(&delivery).min(until);
                self.put_off(delivery, due, events).await
            }
            Fared::Later | Fared::Refused | Fared::Resisted => {
                self.own_refused(class, header, &delivery).await
            }
        }
    }

    fn own_way(&self, class: ItemClass, delivery: &Delivery) -> NoticeRoute {
        let now = self.now();
        if class == ItemClass::TlsReport {
            return report_route(&delivery.evidence, now, &self.settings.policy);
        }
        let decision = self.parts.policy.decide(&delivery.evidence, now);
        notice_route(&delivery.evidence, &decision, now, &self.settings.policy)
    }

    async fn own_taken(
        &self,
        class: ItemClass,
        header: &ItemHeader,
        delivery: &Delivery,
    ) -> Result<(), StoreError> {
        let events = match class {
            ItemClass::Notice if !header.arrives_quietly => {
                self.on_notice(header, delivery, EventName::NotificationDelivered)
            }
            ItemClass::Notice
            | ItemClass::SenderMail
            | ItemClass::Content
            | ItemClass::TlsReport => Vec::new(),
        };
        if let (ItemClass::Notice, Some(key)) = (class, vault_key(header, delivery)) {
            let taken = self.pickups.notice_taken(&key).await;
            taken.map_err(StoreError::unavailable)?;
        }
        self.settle(&delivery.lease, Settlement::Sent, events)
            .await?;
        let fact = Fact::OwnMail { class, taken: true };
        self.parts.observer.observe(fact);
        Ok(())
    }

    /// Nothing is ever sent about a mail of ours; a refused notice is told by the vault's record.
    async fn own_refused(
        &self,
        class: ItemClass,
        header: &ItemHeader,
        delivery: &Delivery,
    ) -> Result<(), StoreError> {
        let events = match class {
            ItemClass::Notice => {
                self.on_notice(header, delivery, EventName::ConsignmentNotificationFailure)
            }
            ItemClass::SenderMail => self.on_sender_not_informed(header, delivery),
            ItemClass::Content | ItemClass::TlsReport => Vec::new(),
        };
        if let (ItemClass::Notice, Some(key)) = (class, vault_key(header, delivery)) {
            let refused = self.pickups.notice_refused(&key).await;
            refused.map_err(StoreError::unavailable)?;
        }
        self.settle(&delivery.lease, Settlement::Bounced, events)
            .await?;
        let taken = false;
        self.parts.observer.observe(Fact::OwnMail { class, taken });
        Ok(())
    }

    /// The way of messages: the policy chooses, the session proves.
    async fn send_proved(
        &self,
        (class, header): (ItemClass, &ItemHeader),
        content: &Arc<dyn Content>,
        delivery: Delivery,
    ) -> Result<(Fared, Delivery), StoreError> {
        let Ok(signed) = self.sign(content).await else {
            return Ok((Fared::Later, delivery));
        };
        let outgoing = Outgoing {
            reverse_path: header.reverse_path.clone(),
            signed,
            demands: header.demands,
        };
        let leave = self.leave_of_retry(Arc::new(AlwaysOpen), header.size);
        let mut result = self.run_round(&outgoing, vec![delivery], &leave).await;
        self.learn(&result).await;
        let Some((delivery, verdict)) = result.pop() else {
            return Err(StoreError::Corrupt("a round without its delivery"));
        };
        let fared = match verdict {
            Verdict::HandedOver { .. } => Fared::Taken,
            Verdict::Decided(_) if was_refused(&delivery) => Fared::Refused,
            Verdict::Decided(decision) if has_other_letters(&decision) => Fared::Refused,
            // Two notices are worse than a reminder later.
            Verdict::Decided(_)
                if class == ItemClass::Notice && delivery.record.may_have_arrived() =>
            {
                Fared::Taken
            }
            Verdict::Decided(_) | Verdict::CalledOff => Fared::Later,
        };
        Ok((fared, delivery))
    }

    /// With the best TLS that is offered. Sender mail says less on such a way.
    async fn send_unproved(
        &self,
        (class, header): (ItemClass, &ItemHeader),
        content: &Arc<dyn Content>,
        delivery: &mut Delivery,
        hops: Vec<NoticeHop>,
    ) -> Result<Fared, StoreError> {
        let mut takes_letters = hops.is_empty();
        let plain = match (class, &header.bland) {
            (ItemClass::Notice | ItemClass::TlsReport, _) => content.clone(),
            (ItemClass::SenderMail, Some(bland)) => {
                Arc::new(MemoryContent::new(bland.clone().into())) as Arc<dyn Content>
            }
            // Content never comes here, and sender mail without a bland form waits for a proved way.
            (ItemClass::Content, _) | (ItemClass::SenderMail, None) => return Ok(Fared::Later),
        };
        let Ok(signed) = self.sign(&plain).await else {
            return Ok(Fared::Later);
        };
        let mail = content_free(&*signed.content).await?;
        let mut resisted = None;
        let until = self.now().plus(Duration::from_secs(ROUND_SECS_MAX));
        for hop in hops {
            if self.now() >= until {
                takes_letters = true;
                break;
            }
            let attempt = NoticeAttempt {
                host: hop.host.clone(),
                addresses: hop.addresses,
                port: hop.port,
                may_be_clear: hop.may_be_clear,
                without_tls: false,
                reverse_path: header.reverse_path.clone(),
                recipient: delivery.record.recipient.clone(),
                mail: mail.clone(),
            };
            let attempting = self.attempt_unproved(class, attempt);
            // Called off: nobody refused it, and nobody lacks anything.
            let Some(report) = self.unless_stopped(attempting).await else {
                return Ok(Fared::Later);
            };
            self.observe_report(&report);
            self.count_unproved(class, &delivery.evidence, &report);
            self.hear(delivery.record.recipient.domain(), &report.outcome)
                .await;
            takes_letters |= report.outcome != SessionOutcome::Incapable(Lack::SmtpUtf8);
            let session = AttemptEvidence {
                host: hop.host,
                at: report.ended,
                outcome: report.outcome,
                recipient: report.recipients.into_iter().next(),
            };
            match (&session.outcome, &session.recipient) {
                // Unconfirmed counts as sent here: a repeat would be seen by whoever reads along.
                (_, Some(RecipientOutcome::HandedOver(_) | RecipientOutcome::Unconfirmed)) => {
                    return Ok(Fared::Taken);
                }
                (SessionOutcome::Completed, Some(RecipientOutcome::Refused(_))) => {
                    resisted.get_or_insert_with(|| session.clone());
                }
                _ => {}
            }
            delivery.record.unproved = Some(session);
        }
        let was_refused = resisted.is_some();
        if was_refused {
            delivery.record.unproved = resisted;
        }
        Ok(if was_refused || !takes_letters {
            Fared::Resisted
        } else {
            Fared::Later
        })
    }

    /// A report about TLS goes without it where it fails (RFC 8460, section 3); nothing else does.
    async fn attempt_unproved(&self, class: ItemClass, attempt: NoticeAttempt) -> AttemptReport {
        let notices = &self.parts.notices;
        let report = notices.attempt_notice(attempt.clone()).await;
        // A handshake that is cut looks like a host that cannot be reached.
        let tls_failed = matches!(
            report.outcome,
            SessionOutcome::TlsFailed(_)
                | SessionOutcome::NoStartTls(_)
                | SessionOutcome::Unreachable(_)
        );
        if class != ItemClass::TlsReport || !tls_failed {
            return report;
        }
        let attempt = NoticeAttempt {
            without_tls: true,
            ..attempt
        };
        notices.attempt_notice(attempt).await
    }

    /// When a mail of ours is tried again: soon at first, then every half hour.
    fn retry_at(&self, delivery: &Delivery) -> UnixTime {
        self.now().plus(self.pause(delivery).min(NOTICE_RETRY_MAX))
    }

    /// The same after a refusal. It may be the truth, and a server that must say it too often thinks ill
    /// of us.
    fn after_refusal(&self, delivery: &Delivery) -> UnixTime {
        self.now().plus(self.pause(delivery).min(REFUSED_RETRY_MAX))
    }

    /// Doubled with every round.
    fn pause(&self, delivery: &Delivery) -> Duration {
        let doubling = 1_u32 << delivery.record.rounds.min(10);
        self.settings.notice_retry.saturating_mul(doubling)
    }
}

pub(super) fn vault_key(header: &ItemHeader, delivery: &Delivery) -> Option<VaultKey> {
    header.vault.map(|id| VaultKey {
        tenant: delivery.lease.delivery.tenant.clone(),
        id,
    })
}

/// No host takes the recipient's address, today or tomorrow.
const fn has_other_letters(decision: &crate::route::Decision) -> bool {
    use crate::route::{Route, Rule};
    matches!(
        decision.route,
        Route::Bounce {
            rule: Rule::R06,
            ..
        }
    )
}

fn was_refused(delivery: &Delivery) -> bool {
    let last = delivery
        .record
        .attempts
        .last()
        .and_then(|attempt| attempt.recipient.as_ref());
    matches!(last, Some(RecipientOutcome::Refused(_)))
}

/// A mail of ours out of the spool, whose class says that it is content-free. It is small.
pub(super) async fn content_free(content: &dyn Content) -> Result<ContentFree, StoreError> {
    let octets = whole(content).await.map_err(StoreError::unavailable)?;
    Ok(ContentFree::new(octets))
}

async fn whole(content: &dyn Content) -> Result<Bytes, ContentError> {
    let mut octets = Vec::new();
    while (octets.len() as u64) < content.size() {
        let piece = content.read(octets.len() as u64, usize::MAX).await?;
        if piece.is_empty() {
            return Err(ContentError::Damaged);
        }
        octets.extend_from_slice(&piece);
    }
    Ok(octets.into())
}

/// The proved way, what its failure leaves, and one more; then the mail waits.
const WAYS_MAX: usize = 3;
/// The longest pause between two tries of a mail of ours.
const NOTICE_RETRY_MAX: Duration = Duration::from_secs(30 * 60);
/// The same after a refusal that nobody proved.
const REFUSED_RETRY_MAX: Duration = Duration::from_secs(4 * 3600);
