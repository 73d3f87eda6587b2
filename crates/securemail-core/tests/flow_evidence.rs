//! What the log says of a message: enough to decide again, and which octets went where.

mod flow_world;

use flow_world::{DAY, HOME, HOUR, MINUTE, SECOND, World, defers, message, message_with, refuses};
use securemail_core::backend::{
    AuditSink as _, Directory as _, DomainHistory, DomainMemory, HostHistory, RecipientOutcome,
    SessionOutcome,
};
use securemail_core::ledger::{EventName, Fact, Log};
use securemail_core::mail::Reference;
use securemail_core::route::{Explanation, PeerFailure, Route};
use securemail_core::vocab::{DeliveryKey, Language, VaultId, sha256};
use securemail_testkit::scripted::HostScript;
use sha2::{Digest, Sha256};

/// A domain for each way that a decision can end; the message goes on until all of them did.
async fn world_of_all_outcomes() -> World {
    all_outcomes_in(World::new().await).await
}

async fn all_outcomes_in(world: World) -> World {
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    world.proved(
        "full.example",
        "mx.full.example",
        HostScript::says(defers()),
    );
    world.proved(
        "strict.example",
        "mx.strict.example",
        HostScript::says(refuses()),
    );
    let wrong_key = SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch);
    world.proved(
        "wrong.example",
        "mx.wrong.example",
        HostScript::ends(wrong_key),
    );
    let plain = HostScript::ends(SessionOutcome::NoStartTls(None));
    world.unsigned("open.example", "mx.open.example", plain);
    world.absent("absent.example");
    let to = [
        "eva@proved.example",
        "fay@full.example",
        "gus@strict.example",
        "mia@wrong.example",
        "ole@open.example",
        "abe@absent.example",
    ];
    let reply = world.submit(message(&to)).await;
    assert_eq!(reply.code(), 250, "{reply}");
    for _ in 0..8 {
        world.work_after(HOUR).await;
    }
    world.work_after(5 * DAY).await;
    world
}

#[tokio::test]
async fn p4_every_decision_can_be_made_again_from_its_event() {
    let world = world_of_all_outcomes().await;
    let mut ways = [0; 4];
    for event in world.logged(EventName::Decision).await {
        let decided = event
            .decided()
            .expect("an event of a decision holds it whole");
        assert_eq!(decided.again(), decided.decision, "{event:?}");
        assert!(decided.holds());
        let way = match decided.decision.route {
            Route::Deliver(_) => 0,
            Route::Defer { .. } => 1,
            Route::Vault { .. } => 2,
            Route::Bounce { .. } => 3,
        };
        ways[way] += 1;
    }
    assert!(ways.iter().all(|count| *count > 0), "{ways:?}");
}

#[tokio::test]
async fn a_decision_that_was_changed_afterwards_does_not_hold() {
    let world = world_of_all_outcomes().await;
    for event in world.logged(EventName::Decision).await {
        let mut decided = event.decided().unwrap();
        decided.decision.fresh_until = decided.decision.fresh_until.plus(MINUTE);
        assert!(!decided.holds(), "{event:?}");
    }
}

#[tokio::test]
async fn what_waits_for_a_fault_of_ours_claims_no_decision() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    world.memory.down();
    let reply = world.submit(message(&["eva@proved.example"])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    assert_eq!(world.count(EventName::Decision).await, 0);
    let waits = world.logged(EventName::Deferral).await;
    assert_eq!(waits.len(), 1);
    assert!(waits[0].fact(Fact::Reason).is_some());
}

#[tokio::test]
async fn the_log_names_the_octets_that_came_and_the_octets_that_went() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    // Also where there is no Message-ID to recognise a repeat by.
    let message = message_with("", &["eva@proved.example"]);
    let came = hex(&sha256(&*message.content).await.unwrap());
    let reply = world.submit(message).await;
    assert_eq!(reply.code(), 250, "{reply}");
    let intent = world.logged(EventName::RelayIntent).await;
    assert_eq!(intent[0].fact(Fact::SubmittedDigest), Some(&*came));
    let handed = world.logged(EventName::RelayToNonErds).await;
    let got = world.got("eva@proved.example");
    assert_eq!(
        handed[0].fact(Fact::ContentDigest),
        Some(&*digest(&got[0].octets))
    );
    assert_ne!(came, digest(&got[0].octets), "our trace stands in front");
}

