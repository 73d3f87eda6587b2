//! Gathers the evidence about one recipient domain: asks what the inquiry wants, all at once.

use std::sync::Arc;

use futures_util::future::{join_all, try_join};

use crate::StoreError;
use crate::backend::{
    Clock, DomainHistory, DomainMemory, PolicyFetcher, Resolver, TransportPolicy,
};
use crate::route::{
    Ask, AskReply, Asked, Decision, Evidence, Explanation, Inquiry, MessageFacts, NtaFinding,
    NtaSettings, Step, nta7516,
};
use crate::vocab::{DnsName, Profile, Question};

/// Finds out what is known of a domain. An integrator uses it to explain a route before sending.
#[derive(Clone, Debug)]
pub struct Inquirer {
    /// Asks the DNS.
    pub resolver: Arc<dyn Resolver>,
    /// Fetches MTA-STS policies.
    pub fetcher: Arc<dyn PolicyFetcher>,
    /// Remembers domains.
    pub memory: Arc<dyn DomainMemory>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The port that hosts are asked at: 25, unless the operator's route says otherwise.
    pub port: u16,
}

impl Inquirer {
    /// Everything that can be known about `domain` now.
    ///
    /// # Errors
    /// Where domain memory cannot be read or written. Without it a fall below what the domain showed
    /// before could not be seen, so the caller holds the message.
    pub async fn inquire(
        &self,
        domain: &DnsName,
        profile: Profile,
        message: MessageFacts,
    ) -> Result<Evidence, StoreError> {
        let mut evidence = Evidence::new(domain.clone(), profile, message).with_port(self.port);
        (evidence.history, evidence.sts.cached) =
            try_join(self.memory.recall(domain), self.memory.policy(domain)).await?;
        let inquiry = Inquiry::new(evidence, self.clock.now());
        let evidence = self.run(inquiry, Asking::Cached).await;
        self.keep(evidence).await
    }

    /// The same, with every name asked and the policy fetched anew, past whatever is kept; what the
    /// domain showed before still counts.
    ///
    /// # Errors
    /// As [`Inquirer::inquire`].
    pub async fn inquire_anew(
        &self,
        domain: &DnsName,
        profile: Profile,
        message: MessageFacts,
    ) -> Result<Evidence, StoreError> {
        let mut evidence = Evidence::new(domain.clone(), profile, message).with_port(self.port);
        evidence.history = self
            .memory
            .recall(domain)
            .await?
            .map(|history| DomainHistory {
                sts_failed: None,
                ..history
            });
        let inquiry = Inquiry::new(evidence, self.clock.now());
        let mut evidence = self.run(inquiry, Asking::Anew).await;
        // Where nothing new was had, what is in force still applies. Beside a policy that was fetched now
        // it would speak first, as long as both bear the same id (rule P-08).
        if evidence.fetched_policy().is_none() {
            evidence.sts.cached = self.memory.policy(domain).await?;
        }
        self.keep(evidence).await
    }

    /// How mail to `domain` would go by this policy, and why: for an integrator, before anything is sent. Nothing
    /// is sent, and nothing is remembered except an MTA-STS policy, or that it could not be fetched.
    ///
    /// # Errors
    /// As [`Inquirer::inquire`].
    pub async fn explain(
        &self,
        domain: &DnsName,
        profile: Profile,
        policy: &dyn TransportPolicy,
    ) -> Result<Explanation, StoreError> {
        let facts = MessageFacts::at(self.clock.now());
        let mut evidence = self.inquire(domain, profile, facts).await?;
        let decision = self.decide(policy, &mut evidence).await;
        Ok(Explanation::new(&evidence, &decision, &[]))
    }

    /// What the domain says of itself under NTA 7516, and whether it is so.
    pub async fn nta7516(&self, domain: &DnsName, settings: &NtaSettings) -> Vec<NtaFinding> {
        let facts = MessageFacts::at(self.clock.now());
        let mut evidence = Evidence::new(domain.clone(), Profile::default(), facts);
        evidence.port = self.port;
        loop {
            let now = self.clock.now();
            let questions = match nta7516(&evidence, now, settings) {
                Ok(findings) => return findings,
                Err(questions) => questions,
            };
            let ask = async |question: Question| {
                let answer = self.resolver.resolve(&question).await;
                Asked { question, answer }
            };
            evidence
                .dns
                .extend(join_all(questions.into_iter().map(ask)).await);
        }
    }

