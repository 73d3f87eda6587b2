//! We, Postfix and OpenSSL decide alike, or the difference is explained.

use securemail_differential::{Options, run};

/// What the normal run takes; `cargo xtask lab diff -n N` takes more.
const DOMAINS: u64 = 250;

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_from_postfix_and_openssl_is_explained() {
    let options = Options {
        seed: 1,
        ids: (1..=DOMAINS).collect(),
        talkative: false,
    };
    let report = run(&options).await.unwrap();
    assert!(report.is_clean(), "{report}");
    // Nobody was skipped: every domain is compared with somebody.
    assert!(report.agreed() > usize::try_from(DOMAINS).unwrap());
}
