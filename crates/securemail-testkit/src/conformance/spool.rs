//! The contract of [`Spool`].

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{
    AuditSink, Claim, DeliveryState, Due, DueMail, Intent, ItemClass, Lease, NewDelivery,
    Settlement, Spool,
};

use super::deliveries::{
    MINUTE, at, commit, deferred, delivery, due, earlier, event, granted, intend, intent, item,
    key, settle, state, submission,
};
pub use super::due_mail::s13_mail_of_ours_is_found_behind_messages;
pub use super::open_dot::{
    s12_a_lease_without_a_dot_leaves_no_doubt, s12_an_open_dot_is_known_until_it_is_settled,
};
pub use super::wakes::{a_wake_during_an_attempt_is_kept, woken_is_due};
use super::{NOW, Pattern, bytes, tenant};

/// Makes one test for each clause of the contract of `Spool`.
#[macro_export]
macro_rules! spool_conformance {
    ($harness:expr) => {
        $crate::conformance_clauses!($harness, spool:
            s1_granted_is_durable,
            s2_one_submission_is_granted_at_a_time,
            s2_what_ended_without_promise_does_not_stand_in_the_way,
            s2_a_lost_attempt_is_granted_again_and_named,
            s2_a_day_later_it_is_another_submission,
            s3_committed_is_durable,
            s3_large_content_is_durable,
            s4_leased_is_given_to_nobody_else,
            s4_of_many_workers_each_delivery_goes_to_one,
            s5_a_lease_that_ran_out_is_due_again,
            s5_an_attempt_in_flight_is_due_when_its_lease_ends,
            s6_an_older_lease_settles_nothing,
            s7_events_are_there_exactly_when_the_change_is,
            s8_content_goes_with_the_last_delivery,
            s9_a_second_commit_changes_nothing,
            s10_full_changes_nothing_and_outcomes_fit,
            s11_the_oldest_is_the_one_queued_for_longest,
            s12_an_open_dot_is_known_until_it_is_settled,
            s12_a_lease_without_a_dot_leaves_no_doubt,
            s13_mail_of_ours_is_found_behind_messages,
            deferred_is_due_again_with_its_new_state,
            woken_is_due,
            a_wake_during_an_attempt_is_kept,
            renewed_lasts_longer,
            forgotten_is_what_ended_before,
        );
    };
}

/// A spool, and the log that its events go to.
#[derive(Clone, Debug)]
pub struct SpoolWithLog {
    /// The spool.
    pub spool: Arc<dyn Spool>,
    /// Its log.
    pub log: Arc<dyn AuditSink>,
}

/// Gives the suite the spools that it tests. Each test has a harness of its own.
#[async_trait]
pub trait SpoolHarness: Send + Sync {
    /// An empty one.
    async fn fresh(&self) -> SpoolWithLog;

    /// An empty one that is full after one to ten mebibytes.
    async fn small(&self) -> SpoolWithLog;

    /// The one that was last given, as a new process would open it.
    async fn reopen(&self, old: SpoolWithLog) -> SpoolWithLog;
}

/// **S1** When `intend` returns `Ok`, the granted intents are durable. The lease of a delivery that
/// was not known is [`Lease::first`].
pub async fn s1_granted_is_durable(harness: &impl SpoolHarness) {
    let old = harness.fresh().await;
    let lease = granted(intend(&*old.spool, intent(1, None), 0).await).0;
    assert_eq!(lease, Lease::first(key(1)), "S1: its first lease");
    let new = harness.reopen(old).await;
    assert_eq!(
        state(&*new.spool, 1).await,
        Some(DeliveryState::Intended),
        "S1: lost"
    );
    let settled = new
        .spool
        .settle(&lease, Settlement::Sent, vec![], NOW)
        .await;
    assert!(settled.is_ok(), "S1: its lease is lost: {settled:?}");
    assert_eq!(
        state(&*new.spool, 1).await,
        Some(DeliveryState::Sent),
        "S1: settled"
    );
}

