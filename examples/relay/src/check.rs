//! Explains how mail to a domain would go.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use securemail_core::backend::{Clock, TransportPolicy};
use securemail_core::route::{Decided, MessageFacts, StandardPolicy, exit_code};
use securemail_core::vocab::DnsName;
use serde::Serialize;

use crate::assemble::{Trouble, inquirer, open_log, policy, resolver};
use crate::run::{in_full, read};
use crate::settings::Settings;
use crate::system::SystemClock;
use crate::{probe, terminal};

/// Used wrongly.
const USAGE: u8 = 2;
/// Could not tell.
const UNKNOWN: u8 = 3;

/// A file to replay is no longer than this: DNS answers and policies are bounded too.
const REPLAY_OCTETS_MAX: u64 = 16 << 20;

/// A decision with all that it came from, and in words, for `--json`.
#[derive(Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    decided: &'a Decided,
    sentence: String,
    advice: Vec<String>,
}

/// `check`.
pub async fn check(domain: &str, config: Option<&Path>, connect: bool, json: bool) -> ExitCode {
    let Ok(domain) = DnsName::parse(domain) else {
        return terminal::fail(USAGE, &format!("`{domain}` is not a domain name"));
    };
    let Some(config) = config else {
        return terminal::fail(
            USAGE,
            "name the settings with --config FILE: they say which resolver is trusted",
        );
    };
    let settings = match read(config) {
        Ok(settings) => settings,
        Err(error) => return terminal::fail(USAGE, &error.to_string()),
    };
    match decide(&settings, &domain, connect).await {
        Ok(decided) => report(&decided, json),
        Err(error) => terminal::fail(UNKNOWN, &in_full(&*error)),
    }
}

async fn decide(settings: &Settings, domain: &DnsName, connect: bool) -> Result<Decided, Trouble> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    resolver(settings, clock.clone())?.probe().await?;
    let (store, _) = open_log(settings).await?;
    let inquirer = inquirer(settings, store, clock.clone())?;
    let facts = MessageFacts::at(clock.now());
    let mut evidence = inquirer
        .inquire(domain, settings.route.profile, facts)
        .await?;
    let standard = StandardPolicy::new(policy(settings)?);
    let mut decision = standard.decide(&evidence, clock.now());
    if connect {
        decision = probe::probe(settings, &standard, &mut evidence, decision, &*clock).await?;
    }
    Ok(Decided {
        decision,
        evidence,
        settings: standard.settings().clone(),
    })
}

/// `check --replay`: decides again from what `--json` printed.
#[must_use]
pub fn replay(file: &Path) -> ExitCode {
    let decided = match read_decided(file) {
        Ok(decided) => decided,
        Err(error) => {
            let name = file.display();
            return terminal::fail(USAGE, &format!("{name}: {}", in_full(&*error)));
        }
    };
    let again = decided.again();
    terminal::say(&again.to_string());
    if again != decided.decision {
        return terminal::fail(
            UNKNOWN,
            "that is not the decision in the file: it was changed, or another version made it",
        );
    }
    ExitCode::from(exit_code(&again))
}

fn read_decided(file: &Path) -> Result<Decided, Trouble> {
    let mut text = String::new();
    File::open(file)?
        .take(REPLAY_OCTETS_MAX)
        .read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

fn report(decided: &Decided, json: bool) -> ExitCode {
    let decision = &decided.decision;
    if json {
        let explained = Explained {
            decided,
            sentence: decision.sentence(),
            advice: decision.advice(),
        };
        match serde_json::to_string_pretty(&explained) {
            Ok(text) => terminal::say(&text),
            Err(error) => return terminal::fail(UNKNOWN, &error.to_string()),
        }
    } else {
        terminal::say(&decision.to_string());
    }
    ExitCode::from(exit_code(decision))
}
