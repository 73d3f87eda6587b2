//! Shows what happened to a message as a readable timeline, what others report about our TLS, and alarms.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use securemail_core::backend::{AuditSink, DomainMemory, StoredEvent};
use securemail_core::drive::node_events;
use securemail_core::ledger::{self, Log, ReadEvent};
use securemail_core::mail::Reference;
use securemail_core::vocab::{Address, QueueId, TenantId};

use crate::assemble::{Trouble, open_log};
use crate::run::{in_full, read};
use crate::settings::{Settings, SettingsError};
use crate::terminal;
use crate::tls_reports::reported_domains;

/// Events shown at most; a message has a few dozen.
const SHOWN_MAX: usize = 1000;

/// `events`.
pub async fn events(config: &Path, tenant: Option<&str>, message: Option<&str>) -> ExitCode {
    let settings = match read(config) {
        Ok(settings) => settings,
        Err(error) => return terminal::fail(2, &error.to_string()),
    };
    match timeline(&settings, tenant, message).await {
        Ok(text) if text.is_empty() => terminal::fail(1, "nothing is known of it"),
        Ok(text) => {
            terminal::say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => terminal::fail(1, &in_full(&*error)),
    }
}

/// `events --tls-reports`.
pub async fn tls_reports(config: &Path) -> ExitCode {
    let settings = match read(config) {
        Ok(settings) => settings,
        Err(error) => return terminal::fail(2, &error.to_string()),
    };
    match received(&settings).await {
        Ok(text) if text.is_empty() => terminal::fail(1, "no report about TLS has come in"),
        Ok(text) => {
            terminal::say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => terminal::fail(1, &in_full(&*error)),
    }
}

/// `events --node`.
pub async fn of_node(config: &Path) -> ExitCode {
    let settings = match read(config) {
        Ok(settings) => settings,
        Err(error) => return terminal::fail(2, &error.to_string()),
    };
    match node(&settings).await {
        Ok(events) if events.is_empty() => terminal::fail(1, "there was no alarm"),
        Ok(events) => {
            terminal::say(ledger::timeline(&events).trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => terminal::fail(1, &in_full(&*error)),
    }
}

/// The newest events of the node, the oldest of them first.
///
/// # Errors
/// Where the log cannot be read.
pub async fn node(settings: &Settings) -> Result<Vec<ReadEvent>, Trouble> {
    let (store, master) = open_log(settings).await?;
    let log = Log::of_tenant(TenantId::nobody(), &*master).await?;
    Ok(node_events(&*store, &log, SHOWN_MAX).await?)
}

/// Domain by domain, the newest day first.
async fn received(settings: &Settings) -> Result<String, Trouble> {
    let (store, _) = open_log(settings).await?;
    let mut text = String::new();
    for domain in reported_domains(settings) {
        for received in store.received_reports(&domain, SHOWN_MAX).await? {
            let signer = received.signer.as_ref();
            let signer = signer.map_or_else(|| "not signed".to_owned(), ToString::to_string);
            let words = received.report.in_words();
            text.push_str(&format!("{} [{signer}] {words}", received.day));
        }
    }
    Ok(text)
}

async fn timeline(
    settings: &Settings,
    tenant: Option<&str>,
    message: Option<&str>,
) -> Result<String, Trouble> {
    let tenant = which_tenant(settings, tenant)?;
    let (store, master) = open_log(settings).await?;
    let log = Log::of_tenant(tenant.clone(), &*master).await?;
    let stored = find(&*store, &log, &tenant, message).await?;
    let read: Result<Vec<ReadEvent>, _> = stored.iter().map(|event| log.read(event)).collect();
    Ok(ledger::timeline(&read?))
}

async fn find(
    store: &dyn AuditSink,
    log: &Log,
    tenant: &TenantId,
    message: Option<&str>,
) -> Result<Vec<StoredEvent>, Trouble> {
    let Some(message) = message else {
        let size = store.page(tenant, 0, 1).await?.size;
        let from = size.saturating_sub(SHOWN_MAX as u64);
        return Ok(store.page(tenant, from, SHOWN_MAX).await?.events);
    };
    if let Ok(queue) = message.parse::<QueueId>() {
        return Ok(store.of_message(tenant, queue).await?);
    }
    if let Ok(reference) = message.parse::<Reference>() {
        return find_by_reference(store, log, tenant, reference).await;
    }
    let index = match message.parse::<Address>() {
        Ok(address) if !message.contains('<') => log.by_recipient(&address),
        _ => log.by_message_id(message),
    };
    let mut found = store.find(tenant, index, SHOWN_MAX).await?;
    found.sort_by_key(|event| event.position);
    Ok(found)
}

/// Everything about the messages that letters and pages call by this reference. It is short: where two
/// messages share one, both are shown.
async fn find_by_reference(
    store: &dyn AuditSink,
    log: &Log,
    tenant: &TenantId,
    reference: Reference,
) -> Result<Vec<StoredEvent>, Trouble> {
    let index = log.by_reference(&reference.to_string());
    let found = store.find(tenant, index, SHOWN_MAX).await?;
    let messages: BTreeSet<QueueId> = found
        .iter()
        .map(|event| Ok(log.read(event)?.queue))
        .collect::<Result<_, Trouble>>()?;
    let mut events = Vec::new();
    for queue in messages {
        events.extend(store.of_message(tenant, queue).await?);
    }
    Ok(events)
}

fn which_tenant(settings: &Settings, wanted: Option<&str>) -> Result<TenantId, SettingsError> {
    match (wanted, settings.tenant.as_slice()) {
        (Some(name), tenants) => tenants
            .iter()
            .find(|tenant| tenant.name.as_str() == name)
            .map(|tenant| tenant.name.clone())
            .ok_or_else(|| SettingsError::Invalid(format!("no tenant is named {name}"))),
        (None, [only]) => Ok(only.name.clone()),
        (None, _) => Err(SettingsError::Invalid(
            "there are several tenants; say --tenant NAME".to_owned(),
        )),
    }
}