/// **S2** Of several intents with one resubmission key, within 24 hours, one is granted at a time;
/// the others get `Earlier`. One that ended `Bounced` or `Released` does not stand in the way; one
/// whose lease ran out without a result is granted again, with the first that was `lost` so.
pub async fn s2_one_submission_is_granted_at_a_time(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    let intents = vec![intent(1, Some(7)), intent(2, Some(7)), intent(3, Some(8))];
    let claims = spool.intend(intents, NOW, MINUTE).await.expect("intend");
    assert!(
        matches!(
            claims[..],
            [
                Claim::Granted { .. },
                Claim::Earlier(_),
                Claim::Granted { .. }
            ]
        ),
        "S2: in one call: {claims:?}"
    );
    let (lease, _) = granted(claims.into_iter().next().expect("a claim"));
    let earlier = earlier(intend(&*spool, intent(4, Some(7)), 10).await);
    assert_eq!(
        earlier,
        (key(1), DeliveryState::Intended),
        "S2: while it runs"
    );
    spool
        .settle(&lease, Settlement::Sent, vec![], NOW)
        .await
        .expect("settle");
    let earlier = self::earlier(intend(&*spool, intent(5, Some(7)), 20).await);
    assert_eq!(
        earlier,
        (key(1), DeliveryState::Sent),
        "S2: when it was sent"
    );
    // Without a key nothing is ever taken for a repeat.
    granted(intend(&*spool, intent(6, None), 0).await);
    granted(intend(&*spool, intent(7, None), 0).await);
    // Another tenant's submission is another.
    let mut other = intent(8, Some(7));
    other.delivery.tenant = tenant("other");
    granted(intend(&*spool, other, 0).await);
}

/// **S2** Of several intents with one resubmission key, within 24 hours, one is granted at a time;
/// the others get `Earlier`. One that ended `Bounced` or `Released` does not stand in the way; one
/// whose lease ran out without a result is granted again, with the first that was `lost` so.
pub async fn s2_what_ended_without_promise_does_not_stand_in_the_way(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    for (n, ended) in [(1, Settlement::Bounced), (2, Settlement::Released)] {
        let (lease, lost) = granted(intend(&*spool, intent(n, Some(7)), 0).await);
        assert_eq!(lost, None, "S2: a known end is clear");
        spool
            .settle(&lease, ended, vec![], NOW)
            .await
            .expect("settle");
    }
    for n in [3, 4] {
        let mut item = item(n, b"sealed", vec![delivery(0, Due::At(at(0)))]);
        item.deliveries[0].resubmission = Some(submission(9));
        spool.commit(item, NOW).await.expect("commit");
        let found = earlier(intend(&*spool, intent(10 + n, Some(9)), 0).await);
        assert_eq!(
            found,
            (key(n), DeliveryState::Queued),
            "S2: what is queued stands"
        );
        let leased = due(&*spool, 0).await;
        settle(&*spool, &leased[0].lease, Settlement::Bounced).await;
    }
}

/// **S2** Of several intents with one resubmission key, within 24 hours, one is granted at a time;
/// the others get `Earlier`. One that ended `Bounced` or `Released` does not stand in the way; one
/// whose lease ran out without a result is granted again, with the first that was `lost` so.
pub async fn s2_a_lost_attempt_is_granted_again_and_named(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    let (late, _) = granted(intend(&*spool, intent(1, Some(7)), 0).await);
    let (_, lost) = granted(intend(&*spool, intent(2, Some(7)), 61).await);
    assert_eq!(lost, Some(key(1)), "S2: not named");
    let late = spool.settle(&late, Settlement::Sent, vec![], at(62)).await;
    assert!(
        matches!(late, Err(StoreError::LeaseLost)),
        "S2: two hold it: {late:?}"
    );
    let found = earlier(intend(&*spool, intent(3, Some(7)), 62).await);
    assert_eq!(
        found,
        (key(2), DeliveryState::Intended),
        "S2: the newer stands"
    );
    // However often: what the first left behind is the first's.
    let (lease, lost) = granted(intend(&*spool, intent(3, Some(7)), 130).await);
    assert_eq!(lost, Some(key(1)), "S2: not the first");
    settle(&*spool, &lease, Settlement::Bounced).await;
    let (_, lost) = granted(intend(&*spool, intent(5, Some(7)), 140).await);
    assert_eq!(lost, None, "S2: a known end is clear");
    // The same delivery likewise.
    granted(intend(&*spool, intent(4, None), 0).await);
    let (lease, lost) = granted(intend(&*spool, intent(4, None), 61).await);
    assert!(
        lost == Some(key(4)) && lease.fence > 1,
        "S2: the same delivery again"
    );
}

