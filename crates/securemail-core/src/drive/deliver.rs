//! Tries the deliveries of one recipient domain until the policy has no host left to try.

use super::Relay;
use super::item::DeliveryRecord;
use super::patience::Leave;
use super::submission::Signed;
use crate::backend::{
    Attempt, AttemptKind, AttemptReport, Connection, Fact, Lease, RecipientOutcome, SessionOutcome,
};
use crate::ledger::Log;
use crate::route::{AttemptEvidence, Decision, Evidence, Hop, Route};
use crate::vocab::{Demands, Reply, ReversePath};

/// One delivery under way.
#[derive(Debug)]
pub(super) struct Delivery {
    /// The right to settle it.
    pub lease: Lease,
    /// Its tenant's log.
    pub log: Log,
    /// For whom, and what was tried.
    pub record: DeliveryRecord,
    /// What is known.
    pub evidence: Evidence,
    /// SHA-256 of the octets that the last session was to send.
    pub sent: Option<[u8; 32]>,
}

impl Delivery {
    /// The same, with what is known of its domain now, and with what is its recipient's own.
    pub(super) fn with_evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = evidence;
        self.evidence.message.utf8_recipient = self.record.recipient.needs_utf8();
        self
    }
}

/// How a delivery came out of a round.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The next server has it.
    HandedOver {
        /// The decision that allowed it.
        decision: Decision,
        /// The session.
        report: Box<AttemptReport>,
        /// What the host said.
        reply: Reply,
    },
    /// Nobody has it, and this is what the policy says now; never `Route::Deliver`.
    Decided(Decision),
    /// The attempt was called off before its end of data.
    CalledOff,
}

/// What is sent, and from whom.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// The message.
    pub signed: Signed,
    /// What hosts must offer.
    pub demands: Demands,
}

impl Outgoing {
    /// What a host must offer for this recipient.
    fn demands_of(&self, delivery: &Delivery) -> Demands {
        Demands {
            smtp_utf8: self.demands.smtp_utf8 || delivery.record.recipient.needs_utf8(),
            ..self.demands
        }
    }
}

impl Relay {
    /// One round over `open`, which share a recipient domain.
    ///
    /// The policy decides, one host is tried, its outcome becomes evidence, and the policy decides
    /// again. No fallback lives here.
    pub(super) async fn run_round(
        &self,
        outgoing: &Outgoing,
        open: Vec<Delivery>,
        leave: &Leave,
    ) -> Vec<(Delivery, Verdict)> {
        // They share their domain and what is known of it.
        if let Some(delivery) = open.first() {
            self.look_for_contradictions(&delivery.evidence).await;
        }
        let result = self.try_all(outgoing, open, leave).await;
        self.count_left_out(&result);
        result
    }

    async fn try_all(
        &self,
        outgoing: &Outgoing,
        mut open: Vec<Delivery>,
        leave: &Leave,
    ) -> Vec<(Delivery, Verdict)> {
        let mut done = Vec::new();
        // The policy never names a host twice in a round; the bound guards against one that does.
        for _ in 0..ATTEMPTS_PER_ROUND_MAX {
            if let Err(decision) = self.renew_answers(&mut open).await {
                let waits = |delivery| (delivery, Verdict::Decided((*decision).clone()));
                done.extend(open.into_iter().map(waits));
                return done;
            }
            let mut next: Option<(Hop, Demands)> = None;
            let mut batch = Vec::new();
            let mut later = Vec::new();
            for mut delivery in open {
                let decision = self.decide(&mut delivery).await;
                let Route::Deliver(hops) = &decision.route else {
                    done.push((delivery, Verdict::Decided(decision)));
                    continue;
                };
                // One session for those of whom the host must offer the same.
                let demands = outgoing.demands_of(&delivery);
                match (hops.first(), &next) {
                    (Some(hop), Some(chosen)) if (hop, demands) != (&chosen.0, chosen.1) => {
                        later.push(delivery);
                    }
                    (Some(hop), _) => {
                        next = Some((hop.clone(), demands));
                        batch.push((delivery, decision));
                    }
                    (None, _) => done.push((delivery, Verdict::Decided(nothing_to_try(decision)))),
                }
            }
            let Some((hop, _)) = next else { return done };
            open = later;
            if let Some((_, decision)) = batch.first() {
                self.look_for_fall(decision).await;
            }
            let report = self.try_hop(outgoing, &hop, &batch, leave).await;
            if let Some((delivery, _)) = batch.first() {
                self.count_session(&delivery.evidence, &hop, &report);
            }
            for (delivery, _) in &mut batch {
                delivery.sent = Some(outgoing.signed.digest);
            }
            sort_out(batch, &hop, &report, &mut open, &mut done);
        }
        for mut delivery in open {
            let decision = self.decide(&mut delivery).await;
            done.push((delivery, Verdict::Decided(nothing_to_try(decision))));
        }
        done
    }

