//! Whether a part of a message has header fields in letters outside ASCII (RFC 6532, section 3).

use bytes::BytesMut;

use super::HeaderView;
use crate::limits::{BOUNDARIES_MAX, TEXT_LINE_MAX};
use crate::vocab::{Content, ContentError};

/// Whether a part below the header that `view` shows has a header field in letters outside ASCII, such
/// as the name of a file. The body is read once, line by line; nothing of it is kept.
///
/// # Errors
/// Where the octets cannot be had.
pub async fn has_utf8_below(
    view: &HeaderView,
    content: &dyn Content,
) -> Result<bool, ContentError> {
    let mut parts = Parts::default();
    if let Some(field) = view.get("Content-Type") {
        parts.enter(&field.text());
    }
    let mut lines = BytesMut::new();
    let mut offset = view.body_offset();
    while parts.may_have_more() && offset < content.size() {
        let piece = content.read(offset, PIECE_OCTETS).await?;
        if piece.is_empty() {
            return Err(ContentError::Damaged);
        }
        offset = offset.saturating_add(piece.len() as u64);
        lines.extend_from_slice(&piece);
        while let Some(end) = lines.iter().position(|octet| *octet == b'\n') {
            let line = lines.split_to(end.saturating_add(1));
            parts.line(line.strip_suffix(b"\r\n").unwrap_or(&line));
        }
        // A line that long is no field of a header, and no boundary.
        if lines.len() > TEXT_LINE_MAX {
            lines.clear();
        }
    }
    Ok(parts.found)
}

/// Follows the parts of a message by their boundaries (RFC 2046, section 5.1).
#[derive(Debug, Default)]
struct Parts {
    boundaries: Vec<Vec<u8>>,
    in_header: bool,
    /// The Content-Type of the header that is read, as far as it was read.
    content_type: Option<String>,
    /// The last field was Content-Type, and may go on.
    folding: bool,
    found: bool,
}

impl Parts {
    /// Without a boundary and outside a header no part can begin.
    const fn may_have_more(&self) -> bool {
        !self.found && (self.in_header || !self.boundaries.is_empty())
    }

    fn line(&mut self, line: &[u8]) {
        if let Some(is_last) = self.boundary(line) {
            self.in_header = !is_last;
            self.content_type = None;
            self.folding = false;
        } else if self.in_header && line.is_empty() {
            self.in_header = false;
            if let Some(content_type) = self.content_type.take() {
                self.enter(&content_type);
            }
        } else if self.in_header {
            self.field(line);
        }
    }

    /// Whether the line ends a part, and if so, whether it was the last one.
    fn boundary(&self, line: &[u8]) -> Option<bool> {
        let text = line.strip_prefix(b"--")?;
        let rest = self
            .boundaries
            .iter()
            .find_map(|boundary| text.strip_prefix(boundary.as_slice()))?;
        Some(rest.starts_with(b"--"))
    }

    fn field(&mut self, line: &[u8]) {
        self.found |= !line.is_ascii();
        let text = String::from_utf8_lossy(line);
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            let is_open = |known: &&mut String| known.len() < TEXT_LINE_MAX;
            let open = self.content_type.as_mut().filter(is_open);
            if let Some(known) = open.filter(|_| self.folding) {
                known.push_str(&text);
            }
            return;
        }
        let value = text
            .split_once(':')
            .filter(|(name, _)| name.trim_end().eq_ignore_ascii_case("Content-Type"));
        self.folding = value.is_some();
        if let Some((_, value)) = value {
            self.content_type = Some(value.to_owned());
        }
    }

    /// What follows is of this type: parts, or a message with a header of its own.
    fn enter(&mut self, content_type: &str) {
        let content_type = content_type.trim_start();
        let begins = |text: &str| {
            content_type
                .get(..text.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(text))
        };
        self.in_header = begins("message/rfc822") || begins("message/global");
        let boundary = boundary_of(content_type).filter(|_| begins("multipart/"));
        if let Some(boundary) = boundary.filter(|_| self.boundaries.len() < BOUNDARIES_MAX) {
            self.boundaries.push(boundary.into_bytes());
        }
    }
}

/// The parameter `boundary` of a Content-Type (RFC 2046, section 5.1.1).
fn boundary_of(content_type: &str) -> Option<String> {
    let at = content_type.to_ascii_lowercase().find("boundary=")?;
    let value = content_type.get(at.checked_add("boundary=".len())?..)?;
    let boundary = match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => value.split([';', ' ', '\t']).next()?,
    };
    let fits = (1..=70).contains(&boundary.len());
    fits.then(|| boundary.to_owned())
}

/// What is read at once.
const PIECE_OCTETS: usize = 64 * 1024;
