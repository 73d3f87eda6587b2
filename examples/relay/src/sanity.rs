//! Whether settings fit together, and fit this machine, before anything is started.

use std::net::SocketAddr;
use std::sync::Arc;

use securemail_core::vocab::Profile;

use crate::assemble::{
    Trouble, dkim_keys, is_loopback_only, pickup_settings, policy, roots, store_paths,
};
use crate::master::master_key;
use crate::returns::return_hosts;
use crate::settings::{Evidence, Settings, SettingsError, SmsProvider, Span, TenantSection};
use crate::sms::Carrier;
use crate::system::SystemEntropy;
use crate::{tenants, tls, tls_reports, web};

/// What can be said about settings without starting anything.
///
/// # Errors
/// What is wrong, and what to write instead.
pub fn fits(settings: &Settings) -> Result<(), Trouble> {
    spans_can_be_kept(settings)?;
    store_paths(settings)?;
    tenants::directory(settings)?;
    web::trusted_proxies(settings)?;
    tls::is_whole(settings)?;
    policy(settings)?;
    pickup_settings(settings)?;
    return_hosts(settings)?;
    evidence_can_be_kept(settings)?;
    tls_reports::contact(settings)?;
    tls_reports::address_is_reached(settings)?;
    is_for_this_machine(settings, &listeners(settings))?;
    no_tenant_is_laxer(settings)?;
    let profiles = settings.tenant.iter().flat_map(|tenant| {
        let own = tenant.profile.unwrap_or(settings.route.profile);
        tenant
            .domain_profiles
            .values()
            .map(move |profile| own.max(*profile))
            .chain([own])
    });
    let is_standard = |profile| profile == Profile::Standard;
    let mut all = profiles.chain([settings.route.profile]);
    if all.any(is_standard) && settings.dns.vantage.is_empty() {
        return Err(SettingsError::Invalid(
            "profile \"standard\" needs a second place that sees the DNS. Either name one: \
             [[dns.vantage]] server = \"9.9.9.9:853\", name = \"dns.quad9.net\"; \
             or raise the profile: route.profile = \"strict\""
                .to_owned(),
        )
        .into());
    }
    Ok(())
}

/// The same, and every file that the settings name can be read and is what it should be.
///
/// # Errors
/// What is wrong, and what to write instead.
pub fn fits_with_files(settings: &Settings) -> Result<(), Trouble> {
    fits(settings)?;
    roots(settings)?;
    dkim_keys(settings)?;
    master_key(settings, Arc::new(SystemEntropy))?;
    Carrier::new(settings)?;
    tls::can_be_read(settings)?;
    Ok(())
}

/// What is done again and again must leave time for something else.
fn spans_can_be_kept(settings: &Settings) -> Result<(), SettingsError> {
    let least = Span::from_secs(1);
    let of = [
        ("route.budget", settings.route.budget),
        ("route.attempt_lease", settings.route.attempt_lease),
        ("tls_reports.poll_every", settings.tls_reports.poll_every),
    ];
    match of.iter().find(|(_, span)| *span < least) {
        None => Ok(()),
        Some((key, _)) => Err(SettingsError::Invalid(format!(
            "{key} is shorter than a second"
        ))),
    }
}

/// `route.profile` is what everybody may rely on.
fn no_tenant_is_laxer(settings: &Settings) -> Result<(), SettingsError> {
    let least = settings.route.profile;
    for tenant in &settings.tenant {
        let mut own = tenant.profile.iter().chain(tenant.domain_profiles.values());
        if own.any(|profile| *profile < least) {
            return Err(SettingsError::Invalid(format!(
                "tenant {:?} has a profile that is laxer than route.profile; raise it, or lower route.profile",
                tenant.name.as_str()
            )));
        }
    }
    Ok(())
}

/// What a tenant asks for is done, or refused: never left out in silence.
fn evidence_can_be_kept(settings: &Settings) -> Result<(), SettingsError> {
    let asks = |tenant: &&TenantSection| tenant.evidence == Evidence::Handshake;
    match settings.tenant.iter().find(asks) {
        None => Ok(()),
        Some(tenant) => Err(SettingsError::Invalid(format!(
            "tenant {}: evidence = \"handshake\": this version cannot commit a message in the TLS \
             handshake; write evidence = \"standard\", or leave the key out",
            tenant.name
        ))),
    }
}

/// Codes go to the terminal only where nobody else can come in.
///
/// # Errors
/// Where they would be shown although somebody could.
pub fn is_for_this_machine(
    settings: &Settings,
    listeners: &[SocketAddr],
) -> Result<(), SettingsError> {
    if settings.sms.provider == SmsProvider::Console && !is_loopback_only(listeners) {
        return Err(SettingsError::Invalid(
            "sms.provider = \"console\" shows codes on the terminal and is for this machine only; \
             use \"twilio\", or put every listener on 127.0.0.1"
                .to_owned(),
        ));
    }
    Ok(())
}

fn listeners(settings: &Settings) -> Vec<SocketAddr> {
    let listen = &settings.listen;
    [
        listen.submission,
        listen.submissions,
        listen.web,
        listen.bounces,
        listen.metrics,
    ]
    .into_iter()
    .flatten()
    .collect()
}
