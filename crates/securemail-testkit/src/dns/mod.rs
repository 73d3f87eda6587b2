//! A private signed DNS in process: its own root, its own anchor, any zones, any fault.
//!
//! It answers on 127.0.0.1 over UDP and TCP as a security-aware recursive resolver would: for all zones, with RRSIG,
//! NSEC or NSEC3 where DO is set. The keys live as long as the process; nothing here is fit for real names.
//!
//! ```no_run
//! # async fn example() -> Result<(), securemail_testkit::dns::DnsError> {
//! use securemail_testkit::dns::{SignedDns, ZoneSpec};
//!
//! let dns = SignedDns::new()
//!     .zone(ZoneSpec::signed("shop.test"))
//!     .zone(ZoneSpec::unsigned("plain.test"))
//!     .record("shop.test. MX 10 mx.shop.test.")
//!     .record("mx.shop.test. A 127.0.0.1")
//!     .start()
//!     .await?;
//! println!("ask {} with the anchor {}", dns.addr(), dns.anchor());
//! # Ok(())
//! # }
//! ```

mod answer;
mod denial;
mod fault;
mod records;
mod serve;
mod signer;
mod zone;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

pub use fault::Fault;
use records::ParsedRecord;
use serve::{Face, Shared};
use zone::Zones;

/// The DNS could not be set up or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DnsError {
    /// A line is not `NAME [TTL] TYPE DATA`.
    #[error("not a record: {line}: {reason}")]
    Record {
        /// The line.
        line: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A text is not a domain name.
    #[error("not a domain name: {0}")]
    Name(String),
    /// A key could not be made, or did not sign.
    #[error("signing failed: {0}")]
    Signing(String),
    /// No socket.
    #[error("no socket on 127.0.0.1")]
    Socket(#[from] std::io::Error),
}

/// How one zone is made.
#[derive(Clone, Debug)]
pub struct ZoneSpec {
    origin: String,
    signed: bool,
    ds: Ds,
    nsec3: Option<Nsec3>,
    inception: Offset,
    expiration: Offset,
}

#[derive(Clone, Copy, Debug)]
struct Nsec3 {
    iterations: u16,
    opt_out: bool,
}

/// The DS record at the parent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ds {
    Missing,
    Right,
    Wrong,
}

/// A moment as seconds after (or, negative, before) the start.
type Offset = i64;

impl ZoneSpec {
    /// A zone signed with Ed25519, denials by NSEC, a DS record at its parent.
    #[must_use]
    pub fn signed(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            signed: true,
            ds: Ds::Right,
            nsec3: None,
            inception: -3600,
            expiration: 7 * 86_400,
        }
    }

    /// A zone without signatures; its parent proves that there is no DS record.
    #[must_use]
    pub fn unsigned(origin: &str) -> Self {
        Self {
            signed: false,
            ..Self::signed(origin)
        }
    }

    /// The DS record at the parent fits no key: everything in the zone is bogus.
    #[must_use]
    pub const fn with_wrong_ds(mut self) -> Self {
        self.ds = Ds::Wrong;
        self
    }

    /// The parent has no DS record: the zone is signed, and nobody can know.
    #[must_use]
    pub const fn without_ds(mut self) -> Self {
        self.ds = Ds::Missing;
        self
    }

    /// All signatures of the zone ended yesterday.
    #[must_use]
    pub const fn expired(mut self) -> Self {
        self.inception = -3 * 86_400;
        self.expiration = -86_400;
        self
    }

    /// All signatures of the zone end this many seconds after the start.
    #[must_use]
    pub const fn expiring_in(mut self, secs: u32) -> Self {
        self.expiration = secs as Offset;
        self
    }

    /// Denials by NSEC3 without salt (RFC 9276).
    #[must_use]
    pub const fn nsec3(mut self, iterations: u16) -> Self {
        self.nsec3 = Some(Nsec3 {
            iterations,
            opt_out: false,
        });
        self
    }

    /// Denials by NSEC3 with opt-out: unsigned delegations have no record of their own.
    #[must_use]
    pub const fn nsec3_opt_out(mut self) -> Self {
        self.nsec3 = Some(Nsec3 {
            iterations: 0,
            opt_out: true,
        });
        self
    }
}

/// Builds a [`RunningDns`].
#[derive(Clone, Debug)]
pub struct SignedDns {
    zones: Vec<ZoneSpec>,
    lines: Vec<String>,
}

impl Default for SignedDns {
    fn default() -> Self {
        Self::new()
    }
}

impl SignedDns {
    /// A signed root and nothing else.
    #[must_use]
    pub fn new() -> Self {
        Self {
            zones: vec![ZoneSpec::signed(".")],
            lines: Vec::new(),
        }
    }

    /// Adds a zone. It is delegated from the nearest zone above it; zones between need not exist.
    #[must_use]
    pub fn zone(mut self, zone: ZoneSpec) -> Self {
        self.zones.push(zone);
        self
    }

