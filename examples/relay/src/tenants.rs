//! Tenants, accounts and numbers of the settings, put into the directory.

use std::collections::BTreeSet;
use std::time::Duration;

use securemail_core::backend::Directory;
use securemail_core::limits::RETENTION_DAYS_MAX;
use securemail_core::vocab::{
    Account, AccountId, AccountKind, Address, Credential, DnsName, Identity, NtaSettings,
    PhoneNumber, Tenant, TenantId,
};

use securemail_store_sqlite::SqliteStore;

use crate::assemble::Trouble;
use crate::settings::{AccountSection, Settings, SettingsError, TenantSection};

/// What the settings say of tenants.
#[derive(Debug)]
pub struct Tenants {
    tenants: Vec<Tenant>,
    accounts: Vec<(Identity, Account)>,
    phones: Vec<(TenantId, Address, PhoneNumber)>,
}

/// Reads all tenants of the settings.
///
/// # Errors
/// Where a value does not fit.
pub fn directory(settings: &Settings) -> Result<Tenants, SettingsError> {
    let mut read = Tenants {
        tenants: Vec::new(),
        accounts: Vec::new(),
        phones: Vec::new(),
    };
    for section in &settings.tenant {
        let tenant = tenant(settings, section)?;
        for account in &section.account {
            let (identity, account) = account_of(&tenant, account)?;
            if read.accounts.iter().any(|(other, _)| *other == identity) {
                return Err(SettingsError::Invalid(format!(
                    "account {} of tenant {}: another account has this username or certificate",
                    account.id.as_str(),
                    tenant.id
                )));
            }
            read.accounts.push((identity, account));
        }
        for phone in &section.phone {
            let number = phone.number.parse().map_err(|error| {
                SettingsError::Invalid(format!("tenant {}: a phone number: {error}", tenant.id))
            })?;
            let of = (tenant.id.clone(), phone.address.clone(), number);
            read.phones.push(of);
        }
        read.tenants.push(tenant);
    }
    Ok(read)
}

/// Puts all tenants of the settings into `store`, and takes out accounts that they do not name.
///
/// # Errors
/// Where a value does not fit, or the store does not answer.
pub async fn seed(settings: &Settings, store: &SqliteStore) -> Result<(), Trouble> {
    let Tenants {
        tenants,
        accounts,
        phones,
    } = directory(settings)?;
    for tenant in &tenants {
        store.put_tenant(tenant).await?;
    }
    for (identity, account) in &accounts {
        store.put_account(identity, account).await?;
    }
    for (tenant, address, number) in &phones {
        store.put_phone(tenant, address, number).await?;
    }
    let named: Vec<Identity> = accounts.into_iter().map(|(identity, _)| identity).collect();
    store.keep_accounts(&named).await?;
    Ok(())
}

/// The domains of the numbers in the settings.
#[must_use]
pub fn address_book(settings: &Settings) -> Vec<DnsName> {
    let phones = settings.tenant.iter().flat_map(|tenant| &tenant.phone);
    let domains = phones.map(|phone| phone.address.domain().clone());
    domains.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The tenant of the settings with this name.
///
/// # Errors
/// Where there is none, or a value does not fit.
pub fn named(settings: &Settings, name: &str) -> Result<Tenant, SettingsError> {
    let mut sections = settings.tenant.iter();
    let section = sections
        .find(|section| section.name.as_str() == name)
        .ok_or_else(|| SettingsError::Invalid(format!("no tenant is named {name}")))?;
    tenant(settings, section)
}

fn tenant(settings: &Settings, section: &TenantSection) -> Result<Tenant, SettingsError> {
    let days = |key: &str, value: u64| match value {
        1..=RETENTION_DAYS_MAX => Ok(Duration::from_secs(value * 86_400)),
        _ => Err(SettingsError::Invalid(format!(
            "vault.{key}: 1 to {RETENTION_DAYS_MAX} days"
        ))),
    };
    Ok(Tenant {
        id: section.name.clone(),
        display_name: section
            .display_name
            .clone()
            .unwrap_or_else(|| section.name.as_str().to_owned()),
        domains: section.domains.clone(),
        profile: section.profile.unwrap_or(settings.route.profile),
        domain_profiles: section.domain_profiles.clone(),
        languages: section.languages.clone(),
        lists: section.lists.clone(),
        forget_link: section.forget_link,
        nta7516: section.nta7516.then(|| nta7516(section)),
        subject_tags: section.subject_tags,
        retention: days("retention_days", settings.vault.retention_days)?,
        grace: days("grace_days", settings.vault.grace_days)?,
    })
}

fn nta7516(section: &TenantSection) -> NtaSettings {
    let default = NtaSettings::default();
    NtaSettings {
        version: section.nta7516_version.clone().unwrap_or(default.version),
        ..default
    }
}

fn account_of(
    tenant: &Tenant,
    section: &AccountSection,
) -> Result<(Identity, Account), SettingsError> {
    let wrong = |what: &str| {
        SettingsError::Invalid(format!(
            "account {} of tenant {}: {what}",
            section.username, tenant.id
        ))
    };
    let (identity, credential, kind) = match (&section.password, &section.client_certificate) {
        (Some(password), None) => {
            let credential = password_credential(password).ok_or_else(|| {
                wrong(
                    "password: write `sha256:HEX` of a generated secret, or an argon2id PHC string",
                )
            })?;
            (
                Identity::Username(section.username.clone()),
                credential,
                AccountKind::Sender,
            )
        }
        (None, Some(fingerprint)) => {
            let sha256 = hex32(fingerprint)
                .ok_or_else(|| wrong("client_certificate: 64 hexadecimal digits are wanted"))?;
            (
                Identity::Certificate(sha256),
                Credential::Certificate(sha256),
                AccountKind::Connector,
            )
        }
        _ => return Err(wrong("write either `password` or `client_certificate`")),
    };
    if let Some(domain) = section
        .domains
        .iter()
        .find(|domain| !tenant.domains.contains(domain))
    {
        return Err(wrong(&format!(
            "{domain} is not among the tenant's domains"
        )));
    }
    let account = Account {
        id: AccountId::new(&section.username),
        tenant: tenant.id.clone(),
        kind,
        credential,
        domains: section.domains.clone(),
    };
    Ok((identity, account))
}

fn password_credential(password: &str) -> Option<Credential> {
    if password.starts_with("$argon2id$") {
        return Some(Credential::Argon2id(password.to_owned()));
    }
    password
        .strip_prefix("sha256:")
        .and_then(hex32)
        .map(Credential::Secret)
}

/// 32 octets from 64 hexadecimal digits; colons between them are allowed.
fn hex32(text: &str) -> Option<[u8; 32]> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let mut out = [0; 32];
    // `from_str_radix` takes a sign as well.
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (to, pair) in out.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *to = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}
