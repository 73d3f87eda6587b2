//! Who a client is: secrets, passwords, certificates, and what failures cost.

mod common;

use std::time::Duration;

use async_trait::async_trait;
use common::{PASSWORD, SECRET, account, pem, plain, start};
use securemail_core::backend::Directory;
use securemail_core::vocab::{AccountKind, Credential, Identity};
use securemail_testkit::ca::TestCa;
use sha2::{Digest, Sha256};

#[tokio::test]
async fn the_right_secret_and_the_right_password_log_in() {
    let server = start().await;
    for (username, password) in [
        ("connector", SECRET),
        ("CONNECTOR", SECRET),
        ("person", PASSWORD),
    ] {
        server
            .tls()
            .await
            .ask(&plain(username, password), "235 2.7.0")
            .await;
    }
}

#[tokio::test]
async fn login_and_a_response_on_its_own_line_work_too() {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let server = start().await;
    let mut raw = server.tls().await;
    raw.ask("AUTH LOGIN", "334 VXNlcm5hbWU6").await;
    raw.ask(&encode("connector"), "334 UGFzc3dvcmQ6").await;
    raw.ask(&encode(SECRET), "235").await;
    raw.ask("AUTH LOGIN", "503 5.5.1").await;
    let mut raw = server.tls().await;
    raw.ask("AUTH PLAIN", "334 ").await;
    raw.ask("*", "501 5.7.0").await;
    raw.ask("AUTH PLAIN", "334 ").await;
    raw.ask(&encode(&format!("\0connector\0{SECRET}")), "235")
        .await;
}

#[tokio::test]
async fn every_failure_looks_the_same() {
    let server = start().await;
    let mut replies = Vec::new();
    for (username, password) in [
        ("connector", "wrong"),
        ("person", "wrong"),
        ("nobody", SECRET),
        ("person", SECRET),
    ] {
        replies.push(
            server
                .tls()
                .await
                .ask(&plain(username, password), "535 5.7.8")
                .await,
        );
    }
    replies.dedup();
    assert_eq!(replies.len(), 1);
}

#[tokio::test]
async fn a_password_that_was_right_is_forgotten_when_it_changes() {
    let server = start().await;
    for _ in 0..2 {
        server
            .tls()
            .await
            .ask(&plain("person", PASSWORD), "235")
            .await;
    }
    let changed = account("person", AccountKind::Sender, Credential::Secret([0; 32]));
    server
        .directory
        .put_account(&Identity::Username("person".into()), &changed)
        .await
        .unwrap();
    server
        .tls()
        .await
        .ask(&plain("person", PASSWORD), "535")
        .await;
}

#[tokio::test]
async fn failures_from_one_address_stop_all_logins_for_a_time() {
    let server = start().await;
    for _ in 0..10 {
        server
            .tls()
            .await
            .ask(&plain("nobody", "wrong"), "535")
            .await;
    }
    server
        .tls()
        .await
        .ask(&plain("connector", SECRET), "421 4.7.0")
        .await;
    server.clock.advance(Duration::from_mins(10));
    server
        .tls()
        .await
        .ask(&plain("connector", SECRET), "235")
        .await;
}

#[tokio::test]
async fn a_session_ends_after_three_failures() {
    let server = start().await;
    let mut raw = server.tls().await;
    raw.ask(&plain("nobody", "wrong"), "535").await;
    raw.ask(&plain("nobody", "wrong"), "535").await;
    raw.ask(&plain("nobody", "wrong"), "421 4.7.0").await;
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn responses_that_have_not_the_form_are_refused() {
    let server = start().await;
    let mut raw = server.tls().await;
    for line in [
        "AUTH PLAIN !!!!",
        "AUTH PLAIN AAAA",
        "AUTH PLAIN =",
        "AUTH PLAIN b3RoZXIAYQBi",
    ] {
        raw.ask(line, "501 5.5.2").await;
    }
    raw.ask("AUTH CRAM-MD5", "504 5.5.4").await;
}

#[tokio::test]
async fn a_certificate_that_the_directory_knows_is_an_identity_self_signed_or_not() {
    let server = start().await;
    let own = TestCa::self_signed(&["client.test"]).unwrap();
    let fingerprint: [u8; 32] = Sha256::digest(&own.leaf_der).into();
    let known = account(
        "machine",
        AccountKind::Connector,
        Credential::Certificate(fingerprint),
    );
    server
        .directory
        .put_account(&Identity::Certificate(fingerprint), &known)
        .await
        .unwrap();
    let (chain, key) = pem(&own);
    let config = server
        .config_builder()
        .with_client_auth_cert(chain, key)
        .unwrap();
    let mut raw = server.tls_with(config).await;
    raw.ask("EHLO client.test", "250").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
}

#[tokio::test]
async fn a_certificate_that_the_directory_does_not_know_is_nobody() {
    let server = start().await;
    let own = TestCa::self_signed(&["client.test"]).unwrap();
    let (chain, key) = pem(&own);
    let config = server
        .config_builder()
        .with_client_auth_cert(chain, key)
        .unwrap();
    let mut raw = server.tls_with(config).await;
    raw.ask("EHLO client.test", "250").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "530 5.7.0").await;
    raw.ask(&plain("connector", SECRET), "235").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
}

