//! Answers that carry files: ranges, names, digests.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use securemail_core::vocab::Content;

/// Octets read at once from the vault.
const READ_OCTETS: usize = 256 * 1024;

/// A file to be saved.
pub(crate) struct Download<'a> {
    pub(crate) content: Arc<dyn Content>,
    pub(crate) name: &'a str,
    pub(crate) kind: &'a str,
    /// Names exactly these octets (RFC 9110, section 8.8.3).
    pub(crate) etag: String,
}

/// The file, or the one range of it that is asked for (RFC 9110, section 14).
pub(crate) fn download(request: &HeaderMap, file: Download<'_>) -> Response {
    let size = file.content.size();
    let mut headers = HeaderMap::new();
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, file.kind.to_owned());
    set(header::CONTENT_DISPOSITION, disposition(file.name));
    set(header::ETAG, format!("\"{}\"", file.etag));
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    let (status, first, length) = match wanted(request, size, &file.etag) {
        Wanted::All => (StatusCode::OK, 0, size),
        Wanted::Part { first, last } => {
            set(
                header::CONTENT_RANGE,
                format!("bytes {first}-{last}/{size}"),
            );
            (
                StatusCode::PARTIAL_CONTENT,
                first,
                last.saturating_sub(first).saturating_add(1),
            )
        }
        Wanted::Nothing => {
            set(header::CONTENT_RANGE, format!("bytes */{size}"));
            return (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response();
        }
    };
    set(header::CONTENT_LENGTH, length.to_string());
    (status, headers, body(file.content, first, length)).into_response()
}

fn body(content: Arc<dyn Content>, first: u64, length: u64) -> Body {
    let parts = stream::try_unfold((content, first, length), async |(content, at, left)| {
        if left == 0 {
            return Ok(None);
        }
        let max = usize::try_from(left).unwrap_or(usize::MAX).min(READ_OCTETS);
        let part = content.read(at, max).await.map_err(std::io::Error::other)?;
        if part.is_empty() {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        }
        let read = part.len() as u64;
        Ok(Some((
            part,
            (content, at.saturating_add(read), left.saturating_sub(read)),
        )))
    });
    Body::from_stream(parts)
}

#[derive(Debug, Eq, PartialEq)]
enum Wanted {
    All,
    Nothing,
    Part { first: u64, last: u64 },
}

/// What a request wants. Several ranges, and what is not understood, give all of it, which is allowed
/// (RFC 9110, section 14.2).
fn wanted(request: &HeaderMap, size: u64, etag: &str) -> Wanted {
    let text = |name| {
        request
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let Some(range) = text(header::RANGE).and_then(|range| range.strip_prefix("bytes=")) else {
        return Wanted::All;
    };
    // RFC 9110, section 13.1.5: a part of another version is of no use.
    if text(header::IF_RANGE).is_some_and(|known| known.trim_matches('"') != etag) {
        return Wanted::All;
    }
    let Some((first, last)) = range.split_once('-') else {
        return Wanted::All;
    };
    // RFC 9110, section 14.1.1: digits. A last position before the first makes the range invalid.
    if !(is_open_or_number(first) && is_open_or_number(last)) {
        return Wanted::All;
    }
    let number = |text: &str| match text.trim() {
        "" => None,
        digits => Some(digits.parse::<u64>().unwrap_or(u64::MAX)),
    };
    match (first.trim().is_empty(), number(first), number(last)) {
        (true, _, Some(0)) => Wanted::Nothing,
        (true, _, Some(_)) if size == 0 => Wanted::Nothing,
        (true, _, Some(suffix)) => Wanted::Part {
            first: size.saturating_sub(suffix),
            last: size.saturating_sub(1),
        },
        (false, Some(first), Some(last)) if first > last => Wanted::All,
        (false, Some(first), _) if first >= size => Wanted::Nothing,
        (false, Some(first), None) => Wanted::Part {
            first,
            last: size.saturating_sub(1),
        },
        (false, Some(first), Some(last)) => Wanted::Part {
            first,
            last: last.min(size.saturating_sub(1)),
        },
        _ => Wanted::All,
    }
}

/// The first and the last octet that a `Range` field asks for, of `size`; `Some(None)` where there is none of them, `None`
/// where all are given. For the fuzz target; a portal answers requests.
#[doc(hidden)]
#[must_use]
pub fn range_of(range: &[u8], size: u64) -> Option<Option<(u64, u64)>> {
    let mut request = HeaderMap::new();
    request.insert(header::RANGE, HeaderValue::from_bytes(range).ok()?);
    match wanted(&request, size, "") {
        Wanted::All => None,
        Wanted::Nothing => Some(None),
        Wanted::Part { first, last } => Some(Some((first, last))),
    }
}

fn is_open_or_number(position: &str) -> bool {
    position.trim().bytes().all(|b| b.is_ascii_digit())
}

/// Always to be saved, never to be shown (RFC 6266, section 4.3; RFC 8187, section 3.2).
fn disposition(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || " ._-()".contains(c) {
            c
        } else {
            '_'
        }
    };
    let fallback: String = name.chars().map(plain).collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(range: &str) -> Wanted {
        let mut request = HeaderMap::new();
        request.insert(header::RANGE, range.parse().unwrap());
        wanted(&request, 10, "tag")
    }

    #[test]
    fn ranges_are_those_of_rfc_9110() {
        assert_eq!(range("bytes=0-3"), Wanted::Part { first: 0, last: 3 });
        assert_eq!(range("bytes=4-"), Wanted::Part { first: 4, last: 9 });
        assert_eq!(range("bytes=8-99"), Wanted::Part { first: 8, last: 9 });
        assert_eq!(range("bytes=-3"), Wanted::Part { first: 7, last: 9 });
        assert_eq!(range("bytes=-99"), Wanted::Part { first: 0, last: 9 });
        assert_eq!(range("bytes=10-"), Wanted::Nothing);
        assert_eq!(range("bytes=-0"), Wanted::Nothing);
        assert_eq!(range("bytes=99999999999999999999-"), Wanted::Nothing);
        for other in [
            "bytes=5-2",
            "bytes=99-12",
            "bytes=+1-3",
            "bytes=1-+3",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "bytes=",
            "lines=0-1",
            "bytes=-",
        ] {
            assert_eq!(range(other), Wanted::All, "{other}");
        }
    }

    #[test]
    fn names_are_written_in_both_forms() {
        assert_eq!(
            disposition("caf\u{e9} 1.pdf"),
            "attachment; filename=\"caf_ 1.pdf\"; filename*=UTF-8''caf%C3%A9%201.pdf"
        );
    }
}
