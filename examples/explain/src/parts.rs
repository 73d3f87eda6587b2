//! An inquirer and its parts: a validating resolver, something that remembers domains, and a clock.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rustls::RootCertStore;
use securemail_core::backend::Clock;
use securemail_core::drive::Inquirer;
use securemail_core::route::{Explanation, StandardPolicy};
use securemail_core::vocab::{DnsName, Profile, UnixTime};
use securemail_resolver::{HickoryResolver, PolicyClient, PolicySettings, ResolverSettings};
use securemail_testkit::memory::MemoryDomainMemory;

/// The time of this machine.
#[derive(Debug)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> UnixTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        UnixTime::from_secs(since.unwrap_or(Duration::ZERO).as_secs())
    }

    async fn sleep_until(&self, deadline: UnixTime) {
        tokio::time::sleep(deadline.since(self.now())).await;
    }
}

/// What asks about domains: this server must be recursive and pass DNSSEC records on. What it learns is forgotten at
/// the end; a mail server keeps it in its store.
///
/// # Errors
/// Where resolver or TLS cannot be set up.
pub fn inquirer(server: SocketAddr) -> Result<Inquirer, Box<dyn Error + Send + Sync>> {
    let clock = Arc::new(SystemClock);
    let settings = ResolverSettings::new(vec![server]);
    let resolver = Arc::new(HickoryResolver::new(&settings, clock.clone())?);
    let mut roots = RootCertStore::empty();
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        roots.add(root.clone())?;
    }
    let fetcher = PolicyClient::new(PolicySettings::new(Arc::new(roots)), resolver.clone())?;
    Ok(Inquirer {
        resolver,
        fetcher: Arc::new(fetcher),
        memory: Arc::new(MemoryDomainMemory::default()),
        clock,
        port: 25,
    })
}

/// Explains the way to a domain as the standard policy sees it. Nothing is sent, and no host is connected to.
///
/// # Errors
/// Where domain memory does not answer.
pub async fn explain(
    inquirer: &Inquirer,
    domain: &DnsName,
    profile: Profile,
) -> Result<Explanation, Box<dyn Error + Send + Sync>> {
    let policy = StandardPolicy::default();
    Ok(inquirer.explain(domain, profile, &policy).await?)
}
