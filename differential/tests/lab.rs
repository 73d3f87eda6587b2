//! We, Postfix and OpenSSL decide alike, or the difference is explained.

use securemail_differential::{Options, run};

/// What the normal run takes; `cargo xtask lab diff -n N` takes more.
const DOMAINS: u64 = 250;
/// How often each must have agreed with us at least: nine tenths of what it is for these domains. Who is skipped, or
/// has nothing to say, agrees with nobody.
const AGREED: [(&str, usize); 6] = [
    ("openssl", 189),
    ("postfix dane", 142),
    ("postfix dane-only", 198),
    ("postfix verify", 40),
    ("postfix-mta-sts-resolver", 213),
    ("posttls-finger", 153),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_from_postfix_and_openssl_is_explained() {
    let options = Options {
        seed: 1,
        ids: (1..=DOMAINS).collect(),
        talkative: false,
    };
    let report = run(&options).await.unwrap();
    assert!(report.is_clean(), "{report}");
    for (name, least) in AGREED {
        assert!(
            report.agreed_with(name) >= least,
            "{name} was skipped\n{report}"
        );
    }
}
