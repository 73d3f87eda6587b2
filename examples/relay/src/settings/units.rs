//! Lengths of time as they stand in settings: `20s`, `15m`, `4h`, `5d`.

use std::time::Duration;

use serde::Deserialize;

/// A length of time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Span(Duration);

impl Span {
    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// As a duration.
    pub const fn duration(self) -> Duration {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let at = text.find(|c: char| !c.is_ascii_digit())?;
        let (digits, unit) = text.split_at(at);
        let factor: u64 = match unit {
            "ms" => return Some(Self(Duration::from_millis(digits.parse().ok()?))),
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        Some(Self::from_secs(
            digits.parse::<u64>().ok()?.checked_mul(factor)?,
        ))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{text}` is no length of time; write 20s, 15m, 4h or 5d"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        assert_eq!(Span::parse("20s"), Some(Span::from_secs(20)));
        assert_eq!(Span::parse("5d"), Some(Span::from_secs(432_000)));
        for bad in [
            "",
            "5",
            "d",
            "5w",
            "-5s",
            "99999999999999999999d",
            "300000000000000000d",
        ] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }
}
