//! Two listeners on loopback: rustls as it comes, and one that takes the worst of whatever it is offered.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use securemail_testkit::ca::TestCa;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::doctor::listener::Begins;

const HOST: &str = "relay.test";

fn target(address: SocketAddr) -> Target {
    Target {
        name: "submissions",
        address,
        begins: Begins::AtOnce,
        host: ServerName::try_from(HOST).unwrap(),
        needs_trust: false,
    }
}

fn config() -> ServerConfig {
    let issued = TestCa::new().unwrap().issue(&[HOST]).unwrap();
    let mut config = Arc::unwrap_or_clone(issued.server_config().unwrap());
    config.ignore_client_order = true;
    config
}

async fn serve(config: ServerConfig) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut octets = [0; 256];
                if let Ok(mut session) = acceptor.accept(stream).await {
                    // Until the client goes, or breaks the session.
                    while session.read(&mut octets).await.is_ok_and(|read| read > 0) {}
                    drop(session.shutdown().await);
                }
            });
        }
    });
    address
}

/// The ServerHello of a server that takes the first cipher, compresses, and knows no extension.
fn careless(hello: &[u8]) -> Vec<u8> {
    let first = &hello[46..48];
    let mut answer = vec![22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3];
    answer.extend([7; 32]);
    answer.push(0);
    answer.extend(first);
    answer.push(1);
    answer
}

async fn serve_carelessly() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 2048];
            if stream.read(&mut hello).await.is_ok_and(|read| read > 48) {
                drop(stream.write_all(&careless(&hello)).await);
            }
        }
    });
    address
}

async fn levels(address: SocketAddr) -> Vec<(&'static str, Level)> {
    let found = look(&target(address)).await.into_iter();
    found.map(|(check, (level, _))| (check, level)).collect()
}

const CHECKS: [&str; 9] = [
    "tls_old",
    "tls_ciphers",
    "fs_params",
    "kex_hash_func",
    "tls_cipher_order",
    "tls_compression",
    "renegotiation_secure",
    "extended_master_secret",
    "renegotiation_client",
];

#[tokio::test]
async fn a_server_of_today_agrees_to_nothing_that_is_old() {
    let address = serve(config()).await;
    assert_eq!(
        levels(address).await,
        CHECKS.map(|check| (check, Level::Good))
    );
}

#[tokio::test]
async fn a_server_without_tls_1_2_has_nothing_of_it() {
    let issued = TestCa::new().unwrap().issue(&[HOST]).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_protocol_versions(&[&rustls::version::TLS13])
    .unwrap()
    .with_no_client_auth();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let mut config = config
        .with_single_cert(vec![issued.leaf_der.clone().into()], key)
        .unwrap();
    config.ignore_client_order = true;
    let address = serve(config).await;
    assert_eq!(
        levels(address).await,
        CHECKS.map(|check| (check, Level::Good))
    );
}

#[tokio::test]
async fn a_server_that_lets_the_client_choose_is_found() {
    let mut config = config();
    config.ignore_client_order = false;
    let address = serve(config).await;
    let found = levels(address).await;
    let wrong: Vec<_> = found
        .into_iter()
        .filter(|(_, level)| *level != Level::Good)
        .collect();
    assert_eq!(wrong, [("tls_cipher_order", Level::Fail)]);
}

#[tokio::test]
async fn a_server_that_takes_the_worst_is_found_by_every_check() {
    use Level::{Advice, Fail, Unknown};
    let address = serve_carelessly().await;
    // It cannot finish a handshake, so nobody learns whether it would begin another one.
    let levels_of_all = [Fail, Fail, Fail, Advice, Fail, Fail, Fail, Fail, Unknown];
    let expected: Vec<_> = CHECKS.into_iter().zip(levels_of_all).collect();
    assert_eq!(levels(address).await, expected);
}
