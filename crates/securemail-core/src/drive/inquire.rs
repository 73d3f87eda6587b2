//! Gathers the evidence about one recipient domain: asks what the inquiry wants, all at once.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::StoreError;
use crate::backend::{Clock, DomainMemory, PolicyFetcher, Resolver};
use crate::route::{Ask, AskReply, Evidence, Inquiry, MessageFacts, Step};
use crate::vocab::{DnsName, Profile};

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
        evidence.history = self.memory.recall(domain).await?;
        evidence.sts.cached = self.memory.policy(domain).await?;
        let mut inquiry = Inquiry::new(evidence, self.clock.now());
        let evidence = loop {
            match inquiry.poll() {
                Step::Ask(asks) => {
                    for (ask, reply) in join_all(asks.into_iter().map(|ask| self.ask(ask))).await {
                        inquiry.handle(ask, reply);
                    }
                }
                Step::Done(evidence) => break *evidence,
            }
        };
        if let Some(policy) = evidence.fetched_policy() {
            self.memory.put_policy(domain, policy).await?;
        }
        Ok(self.remember_failed_fetch(evidence).await)
    }

    /// So that a policy host that is down does not cost its time again with each recipient.
    async fn remember_failed_fetch(&self, mut evidence: Evidence) -> Evidence {
        let Some(failed) = evidence.failed_fetch(self.clock.now()) else {
            return evidence;
        };
        let mut history = evidence.history.take().unwrap_or_default();
        history.sts_failed = Some(failed);
        // A memory that takes nothing costs time, and nothing else.
        if let Err(error) = self.memory.remember(&evidence.domain, &history).await {
            tracing::warn!(%error, "a policy that could not be fetched could not be remembered");
        }
        evidence.history = Some(history);
        evidence
    }

    async fn ask(&self, ask: Ask) -> (Ask, AskReply) {
        let reply = match &ask {
            Ask::Dns(question) => AskReply::Dns(self.resolver.resolve(question).await),
            Ask::Vantage(question) => AskReply::Vantage(self.resolver.vantages(question).await),
            Ask::Policy { domain, .. } => AskReply::Policy(self.fetcher.fetch(domain).await),
        };
        (ask, reply)
    }
}
