//! A connection carries a second message only by a proof of its own, and nothing is lost or doubled when
//! it fails.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::mx::{
    Cut, Dot, MESSAGE, Mx, Reaction, Script, Stage, attempt, attempt_with, handed_over, honest,
    say, server_config, unconfirmed,
};
use common::{eventually, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use securemail_core::backend::{
    Attempt, AttemptReport, Clock, Connection, Lack, SessionOutcome, Transport,
};
use securemail_core::route::{Authentication, Authority, Hop, PeerFailure, Strength};
use securemail_core::vocab::{DnsName, RequireTls, Tlsa, UnixTime};
use securemail_smtp::{ClientSettings, SmtpTransport};
use securemail_testkit::ca::{Issued, TestCa};
use securemail_testkit::sim::ManualClock;

const TWO: &[u8] = b"Subject: two\r\n\r\nsecond\r\n";

fn first(mx: &Mx) -> Attempt {
    attempt(mx.hop(), Dot::new(true))
}

fn second(hop: Hop, dot: Arc<Dot>) -> Attempt {
    attempt_with(hop, dot, TWO, &["a@example.test", "b@example.test"])
}

/// Copies of the second message that the host has.
fn copies_of_two(mx: &Mx) -> usize {
    let messages = mx.seen.messages.lock().unwrap();
    messages.iter().filter(|message| *message == TWO).count()
}

/// Reacts to the lines that begin so, from the `from`-th on (counted from 1).
fn later(begins: &'static str, from: usize, reaction: Reaction) -> Script {
    let seen = AtomicUsize::new(0);
    Arc::new(move |stage, line: &str| {
        if stage != Stage::Tls || !line.starts_with(begins) {
            return None;
        }
        (seen.fetch_add(1, Ordering::SeqCst) + 1 >= from).then(|| reaction.clone())
    })
}

/// Only the `nth` such line.
fn once(begins: &'static str, nth: usize, reaction: Reaction) -> Script {
    let seen = AtomicUsize::new(0);
    Arc::new(move |stage, line: &str| {
        if stage != Stage::Tls || !line.starts_with(begins) {
            return None;
        }
        (seen.fetch_add(1, Ordering::SeqCst) + 1 == nth).then(|| reaction.clone())
    })
}

/// Hands over the message of [`attempt`], which must succeed.
async fn hand_over_one(mx: &Mx, transport: &SmtpTransport) -> AttemptReport {
    let report = transport.attempt(first(mx)).await;
    assert_eq!(handed_over(&report), 2, "{:?}", report.outcome);
    report
}

#[tokio::test]
async fn messages_of_one_tenant_share_a_connection_with_a_proof_each() {
    let mx = Mx::start(honest()).await;
    let transport = mx.transport();
    let mut proofs = Vec::new();
    for domain in ["example.test", "example.test", "other.test"] {
        let mut hop = mx.hop();
        hop.domain = DnsName::parse(domain).unwrap();
        let dot = Dot::new(true);
        let report = transport.attempt(second(hop, dot.clone())).await;
        assert_eq!((handed_over(&report), dot.opened()), (2, 1));
        assert_eq!(report.peer.unwrap().chain[0], mx.issued.leaf_der);
        proofs.push(report.proof.unwrap());
    }
    assert_eq!((mx.seen.connections(), copies_of_two(&mx)), (1, 3));
    assert_eq!((mx.seen.count("EHLO"), mx.seen.count("RSET")), (1, 2));
    assert!(proofs.iter().all(|proof| proof.strength == Strength::Pkix));
}

#[tokio::test]
async fn the_report_says_when_the_handshake_was() {
    let mx = Mx::start(honest()).await;
    let clock = Arc::new(ManualClock::default());
    let transport = transport_at(&mx, clock.clone());
    let began = clock.now();
    hand_over_one(&mx, &transport).await;
    clock.advance(Duration::from_secs(7));
    let report = hand_over_one(&mx, &transport).await;
    assert_eq!(mx.seen.connections(), 1);
    assert_eq!(report.peer.unwrap().secured, began);
    assert_eq!(report.ended, began.plus(Duration::from_secs(7)));
}

#[tokio::test]
async fn tenants_share_no_connection() {
    let mx = Mx::start(honest()).await;
    let transport = mx.transport();
    hand_over_one(&mx, &transport).await;
    let mut other = first(&mx);
    other.connection = Connection::OfTenant("court".parse().unwrap());
    assert_eq!(handed_over(&transport.attempt(other).await), 2);
    assert_eq!(mx.seen.connections(), 2);
}

#[tokio::test]
async fn an_attempt_with_a_connection_of_its_own_neither_takes_nor_leaves_one() {
    let mx = Mx::start(honest()).await;
    let transport = mx.transport();
    for _ in 0..2 {
        let mut own = first(&mx);
        own.connection = Connection::Own;
        assert_eq!(handed_over(&transport.attempt(own).await), 2);
        hand_over_one(&mx, &transport).await;
    }
    assert_eq!(mx.seen.connections(), 3, "two of their own, one shared");
    eventually("QUIT on both", || mx.seen.count("QUIT") == 2).await;
}

#[tokio::test]
async fn other_ports_names_and_addresses_are_other_connections() {
    let mx = Mx::start(honest()).await;
    let transport = mx.transport();
    hand_over_one(&mx, &transport).await;
    let mut hop = mx.hop();
    hop.port = 1;
    let report = transport.attempt(second(hop, Dot::new(true))).await;
    assert!(matches!(report.outcome, SessionOutcome::Unreachable(_)));
    let mut hop = mx.hop();
    hop.addresses = vec!["127.0.0.2".parse().unwrap()];
    let report = transport.attempt(second(hop, Dot::new(true))).await;
    assert!(matches!(report.outcome, SessionOutcome::Unreachable(_)));
    let mut hop = mx.hop();
    hop.sni = DnsName::parse("alias.test").unwrap();
    let report = transport.attempt(second(hop, Dot::new(true))).await;
    assert_eq!((handed_over(&report), mx.seen.connections()), (2, 2));
    let mut hop = mx.hop();
    hop.host = DnsName::parse("other.test").unwrap();
    let report = transport.attempt(second(hop, Dot::new(true))).await;
    assert_eq!((handed_over(&report), mx.seen.connections()), (2, 3));
}

#[tokio::test]
async fn a_stricter_hop_is_not_served_by_the_proof_of_a_laxer_one() {
    let mx = Mx::start(honest()).await;
    let transport = mx.transport();
    hand_over_one(&mx, &transport).await;
    let mut hop = mx.hop();
    (hop.authority, hop.must_name_domain) = (Authority::Unsigned, true);
    let dot = Dot::new(true);
    let report = transport.attempt(second(hop, dot.clone())).await;
    assert_eq!(
        report.outcome,
        SessionOutcome::NotAuthenticated(PeerFailure::NotNamed)
    );
    assert_eq!((dot.opened(), copies_of_two(&mx)), (0, 0));
    assert_eq!(mx.seen.count("MAIL"), 1, "not even MAIL");
    assert_eq!(
        mx.seen.connections(),
        2,
        "the judgement is of a fresh session"
    );
}

fn transport_at(mx: &Mx, clock: Arc<ManualClock>) -> SmtpTransport {
    let settings = ClientSettings::new(DnsName::parse("relay.test").unwrap());
    SmtpTransport::new(settings, Arc::new(mx.trust()), clock)
}

#[tokio::test]
async fn a_certificate_that_expires_meanwhile_serves_no_second_message() {
    let ca = TestCa::new().unwrap();
    let issued = ca.issue_expired(&["mx.test"]).unwrap();
    let (chain, key) = pem(&issued);
    let config = server_config(chain, key, rustls::DEFAULT_VERSIONS);
    let mx = Mx::start_tls(honest(), Cut::default(), config, (ca, issued)).await;
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_560_000_000)));
    let transport = transport_at(&mx, clock.clone());
    hand_over_one(&mx, &transport).await;
    clock.set(UnixTime::from_secs(1_600_000_000));
    let report = transport.attempt(second(mx.hop(), Dot::new(true))).await;
    assert_eq!(
        report.outcome,
        SessionOutcome::NotAuthenticated(PeerFailure::Expired)
    );
    assert_eq!(mx.seen.count("MAIL"), 1);
}

