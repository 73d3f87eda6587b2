//! Vantages: another operator's server, over TLS with its name checked.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{build, nowhere, question, settings, zones};
use rustls::RootCertStore;
use securemail_core::backend::Resolver as _;
use securemail_core::vocab::{LookupFailure, Outcome, RecordKind, Security};
use securemail_resolver::VantageSettings;
use securemail_testkit::ca::{Issued, TestCa};
use securemail_testkit::dns::RunningDns;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// DNS over TLS in front of the in-process DNS.
async fn serve(dns: &RunningDns, certificate: &Issued) -> SocketAddr {
    let acceptor = TlsAcceptor::from(certificate.server_config().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, behind) = (listener.local_addr().unwrap(), dns.addr());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(stream).await else {
                    return;
                };
                let mut dns = TcpStream::connect(behind).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut tls, &mut dns).await);
            });
        }
    });
    addr
}

fn vantage(server: SocketAddr) -> VantageSettings {
    VantageSettings {
        server,
        name: "dns.vantage.test".into(),
    }
}

fn roots(ca: &TestCa) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.root_der()).unwrap();
    Arc::new(roots)
}

#[tokio::test]
async fn a_vantage_tells_what_it_sees_and_proves_nothing() {
    let (ca, dns) = (TestCa::new().unwrap(), zones().start().await.unwrap());
    let server = serve(&dns, &ca.issue(&["dns.vantage.test"]).unwrap()).await;
    let mut settings = settings(&dns);
    settings.vantages = vec![vantage(server)];
    settings.vantage_roots = roots(&ca);
    let resolver = build(&settings);
    for name in ["good.test", "plain.test"] {
        let question = question(name, RecordKind::Mx);
        let views = resolver.vantages(&question).await;
        assert_eq!(views.len(), 1);
        assert_eq!(views[0].vantage, "dns.vantage.test");
        assert_eq!(views[0].answer.security, Security::Insecure);
        assert_eq!(
            views[0].answer.outcome,
            resolver.resolve(&question).await.outcome
        );
    }
}

#[tokio::test]
async fn a_vantage_without_the_right_name_is_not_heard() {
    let (ca, dns) = (TestCa::new().unwrap(), zones().start().await.unwrap());
    let certificates = [
        ca.issue_wrong_name().unwrap(),
        ca.issue_expired(&["dns.vantage.test"]).unwrap(),
        TestCa::self_signed(&["dns.vantage.test"]).unwrap(),
    ];
    for certificate in certificates {
        let mut settings = settings(&dns);
        settings.vantages = vec![vantage(serve(&dns, &certificate).await)];
        settings.vantage_roots = roots(&ca);
        let views = build(&settings)
            .vantages(&question("plain.test", RecordKind::Mx))
            .await;
        assert_eq!(
            views[0].answer.outcome,
            Outcome::Failed(LookupFailure::Unusable)
        );
    }
}

#[tokio::test]
async fn a_vantage_that_is_down_is_a_failure_among_the_others() {
    let (ca, dns) = (TestCa::new().unwrap(), zones().start().await.unwrap());
    let up = serve(&dns, &ca.issue(&["dns.vantage.test"]).unwrap()).await;
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(&dns);
    settings.deadline = Duration::from_secs(5);
    settings.vantage_roots = roots(&ca);
    settings.vantages = [nowhere(), up, silent.local_addr().unwrap()]
        .map(vantage)
        .to_vec();
    let views = build(&settings)
        .vantages(&question("plain.test", RecordKind::Mx))
        .await;
    let outcomes: Vec<_> = views.into_iter().map(|view| view.answer.outcome).collect();
    assert_eq!(outcomes[0], Outcome::Failed(LookupFailure::Unusable));
    assert!(matches!(outcomes[1], Outcome::Mx(_)));
    assert_eq!(outcomes[2], Outcome::Failed(LookupFailure::Timeout));
}
