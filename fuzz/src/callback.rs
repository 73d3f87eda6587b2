//! Callbacks of a carrier.

use securemail_core::secret::SecretText;
use securemail_sms_twilio::{AccountSid, TwilioWebhook};

/// Nobody makes up a callback: the first line is the query, the second the signature, then comes the form.
pub(crate) fn twilio(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let mut parts = text.splitn(3, '\n');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let (query, signature, body) = (next(), next(), next());
    let Ok(account) = format!("AC{}", "0".repeat(32)).parse::<AccountSid>() else {
        return;
    };
    let token = SecretText::new("b".repeat(32));
    let Ok(webhook) = TwilioWebhook::new(account, token, "https://portal.example/sms") else {
        return;
    };
    assert!(
        webhook
            .receive(&query, body.as_bytes(), &signature)
            .is_err()
    );
}
