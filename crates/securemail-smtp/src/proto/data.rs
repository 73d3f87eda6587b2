//! Content as a stream: dot-stuffed (RFC 5321, section 4.5.2), or in chunks (RFC 3030). A bare CR, a
//! bare LF or NUL is an error in either.

use bytes::{BufMut, BytesMut};
use securemail_core::limits;

use super::line::{LineFault, find_control};

/// Reads what follows DATA, up to the final dot, in whatever pieces it comes.
#[derive(Clone, Debug)]
pub struct Unstuffer {
    at_line_start: bool,
    line_octets: usize,
    has_long_line: bool,
}

/// What the next octets are.
#[derive(Debug, Eq, PartialEq)]
pub enum DataEvent {
    /// Content, dots removed.
    Content(BytesMut),
    /// The final dot. What is left in the buffer are commands.
    End,
    /// More octets are needed.
    NeedMore,
}

impl Default for Unstuffer {
    fn default() -> Self {
        Self {
            at_line_start: true,
            line_octets: 0,
            has_long_line: false,
        }
    }
}

impl Unstuffer {
    /// Takes the next event off the front of `buffer`.
    ///
    /// # Errors
    /// At a bare CR, a bare LF or NUL. The session must end then: whatever follows must not be read
    /// as commands.
    pub fn next_event(&mut self, buffer: &mut BytesMut) -> Result<DataEvent, LineFault> {
        let mut at = 0;
        while let Some(&first) = buffer.get(at) {
            if self.at_line_start && first == b'.' {
                if at > 0 {
                    break;
                }
                match (buffer.get(1), buffer.get(2)) {
                    (None, _) | (Some(b'\r'), None) => return Ok(DataEvent::NeedMore),
                    (Some(b'\r'), Some(b'\n')) => {
                        drop(buffer.split_to(3));
                        return Ok(DataEvent::End);
                    }
                    (Some(_), _) => {
                        drop(buffer.split_to(1));
                        self.at_line_start = false;
                        continue;
                    }
                }
            }
            match self.skip_line(buffer, at)? {
                Some(end) => at = end,
                None => break,
            }
        }
        Ok(Self::content(buffer, at))
    }

    /// Whether a line had more than the 1000 octets of RFC 5321, section 4.5.3.1.6.
    #[must_use]
    pub const fn has_long_line(&self) -> bool {
        self.has_long_line
    }

    /// The end of the line that goes on at `at`, or of what is there of it; `None` where that is
    /// nothing, or a CR whose LF has not come.
    fn skip_line(&mut self, buffer: &BytesMut, at: usize) -> Result<Option<usize>, LineFault> {
        let rest = buffer.get(at..).unwrap_or_default();
        let Some(control) = find_control(rest) else {
            self.count(rest.len());
            return Ok(Some(buffer.len()));
        };
        match (rest.get(control), rest.get(control.saturating_add(1))) {
            (Some(b'\r'), Some(b'\n')) => {
                self.count(control.saturating_add(2));
                self.at_line_start = true;
                self.line_octets = 0;
                Ok(Some(at.saturating_add(control).saturating_add(2)))
            }
            (Some(b'\r'), None) if control == 0 => Ok(None),
            (Some(b'\r'), None) => {
                self.count(control);
                Ok(Some(at.saturating_add(control)))
            }
            (Some(b'\r'), Some(_)) => Err(LineFault::BareCr),
            (Some(b'\n'), _) => Err(LineFault::BareLf),
            _ => Err(LineFault::Nul),
        }
    }

    fn count(&mut self, octets: usize) {
        if octets > 0 {
            self.at_line_start = false;
        }
        self.line_octets = self.line_octets.saturating_add(octets);
        self.has_long_line |= self.line_octets > limits::TEXT_LINE_MAX;
    }

    fn content(buffer: &mut BytesMut, length: usize) -> DataEvent {
        if length == 0 {
            DataEvent::NeedMore
        } else {
            DataEvent::Content(buffer.split_to(length))
        }
    }
}

/// Checks content that has no dots added, as behind BDAT. Give it the octets in any pieces, then ask
/// how it [`ended`](Self::end).
#[derive(Clone, Debug, Default)]
pub struct StrictLines {
    place: Place,
    line_octets: usize,
    has_long_line: bool,
}

