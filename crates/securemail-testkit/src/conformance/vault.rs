//! The contract of [`Vault`].

use std::sync::Arc;

use bytes::Bytes;
use securemail_core::StoreError;
use securemail_core::backend::Vault;
use securemail_core::vocab::{SealedContent, UnixTime, VaultId, VaultKey};

use super::{BrokenContent, Harness, NOW, Pattern, bytes, sealed, tenant};

/// Makes one test for each clause of the contract of `Vault`.
#[macro_export]
macro_rules! vault_conformance {
    ($harness:expr) => {
        $crate::conformance_clauses!($harness, vault:
            v1_stored_is_durable,
            v2_failed_store_leaves_nothing_partial,
            v3_second_store_changes_nothing,
            v3_of_concurrent_stores_one_wins,
            v4_erased_is_gone,
            v5_erase_of_nothing_is_ok,
            v6_ranges_are_what_was_stored,
            v7_expired_comes_earliest_first,
            v8_tenants_are_apart,
        );
    };
}

const LATER: UnixTime = UnixTime::from_secs(2_000_000_000);

/// **V1** When `store` returns `Ok`, the whole body is durable.
pub async fn v1_stored_is_durable(harness: &impl Harness<dyn Vault>) {
    let vault = harness.fresh().await;
    let large = Pattern {
        size: 1_000_000,
        seed: 1,
    };
    store(&*vault, 1, &sealed(b"sealed")).await;
    store(&*vault, 2, &large.sealed()).await;
    let vault = harness.reopen(vault).await;
    let found = read(&*vault, &key(1)).await;
    assert_eq!(found.as_deref(), Some(&b"sealed"[..]), "V1: small");
    let found = read(&*vault, &key(2)).await;
    assert_eq!(found, bytes(&large.sealed()).await, "V1: large");
}

/// **V2** When `store` returns `Err`, `open` of that key says `NotFound`, or gives the whole body.
pub async fn v2_failed_store_leaves_nothing_partial(harness: &impl Harness<dyn Vault>) {
    let vault = harness.fresh().await;
    let broken = SealedContent::assertion(Arc::new(BrokenContent(1000)));
    let stored = vault.store(&key(1), LATER, &broken).await;
    assert!(stored.is_err(), "V2: stored what could not be read");
    assert_eq!(read(&*vault, &key(1)).await, None, "V2: a part is there");
    let vault = harness.reopen(vault).await;
    assert_eq!(read(&*vault, &key(1)).await, None, "V2: a part came back");
    let due = vault.expired(UnixTime::MAX, 9).await.expect("expired");
    assert_eq!(due, [], "V2: what is not there expires");
}

/// **V3** A second `store` of a key fails with `AlreadyExists` and changes nothing.
pub async fn v3_second_store_changes_nothing(harness: &impl Harness<dyn Vault>) {
    let vault = harness.fresh().await;
    store(&*vault, 1, &sealed(b"first")).await;
    let second = vault.store(&key(1), NOW, &sealed(b"second")).await;
    assert!(
        matches!(second, Err(StoreError::AlreadyExists)),
        "V3: {second:?}"
    );
    let found = read(&*vault, &key(1)).await;
    assert_eq!(
        found.as_deref(),
        Some(&b"first"[..]),
        "V3: the body changed"
    );
    let due = vault.expired(NOW, 9).await.expect("expired");
    assert_eq!(due, [], "V3: the expiry changed");
}

/// **V3** A second `store` of a key fails with `AlreadyExists` and changes nothing.
pub async fn v3_of_concurrent_stores_one_wins(harness: &impl Harness<dyn Vault>) {
    let vault = harness.fresh().await;
    let mut running = Vec::new();
    for seed in 0..8 {
        let vault = vault.clone();
        running.push(tokio::spawn(async move {
            let body = Pattern {
                size: 300_000,
                seed,
            }
            .sealed();
            let stored = vault.store(&key(1), LATER, &body).await;
            stored.is_ok().then_some(seed)
        }));
    }
    let mut winners = Vec::new();
    for one in running {
        winners.extend(one.await.expect("a task"));
    }
    let [seed] = winners[..] else {
        panic!("V3: not one wins: {winners:?}");
    };
    let body = Pattern {
        size: 300_000,
        seed,
    }
    .sealed();
    assert_eq!(
        read(&*vault, &key(1)).await,
        bytes(&body).await,
        "V3: mixed"
    );
    let due = vault.expired(LATER, 9).await.expect("expired");
    assert_eq!(due, [key(1)], "V3: it does not expire once");
}

