//! Builds a relay from its settings: every part by name, nothing global.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use securemail_core::backend::{
    AuditSink, Census, Clock, Directory, DomainMemory, Entropy, KeyStore, MasterKey, ReportPoster,
    Resolver,
};
use securemail_core::dkim::{LocalDkimKey, LocalKeys};
use securemail_core::drive::pickup::{CodeBudgets, PickupParts, PickupService, PickupSettings};
use securemail_core::drive::{Inquirer, Parts, Refresher, Relay, RelaySettings};
use securemail_core::route::{Network, PolicySettings, StandardPolicy};
use securemail_core::seal::RecordCipher;
use securemail_core::secret::SecretText;
use securemail_core::vocab::DnsName;
use securemail_resolver::{
    Canaries, HickoryResolver, PolicyClient, PolicySettings as FetchSettings, ReportClient,
    ResolverSettings, VantageSettings,
};
use securemail_smtp::{ClientSettings, SmtpTransport, trust};
use securemail_store_sqlite::{FileVault, SqliteKeyStore, SqliteStore, StoreSettings};
use securemail_web::CarrierCallbacks;

use crate::master::{self, master_key};
use crate::metrics::{CountedNotifier, Metrics};
use crate::returns::return_hosts;
use crate::scanner::NoScanner;
use crate::settings::{DkimSection, Settings, SettingsError};
use crate::sms::Carrier;
use crate::system::{SystemClock, SystemEntropy, TokioTasks};
use crate::{tenants, tls_reports};

/// What every process over these stores needs, with relay or without.
pub struct Base {
    pub pickups: Arc<PickupService>,
    pub callbacks: Option<Arc<dyn CarrierCallbacks>>,
    pub master: Arc<dyn MasterKey>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// What happened in this process, in numbers.
    pub metrics: Arc<Metrics>,
    stores: Stores,
}

impl Base {
    /// Opens the stores, and what runs pickups over them.
    ///
    /// # Errors
    /// Where a file or a key does not fit.
    pub async fn open(settings: &Settings, carrier: Carrier) -> Result<Self, Trouble> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let master = master_key(settings, entropy.clone())?;
        let stores = Stores::open(settings, &*master, entropy.clone()).await?;
        let metrics = Arc::new(Metrics::default());
        let notifier = Arc::new(CountedNotifier {
            inner: carrier.notifier,
            metrics: metrics.clone(),
        });
        let pickups = PickupService::new(PickupParts {
            pickups: stores.store.clone(),
            vault: stores.vault.clone(),
            keys: stores.keys.clone(),
            master: master.clone(),
            directory: stores.store.clone(),
            notifier,
            audit: stores.store.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            settings: pickup_settings(settings)?,
        });
        Ok(Self {
            pickups: Arc::new(pickups.await?),
            callbacks: carrier.callbacks,
            master,
            clock,
            entropy,
            metrics,
            stores,
        })
    }

    /// Who may send, and which numbers are known.
    pub fn directory(&self) -> Arc<dyn Directory> {
        self.stores.store.clone()
    }

    /// How much is kept.
    pub fn census(&self) -> Arc<dyn Census> {
        self.stores.store.clone()
    }

    /// What is known of domains.
    pub fn memory(&self) -> Arc<dyn DomainMemory> {
        self.stores.store.clone()
    }

    /// What happened.
    pub fn audit(&self) -> Arc<dyn AuditSink> {
        self.stores.store.clone()
    }
}

/// A relay with the parts that the binary itself needs.
pub struct App {
    pub base: Base,
    pub relay: Arc<Relay>,
    pub refresher: Refresher,
    pub resolver: Arc<HickoryResolver>,
    pub tasks: Arc<TokioTasks>,
    /// Posts reports about TLS.
    pub poster: Arc<dyn ReportPoster>,
}

