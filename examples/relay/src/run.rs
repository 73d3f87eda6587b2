//! Serves: submission, portal and the worker, until told to stop.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use securemail_core::vocab::Alarm;
use securemail_resolver::{Canaries, CanaryAlarm};
use securemail_smtp::{
    Access, BounceParts, BounceServer, Listener, ServerParts, ServerSettings, SmtpServer, TlsMode,
    server_config,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::assemble::{App, Trouble, assemble, canaries, resolver};
use crate::doctor::rollover;
use crate::handler::{Bounces, Handler};
use crate::metrics;
use crate::settings::{self, Settings, load};
use crate::sms::Carrier;
use crate::system::SystemClock;
use crate::web::{self, bind};
use crate::{logging, sanity, terminal, tls, tls_reports};

/// For the end of all that runs: replies to final dots take ten minutes at most (RFC 5321, section
/// 4.5.3.2.6), and what came must be written down. Whatever hangs must not keep a process from its end; its
/// leases end with it, and who starts next knows what may have arrived.
const LAST_REPLIES: Duration = Duration::from_mins(12);
/// How often expiries and reminders are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(20);
/// For what came of a message to be written down after its budget.
const SETTLING: Duration = Duration::from_secs(30);

/// `run` without settings.
#[must_use]
pub fn explain() -> ExitCode {
    terminal::fail(
        2,
        "no settings. Copy examples/relay/relay.toml, put your domains and keys in,\n\
         see what is wrong with:  securemail-relay config check --config relay.toml\n\
         and serve with:          securemail-relay run --config relay.toml",
    )
}

/// `config check`.
#[must_use]
pub fn check_settings(config: &Path) -> ExitCode {
    match read(config).and_then(|settings| sanity::fits_with_files(&settings)) {
        Ok(()) => {
            terminal::say("the settings can be used");
            ExitCode::SUCCESS
        }
        Err(error) => terminal::fail(2, &in_full(&*error)),
    }
}

/// `run`.
pub async fn run(config: &Path) -> ExitCode {
    logging::to_stderr();
    match run_until_stopped(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => terminal::fail(1, &in_full(&*error)),
    }
}

/// An error with its causes, each once.
pub fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Reads settings, with the environment over them.
///
/// # Errors
/// Where they cannot be read.
pub fn read(config: &Path) -> Result<Settings, Trouble> {
    Ok(load(config, std::env::vars())?)
}

/// Whether a text can be read as settings. Nothing that they name is looked at.
///
/// # Errors
/// What is wrong, with the line or the key.
pub fn read_settings(text: &str) -> Result<(), Trouble> {
    settings::read(text, Path::new("settings"), std::iter::empty())?;
    Ok(())
}

async fn run_until_stopped(config: &Path) -> Result<(), Trouble> {
    let mut running = launch(config).await?;
    terminal::say(&running.where_it_listens());
    let signal = tokio::select! {
        signal = wait_for_signal() => Some(signal),
        () = running.lost_a_part() => None,
    };
    running.stop().await;
    match signal {
        Some(signal) => Ok(signal?),
        None => Err("a part of the relay ended by itself; the log says why. Start it again".into()),
    }
}

/// Starts a relay with these settings, in this process.
///
/// # Errors
/// Where something does not fit; the text says what to change.
pub async fn launch(config: &Path) -> Result<Running, Trouble> {
    let settings = read(config)?;
    sanity::fits(&settings)?;
    warn_of_choices(&settings);
    resolver(&settings, Arc::new(SystemClock))?.probe().await?;
    start(&settings, Carrier::new(&settings)?).await
}

fn warn_of_choices(settings: &Settings) {
    if settings.dns.second_opinion.is_empty() {
        terminal::warn("dns.second_opinion is empty: every decision rests on one validator");
    }
    if let Some(exposed) = settings.listen.metrics.and_then(metrics::exposure) {
        terminal::warn(&exposed);
    }
    if settings.dns.trust_anchor.is_some() && settings.dns.canaries.is_none() {
        terminal::warn(
            "dns.canaries is not set and dns.trust_anchor is: nothing would notice a resolver \
             that stops validating",
        );
    }
    if !settings.route.allow_networks.is_empty() {
        terminal::warn("route.allow_networks allows mail servers that are not on the Internet");
    }
    terminal::warn("no virus or spam scanner is configured: none exists yet");
}

/// A relay that serves.
pub struct Running {
    pub(crate) app: Arc<App>,
    /// Where submission with STARTTLS is.
    pub submission: Option<SocketAddr>,
    /// Where the portal is.
    pub web: Option<SocketAddr>,
    /// Where bounces of notices are taken.
    pub bounces: Option<SocketAddr>,
    /// Where numbers are read.
    pub metrics: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    fn where_it_listens(&self) -> String {
        let mut text = "ready".to_owned();
        let listeners = [
            ("submission", self.submission),
            ("web", self.web),
            ("bounces", self.bounces),
            ("metrics", self.metrics),
        ];
        for (name, address) in listeners {
            if let Some(address) = address {
                text.push_str(&format!(" {name}={address}"));
            }
        }
        text
    }

    /// Returns when something that ought to run until [`Self::stop`] has ended: half a relay helps nobody,
    /// and looks whole from outside.
    pub async fn lost_a_part(&mut self) {
        one_ended(&mut self.tasks).await;
    }

    /// Takes nothing new, finishes what was begun, and ends: after `LAST_REPLIES` at the latest.
    pub async fn stop(self) {
        let Self {
            app, stop, tasks, ..
        } = self;
        // All receivers may be gone already.
        stop.send_replace(true);
        let ended = async {
            for task in tasks {
                if let Err(error) = task.await {
                    tracing::error!(%error, "a task ended badly");
                }
            }
            app.tasks.finished().await;
        };
        if tokio::time::timeout(LAST_REPLIES, ended).await.is_err() {
            tracing::warn!(
                "attempts have not ended in time; what they sent counts as unconfirmed at the next start"
            );
        }
        // The reporter wrote counts down when it was told to stop; these are of what ran on.
        if let Err(error) = app.relay.write_counts().await {
            tracing::warn!(%error, "counts of TLS sessions are lost");
        }
    }
}

/// Returns when one has ended, and takes it out.
async fn one_ended(tasks: &mut Vec<JoinHandle<()>>) {
    if tasks.is_empty() {
        return std::future::pending().await;
    }
    let (ended, index, _) = select_all(tasks.iter_mut()).await;
    if let Err(error) = ended {
        tracing::error!(%error, "a part of the relay failed");
    }
    drop(tasks.swap_remove(index));
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("submission", &self.submission)
            .field("web", &self.web)
            .field("bounces", &self.bounces)
            .field("metrics", &self.metrics)
            .finish_non_exhaustive()
    }
}

