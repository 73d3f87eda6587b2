//! Explains how mail to a domain would go.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use securemail_core::backend::Clock;
use securemail_core::route::{
    Decided, Explanation, MessageFacts, NtaFinding, NtaSettings, Route, StandardPolicy, exit_code,
};
use securemail_core::vocab::{DnsName, Profile};
use serde::Serialize;

use crate::assemble::{Trouble, inquirer, open_log, policy, resolver};
use crate::run::{in_full, read};
use crate::settings::{Settings, SettingsError};
use crate::system::SystemClock;
use crate::{probe, tenants, terminal};

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
#[derive(Clone, Debug, Default)]
pub struct Asking {
    /// Decide as for mail of this tenant; without one by `route.profile`.
    pub tenant: Option<String>,
    /// Decide as for a message that demands REQUIRETLS.
    pub requiretls: bool,
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
    let domain = match recipient_domain(domain) {
        Ok(domain) => domain,
        Err(wrong) => return terminal::fail(USAGE, &format!("`{domain}` is {wrong}")),
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
    match decide(&settings, &domain, &asking).await {
        Ok(checked) => report(&checked, &asking),
        Err(error) if error.is::<SettingsError>() => terminal::fail(USAGE, &error.to_string()),
        Err(error) => terminal::fail(UNKNOWN, &in_full(&*error)),
    }
}

/// What stands behind the @ of an address, or what else was given.
fn recipient_domain(text: &str) -> Result<DnsName, &'static str> {
    if text.contains('@') {
        return Err("an address; name the domain behind the @ alone");
    }
    if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err("an IP address, which nothing can prove; name a domain");
    }
    DnsName::parse(text).map_err(|_| "not a domain name")
}

async fn decide(
    settings: &Settings,
    domain: &DnsName,
    asking: &Asking,
) -> Result<Checked, Trouble> {
    let (profile, norm) = rules(settings, domain, asking)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let resolver = Arc::new(resolver(settings, clock.clone())?);
    resolver.probe().await?;
    let (store, _) = open_log(settings).await?;
    let inquirer = inquirer(resolver, settings, store, clock.clone())?;
    let facts = MessageFacts {
        require_tls: asking.requiretls,
        nta7516: norm.clone(),
        ..MessageFacts::at(clock.now())
    };
    let mut evidence = if asking.fresh {
        inquirer.inquire_anew(domain, profile, facts).await?
    } else {
        inquirer.inquire(domain, profile, facts).await?
    };
    let standard = StandardPolicy::new(policy(settings)?);
    let mut decision = inquirer.decide(&standard, &mut evidence).await;
    let mut tried = Vec::new();
    if asking.connect {
        let probed = probe::probe(settings, &standard, &mut evidence, decision, &*clock).await?;
        (decision, tried) = probed;
    }
    let nta7516 = match norm {
        Some(norm) => Some(inquirer.nta7516(domain, &norm).await),
        None => None,
    };
    Ok(Checked {
        explanation: Explanation::new(&evidence, &decision, &tried),
        decided: Decided {
            decision,
            evidence,
            settings: standard.settings().clone(),
        },
        nta7516,
    })
}

/// How sure a way must be, and the norm that the organisation asks for.
fn rules(
    settings: &Settings,
    domain: &DnsName,
    asking: &Asking,
) -> Result<(Profile, Option<NtaSettings>), SettingsError> {
    let norm = || asking.nta7516.then(NtaSettings::default);
    let Some(name) = &asking.tenant else {
        return Ok((settings.route.profile, norm()));
    };
    let tenant = tenants::named(settings, name)?;
    let profile = tenant.profile_for(domain);
    Ok((profile, tenant.nta7516.or_else(norm)))
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
    let explanation = Explanation::new(&decided.evidence, &again, &[]);
    terminal::say(explanation.to_string().trim_end());
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

fn report(checked: &Checked, asking: &Asking) -> ExitCode {
    let Checked {
        decided,
        explanation,
        nta7516,
    } = checked;
    if asking.json {
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
        if matches!(decided.decision.route, Route::Deliver(_)) && !asking.connect {
            terminal::say("No host was connected to; --connect shows whether it proves itself.");
        }
    }
    ExitCode::from(exit_code(&decided.decision))
}
