//! The ledger: commitments in the chain, facts beside it, and every change noticed.

use std::net::IpAddr;

use proptest::prelude::*;
use securemail_core::backend::{NewEvent, StoredEvent};
use securemail_core::ledger::chain::START;
use securemail_core::ledger::{
    BrokenAt, Event, EventName, Fact, Log, PersonalPart, ReadError, chain, commitment, leaf_hash,
    timeline, verify,
};
use securemail_core::route::{
    Decision, DeferClass, Effect, Evidence, Finding, MessageFacts, PolicySettings, Route, Rule,
    Subject,
};
use securemail_core::seal::RecordCipher;
use securemail_core::secret::Key32;
use securemail_core::vocab::{
    Address, DnsName, EnhancedStatus, Profile, QueueId, Reply, ReversePath, UnixTime,
};
use securemail_testkit::sim::{DryEntropy, SeededEntropy};
use sha2::{Digest, Sha256};

const NOW: UnixTime = UnixTime::from_secs(1_795_262_400);
const QUEUE: QueueId = QueueId::from_bytes([0xab; 16]);

fn log_of(tenant: &str, key: u8) -> Log {
    Log::new(tenant.parse().unwrap(), Key32::from_bytes([key; 32]))
}

fn log() -> Log {
    log_of("gemeente", 1)
}

fn eva() -> Address {
    Address::parse("Eva+post@Example.org").unwrap()
}

fn hand_over() -> Event {
    let sender = ReversePath::Mailbox(Address::parse("jan@gemeente.example").unwrap());
    let reply = Reply::new(250, Some(EnhancedStatus::new(2, 0, 0)), "ok 1a2b");
    Event::new(EventName::RelayToNonErds, NOW, QUEUE)
        .recipient(3, &eva())
        .sender(&sender)
        .message_id("<k7@gemeente.example>")
        .client("192.0.2.77".parse::<IpAddr>().unwrap())
        .host(&DnsName::parse("mx.example.org").unwrap())
        .reply(&reply)
        .content_digest(&[0x5a; 32])
}

fn entry(event: Event) -> NewEvent {
    log().entry(event, &SeededEntropy::new(1)).unwrap()
}

fn stored(position: u64, event: NewEvent, previous: &[u8; 32]) -> StoredEvent {
    StoredEvent {
        position,
        time: event.time,
        queue: event.queue,
        chain: chain(previous, &leaf_hash(&event.chained)),
        chained: event.chained,
        personal: Some(event.personal),
    }
}

fn logged(events: Vec<Event>) -> Vec<StoredEvent> {
    let mut head = START;
    let entropy = SeededEntropy::new(1);
    (0..)
        .zip(events)
        .map(|(position, event)| {
            let stored = stored(position, log().entry(event, &entropy).unwrap(), &head);
            head = stored.chain;
            stored
        })
        .collect()
}

fn contains(whole: &[u8], part: &str) -> bool {
    whole
        .windows(part.len())
        .any(|window| window == part.as_bytes())
}

#[test]
fn the_chained_part_is_canonical_json_of_commitments_only() {
    let entry = entry(hand_over());
    let json: serde_json::Value = serde_json::from_slice(&entry.chained).unwrap();
    // Sorted keys, no space: parsed into a sorted map and written again it is the same.
    assert_eq!(serde_json::to_vec(&json).unwrap(), entry.chained);
    let keys: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["commitments", "form", "name", "queue", "recipient", "time"]
    );
    assert_eq!(json["name"], "RelayToNonERDS");
    assert_eq!(json["recipient"], 3);
    assert_eq!(json["time"], 1_795_262_400_000_u64);
    for part in [
        "Eva", "eva", "jan", "example", "192.0.2", "5a5a", "1a2b", "k7",
    ] {
        assert!(
            !contains(&entry.chained, part),
            "{part} stands in the chain"
        );
        assert!(
            !contains(&entry.personal, part),
            "{part} stands in clear beside it"
        );
    }
}

