//! What a domain says of itself under NTA 7516, the Dutch norm for mail in care, and whether its DNS bears it out.
//!
//! The text of the norm is not public in full. What is known of it from those who apply it stands here; the rest
//! is for the settings. What it makes of a route stands in `partners.rs`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::facts::{self, Listing, Missing, TlsaFacts, walk};
use super::{Evidence, dane};
use crate::limits::MX_HOSTS_MAX;
use crate::vocab::{DnsName, Mx, MxTarget, NtaSettings, Outcome, RecordKind, UnixTime, is_hidden};

/// One check, with what was found.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NtaFinding {
    /// Which.
    pub check: NtaCheck,
    /// Whether it holds.
    pub holds: bool,
    /// What was found, in words.
    pub fact: String,
}

/// What is checked of a domain.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum NtaCheck {
    /// One record of the domain announces the norm.
    Announced,
    /// The record is valid in this month.
    Current,
    /// The record is signed (DNSSEC).
    RecordSigned,
    /// The list of hosts is signed: that of the record, or the MX records.
    HostsSigned,
    /// A host has signed TLSA records that can be used (DANE).
    HostHasDane,
}

/// A record, read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Record {
    start: Option<String>,
    end: Option<String>,
    provider: Option<String>,
    hosts: Vec<(u16, DnsName)>,
}

