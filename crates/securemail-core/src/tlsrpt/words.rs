//! A report in plain words, for whoever runs the domain.

use super::{Details, Report, ResultType, UtcDay};
use crate::vocab::is_hidden;

impl Report {
    /// The day in which it begins; `None` where it does not say.
    #[must_use]
    pub fn day(&self) -> Option<UtcDay> {
        super::json::moment(&self.date_range.start_datetime).map(UtcDay::of)
    }

    /// What it says, a line for each thing. It was written elsewhere: only what can do no harm on a
    /// terminal is shown of its texts.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut text = String::new();
        let who = shown(&self.organization_name);
        for entry in &self.policies {
            let by = match entry.policy.policy_type.as_str() {
                "tlsa" => "DANE",
                "sts" => "MTA-STS",
                _ => "no policy",
            };
            let (good, bad) = (
                entry.summary.total_successful_session_count,
                entry.summary.total_failure_session_count,
            );
            let domain = shown(&entry.policy.policy_domain);
            text.push_str(&format!(
                "{who}: {domain} ({by}): {good} sessions were safe, {bad} failed\n"
            ));
            for details in &entry.failure_details {
                text.push_str(&format!("  {}\n", line(details)));
            }
        }
        text
    }
}

fn line(details: &Details) -> String {
    let what = match ResultType::parse(&details.result_type) {
        Some(result) => result.text().to_owned(),
        None => shown(&details.result_type),
    };
    let mut line = format!("{} x {what}", details.failed_session_count);
    if let Some(host) = &details.receiving_mx_hostname {
        line.push_str(&format!(", at {}", shown(host)));
    }
    if let Some(code) = &details.failure_reason_code {
        line.push_str(&format!(" ({})", shown(code)));
    }
    line
}

fn shown(text: &str) -> String {
    let harmless = |c: char| !c.is_control() && !is_hidden(c);
    text.chars()
        .take(CHARS_SHOWN)
        .map(|c| if harmless(c) { c } else { '?' })
        .collect()
}

const CHARS_SHOWN: usize = 120;