#[tokio::test]
async fn an_account_by_password_is_not_opened_by_a_certificate_of_its_name() {
    let server = start().await;
    let own = TestCa::self_signed(&["client.test"]).unwrap();
    let fingerprint: [u8; 32] = Sha256::digest(&own.leaf_der).into();
    // A directory entry under the certificate, but whose credential is another certificate.
    let other = account(
        "machine",
        AccountKind::Connector,
        Credential::Certificate([9; 32]),
    );
    server
        .directory
        .put_account(&Identity::Certificate(fingerprint), &other)
        .await
        .unwrap();
    let (chain, key) = pem(&own);
    let config = server
        .config_builder()
        .with_client_auth_cert(chain, key)
        .unwrap();
    let mut raw = server.tls_with(config).await;
    raw.ask("EHLO client.test", "250").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "530 5.7.0").await;
}

/// A client that shows a certificate whose key it does not hold.
#[derive(Debug)]
struct Thief(std::sync::Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Thief {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<std::sync::Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_is_refused_in_the_handshake() {
    let server = start().await;
    let victim = TestCa::self_signed(&["client.test"]).unwrap();
    let thief = TestCa::self_signed(&["client.test"]).unwrap();
    let (chain, _) = pem(&victim);
    let (_, key) = pem(&thief);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let signer = provider
            .key_provider
            .load_private_key(key.clone_key())
            .unwrap();
        let stolen = rustls::sign::CertifiedKey::new(chain.clone(), signer);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(server.ca.root_der()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_cert_resolver(std::sync::Arc::new(Thief(stolen.into())));
        let stream = tokio::net::TcpStream::connect(server.submissions)
            .await
            .unwrap();
        let name = rustls::pki_types::ServerName::try_from("relay.test").unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        // With TLS 1.3 the client learns of the refusal at its first read.
        if let Ok(stream) = connector.connect(name, stream).await {
            let greeting = common::Raw::over(stream).reply().await;
            assert_eq!(greeting, "", "{version:?}");
        }
    }
}

/// A directory that cannot be reached.
#[derive(Debug)]
struct Down;

#[async_trait]
impl Directory for Down {
    async fn tenant(
        &self,
        _id: &securemail_core::vocab::TenantId,
    ) -> Result<Option<securemail_core::vocab::Tenant>, securemail_core::StoreError> {
        Err(securemail_core::StoreError::Unavailable("down".into()))
    }
    async fn account(
        &self,
        _identity: &Identity,
    ) -> Result<Option<securemail_core::vocab::Account>, securemail_core::StoreError> {
        Err(securemail_core::StoreError::Unavailable("down".into()))
    }
    async fn phone(
        &self,
        _tenant: &securemail_core::vocab::TenantId,
        _recipient: &securemail_core::vocab::Address,
    ) -> Result<Option<securemail_core::vocab::PhoneNumber>, securemail_core::StoreError> {
        Err(securemail_core::StoreError::Unavailable("down".into()))
    }
    async fn put_tenant(
        &self,
        _tenant: &securemail_core::vocab::Tenant,
    ) -> Result<(), securemail_core::StoreError> {
        Ok(())
    }
    async fn put_account(
        &self,
        _identity: &Identity,
        _account: &securemail_core::vocab::Account,
    ) -> Result<(), securemail_core::StoreError> {
        Ok(())
    }
    async fn put_phone(
        &self,
        _tenant: &securemail_core::vocab::TenantId,
        _recipient: &securemail_core::vocab::Address,
        _number: &securemail_core::vocab::PhoneNumber,
    ) -> Result<(), securemail_core::StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_directory_that_is_down_puts_off_and_never_refuses_for_good() {
    let server = common::start_over(std::sync::Arc::new(Down)).await;
    let mut raw = server.tls().await;
    raw.ask(&plain("connector", SECRET), "454 4.7.0").await;
    let (chain, key) = pem(&TestCa::self_signed(&["client.test"]).unwrap());
    let config = server
        .config_builder()
        .with_client_auth_cert(chain, key)
        .unwrap();
    let mut raw = server.tls_with(config).await;
    raw.ask("EHLO client.test", "250").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "451 4.3.0").await;
}
