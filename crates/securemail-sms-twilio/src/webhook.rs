//! Callbacks: checks that Twilio made them (X-Twilio-Signature) and reads what they say.
//!
//! The signature is base64 of HMAC-SHA-1, keyed with the account's auth token, over the address as
//! Twilio called it and, for a form, every field sorted by name. A JSON body is covered by its SHA-256
//! in the query (`bodySHA256`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use securemail_core::limits::FORM_OCTETS_MAX;
use securemail_core::secret::SecretText;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::codes::{Meaning, lookup};
use crate::response::is_message_sid;
use crate::settings::{AccountSid, SettingsError, checked_token};

/// The field of a callback's query that bears our reference.
pub(crate) const REFERENCE: &str = "ref";

/// A callback is not taken. Answer 403 to `Signature`, 400 to the others.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// It is about another account.
    #[error("a callback about another account")]
    Account,
    /// It does not say what the API describes.
    #[error("a callback without a message id or status")]
    Form,
    /// Twilio did not sign it for this address.
    #[error("not signed by Twilio for this address; is the public address the one it calls?")]
    Signature,
    /// It is longer than a callback may be.
    #[error("a callback of more than {FORM_OCTETS_MAX} octets")]
    TooLong,
}

/// How a text fared, as the carrier tells it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SmsStatus {
    /// Twilio has it.
    Accepted,
    /// The telephone has it.
    Delivered,
    /// It was not sent at all.
    Failed,
    /// The recipient's carrier has it.
    Sent,
    /// It did not reach the telephone.
    Undelivered {
        /// A later try may succeed; else the number is wrong or blocks texts.
        retry: bool,
    },
    /// A status that this version does not know.
    Unknown,
}

/// One callback, checked and read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatusUpdate {
    /// The id that the receipt had.
    pub carrier_id: String,
    /// The reference that the code was sent with.
    pub reference: String,
    /// How it fared.
    pub status: SmsStatus,
    /// Twilio's error code; [`lookup`] explains it.
    pub error: Option<u32>,
}

/// Checks and reads callbacks to one address.
#[derive(Clone)]
pub struct TwilioWebhook {
    account: AccountSid,
    auth_token: SecretText,
    /// Without query; the one of each callback is put behind it as it was received.
    public_url: String,
}

impl TwilioWebhook {
    /// Callbacks to `public_url`, the address given to
    /// [`TwilioSettings::status_callback`](crate::TwilioSettings::status_callback). The `Host` of a
    /// request plays no part, since a client chooses it.
    ///
    /// # Errors
    /// `AuthToken`; `Callback` where this is not an address.
    pub fn new(
        account: AccountSid,
        auth_token: SecretText,
        public_url: &str,
    ) -> Result<Self, SettingsError> {
        let url = Url::parse(public_url).map_err(|_| SettingsError::Callback)?;
        let url = url.as_str().split(['?', '#']).next().unwrap_or_default();
        Ok(Self {
            account,
            auth_token: checked_token(auth_token)?,
            public_url: url.to_owned(),
        })
    }

