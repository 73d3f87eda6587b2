//! Records as plain text.

use std::net::IpAddr;
use std::str::FromStr;

use hickory_proto::rr::rdata::{CNAME, MX, NS, NULL};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinEncodable as _};

use super::DnsError;

/// The TTL of a record that names none.
const TTL: u32 = 300;

/// A record that was read.
pub(super) struct ParsedRecord {
    pub(super) name: Name,
    pub(super) ttl: u32,
    pub(super) data: RData,
}

impl ParsedRecord {
    /// Reads `NAME [TTL] [IN] TYPE DATA`.
    pub(super) fn parse(line: &str) -> Result<Self, DnsError> {
        let bad = |reason: &str| DnsError::Record {
            line: line.to_owned(),
            reason: reason.to_owned(),
        };
        let (owner, mut rest) = word(line).ok_or_else(|| bad("empty"))?;
        let mut ttl = TTL;
        loop {
            let (next, after) = word(rest).ok_or_else(|| bad("the type is missing"))?;
            if let Ok(secs) = next.parse() {
                ttl = secs;
            } else if !next.eq_ignore_ascii_case("IN") {
                let data = match kind(next)? {
                    RecordType::DNAME => dname(after)?,
                    kind => RData::try_from_str(kind, after)
                        .map(absolute)
                        .map_err(|error| bad(&error.to_string()))?,
                };
                let name = name(owner)?;
                return Ok(Self { name, ttl, data });
            }
            rest = after;
        }
    }
}

/// The line of an address record.
pub(super) fn address_line(host: &str, address: IpAddr) -> String {
    let kind = if address.is_ipv4() { "A" } else { "AAAA" };
    format!("{host} {kind} {address}")
}

/// Reads a name as absolute, in lower case.
pub(super) fn name(text: &str) -> Result<Name, DnsError> {
    let mut name = Name::from_ascii(text).map_err(|_| DnsError::Name(text.to_owned()))?;
    name.set_fqdn(true);
    Ok(name.to_lowercase())
}

/// Reads a record type.
pub(super) fn kind(text: &str) -> Result<RecordType, DnsError> {
    RecordType::from_str(&text.to_ascii_uppercase()).map_err(|_| DnsError::Record {
        line: text.to_owned(),
        reason: "not a record type".to_owned(),
    })
}

fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    if text.is_empty() {
        return None;
    }
    Some(text.split_once(char::is_whitespace).unwrap_or((text, "")))
}

/// A name in data without a dot at its end means the same as with one.
fn absolute(data: RData) -> RData {
    let dotted = |mut name: Name| {
        name.set_fqdn(true);
        name
    };
    match data {
        RData::CNAME(CNAME(target)) => RData::CNAME(CNAME(dotted(target))),
        RData::MX(mx) => RData::MX(MX::new(mx.preference, dotted(mx.exchange))),
        RData::NS(NS(host)) => RData::NS(NS(dotted(host))),
        other => other,
    }
}

/// hickory has no DNAME record; its data is one name, uncompressed (RFC 6672, section 2.1).
fn dname(target: &str) -> Result<RData, DnsError> {
    let octets = name(target.trim())?
        .to_bytes()
        .map_err(|_| DnsError::Name(target.to_owned()))?;
    Ok(RData::Unknown {
        code: RecordType::DNAME,
        rdata: NULL::with(octets),
    })
}

/// Where a DNAME record points.
pub(super) fn dname_target(data: &RData) -> Option<Name> {
    match data {
        RData::Unknown {
            code: RecordType::DNAME,
            rdata,
        } => Name::from_bytes(&rdata.anything).ok(),
        _ => None,
    }
}

/// Octets as base64 (RFC 4648, section 4).
pub(super) fn base64(octets: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, octets)
}