/// **S2** Of several intents with one resubmission key, within 24 hours, one is granted at a time;
/// the others get `Earlier`. One that ended `Bounced` or `Released` does not stand in the way; one
/// whose lease ran out without a result is granted again, with the first that was `lost` so.
pub async fn s2_a_day_later_it_is_another_submission(harness: &impl SpoolHarness) {
    const DAY: u64 = 24 * 3600;
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    let (lease, _) = granted(intend(&*spool, intent(1, Some(7)), 0).await);
    settle(&*spool, &lease, Settlement::Sent).await;
    earlier(intend(&*spool, intent(2, Some(7)), DAY - 1).await);
    let (_, lost) = granted(intend(&*spool, intent(3, Some(7)), DAY).await);
    assert_eq!(lost, None, "S2: after a day it is clear");
}

/// **S3** When `commit` returns `Ok`, the item, its deliveries and its content survive the loss of
/// this process and machine state.
pub async fn s3_committed_is_durable(harness: &impl SpoolHarness) {
    let old = harness.fresh().await;
    let (lease, _) = granted(intend(&*old.spool, intent(1, None), 0).await);
    let intended = NewDelivery {
        lease: Some(lease),
        ..delivery(0, Due::At(at(5)))
    };
    let item = item(1, b"sealed", vec![intended, delivery(1, Due::At(at(3)))]);
    let committed = old.spool.commit(item, NOW).await.expect("commit");
    assert_eq!(committed.queue(), key(1).queue, "S3: which item");
    let SpoolWithLog { spool, .. } = harness.reopen(old).await;
    assert!(due(&*spool, 2).await.is_empty(), "S3: due too early");
    let leased = due(&*spool, 5).await;
    assert_eq!(leased.len(), 2, "S3: deliveries are lost");
    let order: Vec<_> = leased.iter().map(|l| l.lease.delivery.recipient).collect();
    assert_eq!(order, [1, 0], "S3: the longest due first");
    assert_eq!(leased[0].class, ItemClass::Content, "S3: class");
    assert_eq!(leased[0].sealed_header, b"header", "S3: header");
    assert_eq!(leased[0].sealed_state, b"state", "S3: state");
    assert!(
        !leased[0].unsettled && !leased[1].unsettled,
        "S3: nothing was tried"
    );
    let body = spool
        .content(&tenant("acme"), key(1).queue)
        .await
        .expect("content");
    assert_eq!(
        bytes(&body).await.as_deref(),
        Some(&b"sealed"[..]),
        "S3: content"
    );
}

/// **S3** When `commit` returns `Ok`, the item, its deliveries and its content survive the loss of
/// this process and machine state.
pub async fn s3_large_content_is_durable(harness: &impl SpoolHarness) {
    let old = harness.fresh().await;
    let large = Pattern {
        size: 3_000_001,
        seed: 3,
    }
    .sealed();
    let mut item = item(1, b"", vec![delivery(0, Due::At(at(0)))]);
    item.content = large.clone();
    old.spool.commit(item, NOW).await.expect("commit");
    let SpoolWithLog { spool, .. } = harness.reopen(old).await;
    let body = spool
        .content(&tenant("acme"), key(1).queue)
        .await
        .expect("S3: content");
    assert_eq!(bytes(&body).await, bytes(&large).await, "S3: content");
    let leased = due(&*spool, 0).await;
    settle(&*spool, &leased[0].lease, Settlement::Sent).await;
    let gone = spool.content(&tenant("acme"), key(1).queue).await;
    assert!(matches!(gone, Err(StoreError::NotFound)), "S3: {gone:?}");
}