    /// Adds a record: `NAME [TTL] TYPE DATA`, names absolute. It goes into the nearest zone above it. What cannot
    /// be read is an error of [`SignedDns::start`].
    #[must_use]
    pub fn record(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Adds an A or AAAA record.
    #[must_use]
    pub fn address(self, host: &str, address: IpAddr) -> Self {
        self.record(records::address_line(host, address))
    }

    /// Adds an MX record.
    #[must_use]
    pub fn mx(self, domain: &str, preference: u16, host: &str) -> Self {
        self.record(format!("{domain} MX {preference} {host}"))
    }

    /// Adds a TXT record.
    #[must_use]
    pub fn txt(self, name: &str, text: &str) -> Self {
        self.record(format!("{name} TXT \"{text}\""))
    }

    /// Adds an alias.
    #[must_use]
    pub fn cname(self, name: &str, target: &str) -> Self {
        self.record(format!("{name} CNAME {target}"))
    }

    /// Adds a TLSA record for `port` of `host`: `3 1 1 <hex>`.
    #[must_use]
    pub fn tlsa(self, host: &str, port: u16, data: &str) -> Self {
        self.record(format!("_{port}._tcp.{host} TLSA {data}"))
    }

    /// Starts to answer.
    ///
    /// # Errors
    /// Where a name or record cannot be read, a key not be made, or no socket be had.
    pub async fn start(self) -> Result<RunningDns, DnsError> {
        let mut zones = Zones::build(&self.zones, signer::now())?;
        for line in &self.lines {
            zones.insert(ParsedRecord::parse(line)?)?;
        }
        let (anchor, anchor_ds) = (zones.anchor(), zones.anchor_ds()?);
        let shared = Arc::new(Mutex::new(Shared::new(zones)));
        let resolver = serve::start(Arc::clone(&shared), Face::Resolver).await?;
        let validator = serve::start(Arc::clone(&shared), Face::Validator).await?;
        Ok(RunningDns {
            addr: resolver.addr,
            validator_addr: validator.addr,
            anchor,
            anchor_ds,
            shared,
            tasks: resolver.tasks.into_iter().chain(validator.tasks).collect(),
        })
    }
}

/// A signed DNS that answers. Dropping it ends it.
#[derive(Debug)]
pub struct RunningDns {
    addr: SocketAddr,
    validator_addr: SocketAddr,
    anchor: String,
    anchor_ds: String,
    shared: Arc<Mutex<Shared>>,
    tasks: Vec<JoinHandle<()>>,
}

impl RunningDns {
    /// Where it answers, over UDP and TCP: a security-aware resolver that validates nothing.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it answers as a validating resolver would: AD for secure answers, SERVFAIL for bogus ones. It says so
    /// from what it knows of its zones, and checks nothing; it is for tests and demonstrations alone.
    #[must_use]
    pub const fn validator_addr(&self) -> SocketAddr {
        self.validator_addr
    }

    /// The trust anchor: the DNSKEY record of the root in the form of a zone file, with a line end.
    #[must_use]
    pub fn anchor(&self) -> &str {
        &self.anchor
    }

    /// The trust anchor as a digest: the DS record that a parent of the root would have.
    #[must_use]
    pub fn anchor_ds(&self) -> &str {
        &self.anchor_ds
    }

    /// Adds a record; see [`SignedDns::record`].
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn add(&self, line: &str) -> Result<(), DnsError> {
        let record = ParsedRecord::parse(line)?;
        self.lock().zones.insert(record)
    }

    /// Removes all records of `kind` (`TLSA`) at `name`.
    ///
    /// # Errors
    /// Where the name or the kind cannot be read.
    pub fn remove(&self, name: &str, kind: &str) -> Result<(), DnsError> {
        let (name, kind) = (records::name(name)?, records::kind(kind)?);
        self.lock().zones.remove(&name, kind);
        Ok(())
    }

    /// Removes what is there of the record's kind and name, then adds it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn replace(&self, line: &str) -> Result<(), DnsError> {
        let record = ParsedRecord::parse(line)?;
        let mut shared = self.lock();
        shared.zones.remove(&record.name, record.data.record_type());
        shared.zones.insert(record)
    }

    /// From now on this goes wrong, until [`RunningDns::heal`].
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }

    /// How often `kind` (`TLSA`) was asked at `name`, at both addresses.
    #[must_use]
    pub fn queries(&self, name: &str, kind: &str) -> usize {
        let key = format!(
            "{} {kind}",
            records::name(name).map_or_else(|_| name.to_owned(), |name| name.to_string())
        );
        self.lock().queries.get(&key).copied().unwrap_or(0)
    }

    /// How often anything was asked, at both addresses.
    #[must_use]
    pub fn total_queries(&self) -> usize {
        self.lock().queries.values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RunningDns {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// How long one TCP connection may be silent.
const TCP_IDLE: Duration = Duration::from_secs(10);