/// Judges a domain by the answers in `evidence`.
///
/// # Errors
/// The questions that must be answered first; ask them, add them to the evidence, call again.
pub fn nta7516(
    evidence: &Evidence,
    now: UnixTime,
    settings: &NtaSettings,
) -> Result<Vec<NtaFinding>, Missing> {
    let mut found = Vec::new();
    let mut say = |check, holds, fact: String| found.push(NtaFinding { check, holds, fact });
    let texts = walk(evidence, &evidence.domain, RecordKind::Txt).map_err(|one| vec![one])?;
    let records: &[String] = match (&texts.answer().outcome, texts.trouble) {
        (_, Some(_)) => {
            say(
                NtaCheck::Announced,
                false,
                "the TXT records could not be had".to_owned(),
            );
            return Ok(found);
        }
        (Outcome::Txt(records), None) => records,
        (_, None) => &[],
    };
    let announced = announced(records, &settings.version)
        .and_then(|record| record.ok_or("no TXT record announces the norm"));
    let record = match announced {
        Ok(record) => record,
        Err(why) => {
            say(NtaCheck::Announced, false, why.to_owned());
            return Ok(found);
        }
    };
    say(NtaCheck::Announced, true, record.by_whom());
    let is_secure = texts.is_secure();
    let (holds, fact) = record.is_current(now, settings.ahead);
    say(NtaCheck::Current, holds, fact);
    say(NtaCheck::RecordSigned, is_secure, String::new());
    let (hosts, signed) = hosts(evidence, &record, is_secure)?;
    let names: Vec<&str> = hosts.iter().map(DnsName::as_str).collect();
    say(NtaCheck::HostsSigned, signed, names.join(", "));
    let mut missing = Missing::new();
    for host in &hosts {
        match has_dane(evidence, host) {
            Ok(holds) => say(NtaCheck::HostHasDane, holds, host.to_string()),
            Err(more) => missing.extend(more),
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    missing.dedup();
    Err(missing)
}

/// The hosts in order, and whether their list is signed: `ntamx` stands in for MX where it is given.
fn hosts(
    evidence: &Evidence,
    record: &Record,
    record_signed: bool,
) -> Result<(Vec<DnsName>, bool), Missing> {
    if !record.hosts.is_empty() {
        let hosts = record.hosts.iter().map(|(_, host)| host.clone());
        return Ok((hosts.take(MX_HOSTS_MAX).collect(), record_signed));
    }
    let mx = facts::mx(evidence).map_err(|one| vec![one])?;
    let signed = mx.chain.is_secure();
    Ok(match mx.listing {
        Listing::Hosts(listed) => (listed.hosts.into_iter().map(|(_, h)| h).collect(), signed),
        Listing::Absent | Listing::Failed(_) | Listing::Null(_) => (Vec::new(), false),
    })
}

fn has_dane(evidence: &Evidence, host: &DnsName) -> Result<bool, Missing> {
    let found = facts::addresses(evidence, host)?;
    match facts::tlsa(evidence, &found.bases) {
        Ok(TlsaFacts::Records { records, .. }) => Ok(!dane::usable(records).is_empty()),
        Ok(TlsaFacts::Absent(_) | TlsaFacts::Failed(..)) => Ok(false),
        Err(question) => Err(vec![question]),
    }
}

/// The one record that announces this version, or why what announces it does not count.
pub(super) fn announced(records: &[String], version: &str) -> Result<Option<Record>, &'static str> {
    let version_of = |text: &String| -> Option<String> {
        let (tag, value) = text.split(';').next()?.split_once('=')?;
        tag.trim()
            .eq_ignore_ascii_case("v")
            .then(|| value.trim().to_owned())
    };
    let mut announcing = records
        .iter()
        .filter(|text| version_of(text).is_some_and(|v| v.eq_ignore_ascii_case(version)));
    match (announcing.next(), announcing.next()) {
        (Some(text), None) => read(text).map(Some).ok_or("the record is malformed"),
        (Some(_), Some(_)) => Err("several records announce the norm, so none counts"),
        (None, _) => {
            let is_draft =
                |text: &String| version_of(text).is_some_and(|v| v.eq_ignore_ascii_case("NTA7516"));
            if records.iter().any(is_draft) {
                return Err("the record has the form of an old draft, which does not count");
            }
            Ok(None)
        }
    }
}

/// `v=NTA7516-1;startdate=2024-01;enddate=2027-12;provider=x;ntamx=10 mx.example`: unknown tags are ignored.
fn read(text: &str) -> Option<Record> {
    let mut record = Record {
        start: None,
        end: None,
        provider: None,
        hosts: Vec::new(),
    };
    for field in text.split(';').map(str::trim).filter(|f| !f.is_empty()) {
        let (tag, value) = field.split_once('=')?;
        let value = value.trim();
        match tag.trim().to_ascii_lowercase().as_str() {
            "startdate" => record.start = Some(month(value)?),
            "enddate" => record.end = Some(month(value)?),
            "provider" => record.provider = Some(value.to_owned()),
            "ntamx" => {
                let (preference, host) = value.split_once(' ')?;
                let host = DnsName::parse(host.trim()).ok()?;
                record.hosts.push((preference.parse().ok()?, host));
            }
            _ => {}
        }
    }
    record.hosts.sort();
    Some(record)
}

/// `2026-11`.
fn month(text: &str) -> Option<String> {
    let (year, month) = text.split_once('-')?;
    let digits = |part: &str| part.bytes().all(|octet| octet.is_ascii_digit());
    let fits = year.len() == 4 && month.len() == 2 && digits(year) && digits(month);
    let number: u8 = month.parse().ok()?;
    (fits && (1..=12).contains(&number)).then(|| text.to_owned())
}

impl Record {
    /// The hosts that stand in for MX, as MX records.
    pub(super) fn mail_servers(&self) -> Vec<Mx> {
        let mx = |(preference, host): &(u16, DnsName)| Mx {
            preference: *preference,
            target: MxTarget::Host(host.clone()),
        };
        self.hosts.iter().map(mx).collect()
    }

    /// Who provides it, as the record says.
    pub(super) fn by_whom(&self) -> String {
        let provider = self.provider.as_deref().unwrap_or("not named");
        let provider = provider
            .chars()
            .filter(|c| !c.is_control() && !is_hidden(*c))
            .take(100);
        format!("provider: {}", provider.collect::<String>())
    }

    /// From the first day of its first month to the last of its last, here or in the Netherlands.
    pub(super) fn is_current(&self, now: UnixTime, ahead: Duration) -> (bool, String) {
        let (Some(start), Some(end)) = (&self.start, &self.end) else {
            return (false, "startdate or enddate is missing".to_owned());
        };
        let holds = [now, now.plus(ahead)].into_iter().any(|moment| {
            let text = moment.to_string();
            let month = text.get(..7).unwrap_or_default();
            start.as_str() <= month && month <= end.as_str()
        });
        (holds, format!("from {start} to {end}"))
    }
}

impl fmt::Display for NtaFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, holds, fact } = self;
        let (id, text) = match check {
            NtaCheck::Announced => ("N1", "One TXT record of the domain announces the norm."),
            NtaCheck::Current => ("N3", "The announcement is valid in this month."),
            NtaCheck::RecordSigned => ("N6", "The announcement is signed (DNSSEC)."),
            NtaCheck::HostsSigned => ("N4", "The list of its hosts is signed (DNSSEC)."),
            NtaCheck::HostHasDane => ("N6", "The host has signed TLSA records (DANE)."),
        };
        let mark = if *holds { "+" } else { "-" };
        write!(f, "{mark} NTA 7516 {id}: {text}")?;
        if !fact.is_empty() {
            write!(f, " ({fact})")?;
        }
        Ok(())
    }
}