/// **S4** While a lease runs, no other caller is given the delivery.
pub async fn s4_leased_is_given_to_nobody_else(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    commit(&*spool, 1, Due::At(at(0))).await;
    assert_eq!(due(&*spool, 0).await.len(), 1, "S4: it is due");
    assert!(due(&*spool, 59).await.is_empty(), "S4: given twice");
    spool.wake(&key(1), at(0)).await.expect("wake");
    assert!(
        due(&*spool, 59).await.is_empty(),
        "S4: a wake gave it twice"
    );
}

/// **S4** While a lease runs, no other caller is given the delivery.
pub async fn s4_of_many_workers_each_delivery_goes_to_one(harness: &impl SpoolHarness) {
    const ITEMS: u8 = 60;
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    for n in 0..ITEMS {
        commit(&*spool, n, Due::At(at(0))).await;
    }
    let mut workers = Vec::new();
    for _ in 0..8 {
        let spool = spool.clone();
        workers.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let leased = spool
                    .lease_due(DueMail::All, at(0), MINUTE, 3)
                    .await
                    .expect("lease_due");
                if leased.is_empty() {
                    return mine;
                }
                mine.extend(leased.into_iter().map(|leased| leased.lease.delivery));
                tokio::task::yield_now().await;
            }
        }));
    }
    let mut given = Vec::new();
    for worker in workers {
        given.extend(worker.await.expect("a worker"));
    }
    let different: BTreeSet<_> = given.iter().collect();
    assert_eq!(given.len(), different.len(), "S4: one was given twice");
    assert_eq!(given.len(), usize::from(ITEMS), "S4: one was not given");
}

/// **S5** A queued delivery whose lease ran out is due again; nothing is lost between lease and settle.
pub async fn s5_a_lease_that_ran_out_is_due_again(harness: &impl SpoolHarness) {
    let old = harness.fresh().await;
    commit(&*old.spool, 1, Due::At(at(0))).await;
    let first = due(&*old.spool, 0).await;
    let SpoolWithLog { spool, .. } = harness.reopen(old).await;
    let second = due(&*spool, 60).await;
    assert_eq!(second.len(), 1, "S5: lost with its lease");
    assert!(
        !first[0].unsettled && !second[0].unsettled,
        "S5: no dot was opened"
    );
    assert!(
        second[0].lease.fence > first[0].lease.fence,
        "S5: the fence rises"
    );
}

/// **S5** A queued delivery whose lease ran out is due again; nothing is lost between lease and settle.
pub async fn s5_an_attempt_in_flight_is_due_when_its_lease_ends(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    for n in [1, 2] {
        let (lease, _) = granted(intend(&*spool, intent(n, None), 0).await);
        let flying = NewDelivery {
            lease: Some(lease.clone()),
            ..delivery(0, Due::InFlight)
        };
        spool
            .commit(item(n, b"sealed", vec![flying]), NOW)
            .await
            .expect("commit");
        assert_eq!(
            state(&*spool, n).await,
            Some(DeliveryState::Queued),
            "S5: committed"
        );
        if n == 2 {
            settle(&*spool, &lease, Settlement::Sent).await;
        }
    }
    assert!(
        due(&*spool, 59).await.is_empty(),
        "S5: given while in flight"
    );
    let again = due(&*spool, 60).await;
    assert_eq!(
        again.len(),
        1,
        "S5: due when the lease ended unsettled, not when settled"
    );
    assert_eq!(again[0].lease.delivery, key(1), "S5: which");
    assert!(again[0].unsettled, "S5: it may have reached the peer");
}