#[test]
fn facts_come_back_as_they_were_logged() {
    let read = log().read(&logged(vec![hand_over()])[0]).unwrap();
    assert_eq!(read.name, EventName::RelayToNonErds);
    assert_eq!(
        (read.recipient, read.time, read.queue),
        (Some(3), NOW, QUEUE)
    );
    for (fact, value) in [
        (Fact::Recipient, "Eva+post@example.org"),
        (Fact::Sender, "<jan@gemeente.example>"),
        (Fact::MessageId, "<k7@gemeente.example>"),
        (Fact::Client, "192.0.2.77"),
        (Fact::Host, "mx.example.org"),
        (Fact::Reply, "250 2.0.0 ok 1a2b"),
    ] {
        assert_eq!(read.fact(fact), Some(value));
    }
    assert_eq!(read.fact(Fact::Decision), None);
}

#[test]
fn the_same_event_twice_shows_no_sameness() {
    let log = logged(vec![hand_over(), hand_over()]);
    let commitments = |event: &StoredEvent| -> Vec<String> {
        let json: serde_json::Value = serde_json::from_slice(&event.chained).unwrap();
        let all = json["commitments"].as_object().unwrap();
        all.values().map(ToString::to_string).collect()
    };
    let (one, two) = (commitments(&log[0]), commitments(&log[1]));
    assert_eq!(one.len(), 7);
    assert!(one.iter().all(|commitment| !two.contains(commitment)));
}

#[test]
fn one_fact_can_be_shown_without_the_others() {
    let event = &logged(vec![hand_over()])[0];
    let salt = log().salt_of(event, Fact::Recipient).unwrap();
    let shown = commitment(&salt, "recipient", "Eva+post@example.org");
    let shown: String = shown.iter().map(|octet| format!("{octet:02x}")).collect();
    let json: serde_json::Value = serde_json::from_slice(&event.chained).unwrap();
    assert_eq!(json["commitments"]["recipient"], shown);
    let other = log().salt_of(event, Fact::Client).unwrap();
    assert_ne!(salt, other);
}

#[test]
fn an_event_is_found_by_any_spelling_in_its_own_tenant_only() {
    let entry = entry(hand_over());
    let other = Address::parse("eva@EXAMPLE.org").unwrap();
    assert!(entry.index.contains(&log().by_recipient(&other)));
    assert!(!entry.index.contains(&log().by_sender(&other)));
    assert!(
        entry
            .index
            .contains(&log().by_message_id("k7@gemeente.example"))
    );
    let jan = Address::parse("jan@gemeente.example").unwrap();
    assert!(entry.index.contains(&log().by_sender(&jan)));
    assert_eq!(entry.index.len(), 3);
    assert!(
        !entry
            .index
            .contains(&log_of("other", 2).by_recipient(&other))
    );
}

#[test]
fn erasing_the_personal_part_leaves_chain_and_event() {
    let mut log_entries = logged(vec![hand_over(), hand_over()]);
    let head = verify(&log_entries).unwrap();
    log_entries[0].personal = None;
    assert_eq!(verify(&log_entries), Ok(head));
    let read = log().read(&log_entries[0]).unwrap();
    assert_eq!(read.name, EventName::RelayToNonErds);
    assert!(read.personal == PersonalPart::Erased);
}

#[test]
fn a_personal_part_of_another_event_tenant_or_key_is_damaged() {
    let entries = logged(vec![hand_over(), hand_over()]);
    let mut moved = entries[0].clone();
    moved.personal = entries[1].personal.clone();
    assert!(log().read(&moved).unwrap().personal == PersonalPart::Damaged);
    for other in [log_of("gemeente", 2), log_of("other", 1)] {
        let read = other.read(&entries[0]).unwrap();
        assert!(read.personal == PersonalPart::Damaged);
    }
}

