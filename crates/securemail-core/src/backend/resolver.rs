//! Looks things up: DNS with proof, other vantages, MTA-STS policies.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::vocab::{Answer, DnsName, Question};

/// Answers DNS questions. Whatever happens is an answer; there is no error.
///
/// # Contract
/// - **Q1** It follows no alias: a CNAME at the name is `Outcome::Alias`, with the state of that record.
/// - **Q2** `Secure` is said only where signatures were validated up to a trust anchor.
/// - **Q3** A denial is `Secure` only where its proof was validated, by every validator configured.
/// - **Q4** A failure of any kind is `Outcome::Failed`, never absence.
/// - **Q5** `expires` is never later than the end of the signatures that prove the answer.
/// - **Q6** `resolve_anew` gives nothing that was asked before the call.
/// - **Q7** Who keeps answers says in `asked` when each was asked for; else nothing tells a second look from the first.
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync + 'static {
    /// Asks.
    async fn resolve(&self, question: &Question) -> Answer;

    /// Asks past every answer that is kept here, and keeps the new one.
    async fn resolve_anew(&self, question: &Question) -> Answer;

    /// What other vantages see; empty where none is configured.
    async fn vantages(&self, question: &Question) -> Vec<VantageView>;
}

/// What one vantage sees.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct VantageView {
    /// Its name in the settings.
    pub vantage: String,
    /// What it answered.
    pub answer: Answer,
}

/// Fetches MTA-STS policies over authenticated HTTPS (RFC 8461, section 3.3).
///
/// # Contract
/// - **F1** The certificate of `mta-sts.<domain>` was checked against trusted roots and that name.
/// - **F2** No redirect was followed; the status was 200 and the type `text/plain`.
/// - **F3** At most 64 KiB in at most 60 seconds were read.
/// - **F4** No private, loopback or link-local address was connected to, unless allowed by name.
#[async_trait]
pub trait PolicyFetcher: fmt::Debug + Send + Sync + 'static {
    /// Fetches the policy of `domain`; unparsed, untrusted.
    ///
    /// # Errors
    /// Where a rule of the contract was not met; the variant says which.
    async fn fetch(&self, domain: &DnsName) -> Result<FetchedPolicy, FetchError>;
}

/// A policy as served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FetchedPolicy {
    /// The body.
    pub body: Bytes,
}

/// Why a policy could not be fetched.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The certificate of the policy host is not trusted for its name.
    #[error("the policy host's certificate is not valid for its name")]
    Certificate,
    /// The policy host has no address that may be connected to.
    #[error("the policy host has no public address")]
    NoAddress,
    /// The status was not 200.
    #[error("the policy host answered with status {0}")]
    Status(u16),
    /// The media type was not `text/plain`.
    #[error("the policy is not text/plain")]
    MediaType,
    /// What was served is not a policy.
    #[error("what the policy host serves is not a policy")]
    Malformed,
    /// More than 64 KiB came.
    #[error("the policy is larger than 64 KiB")]
    TooLarge,
    /// No connection, or no answer in time.
    #[error("the policy host cannot be reached")]
    Unreachable,
}
