//! A pickup service over back-ends in memory, for the tests of pickups.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use securemail_core::backend::{AuditSink, Clock, KeyPurpose, KeyRef, KeyStore, Pickups, Vault};
use securemail_core::drive::pickup::{
    CodeRequested, Deposit, Deposited, Opened, PickupError, PickupParts, PickupService,
    PickupSettings, SessionGrant, Verified,
};
use securemail_core::ledger::{EventName, Log};
use securemail_core::pickup::{LinkSecret, SenderToken, SessionToken, Tell, TellKind};
use securemail_core::route::{Decision, Route, VaultReason};
use securemail_core::seal::LocalMasterKey;
use securemail_core::secret::Key32;
use securemail_core::vocab::{
    DeliveryKey, Language, MemoryContent, Profile, QueueId, Tenant, TenantId, UnixTime, VaultId,
    VaultKey,
};
use securemail_testkit::fakes::RecordingNotifier;
use securemail_testkit::memory::{
    MemoryAudit, MemoryDirectory, MemoryKeyStore, MemoryPickups, MemoryVault,
};
use securemail_testkit::sim::{ManualClock, SeededEntropy};

pub(crate) const MAIL: &[u8] = b"Subject: geheim\r\n\r\nDe uitslag is goed.\r\n";
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
pub(crate) const NUMBER: &str = "+31612345678";

