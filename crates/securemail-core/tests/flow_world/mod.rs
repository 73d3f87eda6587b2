//! The whole relay over back-ends in memory, scripted DNS and scripted hosts, in simulated time.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use securemail_core::backend::{
    AuditSink, Clock, Directory, DkimAlgorithm, RecipientOutcome, Resolver, Scanner, Verdict,
};
use securemail_core::dkim::{LocalDkimKey, LocalKeys};
use securemail_core::drive::pickup::{PickupParts, PickupService, PickupSettings};
use securemail_core::drive::{Inquirer, Parts, Relay, RelaySettings, Submission};
use securemail_core::ledger::{EventName, Log, ReadEvent};
use securemail_core::mail::Protocol;
use securemail_core::route::{PolicySettings, StandardPolicy};
use securemail_core::seal::LocalMasterKey;
use securemail_core::secret::Key32;
use securemail_core::vocab::{
    Account, AccountId, AccountKind, Address, Credential, Demands, DnsName, Envelope,
    MemoryContent, Profile, Reply, ReversePath, Tenant, UnixTime,
};
use securemail_testkit::fakes::{FixedScanner, RecordingNotifier, RecordingObserver};
use securemail_testkit::memory::{
    MemoryAudit, MemoryDirectory, MemoryDomainMemory, MemoryKeyStore, MemoryPickups,
    MemoryReturnHosts, MemorySpool, MemoryVault,
};
use securemail_testkit::outage::{Outage, Trip};
use securemail_testkit::scripted::{Delivered, HostScript, ScriptedDns, ScriptedTransport, reply};
use securemail_testkit::sim::{ManualClock, SeededEntropy, TestExecutor};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
/// Stands in the body of every message, and nowhere else.
pub(crate) const SECRET: &str = "de uitslag is goed";
pub(crate) const NUMBER: &str = "+31612345678";
/// Where the sender's own mail goes.
pub(crate) const HOME: &str = "mx.gemeente.example";

