//! The relay's settings: one TOML file, overridden by environment variables.

mod load;
mod nearest;
mod units;

use std::net::SocketAddr;
use std::path::PathBuf;

use securemail_core::limits::{CODES_PER_NUMBER_DAY, CODES_PER_NUMBER_HOUR, CODES_PER_TENANT_DAY};
use securemail_core::vocab::{Address, DnsName, Profile, TenantId};
use serde::Deserialize;

pub use load::{SettingsError, load, read};
pub use units::Span;

/// All settings. Names and defaults are documented in `docs/settings.md`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub relay: RelaySection,
    #[serde(default)]
    pub listen: ListenSection,
    #[serde(default)]
    pub tls: TlsSection,
    pub dns: DnsSection,
    #[serde(default)]
    pub route: RouteSection,
    pub portal: PortalSection,
    pub notice: NoticeSection,
    #[serde(default)]
    pub store: StoreSection,
    #[serde(default)]
    pub vault: VaultSection,
    pub keys: KeysSection,
    #[serde(default)]
    pub limits: LimitsSection,
    pub sms: SmsSection,
    #[serde(default)]
    pub tls_reports: TlsReportsSection,
    #[serde(default)]
    pub tenant: Vec<TenantSection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelaySection {
    /// The name in EHLO and Received.
    pub hostname: DnsName,
    /// Everything that the relay writes.
    pub data_dir: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenSection {
    /// Submission with STARTTLS.
    pub submission: Option<SocketAddr>,
    /// Submission with implicit TLS.
    pub submissions: Option<SocketAddr>,
    /// Portal, sender's form, callbacks: HTTPS.
    pub web: Option<SocketAddr>,
    /// Bounces of notices.
    pub bounces: Option<SocketAddr>,
    /// `/metrics` and `/healthz`, in clear: for this machine.
    pub metrics: Option<SocketAddr>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSection {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Not to serve with a key for which no TLSA record is visible, where others are.
    pub rollover_guard: bool,
}

impl Default for TlsSection {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            rollover_guard: true,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsSection {
    pub servers: Vec<SocketAddr>,
    #[serde(default)]
    pub trust_anchor: Option<PathBuf>,
    /// `[]` says that there is one validator only, and every finding will say so.
    pub second_opinion: Vec<SocketAddr>,
    #[serde(default)]
    pub vantage: Vec<VantageSection>,
    /// Names whose state is known; where it is wrong, all mail is held.
    #[serde(default)]
    pub canaries: Option<CanarySection>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanarySection {
    pub signed: DnsName,
    pub bogus: DnsName,
    pub unsigned: DnsName,
    pub absent: DnsName,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VantageSection {
    pub server: SocketAddr,
    pub name: DnsName,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteSection {
    pub profile: Profile,
    pub port: u16,
    pub mta_sts_port: u16,
    pub ca_file: Option<PathBuf>,
    pub budget: Span,
    pub confirm_after: Span,
    pub confirm_absence_after: Span,
    pub divert_after: Span,
    pub hold_for: Span,
    /// How long an unsigned list of mail servers must have been the same; `0s`: not at all.
    pub stable_for: Span,
    /// How soon another process goes on with an attempt whose process hangs. Where it ended, the next
    /// one goes on at once.
    pub attempt_lease: Span,
    /// Content goes in chunks where the mail server offers CHUNKING.
    pub chunking: bool,
    /// Networks in which an MX may lie although they are not public: for laboratories.
    pub allow_networks: Vec<String>,
}

impl Default for RouteSection {
    fn default() -> Self {
        Self {
            profile: Profile::Standard,
            port: 25,
            mta_sts_port: 443,
            ca_file: None,
            budget: Span::from_secs(20),
            confirm_after: Span::from_secs(15 * 60),
            confirm_absence_after: Span::from_secs(10 * 60),
            divert_after: Span::from_secs(4 * 3600),
            hold_for: Span::from_secs(5 * 86_400),
            stable_for: Span::from_secs(0),
            attempt_lease: Span::from_secs(60),
            chunking: true,
            allow_networks: Vec::new(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortalSection {
    /// Links and callbacks are built from this, never from `Host`.
    pub url: String,
    #[serde(default)]
    pub trusted_proxies: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeSection {
    pub from: Address,
    pub dkim_selector: String,
    pub dkim_key: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSection {
    /// `sqlite:PATH`; without it `data_dir/store.db`.
    pub url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VaultSection {
    /// `file:PATH`; without it `data_dir/vault`.
    pub url: Option<String>,
    pub retention_days: u64,
    pub grace_days: u64,
}

impl Default for VaultSection {
    fn default() -> Self {
        Self {
            url: None,
            retention_days: 30,
            grace_days: 7,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysSection {
    /// `sqlite:PATH`; without it `data_dir/keys.db`.
    #[serde(default)]
    pub url: Option<String>,
    /// 32 bytes: raw, hexadecimal or base64. Never inside `data_dir`.
    pub master_key_file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    pub message_bytes: u64,
    pub memory_bytes: u64,
    pub connections: usize,
    pub connections_per_address: usize,
    /// Texts with codes to one number, for one tenant.
    pub codes_per_number_hour: u32,
    pub codes_per_number_day: u32,
    /// Texts with codes for one tenant.
    pub codes_per_tenant_day: u32,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            message_bytes: 60 * 1024 * 1024,
            memory_bytes: 256 * 1024 * 1024,
            connections: 500,
            connections_per_address: 50,
            codes_per_number_hour: CODES_PER_NUMBER_HOUR,
            codes_per_number_day: CODES_PER_NUMBER_DAY,
            codes_per_tenant_day: CODES_PER_TENANT_DAY,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmsSection {
    pub provider: SmsProvider,
    #[serde(default)]
    pub base_url: Option<String>,
    #[serde(default)]
    pub account_sid: Option<String>,
    #[serde(default)]
    pub auth_token_file: Option<PathBuf>,
    #[serde(default)]
    pub from: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsReportsSection {
    /// Count sessions, and report them to domains that ask for it.
    pub send: bool,
    /// `mailto:ADDRESS`; without it the address that notices come from.
    pub contact: Option<String>,
    /// Without it the name of the first tenant.
    pub organisation: Option<String>,
    /// How often counts are written down and due reports looked for.
    pub poll_every: Span,
    /// Take reports about our own domains at `/tls-reports` of the web listener.
    pub receive: bool,
    /// Take reports about our own domains by mail, at this address of the bounces listener.
    pub address: Option<Address>,
}

impl Default for TlsReportsSection {
    fn default() -> Self {
        Self {
            send: true,
            contact: None,
            organisation: None,
            poll_every: Span::from_secs(60),
            receive: false,
            address: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum SmsProvider {
    /// Writes codes to the terminal; refused unless every listener is on loopback.
    Console,
    Twilio,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantSection {
    /// The identifier; the display name is `display_name`, or this.
    pub name: TenantId,
    #[serde(default)]
    pub display_name: Option<String>,
    pub domains: Vec<DnsName>,
    #[serde(default)]
    pub profile: Option<Profile>,
    #[serde(default)]
    pub domain_profiles: std::collections::BTreeMap<DnsName, Profile>,
    #[serde(default)]
    pub languages: Vec<String>,
    #[serde(default)]
    pub lists: Vec<Address>,
    /// The host of the tenant that takes the mail to its own people.
    #[serde(default)]
    pub return_route: Option<ReturnRouteSection>,
    #[serde(default)]
    pub forget_link: bool,
    /// Mail to domains that take part in NTA 7516 goes as that norm has it.
    #[serde(default)]
    pub nta7516: bool,
    /// The version that their records bear.
    #[serde(default)]
    pub nta7516_version: Option<String>,
    /// What is kept of each hand-over to prove it.
    #[serde(default)]
    pub evidence: Evidence,
    #[serde(default)]
    pub subject_tags: bool,
    #[serde(default)]
    pub account: Vec<AccountSection>,
    #[serde(default)]
    pub dkim: Vec<DkimSection>,
    #[serde(default)]
    pub phone: Vec<PhoneSection>,
}

/// A host that takes the mail to a tenant's own people: always over TLS, always proved.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReturnRouteSection {
    /// The name that its certificate bears.
    pub host: DnsName,
    /// Without it 25, and 465 where TLS is implicit.
    #[serde(default)]
    pub port: Option<u16>,
    #[serde(default)]
    pub tls: ReturnTls,
    #[serde(default)]
    pub username: Option<String>,
    /// Holds the password, and perhaps an end of line.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// What is kept of each hand-over to prove it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// The decision, the session's facts and the replies.
    #[default]
    Standard,
    /// Also a commitment to the message in the handshake; this version cannot, and says so.
    Handshake,
}

/// How TLS begins; there is no session without it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum ReturnTls {
    #[default]
    Starttls,
    Implicit,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSection {
    pub username: String,
    /// `$argon2id$…`, or `sha256:HEX` of a generated secret.
    #[serde(default)]
    pub password: Option<String>,
    /// SHA-256 of the client certificate (DER), hexadecimal. Makes the account a connector.
    #[serde(default)]
    pub client_certificate: Option<String>,
    pub domains: Vec<DnsName>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DkimSection {
    pub domain: DnsName,
    pub selector: String,
    pub key: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhoneSection {
    pub address: Address,
    pub number: String,
}
