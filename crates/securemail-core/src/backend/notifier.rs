//! Carries a one-time code to a telephone.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::BoxError;
use crate::secret::SecretText;
use crate::vocab::PhoneNumber;

/// Hands a code to a carrier.
///
/// # Contract
/// - **N1** `Ok` says that the carrier took it, not that anybody read it.
/// - **N2** Where it is unknown whether the carrier took it, the error is `InDoubt`.
/// - **N3** The text and the number stand in no log, error or `Debug`.
#[async_trait]
pub trait Notifier: fmt::Debug + Send + Sync + 'static {
    /// Sends `message`.
    ///
    /// # Errors
    /// Where the carrier did not take it, or that is unknown; the variant says what to do.
    async fn notify(&self, message: &CodeMessage) -> Result<Receipt, NotifyError>;
}

/// A short text with a code.
#[derive(Clone, Debug)]
pub struct CodeMessage {
    /// Where it goes.
    pub to: PhoneNumber,
    /// The whole text.
    pub text: SecretText,
    /// After this time it is of no use.
    pub valid_for: Duration,
    /// Our reference; the carrier's callbacks bring it back. Not personal.
    pub reference: String,
}

/// The carrier took it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The carrier's id of it.
    pub carrier_id: String,
}

/// A code was not handed to the carrier, or that is unknown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// The carrier refuses our credentials: the operator must act.
    #[error("the carrier refuses our credentials")]
    Credentials,
    /// The number is wrong or cannot receive texts: the sender must act.
    #[error("the number cannot receive text messages")]
    Number,
    /// Sending to that country or number is switched off: the operator must act.
    #[error("the carrier does not send to this number")]
    NotAllowed,
    /// The carrier is busy; try again later.
    #[error("the carrier is busy")]
    Busy,
    /// No answer came; the code may have been sent.
    #[error("the carrier did not answer; the code may have been sent")]
    InDoubt(#[source] BoxError),
    /// The carrier cannot be reached; nothing was sent.
    #[error("the carrier cannot be reached")]
    Unavailable(#[source] BoxError),
}
