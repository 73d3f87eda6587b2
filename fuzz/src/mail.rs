//! Headers, bounces, signed return paths, and callbacks of a carrier.

use bytes::Bytes;
use securemail_core::mail::{HeaderView, Wishes, is_permanent_failure, verp};
use securemail_core::secret::{Key32, SecretText};
use securemail_core::vocab::Address;
use securemail_sms_twilio::{AccountSid, TwilioWebhook};

/// Every field lies within the header, and the wishes in it are read or refused.
pub(crate) fn header(octets: &[u8]) {
    let Ok(view) = HeaderView::parse(Bytes::copy_from_slice(octets)) else {
        return;
    };
    assert!(view.octets().len() <= octets.len());
    for name in ["From", "To", "Cc", "Bcc", "Sender", "Resent-To"] {
        drop(view.mailboxes(name));
    }
    drop((view.message_id(), view.received_count()));
    drop(Wishes::read(&view));
}

/// A report that failed, or not.
pub(crate) fn bounce(octets: &[u8]) {
    let failed = is_permanent_failure(octets);
    assert!(!failed || !octets.is_empty(), "nothing is no report");
}

/// Nobody makes up a signed return path.
pub(crate) fn verp(octets: &[u8]) {
    let text = std::str::from_utf8(octets).unwrap_or_default();
    if let Ok(address) = text.parse::<Address>() {
        assert!(verp::check(&Key32::from_bytes([7; 32]), &address).is_none());
    }
}

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
