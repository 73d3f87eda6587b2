//! The contract of [`KeyStore`].

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::{KeyPurpose, KeyRef, KeyStore, WrappedKey};

use super::{Harness, tenant};

/// Makes one test for each clause of the contract of `KeyStore`.
#[macro_export]
macro_rules! key_store_conformance {
    ($harness:expr) => {
        $crate::conformance_clauses!($harness, keys:
            k1_put_is_durable,
            k2_second_put_changes_nothing,
            k3_erased_leaves_no_trace,
            k4_erased_cannot_be_put_again,
            k5_erase_of_nothing_leaves_a_tombstone,
            k6_tenants_and_purposes_are_apart,
            k7_before_names_the_earlier_keys_of_a_purpose,
        );
    };
}

/// A harness that can look at what the back-end really left.
#[async_trait]
pub trait KeysHarness: Harness<dyn KeyStore> {
    /// Whether these octets stand anywhere where the back-end keeps something: files, logs, free pages.
    async fn leaves(&self, octets: &[u8]) -> bool;
}

/// **K1** When `put` returns `Ok`, the key is durable.
pub async fn k1_put_is_durable(harness: &impl KeysHarness) {
    let keys = harness.fresh().await;
    put(&*keys, &reference(1), 1).await;
    let keys = harness.reopen(keys).await;
    assert_eq!(
        fetch(&*keys, &reference(1)).await,
        Some(wrapped(1)),
        "K1: lost"
    );
}

/// **K2** A second `put` of a reference fails with `AlreadyExists` and changes nothing.
pub async fn k2_second_put_changes_nothing(harness: &impl KeysHarness) {
    let keys = harness.fresh().await;
    put(&*keys, &reference(1), 1).await;
    let second = keys.put(&reference(1), &wrapped(2)).await;
    assert!(
        matches!(second, Err(StoreError::AlreadyExists)),
        "K2: {second:?}"
    );
    assert_eq!(
        fetch(&*keys, &reference(1)).await,
        Some(wrapped(1)),
        "K2: changed"
    );
}

/// **K3** After `erase` returns `Ok`, `fetch` says `NotFound`, also after a restart, and the
/// wrapped octets stand in no file, log or free page.
pub async fn k3_erased_leaves_no_trace(harness: &impl KeysHarness) {
    const MANY: u16 = 200;
    let mut keys = harness.fresh().await;
    for n in 0..MANY {
        put(&*keys, &reference(n), n).await;
    }
    keys = harness.reopen(keys).await;
    assert!(
        harness.leaves(&wrapped(1).0).await,
        "K3: the harness sees nothing"
    );
    // In an order that makes any tree move its rows about.
    for n in (0..MANY).filter(|n| n % 3 != 0) {
        keys.erase(&reference(n)).await.expect("erase");
        assert_eq!(fetch(&*keys, &reference(n)).await, None, "K3: still there");
    }
    for n in (0..MANY).filter(|n| n % 3 != 0) {
        assert!(!harness.leaves(&wrapped(n).0).await, "K3: {n} left a trace");
    }
    let keys = harness.reopen(keys).await;
    for n in 0..MANY {
        let wanted = (n % 3 == 0).then(|| wrapped(n));
        assert_eq!(
            fetch(&*keys, &reference(n)).await,
            wanted,
            "K3: after a restart"
        );
    }
}

/// **K4** After `erase`, `put` of that reference fails with `AlreadyExists`: a tombstone keeps a
/// restored backup from bringing it back.
pub async fn k4_erased_cannot_be_put_again(harness: &impl KeysHarness) {
    let keys = harness.fresh().await;
    put(&*keys, &reference(1), 1).await;
    keys.erase(&reference(1)).await.expect("erase");
    let keys = harness.reopen(keys).await;
    let again = keys.put(&reference(1), &wrapped(1)).await;
    assert!(
        matches!(again, Err(StoreError::AlreadyExists)),
        "K4: {again:?}"
    );
    assert_eq!(fetch(&*keys, &reference(1)).await, None, "K4: it came back");
}

