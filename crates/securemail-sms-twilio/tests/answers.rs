//! What each answer of Twilio means, without a network.

use securemail_core::backend::NotifyError;
use securemail_sms_twilio::codes::{Meaning, lookup};
use securemail_sms_twilio::response::read;

const SID: &str = "SM0123456789abcdef0123456789abcdef";

fn outcome(status: u16, body: &str) -> &'static str {
    match read(status, body.as_bytes()) {
        Ok(receipt) => {
            assert_eq!(receipt.carrier_id, SID);
            "taken"
        }
        Err(NotifyError::Credentials) => "credentials",
        Err(NotifyError::Number) => "number",
        Err(NotifyError::NotAllowed) => "not allowed",
        Err(NotifyError::Busy) => "busy",
        Err(NotifyError::InDoubt(_)) => "in doubt",
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_answer_has_one_meaning() {
    let taken = format!(r#"{{"sid":"{SID}","status":"queued","error_code":null}}"#);
    let failed = format!(r#"{{"sid":"{SID}","status":"failed","error_code":30006}}"#);
    for (status, body, wanted) in [
        (201, taken.as_str(), "taken"),
        (201, &failed, "number"),
        (201, "{}", "in doubt"),
        (201, r#"{"sid":"SM1"}"#, "in doubt"),
        (201, "<html>", "in doubt"),
        (
            400,
            r#"{"code":21211,"message":"x","more_info":"y","status":400}"#,
            "number",
        ),
        (
            400,
            r#"{"type":"t","title":"t","status":400,"code":21614,"detail":"d"}"#,
            "number",
        ),
        (400, r#"{"code":21610}"#, "not allowed"),
        (400, r#"{"code":21408}"#, "not allowed"),
        (400, r#"{"code":21617}"#, "not allowed"),
        (400, r#"{"code":99999}"#, "not allowed"),
        (400, "", "not allowed"),
        (401, r#"{"code":20003}"#, "credentials"),
        (401, "", "credentials"),
        (403, "", "credentials"),
        (404, r#"{"code":20404}"#, "credentials"),
        (429, r#"{"code":20429}"#, "busy"),
        (429, "", "busy"),
        (503, "", "busy"),
        // Twilio, or something before it, may have worked on these.
        (500, "", "in doubt"),
        (502, "", "in doubt"),
        (504, "", "in doubt"),
        (302, "", "in doubt"),
    ] {
        assert_eq!(outcome(status, body), wanted, "{status} {body}");
    }
}

#[test]
fn every_code_that_the_portal_speaks_of_is_in_the_table() {
    for (code, wanted) in [
        (20_003, Meaning::Credentials),
        (20_429, Meaning::Busy),
        (21_211, Meaning::Number),
        (21_408, Meaning::NotAllowed),
        (21_603, Meaning::Settings),
        (21_610, Meaning::NotAllowed),
        (21_614, Meaning::Number),
        (21_617, Meaning::Settings),
        (30_003, Meaning::Unreachable),
        (30_005, Meaning::Number),
        (30_006, Meaning::Number),
        (30_007, Meaning::NotAllowed),
    ] {
        let (meaning, advice) = lookup(code).unwrap();
        assert_eq!(meaning, wanted, "{code}");
        assert!(!advice.is_empty());
    }
    assert_eq!(lookup(1), None);
}
