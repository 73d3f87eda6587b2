//! What a carrier says: callbacks, and answers to what was sent.

use std::collections::BTreeMap;

use securemail_core::secret::SecretText;
use securemail_sms_twilio::{AccountSid, TwilioWebhook, response};
use securemail_testkit::twilio_fake::sign;

const URL: &str = "https://portal.example/sms";

/// Nobody makes up a callback: the first line is the query, the second the signature, then comes the form. The same form,
/// signed by the carrier, is read as it says, and is no callback any more once the query is another one.
pub(crate) fn twilio(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let mut parts = text.splitn(3, '\n');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let (query, signature, body) = (next(), next(), next());
    let sid = format!("AC{}", "0".repeat(32));
    let Ok(account) = sid.parse::<AccountSid>() else {
        return;
    };
    let secret = "b".repeat(32);
    let Ok(webhook) = TwilioWebhook::new(account, SecretText::new(secret.clone()), URL) else {
        return;
    };
    assert!(
        webhook
            .receive(&query, body.as_bytes(), &signature)
            .is_err()
    );
    let pairs: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let fields: BTreeMap<&str, String> = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    // The fake signs each name once.
    if fields.len() != pairs.len() {
        return;
    }
    let separator = if query.is_empty() { "" } else { "?" };
    let signature = sign(&secret, &format!("{URL}{separator}{query}"), &fields);
    let read = webhook.receive(&query, body.as_bytes(), &signature);
    let is_ours = fields.get("AccountSid") == Some(&sid);
    if let Ok(update) = read {
        assert!(is_ours && fields.contains_key("MessageStatus"));
        assert_eq!(fields.get("MessageSid"), Some(&update.carrier_id));
        let error = update.error.map(|code| code.to_string());
        assert!(error.is_none() || error.as_ref() == fields.get("ErrorCode"));
        let other = format!("{query}&ref=x");
        let forged = webhook.receive(&other, body.as_bytes(), &signature);
        assert!(forged.is_err(), "the query is not signed");
    }
}

/// Only an answer of success that names the message is a receipt. The first two octets are the status, the rest the body.
pub(crate) fn answer(octets: &[u8]) {
    let Some((status, body)) = octets.split_first_chunk::<2>() else {
        return;
    };
    let status = u16::from_be_bytes(*status);
    let Ok(receipt) = response::read(status, body) else {
        return;
    };
    assert!((200..300).contains(&status));
    let (kind, digits) = receipt.carrier_id.split_at(2);
    assert!(matches!(kind, "SM" | "MM") && digits.len() == 32);
    assert!(digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let text = String::from_utf8_lossy(body);
    assert!(text.contains("sid"), "{text}");
}
