//! Who sends, for whom, and what a tenant has settled.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AccountId, Address, DnsName, NtaSettings, ReversePath, TenantId};

/// The envelope of one message (RFC 5321, section 2.3.1).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Envelope {
    /// Whose message it is.
    pub tenant: TenantId,
    /// The account that handed it in.
    pub account: AccountId,
    /// Where failures go.
    pub reverse_path: ReversePath,
    /// For whom; in the order of the RCPT commands, without repeats.
    pub recipients: Vec<Address>,
    /// The name the client gave in EHLO, made printable.
    pub helo: String,
    /// The client's address. Personal.
    pub client: std::net::IpAddr,
}

/// How sure a route must be. Later is stricter; a message can only raise it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// A trusted certificate for whatever host DNS names.
    Basic,
    /// As `basic`, and unsigned DNS is confirmed from a second place.
    #[default]
    Standard,
    /// The host's authority is proved by DNSSEC, MTA-STS or the certificate itself.
    Strict,
    /// DNSSEC-secure MX and a matching TLSA record only (RFC 7672, section 6).
    DaneOnly,
}

/// What one organisation has settled.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tenant {
    /// Its identifier.
    pub id: TenantId,
    /// The name that recipients are shown.
    pub display_name: String,
    /// Its mail domains.
    pub domains: Vec<DnsName>,
    /// How sure routes must be.
    pub profile: Profile,
    /// Stricter profiles for some recipient domains.
    pub domain_profiles: BTreeMap<DnsName, Profile>,
    /// Languages of notices, the preferred first: `nl`, `en`.
    pub languages: Vec<String>,
    /// Addresses that may stand in an envelope without standing in the header: lists, aliases, journal.
    pub lists: Vec<Address>,
    /// Forget the link once the notice was taken; a bounced notice then bounces the message.
    pub forget_link: bool,
    /// Messages to domains that take part in NTA 7516 go as that norm has it.
    #[serde(default)]
    pub nta7516: Option<NtaSettings>,
    /// Wishes are read from the subject too, `[secure]`, and taken out of it.
    #[serde(default)]
    pub subject_tags: bool,
    /// How long vault messages are kept; 90 days at most.
    pub retention: Duration,
    /// How long a message stays open after pickup; 1 to 90 days, never past retention.
    pub grace: Duration,
}

impl Tenant {
    /// How sure a route to `domain` must be: the tenant's own rule, or a stricter one for the domain.
    #[must_use]
    pub fn profile_for(&self, domain: &DnsName) -> Profile {
        let own = self.domain_profiles.get(domain).copied();
        own.unwrap_or(self.profile).max(self.profile)
    }
}

/// One identity that may hand in mail.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Account {
    /// Its name within the tenant.
    pub id: AccountId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What kind it is.
    pub kind: AccountKind,
    /// What proves it.
    pub credential: Credential,
    /// Domains that it may send as.
    pub domains: Vec<DnsName>,
}

/// What kind of account it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountKind {
    /// A mail platform: it may use the null reverse-path.
    Connector,
    /// A person or program.
    Sender,
}

/// What proves an account. Nothing here can be used to log in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credential {
    /// Argon2id of a chosen password, as a PHC string.
    Argon2id(String),
    /// SHA-256 of the client certificate (DER).
    Certificate([u8; 32]),
    /// SHA-256 of a generated secret of at least 128 random bits.
    Secret([u8; 32]),
}

/// How a client shows who it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Identity {
    /// SHA-256 of the certificate that it proved to hold.
    Certificate([u8; 32]),
    /// A user name; the secret is checked against the account's credential.
    Username(String),
}
