//! Runs pickups over the back-ends: deposit, code, opening, the sender's form, destruction.
//!
//! The order of effects is everywhere the same: write down what is so, act, write down that it was
//! done. Every act can be repeated: keys and vault objects have ids that follow from the delivery, and
//! what somebody must be told stands in the record until [`PickupService::told`] says that its mail
//! was committed.

mod budget;
mod deposit;
mod log;
mod recipient;
mod record;
mod sender;
mod sweep;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use budget::CodeBudgets;
pub use deposit::{Deposit, Deposited};
pub use recipient::{CodeRequested, Landing, Opened, SessionGrant, Step, Verified};
pub use sender::{NumberGiven, Remember, SenderStep, SenderView};

use crate::backend::{
    AuditSink, Clock, Directory, Entropy, KeyError, KeyStore, MasterKey, NoEntropy, Notifier,
    Pickups, Vault,
};
use crate::limits::NUMBER_WAIT_DAYS;
use crate::pickup::{Facts, LinkSecret, SenderToken};
use crate::seal::{RecordCipher, SealError};
use crate::secret::{Key32, SecretText};
use crate::vocab::{ContentError, UnixTime, VaultId, VaultKey};
use crate::{Advice, StoreError};

/// What a [`PickupService`] works with.
#[derive(Clone, Debug)]
pub struct PickupParts {
    /// Keeps the records.
    pub pickups: Arc<dyn Pickups>,
    /// Keeps the sealed content.
    pub vault: Arc<dyn Vault>,
    /// Keeps shares, link secrets and content keys, wrapped.
    pub keys: Arc<dyn KeyStore>,
    /// Wraps them.
    pub master: Arc<dyn MasterKey>,
    /// Keeps numbers that a sender wants remembered.
    pub directory: Arc<dyn Directory>,
    /// Carries codes.
    pub notifier: Arc<dyn Notifier>,
    /// Keeps events.
    pub audit: Arc<dyn AuditSink>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives randomness.
    pub entropy: Arc<dyn Entropy>,
    /// What the operator settled.
    pub settings: PickupSettings,
}

/// What the operator settled about pickups.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PickupSettings {
    /// Where the portal is, without a slash at the end: `https://mail.example`. Links are built from
    /// it, never from the `Host` of a request.
    pub url: String,
    /// How long a message waits for a telephone number before it is given back.
    pub number_wait: Duration,
    /// How many codes are sent.
    pub budgets: CodeBudgets,
}

impl PickupSettings {
    /// The defaults, with the portal at `url`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            number_wait: Duration::from_secs(NUMBER_WAIT_DAYS * 24 * 3600),
            budgets: CodeBudgets::default(),
        }
    }

    /// The host name of the portal.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self
            .url
            .split_once("://")
            .map_or(self.url.as_str(), |(_, rest)| rest);
        rest.split(['/', ':']).next().unwrap_or(rest)
    }
}

/// Runs pickups. Cheap to share; all that it keeps of its own is how far the last sweep came.
pub struct PickupService {
    parts: PickupParts,
    records: RecordCipher,
    codes: Key32,
    stuck_records: sweep::Stuck,
    stuck_objects: sweep::Stuck,
}

impl PickupService {
    /// A service over these parts.
    ///
    /// # Errors
    /// Where the master key cannot be used.
    pub async fn new(parts: PickupParts) -> Result<Self, KeyError> {
        let records = RecordCipher::new(parts.master.derive("pickup/record").await?);
        let codes = parts.master.derive("pickup/code").await?;
        Ok(Self {
            parts,
            records,
            codes,
            stuck_records: sweep::Stuck::default(),
            stuck_objects: sweep::Stuck::default(),
        })
    }

    /// What the operator settled.
    #[must_use]
    pub const fn settings(&self) -> &PickupSettings {
        &self.parts.settings
    }

    /// What time it is here.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.parts.clock.now()
    }

    /// Where events are kept.
    pub(super) fn audit(&self) -> &dyn AuditSink {
        &*self.parts.audit
    }

    /// What is known of a pickup, for as long as its sender sees it wait.
    pub(super) async fn waiting(&self, key: &VaultKey) -> Result<Option<Facts>, PickupError> {
        match self.load(key).await {
            Ok(known) if known.pickup.seems_to_wait(self.now()) => {
                Ok(Some(known.pickup.facts().clone()))
            }
            Ok(_) | Err(PickupError::Store(StoreError::NotFound)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn pickup_link(&self, id: VaultId, link: &LinkSecret) -> SecretText {
        SecretText::new(format!(
            "{}/m/{id}/{}",
            self.parts.settings.url,
            link.text().expose()
        ))
    }

    fn sender_link(&self, token: &SenderToken) -> SecretText {
        SecretText::new(format!(
            "{}/s/{}",
            self.parts.settings.url,
            token.text().expose()
        ))
    }
}

impl fmt::Debug for PickupService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PickupService")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

/// A step of a pickup could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PickupError {
    /// The content could not be read or opened.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The keys of this message were destroyed; it cannot be sealed or opened again.
    #[error("the keys of this message were destroyed")]
    Destroyed,
    /// A key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The system has no randomness to give.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// Something could not be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such message, or the secret is not its own. Which of both is not said.
    #[error("there is no such message, or the link is not complete")]
    Unknown,
}

impl PickupError {
    /// What the caller does about it.
    #[must_use]
    pub const fn advice(&self) -> Advice {
        match self {
            Self::Destroyed | Self::Unknown => Advice::GiveUp,
            Self::Content(ContentError::Damaged) | Self::Seal(_) => Advice::Alarm,
            Self::Content(ContentError::Unavailable(_)) | Self::Key(_) | Self::NoEntropy(_) => {
                Advice::RetryAfter(Duration::from_secs(60))
            }
            Self::Store(error) => error.advice(),
        }
    }
}
