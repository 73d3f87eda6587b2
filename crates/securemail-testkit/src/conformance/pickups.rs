//! The contract of [`Pickups`].

use std::net::IpAddr;
use std::time::Duration;

use securemail_core::StoreError;
use securemail_core::backend::{AddressPrefix, Budget, PickupRecord, Pickups, Spent};
use securemail_core::vocab::{KeyedHash, UnixTime, VaultId, VaultKey};

use super::{Harness, NOW, tenant};

/// Makes one test for each clause of the contract of `Pickups`.
#[macro_export]
macro_rules! pickups_conformance {
    ($harness:expr) => {
        $crate::conformance_clauses!($harness, pickups:
            p1_created_is_durable,
            p2_replace_wants_the_stored_version,
            p2_of_concurrent_replacements_one_wins,
            p3_due_comes_earliest_first,
            p4_erased_is_gone,
            p5_a_block_is_seen_until_it_ends,
            p6_a_budget_is_spent_once_over,
            p6_of_concurrent_spends_no_more_are_granted_than_there_are,
            p7_what_is_given_back_can_be_spent_again,
        );
    };
}

/// **P1** When `create` returns `Ok`, the record is durable; a second `create` fails with
/// `AlreadyExists`.
pub async fn p1_created_is_durable(harness: &impl Harness<dyn Pickups>) {
    let pickups = harness.fresh().await;
    pickups.create(&record(1, 5)).await.expect("create");
    let pickups = harness.reopen(pickups).await;
    let second = pickups.create(&record(1, 6)).await;
    assert!(
        matches!(second, Err(StoreError::AlreadyExists)),
        "P1: {second:?}"
    );
    let found = pickups.load(&key(1)).await.expect("load");
    assert_eq!(found, record(1, 5), "P1: the record");
    let found = pickups.locate(key(1).id).await.expect("locate");
    assert_eq!(found, key(1), "P1: its tenant");
    let never = pickups.locate(key(2).id).await;
    assert!(matches!(never, Err(StoreError::NotFound)), "P1: {never:?}");
}

/// **P2** `replace` succeeds only if the stored version is `expected`; else it fails with `Conflict`
/// and changes nothing. Of concurrent calls with one version, one succeeds.
pub async fn p2_replace_wants_the_stored_version(harness: &impl Harness<dyn Pickups>) {
    let pickups = harness.fresh().await;
    let missing = pickups.replace(&record(1, 5), 1).await;
    assert!(
        matches!(missing, Err(StoreError::NotFound)),
        "P2: {missing:?}"
    );
    pickups.create(&record(1, 5)).await.expect("create");
    pickups.replace(&record(1, 6), 1).await.expect("replace");
    for wrong in [0, 1, 3, u64::MAX] {
        let late = pickups.replace(&record(1, 7), wrong).await;
        assert!(matches!(late, Err(StoreError::Conflict)), "P2: {late:?}");
    }
    let pickups = harness.reopen(pickups).await;
    let found = pickups.load(&key(1)).await.expect("load");
    let wanted = PickupRecord {
        version: 2,
        ..record(1, 6)
    };
    assert_eq!(found, wanted, "P2: the record");
}

/// **P2** `replace` succeeds only if the stored version is `expected`; else it fails with `Conflict`
/// and changes nothing. Of concurrent calls with one version, one succeeds.
pub async fn p2_of_concurrent_replacements_one_wins(harness: &impl Harness<dyn Pickups>) {
    let pickups = harness.fresh().await;
    pickups.create(&record(1, 5)).await.expect("create");
    for version in 1..5 {
        let mut running = Vec::new();
        for secs in 0..12 {
            let pickups = pickups.clone();
            running.push(tokio::spawn(async move {
                pickups.replace(&record(1, secs), version).await.is_ok()
            }));
        }
        let mut wins = 0;
        for one in running {
            wins += u32::from(one.await.expect("a task"));
        }
        assert_eq!(wins, 1, "P2: how many won at version {version}");
    }
}

/// **P3** `due` lists records whose `due` is at or before `now`, the earliest first.
pub async fn p3_due_comes_earliest_first(harness: &impl Harness<dyn Pickups>) {
    let pickups = harness.fresh().await;
    for (id, secs) in [(1, 30), (2, 10), (3, 40), (4, 20)] {
        pickups.create(&record(id, secs)).await.expect("create");
    }
    let ids =
        |records: Vec<PickupRecord>| records.iter().map(|r| r.key.clone()).collect::<Vec<_>>();
    let due = ids(pickups.due(at(30), 9).await.expect("due"));
    assert_eq!(due, [key(2), key(4), key(1)], "P3: until 30");
    let due = ids(pickups.due(at(99), 2).await.expect("due"));
    assert_eq!(due, [key(2), key(4)], "P3: at most 2");
    pickups.replace(&record(2, 50), 1).await.expect("replace");
    let due = ids(pickups.due(at(20), 9).await.expect("due"));
    assert_eq!(due, [key(4)], "P3: after one was put off");
}

/// **P4** After `erase` returns `Ok`, `load` says `NotFound`, also after a restart.
pub async fn p4_erased_is_gone(harness: &impl Harness<dyn Pickups>) {
    let pickups = harness.fresh().await;
    pickups.create(&record(1, 5)).await.expect("create");
    for _ in 0..2 {
        pickups.erase(&key(1)).await.expect("erase");
        let found = pickups.load(&key(1)).await;
        assert!(matches!(found, Err(StoreError::NotFound)), "P4: {found:?}");
    }
    let pickups = harness.reopen(pickups).await;
    let found = pickups.load(&key(1)).await;
    assert!(matches!(found, Err(StoreError::NotFound)), "P4: {found:?}");
    let due = pickups.due(UnixTime::MAX, 9).await.expect("due");
    assert_eq!(due, [], "P4: still due");
}

