//! The header of a message as its sender wrote it: fields and offsets, no MIME tree.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use crate::limits::{HEADER_OCTETS_MAX, TEXT_LINE_MAX};
use crate::vocab::{Address, Content, ContentError, EnhancedStatus, Reply};

/// The header of a message. Every field is there in its order, repeated ones too.
#[derive(Clone)]
pub struct HeaderView {
    octets: Bytes,
    fields: Vec<Span>,
    body_offset: u64,
}

/// Where a field stands in the header.
#[derive(Clone, Debug)]
struct Span {
    whole: Range<usize>,
    colon: usize,
}

/// One header field.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    name: &'a str,
    value: &'a [u8],
    raw: &'a [u8],
}

/// The mailboxes of all fields of one name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mailboxes {
    /// Those that are addresses, groups expanded, in their order.
    pub addresses: Vec<Address>,
    /// How many entries are no address that this relay knows how to read.
    pub unreadable: usize,
}

/// A header cannot be read. Nothing is guessed: two readers must never see two messages.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// A CR or LF stands alone (RFC 5321, section 2.3.8).
    #[error("a line does not end with CRLF; send CRLF line ends")]
    BareLineEnd,
    /// The octets could not be read.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A line is longer than RFC 5322, section 2.1.1, allows.
    #[error("a header line is longer than 998 octets; fold it")]
    LineTooLong,
    /// A line is neither a field, nor folded, nor the end; or it has a NUL.
    #[error("a header line is not a field; write 'Name: value'")]
    NotAField,
    /// The header is longer than the limit.
    #[error("the header is longer than {HEADER_OCTETS_MAX} octets; shorten it")]
    TooLong,
}

impl HeaderError {
    /// What the sender is told.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (code, status) = match self {
            Self::BareLineEnd | Self::LineTooLong | Self::NotAField => {
                (550, EnhancedStatus::new(5, 6, 0))
            }
            Self::Content(_) => (451, EnhancedStatus::new(4, 3, 0)),
            Self::TooLong => (552, EnhancedStatus::new(5, 3, 4)),
        };
        Reply::new(code, Some(status), &self.to_string())
    }
}

/// Reads the header of `content`; the body is not touched.
///
/// # Errors
/// Where the header cannot be read, or the octets cannot be had.
pub async fn read_header(content: &dyn Content) -> Result<HeaderView, HeaderError> {
    let mut read = BytesMut::new();
    loop {
        let offset = read.len();
        let chunk = content.read(offset as u64, CHUNK_OCTETS).await?;
        read.extend_from_slice(&chunk);
        // An end may lie across two chunks: look again at the last three octets.
        let complete = chunk.is_empty() || header_end(&read, offset.saturating_sub(3)).is_some();
        if complete || read.len() > HEADER_OCTETS_MAX {
            return HeaderView::parse(read.freeze());
        }
    }
}

impl HeaderView {
    /// Reads the header that `octets` begin with. What stands behind it is not looked at.
    ///
    /// # Errors
    /// Where it cannot be read; the variant says why.
    pub fn parse(mut octets: Bytes) -> Result<Self, HeaderError> {
        let (end, body) = header_end(&octets, 0).unwrap_or((octets.len(), octets.len()));
        if body > HEADER_OCTETS_MAX {
            return Err(HeaderError::TooLong);
        }
        octets.truncate(end);
        let fields = split_fields(&octets)?;
        Ok(Self {
            octets,
            fields,
            body_offset: body as u64,
        })
    }

    /// The same message with these fields in front of its body.
    pub(super) fn rewritten(&self, octets: Bytes) -> Result<Self, HeaderError> {
        let fields = split_fields(&octets)?;
        Ok(Self {
            octets,
            fields,
            body_offset: self.body_offset,
        })
    }

    /// The fields as they were written, without the empty line behind them.
    #[must_use]
    pub const fn octets(&self) -> &Bytes {
        &self.octets
    }

    /// Where the body begins in the message.
    #[must_use]
    pub const fn body_offset(&self) -> u64 {
        self.body_offset
    }