pub(crate) struct World {
    pub(crate) relay: Arc<Relay>,
    parts: Parts,
    settings: RelaySettings,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) executor: Arc<TestExecutor>,
    /// Counts every call to a store.
    pub(crate) trip: Arc<Trip>,
    pub(crate) dns: Arc<ScriptedDns>,
    pub(crate) transport: Arc<ScriptedTransport>,
    pub(crate) spool: Arc<Outage<MemorySpool>>,
    pub(crate) vault: Arc<Outage<MemoryVault>>,
    pub(crate) keys: Arc<Outage<MemoryKeyStore>>,
    pub(crate) memory: Arc<Outage<MemoryDomainMemory>>,
    pub(crate) directory: Arc<Outage<MemoryDirectory>>,
    pub(crate) signing: Arc<Outage<LocalKeys>>,
    pub(crate) audit: Arc<Outage<MemoryAudit>>,
    pub(crate) pickups: Arc<Outage<MemoryPickups>>,
    pub(crate) return_hosts: Arc<Outage<MemoryReturnHosts>>,
    pub(crate) observer: Arc<RecordingObserver>,
    pub(crate) master: Arc<LocalMasterKey>,
    pub(crate) notifier: Arc<RecordingNotifier>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}, Arc::new(FixedScanner(Some(Verdict::Pass)))).await
    }

    /// With other settings, and another scanner.
    pub(crate) async fn with(
        change: impl FnOnce(&mut RelaySettings),
        scanner: Arc<dyn Scanner>,
    ) -> Self {
        let entropy = Arc::new(SeededEntropy::new(11));
        let key = Key32::random(&*entropy).unwrap();
        let master = Arc::new(LocalMasterKey::new(&key, entropy.clone() as _));
        let clock = Arc::new(ManualClock::default());
        let trip = Arc::new(Trip::default());
        let audit = Arc::new(Outage::new(Arc::new(MemoryAudit::default())).sharing(&trip));
        let spool = MemorySpool::new(audit.inner().clone());
        let spool = Arc::new(Outage::new(Arc::new(spool)).sharing(&trip));
        let vault = Arc::new(Outage::new(Arc::new(MemoryVault::default())).sharing(&trip));
        let keys = Arc::new(Outage::new(Arc::new(MemoryKeyStore::default())).sharing(&trip));
        let memory = Arc::new(Outage::new(Arc::new(MemoryDomainMemory::default())).sharing(&trip));
        let directory = Arc::new(Outage::new(Arc::new(MemoryDirectory::default())).sharing(&trip));
        directory.put_tenant(&tenant()).await.unwrap();
        let signing = Arc::new(Outage::new(Arc::new(signing_keys())).sharing(&trip));
        let dns = Arc::new(ScriptedDns::default());
        let transport = Arc::new(ScriptedTransport::new(clock.clone()));
        let pickups = Arc::new(Outage::new(Arc::new(MemoryPickups::default())).sharing(&trip));
        let return_hosts =
            Arc::new(Outage::new(Arc::new(MemoryReturnHosts::default())).sharing(&trip));
        let observer = Arc::new(RecordingObserver::default());
        let executor = Arc::new(TestExecutor::default());
        let mut settings = settings();
        change(&mut settings);
        let notifier = Arc::new(RecordingNotifier::default());
        let service = PickupService::new(PickupParts {
            pickups: pickups.clone(),
            vault: vault.clone(),
            keys: keys.clone(),
            master: master.clone(),
            directory: directory.clone(),
            notifier: notifier.clone(),
            audit: audit.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            settings: PickupSettings::new("https://mail.example"),
        });
        let parts = Parts {
            clock: clock.clone(),
            directory: directory.clone(),
            entropy,
            executor: executor.clone(),
            inquirer: inquirer(&dns, &memory, &clock),
            keys: keys.clone(),
            master: master.clone(),
            notices: transport.clone(),
            observer: observer.clone(),
            policy: Arc::new(StandardPolicy::new(settings.policy.clone())),
            return_hosts: return_hosts.clone(),
            returns: transport.clone(),
            scanner,
            signing: signing.clone(),
            spool: spool.clone(),
            transport: transport.clone(),
        };
        let service = Arc::new(service.await.unwrap());
        let world = Self {
            relay: Relay::new(parts.clone(), service, settings.clone())
                .await
                .unwrap(),
            parts,
            settings,
            clock,
            executor,
            trip,
            dns,
            transport,
            spool,
            vault,
            keys,
            memory,
            directory,
            signing,
            audit,
            pickups,
            return_hosts,
            observer,
            master,
            notifier,
        };
        // DSNs and questions reach the sender over a proved session.
        world.proved("gemeente.example", HOME, HostScript::takes());
        world
    }

    /// A domain whose one host is proved by DANE, and does this.
    pub(crate) fn proved(&self, domain: &str, host: &str, script: HostScript) {
        self.dns.dane(&name(domain), &name(host));
        self.transport.host(&name(host), script);
    }

    /// A domain that publishes nothing; its host does this.
    pub(crate) fn unsigned(&self, domain: &str, host: &str, script: HostScript) {
        self.dns.unsigned(&name(domain), &name(host));
        self.transport.host(&name(host), script);
    }

    /// A domain of which its signed parent says that it is not there.
    pub(crate) fn absent(&self, domain: &str) {
        self.dns.sign(&name(domain));
    }

    /// The process ends where it stands, and another one begins over the same stores.
    pub(crate) async fn crash(&mut self) {
        self.executor.crash().await;
        self.relay = self.another_relay().await;
    }

    /// A relay over the same stores, as in another process.
    pub(crate) async fn another_relay(&self) -> Arc<Relay> {
        let service = self.relay.pickups().clone();
        let relay = Relay::new(self.parts.clone(), service, self.settings.clone());
        relay.await.unwrap()
    }

    /// Another resolver answers the relay from now on.
    pub(crate) async fn asks(&mut self, resolver: Arc<dyn Resolver>) {
        self.parts.inquirer.resolver = resolver;
        self.crash().await;
    }

    /// Hands a message in, and lets time pass until the answer is there.
    pub(crate) async fn submit(&self, submission: Submission) -> Reply {
        let relay = self.relay.clone();
        self.drive(async move { relay.submit(submission).await })
            .await
    }

    /// Drives `work` to its end; time passes whenever nothing else can go on.
    pub(crate) async fn drive<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let task = tokio::spawn(work);
        while !task.is_finished() {
            settle_down().await;
            if !task.is_finished() {
                self.clock.advance(Duration::from_millis(500));
            }
        }
        task.await.unwrap()
    }

    /// Lets this time pass in steps of a second.
    pub(crate) async fn pass(&self, time: Duration) {
        for _ in 0..time.as_secs() {
            settle_down().await;
            self.clock.advance(SECOND);
        }
        settle_down().await;
    }

    /// Lets this time pass at once, then does all that is due; returns how many deliveries that were.
    pub(crate) async fn work_after(&self, time: Duration) -> usize {
        self.clock.advance(time);
        self.work().await
    }

    /// Does what is due now, until nothing is.
    pub(crate) async fn work(&self) -> usize {
        let mut done = 0;
        loop {
            let relay = self.relay.clone();
            match self.drive(async move { relay.work_once().await }).await {
                Ok(0) | Err(_) => return done,
                Ok(count) => done += count,
            }
            assert!(done < 1000, "the worker goes in a circle");
        }
    }

    pub(crate) async fn sweep(&self) -> usize {
        let relay = self.relay.clone();
        self.drive(async move { relay.sweep().await })
            .await
            .unwrap()
    }

    /// Waits until no task runs any more; time passes meanwhile.
    pub(crate) async fn idle(&self) {
        let executor = self.executor.clone();
        self.drive(async move { executor.idle().await }).await;
    }

    /// Messages that this recipient got; notices are not among them.
    pub(crate) fn got(&self, recipient: &str) -> Vec<Delivered> {
        let mut got = self.transport.delivered();
        got.retain(|mail| {
            mail.recipient.to_string() == recipient && text(&mail.octets).contains(SECRET)
        });
        got
    }

    /// Mails of ours that this address got over a proved session, as text.
    pub(crate) fn told(&self, recipient: &str) -> Vec<String> {
        let mut got = self.transport.delivered();
        got.retain(|mail| mail.recipient.to_string() == recipient);
        let texts = got.iter().map(|mail| text(&mail.octets));
        texts.filter(|text| !text.contains(SECRET)).collect()
    }

    /// Mails to the sender.
    pub(crate) fn mails_home(&self) -> Vec<String> {
        self.told("jan@gemeente.example")
    }

    /// The names of all events, oldest first.
    pub(crate) async fn events(&self) -> Vec<EventName> {
        let log = self.log().await;
        log.into_iter().map(|event| event.name).collect()
    }

    /// All events, oldest first.
    pub(crate) async fn log(&self) -> Vec<ReadEvent> {
        let log = Log::of_tenant(tenant().id, &*self.master).await.unwrap();
        let page = self
            .audit
            .inner()
            .page(&tenant().id, 0, 10_000)
            .await
            .unwrap();
        let events = page.events.iter();
        events.map(|event| log.read(event).unwrap()).collect()
    }

    /// The events of this name, oldest first.
    pub(crate) async fn logged(&self, name: EventName) -> Vec<ReadEvent> {
        let log = self.log().await;
        log.into_iter().filter(|event| event.name == name).collect()
    }

    pub(crate) async fn count(&self, name: EventName) -> usize {
        let events = self.events().await;
        events.into_iter().filter(|event| *event == name).count()
    }

    pub(crate) async fn phone(&self, recipient: &str) {
        let number = NUMBER.parse().unwrap();
        let tenant = tenant().id;
        self.directory
            .put_phone(&tenant, &address(recipient), &number)
            .await
            .unwrap();
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now()
    }
}