    /// What the policy says of `evidence`. What must be asked for again before anything final (rule G-05) is asked for
    /// at once, and `evidence` is then what the decision rests on. Where that cannot be done, the message waits.
    pub async fn decide(&self, policy: &dyn TransportPolicy, evidence: &mut Evidence) -> Decision {
        let decision = policy.decide(evidence, self.clock.now());
        if !decision.wants_confirmation() {
            return decision;
        }
        match self.confirm(evidence.clone()).await {
            Ok(confirmed) => *evidence = confirmed,
            Err(error) => {
                tracing::warn!(%error, "what was kept could not be asked for again; it waits");
                return decision;
            }
        }
        policy.decide(evidence, self.clock.now())
    }

    /// Asks once more, past every cache, for what has no proof and for the announcement of the domain's policy, and
    /// fetches what is new: before anything final happens (RFC 8461, section 5.1; rule G-05).
    ///
    /// # Errors
    /// As [`Inquirer::inquire`].
    pub async fn confirm(&self, mut evidence: Evidence) -> Result<Evidence, StoreError> {
        evidence.sts.cached = self.memory.policy(&evidence.domain).await?;
        let inquiry = Inquiry::confirming(evidence, self.clock.now());
        let evidence = self.run(inquiry, Asking::Anew).await;
        self.keep(evidence).await
    }

    async fn run(&self, mut inquiry: Inquiry, asking: Asking) -> Evidence {
        loop {
            match inquiry.poll() {
                Step::Ask(asks) => {
                    let replies = asks.into_iter().map(|ask| self.ask(ask, asking));
                    for (ask, reply) in join_all(replies).await {
                        inquiry.handle(ask, reply);
                    }
                }
                Step::Done => return inquiry.into_evidence(),
            }
        }
    }

    async fn keep(&self, evidence: Evidence) -> Result<Evidence, StoreError> {
        if let Some(policy) = evidence.fetched_policy() {
            self.memory.put_policy(&evidence.domain, policy).await?;
        }
        Ok(self.remember_failed_fetch(evidence).await)
    }

    /// So that a policy host that is down does not cost its time again with each recipient.
    async fn remember_failed_fetch(&self, mut evidence: Evidence) -> Evidence {
        let Some(failed) = evidence.failed_fetch(self.clock.now()) else {
            return evidence;
        };
        // The fetch took its time: a round that ended meanwhile may have learnt something.
        let remembered = async {
            let mut history = self
                .memory
                .recall(&evidence.domain)
                .await?
                .unwrap_or_default();
            history.sts_failed = Some(failed.clone());
            self.memory.remember(&evidence.domain, &history).await
        };
        // A memory that takes nothing costs time, and nothing else.
        if let Err(error) = remembered.await {
            tracing::warn!(%error, "a policy that could not be fetched could not be remembered");
        }
        evidence.history.get_or_insert_default().sts_failed = Some(failed);
        evidence
    }

    async fn ask(&self, ask: Ask, asking: Asking) -> (Ask, AskReply) {
        let reply = match (&ask, asking) {
            (Ask::Dns(question), Asking::Anew) => {
                AskReply::Dns(self.resolver.resolve_anew(question).await)
            }
            (Ask::Dns(question), Asking::Cached) => {
                AskReply::Dns(self.resolver.resolve(question).await)
            }
            (Ask::Vantage(question), _) => {
                AskReply::Vantage(self.resolver.vantages(question).await)
            }
            (Ask::Policy { domain, .. }, _) => AskReply::Policy(self.fetcher.fetch(domain).await),
        };
        (ask, reply)
    }
}

/// Whether kept answers will do.
#[derive(Clone, Copy, Debug)]
enum Asking {
    Anew,
    Cached,
}