/// How content ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LastLine {
    /// With CRLF, or there is none.
    Whole,
    /// Without CRLF.
    Open,
}

impl StrictLines {
    /// Takes the next octets.
    ///
    /// # Errors
    /// At a bare CR, a bare LF or NUL. Nothing is repaired: behind DATA, where the message goes next,
    /// another server could read its end there (RFC 5321, section 2.3.8).
    pub fn push(&mut self, octets: &[u8]) -> Result<(), LineFault> {
        let mut rest = octets;
        while let Some(&first) = rest.first() {
            if self.place == Place::AfterCr {
                if first != b'\n' {
                    return Err(LineFault::BareCr);
                }
                self.count(1);
                self.place = Place::LineStart;
                self.line_octets = 0;
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let Some(control) = find_control(rest) else {
                self.count(rest.len());
                self.place = Place::InLine;
                return Ok(());
            };
            match rest.get(control) {
                Some(b'\r') => self.place = Place::AfterCr,
                Some(b'\n') => return Err(LineFault::BareLf),
                _ => return Err(LineFault::Nul),
            }
            let with_cr = control.saturating_add(1);
            self.count(with_cr);
            rest = rest.get(with_cr..).unwrap_or_default();
        }
        Ok(())
    }

    /// How the content ended.
    ///
    /// # Errors
    /// Where that is a bare CR.
    pub const fn end(&self) -> Result<LastLine, LineFault> {
        match self.place {
            Place::AfterCr => Err(LineFault::BareCr),
            Place::InLine => Ok(LastLine::Open),
            Place::LineStart => Ok(LastLine::Whole),
        }
    }

    /// Whether a line had more than the 1000 octets of RFC 5321, section 4.5.3.1.6.
    #[must_use]
    pub const fn has_long_line(&self) -> bool {
        self.has_long_line
    }

    fn count(&mut self, octets: usize) {
        self.line_octets = self.line_octets.saturating_add(octets);
        self.has_long_line |= self.line_octets > limits::TEXT_LINE_MAX;
    }
}

/// Writes content as it goes behind DATA. Give it the octets in any pieces, then call `finish`.
#[derive(Clone, Debug, Default)]
pub struct Stuffer(Place);

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Place {
    AfterCr,
    InLine,
    #[default]
    LineStart,
}

impl Stuffer {
    /// Appends `content`, dots doubled, to `out`.
    ///
    /// # Errors
    /// At a bare CR, a bare LF or NUL: another server could read a message end there that this one
    /// did not (RFC 5321, section 2.3.8).
    pub fn push(&mut self, content: &[u8], out: &mut BytesMut) -> Result<(), LineFault> {
        let mut rest = content;
        while let Some(&first) = rest.first() {
            match (self.0, first) {
                (Place::AfterCr, b'\n') => {
                    out.put_u8(b'\n');
                    self.0 = Place::LineStart;
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
                (Place::AfterCr, _) => return Err(LineFault::BareCr),
                (Place::LineStart, b'.') => out.put_u8(b'.'),
                (Place::LineStart | Place::InLine, _) => {}
            }
            self.0 = Place::InLine;
            let Some(control) = find_control(rest) else {
                out.extend_from_slice(rest);
                return Ok(());
            };
            let (text, behind) = rest.split_at_checked(control).unwrap_or((rest, &[]));
            out.extend_from_slice(text);
            match behind.first() {
                Some(b'\r') => out.put_u8(b'\r'),
                Some(b'\n') => return Err(LineFault::BareLf),
                _ => return Err(LineFault::Nul),
            }
            self.0 = Place::AfterCr;
            rest = behind.get(1..).unwrap_or_default();
        }
        Ok(())
    }

    /// Appends the final dot, behind a CRLF where the content has none at its end.
    ///
    /// # Errors
    /// Where the content ends in a bare CR.
    pub fn finish(self, out: &mut BytesMut) -> Result<(), LineFault> {
        match self.0 {
            Place::AfterCr => return Err(LineFault::BareCr),
            Place::InLine => out.extend_from_slice(b"\r\n"),
            Place::LineStart => {}
        }
        out.extend_from_slice(b".\r\n");
        Ok(())
    }
}
