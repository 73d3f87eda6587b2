//! Reads a report that came in, with the reason where it is none.

use serde::{Deserialize, Deserializer};

use super::ResultType;
use super::gzip::expand;
use super::report::Report;
use crate::limits::{
    TLS_REPORT_COUNT_MAX, TLS_REPORT_DETAILS_MAX, TLS_REPORT_JSON_OCTETS_MAX,
    TLS_REPORT_LINE_CHARS_MAX, TLS_REPORT_POLICIES_MAX, TLS_REPORT_POLICY_LINES_MAX,
};
use crate::vocab::{DnsName, UnixTime};

/// Why something is no report.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportDefect {
    /// A number is larger than JSON can hold, or the details say more than the sum.
    #[error("its counts contradict each other")]
    Counts,
    /// A date is none, or the range ends before it begins.
    #[error("its date-range is not two moments of RFC 3339, one after the other")]
    Dates,
    /// A policy domain is no domain name.
    #[error("a policy-domain is not a domain name")]
    Domain,
    /// It is no gzip, or unfolds into more than is read.
    #[error("its gzip cannot be unfolded, or is too large")]
    Gzip,
    /// It is no JSON, or lacks a field.
    #[error("it is not JSON of RFC 8460, section 4.4")]
    Json,
    /// A policy type is unknown.
    #[error("a policy-type is none of tlsa, sts, no-policy-found")]
    PolicyType,
    /// Its day is long over, or has not begun.
    #[error("its day is more than 90 days ago, or has not begun")]
    Day,
    /// It holds more than is read.
    #[error("it holds more policies, details or text than is read")]
    TooLarge,
}

/// Reads a report: gzip or not, as its octets say.
///
/// Result types that are not known are let through, because new ones may be registered (section 6.6);
/// what is known to be wrong is refused whole, because counts that are half true help nobody.
///
/// # Errors
/// Where it is no report.
pub fn read_report(octets: &[u8]) -> Result<Report, ReportDefect> {
    let report: Report = if octets.starts_with(&[0x1f, 0x8b]) {
        let json = expand(octets, TLS_REPORT_JSON_OCTETS_MAX).ok_or(ReportDefect::Gzip)?;
        parse(&json)?
    } else {
        parse(octets)?
    };
    check_dates(&report)?;
    if report.policies.len() > TLS_REPORT_POLICIES_MAX || !is_short(&report.report_id) {
        return Err(ReportDefect::TooLarge);
    }
    for entry in &report.policies {
        check_policy(entry)?;
    }
    Ok(report)
}

fn parse(json: &[u8]) -> Result<Report, ReportDefect> {
    if json.len() > TLS_REPORT_JSON_OCTETS_MAX {
        return Err(ReportDefect::TooLarge);
    }
    // Some senders begin with a byte order mark, which is not JSON (RFC 8259, section 8.1).
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    serde_json::from_slice(json).map_err(|_| ReportDefect::Json)
}

fn check_dates(report: &Report) -> Result<(), ReportDefect> {
    let start = moment(&report.date_range.start_datetime);
    let end = moment(&report.date_range.end_datetime);
    match (start, end) {
        (Some(start), Some(end)) if start <= end => Ok(()),
        _ => Err(ReportDefect::Dates),
    }
}

fn check_policy(entry: &super::PolicyEntry) -> Result<(), ReportDefect> {
    let policy = &entry.policy;
    if !["tlsa", "sts", "no-policy-found"].contains(&policy.policy_type.as_str()) {
        return Err(ReportDefect::PolicyType);
    }
    DnsName::parse(&policy.policy_domain).map_err(|_| ReportDefect::Domain)?;
    let too_many = policy.policy_string.len() > TLS_REPORT_POLICY_LINES_MAX
        || policy.mx_host.len() > TLS_REPORT_POLICY_LINES_MAX
        || entry.failure_details.len() > TLS_REPORT_DETAILS_MAX;
    if too_many {
        return Err(ReportDefect::TooLarge);
    }
    let failed = entry
        .failure_details
        .iter()
        .try_fold(0_u64, |sum, details| {
            sum.checked_add(details.failed_session_count)
        });
    let summary = &entry.summary;
    let fits = summary.total_successful_session_count <= TLS_REPORT_COUNT_MAX
        && summary.total_failure_session_count <= TLS_REPORT_COUNT_MAX
        && failed.is_some_and(|failed| failed <= summary.total_failure_session_count);
    if fits {
        Ok(())
    } else {
        Err(ReportDefect::Counts)
    }
}

fn is_short(text: &str) -> bool {
    text.chars().take(TLS_REPORT_LINE_CHARS_MAX + 1).count() <= TLS_REPORT_LINE_CHARS_MAX
}

impl ResultType {
    /// The type that a report names, where it is known.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A text where a list belongs: some senders write one host without brackets.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Many(Vec<String>),
        None(()),
        One(String),
    }
    Ok(match Either::deserialize(from)? {
        Either::Many(many) => many,
        Either::None(()) => Vec::new(),
        Either::One(one) => vec![one],
    })
}

/// A moment of RFC 3339, section 5.6; fractions of a second are cut off.
pub(super) fn moment(text: &str) -> Option<UnixTime> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    let is_date = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    // A leap second is written as 60.
    if !is_fraction || !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let ahead = offset(zone)?;
    let local =
        days_since_1970(year, month, day) * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    u64::try_from(local - ahead).ok().map(UnixTime::from_secs)
}

/// How many seconds a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let [hours, minutes] = numbers(rest, ':', [2, 2])?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = i64::from(hours * 3600 + minutes * 60);
    Some(if sign == "-" { -seconds } else { seconds })
}

/// Numbers of so many digits each, with `mark` between them.
fn numbers<const N: usize>(text: &str, mark: char, digits: [usize; N]) -> Option<[u32; N]> {
    let mut parts = text.split(mark);
    let mut found = [0; N];
    for (to, digits) in found.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *to = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

const fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of(year: u32, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// After H. Hinnant, "chrono-compatible low-level date algorithms".
fn days_since_1970(year: u32, month: u32, day: u32) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = i64::from((month + 9) % 12);
    let of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}
