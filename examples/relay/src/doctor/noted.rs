//! What the relay itself wrote down: alarms, and what others report about TLS to our domains.

use securemail_core::backend::{Clock as _, DomainMemory};
use securemail_core::ledger::{Fact, lasting_alarms};
use securemail_core::tlsrpt::UtcDay;
use securemail_core::vocab::DnsName;

use super::report::{Level, Report, advice, fail, good, unknown};
use crate::assemble::{Trouble, open_log};
use crate::events::node;
use crate::run::in_full;
use crate::settings::Settings;
use crate::system::SystemClock;
use crate::tls_reports::reported_domains;

/// Looks into the store that the relay keeps.
pub async fn look(settings: &Settings) -> Report {
    let mut report = Report::default();
    let looked = async {
        look_at_alarms(settings, &mut report).await?;
        look_at_reports(settings, &mut report).await
    };
    if let Err(error) = looked.await {
        report.add(&"store", "store", unknown(in_full(&*error)));
    }
    report
}

/// What lasts is wrong; what is over can be read in the events.
async fn look_at_alarms(settings: &Settings, report: &mut Report) -> Result<(), Trouble> {
    let events = node(settings).await?;
    let lasting = lasting_alarms(&events);
    for (alarm, event) in &lasting {
        let why = event.fact(Fact::Reason).unwrap_or(alarm.text());
        let text = format!("since {}: {why}", event.time);
        report.add(alarm, "alarm", fail(text));
    }
    if lasting.is_empty() {
        let text = match events.last() {
            None => "there was none".to_owned(),
            Some(last) => format!("the last was over at {}; `events --node`", last.time),
        };
        report.add(&"node", "alarm", good(text));
    }
    Ok(())
}

async fn look_at_reports(settings: &Settings, report: &mut Report) -> Result<(), Trouble> {
    let (store, _) = open_log(settings).await?;
    for domain in reported_domains(settings) {
        if let Some(found) = reported(&*store, &domain).await? {
            report.add(&domain, "tls_reports", found);
        }
    }
    Ok(())
}

/// The sum of a week; nothing where nobody reported. Whoever says it may be wrong, so it is advice.
async fn reported(
    memory: &dyn DomainMemory,
    domain: &DnsName,
) -> Result<Option<(Level, String)>, Trouble> {
    let since = UtcDay::of(SystemClock.now()).minus(DAYS);
    let received = memory.received_reports(domain, REPORTS_MAX).await?;
    let recent: Vec<_> = received.iter().filter(|one| one.day >= since).collect();
    if recent.is_empty() {
        return Ok(None);
    }
    let summaries = || {
        recent
            .iter()
            .flat_map(|one| &one.report.policies)
            .map(|entry| entry.summary)
    };
    let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0, u64::saturating_add);
    let safe = sum(&mut summaries().map(|one| one.total_successful_session_count));
    let failed = sum(&mut summaries().map(|one| one.total_failure_session_count));
    let text = format!(
        "{} reports in {DAYS} days: {safe} sessions were safe, {failed} failed",
        recent.len()
    );
    Ok(Some(if failed == 0 {
        good(text)
    } else {
        advice(format!("{text}; `events --tls-reports` says why"))
    }))
}

/// Reports speak of days that are over.
const DAYS: u32 = 7;
/// More than a week has of one domain (`limits::TLS_REPORTS_A_DAY_MAX` a day).
const REPORTS_MAX: usize = 2000;
