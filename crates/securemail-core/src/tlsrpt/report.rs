//! The report as JSON (RFC 8460, section 4.4), its id and the name of its file (section 5.1).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Failure, Policy, Session, UtcDay};
use crate::limits::{TLS_REPORT_COUNT_MAX, TLS_REPORT_DETAILS_MAX};
use crate::vocab::{Address, DnsName, UnixTime};

/// A report about one domain, as it stands in JSON.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Who reports.
    pub organization_name: String,
    /// Which time it covers.
    pub date_range: DateRange,
    /// Whom to ask.
    pub contact_info: String,
    /// The same for the same report.
    pub report_id: String,
    /// What was seen, policy by policy.
    pub policies: Vec<PolicyEntry>,
}

/// Which time a report covers, as RFC 3339 writes it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DateRange {
    /// From.
    pub start_datetime: String,
    /// To.
    pub end_datetime: String,
}

/// What was seen under one policy.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyEntry {
    /// The policy.
    pub policy: PolicyHead,
    /// How many sessions.
    pub summary: Summary,
    /// Those that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure_details: Vec<Details>,
}

/// A policy as a report shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyHead {
    /// `tlsa`, `sts` or `no-policy-found`.
    pub policy_type: String,
    /// Its lines, or its TLSA records.
    #[serde(
        default,
        deserialize_with = "super::json::one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub policy_string: Vec<String>,
    /// Where it is published.
    pub policy_domain: String,
    /// The hosts that it names.
    #[serde(
        default,
        deserialize_with = "super::json::one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub mx_host: Vec<String>,
}

/// Sessions in all.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Those that were proved.
    pub total_successful_session_count: u64,
    /// Those that were not.
    pub total_failure_session_count: u64,
}

/// Sessions that failed in one way.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Details {
    /// One of section 4.3; others are read too, since new ones may be registered.
    pub result_type: String,
    /// From which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending_mta_ip: Option<String>,
    /// With which MX host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_mx_hostname: Option<String>,
    /// What that called itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_mx_helo: Option<String>,
    /// At which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_ip: Option<String>,
    /// How many.
    pub failed_session_count: u64,
    /// More in words, or where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_information: Option<String>,
    /// In a word of the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason_code: Option<String>,
}

/// Who reports, about whom, for which day. `Debug` does not show whom to ask.
#[derive(Clone, Eq, PartialEq)]
pub struct ReportHead {
    /// The name of the organisation that reports.
    pub organisation: String,
    /// Whom to ask; its domain is the submitter, and signs the mail.
    pub contact: Address,
    /// The domain that the report is about.
    pub domain: DnsName,
    /// The day.
    pub day: UtcDay,
}

impl ReportHead {
    /// The domain that reports (`TLS-Report-Submitter`).
    #[must_use]
    pub const fn submitter(&self) -> &DnsName {
        self.contact.domain()
    }

    /// The id: of submitter, domain and day alone, so that a retry has the same.
    #[must_use]
    pub fn report_id(&self) -> String {
        format!("{}.{}@{}", self.day, self.digest(), self.submitter())
    }

    /// The name of the file (section 5.1).
    #[must_use]
    pub fn file_name(&self) -> String {
        format!(
            "{}!{}!{}!{}!{}.json.gz",
            self.submitter(),
            self.domain,
            self.day.begins().as_secs(),
            self.last_second().as_secs(),
            self.digest()
        )
    }

    /// The report over these counts.
    #[must_use]
    pub fn report(&self, sessions: &[(Session, u64)]) -> Report {
        Report {
            organization_name: self.organisation.clone(),
            date_range: DateRange {
                start_datetime: self.day.begins().to_string(),
                end_datetime: self.last_second().to_string(),
            },
            contact_info: self.contact.to_string(),
            report_id: self.report_id(),
            policies: entries(sessions),
        }
    }

    /// Section 4.4 has the day end with the second before midnight.
    fn last_second(&self) -> UnixTime {
        UnixTime::from_secs(self.day.ends().as_secs().saturating_sub(1))
    }

    fn digest(&self) -> String {
        let digest = Sha256::new()
            .chain_update(b"securemail/v1/tls-report\0")
            .chain_update(self.submitter().as_str())
            .chain_update([0])
            .chain_update(self.domain.as_str())
            .chain_update(self.day.number().to_be_bytes())
            .finalize();
        digest.iter().take(8).map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Debug for ReportHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReportHead")
            .field("domain", &self.domain)
            .field("day", &self.day)
            .finish_non_exhaustive()
    }
}

impl Report {
    /// As JSON (RFC 7493: I-JSON).
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Texts and numbers only: there is nothing that could fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn entries(sessions: &[(Session, u64)]) -> Vec<PolicyEntry> {
    let mut policies: BTreeMap<&Policy, (Summary, BTreeMap<&Failure, u64>)> = BTreeMap::new();
    for (session, count) in sessions {
        let (summary, failures) = policies.entry(&session.policy).or_default();
        let total = match &session.failure {
            None => &mut summary.total_successful_session_count,
            Some(failure) => {
                let failed = failures.entry(failure).or_default();
                *failed = added(*failed, *count);
                &mut summary.total_failure_session_count
            }
        };
        *total = added(*total, *count);
    }
    policies
        .into_iter()
        .map(|(policy, (summary, failures))| PolicyEntry {
            policy: head_of(policy),
            summary,
            failure_details: details(failures),
        })
        .collect()
}

/// I-JSON has no whole numbers above 2^53 - 1 (RFC 7493, section 2.2).
const fn added(a: u64, b: u64) -> u64 {
    let sum = a.saturating_add(b);
    if sum < TLS_REPORT_COUNT_MAX {
        sum
    } else {
        TLS_REPORT_COUNT_MAX
    }
}

fn head_of(policy: &Policy) -> PolicyHead {
    let kind = match policy.kind {
        super::PolicyType::NoPolicyFound => "no-policy-found",
        super::PolicyType::Sts => "sts",
        super::PolicyType::Tlsa => "tlsa",
    };
    PolicyHead {
        policy_type: kind.to_owned(),
        policy_string: policy.strings.clone(),
        policy_domain: policy.domain.to_string(),
        mx_host: policy.mx_hosts.clone(),
    }
}

/// The failures that happened most, and no more than anybody reads; the summary counts all.
fn details(failures: BTreeMap<&Failure, u64>) -> Vec<Details> {
    let mut failures: Vec<(&Failure, u64)> = failures.into_iter().collect();
    failures.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    failures
        .into_iter()
        .take(TLS_REPORT_DETAILS_MAX)
        .map(|(failure, count)| Details {
            result_type: failure.result.as_str().to_owned(),
            sending_mta_ip: failure.sending_ip.map(|address| address.to_string()),
            receiving_mx_hostname: failure.mx_host.as_ref().map(ToString::to_string),
            receiving_mx_helo: failure.helo.clone(),
            receiving_ip: failure.receiving_ip.map(|address| address.to_string()),
            failed_session_count: count,
            additional_information: None,
            failure_reason_code: failure.reason.clone(),
        })
        .collect()
}
