//! Reports about TLS (RFC 8460): who reports, and about whom, built from the settings.

use std::sync::Arc;

use securemail_auth::DkimSignatures;
use securemail_core::backend::ReportPoster;
use securemail_core::drive::{Relay, TlsInbox, TlsReportSettings, TlsReporter};
use securemail_core::tlsrpt::ReportUri;
use securemail_core::vocab::{Address, DnsName};
use securemail_smtp::ReportBox;

use crate::assemble::{App, Base, Trouble};
use crate::settings::{Settings, SettingsError};

/// Whether sessions are counted and reported. Without a tenant nobody sends anything.
pub fn is_on(settings: &Settings) -> bool {
    settings.tls_reports.send && !settings.tenant.is_empty()
}

/// What sends reports, where they are sent.
///
/// # Errors
/// Where `tls_reports.contact` does not fit.
pub fn reporter(
    settings: &Settings,
    relay: &Arc<Relay>,
    poster: &Arc<dyn ReportPoster>,
) -> Result<Option<TlsReporter>, SettingsError> {
    let contact = contact(settings)?;
    let Some(tenant) = settings.tenant.first().filter(|_| is_on(settings)) else {
        return Ok(None);
    };
    let organisation = settings
        .tls_reports
        .organisation
        .clone()
        .or_else(|| tenant.display_name.clone())
        .unwrap_or_else(|| tenant.name.as_str().to_owned());
    let mut reports = TlsReportSettings::new(organisation, contact, tenant.name.clone());
    reports.poll_every = settings.tls_reports.poll_every.duration();
    Ok(Some(TlsReporter::new(
        relay.clone(),
        poster.clone(),
        reports,
    )))
}

/// Takes reports about our own domains by HTTPS, where the settings ask for that.
pub fn inbox(settings: &Settings, base: &Base) -> Option<Arc<TlsInbox>> {
    let receive = settings.tls_reports.receive;
    receive.then(|| keeper(settings, base))
}

fn keeper(settings: &Settings, base: &Base) -> Arc<TlsInbox> {
    let domains = reported_domains(settings);
    Arc::new(TlsInbox::new(base.memory(), base.clock.clone(), domains))
}

/// Takes them by mail, where the settings name an address.
///
/// # Errors
/// Where signatures cannot be checked.
pub fn report_box(settings: &Settings, app: &App) -> Result<Option<ReportBox>, Trouble> {
    let Some(address) = settings.tls_reports.address.clone() else {
        return Ok(None);
    };
    Ok(Some(ReportBox {
        address,
        inbox: keeper(settings, &app.base),
        signatures: Arc::new(DkimSignatures::new(app.resolver.clone())?),
    }))
}

/// Whether what names an address also takes mail.
///
/// # Errors
/// Where nothing would come to it.
pub fn address_is_reached(settings: &Settings) -> Result<(), SettingsError> {
    if settings.tls_reports.address.is_some() && settings.listen.bounces.is_none() {
        return Err(SettingsError::Invalid(
            "tls_reports.address is set and listen.bounces is not: reports by mail come there; set \
             listen.bounces, or leave the address out"
                .to_owned(),
        ));
    }
    Ok(())
}

/// The domains that others may report about: those of the tenants, and our own host.
pub fn reported_domains(settings: &Settings) -> Vec<DnsName> {
    let tenants = settings.tenant.iter();
    let mut domains: Vec<DnsName> = tenants.flat_map(|tenant| tenant.domains.clone()).collect();
    domains.push(settings.relay.hostname.clone());
    domains.sort();
    domains.dedup();
    domains
}

/// Whom a receiver asks. The domain must be the one that signs notices, since a report counts only when
/// the domain of its contact has signed it (RFC 8460, sections 3 and 5.3).
///
/// # Errors
/// Where it is no address, or of another domain.
pub fn contact(settings: &Settings) -> Result<Address, SettingsError> {
    let from = &settings.notice.from;
    let Some(text) = &settings.tls_reports.contact else {
        return Ok(from.clone());
    };
    let contact = match ReportUri::parse(text) {
        Ok(ReportUri::Mailto(address)) => address,
        Ok(ReportUri::Https(_)) | Err(_) => {
            return Err(SettingsError::Invalid(format!(
                "tls_reports.contact = \"{text}\": write \"mailto:ADDRESS\""
            )));
        }
    };
    if contact.domain() != from.domain() {
        return Err(SettingsError::Invalid(format!(
            "tls_reports.contact is not in {}, the domain of notice.from, which signs the reports; \
             name an address there",
            from.domain()
        )));
    }
    Ok(contact)
}
