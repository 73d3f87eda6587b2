//! A MIME message with a large attachment, to every kind of recipient domain, alone and to all at once.

use std::fs;

use super::relay::{Relay, contains, mail_with, replies};

const MEGABYTES: usize = 10;
/// Domains whose hosts can be proved, each in its own way.
const PROVED: [&str; 5] = [
    "dane.test",
    "pkix.test",
    "insecure.test",
    "sts.test",
    "hosted.test",
];
/// Domains that publish something we cannot meet: held, never diverted.
const HELD: [&str; 2] = ["badtlsa.test", "bogus.test"];
/// Domains without a safe way: into the vault.
const VAULTED: [&str; 2] = ["notls.test", "expired.test"];

#[test]
fn message_of_ten_megabytes_arrives_signed_where_the_host_is_proved() {
    let mut relay = Relay::start();
    let attachment = attachment(&relay);
    for domain in PROVED {
        let subject = format!("Subject: alone for {domain}");
        let to = format!("somebody@{domain}");
        relay.accepted(&[&to], &["--header", &subject, "--attach", &attachment]);
        let message = relay.arrived(domain, &subject);
        assert!(
            message.len() > MEGABYTES * 1024 * 1024,
            "{} octets",
            message.len()
        );
        assert_signed(&relay, domain, &message);
    }
}

#[test]
fn message_without_a_safe_way_waits_in_the_vault_and_its_notice_tells_nothing_of_it() {
    let mut relay = Relay::start();
    for domain in VAULTED {
        let to = format!("somebody@{domain}");
        let secret = format!("secret-of-{}", domain.replace('.', "-"));
        let header = format!("Subject: {secret}-subject");
        let body = format!("{secret}-body");
        relay.accepted(&[&to], &["--header", &header, "--body", &body]);
        let link = format!("https://localhost:{}/m/", relay.web().port());
        let notice = relay.arrived(domain, &link);
        let to = format!("To: <{to}>");
        assert!(
            contains(&notice, &to),
            "{domain}: a notice to somebody else"
        );
        assert!(
            mail_with(&relay.lab, domain, &secret).is_none(),
            "{domain}: content left"
        );
    }
}

#[test]
fn one_message_for_everybody_goes_each_its_own_way() {
    let mut relay = Relay::start();
    let attachment = attachment(&relay);
    let everybody: Vec<String> = PROVED
        .iter()
        .chain(&HELD)
        .chain(&VAULTED)
        .map(|domain| format!("everybody@{domain}"))
        .collect();
    let everybody: Vec<&str> = everybody.iter().map(String::as_str).collect();
    let subject = "Subject: for everybody at once";
    relay.accepted(&everybody, &["--header", subject, "--attach", &attachment]);
    for domain in PROVED {
        let message = relay.arrived(domain, subject);
        assert_signed(&relay, domain, &message);
    }
    for domain in HELD.iter().chain(&VAULTED) {
        assert!(
            mail_with(&relay.lab, domain, subject).is_none(),
            "{domain}: content left"
        );
    }
}

#[test]
fn recipient_that_cannot_exist_is_refused_at_rcpt() {
    let relay = Relay::start();
    for domain in ["nowhere.test", "nullmx.test"] {
        let output = relay.submit(&[&format!("somebody@{domain}")], &[]);
        assert!(!output.status.success());
        let said = replies(&output);
        assert!(said.contains("<~* 55"), "{domain}: {said}");
    }
}

#[test]
fn blind_copy_is_refused() {
    let relay = Relay::start();
    let output = relay.submit(&["hidden@dane.test"], &["--header", "To: other@dane.test"]);
    assert!(!output.status.success());
    assert!(
        replies(&output).contains("550 5.7.1"),
        "{}",
        replies(&output)
    );
    assert!(mail_with(&relay.lab, "dane.test", "hidden@").is_none());
}

/// By the RSA key and by the Ed25519 key at least, and no signature is wrong.
fn assert_signed(relay: &Relay, domain: &str, message: &[u8]) {
    let verdicts = relay.lab.dkimpy(message).unwrap();
    assert!(verdicts.len() >= 2, "{domain}: {verdicts:?}");
    assert!(verdicts.iter().all(|good| *good), "{domain}: {verdicts:?}");
}

/// A file of octets that no compression would shorten and no line length would fit.
fn attachment(relay: &Relay) -> String {
    let mut state = 1_u32;
    let octets: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(MEGABYTES * 1024 * 1024)
    .collect();
    let file = relay.folder.path().join("attachment.bin");
    fs::write(&file, octets).unwrap();
    format!("@{}", file.display())
}
