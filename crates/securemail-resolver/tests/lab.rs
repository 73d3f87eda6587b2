//! The resolver against NSD and Unbound, and the policy client against a real policy host.

mod common;
#[path = "lab/unbound.rs"]
mod unbound;

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use securemail_core::backend::{FetchError, PolicyFetcher, Resolver};
use securemail_core::vocab::{Answer, DnsName, MxTarget, Outcome, Question, RecordKind, Security};
use securemail_resolver::{
    HickoryResolver, PolicyClient, PolicySettings, ResolverSettings, VantageSettings,
};
use securemail_testkit::lab::{Lab, WallClock};

/// A key that signs nothing in the lab.
const FOREIGN_ANCHOR: &str = ". 3600 IN DNSKEY 257 3 13 \
    oPBEEZN/w7hVnoZGp4LVaoHUBP/3kePOW1sUgMMOEuG8vYXQXjMAsFW6YU0aWq2YMsy8a7h7XYVFXfCpvGDv9w==";
const NOBODY: &str = "127.0.0.99:53";

#[tokio::test]
async fn signed_records_are_secure_by_two_validators() {
    let resolver = resolver(&Lab::here().unwrap(), |_| {});
    let mx = ask(&resolver, "dane.test", RecordKind::Mx).await;
    assert_eq!(hosts(&mx), ["mx.dane.test"]);
    assert_eq!((mx.security, mx.validators), (Security::Secure, 2));
    let tlsa = ask(&resolver, "_25._tcp.mx.dane.test", RecordKind::Tlsa).await;
    assert_eq!((tlsa.security, tlsa.validators), (Security::Secure, 2));
    let Outcome::Tlsa(records) = tlsa.outcome else {
        panic!("{:?}", tlsa.outcome);
    };
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].usage, records[0].selector, records[0].matching),
        (3, 1, 1)
    );
    assert_eq!(records[0].data.len(), 32);
}

#[tokio::test]
async fn unsigned_records_are_insecure() {
    let resolver = resolver(&Lab::here().unwrap(), |_| {});
    let mx = ask(&resolver, "insecure.test", RecordKind::Mx).await;
    assert_eq!(hosts(&mx), ["mx.insecure.test"]);
    assert_eq!(mx.security, Security::Insecure);
}

#[tokio::test]
async fn broken_signatures_are_a_failure_and_never_absence() {
    let resolver = resolver(&Lab::here().unwrap(), |_| {});
    for kind in [RecordKind::Mx, RecordKind::A] {
        let answer = ask(&resolver, "bogus.test", kind).await;
        assert!(matches!(answer.outcome, Outcome::Failed(_)), "{answer:?}");
        assert_ne!(answer.security, Security::Secure);
        assert_ne!(answer.security, Security::Insecure);
    }
}

#[tokio::test]
async fn denials_in_signed_zones_are_secure() {
    let resolver = resolver(&Lab::here().unwrap(), |_| {});
    let name = ask(&resolver, "nowhere.test", RecordKind::Mx).await;
    assert_eq!(
        (name.outcome, name.security),
        (Outcome::NxDomain, Security::Secure)
    );
    let tlsa = ask(&resolver, "_25._tcp.mx.pkix.test", RecordKind::Tlsa).await;
    assert_eq!(
        (tlsa.outcome, tlsa.security),
        (Outcome::NxDomain, Security::Secure)
    );
    let nodata = ask(&resolver, "mx.pkix.test", RecordKind::Aaaa).await;
    assert_eq!(
        (nodata.outcome, nodata.security),
        (Outcome::NoData, Security::Secure)
    );
}

#[tokio::test]
async fn null_mx_is_seen() {
    let resolver = resolver(&Lab::here().unwrap(), |_| {});
    let answer = ask(&resolver, "nullmx.test", RecordKind::Mx).await;
    let Outcome::Mx(records) = answer.outcome else {
        panic!("{:?}", answer.outcome);
    };
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].target, MxTarget::Null);
}

#[tokio::test]
async fn long_text_is_joined() {
    let resolver = resolver(&Lab::here().unwrap(), |_| {});
    let answer = ask(&resolver, "lab-rsa._domainkey.sender.test", RecordKind::Txt).await;
    let Outcome::Txt(texts) = answer.outcome else {
        panic!("{:?}", answer.outcome);
    };
    assert!(texts[0].starts_with("v=DKIM1; k=rsa; p=MII"), "{texts:?}");
    assert!(texts[0].len() > 400, "{texts:?}");
}

#[tokio::test]
async fn other_anchor_makes_everything_bogus() {
    let foreign = |settings: &mut ResolverSettings| {
        settings.trust_anchor = Some(FOREIGN_ANCHOR.to_owned());
    };
    let resolver = resolver(&Lab::here().unwrap(), foreign);
    for name in ["dane.test", "insecure.test"] {
        let answer = ask(&resolver, name, RecordKind::Mx).await;
        assert!(matches!(answer.outcome, Outcome::Failed(_)), "{answer:?}");
    }
}

