//! Looks at content before it is taken: viruses, spam, rules of the house.

use std::fmt;

use async_trait::async_trait;

use crate::BoxError;
use crate::vocab::{Content, Envelope};

/// Judges a message. An error means "could not say", and then the message is not taken (fail closed).
#[async_trait]
pub trait Scanner: fmt::Debug + Send + Sync + 'static {
    /// Judges.
    ///
    /// # Errors
    /// Where no judgement could be had; the sender is told to try again.
    async fn scan(&self, envelope: &Envelope, content: &dyn Content) -> Result<Verdict, ScanError>;
}

/// What the scanner says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Nothing found.
    Pass,
    /// Not to be taken; the text tells the sender why.
    Refuse(String),
    /// To be taken, but only the vault way.
    RequireVault,
}

/// No judgement could be had.
#[derive(Debug, thiserror::Error)]
#[error("the scanner did not answer")]
pub struct ScanError(#[source] pub BoxError);