    /// What the policy says; nothing final before what is kept was asked for once more (rule G-05).
    async fn decide(&self, delivery: &mut Delivery) -> Decision {
        delivery.evidence.cut_off = self.cut_off();
        let inquirer = &self.parts.inquirer;
        let policy = &*self.parts.policy;
        inquirer.decide(policy, &mut delivery.evidence).await
    }

    /// Asks again what has run out while hosts were tried: silent hosts take minutes each, and no host is proved by records
    /// that may be gone. Where nothing can be found out, all wait.
    async fn renew_answers(&self, open: &mut [Delivery]) -> Result<(), Box<Decision>> {
        let now = self.now();
        let Some(old) = open.iter().find(|open| open.evidence.has_run_out(now)) else {
            return Ok(());
        };
        let old = &old.evidence;
        let inquirer = &self.parts.inquirer;
        let inquiring = inquirer.inquire(&old.domain, old.profile, old.message.clone());
        let renewed = match inquiring.await {
            Ok(renewed) => renewed,
            Err(error) => {
                tracing::warn!(%error, "what has run out could not be asked again; it waits");
                return Err(Box::new(self.own_fault(&old.domain)));
            }
        };
        for delivery in open {
            let Evidence {
                attempts, message, ..
            } = &delivery.evidence;
            delivery.evidence = Evidence {
                attempts: attempts.clone(),
                message: message.clone(),
                ..renewed.clone()
            };
        }
        Ok(())
    }

    async fn try_hop(
        &self,
        outgoing: &Outgoing,
        hop: &Hop,
        batch: &[(Delivery, Decision)],
        leave: &Leave,
    ) -> AttemptReport {
        let began = self.now();
        let dot = leave.dot();
        let tenant = batch.first().map(|(d, _)| d.lease.delivery.tenant.clone());
        let attempt = Attempt {
            hop: hop.clone(),
            connection: tenant.map_or(Connection::Own, Connection::OfTenant),
            reverse_path: outgoing.reverse_path.clone(),
            recipients: batch
                .iter()
                .map(|(d, _)| d.record.recipient.clone())
                .collect(),
            demands: batch
                .first()
                .map_or(outgoing.demands, |(first, _)| outgoing.demands_of(first)),
            content: outgoing.signed.content.clone(),
            final_dot: dot.clone(),
        };
        let attempting = self.parts.transport.attempt(attempt);
        let report = match self.unless_over(leave, &dot, attempting).await {
            Ok(report) => {
                if let Some((delivery, _)) = batch.first() {
                    self.hear(&delivery.evidence.domain, &report.outcome).await;
                }
                report
            }
            Err(over) => over.report(&hop.host, began, self.now()),
        };
        self.observe_report(&report);
        report
    }

    /// Each session, also where another address of the host had better luck: a failed proof is not forgotten.
    pub(super) fn observe_report(&self, report: &AttemptReport) {
        for other in &report.others {
            let kind = AttemptKind::from(&other.outcome);
            tracing::info!(host = %report.host, ?kind, "another address of the host fared worse");
            self.observe_attempt(kind);
        }
        self.observe_attempt((&report.outcome).into());
    }

    pub(super) fn observe_attempt(&self, kind: AttemptKind) {
        self.parts.observer.observe(Fact::Attempted(kind));
    }
}

/// Gives each delivery of the batch its outcome, or back to the policy.
fn sort_out(
    batch: Vec<(Delivery, Decision)>,
    hop: &Hop,
    report: &AttemptReport,
    open: &mut Vec<Delivery>,
    done: &mut Vec<(Delivery, Verdict)>,
) {
    for (index, (mut delivery, decision)) in batch.into_iter().enumerate() {
        let outcome = report.recipients.get(index).cloned();
        let evidence = AttemptEvidence {
            host: hop.host.clone(),
            at: report.ended,
            outcome: report.outcome.clone(),
            recipient: outcome.clone(),
        };
        if matches!(report.outcome, SessionOutcome::CalledOff) {
            done.push((delivery, Verdict::CalledOff));
            continue;
        }
        if let Some(RecipientOutcome::HandedOver(reply)) = outcome {
            // The evidence stays as it was decided from, so that the decision can be replayed.
            let verdict = Verdict::HandedOver {
                decision,
                report: Box::new(report.clone()),
                reply,
            };
            done.push((delivery, verdict));
            continue;
        }
        delivery.record.note(evidence.clone());
        delivery.evidence.attempts.push(evidence);
        open.push(delivery);
    }
}

/// A policy that says "deliver" and names nobody has not decided: the message waits.
fn nothing_to_try(decision: Decision) -> Decision {
    match decision.route {
        Route::Deliver(_) => {
            Decision::own_fault(&decision.domain, decision.decided_at, decision.fresh_until)
        }
        Route::Bounce { .. } | Route::Defer { .. } | Route::Vault { .. } => decision,
    }
}

/// More attempts than this in one round are a fault of the policy.
const ATTEMPTS_PER_ROUND_MAX: usize = 2 * crate::limits::MX_HOSTS_MAX;