pub(crate) struct World {
    pub(crate) pickups: Arc<MemoryPickups>,
    pub(crate) vault: Arc<MemoryVault>,
    pub(crate) keys: Arc<MemoryKeyStore>,
    pub(crate) master: Arc<LocalMasterKey>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) notifier: Arc<RecordingNotifier>,
    pub(crate) audit: Arc<MemoryAudit>,
    pub(crate) directory: Arc<MemoryDirectory>,
    pub(crate) entropy: Arc<SeededEntropy>,
    pub(crate) service: Arc<PickupService>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let vault = Arc::new(MemoryVault::default());
        Self::with_vault(Arc::clone(&vault), vault).await
    }

    /// `vault` is what the service sees, `memory` what is behind it.
    pub(crate) async fn with_vault(memory: Arc<MemoryVault>, vault: Arc<dyn Vault>) -> Self {
        let audit = Arc::new(MemoryAudit::default());
        Self::over(memory, vault, (Arc::clone(&audit), audit)).await
    }

    /// A service that sees `sink`, behind which is `audit`.
    pub(crate) async fn with_audit(audit: Arc<MemoryAudit>, sink: Arc<dyn AuditSink>) -> Self {
        let vault = Arc::new(MemoryVault::default());
        Self::over(Arc::clone(&vault), vault, (audit, sink)).await
    }

    async fn over(
        memory: Arc<MemoryVault>,
        vault: Arc<dyn Vault>,
        (audit, sink): (Arc<MemoryAudit>, Arc<dyn AuditSink>),
    ) -> Self {
        let entropy = Arc::new(SeededEntropy::new(7));
        let key = Key32::random(&*entropy).unwrap();
        let master = Arc::new(LocalMasterKey::new(&key, Arc::clone(&entropy) as _));
        let pickups = Arc::new(MemoryPickups::default());
        let keys = Arc::new(MemoryKeyStore::default());
        let directory = Arc::new(MemoryDirectory::default());
        let notifier = Arc::new(RecordingNotifier::default());
        let clock = Arc::new(ManualClock::default());
        let parts = PickupParts {
            pickups: Arc::clone(&pickups) as _,
            vault,
            keys: Arc::clone(&keys) as _,
            master: Arc::clone(&master) as _,
            directory: Arc::clone(&directory) as _,
            notifier: Arc::clone(&notifier) as _,
            audit: sink,
            clock: Arc::clone(&clock) as _,
            entropy: Arc::clone(&entropy) as _,
            settings: PickupSettings::new("https://mail.example"),
        };
        Self {
            service: Arc::new(PickupService::new(parts).await.unwrap()),
            pickups,
            vault: memory,
            keys,
            master,
            clock,
            notifier,
            audit,
            directory,
            entropy,
        }
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now()
    }

    /// A message for which the number is known, and the link to it.
    pub(crate) async fn waiting(&self) -> Waiting {
        self.waiting_with(deposit(1, Some(NUMBER))).await
    }

    pub(crate) async fn waiting_with(&self, deposit: Deposit) -> Waiting {
        let deposited = self.service.deposit(deposit).await.unwrap();
        let tell = deposited.tell.clone().unwrap();
        assert_eq!(tell.kind, TellKind::Notice);
        self.service.told(&tell.told()).await.unwrap();
        let (id, link) = link_of(&tell);
        Waiting {
            key: deposited.key,
            id,
            link,
        }
    }

    /// Asks for a code and gives the one that was sent.
    pub(crate) async fn code(&self, waiting: &Waiting) -> String {
        let asked = self
            .service
            .request_code(waiting.id, &waiting.link, client())
            .await
            .unwrap();
        assert!(matches!(asked, CodeRequested::Sent { .. }), "{asked:?}");
        self.last_code()
    }

    pub(crate) fn last_code(&self) -> String {
        let sent = self.notifier.sent();
        let text = sent.last().unwrap().text.expose().to_owned();
        text.rsplit('#').next().unwrap().trim().to_owned()
    }

    pub(crate) async fn verify(&self, waiting: &Waiting, code: &str) -> Verified {
        self.verify_from(waiting, code, client()).await
    }

    pub(crate) async fn verify_from(
        &self,
        waiting: &Waiting,
        code: &str,
        from: IpAddr,
    ) -> Verified {
        self.service
            .verify(waiting.id, &waiting.link, code, from)
            .await
            .unwrap()
    }

    /// Asks for a code, types it, and is in.
    pub(crate) async fn session(&self, waiting: &Waiting) -> SessionGrant {
        let code = self.code(waiting).await;
        match self.verify(waiting, &code).await {
            Verified::Open(grant) => grant,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn open(
        &self,
        waiting: &Waiting,
        session: &SessionToken,
    ) -> Result<Opened, PickupError> {
        self.service.open(waiting.id, &waiting.link, session).await
    }

    pub(crate) async fn sweep(&self) -> Vec<Tell> {
        self.service.sweep(self.now(), 100).await.unwrap()
    }

    /// Sweeps, and says of every mail that it was committed.
    pub(crate) async fn sweep_and_tell(&self) -> Vec<TellKind> {
        let tells = self.sweep().await;
        for tell in &tells {
            self.service.told(&tell.told()).await.unwrap();
        }
        tells.iter().map(|tell| tell.kind).collect()
    }

    /// The names of all events, oldest first.
    pub(crate) async fn events(&self) -> Vec<EventName> {
        let log = Log::of_tenant(tenant().id, &*self.master).await.unwrap();
        let page = self.audit.page(&tenant().id, 0, 1000).await.unwrap();
        let events = page.events.iter();
        events.map(|event| log.read(event).unwrap().name).collect()
    }

    pub(crate) async fn version(&self, waiting: &Waiting) -> u64 {
        self.pickups.load(&waiting.key).await.unwrap().version
    }

    /// Whether nothing of its keys is left to open it, whoever must still be told.
    pub(crate) async fn is_ended(&self, key: &VaultKey) -> bool {
        let share = KeyRef::of_message(&key.tenant, KeyPurpose::ServerShare, key.id);
        self.keys.fetch(&share).await.is_err() && self.vault.open(key).await.is_err()
    }

    pub(crate) async fn is_gone(&self, key: &VaultKey) -> bool {
        self.keys.count() == 0 && self.vault.count() == 0 && self.pickups.load(key).await.is_err()
    }
}

/// A message that waits, and the link to it.
pub(crate) struct Waiting {
    pub(crate) key: VaultKey,
    pub(crate) id: VaultId,
    pub(crate) link: LinkSecret,
}

/// A code of six digits that is not this one.
pub(crate) fn wrong(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

pub(crate) fn client() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

pub(crate) fn tenant() -> Tenant {
    Tenant {
        id: "gemeente".parse().unwrap(),
        display_name: "Gemeente Voorbeeld".to_owned(),
        domains: vec!["gemeente.example".parse().unwrap()],
        profile: Profile::Standard,
        domain_profiles: std::collections::BTreeMap::new(),
        languages: vec!["nl".to_owned()],
        lists: Vec::new(),
        forget_link: false,
        nta7516: None,
        subject_tags: false,
        retention: 30 * DAY,
        grace: 7 * DAY,
    }
}

pub(crate) fn deposit(queue: u8, phone: Option<&str>) -> Deposit {
    let tenant = tenant();
    Deposit {
        delivery: DeliveryKey {
            tenant: tenant.id.clone(),
            queue: QueueId::from_bytes([queue; 16]),
            recipient: 0,
        },
        tenant,
        sender: "jan@gemeente.example".parse().unwrap(),
        recipient: "piet@example.nl".parse().unwrap(),
        content: Arc::new(MemoryContent::new(MAIL.into())),
        reason: "De mailserver van example.nl kan zich niet bewijzen.".to_owned(),
        summary: no_way().summary(),
        phone: phone.map(|phone| phone.parse().unwrap()),
        language: "nl".to_owned(),
        sender_language: Language::Dutch,
        events: Vec::new(),
    }
}

/// Into the vault, because no host of the domain can be proved.
fn no_way() -> Decision {
    let now = UnixTime::from_secs(1_795_255_200);
    Decision {
        route: Route::Vault {
            reason: VaultReason::NoSecurePath,
        },
        ..Decision::own_fault(&"example.nl".parse().unwrap(), now, now)
    }
}

pub(crate) fn link_of(tell: &Tell) -> (VaultId, LinkSecret) {
    let link = tell.link.as_ref().unwrap().expose();
    let rest = link.strip_prefix("https://mail.example/m/").unwrap();
    let (id, secret) = rest.split_once('/').unwrap();
    (id.parse().unwrap(), LinkSecret::parse(secret).unwrap())
}

pub(crate) fn token_of(tell: &Tell) -> SenderToken {
    let link = tell.link.as_ref().unwrap().expose();
    let token = link.strip_prefix("https://mail.example/s/").unwrap();
    SenderToken::parse(token).unwrap()
}

pub(crate) async fn text(opened: &Opened) -> Vec<u8> {
    let content = &opened.content;
    content.read(0, 1 << 20).await.unwrap().to_vec()
}

pub(crate) fn tenant_id() -> TenantId {
    tenant().id
}

pub(crate) fn kind_of(deposited: &Deposited) -> Option<TellKind> {
    deposited.tell.as_ref().map(|tell| tell.kind)
}
