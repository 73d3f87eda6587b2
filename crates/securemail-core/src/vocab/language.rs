//! The languages of our mail, and how they write a date.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::UnixTime;

/// A language that our mail is written in.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Language {
    /// `nl`.
    #[default]
    #[serde(rename = "nl")]
    Dutch,
    /// `en`.
    #[serde(rename = "en")]
    English,
}

/// A text names no language that we write.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this language is not there; use nl or en")]
pub struct UnknownLanguage;

impl Language {
    /// The first of `wanted` that we write; Dutch where there is none.
    #[must_use]
    pub fn pick(wanted: &[String]) -> Self {
        wanted
            .iter()
            .find_map(|name| name.parse().ok())
            .unwrap_or_default()
    }

    /// One of two texts.
    #[must_use]
    pub const fn choose<'a>(self, dutch: &'a str, english: &'a str) -> &'a str {
        match self {
            Self::Dutch => dutch,
            Self::English => english,
        }
    }

    /// The day of a moment: `zaterdag 21 november 2026`. In UTC: a deadline shown so is never too late
    /// by more than the hours that the reader's clock runs ahead.
    #[must_use]
    pub fn day(self, moment: UnixTime) -> String {
        let (days, months) = match self {
            Self::Dutch => (DAYS_NL, MONTHS_NL),
            Self::English => (DAYS_EN, MONTHS_EN),
        };
        let date = moment.civil();
        format!(
            "{} {} {} {}",
            pick(&days, moment.as_secs() / 86_400 % 7),
            date.day,
            pick(&months, date.month.saturating_sub(1)),
            date.year
        )
    }

    /// A moment: `zaterdag 21 november 2026 10:00 UTC`.
    #[must_use]
    pub fn moment(self, moment: UnixTime) -> String {
        let time = moment.civil();
        format!(
            "{} {:02}:{:02} UTC",
            self.day(moment),
            time.hour,
            time.minute
        )
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    /// Reads a language tag; the region does not matter (`nl-BE`).
    fn from_str(text: &str) -> Result<Self, UnknownLanguage> {
        let primary = text.split(['-', '_']).next().unwrap_or_default();
        match primary.to_ascii_lowercase().as_str() {
            "nl" => Ok(Self::Dutch),
            "en" => Ok(Self::English),
            _ => Err(UnknownLanguage),
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.choose("nl", "en"))
    }
}

fn pick<'a>(names: &[&'a str], index: u64) -> &'a str {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    names.get(index).copied().unwrap_or_default()
}

/// 1 January 1970 was a Thursday.
const DAYS_NL: [&str; 7] = [
    "donderdag",
    "vrijdag",
    "zaterdag",
    "zondag",
    "maandag",
    "dinsdag",
    "woensdag",
];
const DAYS_EN: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];
const MONTHS_NL: [&str; 12] = [
    "januari",
    "februari",
    "maart",
    "april",
    "mei",
    "juni",
    "juli",
    "augustus",
    "september",
    "oktober",
    "november",
    "december",
];
const MONTHS_EN: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
