//! What an operator sets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;

use crate::anchor::AnchorError;

/// How names are looked up.
#[derive(Clone, Debug)]
pub struct ResolverSettings {
    /// Recursive servers that pass DNSSEC records on; asked in this order.
    pub servers: Vec<SocketAddr>,
    /// DNSKEY or DS records of the root, as lines of a zone file; the built-in keys of the public root where `None`.
    pub trust_anchor: Option<String>,
    /// Validating servers on this machine, believed when they say AD; one answering is enough. Empty: no second
    /// validator, and every answer says so.
    pub second_opinion: Vec<SocketAddr>,
    /// Servers of other operators, asked over TLS.
    pub vantages: Vec<VantageSettings>,
    /// Who may vouch for the vantages' certificates.
    pub vantage_roots: Arc<RootCertStore>,
    /// How long one server has for one answer.
    pub try_timeout: Duration,
    /// How long one question may take, with all that it needs.
    pub deadline: Duration,
    /// How many octets of memory answers may take; 200 MB are enough for 100,000 domains with hosts of
    /// their own.
    pub cache_bytes: usize,
}

impl ResolverSettings {
    /// Asks these servers, with the public root's keys and nobody else.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            trust_anchor: None,
            second_opinion: Vec::new(),
            vantages: Vec::new(),
            vantage_roots: Arc::new(RootCertStore::empty()),
            try_timeout: Duration::from_secs(2),
            deadline: Duration::from_secs(15),
            cache_bytes: 200_000_000,
        }
    }
}

/// One vantage: a server of another operator.
#[derive(Clone, Debug)]
pub struct VantageSettings {
    /// Where it answers DNS over TLS (RFC 7858); the port is 853 as a rule.
    pub server: SocketAddr,
    /// The name in its certificate, by which it also appears in evidence.
    pub name: String,
}

/// The settings cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No server.
    #[error(
        "dns.servers is empty; name a resolver that passes DNSSEC records on, such as \"127.0.0.1:53\""
    )]
    NoServers,
    /// The trust anchor cannot be read.
    #[error("dns.trust_anchor: {0}")]
    Anchor(#[from] AnchorError),
    /// AD is believed over loopback only (RFC 7672, section 2.1.1; RFC 4035, section 4.9.3).
    #[error(
        "dns.second_opinion: {0} is not on this machine, and anybody on the way could say AD; \
         install a validating resolver here (apt-get install unbound) and name 127.0.0.1"
    )]
    RemoteValidator(IpAddr),
    /// The name of a vantage is not a host name.
    #[error("dns.vantage: {0} is not the name of a server; write the name in its certificate")]
    VantageName(String),
    /// TLS cannot be set up.
    #[error("TLS for the vantages cannot be set up")]
    Tls(#[from] rustls::Error),
}
