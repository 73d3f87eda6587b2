//! The main flow, async, over traits only.
//!
//! [`Relay::submit`] takes a message from the end of its data to the one reply that speaks for all
//! recipients. [`Relay::work`] goes on with what had to wait. [`pickup`] runs the vault's other end.

mod alarms;
mod bounce;
mod conclude;
mod cut_off;
mod deliver;
mod destinations;
mod dsn;
mod gate;
mod hold;
mod inquire;
mod intend;
mod item;
mod letters;
mod named;
mod own_mail;
mod patience;
pub mod pickup;
mod reached;
mod record;
mod refresh;
mod relay;
mod resisted;
mod retry_own;
mod return_home;
mod rounds;
mod settle;
mod settled;
mod spool_keys;
mod submission;
mod tls_counts;
mod tls_forget;
mod tls_inbox;
mod tls_reporter;
mod waits;
mod wished;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use alarms::node_events;
pub use inquire::Inquirer;
pub use refresh::Refresher;
pub use settled::{Covered, Settled, Uncovered};
pub use submission::Submission;
pub use tls_inbox::{TlsInbox, TlsInboxError};
pub use tls_reporter::{TlsReportSettings, TlsReporter};

use self::alarms::Alarms;
use self::destinations::Destinations;
use self::patience::Stopping;
use self::pickup::{PickupError, PickupService};
use self::spool_keys::DayKeys;
use self::tls_counts::TlsCounts;
use crate::backend::{
    Clock, Directory, Entropy, Executor, KeyError, KeyStore, MasterKey, NoticeTransport, Observer,
    ReturnHosts, ReturnTransport, Scanner, SigningKeys, Spool, Transport, TransportPolicy,
};
use crate::ledger::Log;
use crate::mail::verp;
use crate::route::{PolicySettings, Reach};
use crate::seal::RecordCipher;
use crate::vocab::{Address, DnsName, TenantId, UnixTime};

/// What a [`Relay`] works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Knows tenants, accounts and numbers.
    pub directory: Arc<dyn Directory>,
    /// Gives randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Runs attempts to their end.
    pub executor: Arc<dyn Executor>,
    /// Finds out about recipient domains.
    pub inquirer: Inquirer,
    /// Keeps wrapped keys.
    pub keys: Arc<dyn KeyStore>,
    /// Wraps them.
    pub master: Arc<dyn MasterKey>,
    /// Hands over content-free mail where nothing is proved.
    pub notices: Arc<dyn NoticeTransport>,
    /// Is told what happens; `()` hears nothing.
    pub observer: Arc<dyn Observer>,
    /// Decides.
    pub policy: Arc<dyn TransportPolicy>,
    /// Knows where tenants want the mail to their own people handed.
    pub return_hosts: Arc<dyn ReturnHosts>,
    /// Hands it over there.
    pub returns: Arc<dyn ReturnTransport>,
    /// Looks at content.
    pub scanner: Arc<dyn Scanner>,
    /// Holds DKIM keys.
    pub signing: Arc<dyn SigningKeys>,
    /// Holds what must wait.
    pub spool: Arc<dyn Spool>,
    /// Hands over content.
    pub transport: Arc<dyn Transport>,
}

/// What the operator settled about the flow.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// Our name, in Received and in DSNs.
    pub hostname: DnsName,
    /// How long a sender waits for first attempts at the end of data.
    pub budget: Duration,
    /// How long an attempt is ours; renewed while it runs.
    pub attempt_lease: Duration,
    /// How soon to try again when something of ours does not work.
    pub own_fault_retry: Duration,
    /// How soon a notice that was not taken is tried again; doubled each time.
    pub notice_retry: Duration,
    /// No retry comes sooner than this.
    pub shortest_retry: Duration,
    /// How long no sender waits for a domain that did not answer; the spool goes on by its own clock.
    pub back_off: Duration,
    /// Attempts at one recipient domain at a time.
    pub per_destination: usize,
    /// Retries at a time. One recipient domain has a quarter of these places at most, and an eighth is for
    /// mail of ours alone: messages to a host that is slow for as long as it may be stop neither others nor DSNs.
    pub workers: usize,
    /// How soon a retry that found no place at its destination asks again.
    pub crowded_retry: Duration,
    /// How long the end waits for replies to final dots that have left: as long as transports do, and a
    /// little to write down what came. What is still open then counts as unconfirmed.
    pub last_replies: Duration,
    /// How often the spool is asked for due work.
    pub poll_every: Duration,
    /// When a message has waited so long, its sender is told, once.
    pub tell_delay_after: Duration,
    /// How long ended deliveries are remembered, to recognise repeats: 24 hours.
    pub remember_ended: Duration,
    /// Clocks and networks of the policy; notices need them too.
    pub policy: PolicySettings,
    /// From whom notices and sender mail come.
    pub notice_from: Address,
    /// Sessions are counted, for reports about TLS (RFC 8460). Whoever counts must report or forget.
    pub count_sessions: bool,
}

