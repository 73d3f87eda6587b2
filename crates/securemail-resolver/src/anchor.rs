//! Trust anchors: the root's keys (DNSKEY) or their digests (DS), from text in the form of a zone file.

use base64::Engine as _;
use hickory_proto::dnssec::rdata::{DNSKEY, DS};
use hickory_proto::dnssec::{Algorithm, DigestType, PublicKeyBuf, TrustAnchors};
use hickory_proto::rr::Name;

/// Lines read at most; the public root's file has fewer than ten.
const LINES_MAX: usize = 64;

/// A trust anchor cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// There is no record.
    #[error(
        "no DNSKEY or DS record of the root was found; a line reads \". IN DS 20326 8 2 E06D…\""
    )]
    Empty,
    /// A line cannot be read.
    #[error("line {0} is not a DNSKEY or DS record")]
    Line(usize),
    /// A record belongs to another name than the root.
    #[error("line {0} is not a record of the root (\".\"); only the root's keys can be anchors")]
    NotRoot(usize),
    /// More lines than an anchor file has.
    #[error("more than {LINES_MAX} lines")]
    TooLong,
}

/// What was read.
#[derive(Clone, Default)]
pub(crate) struct Anchors {
    pub(crate) keys: Vec<PublicKeyBuf>,
    pub(crate) digests: Vec<DS>,
}

impl Anchors {
    /// Reads DNSKEY and DS records of the root; `;` begins a comment.
    pub(crate) fn parse(text: &str) -> Result<Self, AnchorError> {
        let mut anchors = Self::default();
        for (index, line) in text.lines().enumerate() {
            if index >= LINES_MAX {
                return Err(AnchorError::TooLong);
            }
            let line = line.split(';').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            if !words.is_empty() {
                anchors.take(&words, index + 1)?;
            }
        }
        if anchors.keys.is_empty() && anchors.digests.is_empty() {
            return Err(AnchorError::Empty);
        }
        Ok(anchors)
    }

    fn take(&mut self, words: &[&str], line: usize) -> Result<(), AnchorError> {
        let bad = AnchorError::Line(line);
        let (owner, mut rest) = words.split_first().ok_or(bad)?;
        if *owner != "." {
            return Err(AnchorError::NotRoot(line));
        }
        while let Some((word, after)) = rest.split_first() {
            rest = after;
            match word.to_ascii_uppercase().as_str() {
                "DNSKEY" => {
                    // A key that was withdrawn (RFC 5011, section 2.1) is no anchor.
                    self.keys.extend(dnskey(rest).ok_or(bad)?);
                    return Ok(());
                }
                "DS" => {
                    self.digests.push(ds(rest).ok_or(bad)?);
                    return Ok(());
                }
                "IN" => {}
                ttl if ttl.bytes().all(|b| b.is_ascii_digit()) => {}
                _ => return Err(bad),
            }
        }
        Err(bad)
    }

    /// The keys of the public root, as IANA publishes them and hickory carries them.
    pub(crate) fn public_root() -> Self {
        let built_in = TrustAnchors::default();
        Self {
            keys: (0..built_in.len())
                .filter_map(|index| built_in.get(index).cloned())
                .collect(),
            digests: Vec::new(),
        }
    }

    /// The keys that are trusted: those named, and those of the root's DNSKEY set that a digest names.
    pub(crate) fn trusted<'a>(&self, root_keys: impl Iterator<Item = &'a DNSKEY>) -> TrustAnchors {
        let mut trusted = TrustAnchors::empty();
        for key in &self.keys {
            trusted.insert(key);
        }
        for key in root_keys.filter(|key| key.zone_key() && !key.revoke()) {
            let named = |ds: &DS| ds.covers(&Name::root(), key).unwrap_or(false);
            if self.digests.iter().any(named) {
                trusted.insert(key.public_key());
            }
        }
        trusted
    }
}

/// How many keys and digests a file of trust anchors holds. For the fuzz target; a resolver is built from settings.
///
/// # Errors
/// Where it cannot be read.
#[doc(hidden)]
pub fn count_anchors(text: &str) -> Result<(usize, usize), AnchorError> {
    let anchors = Anchors::parse(text)?;
    Ok((anchors.keys.len(), anchors.digests.len()))
}

/// `257 3 8 AwEAAa…`; `None` inside where the key was withdrawn.
fn dnskey(words: &[&str]) -> Option<Option<PublicKeyBuf>> {
    let [flags, protocol, algorithm, key @ ..] = words else {
        return None;
    };
    let flags: u16 = number(flags)?;
    let algorithm = supported(algorithm)?;
    let octets = base64::engine::general_purpose::STANDARD
        .decode(key.concat())
        .ok()?;
    if *protocol != "3" || octets.is_empty() || flags & ZONE_KEY == 0 {
        return None;
    }
    Some((flags & REVOKED == 0).then(|| PublicKeyBuf::new(octets, algorithm)))
}

/// Flags of a DNSKEY record (RFC 4034, section 2.1.1; RFC 5011, section 7).
const ZONE_KEY: u16 = 0x0100;
const REVOKED: u16 = 0x0080;

/// `20326 8 2 E06D44B8…`
fn ds(words: &[&str]) -> Option<DS> {
    let [tag, algorithm, digest_type, digest @ ..] = words else {
        return None;
    };
    let digest_type = match *digest_type {
        "2" => DigestType::SHA256,
        "4" => DigestType::SHA384,
        _ => return None,
    };
    let digest = hex(&digest.concat())?;
    Some(DS::new(
        number(tag)?,
        supported(algorithm)?,
        digest_type,
        digest,
    ))
}

fn supported(algorithm: &str) -> Option<Algorithm> {
    let algorithm = Algorithm::from_u8(number(algorithm)?);
    algorithm.is_supported().then_some(algorithm)
}

/// A number as zone files have it (RFC 1035, section 5.1): digits, and no sign.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let is_hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    if text.is_empty() || !text.len().is_multiple_of(2) || !is_hex {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The DS records of the root's keys of 2017 and 2024, as IANA publishes them.
    const PUBLIC: &str = "; comment\n\
        . 86400 IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n\
        .   IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16 ; new\n";

    #[test]
    fn digests_of_the_public_root_are_read() {
        let anchors = Anchors::parse(PUBLIC).unwrap();
        assert_eq!((anchors.keys.len(), anchors.digests.len()), (0, 2));
    }

    #[test]
    fn what_is_no_anchor_is_refused_with_its_line() {
        assert_eq!(
            Anchors::parse("; nothing\n\n").err(),
            Some(AnchorError::Empty)
        );
        assert_eq!(
            Anchors::parse("\nexample. IN DS 1 8 2 00").err(),
            Some(AnchorError::NotRoot(2))
        );
        for bad in [
            ". IN DS 20326 8 2 E06D4",
            ". IN DS 20326 8 1 E06D",
            ". IN DS 20326 8 2 +6+D",
            ". IN DS +1 8 2 E06D",
            ". IN DNSKEY 257 3 8 ***",
            ". IN DNSKEY 257 3 15",
            ". IN DNSKEY 1 3 15 AAAA",
            ". IN A 127.0.0.1",
            ".",
        ] {
            assert_eq!(
                Anchors::parse(bad).err(),
                Some(AnchorError::Line(1)),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_withdrawn_key_is_no_anchor() {
        assert_eq!(
            Anchors::parse(". IN DNSKEY 385 3 15 AAAA").err(),
            Some(AnchorError::Empty)
        );
    }
}