#[tokio::test]
async fn each_session_that_may_have_taken_it_names_its_own_octets() {
    let world = World::new().await;
    let silent = HostScript::says(RecipientOutcome::Unconfirmed);
    world.proved("slow.example", "mx.slow.example", silent);
    let reply = world.submit(message(&["eva@slow.example"])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    world.proved("slow.example", "mx.slow.example", HostScript::takes());
    world.work_after(HOUR).await;
    let got = world.got("eva@slow.example");
    assert_eq!(got.len(), 2, "the first, and a possible duplicate of it");
    let unclear = world.logged(EventName::RelayUnconfirmed).await;
    let handed = world.logged(EventName::RelayToNonErds).await;
    let named = [&unclear[0], &handed[0]].map(|event| event.fact(Fact::ContentDigest));
    assert_eq!(named[0], Some(&*digest(&got[0].octets)));
    assert_eq!(named[1], Some(&*digest(&got[1].octets)));
    assert_ne!(named[0], named[1], "the second is marked");
}

#[tokio::test]
async fn what_becomes_of_a_notice_is_told_of_its_message_and_recipient() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    let plain = HostScript::ends(SessionOutcome::NoStartTls(None));
    for (domain, host) in [
        ("open.example", "mx.open.example"),
        ("shut.example", "mx.shut.example"),
    ] {
        world.unsigned(domain, host, plain.clone());
    }
    let at = |host| flow_world::name(host);
    world
        .transport
        .notice_host(&at("mx.open.example"), HostScript::takes());
    world
        .transport
        .notice_host(&at("mx.shut.example"), HostScript::says(refuses()));
    world.phone("ole@open.example").await;
    world.phone("sam@shut.example").await;
    let to = ["eva@proved.example", "ole@open.example", "sam@shut.example"];
    world.submit(message(&to)).await;
    world.work_after(HOUR).await;
    let message = world.logged(EventName::RelayIntent).await[0].queue;
    let informed = world.logged(EventName::SenderInformed).await;
    assert_eq!(informed.len(), 1, "of the refusal that nobody proved");
    assert_eq!(informed[0].queue, message);
    assert_eq!(informed[0].fact(Fact::Recipient), Some(to[2]));
    for _ in 0..6 {
        world.work_after(DAY).await;
    }
    for (name, recipient) in [
        (EventName::NotificationDelivered, 1),
        (EventName::ConsignmentNotificationFailure, 2),
    ] {
        let events = world.logged(name).await;
        assert_eq!(events.len(), 1, "{name}");
        assert_eq!(events[0].queue, message, "{name}");
        assert_eq!(events[0].recipient, Some(recipient), "{name}");
        assert_eq!(
            events[0].fact(Fact::Recipient),
            Some(to[usize::from(recipient)])
        );
    }
}

#[tokio::test]
async fn a_report_that_does_not_reach_its_sender_leaves_a_trace_of_its_message() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    world.absent("absent.example");
    world.proved("gemeente.example", HOME, HostScript::says(refuses()));
    let reply = world
        .submit(message(&["eva@proved.example", "abe@absent.example"]))
        .await;
    assert_eq!(reply.code(), 250, "{reply}");
    world.work_after(MINUTE).await;
    assert!(world.mails_home().is_empty());
    let message = world.logged(EventName::RelayIntent).await[0].queue;
    let given_up = world.logged(EventName::SenderNotInformed).await;
    assert_eq!(given_up.len(), 1);
    assert_eq!(given_up[0].queue, message);
    assert_eq!(given_up[0].recipient, Some(1));
    assert_eq!(
        given_up[0].fact(Fact::Sender),
        Some("<jan@gemeente.example>")
    );
    assert_eq!(given_up[0].fact(Fact::Reply), Some("550 no such mailbox"));
}

#[tokio::test]
async fn two_rounds_at_once_do_not_forget_what_the_other_saw() {
    let world = World::new().await;
    let slow = HostScript::takes().after(10 * SECOND, SECOND);
    world.proved("proved.example", "mx.proved.example", slow);
    let relay = world.relay.clone();
    let submitted =
        tokio::spawn(async move { relay.submit(message(&["eva@proved.example"])).await });
    world.pass(2 * SECOND).await;
    // What another round learns while this one waits for its host.
    let domain = flow_world::name("proved.example");
    let other = HostHistory {
        host: flow_world::name("mx2.proved.example"),
        authority: 4,
        authentication: 3,
        seen: world.now(),
        best_at: world.now(),
    };
    let seen = DomainHistory {
        hosts: vec![other.clone()],
        ..DomainHistory::default()
    };
    world.memory.remember(&domain, &seen).await.unwrap();
    world.pass(20 * SECOND).await;
    assert_eq!(submitted.await.unwrap().code(), 250);
    let known = world.memory.recall(&domain).await.unwrap().unwrap();
    assert_eq!(known.hosts.len(), 2, "{known:?}");
    assert!(known.hosts.contains(&other), "{known:?}");
}

#[tokio::test]
async fn a_refusal_in_the_session_is_an_event() {
    let world = World::new().await;
    world.proved("proved.example", "mx.proved.example", HostScript::takes());
    let hidden = message_with("Bcc: eva@proved.example\r\n", &["eva@proved.example"]);
    let envelope = hidden.envelope.clone();
    let reply = world.submit(hidden).await;
    assert_eq!(reply.code(), 550, "{reply}");
    let refusals = world.logged(EventName::SubmissionRejection).await;
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].recipient, None);
    assert_eq!(refusals[0].fact(Fact::Reply), Some(&*reply.to_string()));
    assert_eq!(refusals[0].fact(Fact::Account), Some("platform"));
    assert_eq!(refusals[0].fact(Fact::Client), Some("127.0.0.1"));

    let abe = flow_world::address("abe@absent.example");
    world.absent("absent.example");
    let reply = world.relay.recipient(&envelope.tenant, &abe).await;
    assert_eq!(reply.code(), 550, "{reply}");
    world.relay.recipient_refused(&envelope, &abe, &reply).await;
    let refusals = world.logged(EventName::SubmissionRejection).await;
    assert_eq!(refusals.len(), 2);
    assert_eq!(
        refusals[1].fact(Fact::Recipient),
        Some("abe@absent.example")
    );
    assert_eq!(world.count(EventName::RelayIntent).await, 0);
}