impl RelaySettings {
    /// The defaults.
    #[must_use]
    pub fn new(hostname: DnsName, notice_from: Address, policy: PolicySettings) -> Self {
        Self {
            hostname,
            budget: Duration::from_secs(20),
            attempt_lease: Duration::from_secs(15 * 60),
            own_fault_retry: Duration::from_secs(5 * 60),
            notice_retry: Duration::from_secs(60),
            shortest_retry: Duration::from_secs(1),
            back_off: Duration::from_secs(2 * 60),
            per_destination: 50,
            workers: 64,
            crowded_retry: Duration::from_secs(5),
            last_replies: Duration::from_secs(11 * 60),
            poll_every: Duration::from_millis(500),
            tell_delay_after: Duration::from_secs(4 * 3600),
            remember_ended: Duration::from_secs(24 * 3600),
            policy,
            notice_from,
            count_sessions: false,
        }
    }
}

/// The relay: shared by all sessions, without state that another node lacks, but for what is of a node
/// itself: which domains rest, and whether hosts can be reached from it.
pub struct Relay {
    parts: Parts,
    settings: RelaySettings,
    pickups: Arc<PickupService>,
    /// Seals what the spool keeps, and hashes what makes a repeat recognisable.
    spool_cipher: RecordCipher,
    /// Signs the addresses that bounces of notices come back to.
    verp_key: crate::secret::Key32,
    day_keys: DayKeys,
    destinations: Destinations,
    stopping: Stopping,
    tls_counts: TlsCounts,
    alarms: Alarms,
    reach: Mutex<Reach>,
    logs: Mutex<BTreeMap<TenantId, Log>>,
}

impl Relay {
    /// A relay over these parts.
    ///
    /// # Errors
    /// Where the master key cannot be used.
    pub async fn new(
        parts: Parts,
        pickups: Arc<PickupService>,
        settings: RelaySettings,
    ) -> Result<Arc<Self>, KeyError> {
        let spool_cipher = RecordCipher::new(parts.master.derive("spool/record").await?);
        let verp_key = parts.master.derive("notice/verp").await?;
        Ok(Arc::new(Self {
            spool_cipher,
            verp_key,
            day_keys: DayKeys::default(),
            destinations: Destinations::new(settings.per_destination, settings.workers / 4),
            stopping: Stopping::default(),
            tls_counts: TlsCounts::default(),
            alarms: Alarms::default(),
            reach: Mutex::default(),
            logs: Mutex::default(),
            parts,
            settings,
            pickups,
        }))
    }

    /// Whether this is the return path of a notice of ours. It says nothing about the store.
    #[must_use]
    pub fn is_notice_path(&self, path: &Address) -> bool {
        verp::check(&self.verp_key, path).is_some()
    }

    /// A bounce came to the return path of a notice, and says that it failed for good.
    ///
    /// # Errors
    /// Where that could not be written down; then call it again.
    pub async fn notice_bounced(&self, path: &Address) -> Result<(), PickupError> {
        match verp::check(&self.verp_key, path) {
            Some(id) => self.pickups.notice_bounced(id).await,
            None => Ok(()),
        }
    }

    /// The vault's other end.
    #[must_use]
    pub const fn pickups(&self) -> &Arc<PickupService> {
        &self.pickups
    }

    fn now(&self) -> UnixTime {
        self.parts.clock.now()
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
