//! What a suite of [`Spool`](securemail_core::backend::Spool) expects of `wake`.

use securemail_core::StoreError;
use securemail_core::backend::{Due, Settlement};

use super::deliveries::{at, commit, deferred, due, key, settle};
use super::spool::{SpoolHarness, SpoolWithLog};

/// `wake` makes a queued delivery due, and only such.
pub async fn woken_is_due(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    commit(&*spool, 1, Due::WhenWoken).await;
    assert!(
        due(&*spool, 1_000_000).await.is_empty(),
        "due without a wake"
    );
    spool.wake(&key(1), at(5)).await.expect("wake");
    assert!(due(&*spool, 4).await.is_empty(), "due too early");
    let leased = due(&*spool, 5).await;
    settle(&*spool, &leased[0].lease, Settlement::Sent).await;
    for n in [1, 9] {
        let ended = spool.wake(&key(n), at(6)).await;
        assert!(matches!(ended, Err(StoreError::NotFound)), "{ended:?}");
    }
    assert!(
        due(&*spool, 1_000_000).await.is_empty(),
        "woken after its end"
    );
}

/// A wake that comes while an attempt runs is not lost when that is settled.
pub async fn a_wake_during_an_attempt_is_kept(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    commit(&*spool, 1, Due::At(at(0))).await;
    let leased = due(&*spool, 0).await;
    spool.wake(&key(1), at(5)).await.expect("wake");
    settle(&*spool, &leased[0].lease, deferred(Due::WhenWoken)).await;
    let again = due(&*spool, 5).await;
    assert_eq!(again.len(), 1, "the wake was lost");
    settle(&*spool, &again[0].lease, deferred(Due::WhenWoken)).await;
    assert!(
        due(&*spool, 1_000_000).await.is_empty(),
        "one wake, one time"
    );
}
