//! Replies as they stand on the wire (RFC 5321, section 4.2). Print and parse are inverse.

use bytes::{BufMut, Bytes, BytesMut};
use securemail_core::limits;
use securemail_core::vocab::{EnhancedStatus, Reply};

use super::line::{LineFault, take_line};

/// A reply with its lines. The texts are printable ASCII; other octets become `?`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WireReply {
    code: u16,
    lines: Vec<String>,
}

/// A peer sent something that is no reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyFault {
    /// Lines of one reply have different codes.
    #[error("the lines of one reply have different codes")]
    CodesDiffer,
    /// A line has a forbidden octet or is too long.
    #[error("in a reply: {0}")]
    Line(#[from] LineFault),
    /// A line does not begin with three digits.
    #[error("a line does not begin with a reply code")]
    NoCode,
    /// There are too many lines.
    #[error("the reply has too many lines")]
    TooManyLines,
}

impl WireReply {
    /// A reply of one or more lines.
    #[must_use]
    pub fn new(code: u16, lines: Vec<String>) -> Self {
        let lines = if lines.is_empty() {
            vec![String::new()]
        } else {
            lines
        };
        Self {
            code,
            lines: lines
                .iter()
                .map(|line| printable(line.as_bytes()))
                .collect(),
        }
    }

    /// The three digits.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The texts of its lines, without the code; one at least.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Appends it to `out`.
    pub fn print(&self, out: &mut BytesMut) {
        let mut lines = self.lines.iter().peekable();
        while let Some(line) = lines.next() {
            let between = if lines.peek().is_some() { '-' } else { ' ' };
            out.put_slice(format!("{:03}{between}{line}\r\n", self.code).as_bytes());
        }
    }

    /// As one reply with one text; the enhanced status code is taken from the first line if its class
    /// is that of the code (RFC 2034, section 3).
    #[must_use]
    pub fn to_reply(&self) -> Reply {
        let class = u8::try_from(self.code / 100).unwrap_or(0);
        let split: Vec<_> = self
            .lines
            .iter()
            .map(|line| split_enhanced(line, class))
            .collect();
        let enhanced = split.first().and_then(|(enhanced, _)| *enhanced);
        let texts: Vec<_> = split.iter().map(|(_, text)| *text).collect();
        Reply::new(self.code, enhanced, texts.join(" ").trim())
    }
}

impl From<&Reply> for WireReply {
    fn from(reply: &Reply) -> Self {
        let line = match reply.enhanced() {
            Some(enhanced) => format!("{enhanced} {}", reply.text()),
            None => reply.text().to_owned(),
        };
        Self::new(reply.code(), vec![line])
    }
}

/// Collects the lines of a reply, in whatever pieces they come.
#[derive(Debug, Default)]
pub struct ReplyParser {
    code: Option<u16>,
    lines: Vec<String>,
}

impl ReplyParser {
    /// Takes a reply off the front of `buffer`; `None` if it is not complete.
    ///
    /// # Errors
    /// Where the octets are no reply. The session is botched then.
    pub fn next_reply(&mut self, buffer: &mut BytesMut) -> Result<Option<WireReply>, ReplyFault> {
        while let Some(line) = take_line(buffer, limits::REPLY_LINE_MAX)? {
            if self.lines.len() >= limits::REPLY_LINES_MAX {
                return Err(ReplyFault::TooManyLines);
            }
            let (code, is_last, text) = split_line(&line).ok_or(ReplyFault::NoCode)?;
            if self.code.is_some_and(|earlier| earlier != code) {
                return Err(ReplyFault::CodesDiffer);
            }
            self.code = Some(code);
            self.lines.push(printable(text));
            if is_last {
                self.code = None;
                return Ok(Some(WireReply {
                    code,
                    lines: std::mem::take(&mut self.lines),
                }));
            }
        }
        Ok(None)
    }
}

/// Code, whether it is the last line, text. `Reply-code = %x32-35 %x30-35 %x30-39`.
fn split_line(line: &Bytes) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let fits = match digits {
        [a, b, c] => (b'2'..=b'5').contains(a) && (b'0'..=b'5').contains(b) && c.is_ascii_digit(),
        _ => false,
    };
    if !fits {
        return None;
    }
    let code = digits.iter().fold(0_u16, |code, digit| {
        code * 10 + u16::from(digit.saturating_sub(b'0'))
    });
    match rest.split_first() {
        None => Some((code, true, &[])),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

fn split_enhanced(text: &str, class: u8) -> (Option<EnhancedStatus>, &str) {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match parse_enhanced(first) {
        Some(enhanced) if enhanced.class == class => (Some(enhanced), rest),
        _ => (None, text),
    }
}

/// `class "." subject "." detail`, the latter of 1 to 3 digits (RFC 3463, section 2).
fn parse_enhanced(word: &str) -> Option<EnhancedStatus> {
    let mut parts = word.split('.');
    let mut number = |max: usize| {
        let part = parts.next()?;
        let fits = (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if fits { part.parse::<u16>().ok() } else { None }
    };
    let (class, subject, detail) = (number(1)?, number(3)?, number(3)?);
    if parts.next().is_some() || !matches!(class, 2 | 4 | 5) {
        return None;
    }
    Some(EnhancedStatus::new(
        u8::try_from(class).ok()?,
        subject,
        detail,
    ))
}

/// `octets` with everything but printable ASCII replaced, so that it can be logged and quoted.
#[must_use]
pub fn printable(octets: &[u8]) -> String {
    octets
        .iter()
        .map(|&octet| {
            if octet == b' ' || octet.is_ascii_graphic() {
                char::from(octet)
            } else {
                '?'
            }
        })
        .collect()
}