/// Shows the certificate that is in force.
#[derive(Debug)]
struct Rolling(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for Rolling {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.lock().unwrap().clone())
    }
}

fn certified(issued: &Issued) -> Arc<CertifiedKey> {
    let (chain, key) = pem(issued);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let signer = provider.key_provider.load_private_key(key).unwrap();
    Arc::new(CertifiedKey::new(chain, signer))
}

fn dane(mx: &Mx, keys: &[&Issued]) -> Hop {
    let record = |issued: &&Issued| Tlsa {
        usage: 3,
        selector: 1,
        matching: 1,
        data: issued.spki_sha256.to_vec(),
    };
    Hop {
        authenticate: Authentication::Dane {
            records: keys.iter().map(record).collect(),
            names: Vec::new(),
        },
        ..mx.hop()
    }
}

#[tokio::test]
async fn changed_tlsa_records_mean_a_fresh_session() {
    let ca = TestCa::new().unwrap();
    let (old, new) = (
        ca.issue(&["mx.test"]).unwrap(),
        ca.issue(&["mx.test"]).unwrap(),
    );
    let rolling = Arc::new(Rolling(Mutex::new(certified(&old))));
    let (chain, key) = pem(&old);
    let mut config = server_config(chain, key, rustls::DEFAULT_VERSIONS);
    config.cert_resolver = rolling.clone();
    let mx = Mx::start_tls(honest(), Cut::default(), config, (ca, old.clone())).await;
    let transport = mx.transport();
    let shown = async |keys: &[&Issued]| {
        let attempt = second(dane(&mx, keys), Dot::new(true));
        let report = transport.attempt(attempt).await;
        (report.peer.unwrap().chain[0].clone(), report.outcome)
    };
    assert_eq!(shown(&[&old]).await.0, old.leaf_der);
    assert_eq!(shown(&[&old]).await.0, old.leaf_der);
    assert_eq!(mx.seen.connections(), 1);
    // The new key is announced, and the host still has the old one.
    assert_eq!(shown(&[&old, &new]).await.0, old.leaf_der);
    assert_eq!(mx.seen.connections(), 2);
    // The host has rolled, and the old key is taken out.
    *rolling.0.lock().unwrap() = certified(&new);
    assert_eq!(shown(&[&new]).await.0, new.leaf_der);
    assert_eq!((mx.seen.connections(), copies_of_two(&mx)), (3, 4));
    // The records say what no session shows: nothing goes, over the kept connection neither.
    let (leaf, outcome) = shown(&[&mx.ca.issue(&["mx.test"]).unwrap()]).await;
    assert_eq!(leaf, new.leaf_der);
    assert_eq!(
        outcome,
        SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch)
    );
    assert_eq!(copies_of_two(&mx), 4);
}

