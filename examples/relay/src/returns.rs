//! Return routes of the settings: which host takes the mail to a tenant's own people.

use std::collections::BTreeMap;
use std::fs;

use securemail_core::backend::{Login, ReturnHost, TlsStart};
use securemail_core::secret::SecretText;
use securemail_core::vocab::TenantId;

use crate::settings::{ReturnRouteSection, ReturnTls, Settings, SettingsError, TenantSection};

/// The return host of each tenant that names one.
///
/// # Errors
/// Where one does not fit, or its password cannot be read.
pub fn return_hosts(settings: &Settings) -> Result<BTreeMap<TenantId, ReturnHost>, SettingsError> {
    let mut hosts = BTreeMap::new();
    for tenant in &settings.tenant {
        let Some(route) = &tenant.return_route else {
            continue;
        };
        if route.host == settings.relay.hostname {
            return Err(wrong(
                tenant,
                "host: this is the relay itself; name the mail platform",
            ));
        }
        hosts.insert(tenant.name.clone(), return_host(tenant, route)?);
    }
    Ok(hosts)
}

fn return_host(
    tenant: &TenantSection,
    route: &ReturnRouteSection,
) -> Result<ReturnHost, SettingsError> {
    let (start, usual_port) = match route.tls {
        ReturnTls::Starttls => (TlsStart::StartTls, 25),
        ReturnTls::Implicit => (TlsStart::AtOnce, 465),
    };
    let port = route.port.unwrap_or(usual_port);
    if port == 0 {
        return Err(wrong(tenant, "port: 1 to 65535"));
    }
    Ok(ReturnHost {
        host: route.host.clone(),
        port,
        start,
        login: login(tenant, route)?,
    })
}

fn login(
    tenant: &TenantSection,
    route: &ReturnRouteSection,
) -> Result<Option<Login>, SettingsError> {
    let (username, file) = match (&route.username, &route.password_file) {
        (None, None) => return Ok(None),
        (Some(username), Some(file)) => (username, file),
        (Some(_), None) => return Err(wrong(tenant, "username needs password_file")),
        (None, Some(_)) => return Err(wrong(tenant, "password_file needs username")),
    };
    let text = fs::read_to_string(file).map_err(|error| crate::assemble::at(file, error))?;
    let text = SecretText::new(text);
    let password = SecretText::new(text.expose().trim_end_matches(['\r', '\n']));
    let login = Login::new(username, password);
    login
        .map(Some)
        .map_err(|error| wrong(tenant, &error.to_string()))
}

fn wrong(tenant: &TenantSection, what: &str) -> SettingsError {
    SettingsError::Invalid(format!("tenant {}: return_route: {what}", tenant.name))
}
