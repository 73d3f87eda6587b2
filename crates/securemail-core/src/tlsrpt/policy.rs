//! Policies as reports show them (RFC 8460, section 4.4), cut to a length that a report can bear.

use super::{Policy, PolicyType};
use crate::limits::{TLS_REPORT_LINE_CHARS_MAX, TLS_REPORT_POLICY_LINES_MAX};
use crate::route::StsPolicy;
use crate::vocab::{DnsName, Tlsa};

/// The records at a TLSA base domain, one line each in presentation form (RFC 6698, section 2.2).
pub(super) fn tlsa(base: &DnsName, records: &[Tlsa]) -> Policy {
    let mut strings: Vec<String> = records
        .iter()
        .take(TLS_REPORT_POLICY_LINES_MAX)
        .map(line)
        .collect();
    // The DNS gives them in any order; the same set is the same policy.
    strings.sort();
    strings.dedup();
    Policy {
        kind: PolicyType::Tlsa,
        domain: base.clone(),
        strings,
        mx_hosts: vec![base.to_string()],
    }
}

/// A policy of MTA-STS, its lines as served.
pub(super) fn sts(domain: &DnsName, body: &str, policy: &StsPolicy) -> Policy {
    let lines = body.split('\n').map(|line| line.trim_end_matches('\r'));
    Policy {
        kind: PolicyType::Sts,
        domain: domain.clone(),
        strings: lines
            .filter(|line| !line.is_empty())
            .take(TLS_REPORT_POLICY_LINES_MAX)
            .map(short)
            .collect(),
        mx_hosts: policy.hosts().take(TLS_REPORT_POLICY_LINES_MAX).collect(),
    }
}

/// A policy that cannot be shown: it could not be had, or there is none.
pub(super) fn unseen(kind: PolicyType, domain: &DnsName) -> Policy {
    Policy {
        kind,
        domain: domain.clone(),
        strings: Vec::new(),
        mx_hosts: Vec::new(),
    }
}

fn line(record: &Tlsa) -> String {
    let Tlsa {
        usage,
        selector,
        matching,
        data,
    } = record;
    let mut text = format!("{usage} {selector} {matching} ");
    for octet in data.iter().take(TLS_REPORT_LINE_CHARS_MAX / 2) {
        text.push_str(&format!("{octet:02x}"));
    }
    text
}

/// One line of somebody's text: printable, and not long.
pub(super) fn short(text: &str) -> String {
    text.chars()
        .take(TLS_REPORT_LINE_CHARS_MAX)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}
