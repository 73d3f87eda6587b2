//! The clause of `Spool` about mail of ours among messages.

use securemail_core::backend::{Due, DueMail, ItemClass, NewItem, Settlement, Spool};

use super::NOW;
use super::deliveries::{MINUTE, at, commit, deferred, delivery, due, item, key, settle};
use super::spool::{SpoolHarness, SpoolWithLog};

/// **S13** Asked for mail of ours alone, `lease_due` gives no message, and passes by however many are
/// due at no cost.
pub async fn s13_mail_of_ours_is_found_behind_messages(harness: &impl SpoolHarness) {
    let SpoolWithLog { spool, .. } = harness.fresh().await;
    for n in 1..=5 {
        commit(&*spool, n, Due::At(at(0))).await;
    }
    assert!(own(&*spool, 9).await.is_empty(), "S13: a message");
    let classes = [
        (6, ItemClass::Notice),
        (7, ItemClass::SenderMail),
        (8, ItemClass::TlsReport),
    ];
    for (n, class) in classes {
        let item = NewItem {
            class,
            ..item(n, b"sealed", vec![delivery(0, Due::At(at(u64::from(n))))])
        };
        spool.commit(item, NOW).await.expect("commit");
    }
    assert!(own(&*spool, 5).await.is_empty(), "S13: before it is due");
    let leased = spool.lease_due(DueMail::Own, at(9), MINUTE, 2).await;
    let leased = leased.expect("lease_due");
    let found: Vec<_> = leased.iter().map(|one| one.class).collect();
    assert_eq!(found, [ItemClass::Notice, ItemClass::SenderMail], "S13");
    settle(&*spool, &leased[0].lease, Settlement::Sent).await;
    settle(&*spool, &leased[1].lease, deferred(Due::At(at(10)))).await;
    let left = own(&*spool, 10).await;
    assert_eq!(left, [key(8).queue, key(7).queue], "S13");
    assert_eq!(
        due(&*spool, 10).await.len(),
        5,
        "S13: the messages are still due"
    );
}

async fn own(spool: &dyn Spool, secs: u64) -> Vec<securemail_core::vocab::QueueId> {
    let leased = spool.lease_due(DueMail::Own, at(secs), MINUTE, 9).await;
    let leased = leased.expect("lease_due");
    leased.iter().map(|one| one.lease.delivery.queue).collect()
}