    /// All fields, in their order.
    #[must_use = "an iterator does nothing by itself"]
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field<'_>> {
        self.fields.iter().filter_map(|span| self.field(span))
    }

    /// The fields of this name, case ignored, in their order.
    #[must_use = "an iterator does nothing by itself"]
    pub fn all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = Field<'a>> {
        self.fields().filter(move |field| field.is(name))
    }

    /// The first field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Field<'_>> {
        self.fields().find(|field| field.is(name))
    }

    /// How many fields have this name.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.all(name).count()
    }

    /// Whether a field has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The mailboxes of all fields of this name: groups expanded, comments and display names dropped.
    #[must_use]
    pub fn mailboxes(&self, name: &str) -> Mailboxes {
        let mut mailboxes = Mailboxes::default();
        for field in self.all(name) {
            field.collect_mailboxes(&mut mailboxes);
        }
        mailboxes
    }

    /// The Message-ID without its angle brackets; `None` where there is none, or several, or no id in it.
    #[must_use]
    pub fn message_id(&self) -> Option<String> {
        let mut fields = self.all("Message-ID");
        let field = fields.next()?;
        if fields.next().is_some() {
            return None;
        }
        let text = field.text();
        let (_, rest) = text.split_once('<')?;
        let (id, _) = rest.split_once('>')?;
        let fits = !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| id.to_owned())
    }

    /// How many hops have left their Received field.
    #[must_use]
    pub fn received_count(&self) -> usize {
        self.count("Received")
    }

    fn field(&self, span: &Span) -> Option<Field<'_>> {
        let raw = self.octets.get(span.whole.clone())?;
        let name = self.octets.get(span.whole.start..span.colon)?;
        let value = self.octets.get(span.colon + 1..span.whole.end)?;
        Some(Field {
            name: std::str::from_utf8(name).ok()?,
            value,
            raw,
        })
    }
}

impl std::fmt::Debug for HeaderView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Header fields are content.
        f.debug_struct("HeaderView")
            .field("fields", &self.fields.len())
            .field("body_offset", &self.body_offset)
            .finish_non_exhaustive()
    }
}

impl<'a> Field<'a> {
    /// Its name as it was written.
    #[must_use]
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Whether it has this name, case ignored.
    #[must_use]
    pub const fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// What stands behind the colon, folded as it was written, with the last CRLF.
    #[must_use]
    pub const fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The whole field, with the last CRLF.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Its value unfolded (RFC 5322, section 2.2.3), without white space at the ends; not decoded.
    #[must_use]
    pub fn text(&self) -> String {
        let unfolded: Vec<u8> = self
            .value
            .iter()
            .copied()
            .filter(|b| !matches!(b, b'\r' | b'\n'))
            .collect();
        String::from_utf8_lossy(&unfolded).trim().to_owned()
    }

    fn collect_mailboxes(&self, into: &mut Mailboxes) {
        let unfolded = self.text() + "\n";
        let HeaderValue::Address(list) = MessageStream::new(unfolded.as_bytes()).parse_address()
        else {
            // `undisclosed-recipients:;` names nobody and is no fault; an empty field neither.
            return;
        };
        for entry in list.iter() {
            let text: Option<&Cow<'_, str>> = entry.address.as_ref();
            match text.and_then(|text| Address::parse(text.trim()).ok()) {
                Some(address) => into.addresses.push(address),
                None => into.unreadable += 1,
            }
        }
    }
}

impl std::fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Field")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Where the fields end, and where the body begins; the search starts at `from`.
fn header_end(octets: &[u8], from: usize) -> Option<(usize, usize)> {
    if octets.starts_with(b"\r\n") {
        return Some((0, 2));
    }
    let tail = octets.get(from..)?;
    let at = from + tail.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((at + 2, at + 4))
}

fn split_fields(octets: &[u8]) -> Result<Vec<Span>, HeaderError> {
    let mut fields: Vec<Span> = Vec::new();
    let mut start = 0;
    while let Some(rest) = octets.get(start..).filter(|rest| !rest.is_empty()) {
        let length = line_length(rest)?;
        let line = rest.get(..length).unwrap_or_default();
        let end = start + length;
        match (line.first(), fields.last_mut()) {
            (Some(b' ' | b'\t'), Some(open)) => open.whole.end = end,
            _ => fields.push(Span {
                whole: start..end,
                colon: start + name_length(line)?,
            }),
        }
        start = end;
    }
    Ok(fields)
}

/// The length of the first line, with its CRLF.
fn line_length(rest: &[u8]) -> Result<usize, HeaderError> {
    let stop = rest.iter().position(|b| matches!(b, b'\r' | b'\n' | 0));
    let at = stop.ok_or(HeaderError::BareLineEnd)?;
    match rest.get(at..) {
        Some([b'\r', b'\n', ..]) if at + 2 <= TEXT_LINE_MAX => Ok(at + 2),
        Some([b'\r', b'\n', ..]) => Err(HeaderError::LineTooLong),
        Some([0, ..]) => Err(HeaderError::NotAField),
        _ => Err(HeaderError::BareLineEnd),
    }
}

/// RFC 5322, section 3.6.8: printable ASCII without a colon. White space before the colon (section
/// 4.5.8) is refused: readers differ about what field that is.
fn name_length(line: &[u8]) -> Result<usize, HeaderError> {
    let length = line.iter().position(|&b| b == b':').unwrap_or(0);
    let name = line.get(..length).unwrap_or_default();
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return Err(HeaderError::NotAField);
    }
    Ok(length)
}

/// What is read at once; most headers are shorter.
const CHUNK_OCTETS: usize = 16 * 1024;
