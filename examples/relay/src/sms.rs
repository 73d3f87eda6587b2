//! Which carrier takes codes, and what it reports afterwards.

use std::fs;
use std::io::stderr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::HeaderMap;
use securemail_core::backend::Notifier;
use securemail_core::secret::SecretText;
use securemail_sms_twilio::codes::{Meaning, lookup};
use securemail_sms_twilio::{
    AccountSid, ConsoleNotifier, SmsStatus, StatusUpdate, TwilioNotifier, TwilioSettings,
    TwilioWebhook, WebhookError,
};
use securemail_web::{CallbackAnswer, CarrierCallbacks};

use crate::assemble::Trouble;
use crate::settings::{Settings, SettingsError, SmsProvider};

/// A carrier, and what reads its callbacks.
#[derive(Clone, Debug)]
pub struct Carrier {
    pub notifier: Arc<dyn Notifier>,
    /// `None` where the carrier reports nothing.
    pub callbacks: Option<Arc<dyn CarrierCallbacks>>,
}

impl Carrier {
    /// The carrier of the settings.
    ///
    /// # Errors
    /// Where something is missing or does not fit.
    pub fn new(settings: &Settings) -> Result<Self, Trouble> {
        match settings.sms.provider {
            SmsProvider::Console => Ok(Self::silent(Arc::new(ConsoleNotifier::new(stderr())))),
            SmsProvider::Twilio => twilio(settings),
        }
    }

    /// A carrier that reports nothing.
    pub fn silent(notifier: Arc<dyn Notifier>) -> Self {
        Self {
            notifier,
            callbacks: None,
        }
    }
}

fn twilio(settings: &Settings) -> Result<Carrier, Trouble> {
    let sms = &settings.sms;
    let account: AccountSid = wanted(sms.account_sid.as_ref(), "account_sid")?.parse()?;
    let file = wanted(sms.auth_token_file.as_ref(), "auth_token_file")?;
    let token = fs::read_to_string(file).map_err(|source| SettingsError::Read {
        path: file.clone(),
        source,
    })?;
    let token = SecretText::new(token.trim());
    let sender = wanted(sms.from.as_ref(), "from")?.parse()?;
    let callback = format!("{}/callback/sms", settings.portal.url.trim_end_matches('/'));
    let webhook = TwilioWebhook::new(account.clone(), token.clone(), &callback)?;
    let mut twilio = TwilioSettings::new(account, token, sender)?.status_callback(&callback)?;
    if let Some(url) = &sms.base_url {
        twilio = twilio.base_url(url)?;
    }
    Ok(Carrier {
        notifier: Arc::new(TwilioNotifier::new(twilio)?),
        callbacks: Some(Arc::new(Callbacks(webhook))),
    })
}

fn wanted<'a, T>(value: Option<&'a T>, key: &str) -> Result<&'a T, SettingsError> {
    value.ok_or_else(|| SettingsError::Invalid(format!("sms.{key} is wanted for Twilio")))
}

/// What Twilio reports about codes.
#[derive(Debug)]
struct Callbacks(TwilioWebhook);

#[async_trait]
impl CarrierCallbacks for Callbacks {
    async fn receive(&self, url: &str, headers: &HeaderMap, body: &[u8]) -> CallbackAnswer {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let signature = headers
            .get("x-twilio-signature")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        match self.0.receive(query, body, signature) {
            Ok(update) => answer(&update),
            Err(error @ WebhookError::Form) => {
                tracing::warn!(%error, "Twilio reported something that cannot be read");
                CallbackAnswer::Taken
            }
            Err(error) => {
                tracing::warn!(%error, "a callback was refused");
                CallbackAnswer::Forged
            }
        }
    }
}

/// Only where the number is the cause can the sender do something about it.
fn answer(update: &StatusUpdate) -> CallbackAnswer {
    let failed = matches!(
        update.status,
        SmsStatus::Failed | SmsStatus::Undelivered { .. }
    );
    let cause = update.error.and_then(lookup);
    if failed {
        let advice = cause.map_or("", |(_, advice)| advice);
        tracing::warn!(code = update.error, advice, "a code was not delivered");
    }
    let is_number = matches!(cause, Some((Meaning::Number, _)));
    match update.reference.parse() {
        Ok(id) if failed && is_number => CallbackAnswer::Undeliverable(id),
        Ok(_) | Err(_) => CallbackAnswer::Taken,
    }
}
