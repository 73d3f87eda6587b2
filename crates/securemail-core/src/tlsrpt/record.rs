//! The TXT record at `_smtp._tls.<domain>`: who wants reports, and where (RFC 8460, section 3).

use std::fmt;

use crate::limits::{TLS_REPORT_URIS_MAX, TXT_OCTETS_MAX};
use crate::vocab::{Address, DnsName};

/// Where a report goes.
#[derive(Clone, Eq, PartialEq)]
pub enum ReportUri {
    /// A POST to this URL.
    Https(HttpsUri),
    /// A mail to this address.
    Mailto(Address),
}

/// A URL that reports are sent to: `https`, a host name, no user, no fragment.
#[derive(Clone, Eq, PartialEq)]
pub struct HttpsUri {
    host: DnsName,
    port: Option<u16>,
    /// Path and query, from the first slash on.
    path: String,
}

/// A text is no place for reports.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportUriError {
    /// It is no URI of the scheme.
    #[error("not a URI; write mailto:ADDRESS or https://HOST/PATH")]
    Form,
    /// Reports go by `mailto` and `https` only.
    #[error("reports go to mailto: and https: only")]
    Scheme,
}

/// Where the TXT records at `_smtp._tls.<domain>` ask that reports go, in their order; `None` where the
/// domain wants none.
///
/// Exactly one record may begin with `v=TLSRPTv1;`, and it must be well formed. Places that nobody can
/// use are left out.
#[must_use]
pub fn report_uris(records: &[String]) -> Option<Vec<ReportUri>> {
    let mut asking = records
        .iter()
        .filter(|record| record.starts_with("v=TLSRPTv1;"));
    let (record, None) = (asking.next()?, asking.next()) else {
        return None;
    };
    if record.len() > TXT_OCTETS_MAX {
        return None;
    }
    let mut places = None;
    let mut fields = record.split(';').map(trim).skip(1);
    while let Some(field) = fields.next() {
        if field.is_empty() {
            // Only the delimiter at the very end has nothing behind it.
            return if fields.next().is_none() {
                places
            } else {
                None
            };
        }
        let (name, value) = field.split_once('=')?;
        if name == "rua" {
            // Of a repeated field the first counts.
            places = places.or_else(|| Some(uris(value)));
        } else if !is_extension(name, value) {
            return None;
        }
    }
    places
}

fn uris(value: &str) -> Vec<ReportUri> {
    value
        .split(',')
        .take(TLS_REPORT_URIS_MAX)
        .filter_map(|text| ReportUri::parse(trim(text)).ok())
        .collect()
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// RFC 8460, section 3, `tlsrpt-extension`. A superset of this version must be read.
fn is_extension(name: &str, value: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    let is_name = (1..=32).contains(&name.len())
        && name.bytes().all(letter)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let sign = |b: u8| b.is_ascii_graphic() && b != b'=' && b != b';';
    is_name && !value.is_empty() && value.bytes().all(sign)
}

impl ReportUri {
    /// Reads one place.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(text: &str) -> Result<Self, ReportUriError> {
        let (scheme, rest) = text.split_once(':').ok_or(ReportUriError::Form)?;
        if scheme.eq_ignore_ascii_case("mailto") {
            // What follows a question mark would write our mail for us (RFC 6068, section 2).
            let address = rest.split(['?', '#']).next().unwrap_or(rest);
            let address = decoded(address).ok_or(ReportUriError::Form)?;
            return Address::parse(&address)
                .map(Self::Mailto)
                .map_err(|_| ReportUriError::Form);
        }
        if scheme.eq_ignore_ascii_case("https") {
            return HttpsUri::parse(rest).map(Self::Https);
        }
        Err(ReportUriError::Scheme)
    }
}

impl HttpsUri {
    /// What follows `https:`.
    fn parse(rest: &str) -> Result<Self, ReportUriError> {
        let rest = rest.strip_prefix("//").ok_or(ReportUriError::Form)?;
        let rest = rest.split('#').next().unwrap_or(rest);
        let fits = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b);
        if !rest.bytes().all(fits) {
            return Err(ReportUriError::Form);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // An address in numbers names nobody, and would lead around the guard of names.
        if authority.contains('@') || authority.parse::<std::net::IpAddr>().is_ok() {
            return Err(ReportUriError::Form);
        }
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(read_port(port)?)),
            None => (authority, None),
        };
        let is_number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
        let host = DnsName::parse(host).map_err(|_| ReportUriError::Form)?;
        if port == Some(0) || host.labels().next_back().is_some_and(is_number) {
            return Err(ReportUriError::Form);
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            host,
            port,
            path: format!("{slash}{path}"),
        })
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &DnsName {
        &self.host
    }

    /// The port that it names, if it does.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Path and query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// RFC 3986, section 3.2.3: digits.
fn read_port(text: &str) -> Result<u16, ReportUriError> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    let port = is_number.then(|| text.parse().ok());
    port.flatten().ok_or(ReportUriError::Form)
}

/// Percent-encoding undone (RFC 3986, section 2.1); `None` where that gives no text.
fn decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            octets.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            octets.push(octet);
        }
    }
    String::from_utf8(octets).ok()
}

/// An address or a URL may name a person or hold a key of the receiver.
impl fmt::Debug for ReportUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Https(uri) => uri.fmt(f),
            Self::Mailto(address) => write!(f, "mailto:..@{}", address.domain()),
        }
    }
}

impl fmt::Debug for HttpsUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}/..", self.host)
    }
}
