//! Which bounces say that a mail failed for good.

use std::hint::black_box;

use proptest::prelude::*;
use securemail_core::mail::is_permanent_failure;

/// A bounce as mail servers write it, with this text as its delivery status.
fn report(status: &str) -> Vec<u8> {
    format!(
        "From: MAILER-DAEMON@mx.test\r\nTo: bounce@relay.test\r\nSubject: Undelivered Mail\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\n{status}\r\n\
         --b\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n\r\n--b--\r\n"
    )
    .into_bytes()
}

fn recipient(action: &str, status: &str) -> Vec<u8> {
    report(&format!(
        "Reporting-MTA: dns; mx.test\r\n\r\n\
         Final-Recipient: rfc822; jan@open.test\r\n{action}\r\n{status}\r\n"
    ))
}

#[test]
fn a_permanent_failure_is_read_however_it_is_written() {
    for (action, status) in [
        ("Action: failed", "Status: 5.1.1"),
        ("ACTION:Failed", "status:   5.7.1 (refused)"),
        ("Action: failed (it is gone)", "Status: 5.0.0"),
        ("Action:\r\n failed", "Status:\r\n\t5.2.2"),
    ] {
        assert!(is_permanent_failure(&recipient(action, status)), "{action}");
    }
}

#[test]
fn a_failure_is_read_from_a_report_in_utf8_too() {
    let ascii = String::from_utf8(recipient("Action: failed", "Status: 5.1.1")).unwrap();
    let global = ascii
        .replace("message/delivery-status", "message/global-delivery-status")
        .replace("rfc822; jan@", "utf-8; j\u{f6}rg@");
    assert!(is_permanent_failure(global.as_bytes()));
}

#[test]
fn what_is_not_permanent_or_not_said_is_no_failure() {
    for (action, status) in [
        ("Action: delayed", "Status: 5.1.1"),
        ("Action: failed", "Status: 4.4.1"),
        ("Action: delivered", "Status: 2.0.0"),
        ("Action: failed", "X-Status: 5.1.1"),
        ("Action: failed", ""),
        ("Action: failed\r\n", "Status: 5.1.1"),
        ("Action: unfailed", "Status: 5.1.1"),
        ("Action: failed", "Status: 55.1.1"),
    ] {
        let bounce = recipient(action, status);
        assert!(!is_permanent_failure(&bounce), "{action:?} {status:?}");
    }
}

#[test]
fn a_text_for_people_is_no_failure() {
    for text in [
        "",
        "Subject: Undelivered\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\n",
        "Subject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\nI am away.\r\n",
        "Content-Type: text/plain\r\n\r\nReporting-MTA: dns; x\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\n",
    ] {
        assert!(!is_permanent_failure(text.as_bytes()), "{text}");
    }
}

#[test]
fn a_notification_inside_a_returned_message_is_not_ours() {
    let inner = String::from_utf8(recipient("Action: failed", "Status: 5.1.1")).unwrap();
    let outer = format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"outer\"\r\n\r\n\
         --outer\r\nContent-Type: text/plain\r\n\r\nYou sent me this.\r\n\
         --outer\r\nContent-Type: message/rfc822\r\n\r\n{inner}\r\n--outer--\r\n"
    );
    assert!(!is_permanent_failure(outer.as_bytes()));
    assert!(is_permanent_failure(inner.as_bytes()));
}

proptest! {
    #[test]
    fn any_octets_are_read_without_a_panic(octets in proptest::collection::vec(any::<u8>(), 0..2000)) {
        black_box(is_permanent_failure(&octets));
        let mut within = report("@").splitn(2, |octet| *octet == b'@').next().unwrap().to_vec();
        within.extend_from_slice(&octets);
        black_box(is_permanent_failure(&within));
    }
}