/// **P5** A block set for an address prefix is seen until it ends, by its tenant alone.
pub async fn p5_a_block_is_seen_until_it_ends(harness: &impl Harness<dyn Pickups>) {
    let pickups = harness.fresh().await;
    let acme = tenant("acme");
    let prefix = |text: &str| AddressPrefix::of(text.parse::<IpAddr>().expect("an address"));
    let home = prefix("2001:db8::1");
    pickups.block(&acme, home, at(60)).await.expect("block");
    // A block that ends earlier does not shorten one that runs.
    pickups.block(&acme, home, at(50)).await.expect("block");
    let pickups = harness.reopen(pickups).await;
    for (who, from, when, wanted) in [
        ("acme", home, 59, Some(at(60))),
        ("acme", prefix("2001:db8::ffff"), 0, Some(at(60))),
        ("acme", home, 60, None),
        ("acme", prefix("2001:db8:0:1::1"), 0, None),
        ("other", home, 0, None),
    ] {
        let until = pickups.blocked_until(&tenant(who), from, at(when)).await;
        assert_eq!(until.expect("blocked_until"), wanted, "P5: {who} at {when}");
    }
}

/// **P6** `spend` takes one from each budget or from none; a window begins with the first spend and ends
/// after its length, and then the budget is whole again. Only the first refusal is marked so.
pub async fn p6_a_budget_is_spent_once_over(harness: &impl Harness<dyn Pickups>) {
    let pickups = harness.fresh().await;
    let (small, large) = (budget(1, 2, 10), budget(2, 3, 100));
    let both = [small, large];
    for secs in [5, 6] {
        let spent = pickups.spend(&tenant("acme"), &both, at(secs)).await;
        assert_eq!(spent.expect("spend"), Spent::Granted, "P6: at {secs}");
    }
    let pickups = harness.reopen(pickups).await;
    for (secs, first) in [(7, true), (14, false)] {
        let spent = pickups.spend(&tenant("acme"), &both, at(secs)).await;
        let until = at(15);
        let wanted = Spent::Refused { until, first };
        assert_eq!(spent.expect("spend"), wanted, "P6: at {secs}");
    }
    let other = pickups.spend(&tenant("other"), &both, at(14)).await;
    assert_eq!(other.expect("spend"), Spent::Granted, "P6: another tenant");
    let spent = pickups.spend(&tenant("acme"), &both, at(15)).await;
    assert_eq!(spent.expect("spend"), Spent::Granted, "P6: a new window");
    // What was refused by one took nothing from the other: three of three are spent only now.
    let spent = pickups.spend(&tenant("acme"), &both, at(16)).await;
    let (until, first) = (at(105), true);
    let wanted = Spent::Refused { until, first };
    assert_eq!(spent.expect("spend"), wanted, "P6: the large one");
    let spent = pickups.spend(&tenant("acme"), &[small], at(16)).await;
    assert_eq!(spent.expect("spend"), Spent::Granted, "P6: the small one");
}

/// **P6** Of concurrent calls no more are granted than a budget has.
pub async fn p6_of_concurrent_spends_no_more_are_granted_than_there_are(
    harness: &impl Harness<dyn Pickups>,
) {
    let pickups = harness.fresh().await;
    let mut running = Vec::new();
    for _ in 0..20 {
        let pickups = pickups.clone();
        running.push(tokio::spawn(async move {
            let (acme, seven) = (tenant("acme"), [budget(1, 7, 60)]);
            let spent = pickups.spend(&acme, &seven, at(5)).await;
            spent.expect("spend") == Spent::Granted
        }));
    }
    let mut granted = 0;
    for one in running {
        granted += u32::from(one.await.expect("a task"));
    }
    assert_eq!(granted, 7, "P6: how many of twenty");
}

/// **P7** What `give_back` returned `Ok` for can be spent again within the same window.
pub async fn p7_what_is_given_back_can_be_spent_again(harness: &impl Harness<dyn Pickups>) {
    let pickups = harness.fresh().await;
    let one = [budget(1, 1, 60)];
    for _ in 0..3 {
        let spent = pickups.spend(&tenant("acme"), &one, at(5)).await;
        assert_eq!(spent.expect("spend"), Spent::Granted, "P7: time and again");
        let given = pickups.give_back(&tenant("acme"), &one).await;
        given.expect("give_back");
    }
    // Nothing below nothing.
    let given = pickups.give_back(&tenant("acme"), &one).await;
    given.expect("give_back");
    let spent = pickups.spend(&tenant("acme"), &one, at(5)).await;
    assert_eq!(spent.expect("spend"), Spent::Granted, "P7: the last");
    let spent = pickups.spend(&tenant("acme"), &one, at(6)).await;
    let refused = matches!(spent.expect("spend"), Spent::Refused { .. });
    assert!(refused, "P7: no more than there are");
}

fn budget(of: u8, most: u32, secs: u64) -> Budget {
    Budget {
        of: KeyedHash::from_bytes([of; 32]),
        most,
        window: Duration::from_secs(secs),
    }
}

fn at(secs: u64) -> UnixTime {
    NOW.plus(Duration::from_secs(secs))
}

fn key(id: u8) -> VaultKey {
    VaultKey {
        tenant: tenant("acme"),
        id: VaultId::from_bytes([id; 16]),
    }
}

fn record(id: u8, secs: u64) -> PickupRecord {
    PickupRecord {
        key: key(id),
        version: 1,
        due: at(secs),
        sealed_state: format!("state at {secs}").into_bytes(),
    }
}
