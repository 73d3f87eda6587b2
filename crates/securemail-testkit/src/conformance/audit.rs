//! The contract of [`AuditSink`].

use std::time::Duration;

use securemail_core::backend::{AuditSink, NewEvent, StoredEvent};
use securemail_core::ledger::verify;
use securemail_core::vocab::{KeyedHash, QueueId, TenantId};

use super::{Harness, NOW, tenant};

/// Makes one test for each clause of the contract of `AuditSink`.
#[macro_export]
macro_rules! audit_conformance {
    ($harness:expr) => {
        $crate::conformance_clauses!($harness, audit:
            a1_appended_is_durable_and_in_order,
            a2_events_of_a_call_come_together,
            a3_positions_have_no_gaps,
            a4_the_chain_verifies,
            a5_erasing_the_personal_part_leaves_the_chain,
            a6_find_gives_all_and_no_other,
        );
    };
}

/// **A1** When `append` returns `Ok`, the events are durable, at the positions returned, in order.
pub async fn a1_appended_is_durable_and_in_order(harness: &impl Harness<dyn AuditSink>) {
    let log = harness.fresh().await;
    let acme = tenant("acme");
    let first = log
        .append(&acme, vec![event(0), event(1)])
        .await
        .expect("append");
    let second = log.append(&acme, vec![event(2)]).await.expect("append");
    assert_eq!((first, second), (0, 2), "A1: positions");
    let log = harness.reopen(log).await;
    let page = log.page(&acme, 1, 9).await.expect("page");
    assert_eq!(page.size, 3, "A1: the size");
    let found: Vec<_> = page
        .events
        .iter()
        .map(|e| (e.position, e.chained.clone()))
        .collect();
    assert_eq!(
        found,
        [(1, event(1).chained), (2, event(2).chained)],
        "A1: order"
    );
    let message = log
        .of_message(&acme, event(2).queue)
        .await
        .expect("of_message");
    let positions: Vec<_> = message.iter().map(|e| e.position).collect();
    assert_eq!(positions, [0, 2], "A1: of one message, oldest first");
}

/// **A2** All events of a call are there, or none.
pub async fn a2_events_of_a_call_come_together(harness: &impl Harness<dyn AuditSink>) {
    let log = harness.fresh().await;
    let acme = tenant("acme");
    let writer = tokio::spawn({
        let (log, acme) = (log.clone(), acme.clone());
        async move {
            for _ in 0..40 {
                let three = vec![event(0), event(1), event(2)];
                let first = log.append(&acme, three).await.expect("append");
                assert_eq!(first % 3, 0, "A2: split by another");
            }
        }
    });
    while !writer.is_finished() {
        let page = log.page(&acme, 0, 1).await.expect("page");
        assert_eq!(page.size % 3, 0, "A2: a part of a call was seen");
        tokio::task::yield_now().await;
    }
    writer.await.expect("the writer");
    assert_eq!(all(&*log, &acme).await.len(), 120, "A2: all are there");
}

/// **A3** Positions have no gaps, also under concurrent calls, and different tenants do not share them.
pub async fn a3_positions_have_no_gaps(harness: &impl Harness<dyn AuditSink>) {
    let log = harness.fresh().await;
    let mut running = Vec::new();
    for n in 0..40_u8 {
        let log = log.clone();
        let owner = tenant(if n % 2 == 0 { "acme" } else { "other" });
        running.push(tokio::spawn(async move {
            log.append(&owner, vec![event(n), event(n)])
                .await
                .expect("append")
        }));
    }
    for one in running {
        one.await.expect("a task");
    }
    for owner in ["acme", "other"] {
        let events = all(&*log, &tenant(owner)).await;
        let positions: Vec<_> = events.iter().map(|e| e.position).collect();
        assert_eq!(positions, (0..40).collect::<Vec<_>>(), "A3: {owner}");
    }
}

