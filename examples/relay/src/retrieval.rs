//! The portal as a server of its own, over the stores of a relay.
//!
//! It keeps no mail moving: what senders and recipients must be told stands in the records, and the
//! relay tells them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::assemble::{Base, Trouble};
use crate::run::{in_full, read, wait_for_signal};
use crate::sanity::is_for_this_machine;
use crate::settings::{Settings, SettingsError};
use crate::sms::Carrier;
use crate::{logging, terminal, tls, web};

/// Serves the portal with the settings of a relay; `listen` stands for `listen.web` where it is given.
pub async fn retrieve(config: &Path, listen: Option<SocketAddr>) -> ExitCode {
    logging::to_stderr();
    match serve(config, listen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => terminal::fail(1, &in_full(&*error)),
    }
}

async fn serve(config: &Path, listen: Option<SocketAddr>) -> Result<(), Trouble> {
    let settings = read(config)?;
    let portal = launch(&settings, listen).await?;
    terminal::say(&format!("ready web={}", portal.address));
    wait_for_signal().await?;
    portal.stop().await;
    Ok(())
}

/// A portal that serves.
#[derive(Debug)]
struct Portal {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Portal {
    /// Takes no more connections, and ends.
    async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the portal ended badly");
        }
    }
}

async fn launch(settings: &Settings, listen: Option<SocketAddr>) -> Result<Portal, Trouble> {
    let address = listen.or(settings.listen.web).ok_or_else(|| {
        SettingsError::Invalid("say where to listen: listen.web, or --listen".to_owned())
    })?;
    is_for_this_machine(settings, &[address])?;
    let base = Base::open(settings, Carrier::new(settings)?).await?;
    let (stop, stopped) = watch::channel(false);
    let certificate = tls::own(settings)?;
    let (address, serving) = web::start(settings, (&base, &certificate), address, stopped).await?;
    Ok(Portal {
        address,
        stop,
        serving,
    })
}
