//! What an operator must hear of the node itself, whatever became of a message.

use std::fmt;
use std::str::FromStr;

/// Something about this node, or what it is told, is wrong.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Alarm {
    /// A name whose state is known is answered as it cannot be; all mail is held.
    Canary,
    /// No host of any domain can be reached.
    CutOff,
    /// Two validators, or a denial and its proof, do not agree about a name.
    Disagreement,
    /// A domain shows less than before, and what it shows still lets mail through.
    Fall,
    /// Another vantage sees something else than we do.
    Vantage,
}

impl Alarm {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::Canary,
        Self::CutOff,
        Self::Disagreement,
        Self::Fall,
        Self::Vantage,
    ];

    /// Its stable text, for logs and numbers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::CutOff => "cut_off",
            Self::Disagreement => "disagreement",
            Self::Fall => "fall",
            Self::Vantage => "vantage",
        }
    }

    /// What it means, for an operator.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Canary => "a canary is answered as it cannot be, so all mail is held",
            Self::CutOff => {
                "no host of any domain can be reached from here, so mail to silent hosts is held"
            }
            Self::Disagreement => "two validators do not agree",
            Self::Fall => "a domain was safer before, and mail still goes there directly",
            Self::Vantage => "another vantage sees other records than we do",
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Nothing is called so.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no alarm is called so")]
pub struct AlarmError;

impl FromStr for Alarm {
    type Err = AlarmError;

    fn from_str(text: &str) -> Result<Self, AlarmError> {
        let mut all = Self::ALL.into_iter();
        all.find(|alarm| alarm.as_str() == text).ok_or(AlarmError)
    }
}