#[tokio::test]
async fn octets_before_the_next_command_end_the_connection() {
    let text = || "250 2.0.0 queued\r\n".to_owned();
    let unasked = || "250 2.0.0 queued\r\n250 2.0.0 queued\r\n".to_owned();
    for reaction in [
        Reaction::Say(unasked()),
        Reaction::SayTwice(text(), Duration::from_millis(50), text()),
        Reaction::SayTwice(text(), Duration::from_millis(50), "x".to_owned()),
    ] {
        let mx = Mx::start(once("<dot>", 1, reaction)).await;
        let transport = mx.transport();
        hand_over_one(&mx, &transport).await;
        eventually("the rest", || mx.seen.owes_nothing()).await;
        // What was said is there; the runtime looks at its sockets when it rests.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let dot = Dot::new(true);
        let report = transport.attempt(second(mx.hop(), dot.clone())).await;
        assert_eq!((handed_over(&report), dot.opened()), (2, 1));
        assert_eq!((mx.seen.connections(), copies_of_two(&mx)), (2, 1));
        assert_eq!(mx.seen.count("RSET"), 0, "no octet more to such a peer");
    }
}

#[tokio::test]
async fn what_a_kept_session_says_of_itself_leads_to_a_fresh_one() {
    let gone = Reaction::SayAndClose("421 4.4.2 idle too long\r\n".to_owned());
    for (line, nth, reaction) in [
        ("RSET", 1, gone.clone()),
        ("RSET", 1, say("500 5.5.1 what")),
        ("RSET", 1, Reaction::Hang),
        ("RSET", 1, Reaction::Close),
        ("MAIL", 2, gone.clone()),
        (
            "MAIL",
            2,
            say("452 4.5.3 too many messages in this session"),
        ),
        ("MAIL", 2, say("503 5.5.1 nested MAIL")),
        ("RCPT", 3, gone.clone()),
        ("DATA", 2, gone),
        ("DATA", 2, Reaction::Close),
    ] {
        let mx = Mx::start(once(line, nth, reaction.clone())).await;
        let transport =
            mx.transport_with(|settings| settings.timeouts.command = Duration::from_secs(3));
        hand_over_one(&mx, &transport).await;
        let dot = Dot::new(true);
        let report = transport.attempt(second(mx.hop(), dot.clone())).await;
        let what = format!("{line}: {reaction:?}, {:?}", report.recipients);
        assert_eq!((handed_over(&report), dot.opened()), (2, 1), "{what}");
        assert_eq!(
            (mx.seen.connections(), copies_of_two(&mx)),
            (2, 1),
            "{what}"
        );
    }
}