/// **K5** `erase` of what is not there returns `Ok` and leaves the tombstone.
pub async fn k5_erase_of_nothing_leaves_a_tombstone(harness: &impl KeysHarness) {
    let keys = harness.fresh().await;
    for _ in 0..2 {
        let erased = keys.erase(&reference(1)).await;
        assert!(erased.is_ok(), "K5: {erased:?}");
    }
    let put = keys.put(&reference(1), &wrapped(1)).await;
    assert!(matches!(put, Err(StoreError::AlreadyExists)), "K5: {put:?}");
}

/// **K6** Tenants and purposes do not see each other's keys, whatever the id.
pub async fn k6_tenants_and_purposes_are_apart(harness: &impl KeysHarness) {
    let keys = harness.fresh().await;
    let purposes = [
        KeyPurpose::ContentKey,
        KeyPurpose::LinkSecret,
        KeyPurpose::ServerShare,
        KeyPurpose::SpoolDay,
    ];
    let mut all = Vec::new();
    for owner in ["acme", "other"] {
        for purpose in purposes {
            all.push(KeyRef {
                tenant: tenant(owner),
                purpose,
                id: [9; 16],
            });
        }
    }
    for (n, reference) in (0..).zip(&all) {
        let stored = keys.put(reference, &wrapped(n)).await;
        assert!(stored.is_ok(), "K6: {stored:?}");
    }
    keys.erase(&all[0]).await.expect("erase");
    for (n, reference) in (0..).zip(&all) {
        let wanted = (n != 0).then(|| wrapped(n));
        assert_eq!(fetch(&*keys, reference).await, wanted, "K6: {reference:?}");
    }
}

/// **K7** `before` names every key of a purpose whose id sorts before another, of all tenants, `limit`
/// at most, and nothing else: no key of another purpose, none that was erased.
pub async fn k7_before_names_the_earlier_keys_of_a_purpose(harness: &impl KeysHarness) {
    let keys = harness.fresh().await;
    let of_day = |owner: &str, purpose, day: u8| {
        let mut id = [0; 16];
        id[7] = day;
        KeyRef {
            tenant: tenant(owner),
            purpose,
            id,
        }
    };
    let day = |owner, day| of_day(owner, KeyPurpose::SpoolDay, day);
    let erased = day("acme", 2);
    let other = of_day("acme", KeyPurpose::ServerShare, 1);
    let all = [
        day("acme", 1),
        day("other", 1),
        day("acme", 3),
        day("acme", 4),
    ];
    for (n, reference) in (0..).zip(all.iter().chain([&erased, &other])) {
        put(&*keys, reference, n).await;
    }
    keys.erase(&erased).await.expect("erase");
    let keys = harness.reopen(keys).await;
    let before = async |day: u8, limit| {
        let id = of_day("acme", KeyPurpose::SpoolDay, day).id;
        let found = keys.before(KeyPurpose::SpoolDay, id, limit).await;
        let mut found = found.expect("before");
        found.sort();
        found
    };
    assert_eq!(before(1, 9).await, [], "K7: nothing is that old");
    assert_eq!(before(3, 9).await, all[..2], "K7: two are older");
    assert_eq!(before(9, 9).await.len(), 4, "K7: all of the purpose");
    assert_eq!(before(9, 3).await.len(), 3, "K7: no more than asked for");
}

fn reference(n: u16) -> KeyRef {
    let mut id = [0; 16];
    // Neighbours in time are far apart in the order of ids.
    id[..2].copy_from_slice(&n.wrapping_mul(40_503).to_be_bytes());
    KeyRef {
        tenant: tenant("acme"),
        purpose: KeyPurpose::ServerShare,
        id,
    }
}

fn wrapped(n: u16) -> WrappedKey {
    let mut octets = format!("wrapped key number {n:05} of this test, ").into_bytes();
    octets.resize(61, b'k');
    WrappedKey(octets)
}

async fn put(keys: &dyn KeyStore, reference: &KeyRef, n: u16) {
    keys.put(reference, &wrapped(n)).await.expect("put");
}

async fn fetch(keys: &dyn KeyStore, reference: &KeyRef) -> Option<WrappedKey> {
    match keys.fetch(reference).await {
        Ok(key) => Some(key),
        Err(StoreError::NotFound) => None,
        Err(error) => panic!("fetch: {error}"),
    }
}
