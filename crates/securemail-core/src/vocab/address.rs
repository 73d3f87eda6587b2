//! Mailbox addresses (RFC 5321, section 4.1.2).

use std::fmt;
use std::str::FromStr;

use icu_normalizer::ComposingNormalizerBorrowed;
use serde::{Deserialize, Serialize};

use super::{DnsName, is_hidden};

/// A mailbox: local part and domain. The local part keeps its case and its quotes, and its letters as
/// they were given: it is never normalised for delivery (RFC 6530, section 10.1).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Address {
    local: String,
    domain: DnsName,
}

/// A text is not a mailbox address that this relay can deliver to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The domain is an address literal; it can be authenticated by nothing (RFC 7672, section 2.2).
    #[error("an address literal cannot be authenticated; use a domain name")]
    AddressLiteral,
    /// The domain is not a name.
    #[error("the domain is not a valid name")]
    Domain,
    /// The local part is empty, longer than 64 octets, or has characters that need quotes, or that
    /// people cannot see.
    #[error("the part before the @ is not valid")]
    LocalPart,
}

impl Address {
    /// Reads `local@domain`, without angle brackets, source route or comments.
    ///
    /// # Errors
    /// Where it is not a mailbox that can be delivered to; the variant says why.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::Domain)?;
        if domain.starts_with('[') {
            return Err(AddressError::AddressLiteral);
        }
        if local.len() > 64 || !(is_dot_string(local) || is_quoted_string(local)) {
            return Err(AddressError::LocalPart);
        }
        let domain = DnsName::parse(domain).map_err(|_| AddressError::Domain)?;
        Ok(Self {
            local: local.to_owned(),
            domain,
        })
    }

    /// The part before the `@`, as it was written.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// Whether a host must offer SMTPUTF8 to take it: the domain can always be written as A-labels, the
    /// local part cannot (RFC 6531, section 3.2).
    #[must_use]
    pub fn needs_utf8(&self) -> bool {
        !self.local.is_ascii()
    }

    /// The part after the `@`.
    #[must_use]
    pub const fn domain(&self) -> &DnsName {
        &self.domain
    }

    /// Its text for people; see [`DnsName::shown`]. Never for a protocol, a comparison or a record.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}@{}", self.local, self.domain.shown())
    }

    /// The form in which two spellings of one mailbox are compared: lower case, plus-tag dropped, and
    /// composed (NFC): programs differ in how they write one letter (RFC 6532, section 3.1).
    #[must_use]
    pub fn canonical(&self) -> String {
        let local = self
            .local
            .split_once('+')
            .map_or(self.local.as_str(), |(local, _)| local);
        if local.is_ascii() {
            return format!("{}@{}", local.to_ascii_lowercase(), self.domain);
        }
        let local = local.to_lowercase();
        let composed = ComposingNormalizerBorrowed::new_nfc().normalize(&local);
        format!("{composed}@{}", self.domain)
    }
}

/// RFC 5321, section 4.1.2, with the letters of RFC 6531, section 3.3.
fn is_dot_string(local: &str) -> bool {
    let atext = |c: char| {
        c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_letter_beyond_ascii(c)
    };
    local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(atext))
}

/// What RFC 6531 adds, without what nobody can see, what turns the direction of writing round, and what
/// looks like the `@`: an address that is shown as another one fools whoever reads it (A36).
fn is_letter_beyond_ascii(c: char) -> bool {
    let misleads = is_hidden(c) || matches!(c, '\u{fe6b}' | '\u{ff20}' | '\u{fffc}' | '\u{fffd}');
    !c.is_ascii() && !c.is_control() && !c.is_whitespace() && !misleads
}

fn is_quoted_string(local: &str) -> bool {
    let Some(inner) = local
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return false;
    };
    let mut escaped = false;
    for c in inner.chars() {
        let fits = matches!(c, ' '..='~') || is_letter_beyond_ascii(c);
        // An escape stands before ASCII only (RFC 6531, section 3.3, extends qtext and no pair).
        if !fits || (!escaped && c == '"') || (escaped && !c.is_ascii()) {
            return false;
        }
        escaped = !escaped && c == '\\';
    }
    !escaped
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The reverse-path of a transaction: a mailbox, or null (`<>`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ReversePath {
    /// A mailbox.
    Mailbox(Address),
    /// `<>`: nothing is ever sent back (RFC 5321, section 4.5.5).
    Null,
}

impl ReversePath {
    /// The mailbox, if there is one.
    #[must_use]
    pub const fn mailbox(&self) -> Option<&Address> {
        match self {
            Self::Mailbox(address) => Some(address),
            Self::Null => None,
        }
    }
}

impl ReversePath {
    /// Whether a host must offer SMTPUTF8 to take it; see [`Address::needs_utf8`].
    #[must_use]
    pub fn needs_utf8(&self) -> bool {
        self.mailbox().is_some_and(Address::needs_utf8)
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailbox(address) => write!(f, "<{address}>"),
            Self::Null => f.write_str("<>"),
        }
    }
}