/// Lets every task go on as far as it can without time passing.
pub(crate) async fn settle_down() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

fn inquirer(
    dns: &Arc<ScriptedDns>,
    memory: &Arc<Outage<MemoryDomainMemory>>,
    clock: &Arc<ManualClock>,
) -> Inquirer {
    Inquirer {
        resolver: dns.clone(),
        fetcher: dns.clone(),
        memory: memory.clone(),
        clock: clock.clone(),
        port: 25,
    }
}

fn settings() -> RelaySettings {
    RelaySettings::new(
        name("relay.example"),
        address("veilig@gemeente.example"),
        PolicySettings::default(),
    )
}

fn signing_keys() -> LocalKeys {
    let ed25519 = DkimAlgorithm::Ed25519Sha256;
    LocalKeys::new([
        LocalDkimKey::generate(name("gemeente.example"), "s1", ed25519)
            .unwrap()
            .0,
    ])
}

pub(crate) fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(crate) fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Whether a copy says that it may be one of two: in a field of its own, not only among signed names.
pub(crate) fn is_marked(octets: &[u8]) -> bool {
    let text = text(octets).to_ascii_lowercase();
    let header = text.split("\r\n\r\n").next().unwrap();
    header
        .lines()
        .any(|line| line.starts_with("x-securemail-possible-duplicate:"))
}

