//! Which carrier takes codes, and what it reports afterwards.

use std::fs;
use std::io::stderr;
use std::sync::Arc;

use securemail_core::backend::Notifier;
use securemail_core::secret::SecretText;
use securemail_sms_twilio::{AccountSid, ConsoleNotifier, TwilioNotifier, TwilioSettings};

use crate::assemble::Trouble;
use crate::settings::{Settings, SettingsError, SmsProvider};

/// The carrier of the settings.
///
/// # Errors
/// Where something is missing or does not fit.
pub fn notifier(settings: &Settings) -> Result<Arc<dyn Notifier>, Trouble> {
    match settings.sms.provider {
        SmsProvider::Console => Ok(Arc::new(ConsoleNotifier::new(stderr()))),
        SmsProvider::Twilio => twilio(settings),
    }
}

fn twilio(settings: &Settings) -> Result<Arc<dyn Notifier>, Trouble> {
    let sms = &settings.sms;
    let account: AccountSid = wanted(sms.account_sid.as_ref(), "account_sid")?.parse()?;
    let file = wanted(sms.auth_token_file.as_ref(), "auth_token_file")?;
    let token = fs::read_to_string(file).map_err(|source| SettingsError::Read {
        path: file.clone(),
        source,
    })?;
    let sender = wanted(sms.from.as_ref(), "from")?.parse()?;
    let mut twilio = TwilioSettings::new(account, SecretText::new(token.trim()), sender)?;
    if let Some(url) = &sms.base_url {
        twilio = twilio.base_url(url)?;
    }
    Ok(Arc::new(TwilioNotifier::new(twilio)?))
}

fn wanted<'a, T>(value: Option<&'a T>, key: &str) -> Result<&'a T, SettingsError> {
    value.ok_or_else(|| SettingsError::Invalid(format!("sms.{key} is wanted for Twilio")))
}
