//! X-Twilio-Signature: the vectors of Twilio's own libraries, and what must not pass.

use securemail_core::secret::SecretText;
use securemail_sms_twilio::webhook::{body_sha256, is_signed_body, is_signed_form, status};
use securemail_sms_twilio::{SettingsError, SmsStatus, TwilioWebhook, WebhookError};
use securemail_testkit::twilio_fake::sign;

const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
const SIGNATURE: &str = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn token(text: &str) -> SecretText {
    SecretText::new(text)
}

fn form(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = fields.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    owned.collect()
}

fn call() -> Vec<(String, String)> {
    form(&[
        ("CallSid", "CA1234567890ABCDE"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
        ("Caller", "+14158675309"),
    ])
}

#[test]
fn the_signature_of_twilios_own_vector_passes() {
    assert!(is_signed_form(&token("12345"), URL, &call(), SIGNATURE));
    let mut reversed = call();
    reversed.reverse();
    assert!(is_signed_form(&token("12345"), URL, &reversed, SIGNATURE));
}

#[test]
fn anything_else_does_not_pass() {
    let pass = |key: &str, url: &str, fields: &[(String, String)], signature: &str| {
        is_signed_form(&token(key), url, fields, signature)
    };
    assert!(!pass("12346", URL, &call(), SIGNATURE));
    assert!(!pass(
        "12345",
        "https://mycompany.com/myapp.php?foo=1&bar=3",
        &call(),
        SIGNATURE
    ));
    assert!(!pass(
        "12345",
        "http://mycompany.com/myapp.php?foo=1&bar=2",
        &call(),
        SIGNATURE
    ));
    assert!(!pass("12345", URL, &call()[1..], SIGNATURE));
    let mut altered = call();
    altered[1].1 = "1235".into();
    assert!(!pass("12345", URL, &altered, SIGNATURE));
    for signature in [
        "",
        "RSOYDt4T1cUTdK1PDd93/VVr8B8",
        "RSOYDt4T1cUTdK1PDd93",
        "not base64!",
        "AAAA",
    ] {
        assert!(!pass("12345", URL, &call(), signature), "{signature}");
    }
}

#[test]
fn repeated_fields_are_signed_once_for_each_value() {
    let fields = form(&[
        ("Sid", "CA123"),
        ("SidAccount", "AC123"),
        ("Digits", "5678"),
        ("Digits", "1234"),
        ("Digits", "1234"),
    ]);
    let signature = "IK+Dwps556ElfBT0I3Rgjkr1wJU=";
    assert!(is_signed_form(&token("12345"), URL, &fields, signature));
}

#[test]
fn the_port_may_stand_in_the_signed_address_or_not() {
    let fields = std::collections::BTreeMap::from([("A", "1".to_owned())]);
    let owned = form(&[("A", "1")]);
    for (configured, signed, same) in [
        (
            "https://h.example/x?y=1",
            "https://h.example:443/x?y=1",
            true,
        ),
        (
            "https://h.example:443/x?y=1",
            "https://h.example/x?y=1",
            true,
        ),
        ("https://h.example:8443/x", "https://h.example/x", true),
        ("http://h.example", "http://h.example:80", true),
        (
            "https://[2001:db8::1]/x",
            "https://[2001:db8::1]:443/x",
            true,
        ),
        (
            "https://[2001:db8::1]:8443/x",
            "https://[2001:db8::1]/x",
            true,
        ),
        ("https://h.example/x", "https://h.example:8443/x", false),
        ("https://h.example/x:1", "https://h.example/x", false),
        ("https://h.example/x", "https://other.example/x", false),
    ] {
        let signature = sign("12345", signed, &fields);
        let pass = is_signed_form(&token("12345"), configured, &owned, &signature);
        assert_eq!(pass, same, "{configured} {signed}");
    }
}

#[test]
fn a_json_body_is_covered_by_its_hash_in_the_query() {
    let body = br#"{"property": "value", "boolean": true}"#;
    let hash = body_sha256(body);
    assert!(
        hash.starts_with("0a1ff763") && hash.ends_with("6620"),
        "{hash}"
    );
    let url = format!("https://mycompany.com/myapp.php?foo=1&bodySHA256={hash}");
    let signature = sign("12345", &url, &std::collections::BTreeMap::new());
    assert!(is_signed_body(&token("12345"), &url, body, &signature));
    assert!(!is_signed_body(&token("12345"), &url, b"{}", &signature));
    assert!(!is_signed_body(&token("12346"), &url, body, &signature));
    // Without the hash the body is not covered by anything.
    let bare = "https://mycompany.com/myapp.php?foo=1";
    let signature = sign("12345", bare, &std::collections::BTreeMap::new());
    assert!(!is_signed_body(&token("12345"), bare, body, &signature));
}

fn webhook() -> TwilioWebhook {
    let account = format!("AC{}", "0".repeat(32)).parse().unwrap();
    TwilioWebhook::new(account, token(TOKEN), "https://mail.example/hooks/twilio").unwrap()
}

fn signed(fields: &[(&'static str, &str)], query: &str) -> (String, String) {
    let fields = fields.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
    let url = format!("https://mail.example/hooks/twilio?{query}");
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&fields)
        .finish();
    (body, sign(TOKEN, &url, &fields))
}

#[test]
fn a_signed_callback_about_another_account_or_about_nothing_is_refused() {
    let account = format!("AC{}", "0".repeat(32));
    let sid = format!("SM{}", "1".repeat(32));
    let good = [
        ("AccountSid", account.as_str()),
        ("MessageSid", sid.as_str()),
        ("MessageStatus", "delivered"),
    ];
    let receive = |fields: &[(&'static str, &str)]| {
        let (body, signature) = signed(fields, "ref=k7%2B1");
        webhook().receive("ref=k7%2B1", body.as_bytes(), &signature)
    };
    let update = receive(&good).unwrap();
    assert_eq!(
        (update.reference.as_str(), update.carrier_id),
        ("k7+1", sid.clone())
    );
    assert_eq!(update.status, SmsStatus::Delivered);
    let mut other = good;
    other[0].1 = "AC11111111111111111111111111111111";
    assert_eq!(receive(&other), Err(WebhookError::Account));
    let mut other = good;
    other[1].1 = "../../etc";
    assert_eq!(receive(&other), Err(WebhookError::Form));
    assert_eq!(receive(&good[..2]), Err(WebhookError::Form));

    let (body, signature) = signed(&good, "ref=k7");
    let refused = webhook().receive("ref=k8", body.as_bytes(), &signature);
    assert_eq!(refused, Err(WebhookError::Signature));
    let long = vec![b'a'; 20_000];
    assert_eq!(
        webhook().receive("", &long, &signature),
        Err(WebhookError::TooLong)
    );
}

#[test]
fn a_token_that_anybody_could_guess_is_refused() {
    let account = format!("AC{}", "0".repeat(32)).parse().unwrap();
    let made = TwilioWebhook::new(account, token(""), "https://mail.example/");
    assert_eq!(made.err(), Some(SettingsError::AuthToken));
}

/// Every status of the API description.
#[test]
fn every_status_has_a_meaning() {
    for (word, error, wanted) in [
        ("accepted", None, SmsStatus::Accepted),
        ("scheduled", None, SmsStatus::Accepted),
        ("queued", None, SmsStatus::Accepted),
        ("sending", None, SmsStatus::Accepted),
        ("sent", None, SmsStatus::Sent),
        ("delivered", None, SmsStatus::Delivered),
        ("read", None, SmsStatus::Delivered),
        ("undelivered", None, SmsStatus::Undelivered { retry: true }),
        (
            "undelivered",
            Some(30_003),
            SmsStatus::Undelivered { retry: true },
        ),
        (
            "undelivered",
            Some(30_006),
            SmsStatus::Undelivered { retry: false },
        ),
        (
            "undelivered",
            Some(30_007),
            SmsStatus::Undelivered { retry: false },
        ),
        ("failed", None, SmsStatus::Failed),
        ("canceled", None, SmsStatus::Failed),
        ("receiving", None, SmsStatus::Unknown),
        ("", None, SmsStatus::Unknown),
    ] {
        assert_eq!(status(word, error), wanted, "{word}");
    }
}