pub(crate) fn tenant() -> Tenant {
    Tenant {
        id: "gemeente".parse().unwrap(),
        display_name: "Gemeente Voorbeeld".to_owned(),
        domains: vec![name("gemeente.example")],
        profile: Profile::Standard,
        domain_profiles: BTreeMap::new(),
        languages: vec!["en".to_owned()],
        lists: Vec::new(),
        forget_link: false,
        nta7516: None,
        subject_tags: false,
        retention: 30 * DAY,
        grace: 7 * DAY,
    }
}

/// A message to these, with a Message-ID.
pub(crate) fn message(to: &[&str]) -> Submission {
    message_with("Message-ID: <m1@gemeente.example>\r\n", to)
}

/// A message to these, with these fields.
pub(crate) fn message_with(fields: &str, to: &[&str]) -> Submission {
    let octets = format!(
        "From: Jan <jan@gemeente.example>\r\nTo: {}\r\nSubject: uw aanvraag\r\n\
         Date: Sat, 21 Nov 2026 12:00:00 +0000\r\n{fields}\r\n{SECRET}\r\n",
        to.join(", ")
    );
    submission("jan@gemeente.example", to, &octets)
}

pub(crate) fn submission(from: &str, to: &[&str], octets: &str) -> Submission {
    let id = AccountId::new("platform");
    Submission {
        account: Account {
            id: id.clone(),
            tenant: tenant().id,
            kind: AccountKind::Connector,
            credential: Credential::Secret([0; 32]),
            domains: vec![name("gemeente.example")],
        },
        envelope: Envelope {
            tenant: tenant().id,
            account: id,
            reverse_path: match from {
                "" => ReversePath::Null,
                from => ReversePath::Mailbox(address(from)),
            },
            recipients: to.iter().map(|to| address(to)).collect(),
            helo: "mail.gemeente.example".to_owned(),
            client: [127, 0, 0, 1].into(),
        },
        content: Arc::new(MemoryContent::new(Bytes::copy_from_slice(
            octets.as_bytes(),
        ))),
        protocol: Protocol::Esmtpsa,
        tls: None,
        demands: Demands::default(),
    }
}

pub(crate) fn refuses() -> RecipientOutcome {
    RecipientOutcome::Refused(reply(550, "no such mailbox"))
}

pub(crate) fn defers() -> RecipientOutcome {
    RecipientOutcome::Deferred(reply(451, "later"))
}

/// A scanner that finds nothing.
pub(crate) fn passes() -> Arc<dyn Scanner> {
    Arc::new(FixedScanner(Some(Verdict::Pass)))
}
