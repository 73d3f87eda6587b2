//! Mail servers of other makers: a good one takes the message, a broken one gets nothing.

use super::held::{accepted_as, waits, wake};
use super::relay::{Relay, Start, command, contains, eventually, mail_with, replies};

const HELD: i32 = 30;

#[test]
fn message_arrives_signed_at_exim_and_aiosmtpd() {
    let mut relay = Relay::start();
    for domain in ["exim.test", "aiosmtpd.test"] {
        let subject = format!("Subject: alone for {domain}");
        relay.accepted(&[&format!("somebody@{domain}")], &["--header", &subject]);
        let message = relay.arrived(domain, &subject);
        let verdicts = relay.lab.dkimpy(&message).unwrap();
        assert!(verdicts.len() >= 2, "{domain}: {verdicts:?}");
        assert!(verdicts.iter().all(|good| *good), "{domain}: {verdicts:?}");
    }
}

#[test]
fn host_that_breaks_off_every_handshake_gets_nothing_and_the_message_is_held() {
    let checked = command(&["check", "opensmtpd.test", "--connect"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.code(), Some(HELD), "{said}");
    let relay = Relay::start();
    let subject = "Subject: for a host without a handshake";
    let queue = accepted_as(&relay, "somebody@opensmtpd.test", subject);
    eventually("it is held", || waits(&relay, &queue) == 1);
    assert!(mail_with(&relay.lab, "opensmtpd.test", subject).is_none());
}

#[test]
fn refusal_by_a_proved_host_reaches_the_sender_at_once() {
    let relay = Relay::start();
    for (who, status) in [("refused", "5.1.1"), ("policy", "5.7.1")] {
        let subject = format!("Subject: for one who is {who}");
        let to = format!("{who}@aiosmtpd.test");
        let output = relay.submit(&[&to], &["--header", &subject]);
        let said = replies(&output);
        assert!(!output.status.success(), "{who}: {said}");
        assert!(said.contains(status), "{who}: {said}");
        assert!(mail_with(&relay.lab, "aiosmtpd.test", &subject).is_none());
    }
}

#[test]
fn message_for_a_host_that_says_later_is_kept() {
    let relay = Relay::start();
    let subject = "Subject: for later";
    let queue = accepted_as(&relay, "later@aiosmtpd.test", subject);
    eventually("it is kept", || waits(&relay, &queue) == 1);
    wake(&relay, &queue);
    eventually("a second attempt", || waits(&relay, &queue) == 2);
    assert!(mail_with(&relay.lab, "aiosmtpd.test", subject).is_none());
    assert!(!contains(relay.log().as_bytes(), "later@"));
}

#[test]
fn a_domain_that_takes_part_in_nta_7516_gets_mail_at_the_host_of_its_record() {
    let without = Relay::start();
    let held = "Subject: without the norm";
    without.accepted(&["somebody@nta.test"], &["--header", held]);
    let mut asks = Relay::start_with(&Start {
        tenant: "nta7516 = true",
        ..Start::default()
    });
    let subject = "Subject: by the norm";
    asks.accepted(&["somebody@nta.test"], &["--header", subject]);
    asks.arrived("nta.test", subject);
    assert!(
        mail_with(&asks.lab, "nta.test", held).is_none(),
        "its MX host has no TLS"
    );
}