/// Starts listeners and worker.
///
/// # Errors
/// Where something does not fit or a socket cannot be had.
pub async fn start(settings: &Settings, carrier: Carrier) -> Result<Running, Trouble> {
    let app = Arc::new(assemble(settings, carrier).await?);
    let certificate = tls::own(settings)?;
    rollover::guard(settings, &*app.resolver, &certificate).await?;
    let canaries = canaries(settings)?;
    take_up_alarms(&app, canaries.as_ref()).await?;
    let (stop, stopped) = watch::channel(false);
    let mut tasks = Vec::new();
    let (smtp, submission) = smtp_listeners(settings).await?;
    if !smtp.is_empty() {
        let server = smtp_server(settings, &app, &certificate)?;
        let stopped = stopped.clone();
        tasks.push(tokio::spawn(
            async move { server.serve(smtp, stopped).await },
        ));
    }
    let mut web = None;
    if let Some(address) = settings.listen.web {
        let (bound, serving) = web::start(
            settings,
            (&app.base, &certificate),
            address,
            stopped.clone(),
        )
        .await?;
        web = Some(bound);
        tasks.push(serving);
    }
    let mut bounces = None;
    if let Some(address) = settings.listen.bounces {
        let socket = bind(address).await?;
        bounces = Some(socket.local_addr()?);
        let server = bounce_server(settings, &app, &certificate)?;
        let stopped = stopped.clone();
        tasks.push(tokio::spawn(
            async move { server.serve(socket, stopped).await },
        ));
    }
    let mut metrics = None;
    if let Some(address) = settings.listen.metrics {
        let parts = (&app.base, &certificate);
        let (bound, serving) = metrics::start(parts, address, stopped.clone()).await?;
        metrics = Some(bound);
        tasks.push(serving);
    }
    tasks.extend(in_background(settings, &app, canaries, &stopped)?);
    Ok(Running {
        app,
        submission,
        web,
        bounces,
        metrics,
        stop,
        tasks,
    })
}