/// Somebody who has the tenant's evidence key can seal other facts, and cannot make them true.
#[test]
fn facts_that_the_chain_did_not_commit_to_are_damaged_even_under_the_right_key() {
    let mut entry = logged(vec![hand_over()]).remove(0);
    let cipher = RecordCipher::new(Key32::from_bytes([1; 32]));
    let mut context = b"securemail/v1/event\0gemeente\0".to_vec();
    context.extend_from_slice(&Sha256::digest(&entry.chained));
    let plain = cipher
        .open(&context, entry.personal.as_ref().unwrap())
        .unwrap();
    let plain = String::from_utf8(plain).unwrap();
    let mut seal = |plain: &str| {
        let entropy = SeededEntropy::new(9);
        entry.personal = Some(cipher.seal(&context, plain.as_bytes(), &entropy).unwrap());
        log().read(&entry).unwrap().personal
    };
    assert!(matches!(seal(&plain), PersonalPart::Kept(_)));
    for (from, to) in [("192.0.2.77", "192.0.2.78"), ("\"client\"", "\"klient\"")] {
        assert!(plain.contains(from));
        assert!(
            seal(&plain.replace(from, to)) == PersonalPart::Damaged,
            "{from}"
        );
    }
}

#[test]
fn an_entry_filed_under_another_time_or_message_is_refused() {
    let entry = &logged(vec![hand_over()])[0];
    let mut moved = entry.clone();
    moved.time = UnixTime::from_secs(1);
    assert_eq!(log().read(&moved), Err(ReadError::Misfiled(0)));
    let mut moved = entry.clone();
    moved.queue = QueueId::from_bytes([1; 16]);
    assert_eq!(log().read(&moved), Err(ReadError::Misfiled(0)));
    let mut later = entry.clone();
    later.chained = b"{\"form\":2}".to_vec();
    assert_eq!(log().read(&later), Err(ReadError::Form(0)));
}

proptest! {
    #[test]
    fn any_change_breaks_the_chain_where_it_was_made(
        count in 1..12_usize, at: proptest::sample::Index, what in 0..5_u8, octet: proptest::sample::Index,
    ) {
        let mut entries = logged((0..count).map(|_| hand_over()).collect());
        verify(&entries).unwrap();
        let at = at.index(count);
        match what {
            0 => {
                let octet = octet.index(entries[at].chained.len());
                entries[at].chained[octet] ^= 1;
            }
            1 => entries[at].chain[octet.index(32)] ^= 1,
            2 => entries[at].position += 1,
            3 if at + 1 < count => drop(entries.remove(at)),
            _ if at + 1 < count => entries.swap(at, at + 1),
            _ => return Ok(()),
        }
        prop_assert_eq!(verify(&entries), Err(BrokenAt(at as u64)));
    }

    #[test]
    fn no_stored_octets_can_break_reading(chained: Vec<u8>, personal: Option<Vec<u8>>) {
        let stored = StoredEvent {
            position: 5, time: NOW, queue: QUEUE, chained, personal, chain: START,
        };
        prop_assert_eq!(log().read(&stored), Err(ReadError::Form(5)));
    }
}

/// The chain value was computed with another SHA-256.
#[test]
fn chain_values_are_those_of_rfc_6962_leaves() {
    let hex = |octets: &[u8]| {
        octets
            .iter()
            .map(|o| format!("{o:02x}"))
            .collect::<String>()
    };
    // RFC 6962: the hash of an empty leaf.
    assert_eq!(
        hex(&leaf_hash(b"")),
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    );
    assert_eq!(hex(&chain(&START, &leaf_hash(b""))), CHAIN_OF_EMPTY);
}

const CHAIN_OF_EMPTY: &str = "f458e643a4ef83a22e9d97a07f49eaf90fdeab1ce42427ce6da091237f83cd0d";

