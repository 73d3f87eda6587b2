//! The hosts of tenants that take mail to the tenant's own people.

use std::fmt;

use async_trait::async_trait;

use super::{RecipientOutcome, SessionOutcome};
use crate::StoreError;
use crate::mail::ContentFree;
use crate::route::Hop;
use crate::secret::SecretText;
use crate::vocab::{Address, Demands, DnsName, Reply, ReversePath, TenantId};

/// Knows which host of its own a tenant wants its sender mail handed to.
///
/// # Contract
/// - **W1** `Ok(None)` says that the tenant has named none; an error never means that.
/// - **W2** The host was named by whoever operates the relay, never by a message.
#[async_trait]
pub trait ReturnHosts: fmt::Debug + Send + Sync + 'static {
    /// The host of this tenant.
    ///
    /// # Errors
    /// Where it cannot be told now; the mail then waits.
    async fn return_host(&self, tenant: &TenantId) -> Result<Option<ReturnHost>, StoreError>;
}

/// A host that the operator named for the mail to a tenant's own people.
#[derive(Clone, Debug)]
pub struct ReturnHost {
    /// Its name: what its certificate must bear, or the name whose TLSA records it must match.
    pub host: DnsName,
    /// The TCP port.
    pub port: u16,
    /// How TLS begins. There is no session without it.
    pub start: TlsStart,
    /// Who we are there, if it asks.
    pub login: Option<Login>,
}

/// How TLS begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsStart {
    /// With the connection (RFC 8314, section 3.3).
    AtOnce,
    /// With STARTTLS (RFC 3207).
    StartTls,
}

/// A user name and its password, for AUTH PLAIN (RFC 4616).
#[derive(Clone)]
pub struct Login {
    username: String,
    password: SecretText,
}

/// What a login may not be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("user name and password have 1 to 255 octets each, and none of them is zero")]
pub struct LoginError;

impl Login {
    /// A login.
    ///
    /// # Errors
    /// Where it does not fit into AUTH PLAIN (RFC 4616, section 2).
    pub fn new(username: impl Into<String>, password: SecretText) -> Result<Self, LoginError> {
        let username = username.into();
        let fits = |text: &str| (1..=255).contains(&text.len()) && !text.contains('\0');
        if !fits(&username) || !fits(password.expose()) {
            return Err(LoginError);
        }
        Ok(Self { username, password })
    }

    /// The user name.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The password. Do not log it.
    #[must_use]
    pub const fn password(&self) -> &SecretText {
        &self.password
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// Hands mail to hosts that the operator named. A sender's content has no way into it, because
/// [`ContentFree`] is made by core's own templates only.
///
/// # Contract
/// - **T5** No octet of AUTH, MAIL, RCPT or mail leaves before `route::authenticate` gave the proof of
///   this hop for the certificate of this session.
/// - **T6** Where there is a login and it is not taken, no octet of MAIL, RCPT or mail leaves.
/// - **T7** Once the final dot may have left, a missing reply is `Unconfirmed`, never anything else.
#[async_trait]
pub trait ReturnTransport: fmt::Debug + Send + Sync + 'static {
    /// Tries.
    async fn attempt_return(&self, attempt: ReturnAttempt) -> ReturnOutcome;
}

/// One attempt to hand a mail to the host that the operator named.
#[derive(Clone, Debug)]
pub struct ReturnAttempt {
    /// The host, and what it must prove.
    pub hop: Hop,
    /// How TLS begins.
    pub start: TlsStart,
    /// Who we are there.
    pub login: Option<Login>,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO.
    pub recipient: Address,
    /// What the host must offer besides.
    pub demands: Demands,
    /// The mail.
    pub mail: ContentFree,
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReturnOutcome {
    /// The session came to MAIL, and this is how the recipient fared.
    Answered(RecipientOutcome),
    /// The login was refused, or AUTH PLAIN is not offered: the settings must be put right.
    NotLetIn(Option<Reply>),
    /// It ended before MAIL.
    Unanswered(SessionOutcome),
}
