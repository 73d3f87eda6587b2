//! The MTA-STS policy host of every domain: one address, a certificate for each name that is asked for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::Trouble;
use crate::case::{Case, Sts};
use crate::certificates::Authorities;
use crate::zones::POLICY_HOST;

/// A policy that does not name the domain's hosts names this one.
pub(crate) const OTHER: &str = "other.diff.test";
/// A request is shorter.
const REQUEST_MAX: usize = 4096;

/// Starts it for these cases. It ends with the handle.
///
/// # Errors
/// Where its address cannot be had.
pub(crate) async fn start(
    authorities: Arc<Authorities>,
    cases: &[Case],
) -> Result<JoinHandle<()>, Trouble> {
    let policies: BTreeMap<String, String> = cases
        .iter()
        .filter_map(|case| Some((format!("mta-sts.{}", case.domain()), policy(case)?)))
        .collect();
    let policies = Arc::new(policies);
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName(authorities)));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(SocketAddr::from((POLICY_HOST, 443))).await?;
    Ok(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, policies) = (acceptor.clone(), policies.clone());
            // A session that breaks is the client's affair.
            tokio::spawn(async move { answer(stream, &acceptor, &policies).await.ok() });
        }
    }))
}

/// The policy of a case (RFC 8461, section 3.2).
#[must_use]
pub(crate) fn policy(case: &Case) -> Option<String> {
    let (mode, names_hosts) = match case.sts {
        Sts::None => return None,
        Sts::Enforce(names) => ("enforce", names),
        Sts::Testing(names) => ("testing", names),
    };
    let mut lines = format!("version: STSv1\r\nmode: {mode}\r\nmax_age: 86400\r\n");
    for index in 0..case.hosts.len().max(1) {
        let host = if names_hosts {
            case.host_name(index)
        } else {
            OTHER.to_owned()
        };
        lines.push_str(&format!("mx: {host}\r\n"));
    }
    Some(lines)
}

async fn answer(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    policies: &BTreeMap<String, String>,
) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && request.len() < REQUEST_MAX {
        request.push(stream.read_u8().await?);
    }
    let request = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let host = request
        .lines()
        .find_map(|line| line.strip_prefix("host:"))
        .unwrap_or_default()
        .trim();
    let reply = match policies.get(host) {
        Some(policy) => format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{policy}",
            policy.len()
        ),
        None => {
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
        }
    };
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

/// Makes a certificate for any name.
#[derive(Debug)]
struct ByName(Arc<Authorities>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (chain, key) = self.0.web(hello.server_name()?).ok()?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).ok()?;
        Some(Arc::new(CertifiedKey::new(
            chain,
            any_supported_type(&key).ok()?,
        )))
    }
}