#[tokio::test]
async fn what_a_kept_session_says_of_the_message_stands() {
    for (line, from, reply) in [
        ("RCPT", 3, "550 5.1.1 nobody"),
        ("RCPT", 3, "450 4.2.0 greylisted"),
        ("DATA", 2, "554 5.7.1 no"),
        ("<dot>", 2, "554 5.7.1 no"),
        ("<dot>", 2, "421 4.3.2 later"),
    ] {
        let mx = Mx::start(later(line, from, say(reply))).await;
        let transport = mx.transport();
        hand_over_one(&mx, &transport).await;
        let report = transport.attempt(second(mx.hop(), Dot::new(true))).await;
        assert_eq!(
            (handed_over(&report), unconfirmed(&report)),
            (0, 0),
            "{reply}"
        );
        assert_eq!(mx.seen.connections(), 1, "{line} {reply}: asked once");
    }
}

#[tokio::test]
async fn silence_after_the_dot_of_a_second_message_is_unconfirmed_and_not_tried_again() {
    for reaction in [Reaction::Close, Reaction::Hang, say("garbage")] {
        let mx = Mx::start(later("<dot>", 2, reaction)).await;
        let transport =
            mx.transport_with(|settings| settings.timeouts.final_dot = Duration::from_secs(3));
        hand_over_one(&mx, &transport).await;
        let report = transport.attempt(second(mx.hop(), Dot::new(true))).await;
        assert_eq!((unconfirmed(&report), mx.seen.connections()), (2, 1));
        assert_eq!(copies_of_two(&mx), 1);
    }
}

/// What must hold wherever the connection was cut during the second message.
async fn check_cut(cut: Cut, at: usize) -> bool {
    let cut = Cut {
        first_only: true,
        ..cut
    };
    let mx = Mx::start_cut(honest(), cut).await;
    let transport = mx.transport();
    let one = transport.attempt(first(&mx)).await;
    if handed_over(&one) != 2 {
        return false;
    }
    let dot = Dot::new(true);
    let report = transport.attempt(second(mx.hop(), dot.clone())).await;
    let (handed, unclear) = (handed_over(&report), unconfirmed(&report));
    let (copies, connections) = (copies_of_two(&mx), mx.seen.connections());
    assert_eq!(report.outcome, SessionOutcome::Completed, "cut at {at}");
    assert_eq!(dot.opened(), 1, "cut at {at}: leave is asked for once");
    match (handed, unclear) {
        (2, 0) => assert_eq!(copies, 1, "cut at {at}: handed over means one copy"),
        (0, 2) => {
            assert!(copies <= 1, "cut at {at}: twice");
            assert_eq!(connections, 1, "cut at {at}: tried again behind the dot");
        }
        other => panic!("cut at {at}: {other:?}"),
    }
    connections == 2
}

/// Octets of the first connection until it rests, and until the second message is through.
async fn measure() -> [(usize, usize); 2] {
    let mx = Mx::start(honest()).await;
    let transport = mx.transport();
    let mut counted = [(0, 0); 2];
    for (counted, attempt) in counted
        .iter_mut()
        .zip([first(&mx), second(mx.hop(), Dot::new(true))])
    {
        assert_eq!(handed_over(&transport.attempt(attempt).await), 2);
        *counted = (
            *mx.seen.written.lock().unwrap(),
            *mx.seen.read.lock().unwrap(),
        );
    }
    assert_eq!(mx.seen.connections(), 1);
    counted
}

#[tokio::test]
async fn cut_at_every_octet_of_the_replies_to_the_second_message() {
    let [(from, _), (to, _)] = measure().await;
    let mut fresh = 0;
    for at in from..=to {
        let written = Some(at);
        let cut = Cut {
            written,
            ..Cut::default()
        };
        fresh += usize::from(check_cut(cut, at).await);
    }
    let until_354 = to - from - "250 2.0.0 queued\r\n".len();
    assert!(fresh >= until_354, "{fresh} of {until_354} began afresh");
}

#[tokio::test]
async fn cut_at_every_octet_of_the_second_message() {
    let [(_, from), (_, to)] = measure().await;
    let mut fresh = 0;
    for at in from..to {
        let read = Some(at);
        let cut = Cut {
            read,
            ..Cut::default()
        };
        fresh += usize::from(check_cut(cut, at).await);
    }
    let until_content = to - from - TWO.len() - ".\r\n".len();
    assert!(
        fresh >= until_content,
        "{fresh} of {until_content} began afresh"
    );
}

