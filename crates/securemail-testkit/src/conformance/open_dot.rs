//! The clause of [`Spool`](securemail_core::backend::Spool) about final dots that may have left.

use securemail_core::StoreError;
use securemail_core::backend::{Due, NewDelivery, Settlement};

use super::NOW;
use super::deliveries::{
    MINUTE, at, commit, deferred, delivery, due, granted, intend, intent, item, settle,
};
use super::spool::{SpoolHarness, SpoolWithLog};

/// **S12** When `open_dot` returns `Ok`, it is durable that the peer may have the message: until the
/// delivery is settled, each later lease is `unsettled`. So is one that was committed in flight. A
/// lease that ran out without either is given again as if it had never been.
pub async fn s12_an_open_dot_is_known_until_it_is_settled(harness: &impl SpoolHarness) {
    let old = harness.fresh().await;
    commit(&*old.spool, 1, Due::At(at(0))).await;
    let first = due(&*old.spool, 0).await.remove(0);
    assert!(!first.unsettled, "S12: nothing was tried");
    let opened = old.spool.open_dot(&first.lease).await;
    opened.expect("S12: a lease that holds");
    let SpoolWithLog { spool, .. } = harness.reopen(old).await;
    let second = due(&*spool, 60).await.remove(0);
    assert!(second.unsettled, "S12: an open dot is forgotten");
    let lost = spool.open_dot(&first.lease).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "S12: {lost:?}");
    // The second lease runs out before its holder wrote down what it learnt.
    let third = due(&*spool, 120).await.remove(0);
    assert!(third.unsettled, "S12: forgotten with the next lease");
    settle(&*spool, &third.lease, deferred(Due::At(at(200)))).await;
    let fourth = due(&*spool, 200).await.remove(0);
    assert!(!fourth.unsettled, "S12: it was settled");
    settle(&*spool, &fourth.lease, Settlement::Sent).await;
    let ended = spool.open_dot(&fourth.lease).await;
    assert!(
        matches!(ended, Err(StoreError::LeaseLost)),
        "S12: {ended:?}"
    );
}

/// **S12** When `open_dot` returns `Ok`, it is durable that the peer may have the message: until the
/// delivery is settled, each later lease is `unsettled`. So is one that was committed in flight. A
/// lease that ran out without either is given again as if it had never been.
pub async fn s12_a_lease_without_a_dot_leaves_no_doubt(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    commit(&*spool, 1, Due::At(at(0))).await;
    let first = due(&*spool, 0).await.remove(0);
    spool
        .renew(&first.lease, at(30), MINUTE)
        .await
        .expect("renew");
    let second = due(&*spool, 90).await.remove(0);
    assert!(!second.unsettled, "S12: nothing left the first holder");
    // An intent that is put into the spool untried likewise.
    let (lease, _) = granted(intend(&*spool, intent(2, None), 0).await);
    let untried = NewDelivery {
        lease: Some(lease),
        ..delivery(0, Due::At(at(0)))
    };
    let committed = spool.commit(item(2, b"sealed", vec![untried]), NOW).await;
    committed.expect("commit");
    let leased = due(&*spool, 0).await;
    assert_eq!(leased.len(), 1, "S12: the other is leased");
    assert!(!leased[0].unsettled, "S12: it was never tried");
}