#[test]
fn every_name_is_read_back() {
    for name in EventName::ALL {
        assert_eq!(name.as_str().parse(), Ok(*name));
    }
    for fact in Fact::ALL {
        assert_eq!(fact.as_str().parse(), Ok(*fact));
    }
    assert_eq!(
        EventName::RelayToNonErds.etsi_uri().unwrap(),
        "http://uri.etsi.org/19522/Event/RelayToNonERDS"
    );
    assert_eq!(EventName::CodeSent.etsi_uri(), None);
}

#[test]
fn without_randomness_there_is_no_entry() {
    assert!(log().entry(hand_over(), &DryEntropy).is_err());
}

#[test]
fn a_timeline_tells_what_happened() {
    let domain = DnsName::parse("example.org").unwrap();
    let decision = Decision {
        domain: domain.clone(),
        route: Route::Defer {
            class: DeferClass::Transient,
            not_before: UnixTime::from_secs(1_795_263_000),
        },
        findings: vec![Finding {
            rule: Rule::Mx01,
            subject: Subject::Domain(domain.clone()),
            effect: Effect::Hold,
            fact: "no answer".into(),
        }],
        decided_at: NOW,
        fresh_until: NOW,
    };
    let message = MessageFacts::at(NOW);
    let evidence = Evidence::new(domain, Profile::Standard, message);
    let mut entries = logged(vec![
        Event::new(EventName::SubmissionAcceptance, NOW, QUEUE).sender(&ReversePath::Null),
        Event::new(EventName::Decision, NOW, QUEUE)
            .recipient(0, &eva())
            .decision(&decision, &evidence, &PolicySettings::default()),
        Event::new(EventName::Locked, NOW, QUEUE).recipient(0, &eva()),
        hand_over(),
        hand_over(),
    ]);
    entries[3].personal = None;
    entries[4].personal = Some(vec![1]);
    let read: Vec<_> = entries
        .iter()
        .map(|entry| log().read(entry).unwrap())
        .collect();
    let json = read[1].fact(Fact::Evidence).unwrap();
    assert_eq!(serde_json::from_str::<Evidence>(json).unwrap(), evidence);
    assert_eq!(timeline(&read), "\
2026-11-21T12:00:00Z  -  accepted from the sender: from <>
2026-11-21T12:00:00Z  #0 Eva+post@example.org  decided: Mail for example.org is held until Saturday 21 November 2026 12:10 UTC, because something did not answer
2026-11-21T12:00:00Z  #0 Eva+post@example.org  locked after three wrong codes
2026-11-21T12:00:00Z  #3  handed over to the recipient's host: details erased
2026-11-21T12:00:00Z  #3  handed over to the recipient's host: DAMAGED: the details are not those that were logged
");
}

#[test]
fn a_fact_from_outside_forges_no_line_and_has_an_end() {
    let id = format!(
        "<a\u{1b}[2J\n2026-11-21T12:00:00Z  -  released{}>",
        "é".repeat(600)
    );
    let event = Event::new(EventName::SubmissionAcceptance, NOW, QUEUE).message_id(&id);
    let entries = logged(vec![event]);
    let read = log().read(&entries[0]).unwrap();
    assert!(read.fact(Fact::MessageId).unwrap().len() <= 998);
    let shown = timeline(&[read]);
    assert!(
        shown.contains("<a?[2J?2026") && shown.lines().count() == 1,
        "{shown}"
    );
    // It is found by the whole of it.
    let found = log().entry(
        Event::new(EventName::Released, NOW, QUEUE).message_id(&id),
        &SeededEntropy::new(2),
    );
    assert!(found.unwrap().index.contains(&log().by_message_id(&id)));
}

#[test]
fn nothing_personal_stands_in_debug() {
    let event = hand_over();
    let read = log().read(&logged(vec![hand_over()])[0]).unwrap();
    let shown = format!("{event:?} {read:?} {:?} {:?}", read.personal, log());
    for part in ["eva", "Eva", "jan", "192"] {
        assert!(!shown.contains(part), "{shown}");
    }
}
