//! The contract of [`Census`].

use std::sync::Arc;

use async_trait::async_trait;
use securemail_core::backend::{
    Census, Counts, Due, DueMail, ItemClass, NewItem, PickupRecord, Pickups, Settlement, Spool,
};
use securemail_core::vocab::{UnixTime, VaultId, VaultKey};

use super::deliveries::{MINUTE, at, delivery, item};
use super::{NOW, tenant};

/// Makes one test for each clause of the contract of `Census`.
#[macro_export]
macro_rules! census_conformance {
    ($harness:expr) => {
        $crate::conformance_clauses!($harness, census:
            g1_what_is_kept_is_counted_and_what_ended_is_not,
            g2_below_the_bound_every_number_is_exact,
            g3_a_store_that_is_there_answers,
        );
    };
}

/// A census, and what it counts.
#[derive(Clone, Debug)]
pub struct Counted {
    /// What waits.
    pub spool: Arc<dyn Spool>,
    /// What is in the vault.
    pub pickups: Arc<dyn Pickups>,
    /// Counts both.
    pub census: Arc<dyn Census>,
}

/// Gives the suite the stores that it tests. Each test has a harness of its own.
#[async_trait]
pub trait CensusHarness: Send + Sync {
    /// Empty ones.
    async fn fresh(&self) -> Counted;
}

/// **G1** Each number is as of one moment, over all tenants and processes.
pub async fn g1_what_is_kept_is_counted_and_what_ended_is_not(harness: &impl CensusHarness) {
    let Counted {
        spool,
        pickups,
        census,
    } = harness.fresh().await;
    assert_eq!(counts(&*census, NOW).await, Counts::default(), "G1: empty");
    spool.commit(due_at(1, 0), NOW).await.expect("commit");
    let later = at(60);
    let foreign = NewItem {
        tenant: tenant("other"),
        ..due_at(2, 600)
    };
    spool.commit(foreign, later).await.expect("commit");
    let notice = NewItem {
        class: ItemClass::Notice,
        ..due_at(3, 0)
    };
    spool.commit(notice, later).await.expect("commit");
    let record = record();
    pickups.create(&record).await.expect("create");
    let all = Counts {
        queued: 3,
        due: 2,
        own_queued: 1,
        oldest: Some(NOW),
        pickups: 1,
    };
    assert_eq!(counts(&*census, later).await, all, "G1: what is kept");
    let leased = spool
        .lease_due(DueMail::All, later, MINUTE, 9)
        .await
        .expect("lease_due");
    let tried = Counts { due: 0, ..all };
    assert_eq!(counts(&*census, later).await, tried, "G1: being tried");
    let over = later.plus(2 * MINUTE);
    assert_eq!(counts(&*census, over).await, all, "G1: its node died");
    for one in leased {
        let settled = spool.settle(&one.lease, Settlement::Sent, vec![], later);
        settled.await.expect("settle");
    }
    pickups.erase(&record.key).await.expect("erase");
    let rest = Counts {
        queued: 1,
        due: 0,
        own_queued: 0,
        oldest: Some(later),
        pickups: 0,
    };
    assert_eq!(counts(&*census, over).await, rest, "G1: what ended");
}

/// **G2** Of each kind no more than `COUNTED_MAX` rows need be looked at: fewer are counted in full.
pub async fn g2_below_the_bound_every_number_is_exact(harness: &impl CensusHarness) {
    let Counted { spool, census, .. } = harness.fresh().await;
    let many = (0..50).map(|n| delivery(n, Due::At(NOW))).collect();
    let notices = NewItem {
        class: ItemClass::Notice,
        ..item(1, b"sealed", many)
    };
    spool.commit(notices, NOW).await.expect("commit");
    let Counts {
        queued,
        due,
        own_queued,
        ..
    } = counts(&*census, NOW).await;
    assert_eq!(
        (queued, due, own_queued),
        (50, 50, 50),
        "G2: below the bound"
    );
}

/// **G3** `answers` reads from where counts come from.
pub async fn g3_a_store_that_is_there_answers(harness: &impl CensusHarness) {
    let Counted { census, .. } = harness.fresh().await;
    census.answers().await.expect("G3: it answers");
}

async fn counts(census: &dyn Census, now: UnixTime) -> Counts {
    census.census(now).await.expect("census")
}

fn due_at(n: u8, secs: u64) -> NewItem {
    item(n, b"sealed", vec![delivery(0, Due::At(at(secs)))])
}

fn record() -> PickupRecord {
    PickupRecord {
        key: VaultKey {
            tenant: tenant("acme"),
            id: VaultId::from_bytes([1; 16]),
        },
        version: 1,
        due: NOW,
        sealed_state: b"state".to_vec(),
    }
}