/// **V4** After `erase` returns `Ok`, `open` says `NotFound`, also after a restart.
pub async fn v4_erased_is_gone(harness: &impl Harness<dyn Vault>) {
    let vault = harness.fresh().await;
    store(&*vault, 1, &sealed(b"sealed")).await;
    vault.erase(&key(1)).await.expect("erase");
    assert_eq!(read(&*vault, &key(1)).await, None, "V4: still there");
    let vault = harness.reopen(vault).await;
    assert_eq!(read(&*vault, &key(1)).await, None, "V4: came back");
    let due = vault.expired(UnixTime::MAX, 9).await.expect("expired");
    assert_eq!(due, [], "V4: it still expires");
}

/// **V5** `erase` of what is not there returns `Ok`.
pub async fn v5_erase_of_nothing_is_ok(harness: &impl Harness<dyn Vault>) {
    let vault = harness.fresh().await;
    let never = vault.erase(&key(1)).await;
    assert!(never.is_ok(), "V5: {never:?}");
    store(&*vault, 1, &sealed(b"sealed")).await;
    vault.erase(&key(1)).await.expect("erase");
    let again = vault.erase(&key(1)).await;
    assert!(again.is_ok(), "V5: {again:?}");
}

/// **V6** Ranges read from an opened body are the ranges that were stored.
pub async fn v6_ranges_are_what_was_stored(harness: &impl Harness<dyn Vault>) {
    let vault = harness.fresh().await;
    let pattern = Pattern {
        size: 700_001,
        seed: 6,
    };
    store(&*vault, 1, &pattern.sealed()).await;
    let body = vault.open(&key(1)).await.expect("open");
    let body = body.ciphertext();
    assert_eq!(body.size(), pattern.size, "V6: the size");
    for (offset, max) in [
        (0, 1),
        (5, 70),
        (262_143, 3),
        (300_000, 400_000),
        (700_000, 9),
    ] {
        let part = body.read(offset, max).await.expect("read");
        assert!(
            (1..=max).contains(&part.len()),
            "V6: {} of {max}",
            part.len()
        );
        let wanted: Bytes = (offset..)
            .take(part.len())
            .map(|at| pattern.at(at))
            .collect();
        assert_eq!(part, wanted, "V6: at {offset}");
    }
    for behind in [700_001, 700_002, u64::MAX] {
        let part = body.read(behind, 9).await.expect("read");
        assert!(part.is_empty(), "V6: octets behind the end");
    }
}

/// **V7** `expired` lists what expires at or before `now`, the earliest first, at most `limit`.
pub async fn v7_expired_comes_earliest_first(harness: &impl Harness<dyn Vault>) {
    let vault = harness.fresh().await;
    for (id, secs) in [(1, 7_000), (2, 50), (3, 9_000), (4, 100), (5, 7_001)] {
        let expires = UnixTime::from_secs(1_000_000 + secs);
        let stored = vault.store(&key(id), expires, &sealed(b"sealed")).await;
        stored.expect("store");
    }
    let at = |secs: u64| UnixTime::from_secs(1_000_000 + secs);
    let due = vault.expired(at(7_000), 9).await.expect("expired");
    assert_eq!(due, [key(2), key(4), key(1)], "V7: until 7000");
    let due = vault.expired(at(8_000), 2).await.expect("expired");
    assert_eq!(due, [key(2), key(4)], "V7: at most 2");
    let due = vault.expired(at(49), 9).await.expect("expired");
    assert_eq!(due, [], "V7: before the first");
}

/// **V8** Tenants do not see each other's bodies, whatever the id.
pub async fn v8_tenants_are_apart(harness: &impl Harness<dyn Vault>) {
    let vault = harness.fresh().await;
    let other = VaultKey {
        tenant: tenant("other"),
        id: key(1).id,
    };
    store(&*vault, 1, &sealed(b"sealed")).await;
    assert_eq!(read(&*vault, &other).await, None, "V8: seen by another");
    vault.erase(&other).await.expect("erase");
    let found = read(&*vault, &key(1)).await;
    assert_eq!(
        found.as_deref(),
        Some(&b"sealed"[..]),
        "V8: erased by another"
    );
}

fn key(id: u8) -> VaultKey {
    VaultKey {
        tenant: tenant("acme"),
        id: VaultId::from_bytes([id; 16]),
    }
}

async fn store(vault: &dyn Vault, id: u8, body: &SealedContent) {
    vault.store(&key(id), LATER, body).await.expect("store");
}

/// The body, `None` where there is none; panics where it says anything else.
async fn read(vault: &dyn Vault, key: &VaultKey) -> Option<Bytes> {
    match vault.open(key).await {
        Ok(body) => Some(bytes(&body).await.expect("read")),
        Err(StoreError::NotFound) => None,
        Err(error) => panic!("open: {error}"),
    }
}
