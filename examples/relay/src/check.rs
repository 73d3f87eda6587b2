//! Explains how mail to a domain would go.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use securemail_core::backend::{Clock, TransportPolicy};
use securemail_core::route::{
    Decided, Explanation, MessageFacts, NtaFinding, NtaSettings, StandardPolicy, exit_code,
};
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
    sentence: &'a str,
    advice: &'a [String],
    explanation: &'a Explanation,
    #[serde(skip_serializing_if = "Option::is_none")]
    nta7516: &'a Option<Vec<NtaFinding>>,
}

/// What more is asked than the way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asking {
    /// Open a session with each host.
    pub connect: bool,
    /// Look past whatever is kept.
    pub fresh: bool,
    /// Print JSON.
    pub json: bool,
    /// Check what the domain says under NTA 7516, and decide for an organisation that asks for the norm.
    pub nta7516: bool,
}

/// What `check` found out.
struct Checked {
    decided: Decided,
    explanation: Explanation,
    nta7516: Option<Vec<NtaFinding>>,
}

/// `check`.
pub async fn check(domain: &str, config: Option<&Path>, asking: Asking) -> ExitCode {
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
    match decide(&settings, &domain, asking).await {
        Ok(checked) => report(&checked, asking.json),
        Err(error) => terminal::fail(UNKNOWN, &in_full(&*error)),
    }
}

async fn decide(settings: &Settings, domain: &DnsName, asking: Asking) -> Result<Checked, Trouble> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let resolver = Arc::new(resolver(settings, clock.clone())?);
    resolver.probe().await?;
    let (store, _) = open_log(settings).await?;
    let inquirer = inquirer(resolver, settings, store, clock.clone())?;
    let facts = MessageFacts {
        nta7516: asking.nta7516.then(NtaSettings::default),
        ..MessageFacts::at(clock.now())
    };
    let profile = settings.route.profile;
    let mut evidence = if asking.fresh {
        inquirer.inquire_anew(domain, profile, facts).await?
    } else {
        inquirer.inquire(domain, profile, facts).await?
    };
    let standard = StandardPolicy::new(policy(settings)?);
    let mut decision = standard.decide(&evidence, clock.now());
    let mut seen = Vec::new();
    if asking.connect {
        let probed = probe::probe(settings, &standard, &mut evidence, decision, &*clock).await?;
        (decision, seen) = probed;
    }
    let nta7516 = if asking.nta7516 {
        Some(inquirer.nta7516(domain, &NtaSettings::default()).await)
    } else {
        None
    };
    Ok(Checked {
        explanation: Explanation::new(&evidence, &decision, &seen),
        decided: Decided {
            decision,
            evidence,
            settings: standard.settings().clone(),
        },
        nta7516,
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

fn report(checked: &Checked, json: bool) -> ExitCode {
    let Checked {
        decided,
        explanation,
        nta7516,
    } = checked;
    if json {
        let explained = Explained {
            decided,
            sentence: &explanation.sentence,
            advice: &explanation.advice,
            explanation,
            nta7516,
        };
        match serde_json::to_string_pretty(&explained) {
            Ok(text) => terminal::say(&text),
            Err(error) => return terminal::fail(UNKNOWN, &error.to_string()),
        }
    } else {
        terminal::say(explanation.to_string().trim_end());
        for finding in nta7516.iter().flatten() {
            terminal::say(&finding.to_string());
        }
    }
    ExitCode::from(exit_code(&decided.decision))
}