/// **S6** `settle` with a lease that is not the newest fails with `LeaseLost` and changes nothing.
pub async fn s6_an_older_lease_settles_nothing(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, log } = harness.fresh().await;
    commit(&*spool, 1, Due::At(at(0))).await;
    let old = due(&*spool, 0).await.remove(0).lease;
    let new = due(&*spool, 60).await.remove(0).lease;
    let never = Lease {
        fence: new.fence + 1,
        ..new.clone()
    };
    let before = log.page(&tenant("acme"), 0, 99).await.expect("page").size;
    for lease in [&old, &never] {
        let late = spool
            .settle(lease, Settlement::Sent, vec![event(1)], at(61))
            .await;
        assert!(matches!(late, Err(StoreError::LeaseLost)), "S6: {late:?}");
        let late = spool.renew(lease, at(61), MINUTE).await;
        assert!(matches!(late, Err(StoreError::LeaseLost)), "S6: {late:?}");
    }
    let after = log.page(&tenant("acme"), 0, 99).await.expect("page").size;
    assert_eq!(before, after, "S6: an event of a lost lease");
    assert_eq!(
        state(&*spool, 1).await,
        Some(DeliveryState::Queued),
        "S6: changed"
    );
    settle(&*spool, &new, Settlement::Sent).await;
    let twice = spool
        .settle(&new, Settlement::Bounced, vec![], at(62))
        .await;
    assert!(matches!(twice, Err(StoreError::LeaseLost)), "S6: {twice:?}");
    assert_eq!(
        state(&*spool, 1).await,
        Some(DeliveryState::Sent),
        "S6: settled once"
    );
}

/// **S7** Events handed in with a change are in the tenant's log exactly when the change is.
pub async fn s7_events_are_there_exactly_when_the_change_is(harness: &impl SpoolHarness) {
    let old = harness.fresh().await;
    let with = |n, resubmission| Intent {
        events: vec![event(n)],
        ..intent(n, resubmission)
    };
    let intents = vec![with(1, Some(7)), with(2, Some(7))];
    let claims = old
        .spool
        .intend(intents, NOW, MINUTE)
        .await
        .expect("intend");
    let (lease, _) = granted(claims.into_iter().next().expect("a claim"));
    let mut new = item(3, b"sealed", vec![delivery(0, Due::At(at(0)))]);
    new.events = vec![event(3)];
    old.spool.commit(new, NOW).await.expect("commit");
    let mut again = item(3, b"sealed", vec![delivery(0, Due::At(at(0)))]);
    again.events = vec![event(4)];
    old.spool
        .commit(again, NOW)
        .await
        .expect_err("a second commit");
    let settled = old
        .spool
        .settle(&lease, Settlement::Sent, vec![event(5)], NOW)
        .await;
    settled.expect("settle");
    let SpoolWithLog { log, .. } = harness.reopen(old).await;
    let page = log.page(&tenant("acme"), 0, 99).await.expect("page");
    let found: Vec<_> = page.events.into_iter().map(|event| event.chained).collect();
    let wanted: Vec<_> = [1, 3, 5].map(|n| event(n).chained).into();
    assert_eq!(found, wanted, "S7: the log");
}

/// **S8** When the last delivery of an item ended, its content is erased.
pub async fn s8_content_goes_with_the_last_delivery(harness: &impl SpoolHarness) {
    let old = harness.fresh().await;
    let two = vec![delivery(0, Due::At(at(0))), delivery(1, Due::At(at(0)))];
    old.spool
        .commit(item(1, b"sealed", two), NOW)
        .await
        .expect("commit");
    let leased = due(&*old.spool, 0).await;
    settle(&*old.spool, &leased[0].lease, Settlement::Sent).await;
    let content = old.spool.content(&tenant("acme"), key(1).queue).await;
    assert!(content.is_ok(), "S8: erased too early");
    settle(&*old.spool, &leased[1].lease, Settlement::Vaulted).await;
    let gone = old.spool.content(&tenant("acme"), key(1).queue).await;
    assert!(matches!(gone, Err(StoreError::NotFound)), "S8: {gone:?}");
    let SpoolWithLog { spool, .. } = harness.reopen(old).await;
    let gone = spool.content(&tenant("acme"), key(1).queue).await;
    assert!(
        matches!(gone, Err(StoreError::NotFound)),
        "S8: came back: {gone:?}"
    );
}

