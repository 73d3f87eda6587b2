//! Before the first message: the sentence that tells the operator what to do.

mod common;

use common::{agreed, build, impatient, nowhere, resolver, settings, zones};
use securemail_resolver::ProbeError;
use securemail_testkit::dns::Fault;

#[tokio::test]
async fn a_good_resolver_passes() {
    let dns = zones().start().await.unwrap();
    assert_eq!(resolver(&dns).probe().await, Ok(()));
    assert_eq!(agreed(&dns).probe().await, Ok(()));
    let mut settings = settings(&dns);
    settings.trust_anchor = Some(dns.anchor_ds().to_owned());
    assert_eq!(build(&settings).probe().await, Ok(()));
}

#[tokio::test]
async fn a_resolver_that_drops_dnssec_records_is_found_out() {
    let dns = zones().start().await.unwrap();
    dns.inject(Fault::StripDnssec);
    let error = resolver(&dns).probe().await.unwrap_err();
    assert_eq!(error, ProbeError::DropsDnssec);
    assert_eq!(
        error.to_string(),
        "this resolver drops DNSSEC records; install a local one: \
         apt-get install unbound, then dns.servers = [\"127.0.0.1:53\"]"
    );
}

#[tokio::test]
async fn a_resolver_that_is_down_is_found_out() {
    let dns = zones().start().await.unwrap();
    let mut settings = settings(&dns);
    settings.servers = vec![nowhere()];
    assert_eq!(build(&settings).probe().await, Err(ProbeError::Unreachable));
}

#[tokio::test]
async fn a_wrong_anchor_is_found_out() {
    let dns = zones().start().await.unwrap();
    let mut settings = settings(&dns);
    settings.trust_anchor = None;
    assert_eq!(build(&settings).probe().await, Err(ProbeError::WrongAnchor));
    let other = zones().start().await.unwrap();
    settings.trust_anchor = Some(other.anchor_ds().to_owned());
    assert_eq!(build(&settings).probe().await, Err(ProbeError::WrongAnchor));
}

#[tokio::test]
async fn a_second_validator_without_use_is_found_out() {
    let dns = zones().start().await.unwrap();
    let mut parts = impatient(&dns);
    parts.second_opinion = vec![nowhere()];
    assert_eq!(
        build(&parts).probe().await,
        Err(ProbeError::SecondUnreachable)
    );
    parts = settings(&dns);
    parts.second_opinion = vec![dns.addr()];
    assert_eq!(
        build(&parts).probe().await,
        Err(ProbeError::SecondDoesNotValidate)
    );
}
