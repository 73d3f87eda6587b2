//! REQUIRETLS (RFC 8689) with others at both ends: Nodemailer hands in, its server takes and says what MAIL
//! demanded. What Debian has speaks it neither way.

use std::process::Output;

use super::relay::{PASSWORD, Relay, SENDER, contains, mail_with};

/// Hands one message in: port, password, sender, recipient, subject, the demand, and TLS-Required.
const CLIENT: &str = r#"
const nodemailer = require('nodemailer');
const [port, pass, from, to, subject, demands, header] = process.argv.slice(1);
const client = nodemailer.createTransport({
  host: '127.0.0.1', port: Number(port), requireTLS: true, name: 'client.sender.test',
  auth: { user: 'clinic', pass }, tls: { rejectUnauthorized: false },
});
client.sendMail({
  from, to, subject, text: 'Hello',
  requireTLSExtensionEnabled: demands === 'yes',
  headers: header ? { 'TLS-Required': header } : {},
}).then(info => console.log(info.response), error => {
  console.log(error.code, error.response || error.message);
  process.exitCode = 1;
});
"#;

fn hand_in(relay: &Relay, to: &str, subject: &str, demands: &str, header: &str) -> Output {
    let port = relay.submission().port().to_string();
    let mut node = relay.lab.node();
    node.args([
        "-e", CLIENT, "--", &port, PASSWORD, SENDER, to, subject, demands, header,
    ]);
    node.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn a_message_with_requiretls_goes_on_with_it_and_one_without_goes_without() {
    let mut relay = Relay::start();
    for (demands, as_seen) in [("yes", "true"), ("no", "false")] {
        let (to, subject) = (
            format!("{demands}@nodemailer.test"),
            format!("demand: {demands}"),
        );
        let output = hand_in(&relay, &to, &subject, demands, "");
        assert!(
            output.status.success(),
            "{}\n{}",
            said(&output),
            relay.log()
        );
        let message = relay.arrived("nodemailer.test", &format!("Subject: {subject}"));
        let verdicts = relay.lab.dkimpy(&message).unwrap();
        assert!(
            verdicts.len() >= 2 && verdicts.iter().all(|good| *good),
            "{verdicts:?}"
        );
        let seen = relay.lab.log_of("nodemailer").unwrap();
        let line = format!("{{\"requireTLS\":{as_seen},\"to\":[\"{to}\"]}}");
        assert!(seen.contains(&line), "{seen}");
    }
}

#[test]
fn where_the_host_does_not_promise_it_the_message_comes_back_and_nothing_left() {
    let relay = Relay::start();
    for domain in ["dane.test", "exim.test"] {
        let subject = format!("demanded of {domain}");
        let output = hand_in(&relay, &format!("somebody@{domain}"), &subject, "yes", "");
        let said = said(&output);
        assert!(
            !output.status.success() && said.contains("5.7.30"),
            "{domain}: {said}"
        );
        assert!(
            mail_with(&relay.lab, domain, &subject).is_none(),
            "{domain}"
        );
    }
    // The same host takes what does not demand it.
    let output = hand_in(&relay, "somebody@dane.test", "not demanded", "no", "");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn who_asks_to_do_without_tls_is_refused() {
    let relay = Relay::start();
    for demands in ["yes", "no"] {
        let subject = format!("without TLS, {demands}");
        let output = hand_in(&relay, "without@nodemailer.test", &subject, demands, "No");
        let said = said(&output);
        assert!(
            !output.status.success() && said.contains("550 5.7.1"),
            "{said}"
        );
        assert!(mail_with(&relay.lab, "nodemailer.test", &subject).is_none());
    }
    assert!(!contains(relay.log().as_bytes(), "without@"));
}