/// Something does not fit; the text says what to change.
pub type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// Builds everything except listeners.
///
/// # Errors
/// Where a file, a key or a service does not fit.
pub async fn assemble(settings: &Settings, carrier: Carrier) -> Result<App, Trouble> {
    let base = Base::open(settings, carrier).await?;
    let store = &base.stores.store;
    tenants::seed(settings, store).await?;
    let tasks = Arc::new(TokioTasks::new());
    let transport = Arc::new(transport(settings)?);
    let clock = base.clock.clone();
    let resolver = Arc::new(resolver(settings, clock.clone())?);
    let inquirer = inquirer(resolver.clone(), settings, store.clone(), clock)?;
    let web = policy_client(settings, inquirer.resolver.clone())?;
    let parts = Parts {
        clock: base.clock.clone(),
        directory: store.clone(),
        entropy: base.entropy.clone(),
        executor: tasks.clone(),
        inquirer: inquirer.clone(),
        keys: base.stores.keys.clone(),
        master: base.master.clone(),
        notices: transport.clone(),
        observer: base.metrics.clone(),
        policy: Arc::new(StandardPolicy::new(policy(settings)?)),
        return_hosts: Arc::new(return_hosts(settings)?),
        returns: transport.clone(),
        scanner: Arc::new(NoScanner),
        signing: Arc::new(signing_keys(settings)?),
        spool: store.clone(),
        transport,
    };
    let relay = Relay::new(parts, base.pickups.clone(), relay_settings(settings)?).await?;
    let refresher = Refresher {
        inquirer,
        observer: base.metrics.clone(),
        address_book: tenants::address_book(settings),
    };
    Ok(App {
        base,
        relay,
        refresher,
        resolver,
        tasks,
        poster: Arc::new(ReportClient::new(web)),
    })
}

struct Stores {
    store: Arc<SqliteStore>,
    keys: Arc<dyn KeyStore>,
    vault: Arc<FileVault>,
}

impl Stores {
    async fn open(
        settings: &Settings,
        master: &dyn MasterKey,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Trouble> {
        let data_dir = &settings.relay.data_dir;
        fs::create_dir_all(data_dir).map_err(|error| at(data_dir, error))?;
        master::must_be_the_same(master, data_dir).await?;
        let cipher = RecordCipher::new(master.derive("store/directory").await?);
        let [store, keys, vault] = store_paths(settings)?;
        Ok(Self {
            store: Arc::new(SqliteStore::open(
                &store,
                StoreSettings::new(cipher, entropy),
            )?),
            keys: Arc::new(SqliteKeyStore::open(&keys)?),
            vault: Arc::new(FileVault::open(&vault)?),
        })
    }
}

/// Only the log and the directory, for commands that read.
///
/// # Errors
/// Where key or store do not fit.
pub async fn open_log(
    settings: &Settings,
) -> Result<(Arc<SqliteStore>, Arc<dyn MasterKey>), Trouble> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let master = master_key(settings, entropy.clone())?;
    let stores = Stores::open(settings, &*master, entropy).await?;
    Ok((stores.store, master))
}

/// Where store, keys and vault lie.
///
/// # Errors
/// Where a URL names another kind.
pub fn store_paths(settings: &Settings) -> Result<[PathBuf; 3], SettingsError> {
    let Settings {
        store, keys, vault, ..
    } = settings;
    let at = |url: &Option<String>, scheme, key, default| {
        path(
            url.as_deref(),
            scheme,
            key,
            &settings.relay.data_dir,
            default,
        )
    };
    Ok([
        at(&store.url, "sqlite:", "store.url", "store.db")?,
        at(&keys.url, "sqlite:", "keys.url", "keys.db")?,
        at(&vault.url, "file:", "vault.url", "vault")?,
    ])
}

/// What follows `scheme` in `url`, or `default` in `data_dir`.
fn path(
    url: Option<&str>,
    scheme: &str,
    key: &str,
    data_dir: &Path,
    default: &str,
) -> Result<PathBuf, SettingsError> {
    let Some(url) = url else {
        return Ok(data_dir.join(default));
    };
    url.strip_prefix(scheme).map(PathBuf::from).ok_or_else(|| {
        SettingsError::Invalid(format!(
            "{key} = \"{url}\": this version knows {scheme}PATH only"
        ))
    })
}

/// What asks about recipient domains.
///
/// # Errors
/// Where an address or a root does not fit.
pub fn inquirer(
    resolver: Arc<dyn Resolver>,
    settings: &Settings,
    memory: Arc<dyn DomainMemory>,
    clock: Arc<dyn Clock>,
) -> Result<Inquirer, Trouble> {
    Ok(Inquirer {
        fetcher: Arc::new(policy_client(settings, resolver.clone())?),
        resolver,
        memory,
        clock,
        port: settings.route.port,
    })
}

