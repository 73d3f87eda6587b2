//! Names of hosts and domains, as the DNS writes them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::shown;

/// The name of a domain or host: A-labels, lower case, no dot at the end, at most 253 octets.
///
/// Underscores are allowed, since `_25._tcp.mx.example` is a name too. The root has no value of
/// this type; where it means something (a null MX), the type says so. A clone shares the text: a
/// decision names the same few hosts many times.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DnsName(Arc<str>);

/// A text is not a DNS name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a domain name")]
pub struct NameError;

impl DnsName {
    /// Reads a name. Letters outside ASCII become A-labels (UTS #46, non-transitional, as IDNA2008
    /// has it; RFC 6531, section 3.2).
    ///
    /// # Errors
    /// Where a label is empty, longer than 63 octets or has other characters than letters, digits,
    /// hyphen and underscore; where the whole is longer than 253 octets.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let ascii = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_strict(text).map_err(|_| NameError)?
        };
        let fits = !ascii.is_empty() && ascii.len() <= OCTETS_MAX && ascii.split('.').all(is_label);
        if fits {
            Ok(Self(ascii.into()))
        } else {
            Err(NameError)
        }
    }

    /// Its text, as A-labels.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its text for people: in the letters of its owner where nobody can take it for another name,
    /// else as A-labels. Never for a protocol, a comparison or a record.
    ///
    /// ```
    /// use securemail_core::vocab::DnsName;
    ///
    /// let name = DnsName::parse("Bücher.example")?;
    /// assert_eq!(name.as_str(), "xn--bcher-kva.example");
    /// assert_eq!(name.shown(), "bücher.example");
    /// # Ok::<(), securemail_core::vocab::NameError>(())
    /// ```
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        shown::in_letters(self).map_or(Cow::Borrowed(&self.0), Cow::Owned)
    }

    /// This name below `label`, which may have several labels: `_25._tcp`.
    ///
    /// # Errors
    /// Where the result is too long, or `label` is none.
    pub fn below(&self, label: &str) -> Result<Self, NameError> {
        let fits = label.len() + 1 + self.0.len() <= OCTETS_MAX && label.split('.').all(is_label);
        if !fits {
            return Err(NameError);
        }
        let mut text = String::with_capacity(label.len() + 1 + self.0.len());
        text.push_str(label);
        text.make_ascii_lowercase();
        text.push('.');
        text.push_str(&self.0);
        Ok(Self(text.into()))
    }

    /// Whether this is `other` or lies inside it.
    #[must_use]
    pub fn is_inside(&self, other: &Self) -> bool {
        self.ends_in(other.as_str())
    }

    /// Whether it is `base` below `label`, written as [`DnsName::below`] writes it.
    pub(crate) fn is_below(&self, label: &str, base: &Self) -> bool {
        let rest = self.0.strip_suffix(base.as_str());
        rest.and_then(|rest| rest.strip_suffix('.')) == Some(label)
    }

    /// Whether it is the name `labels`, written as a [`DnsName`] writes it, or lies inside it.
    pub(crate) fn ends_in(&self, labels: &str) -> bool {
        self.0
            .strip_suffix(labels)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// Its labels, left to right.
    #[must_use = "an iterator does nothing by itself"]
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }
}

/// Octets of a name as text (RFC 1035, section 2.3.4, less the length octets of both ends).
const OCTETS_MAX: usize = 253;

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl FromStr for DnsName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for DnsName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DnsName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
