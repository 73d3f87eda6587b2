//! A domain that does not keep what it publishes gets nothing: not at once, and not at any later attempt.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;

use securemail_core::StoreError;
use securemail_core::backend::{MasterKey as _, Spool as _};
use securemail_core::seal::{LocalMasterKey, RecordCipher};
use securemail_core::vocab::{DeliveryKey, UnixTime};
use securemail_store_sqlite::{SqliteStore, StoreSettings};
use securemail_testkit::sim::SeededEntropy;

use super::relay::{PROGRAM, Relay, Start, eventually, mail_with, replies};

/// Publish something we cannot meet: a TLSA record that is not the host's, and signatures that are wrong.
const HELD: [&str; 2] = ["badtlsa.test", "bogus.test"];
/// This relay's own, so that its sessions are told from those of other tests.
const HOSTNAME: &str = "held.sender.test";
/// The Postfix whose TLSA record does not match.
const MISMATCHED: &str = "postfix/badtlsa/smtpd";
/// Attempts after the one that the sender waited for.
const LATER: usize = 3;

#[test]
fn host_that_does_not_keep_what_it_publishes_gets_nothing_however_often_it_is_tried() {
    let relay = Relay::start_with(&Start {
        hostname: Some(HOSTNAME),
        ..Start::default()
    });
    for domain in HELD {
        let subject = format!("Subject: held for {domain}");
        let to = format!("somebody@{domain}");
        let queue = accepted_as(&relay, &to, &subject);
        eventually("it waits", || waits(&relay, &queue) == 1);
        for later in 1..=LATER {
            wake(&relay, &queue);
            eventually("a later attempt", || waits(&relay, &queue) > later);
        }
        assert!(mail_with(&relay.lab, domain, &subject).is_none());
        // A host that is known by name only, behind an answer that is bogus, is never asked.
        if domain == "badtlsa.test" {
            eventually("sessions that ended", || sessions(&relay).len() > LATER);
        }
        for session in &sessions(&relay) {
            for command in [" mail=", " rcpt=", " data=", " bdat="] {
                assert!(!session.contains(command), "{session}");
            }
        }
        let told = events(&relay, &queue);
        assert!(!told.contains("sealed in the vault"), "{told}");
        assert!(!told.contains("notice"), "{told}");
    }
    let log = relay.lab.mail_log().unwrap();
    let taken = log
        .lines()
        .filter(|line| line.contains(MISMATCHED) && line.contains(": client="));
    assert_eq!(taken.count(), 0, "the host took a message");
}

/// The id that the relay gave it.
pub(crate) fn accepted_as(relay: &Relay, to: &str, subject: &str) -> String {
    let output = relay.submit(&[to], &["--header", subject]);
    let said = replies(&output);
    assert!(output.status.success(), "{said}\n{}", relay.log());
    let accepted = said
        .lines()
        .rev()
        .find(|line| line.contains("250 2.0.0"))
        .unwrap();
    accepted.rsplit(' ').next().unwrap().trim().to_owned()
}

/// What Postfix says of each session of this relay that ended with the host whose TLSA record does not match. Of the
/// sessions that one process of it serves, one after the other, those are meant in which our name was heard.
fn sessions(relay: &Relay) -> Vec<String> {
    let log = relay.lab.mail_log().unwrap();
    let greeting = format!("helo=<{HOSTNAME}>");
    let mut ours = BTreeSet::new();
    let mut ended = Vec::new();
    for line in log.lines() {
        let Some((_, said)) = line.split_once(MISMATCHED) else {
            continue;
        };
        let process = said.split(']').next().unwrap();
        if said.contains(&greeting) {
            ours.insert(process);
        } else if said.contains(": disconnect from") && ours.remove(process) {
            ended.push(line.to_owned());
        }
    }
    ended
}

fn events(relay: &Relay, queue: &str) -> String {
    let output = Command::new(PROGRAM)
        .args(["events", queue, "--config"])
        .arg(relay.folder.path().join("relay.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// How often it was tried and put off again, by the relay's own words.
pub(crate) fn waits(relay: &Relay, queue: &str) -> usize {
    let events = events(relay, queue);
    let waits = events.lines().filter(|line| line.contains("  waits"));
    waits.count()
}

/// Makes it due now, as the passing of time does: the shortest pause is longer than a test may take.
pub(crate) fn wake(relay: &Relay, queue: &str) {
    let key = DeliveryKey {
        tenant: "clinic".parse().unwrap(),
        queue: queue.parse().unwrap(),
        recipient: 0,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let woken: Result<(), StoreError> = runtime.block_on(async {
        let store = store(relay).await;
        store.wake(&key, UnixTime::from_secs(0)).await
    });
    woken.unwrap();
}

/// The store of the running relay: several processes of one machine may share it.
async fn store(relay: &Relay) -> SqliteStore {
    let entropy = Arc::new(SeededEntropy::new(7));
    let octets = std::fs::read(relay.folder.path().join("master.key")).unwrap();
    let master = LocalMasterKey::from_file_octets(&octets, entropy.clone()).unwrap();
    let cipher = RecordCipher::new(master.derive("store/directory").await.unwrap());
    let settings = StoreSettings::new(cipher, entropy);
    SqliteStore::open(&relay.data_dir().join("store.db"), settings).unwrap()
}