/// **S9** `commit` of an item that is already there, under leases that still hold, fails with
/// `AlreadyExists` and changes nothing.
pub async fn s9_a_second_commit_changes_nothing(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    let (lease, _) = granted(intend(&*spool, intent(1, None), 0).await);
    let flying = || NewDelivery {
        lease: Some(lease.clone()),
        ..delivery(0, Due::InFlight)
    };
    spool
        .commit(item(1, b"first", vec![flying()]), NOW)
        .await
        .expect("commit");
    let second = spool.commit(
        item(1, b"second", vec![flying(), delivery(1, Due::At(NOW))]),
        NOW,
    );
    let second = second.await;
    assert!(
        matches!(second, Err(StoreError::AlreadyExists)),
        "S9: {second:?}"
    );
    let body = spool
        .content(&tenant("acme"), key(1).queue)
        .await
        .expect("content");
    assert_eq!(
        bytes(&body).await.as_deref(),
        Some(&b"first"[..]),
        "S9: content"
    );
    assert_eq!(due(&*spool, 60).await.len(), 1, "S9: deliveries");
    // A lease that is lost commits nothing.
    let stale = Lease {
        delivery: key(2),
        fence: 1,
    };
    let stale = NewDelivery {
        lease: Some(stale),
        ..delivery(0, Due::At(NOW))
    };
    let lost = spool
        .commit(
            item(2, b"sealed", vec![delivery(1, Due::At(NOW)), stale]),
            NOW,
        )
        .await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "S9: {lost:?}");
    let none = spool.content(&tenant("acme"), key(2).queue).await;
    assert!(matches!(none, Err(StoreError::NotFound)), "S9: {none:?}");
}

/// **S10** When a call returns `Full`, nothing was changed, and `settle` still works.
pub async fn s10_full_changes_nothing_and_outcomes_fit(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, log } = harness.small().await;
    commit(&*spool, 0, Due::At(at(0))).await;
    let leased = due(&*spool, 0).await;
    let mut refused = None;
    let octets = vec![7; 60_000];
    for n in 1..250 {
        let mut item = item(n, &octets, vec![delivery(0, Due::WhenWoken)]);
        item.events = vec![event(n)];
        match spool.commit(item, NOW).await {
            Ok(_) => {}
            Err(StoreError::Full) => {
                refused = Some(n);
                break;
            }
            Err(error) => panic!("S10: {error}"),
        }
    }
    let refused = refused.expect("S10: it never was full");
    assert!(refused > 5, "S10: full after {refused} items");
    assert_eq!(
        state(&*spool, refused).await,
        None,
        "S10: a delivery is there"
    );
    let content = spool.content(&tenant("acme"), key(refused).queue).await;
    assert!(
        matches!(content, Err(StoreError::NotFound)),
        "S10: {content:?}"
    );
    let page = log.page(&tenant("acme"), 0, 999).await.expect("page");
    assert_eq!(
        page.size,
        u64::from(refused) - 1,
        "S10: an event of it is there"
    );
    let settled = spool
        .settle(&leased[0].lease, Settlement::Sent, vec![event(0)], NOW)
        .await;
    assert!(settled.is_ok(), "S10: {settled:?}");
    assert_eq!(
        state(&*spool, 0).await,
        Some(DeliveryState::Sent),
        "S10: settled"
    );
}

