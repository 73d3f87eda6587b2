//! MTA-STS policies over HTTPS (RFC 8461, section 3.3), fetched and not read.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use securemail_core::backend::{FetchError, FetchedPolicy, PolicyFetcher, Resolver};
use securemail_core::limits::{
    ADDRESSES_PER_HOST_MAX, ALIAS_HOPS_MAX, STS_FETCH_SECS_MAX, STS_POLICY_OCTETS_MAX,
};
use securemail_core::route::{Network, is_allowed};
use securemail_core::vocab::{DnsName, Outcome, Question, RecordKind};
use tokio::time::timeout;

use crate::vantage::client_config;

/// How policies are fetched.
#[derive(Clone, Debug)]
pub struct PolicySettings {
    /// The TCP port; 443 outside of tests.
    pub port: u16,
    /// Who may vouch for the certificate of a policy host.
    pub roots: Arc<RootCertStore>,
    /// Networks that may be connected to although they are not public.
    pub allow_networks: Vec<Network>,
    /// How long a fetch may take with all that it needs; 60 seconds at most.
    pub timeout: Duration,
}

impl PolicySettings {
    /// Port 443, public addresses only, 60 seconds.
    #[must_use]
    pub fn new(roots: Arc<RootCertStore>) -> Self {
        Self {
            port: 443,
            roots,
            allow_networks: Vec::new(),
            timeout: Duration::from_secs(STS_FETCH_SECS_MAX),
        }
    }
}

/// Fetches policies. Names are resolved by our own resolver, and the addresses it gave are the only ones used.
pub struct PolicyClient {
    resolver: Arc<dyn Resolver>,
    tls: ClientConfig,
    port: u16,
    allow: Vec<Network>,
    timeout: Duration,
}

impl fmt::Debug for PolicyClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyClient")
            .field("port", &self.port)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl PolicyClient {
    /// Makes a client.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(
        settings: PolicySettings,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            resolver,
            tls: client_config(settings.roots)?,
            port: settings.port,
            allow: settings.allow_networks,
            timeout: settings
                .timeout
                .min(Duration::from_secs(STS_FETCH_SECS_MAX)),
        })
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    async fn fetch_body(&self, domain: &DnsName) -> Result<Bytes, FetchError> {
        // The host is this one name and nothing that DNS says (RFC 8461, section 3.2).
        let host = domain.below("mta-sts").map_err(|_| FetchError::NoAddress)?;
        let addresses = self.addresses(&host).await?;
        let client = self.client(&host, &addresses)?;
        let url = format!("https://{host}:{}/.well-known/mta-sts.txt", self.port);
        let response = client.get(url).send().await.map_err(|e| cause(&e))?;
        check_head(&response)?;
        body(response).await
    }

    /// The addresses that may be connected to.
    pub(crate) async fn addresses(&self, host: &DnsName) -> Result<Vec<SocketAddr>, FetchError> {
        let (v4, v6) = tokio::join!(
            self.family(host, RecordKind::A),
            self.family(host, RecordKind::Aaaa)
        );
        if v4.is_err() && v6.is_err() {
            return Err(FetchError::Unreachable);
        }
        let found = v4.unwrap_or_default().into_iter();
        let permitted: Vec<SocketAddr> = found
            .chain(v6.unwrap_or_default())
            .filter(|address| is_allowed(*address, &self.allow))
            .map(|address| SocketAddr::new(address, self.port))
            .collect();
        if permitted.is_empty() {
            return Err(FetchError::NoAddress);
        }
        Ok(permitted)
    }

    /// The addresses of one family, aliases followed.
    async fn family(&self, host: &DnsName, kind: RecordKind) -> Result<Vec<IpAddr>, FetchError> {
        let mut name = host.clone();
        for _ in 0..=ALIAS_HOPS_MAX {
            let answer = self.resolver.resolve(&Question::new(name, kind)).await;
            match answer.outcome {
                Outcome::Addresses(mut addresses) => {
                    addresses.truncate(ADDRESSES_PER_HOST_MAX);
                    return Ok(addresses);
                }
                Outcome::Alias(target) => name = target,
                Outcome::NoData | Outcome::NxDomain => return Ok(Vec::new()),
                Outcome::Caa(_)
                | Outcome::Failed(_)
                | Outcome::Mx(_)
                | Outcome::NameServers(_)
                | Outcome::Tlsa(_)
                | Outcome::Txt(_) => break,
            }
        }
        Err(FetchError::Unreachable)
    }

    /// A client for one fetch: nothing is kept between two, no proxy, no cookie, no redirect, no cache.
    pub(crate) fn client(
        &self,
        host: &DnsName,
        addresses: &[SocketAddr],
    ) -> Result<Client, FetchError> {
        Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .resolve_to_addrs(host.as_str(), addresses)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .https_only(true)
            .http1_only()
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(0)
            .user_agent("securemail")
            .build()
            .map_err(|error| cause(&error))
    }
}

#[async_trait]
impl PolicyFetcher for PolicyClient {
    async fn fetch(&self, domain: &DnsName) -> Result<FetchedPolicy, FetchError> {
        let body = timeout(self.timeout, self.fetch_body(domain))
            .await
            .map_err(|_| FetchError::Unreachable)??;
        Ok(FetchedPolicy { body })
    }
}

fn check_head(response: &Response) -> Result<(), FetchError> {
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let media_type = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    if media_type.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/plain")) {
        Ok(())
    } else {
        Err(FetchError::MediaType)
    }
}

/// Reads no more than a policy may have, whatever the header promises.
async fn body(mut response: Response) -> Result<Bytes, FetchError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| cause(&e))? {
        if body.len().saturating_add(chunk.len()) > STS_POLICY_OCTETS_MAX {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Whether the certificate is the cause.
pub(crate) fn cause(error: &reqwest::Error) -> FetchError {
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            FetchError::Certificate
        }
        _ => FetchError::Unreachable,
    }
}

/// What rustls said: it lies within I/O errors, which give it out by another door than `source`.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref() {
        return Some(tls);
    }
    let inner = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
        .map(|inner| inner as &(dyn Error + 'static));
    tls_error(inner.or_else(|| error.source())?)
}
