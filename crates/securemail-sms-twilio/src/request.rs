//! What is asked of Twilio: one `POST …/Messages.json` (API 2010-04-01), as data.

use std::fmt;

use reqwest::Url;
use securemail_core::backend::CodeMessage;

use crate::settings::{Sender, SettingsError, TwilioSettings};

/// Seconds that a text may wait at Twilio; the API takes 1 to 36000.
const VALIDITY_SECS: std::ops::RangeInclusive<u64> = 1..=36_000;

/// One request. It holds the number and the code: `Debug` shows neither.
#[derive(Clone, Eq, PartialEq)]
pub struct MessageRequest {
    /// Where it is posted.
    pub url: Url,
    /// The fields of the form, in the order in which they are sent.
    pub form: Vec<(&'static str, String)>,
}

impl MessageRequest {
    /// Asks for `message` to be sent as `settings` say.
    ///
    /// # Errors
    /// `BaseUrl` where the address has no room for a path.
    pub fn new(settings: &TwilioSettings, message: &CodeMessage) -> Result<Self, SettingsError> {
        let mut url = settings.base_url.clone();
        url.path_segments_mut()
            .map_err(|()| SettingsError::BaseUrl)?
            .pop_if_empty()
            .extend([
                "2010-04-01",
                "Accounts",
                settings.account.as_str(),
                "Messages.json",
            ]);
        let seconds = message.valid_for.as_secs();
        let seconds = seconds.clamp(*VALIDITY_SECS.start(), *VALIDITY_SECS.end());
        let mut form = vec![
            ("To", message.to.expose().to_owned()),
            sender_field(&settings.sender),
            ("Body", message.text.expose().to_owned()),
            ("ValidityPeriod", seconds.to_string()),
        ];
        form.extend(callback_field(settings, message));
        if settings.redact {
            form.push(("ContentRetention", "discard".to_owned()));
            form.push(("AddressRetention", "obfuscate".to_owned()));
        }
        Ok(Self { url, form })
    }
}

fn sender_field(sender: &Sender) -> (&'static str, String) {
    match sender {
        Sender::Name(name) => ("From", name.clone()),
        Sender::Number(number) => ("From", number.expose().to_owned()),
        Sender::Service(sid) => ("MessagingServiceSid", sid.clone()),
    }
}

/// The callback bears our reference in its query; Twilio's signature covers it.
fn callback_field(
    settings: &TwilioSettings,
    message: &CodeMessage,
) -> Option<(&'static str, String)> {
    let mut url = settings.status_callback.clone()?;
    url.query_pairs_mut()
        .append_pair(crate::webhook::REFERENCE, &message.reference);
    Some(("StatusCallback", url.into()))
}

impl fmt::Debug for MessageRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = self.form.iter().map(|(name, _)| name).collect();
        write!(f, "MessageRequest({fields:?})")
    }
}
