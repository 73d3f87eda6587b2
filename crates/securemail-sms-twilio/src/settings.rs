//! What the operator settles: the account, the sender, where callbacks go.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;
use securemail_core::secret::SecretText;
use securemail_core::vocab::PhoneNumber;

/// Twilio's own address.
const PUBLIC_BASE_URL: &str = "https://api.twilio.com";
/// A shorter token is none of Twilio's; with an empty one anybody could sign callbacks.
const AUTH_TOKEN_OCTETS_MIN: usize = 16;

/// A setting cannot be used; the variant says what to change.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// `account_sid`.
    #[error(
        "account_sid: AC and 32 hexadecimal digits are wanted, as the Twilio console shows them"
    )]
    Account,
    /// `auth_token_file`.
    #[error("auth_token: this is too short to be the auth token that the Twilio console shows")]
    AuthToken,
    /// `base_url`.
    #[error("base_url: an https address is wanted (http only on loopback, for tests)")]
    BaseUrl,
    /// `status_callback`.
    #[error("status_callback: an https address is wanted (http only on loopback, for tests)")]
    Callback,
    /// `from`.
    #[error(
        "from: a number such as +31612345678, a messaging service (MG and 32 hexadecimal digits), \
         or a name of 1 to 11 letters, digits and spaces with at least one letter is wanted"
    )]
    From,
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls,
}

/// Names an account: `AC` and 32 hexadecimal digits.
#[derive(Clone, Eq, PartialEq)]
pub struct AccountSid(String);

impl AccountSid {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountSid {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        if is_sid(text, "AC") {
            Ok(Self(text.to_owned()))
        } else {
            Err(SettingsError::Account)
        }
    }
}

impl fmt::Debug for AccountSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountSid(..)")
    }
}

/// Who the recipient sees as sender.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sender {
    /// A name of 1 to 11 letters, digits and spaces; nobody can answer it, and not every country has it.
    Name(String),
    /// One of the account's numbers.
    Number(PhoneNumber),
    /// A messaging service, which chooses.
    Service(String),
}

impl FromStr for Sender {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        if is_sid(text, "MG") {
            return Ok(Self::Service(text.to_owned()));
        }
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        let is_name = (1..=11).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ')
            && text.bytes().any(|b| b.is_ascii_alphabetic());
        if is_name {
            Ok(Self::Name(text.to_owned()))
        } else {
            Err(SettingsError::From)
        }
    }
}

fn is_sid(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// What the operator settles.
#[derive(Clone, Debug)]
pub struct TwilioSettings {
    pub(crate) base_url: Url,
    pub(crate) account: AccountSid,
    pub(crate) auth_token: SecretText,
    pub(crate) sender: Sender,
    pub(crate) status_callback: Option<Url>,
    pub(crate) redact: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) timeout: Duration,
}

impl TwilioSettings {
    /// Sends from `sender` on `account`, through Twilio's own address, without callbacks.
    ///
    /// # Errors
    /// `AuthToken`.
    pub fn new(
        account: AccountSid,
        auth_token: SecretText,
        sender: Sender,
    ) -> Result<Self, SettingsError> {
        Ok(Self {
            base_url: safe_url(PUBLIC_BASE_URL).ok_or(SettingsError::BaseUrl)?,
            account,
            auth_token: checked_token(auth_token)?,
            sender,
            status_callback: None,
            redact: false,
            connect_timeout: Duration::from_secs(5),
            // A person waits for the code; Twilio answers in well under a second.
            timeout: Duration::from_secs(15),
        })
    }

    /// Sends through this address instead.
    ///
    /// # Errors
    /// `BaseUrl` where the credentials would go over the network in clear.
    pub fn base_url(mut self, url: &str) -> Result<Self, SettingsError> {
        self.base_url = safe_url(url).ok_or(SettingsError::BaseUrl)?;
        Ok(self)
    }

    /// Has Twilio tell this address how each text fared; [`webhook`](crate::webhook) reads that.
    ///
    /// # Errors
    /// `Callback` where it would go over the network in clear.
    pub fn status_callback(mut self, url: &str) -> Result<Self, SettingsError> {
        self.status_callback = Some(safe_url(url).ok_or(SettingsError::Callback)?);
        Ok(self)
    }

    /// Asks Twilio to keep neither the text nor the whole number. The account must have this feature.
    #[must_use]
    pub const fn redact(mut self, redact: bool) -> Self {
        self.redact = redact;
        self
    }

    /// How long a connection, and a whole request, may take.
    #[must_use]
    pub const fn timeouts(mut self, connect: Duration, whole: Duration) -> Self {
        self.connect_timeout = connect;
        self.timeout = whole;
        self
    }
}

pub(crate) fn checked_token(token: SecretText) -> Result<SecretText, SettingsError> {
    if token.expose().len() < AUTH_TOKEN_OCTETS_MIN {
        return Err(SettingsError::AuthToken);
    }
    Ok(token)
}

/// Credentials and telephone numbers go there: HTTPS, or this machine.
fn safe_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?;
    let is_loopback = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    let is_plain =
        url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback);
    (is_safe && is_plain).then_some(url)
}