    /// Reads a POST with this query (as received, without `?`), body and `X-Twilio-Signature`.
    ///
    /// A signature has no time in it: a callback can be repeated by whoever saw it, and callbacks
    /// overtake each other. Let no later one undo `Delivered`.
    ///
    /// # Errors
    /// Where it is not a callback of Twilio about a text of this account.
    pub fn receive(
        &self,
        query: &str,
        body: &[u8],
        signature: &str,
    ) -> Result<StatusUpdate, WebhookError> {
        if query.len().saturating_add(body.len()) > FORM_OCTETS_MAX {
            return Err(WebhookError::TooLong);
        }
        let separator = if query.is_empty() { "" } else { "?" };
        let url = [&self.public_url, separator, query].concat();
        let fields = read_form(body);
        if !is_signed_form(&self.auth_token, &url, &fields, signature) {
            return Err(WebhookError::Signature);
        }
        let field = |wanted: &str| {
            let found = fields.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        if field("AccountSid") != Some(self.account.as_str()) {
            return Err(WebhookError::Account);
        }
        let carrier_id = field("MessageSid").filter(|sid| is_message_sid(sid));
        let error = field("ErrorCode").and_then(|code| code.parse().ok());
        Ok(StatusUpdate {
            carrier_id: carrier_id.ok_or(WebhookError::Form)?.to_owned(),
            reference: query_field(query, REFERENCE).unwrap_or_default(),
            status: status(field("MessageStatus").ok_or(WebhookError::Form)?, error),
            error,
        })
    }
}

/// What Twilio's word for a status means.
#[must_use]
pub fn status(word: &str, error: Option<u32>) -> SmsStatus {
    match word {
        "accepted" | "scheduled" | "queued" | "sending" => SmsStatus::Accepted,
        "sent" => SmsStatus::Sent,
        "delivered" | "read" => SmsStatus::Delivered,
        "undelivered" | "partially_delivered" => SmsStatus::Undelivered {
            retry: error
                .and_then(lookup)
                .is_none_or(|(meaning, _)| matches!(meaning, Meaning::Unreachable | Meaning::Busy)),
        },
        "failed" | "canceled" => SmsStatus::Failed,
        _ => SmsStatus::Unknown,
    }
}

/// Whether Twilio signed a form of these fields for `url`.
#[must_use]
pub fn is_signed_form(
    auth_token: &SecretText,
    url: &str,
    fields: &[(String, String)],
    signature: &str,
) -> bool {
    let mut sorted = BTreeMap::<&str, BTreeSet<&str>>::new();
    for (name, value) in fields {
        sorted.entry(name).or_default().insert(value);
    }
    let mut text = String::new();
    for (name, values) in &sorted {
        for value in values {
            text.push_str(name);
            text.push_str(value);
        }
    }
    is_signed(auth_token, url, &text, signature)
}

/// Whether Twilio signed a body that is not a form for `url`, whose query bears its SHA-256.
#[must_use]
pub fn is_signed_body(auth_token: &SecretText, url: &str, body: &[u8], signature: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let Some(claimed) = query_field(query, "bodySHA256") else {
        return false;
    };
    let actual = body_sha256(body);
    let same: bool = actual.as_bytes().ct_eq(claimed.as_bytes()).into();
    same & is_signed(auth_token, url, "", signature)
}

/// SHA-256 of `body` in hexadecimal digits, as `bodySHA256` has it.
#[must_use]
pub fn body_sha256(body: &[u8]) -> String {
    Sha256::digest(body)
        .iter()
        .fold(String::new(), |mut text, octet| {
            for half in [octet >> 4, octet & 15] {
                text.extend(char::from_digit(half.into(), 16));
            }
            text
        })
}

/// Twilio signs some addresses with their port and some without; both are the configured one.
fn is_signed(auth_token: &SecretText, url: &str, text: &str, signature: &str) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else {
        return false;
    };
    with_and_without_port(url).iter().any(|url| {
        Hmac::<Sha1>::new_from_slice(auth_token.expose().as_bytes()).is_ok_and(|mac| {
            mac.chain_update(url)
                .chain_update(text)
                // Compares in constant time.
                .verify_slice(&signature)
                .is_ok()
        })
    })
}

/// The address as it is written, with the port it has or implies, and without a port.
///
/// This edits the text: parsing and writing it again could change a character that was signed.
fn with_and_without_port(url: &str) -> Vec<String> {
    let mut forms = vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else {
        return forms;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let implied = if scheme == "https" { "443" } else { "80" };
    match authority.rsplit_once(':') {
        // A colon inside the brackets of an IPv6 address is no port.
        Some((host, port)) if !port.contains(']') => forms.push(format!("{scheme}://{host}{path}")),
        _ => forms.push(format!("{scheme}://{authority}:{implied}{path}")),
    }
    forms
}

fn read_form(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

fn query_field(query: &str, wanted: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == wanted)
        .map(|(_, value)| value.into_owned())
}

impl fmt::Debug for TwilioWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TwilioWebhook(..)")
    }
}
