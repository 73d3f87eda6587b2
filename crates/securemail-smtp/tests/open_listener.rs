//! A listener for bounces takes mail from any server, for the recipients that the handler knows.

mod common;

use common::{Raw, SECRET, plain, start};
use tokio::net::TcpStream;

#[tokio::test]
async fn any_server_may_deliver_in_clear_or_over_tls_to_recipients_that_are_known() {
    let server = start().await;
    let mut raw = Raw::over(TcpStream::connect(server.bounces).await.unwrap());
    raw.expect("220").await;
    let offer = raw.ask("EHLO mx.test", "250").await;
    assert!(offer.contains("STARTTLS") && !offer.contains("AUTH"));
    raw.ask("MAIL FROM:<>", "250").await;
    raw.ask("RCPT TO:<refused@clinic.test>", "550").await;
    raw.ask("RCPT TO:<bounce@clinic.test>", "250").await;
    raw.ask("DATA", "354").await;
    raw.send("x\r\n.\r\n").await;
    raw.expect("250").await;
    raw.ask("MAIL FROM:<postmaster@elsewhere.test>", "250")
        .await;
    raw.ask("RSET", "250").await;
    raw.ask(&plain("connector", SECRET), "503").await;
    raw.ask("STARTTLS", "220").await;
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(server.client_config()));
    let name = rustls::pki_types::ServerName::try_from("relay.test").unwrap();
    let mut raw = Raw::over(connector.connect(name, raw.io).await.unwrap());
    let offer = raw.ask("EHLO mx.test", "250").await;
    assert!(!offer.contains("AUTH"), "{offer}");
    raw.ask("MAIL FROM:<>", "250").await;
    let taken = server.handler.taken();
    assert_eq!((taken.len(), taken[0].tls), (1, false));
    assert_eq!(taken[0].envelope.account.as_str(), "bounces");
}

#[tokio::test]
async fn the_listener_for_submission_stays_closed_to_them() {
    let server = start().await;
    let mut raw = server.clear().await;
    raw.ask("EHLO mx.test", "250").await;
    // Not even a login would help here; behind TLS one is wanted.
    raw.ask("MAIL FROM:<>", "530 5.7.0 issue STARTTLS").await;
    let mut raw = server.tls().await;
    raw.ask("MAIL FROM:<>", "530 5.7.0 authentication").await;
}
