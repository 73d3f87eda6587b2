//! Which question comes next: a pure function of what was answered so far.

use std::time::Duration;

use super::facts::{self, Listing, StsFacts};
use super::mta_sts::StsPolicy;
use super::policy::is_reserved;
use super::{Asked, Corroboration, Evidence};
use crate::backend::{CachedPolicy, FetchError, FetchedPolicy, VantageView};
use crate::limits::STS_POLICY_OCTETS_MAX;
use crate::vocab::{Answer, DnsName, Question, UnixTime};

/// Gathers the evidence for one domain. It asks; a driver answers.
///
/// A cold domain without aliases costs three rounds: MX and MTA-STS record; addresses, policy and
/// other vantages; TLSA records. Every list that comes from outside is bounded, so the rounds are too.
#[derive(Clone, Debug)]
pub struct Inquiry {
    evidence: Evidence,
    now: UnixTime,
}

/// What comes next.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum Step {
    /// All of these, in any order or at once.
    Ask(Vec<Ask>),
    /// Nothing is missing: [`Inquiry::into_evidence`] has it.
    Done,
}

/// One thing to find out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ask {
    /// By our own validating resolver.
    Dns(Question),
    /// The MTA-STS policy.
    Policy {
        /// Of this domain.
        domain: DnsName,
        /// As announced under this id.
        id: String,
    },
    /// By every other vantage.
    Vantage(Question),
}

/// What was found out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AskReply {
    /// To [`Ask::Dns`].
    Dns(Answer),
    /// To [`Ask::Policy`].
    Policy(Result<FetchedPolicy, FetchError>),
    /// To [`Ask::Vantage`]; empty where none is configured.
    Vantage(Vec<VantageView>),
}

impl Inquiry {
    /// Begins with what is known: a fresh [`Evidence`] with the domain's history, the policy kept and
    /// the sessions tried so far. `now` decides whether that policy is still in force.
    #[must_use]
    pub const fn new(evidence: Evidence, now: UnixTime) -> Self {
        Self { evidence, now }
    }

    /// Begins again for the announcement of a policy and for what has no proof: what was asked of them is forgotten, so
    /// that a driver asks anew, past every cache, and fetches what is new (rule G-05).
    #[must_use]
    pub fn confirming(mut evidence: Evidence, now: UnixTime) -> Self {
        facts::forget_unproved(&mut evidence);
        evidence.sts.confirmed = Some(now);
        Self { evidence, now }
    }

    /// What comes next.
    pub fn poll(&self) -> Step {
        let mut asks = Vec::new();
        self.poll_domain(&mut asks);
        if asks.is_empty() {
            return Step::Done;
        }
        Step::Ask(asks)
    }

    /// What is known by now: everything, once nothing is asked any more.
    #[must_use]
    pub fn into_evidence(self) -> Evidence {
        self.evidence
    }

    /// Takes the reply to something asked. A reply of another kind than its question changes nothing,
    /// so it is asked again.
    pub fn handle(&mut self, ask: Ask, reply: AskReply) {
        match (ask, reply) {
            (Ask::Dns(question), AskReply::Dns(answer)) => {
                self.evidence.dns.push(Asked { question, answer });
            }
            (Ask::Policy { domain: _, id }, AskReply::Policy(reply)) => {
                self.evidence.sts.fetched =
                    Some(reply.map(|policy| keepable(&policy, id, self.now)));
            }
            (Ask::Vantage(question), AskReply::Vantage(views)) => {
                self.evidence
                    .vantages
                    .push(Corroboration { question, views });
            }
            (Ask::Dns(_) | Ask::Policy { .. } | Ask::Vantage(_), _) => {}
        }
    }

    fn poll_domain(&self, asks: &mut Vec<Ask>) {
        // Names that are reserved for other uses must not leak into the DNS (RFC 6761).
        if is_reserved(&self.evidence.domain) {
            return;
        }
        let sts = facts::sts(&self.evidence, self.now);
        if let Err(question) = &sts {
            ask(asks, question.clone());
        }
        // Beside the record of NTA 7516, where that is asked for: it may lead back to these.
        if let Err(question) = facts::mx_records(&self.evidence) {
            ask(asks, question);
        }
        let mx = match facts::mx(&self.evidence) {
            Ok(mx) => mx,
            Err(question) => return ask(asks, question),
        };
        if mx.chain.trouble.is_none() && !mx.chain.is_secure() {
            let unseen = |question: &Question| {
                !self
                    .evidence
                    .vantages
                    .iter()
                    .any(|seen| seen.question == *question)
            };
            let questions = mx.chain.questions().filter(|question| unseen(question));
            asks.extend(questions.cloned().map(Ask::Vantage));
        }
        let Listing::Hosts(hosts) = mx.listing else {
            return;
        };
        if let Ok(StsFacts::Fetch(id)) = sts {
            asks.push(Ask::Policy {
                domain: self.evidence.domain.clone(),
                id,
            });
        }
        for (_, host) in &hosts.hosts {
            self.poll_host(host, asks);
        }
    }

    /// Addresses first: unsigned zones often answer TLSA questions with errors (RFC 7672, section 2.2.2).
    fn poll_host(&self, host: &DnsName, asks: &mut Vec<Ask>) {
        let found = match facts::addresses(&self.evidence, host) {
            Ok(found) => found,
            Err(missing) => return missing.into_iter().for_each(|question| ask(asks, question)),
        };
        if found.addresses.is_empty() {
            return;
        }
        if let Err(question) = facts::tlsa(&self.evidence, &found.bases) {
            ask(asks, question);
        }
    }
}

fn ask(asks: &mut Vec<Ask>, question: Question) {
    let ask = Ask::Dns(question);
    if !asks.contains(&ask) {
        asks.push(ask);
    }
}

/// A policy as it is kept. One that cannot be read applies until just now, that is never.
#[must_use]
pub fn keepable(policy: &FetchedPolicy, id: String, now: UnixTime) -> CachedPolicy {
    let octets = policy
        .body
        .get(..STS_POLICY_OCTETS_MAX.saturating_add(1))
        .unwrap_or(&policy.body);
    let body = String::from_utf8_lossy(octets).into_owned();
    let max_age = StsPolicy::parse(&body).map_or(Duration::ZERO, |policy| policy.max_age);
    CachedPolicy {
        id,
        body,
        fetched: now,
        expires: now.plus(max_age),
    }
}