/// What fetches policies of MTA-STS.
///
/// # Errors
/// Where a root or a network does not fit.
pub fn policy_client(
    settings: &Settings,
    resolver: Arc<dyn Resolver>,
) -> Result<PolicyClient, Trouble> {
    let mut fetch = FetchSettings::new(Arc::new(roots(settings)?));
    fetch.port = settings.route.mta_sts_port;
    fetch.allow_networks = allowed_networks(settings)?;
    Ok(PolicyClient::new(fetch, resolver)?)
}

/// The validating resolver.
///
/// # Errors
/// Where its settings do not fit.
pub fn resolver(settings: &Settings, clock: Arc<dyn Clock>) -> Result<HickoryResolver, Trouble> {
    let mut dns = ResolverSettings::new(settings.dns.servers.clone());
    if let Some(file) = &settings.dns.trust_anchor {
        dns.trust_anchor = Some(fs::read_to_string(file).map_err(|error| at(file, error))?);
    }
    dns.second_opinion.clone_from(&settings.dns.second_opinion);
    let vantage = |v: &crate::settings::VantageSection| VantageSettings {
        server: v.server,
        name: v.name.to_string(),
    };
    dns.vantages = settings.dns.vantage.iter().map(vantage).collect();
    dns.vantage_roots = Arc::new(roots(settings)?);
    Ok(HickoryResolver::new(&dns, clock)?)
}

/// The names by which validation is watched: those of the settings; else those of the public DNS, but not
/// below another root.
///
/// # Errors
/// Never in practice: the names are names.
pub fn canaries(settings: &Settings) -> Result<Option<Canaries>, Trouble> {
    let dns = &settings.dns;
    Ok(match (&dns.canaries, &dns.trust_anchor) {
        (Some(named), _) => Some(Canaries {
            signed: named.signed.clone(),
            bogus: named.bogus.clone(),
            unsigned: named.unsigned.clone(),
            absent: named.absent.clone(),
        }),
        (None, None) => Some(Canaries::public()?),
        (None, Some(_)) => None,
    })
}

/// The roots that may vouch for hosts: those of `route.ca_file`, or the public ones.
fn root_certificates(settings: &Settings) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let Some(file) = &settings.route.ca_file else {
        return Ok(webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec());
    };
    let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let certificates: Vec<_> = certificates.map_err(|error| {
        SettingsError::Invalid(format!("route.ca_file = {}: {error}", file.display()))
    })?;
    if certificates.is_empty() {
        let text = format!("route.ca_file = {}: no certificate in it", file.display());
        return Err(SettingsError::Invalid(text).into());
    }
    Ok(certificates)
}

/// The same, as TLS wants them.
///
/// # Errors
/// Where one cannot be read.
pub fn roots(settings: &Settings) -> Result<RootCertStore, Trouble> {
    let mut store = RootCertStore::empty();
    for certificate in root_certificates(settings)? {
        store.add(certificate)?;
    }
    Ok(store)
}

/// The SMTP client.
///
/// # Errors
/// Where a root does not fit.
pub fn transport(settings: &Settings) -> Result<SmtpTransport, Trouble> {
    let client = ClientSettings {
        chunking: settings.route.chunking,
        ..ClientSettings::new(settings.relay.hostname.clone())
    };
    let trust = Arc::new(trust(roots(settings)?.roots));
    Ok(SmtpTransport::new(client, trust, Arc::new(SystemClock)))
}

/// Clocks and networks of the policy.
///
/// # Errors
/// Where a network cannot be read.
pub fn policy(settings: &Settings) -> Result<PolicySettings, Trouble> {
    let route = &settings.route;
    Ok(PolicySettings {
        confirm_after: route.confirm_after.duration(),
        confirm_absence_after: route.confirm_absence_after.duration(),
        divert_after: route.divert_after.duration(),
        hold_for: route.hold_for.duration(),
        stable_for: route.stable_for.duration(),
        allow_networks: allowed_networks(settings)?,
        own_hosts: vec![settings.relay.hostname.clone()],
    })
}