#[tokio::test]
async fn a_connection_rests_only_so_long() {
    let mx = Mx::start(honest()).await;
    let transport =
        mx.transport_with(|settings| settings.keeping.rest = Duration::from_millis(100));
    hand_over_one(&mx, &transport).await;
    eventually("QUIT", || mx.seen.count("QUIT") == 1).await;
    hand_over_one(&mx, &transport).await;
    assert_eq!(mx.seen.connections(), 2);
    eventually("QUIT again", || mx.seen.count("QUIT") == 2).await;
}

#[tokio::test]
async fn a_connection_grows_only_so_old() {
    let mx = Mx::start(honest()).await;
    let transport = mx.transport_with(|settings| settings.keeping.age = Duration::ZERO);
    hand_over_one(&mx, &transport).await;
    hand_over_one(&mx, &transport).await;
    assert_eq!(mx.seen.connections(), 2);
}

#[tokio::test]
async fn a_connection_carries_only_so_many_messages() {
    let mx = Mx::start(honest()).await;
    let transport = mx.transport_with(|settings| settings.keeping.messages = 3);
    for _ in 0..7 {
        hand_over_one(&mx, &transport).await;
    }
    assert_eq!(mx.seen.connections(), 3);
    eventually("QUIT on both that are full", || mx.seen.count("QUIT") == 2).await;
}

/// Hands over `count` messages at once, so that each needs a connection.
async fn at_once(mx: &Mx, transport: &Arc<SmtpTransport>, count: usize, tenant: &str) {
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (transport, mut attempt) = (transport.clone(), first(mx));
        attempt.connection = Connection::OfTenant(tenant.parse().unwrap());
        attempts.spawn(async move { transport.attempt(attempt).await });
    }
    while let Some(report) = attempts.join_next().await {
        assert_eq!(handed_over(&report.unwrap()), 2);
    }
}

#[tokio::test]
async fn only_so_many_connections_rest() {
    let slow = Reaction::SayTwice(
        "250 2.0.0 ".to_owned(),
        Duration::from_millis(1500),
        "queued\r\n".to_owned(),
    );
    let mx = Mx::start(later("<dot>", 1, slow)).await;
    let transport = Arc::new(mx.transport_with(|settings| {
        (settings.keeping.per_host, settings.keeping.total) = (2, 3);
    }));
    at_once(&mx, &transport, 4, "clinic").await;
    eventually("two too many for the host", || mx.seen.count("QUIT") == 2).await;
    at_once(&mx, &transport, 2, "court").await;
    eventually("one too many in all", || mx.seen.count("QUIT") == 3).await;
    assert_eq!(mx.seen.connections(), 6);
}

#[tokio::test]
async fn no_connection_rests_where_none_may() {
    for is_total in [true, false] {
        let mx = Mx::start(honest()).await;
        let transport = mx.transport_with(|settings| {
            let keeping = &mut settings.keeping;
            *(if is_total {
                &mut keeping.total
            } else {
                &mut keeping.per_host
            }) = 0;
        });
        hand_over_one(&mx, &transport).await;
        hand_over_one(&mx, &transport).await;
        assert_eq!(mx.seen.connections(), 2);
    }
}

#[tokio::test]
async fn a_message_that_a_kept_session_cannot_take_leaves_it_to_others() {
    let mx = Mx::start(honest()).await;
    let transport = mx.transport();
    hand_over_one(&mx, &transport).await;
    let mut strict = first(&mx);
    strict.demands.require_tls = RequireTls::Always;
    let report = transport.attempt(strict).await;
    assert_eq!(
        report.outcome,
        SessionOutcome::Incapable(Lack::RequireTls),
        "the host does not offer it"
    );
    hand_over_one(&mx, &transport).await;
    assert_eq!(
        mx.seen.connections(),
        2,
        "one was asked afresh, the first serves on"
    );
}

#[tokio::test]
async fn a_session_in_which_nothing_was_taken_is_not_kept() {
    let mx = Mx::start(later("<dot>", 1, say("554 5.7.1 no"))).await;
    let transport = mx.transport();
    for _ in 0..2 {
        let report = transport.attempt(first(&mx)).await;
        assert_eq!(handed_over(&report), 0);
    }
    assert_eq!(mx.seen.connections(), 2);
    assert_eq!(mx.seen.messages.lock().unwrap()[0], MESSAGE);
}
