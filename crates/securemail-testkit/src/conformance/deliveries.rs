//! Intents, items and settlements for the suite of spools, and calls that must go well.

use std::time::Duration;

use securemail_core::StoreError;
use securemail_core::backend::{
    Claim, DeliveryState, Due, DueMail, Intent, ItemClass, Lease, Leased, NewDelivery, NewEvent,
    NewItem, ResubmissionKey, Settlement, Spool,
};
use securemail_core::vocab::{DeliveryKey, KeyedHash, QueueId, UnixTime};

use super::{NOW, sealed, tenant};

pub(super) const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn at(secs: u64) -> UnixTime {
    NOW.plus(Duration::from_secs(secs))
}

pub(super) fn key(n: u8) -> DeliveryKey {
    DeliveryKey {
        tenant: tenant("acme"),
        queue: QueueId::from_bytes([n; 16]),
        recipient: 0,
    }
}

pub(super) fn submission(n: u8) -> ResubmissionKey {
    ResubmissionKey(KeyedHash::from_bytes([n; 32]))
}

pub(super) fn intent(n: u8, resubmission: Option<u8>) -> Intent {
    Intent {
        delivery: key(n),
        resubmission: resubmission.map(submission),
        events: Vec::new(),
    }
}

pub(super) fn delivery(recipient: u16, due: Due) -> NewDelivery {
    NewDelivery {
        recipient,
        lease: None,
        resubmission: None,
        due,
        sealed_state: b"state".to_vec(),
    }
}

pub(super) fn item(n: u8, octets: &[u8], deliveries: Vec<NewDelivery>) -> NewItem {
    NewItem {
        tenant: tenant("acme"),
        queue: key(n).queue,
        class: ItemClass::Content,
        sealed_header: b"header".to_vec(),
        content: sealed(octets),
        deliveries,
        events: Vec::new(),
    }
}

pub(super) fn event(n: u8) -> NewEvent {
    NewEvent {
        time: NOW,
        queue: key(n).queue,
        chained: format!("event {n}").into_bytes(),
        personal: b"personal".to_vec(),
        index: Vec::new(),
    }
}

pub(super) fn deferred(due: Due) -> Settlement {
    let sealed_state = b"new state".to_vec();
    Settlement::Deferred { due, sealed_state }
}

pub(super) async fn intend(spool: &dyn Spool, intent: Intent, secs: u64) -> Claim {
    let claims = spool.intend(vec![intent], at(secs), MINUTE).await;
    claims.expect("intend").remove(0)
}

#[track_caller]
pub(super) fn granted(claim: Claim) -> (Lease, Option<DeliveryKey>) {
    match claim {
        Claim::Granted { lease, lost } => (lease, lost),
        Claim::Earlier(earlier) => panic!("S2: not granted: {earlier:?}"),
    }
}

#[track_caller]
pub(super) fn earlier(claim: Claim) -> (DeliveryKey, DeliveryState) {
    match claim {
        Claim::Earlier(earlier) => (earlier.delivery, earlier.state),
        Claim::Granted { .. } => panic!("S2: granted twice"),
    }
}

pub(super) async fn commit(spool: &dyn Spool, n: u8, due: Due) {
    let item = item(n, b"sealed", vec![delivery(0, due)]);
    spool.commit(item, NOW).await.expect("commit");
}

pub(super) async fn due(spool: &dyn Spool, secs: u64) -> Vec<Leased> {
    spool
        .lease_due(DueMail::All, at(secs), MINUTE, 9)
        .await
        .expect("lease_due")
}

pub(super) async fn settle(spool: &dyn Spool, lease: &Lease, settlement: Settlement) {
    let settled = spool.settle(lease, settlement, Vec::new(), NOW).await;
    settled.expect("settle");
}

pub(super) async fn state(spool: &dyn Spool, n: u8) -> Option<DeliveryState> {
    match spool.state(&key(n)).await {
        Ok(state) => Some(state),
        Err(StoreError::NotFound) => None,
        Err(error) => panic!("state: {error}"),
    }
}