fn allowed_networks(settings: &Settings) -> Result<Vec<Network>, SettingsError> {
    let network = |text: &String| {
        text.parse().map_err(|error| {
            SettingsError::Invalid(format!("route.allow_networks: `{text}`: {error}"))
        })
    };
    settings.route.allow_networks.iter().map(network).collect()
}

fn relay_settings(settings: &Settings) -> Result<RelaySettings, Trouble> {
    let hostname = settings.relay.hostname.clone();
    let from = settings.notice.from.clone();
    let mut relay = RelaySettings::new(hostname, from, policy(settings)?);
    relay.budget = settings.route.budget.duration();
    relay.count_sessions = tls_reports::is_on(settings);
    relay.attempt_lease = settings.route.attempt_lease.duration();
    // In a laboratory with short clocks a held notice must not wait for minutes.
    relay.notice_retry = relay
        .notice_retry
        .min(settings.route.confirm_after.duration());
    Ok(relay)
}

/// How pickups are run.
///
/// # Errors
/// Where a budget is none.
pub fn pickup_settings(settings: &Settings) -> Result<PickupSettings, SettingsError> {
    let limits = &settings.limits;
    let budgets = CodeBudgets {
        per_number_hour: limits.codes_per_number_hour,
        per_number_day: limits.codes_per_number_day,
        per_tenant_day: limits.codes_per_tenant_day,
    };
    let all = [
        ("codes_per_number_hour", budgets.per_number_hour),
        ("codes_per_number_day", budgets.per_number_day),
        ("codes_per_tenant_day", budgets.per_tenant_day),
    ];
    if let Some((key, _)) = all.into_iter().find(|(_, most)| *most == 0) {
        return Err(SettingsError::Invalid(format!(
            "limits.{key} = 0: without a code nobody can open anything; write 1 or more"
        )));
    }
    let mut pickup = PickupSettings::new(&settings.portal.url);
    pickup.budgets = budgets;
    Ok(pickup)
}

fn signing_keys(settings: &Settings) -> Result<LocalKeys, Trouble> {
    Ok(LocalKeys::new(dkim_keys(settings)?))
}

/// Every key that signs what leaves.
///
/// # Errors
/// Where a key cannot be read, or a domain has none.
pub fn dkim_keys(settings: &Settings) -> Result<Vec<LocalDkimKey>, Trouble> {
    let mut keys = vec![dkim_key(
        settings.notice.from.domain(),
        &settings.notice.dkim_selector,
        &settings.notice.dkim_key,
    )?];
    for tenant in &settings.tenant {
        for domain in &tenant.domains {
            let has_key = tenant.dkim.iter().any(|dkim| dkim.domain == *domain);
            if !has_key && domain != settings.notice.from.domain() {
                return Err(SettingsError::Invalid(format!(
                    "tenant {}: no [[tenant.dkim]] for {domain}; everything that leaves is signed",
                    tenant.name
                ))
                .into());
            }
        }
        let notice = &settings.notice;
        let is_other = |dkim: &&DkimSection| {
            dkim.domain != *notice.from.domain() || dkim.selector != notice.dkim_selector
        };
        // The notices' own key may be named here again; it signs once.
        for dkim in tenant.dkim.iter().filter(is_other) {
            keys.push(dkim_key(&dkim.domain, &dkim.selector, &dkim.key)?);
        }
    }
    Ok(keys)
}

fn dkim_key(domain: &DnsName, selector: &str, file: &Path) -> Result<LocalDkimKey, Trouble> {
    let pem = SecretText::new(fs::read_to_string(file).map_err(|error| at(file, error))?);
    let key = LocalDkimKey::from_pem(domain.clone(), selector, &pem);
    Ok(key
        .map_err(|error| SettingsError::Invalid(format!("DKIM key {}: {error}", file.display())))?)
}

/// Whether every listener is on loopback.
pub fn is_loopback_only(listeners: &[SocketAddr]) -> bool {
    listeners.iter().all(|address| address.ip().is_loopback())
}

/// An error of a file, with its name.
pub fn at(path: &Path, error: io::Error) -> SettingsError {
    SettingsError::Read {
        path: path.to_owned(),
        source: error,
    }
}