#[tokio::test]
async fn second_validator_down_is_a_failure() {
    let down = |settings: &mut ResolverSettings| {
        settings.second_opinion = vec![NOBODY.parse().unwrap()];
    };
    let resolver = resolver(&Lab::here().unwrap(), down);
    let answer = ask(&resolver, "_25._tcp.mx.pkix.test", RecordKind::Tlsa).await;
    assert!(matches!(answer.outcome, Outcome::Failed(_)), "{answer:?}");
}

#[tokio::test]
async fn resolver_down_is_a_failure() {
    let down = |settings: &mut ResolverSettings| {
        settings.servers = vec![NOBODY.parse().unwrap()];
    };
    let resolver = resolver(&Lab::here().unwrap(), down);
    let answer = ask(&resolver, "nowhere.test", RecordKind::Mx).await;
    assert!(matches!(answer.outcome, Outcome::Failed(_)), "{answer:?}");
}

#[tokio::test]
async fn probe_accepts_a_resolver_that_passes_signatures() {
    let resolver = resolver(&Lab::here().unwrap(), |_| {});
    resolver.probe().await.unwrap();
}

#[tokio::test]
async fn vantage_over_tls_sees_the_same() {
    let resolver = resolver(&Lab::here().unwrap(), |_| {});
    let question = question("hosted.test", RecordKind::Mx);
    let views = resolver.vantages(&question).await;
    assert_eq!(views.len(), 1);
    assert_eq!(views[0].vantage, "vantage.test");
    assert_eq!(hosts(&views[0].answer), ["mx.pkix.test"]);
}

#[tokio::test]
async fn vantage_with_another_name_is_not_believed() {
    let renamed = |settings: &mut ResolverSettings| {
        settings.vantages[0].name = "other.test".to_owned();
    };
    let resolver = resolver(&Lab::here().unwrap(), renamed);
    let views = resolver
        .vantages(&question("hosted.test", RecordKind::Mx))
        .await;
    assert!(
        matches!(views[0].answer.outcome, Outcome::Failed(_)),
        "{views:?}"
    );
}

#[tokio::test]
async fn policy_is_fetched_from_an_authenticated_host() {
    let lab = Lab::here().unwrap();
    let policy = client(&lab, roots(&lab), &["127.0.0.0/8"])
        .fetch(&name("sts.test"))
        .await
        .unwrap();
    let body = std::str::from_utf8(&policy.body).unwrap();
    assert!(body.contains("mode: enforce"), "{body}");
}

#[tokio::test]
async fn policy_host_without_trusted_certificate_is_refused() {
    let lab = Lab::here().unwrap();
    let client = client(&lab, RootCertStore::empty(), &["127.0.0.0/8"]);
    assert_eq!(
        client.fetch(&name("sts.test")).await.unwrap_err(),
        FetchError::Certificate
    );
}

#[tokio::test]
async fn policy_host_on_loopback_is_refused_unless_allowed() {
    let lab = Lab::here().unwrap();
    let client = client(&lab, roots(&lab), &[]);
    assert_eq!(
        client.fetch(&name("sts.test")).await.unwrap_err(),
        FetchError::NoAddress
    );
}

fn resolver(lab: &Lab, change: impl FnOnce(&mut ResolverSettings)) -> HickoryResolver {
    let (server, name) = lab.vantage();
    let here: SocketAddr = lab.resolver();
    let mut settings = ResolverSettings::new(vec![here]);
    settings.trust_anchor = Some(fs::read_to_string(lab.trust_anchor()).unwrap());
    settings.second_opinion = vec![here];
    settings.vantages = vec![VantageSettings { server, name }];
    settings.vantage_roots = Arc::new(roots(lab));
    change(&mut settings);
    HickoryResolver::new(&settings, Arc::new(WallClock)).unwrap()
}

fn client(lab: &Lab, roots: RootCertStore, allowed: &[&str]) -> PolicyClient {
    let mut settings = PolicySettings::new(Arc::new(roots));
    settings.allow_networks = allowed.iter().map(|text| text.parse().unwrap()).collect();
    PolicyClient::new(settings, Arc::new(resolver(lab, |_| {}))).unwrap()
}

fn roots(lab: &Lab) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(lab.ca_file()).unwrap())
        .unwrap();
    roots
}

async fn ask(resolver: &HickoryResolver, name: &str, kind: RecordKind) -> Answer {
    resolver.resolve(&question(name, kind)).await
}

fn question(text: &str, kind: RecordKind) -> Question {
    Question::new(name(text), kind)
}

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

fn hosts(answer: &Answer) -> Vec<String> {
    let Outcome::Mx(records) = &answer.outcome else {
        panic!("{answer:?}");
    };
    let host = |target: &MxTarget| match target {
        MxTarget::Host(host) => host.to_string(),
        other => panic!("{other:?}"),
    };
    records.iter().map(|record| host(&record.target)).collect()
}