/// **A4** The stored chain values verify from position 0 to the end.
pub async fn a4_the_chain_verifies(harness: &impl Harness<dyn AuditSink>) {
    let log = harness.fresh().await;
    for n in 0..5 {
        log.append(&tenant("acme"), vec![event(n), event(n + 1)])
            .await
            .expect("append");
    }
    let log = harness.reopen(log).await;
    log.append(&tenant("acme"), vec![event(9)])
        .await
        .expect("append");
    let events = all(&*log, &tenant("acme")).await;
    assert_eq!(events.len(), 11, "A4: all are there");
    let verified = verify(&events);
    assert!(verified.is_ok(), "A4: {verified:?}");
}

/// **A5** `erase_personal` removes the personal part alone; the chain still verifies.
pub async fn a5_erasing_the_personal_part_leaves_the_chain(harness: &impl Harness<dyn AuditSink>) {
    let log = harness.fresh().await;
    let acme = tenant("acme");
    let events = (0..6).map(event).collect();
    log.append(&acme, events).await.expect("append");
    log.append(&tenant("other"), vec![event(0)])
        .await
        .expect("append");
    let before = all(&*log, &acme).await;
    let erased = log
        .erase_personal(&acme, event(3).time)
        .await
        .expect("erase");
    assert_eq!(erased, 3, "A5: how many");
    let again = log
        .erase_personal(&acme, event(3).time)
        .await
        .expect("erase");
    assert_eq!(again, 0, "A5: erased twice");
    let log = harness.reopen(log).await;
    let after = all(&*log, &acme).await;
    for (old, new) in before.iter().zip(&after) {
        let kept = (old.position >= 3).then(|| old.personal.clone()).flatten();
        let wanted = StoredEvent {
            personal: kept,
            ..old.clone()
        };
        assert_eq!(*new, wanted, "A5: position {}", old.position);
    }
    let verified = verify(&after);
    assert!(verified.is_ok() && after.len() == 6, "A5: {verified:?}");
    let others = all(&*log, &tenant("other")).await;
    assert!(others[0].personal.is_some(), "A5: another tenant's");
}

/// **A6** `find` gives every event that carries the index value, and no other.
pub async fn a6_find_gives_all_and_no_other(harness: &impl Harness<dyn AuditSink>) {
    let log = harness.fresh().await;
    let acme = tenant("acme");
    log.append(&acme, (0..7).map(event).collect())
        .await
        .expect("append");
    log.append(&tenant("other"), vec![event(0)])
        .await
        .expect("append");
    let found = |limit| log.find(&acme, hash(0), limit);
    let positions =
        |events: Vec<StoredEvent>| events.iter().map(|e| e.position).collect::<Vec<_>>();
    let hits = positions(found(9).await.expect("find"));
    assert_eq!(hits, [6, 4, 2, 0], "A6: the newest first");
    let hits = positions(found(2).await.expect("find"));
    assert_eq!(hits, [6, 4], "A6: at most 2");
    let both = log.find(&acme, hash(100), 9).await.expect("find");
    assert_eq!(both.len(), 7, "A6: each under its second value too");
    let none = log.find(&acme, hash(55), 9).await.expect("find");
    assert_eq!(none, [], "A6: no other");
}

/// An event `n` seconds after now, of one of two messages, found under two values.
fn event(n: u8) -> NewEvent {
    NewEvent {
        time: NOW.plus(Duration::from_secs(n.into())),
        queue: QueueId::from_bytes([n % 2; 16]),
        chained: format!("event {n}").into_bytes(),
        personal: format!("personal {n}").into_bytes(),
        index: vec![hash(n % 2), hash(100)],
    }
}

fn hash(n: u8) -> KeyedHash {
    KeyedHash::from_bytes([n; 32])
}

async fn all(log: &dyn AuditSink, owner: &TenantId) -> Vec<StoredEvent> {
    log.page(owner, 0, 10_000).await.expect("page").events
}