#[tokio::test]
async fn what_the_sender_shall_send_again_is_no_refusal() {
    let world = World::new().await;
    world.directory.down();
    let reply = world.submit(message(&["eva@proved.example"])).await;
    assert_eq!(reply.code(), 451, "{reply}");
    world.directory.up();
    assert_eq!(world.count(EventName::SubmissionRejection).await, 0);
}

fn digest(octets: &[u8]) -> String {
    hex(&Sha256::digest(octets))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The words of a mail of ours, its lines joined.
fn words(mail: &str) -> String {
    let message = mail_parser::MessageParser::new()
        .parse(mail.as_bytes())
        .unwrap();
    let text = message.body_text(0).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn what_check_says_of_a_domain_stands_in_the_event_and_in_the_mail_to_the_sender() {
    let world = world_of_all_outcomes().await;
    let mails: Vec<String> = world.mails_home().iter().map(|mail| words(mail)).collect();
    let mut told = 0;
    for event in world.logged(EventName::Decision).await {
        let decided = event.decided().unwrap();
        // What `check` prints, from the same facts.
        let check = Explanation::new(&decided.evidence, &decided.decision, &[]).sentence;
        assert_eq!(event.fact(Fact::Reason), Some(check.as_str()));
        let is_end = matches!(
            decided.decision.route,
            Route::Bounce { .. } | Route::Vault { .. }
        );
        if is_end {
            assert!(
                mails.iter().any(|mail| mail.contains(&check)),
                "{check}\n{mails:#?}"
            );
            told += 1;
        }
    }
    assert!(told >= 3, "{told}");
    // That a message waits is told too, with the sentence of that decision.
    let waits = mails.iter().filter(|mail| mail.contains("is held until"));
    assert!(waits.count() > 0, "{mails:#?}");
}

#[tokio::test]
async fn a_dutch_sender_reads_in_dutch_what_the_log_says_in_english() {
    let world = World::new().await;
    let tenant = securemail_core::vocab::Tenant {
        languages: vec!["nl".to_owned()],
        ..flow_world::tenant()
    };
    world.directory.put_tenant(&tenant).await.unwrap();
    let world = all_outcomes_in(world).await;
    let mails: Vec<String> = world.mails_home().iter().map(|mail| words(mail)).collect();
    let mut told = 0;
    for event in world.logged(EventName::Decision).await {
        let decision = event.decided().unwrap().decision;
        let in_english = decision.sentence();
        assert_eq!(event.fact(Fact::Reason), Some(in_english.as_str()));
        if matches!(decision.route, Route::Bounce { .. } | Route::Vault { .. }) {
            let in_dutch = decision.summary().sentence(Language::Dutch);
            assert!(
                mails.iter().any(|mail| mail.contains(&in_dutch)),
                "{in_dutch}\n{mails:#?}"
            );
            told += 1;
        }
    }
    assert!(told >= 3, "{told}");
    assert!(mails.iter().any(|mail| mail.contains("wacht tot")));
    let english = |mail: &&String| mail.contains("Mail for") || mail.contains("because");
    assert_eq!(mails.iter().find(english), None);
    let helped = mails
        .iter()
        .find(|mail| mail.contains("STARTTLS aanzetten op mx.open.example"));
    assert!(helped.is_some(), "{mails:#?}");
}

/// Each retry looks for the end of its delivery by its reference, and reads all that it finds.
#[tokio::test]
async fn what_comes_with_each_retry_is_not_found_by_the_reference() {
    let world = World::new().await;
    world.proved(
        "full.example",
        "mx.full.example",
        HostScript::says(defers()),
    );
    let reply = world.submit(message(&["fay@full.example"])).await;
    assert_eq!(reply.code(), 250, "{reply}");
    for _ in 0..3 {
        world.work_after(HOUR).await;
    }
    let waits = world.logged(EventName::Deferral).await;
    assert_eq!(waits.len(), 3);
    let tenant = flow_world::tenant().id;
    let delivery = DeliveryKey {
        tenant: tenant.clone(),
        queue: waits[0].queue,
        recipient: 0,
    };
    let log = Log::of_tenant(tenant.clone(), &*world.master)
        .await
        .unwrap();
    let index = log.by_reference(&Reference::of_vault(VaultId::of(&delivery)).to_string());
    let found = world.audit.inner().find(&tenant, index, 100).await.unwrap();
    assert_eq!(found.len(), 0);
}
