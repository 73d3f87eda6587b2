//! The main flow: one message, from the end of its data to the one reply that speaks for all.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_channel::oneshot;

use super::conclude::Standing;
use super::intend::Begun;
use super::item::covers;
use super::rounds::Round;
use super::settled::{Covered, Settled};
use super::submission::{Submission, try_later};
use super::{Relay, settled};
use crate::StoreError;
use crate::backend::{Earlier, End, Fact};
use crate::route::{Decision, Evidence, MessageFacts, Route};
use crate::vocab::{
    Address, DnsName, EnhancedStatus, Envelope, Language, Profile, Reply, TenantId, UnixTime,
};

impl Relay {
    /// Takes a message, tries to hand it over, and answers for every recipient.
    ///
    /// It runs to its end on the executor even when the future is dropped because the sender hung up:
    /// what was tried must be written down.
    pub async fn submit(self: &Arc<Self>, submission: Submission) -> Reply {
        let (answer, wait) = oneshot::channel();
        let relay = self.clone();
        self.parts.executor.spawn(Box::pin(async move {
            let began = relay.now();
            let reply = match relay.take(submission).await {
                Ok(settled) => settled.reply(),
                Err(reply) => reply,
            };
            relay.parts.observer.observe(Fact::Answered {
                code: reply.code(),
                after: relay.now().since(began),
            });
            // A sender that hung up hears nothing; a repeat finds what became of it.
            drop(answer.send(reply));
        }));
        wait.await.unwrap_or_else(|_| try_later())
    }

    /// Counts a message that was refused before it came here: it was too large or ill-formed, or found no room. A
    /// disk that is full shows so first.
    pub fn refused_unseen(&self, reply: &Reply) {
        let code = reply.code();
        self.parts.observer.observe(Fact::RefusedUnseen { code });
    }

    /// The steps, in order: screen, intend and begin at once, end what was begun, conclude.
    async fn take(self: &Arc<Self>, submission: Submission) -> Result<Settled, Reply> {
        let envelope = submission.envelope.clone();
        let screened = match self.screen(submission).await {
            Ok(screened) => screened,
            Err(reply) => {
                self.on_refused(&envelope, None, &reply).await;
                return Err(reply);
            }
        };
        let deadline = self.now().plus(self.settings.budget);
        let Begun {
            message,
            rounds,
            earlier,
            met,
        } = self.begin(&screened).await?;
        let rounds = self.end_rounds(rounds, deadline).await;
        let mut covered = self.join_all_earlier(earlier, deadline).await;
        let met = met.into_iter().map(|(i, c)| (i, Covered::Committed(c)));
        covered.extend(met);
        let standings = rounds.into_iter().flat_map(Round::standings).collect();
        self.conclude(&message, standings, &mut covered).await;
        Settled::of(message.queue, message.envelope.recipients.len(), covered)
            .map_err(|_| settled::keep_it("not all recipients could be served; please try again"))
    }

    /// Waits for attempts at the same submission that are still under way.
    async fn join_all_earlier(
        &self,
        earlier: Vec<(u16, Earlier)>,
        deadline: UnixTime,
    ) -> BTreeMap<u16, Covered> {
        let mut covered = BTreeMap::new();
        for (index, Earlier { delivery, .. }) in earlier {
            let state = self.join_earlier(&delivery, deadline).await;
            if covers(state) {
                covered.insert(index, Covered::Already(Earlier { delivery, state }));
            }
        }
        covered
    }

    /// What would become of a message for `domain` now, and why. Nothing is sent or remembered, except
    /// an MTA-STS policy that was fetched.
    ///
    /// ```
    /// use securemail_core::StoreError;
    /// use securemail_core::drive::Relay;
    /// use securemail_core::vocab::{DnsName, Profile};
    ///
    /// async fn explain(relay: &Relay, domain: &DnsName) -> Result<String, StoreError> {
    ///     let (_evidence, decision) = relay.consider(domain, Profile::Standard).await?;
    ///     Ok(decision.sentence())
    /// }
    /// ```
    ///
    /// # Errors
    /// Where domain memory cannot be read or written.
    pub async fn consider(
        &self,
        domain: &DnsName,
        profile: Profile,
    ) -> Result<(Evidence, Decision), StoreError> {
        let facts = MessageFacts::at(self.now());
        self.consider_with(domain, profile, facts).await
    }

    async fn consider_with(
        &self,
        domain: &DnsName,
        profile: Profile,
        facts: MessageFacts,
    ) -> Result<(Evidence, Decision), StoreError> {
        let inquirer = &self.parts.inquirer;
        let mut evidence = inquirer.inquire(domain, profile, facts).await?;
        let decision = inquirer.decide(&*self.parts.policy, &mut evidence).await;
        Ok((evidence, decision))
    }

    /// What can be said about a recipient at its RCPT: only what is definite is refused there.
    pub async fn recipient(&self, tenant: &TenantId, recipient: &Address) -> Reply {
        let Ok(Some(tenant)) = self.parts.directory.tenant(tenant).await else {
            return try_later();
        };
        let domain = recipient.domain();
        let profile = tenant.profile_for(domain);
        let facts = MessageFacts {
            nta7516: tenant.nta7516,
            ..MessageFacts::at(self.now())
        };
        // An inquiry that cannot be made now is made again at the end of data.
        let Ok((_, decision)) = self.consider_with(domain, profile, facts).await else {
            return recipient_ok();
        };
        match decision.route {
            Route::Bounce { status, rule } => {
                let why = rule.verdict(Language::English);
                Reply::new(refusal_code(status), Some(status), &why)
            }
            Route::Defer { .. } | Route::Deliver(_) | Route::Vault { .. } => recipient_ok(),
        }
    }
}

impl Relay {
    /// Writes down that [`recipient`](Self::recipient) refused one. `envelope` is what is known of the
    /// transaction so far.
    pub async fn recipient_refused(&self, envelope: &Envelope, recipient: &Address, reply: &Reply) {
        self.observe_end(End::Refused, self.now());
        self.on_refused(envelope, Some(recipient), reply).await;
    }
}

impl Round {
    /// Each delivery with how it stands.
    fn standings(self) -> Vec<Standing> {
        match self {
            Self::CalledOff(leases) => leases.into_iter().map(Standing::NotTried).collect(),
            Self::Ended(result) => result
                .into_iter()
                .map(|(d, verdict)| Standing::Ended(Box::new(d), verdict))
                .collect(),
            Self::InFlight(leases, committed) => vec![Standing::InFlight(leases, committed)],
        }
    }
}

fn recipient_ok() -> Reply {
    Reply::new(250, Some(EnhancedStatus::new(2, 1, 5)), "ok")
}

/// 556 for a null MX (RFC 7505, section 4.1), else 550.
const fn refusal_code(status: EnhancedStatus) -> u16 {
    match (status.subject, status.detail) {
        (1, 10) => 556,
        _ => 550,
    }
}
