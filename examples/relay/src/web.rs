//! The portal on a socket.

use std::net::SocketAddr;

use securemail_core::route::Network;
use securemail_web::theme::Theme;
use securemail_web::{PortalParts, PortalSettings, portal_router, tls_report_router};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::assemble::{Base, Trouble};
use crate::serve::{WebLimits, https};
use crate::settings::{Settings, SettingsError};
use crate::{tls, tls_reports};

/// Serves the portal until told to stop.
///
/// # Errors
/// Where its settings do not fit, or the socket cannot be had.
pub async fn start(
    settings: &Settings,
    (base, certificate): (&Base, &tls::Certificate),
    address: SocketAddr,
    stopped: watch::Receiver<bool>,
) -> Result<(SocketAddr, JoinHandle<()>), Trouble> {
    let config = tls::web_config(certificate)?;
    let router = router(settings, base).await?;
    let limits = WebLimits::new(trusted_proxies(settings)?);
    let listener = bind(address).await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(async move {
        if let Err(error) = https(listener, config, router, limits, stopped).await {
            tracing::error!(%error, "the web listener ended");
        }
    });
    Ok((address, serving))
}

/// A socket to listen on.
///
/// # Errors
/// Where it cannot be had; the text names it.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Trouble> {
    TcpListener::bind(address).await.map_err(|error| {
        SettingsError::Invalid(format!("cannot listen on {address}: {error}")).into()
    })
}

/// The networks that may say for whom they speak.
///
/// # Errors
/// Where one is no network.
pub fn trusted_proxies(settings: &Settings) -> Result<Vec<Network>, SettingsError> {
    let proxy = |text: &String| {
        text.parse().map_err(|_| {
            SettingsError::Invalid(format!("portal.trusted_proxies: `{text}` is not a network"))
        })
    };
    let proxies = settings.portal.trusted_proxies.iter();
    proxies.map(proxy).collect()
}

async fn router(settings: &Settings, base: &Base) -> Result<axum::Router, Trouble> {
    // Pages of a message carry the name of its organisation; the others belong to nobody where there are
    // several.
    let brand = match settings.tenant.as_slice() {
        [only] => only.display_name.as_deref().unwrap_or(only.name.as_str()),
        _ => "securemail",
    };
    let mut portal = PortalSettings::new(Theme::plain(brand));
    portal.trusted_proxies = trusted_proxies(settings)?;
    let portal = portal_router(PortalParts {
        service: base.pickups.clone(),
        master: base.master.clone(),
        entropy: base.entropy.clone(),
        callbacks: base.callbacks.clone(),
        settings: portal,
    })
    .await?;
    Ok(match tls_reports::inbox(settings, base) {
        Some(inbox) => portal.merge(tls_report_router(inbox)),
        None => portal,
    })
}
