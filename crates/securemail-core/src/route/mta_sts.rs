//! MTA-STS texts: the TXT record that announces a policy, and the policy (RFC 8461, section 3).

use std::fmt;
use std::time::Duration;

use crate::limits::{STS_MAX_AGE_SECS_MAX, STS_POLICY_OCTETS_MAX, TXT_OCTETS_MAX};
use crate::vocab::DnsName;

/// A policy, parsed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StsPolicy {
    /// What the domain asks for where a host does not match or cannot be authenticated.
    pub mode: StsMode,
    /// How long it may be kept: a year at most.
    pub max_age: Duration,
    patterns: Vec<Pattern>,
}

/// The mode of a policy (RFC 8461, section 5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StsMode {
    /// Do not deliver to a host that does not match or cannot be authenticated.
    Enforce,
    /// The domain opts out.
    None,
    /// Report, and deliver as if there were no policy.
    Testing,
}

/// Why a text is not a policy.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyDefect {
    /// A line is not `key: value`.
    #[error("a line is not `key: value`")]
    Line,
    /// `max_age` is missing or not a number of at most ten digits.
    #[error("max_age is missing or not a number")]
    MaxAge,
    /// `mode` is missing or unknown.
    #[error("mode is missing or unknown")]
    Mode,
    /// `mx` is missing, or is not a host name as A-labels with at most one leading `*.`.
    #[error("mx is missing or not a host name")]
    Mx,
    /// It is longer than 64 KiB.
    #[error("the policy is larger than 64 KiB")]
    TooLarge,
    /// `version` is missing or not `STSv1`.
    #[error("version is missing or not STSv1")]
    Version,
}

impl fmt::Display for StsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforce => "enforce",
            Self::None => "none",
            Self::Testing => "testing",
        })
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Pattern {
    /// This host.
    Host(DnsName),
    /// Any name with just one label before this one.
    OneLabelBelow(DnsName),
}

impl StsPolicy {
    /// Reads a policy (RFC 8461, section 3.2). Unknown keys are ignored; of a repeated key the first counts.
    ///
    /// # Errors
    /// Where it is not a policy. A caller goes on as if none had been fetched.
    pub fn parse(body: &str) -> Result<Self, PolicyDefect> {
        if body.len() > STS_POLICY_OCTETS_MAX {
            return Err(PolicyDefect::TooLarge);
        }
        let (mut version, mut mode, mut max_age) = (None, None, None);
        let mut patterns = Vec::new();
        // An empty line is no field; refusing the policy for it would only make us less strict.
        for line in body.split('\n').filter(|line| !line.trim().is_empty()) {
            let (key, value) = line.split_once(':').ok_or(PolicyDefect::Line)?;
            let value = value.trim_matches([' ', '\t', '\r']);
            match key {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" => patterns.push(pattern(value).ok_or(PolicyDefect::Mx)?),
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err(PolicyDefect::Version);
        }
        let mode = mode.and_then(read_mode).ok_or(PolicyDefect::Mode)?;
        let max_age = max_age.and_then(seconds).ok_or(PolicyDefect::MaxAge)?;
        if patterns.is_empty() && mode != StsMode::None {
            return Err(PolicyDefect::Mx);
        }
        Ok(Self {
            mode,
            max_age,
            patterns,
        })
    }

    /// The hosts that it names, as it writes them.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        self.patterns.iter().map(|pattern| match pattern {
            Pattern::Host(name) => name.to_string(),
            Pattern::OneLabelBelow(name) => format!("*.{name}"),
        })
    }

    /// Whether the policy names this MX host (RFC 8461, section 4.1).
    #[must_use]
    pub fn names(&self, host: &DnsName) -> bool {
        self.patterns.iter().any(|pattern| match pattern {
            Pattern::Host(name) => name == host,
            Pattern::OneLabelBelow(name) => host
                .as_str()
                .split_once('.')
                .is_some_and(|(_, rest)| rest == name.as_str()),
        })
    }
}

/// The id that the TXT records at `_mta-sts.<domain>` announce, if they announce one.
///
/// Exactly one record may begin with `v=STSv1;`, and it must be well formed (RFC 8461, section 3.1).
#[must_use]
pub fn announced_id(records: &[String]) -> Option<String> {
    let mut announcing = records
        .iter()
        .filter(|record| record.starts_with("v=STSv1;"));
    let (record, None) = (announcing.next()?, announcing.next()) else {
        return None;
    };
    if record.len() > TXT_OCTETS_MAX {
        return None;
    }
    let mut fields = record
        .split(';')
        .map(|field| field.trim_matches([' ', '\t']))
        .skip(1);
    let mut id = None;
    while let Some(field) = fields.next() {
        if field.is_empty() {
            // Only the delimiter at the very end has nothing behind it.
            return if fields.next().is_none() { id } else { None };
        }
        let (key, value) = field.split_once('=')?;
        if !is_extension_name(key) || !is_extension_value(value) {
            return None;
        }
        if key == "id" {
            let fits = (1..=32).contains(&value.len())
                && value.bytes().all(|octet| octet.is_ascii_alphanumeric());
            if !fits {
                return None;
            }
            id = id.or_else(|| Some(value.to_owned()));
        }
    }
    id
}

fn is_extension_name(key: &str) -> bool {
    (1..=32).contains(&key.len())
        && key
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"_-.".contains(&octet))
        && key.starts_with(|first: char| first.is_ascii_alphanumeric())
}

fn is_extension_value(value: &str) -> bool {
    !value.is_empty()
        && value
            .bytes()
            .all(|octet| octet.is_ascii_graphic() && octet != b'=')
}

fn read_mode(text: &str) -> Option<StsMode> {
    match text {
        "enforce" => Some(StsMode::Enforce),
        "none" => Some(StsMode::None),
        "testing" => Some(StsMode::Testing),
        _ => None,
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let is_number = (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let seconds: u64 = is_number.then(|| text.parse().ok()).flatten()?;
    Some(Duration::from_secs(seconds.min(STS_MAX_AGE_SECS_MAX)))
}

/// A host name, or `*.` and a domain: A-labels only (RFC 8461, section 3.2).
fn pattern(text: &str) -> Option<Pattern> {
    if !text.is_ascii() {
        return None;
    }
    match text.strip_prefix("*.") {
        Some(below) => DnsName::parse(below).ok().map(Pattern::OneLabelBelow),
        None => DnsName::parse(text).ok().map(Pattern::Host),
    }
}