/// A deferred delivery is due when it was said, with the state that was said.
pub async fn deferred_is_due_again_with_its_new_state(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    commit(&*spool, 1, Due::At(at(0))).await;
    let leased = due(&*spool, 0).await;
    let later = deferred(Due::At(at(100)));
    settle(&*spool, &leased[0].lease, later).await;
    assert!(due(&*spool, 99).await.is_empty(), "due too early");
    let again = due(&*spool, 100).await;
    assert_eq!(again[0].sealed_state, b"new state", "the state");
    assert!(!again[0].unsettled, "it was settled");
    // What was never committed cannot wait: nothing of it is there.
    let (lease, _) = granted(intend(&*spool, intent(2, None), 0).await);
    let nothing = spool
        .settle(&lease, deferred(Due::At(NOW)), vec![], NOW)
        .await;
    assert!(matches!(nothing, Err(StoreError::NotFound)), "{nothing:?}");
}

/// A renewed lease lasts until then.
pub async fn renewed_lasts_longer(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    commit(&*spool, 1, Due::At(at(0))).await;
    let leased = due(&*spool, 0).await;
    spool
        .renew(&leased[0].lease, at(50), MINUTE)
        .await
        .expect("renew");
    assert!(
        due(&*spool, 109).await.is_empty(),
        "given while it was renewed"
    );
    assert_eq!(due(&*spool, 110).await.len(), 1, "due when that ended");
    let (lease, _) = granted(intend(&*spool, intent(2, Some(7)), 0).await);
    spool.renew(&lease, at(50), MINUTE).await.expect("renew");
    earlier(intend(&*spool, intent(3, Some(7)), 109).await);
}

/// **S11** `oldest` is when the delivery that has been queued for longest was committed, however often
/// it was put off, and `None` only where none is queued: what is older may be destroyed.
pub async fn s11_the_oldest_is_the_one_queued_for_longest(harness: &impl SpoolHarness) {
    let old = harness.fresh().await;
    let oldest = async |of: &SpoolWithLog| of.spool.oldest().await.expect("oldest");
    assert_eq!(oldest(&old).await, None, "S11: nothing is queued");
    // An intent has no content that a key would have to open.
    granted(intend(&*old.spool, intent(9, None), 0).await);
    assert_eq!(oldest(&old).await, None, "S11: an intent is not queued");
    for (n, secs) in [(1, 20), (2, 10), (3, 30)] {
        let item = item(n, b"sealed", vec![delivery(0, Due::At(at(40)))]);
        old.spool.commit(item, at(secs)).await.expect("commit");
    }
    assert_eq!(oldest(&old).await, Some(at(10)), "S11: the first");
    let leased = due(&*old.spool, 50).await;
    for one in &leased {
        let settlement = match one.lease.delivery == key(1) {
            true => deferred(Due::At(at(500))),
            false => Settlement::Sent,
        };
        settle(&*old.spool, &one.lease, settlement).await;
    }
    let new = harness.reopen(old).await;
    assert_eq!(oldest(&new).await, Some(at(20)), "S11: put off");
    let last = due(&*new.spool, 600).await;
    settle(&*new.spool, &last[0].lease, Settlement::Vaulted).await;
    assert_eq!(oldest(&new).await, None, "S11: all ended");
}

/// `forget_ended` forgets what ended before, and intents whose lease ended before; nothing else.
pub async fn forgotten_is_what_ended_before(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    for (n, ended) in [(1, 10), (2, 20)] {
        let (lease, _) = granted(intend(&*spool, intent(n, None), 0).await);
        let settled = spool
            .settle(&lease, Settlement::Sent, vec![], at(ended))
            .await;
        settled.expect("settle");
    }
    commit(&*spool, 3, Due::WhenWoken).await;
    granted(intend(&*spool, intent(4, None), 0).await);
    assert_eq!(
        spool.forget_ended(at(20)).await.expect("forget"),
        1,
        "how many"
    );
    let states = [state(&*spool, 1).await, state(&*spool, 2).await];
    assert_eq!(states, [None, Some(DeliveryState::Sent)], "which");
    assert_eq!(
        spool.forget_ended(at(61)).await.expect("forget"),
        2,
        "abandoned too"
    );
    assert_eq!(state(&*spool, 4).await, None, "the abandoned intent");
    assert_eq!(
        state(&*spool, 3).await,
        Some(DeliveryState::Queued),
        "what is queued stays"
    );
}