/// Starts what no client asks for: retries, canaries, policies, reports, the sweeper.
fn in_background(
    settings: &Settings,
    app: &Arc<App>,
    canaries: Option<Canaries>,
    stopped: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>, Trouble> {
    let work = app.relay.clone().work(until(stopped.clone()));
    let mut tasks = vec![tokio::spawn(work)];
    if let Some(canaries) = canaries {
        let (listening, until_stopped) = (app.clone(), until(stopped.clone()));
        tasks.push(tokio::spawn(async move {
            let heard = |alarm| heard(&listening, alarm);
            tokio::select! {
                () = listening.resolver.keep_listening(&canaries, heard) => {}
                () = until_stopped => {}
            }
        }));
    }
    let refreshing = app.clone();
    let until_stopped = until(stopped.clone());
    tasks.push(tokio::spawn(async move {
        refreshing.refresher.work(until_stopped).await;
    }));
    if let Some(reporter) = tls_reports::reporter(settings, &app.relay, &app.poster)? {
        let stopped = until(stopped.clone());
        tasks.push(tokio::spawn(async move { reporter.work(stopped).await }));
    }
    tasks.push(tokio::spawn(sweep(app.clone(), stopped.clone())));
    Ok(tasks)
}

/// Once before the first message: what lasted when the last process ended, and what the canaries say now.
/// Where there are none any more, nobody else would say that their alarm is over.
async fn take_up_alarms(app: &App, canaries: Option<&Canaries>) -> Result<(), Trouble> {
    app.relay.recall_alarms().await?;
    let alarm = match canaries {
        Some(canaries) => app.resolver.listen(canaries).await.alarm,
        None => None,
    };
    heard(app, alarm).await;
    Ok(())
}

/// What the canaries say becomes an alarm of the node, or the end of one.
async fn heard(app: &App, alarm: Option<CanaryAlarm>) {
    match alarm {
        Some(alarm) => app.relay.raise(Alarm::Canary, &alarm.to_string()).await,
        None => app.relay.clear(Alarm::Canary).await,
    }
}

type SmtpListeners = (Vec<Listener>, Option<SocketAddr>);

async fn smtp_listeners(settings: &Settings) -> Result<SmtpListeners, Trouble> {
    let mut listeners = Vec::new();
    let mut submission = None;
    let wanted = [
        (settings.listen.submission, TlsMode::StartTls),
        (settings.listen.submissions, TlsMode::Implicit),
    ];
    for (address, tls) in wanted {
        let Some(address) = address else { continue };
        let socket = bind(address).await?;
        if tls == TlsMode::StartTls {
            submission = Some(socket.local_addr()?);
        }
        listeners.push(Listener {
            socket,
            tls,
            access: Access::Accounts,
        });
    }
    Ok((listeners, submission))
}

/// What a server for submissions keeps to.
fn submission_settings(settings: &Settings) -> ServerSettings {
    let mut server = ServerSettings::new(
        settings.relay.hostname.clone(),
        settings.relay.data_dir.clone(),
    );
    server.message_bytes = settings.limits.message_bytes;
    server.memory_bytes = settings.limits.memory_bytes;
    server.connections = settings.limits.connections;
    server.connections_per_address = settings.limits.connections_per_address;
    // A message may use its whole budget, and what came of it must be written down.
    server.timeouts.drain = settings.route.budget.duration().saturating_add(SETTLING);
    server
}

fn smtp_server(
    settings: &Settings,
    app: &App,
    certificate: &tls::Certificate,
) -> Result<SmtpServer, Trouble> {
    let config = server_config(certificate.chain.clone(), certificate.key.clone_key())?;
    Ok(SmtpServer::new(ServerParts {
        settings: submission_settings(settings),
        tls: Arc::new(config),
        handler: Arc::new(Handler(app.relay.clone())),
        directory: app.base.directory(),
        clock: app.base.clock.clone(),
        entropy: app.base.entropy.clone(),
    })?)
}

fn bounce_server(
    settings: &Settings,
    app: &App,
    certificate: &tls::Certificate,
) -> Result<BounceServer, Trouble> {
    let server = ServerSettings::for_bounces(
        settings.relay.hostname.clone(),
        settings.relay.data_dir.clone(),
    );
    let config = server_config(certificate.chain.clone(), certificate.key.clone_key())?;
    Ok(BounceServer::new(BounceParts {
        settings: server,
        tls: Arc::new(config),
        handler: Arc::new(Bounces(app.relay.clone())),
        reports: tls_reports::report_box(settings, app)?,
        directory: app.base.directory(),
        clock: app.base.clock.clone(),
        entropy: app.base.entropy.clone(),
    })?)
}

async fn sweep(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            _ = stopped.changed() => return,
        }
        if let Err(error) = app.relay.sweep().await {
            tracing::warn!(%error, "the vault could not be swept");
        }
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // The sender lives as long as the relay; were it gone, that would be the time to stop as well.
    drop(stopped.wait_for(|stop| *stop).await);
}

/// Waits until this process is told to stop.
///
/// # Errors
/// Where signals cannot be heard.
pub async fn wait_for_signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_drain_covers_whatever_budget_is_set() {
        let budget = ("SECUREMAIL__ROUTE__BUDGET".to_owned(), "2m".to_owned());
        let settings = load(Path::new("relay.toml"), [budget].into_iter()).unwrap();
        let drain = submission_settings(&settings).timeouts.drain;
        assert!(drain > Duration::from_mins(2), "{drain:?}");
    }

    #[tokio::test]
    async fn a_part_that_ends_is_noticed_and_no_other_is_touched() {
        let ends_badly = async { panic!("a fault that the test means") };
        let mut tasks = vec![
            tokio::spawn(std::future::pending()),
            tokio::spawn(ends_badly),
            tokio::spawn(std::future::pending()),
        ];
        one_ended(&mut tasks).await;
        assert_eq!(tasks.len(), 2);
        let while_ = Duration::from_millis(200);
        assert!(
            tokio::time::timeout(while_, one_ended(&mut tasks))
                .await
                .is_err(),
            "the others run"
        );
        assert!(
            tokio::time::timeout(while_, one_ended(&mut Vec::new()))
                .await
                .is_err(),
            "who has no parts lost none"
        );
    }
}
