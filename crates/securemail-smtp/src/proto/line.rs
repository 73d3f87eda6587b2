//! Lines that end in CRLF and nothing else.

use bytes::{Bytes, BytesMut};

/// Octets that no line may have. Whoever sends them is not parsed any further: what two servers read
/// differently is how one message is smuggled inside another (RFC 5321, section 2.3.8).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LineFault {
    /// CR without LF.
    #[error("a carriage return without a line feed")]
    BareCr,
    /// LF without CR.
    #[error("a line feed without a carriage return")]
    BareLf,
    /// An octet of value 0.
    #[error("a NUL octet")]
    Nul,
    /// More octets than allowed before CRLF.
    #[error("the line is too long")]
    TooLong,
}

/// Takes one line, without its CRLF, off the front of `buffer`; `None` if none is complete.
///
/// # Errors
/// At the first forbidden octet, and as soon as the line with its end has more than `max` octets.
pub fn take_line(buffer: &mut BytesMut, max: usize) -> Result<Option<Bytes>, LineFault> {
    let Some(at) = find_control(buffer) else {
        return too_long(buffer.len().saturating_add(2), max).map(|()| None);
    };
    too_long(at.saturating_add(2), max)?;
    match (buffer.get(at), buffer.get(at.saturating_add(1))) {
        (Some(b'\r'), Some(b'\n')) => {
            let mut line = buffer.split_to(at.saturating_add(2));
            line.truncate(at);
            Ok(Some(line.freeze()))
        }
        (Some(b'\r'), None) => Ok(None),
        (Some(b'\r'), Some(_)) => Err(LineFault::BareCr),
        (Some(b'\n'), _) => Err(LineFault::BareLf),
        _ => Err(LineFault::Nul),
    }
}

/// Where the first CR, LF or NUL is.
#[must_use]
pub fn find_control(octets: &[u8]) -> Option<usize> {
    memchr::memchr3(b'\r', b'\n', 0, octets)
}

const fn too_long(length: usize, max: usize) -> Result<(), LineFault> {
    if length > max {
        Err(LineFault::TooLong)
    } else {
        Ok(())
    }
}
