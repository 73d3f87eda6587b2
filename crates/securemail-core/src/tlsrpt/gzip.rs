//! Gzip (RFC 1952), with a bound on what comes out.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// The octets, compressed. The same octets give the same result.
#[must_use]
pub fn compress(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Memory takes what it is given.
    match encoder.write_all(octets) {
        Ok(()) => encoder.finish().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

/// The octets that were compressed; `None` where it is no gzip, or more than `limit` come out: a few
/// octets can be made to unfold into any number.
#[must_use]
pub fn expand(octets: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut expanded = Vec::new();
    let more = u64::try_from(limit).ok()?.saturating_add(1);
    MultiGzDecoder::new(octets)
        .take(more)
        .read_to_end(&mut expanded)
        .ok()?;
    (expanded.len() <= limit).then_some(expanded)
}
