//! What is counted: sessions by policy and by failure, for one domain and one UTC day.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{PolicyType, ResultType};
use crate::vocab::{DnsName, UnixTime};

/// A day in UTC, from 00:00 to 24:00 (RFC 8460, section 4.1), as days since 1970.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct UtcDay(u32);

impl UtcDay {
    /// The day of a moment.
    #[must_use]
    pub fn of(time: UnixTime) -> Self {
        Self(u32::try_from(time.as_secs() / DAY_SECS).unwrap_or(u32::MAX))
    }

    /// From days since 1970.
    #[must_use]
    pub const fn from_number(days: u32) -> Self {
        Self(days)
    }

    /// Days since 1970.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Its first moment.
    #[must_use]
    pub fn begins(self) -> UnixTime {
        UnixTime::from_secs(u64::from(self.0) * DAY_SECS)
    }

    /// The first moment of the next day.
    #[must_use]
    pub fn ends(self) -> UnixTime {
        UnixTime::from_secs((u64::from(self.0) + 1) * DAY_SECS)
    }

    /// So many days earlier.
    #[must_use]
    pub const fn minus(self, days: u32) -> Self {
        Self(self.0.saturating_sub(days))
    }
}

impl fmt::Display for UtcDay {
    /// `2026-11-21`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = self.begins().civil();
        write!(f, "{:04}-{:02}-{:02}", civil.year, civil.month, civil.day)
    }
}

/// The sessions that were counted for one domain on one day.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DomainSessions {
    /// Whose `_smtp._tls` record says where the report goes.
    pub domain: DnsName,
    /// When they were.
    pub day: UtcDay,
    /// When the report is due; what was said first for a domain and day counts.
    pub due: UnixTime,
    /// Each kind, and how many.
    pub sessions: Vec<(Session, u64)>,
}

/// One kind of session.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Session {
    /// The policy that it was held to. A session under two policies is counted under each.
    pub policy: Policy,
    /// Why it failed; `None` where it did not.
    pub failure: Option<Failure>,
}

/// A policy as it was found.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Policy {
    /// Its kind.
    pub kind: PolicyType,
    /// Where it is published: under DANE the TLSA base domain, else the recipient domain.
    pub domain: DnsName,
    /// Its lines, or its TLSA records.
    pub strings: Vec<String>,
    /// The hosts that it names.
    pub mx_hosts: Vec<String>,
}

/// What failed, and where.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Failure {
    /// In the words of RFC 8460, section 4.3.
    pub result: ResultType,
    /// Our address.
    pub sending_ip: Option<IpAddr>,
    /// The MX host.
    pub mx_host: Option<DnsName>,
    /// Its name in EHLO.
    pub helo: Option<String>,
    /// Its address.
    pub receiving_ip: Option<IpAddr>,
    /// In a word of ours.
    pub reason: Option<String>,
}

/// A text is not a day.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a day; write it as 2026-11-21")]
pub struct DayError;

impl FromStr for UtcDay {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        super::json::moment(&format!("{text}T00:00:00Z"))
            .map(Self::of)
            .ok_or(DayError)
    }
}

const DAY_SECS: u64 = 86_400;
