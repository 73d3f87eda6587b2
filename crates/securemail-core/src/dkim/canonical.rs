//! Relaxed canonicalisation (RFC 6376, sections 3.4.2 and 3.4.4), over any split of the octets.

use sha2::{Digest, Sha256};

/// A CR or LF stands alone: a verifier behind a server that repairs it would see other octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a line does not end with CRLF; a message like that cannot be signed")]
pub struct BareLineEnd;

/// Appends a header field in relaxed form, with its CRLF. `value` is what stands behind the colon.
pub fn write_relaxed_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend(name.trim_end().bytes().map(|b| b.to_ascii_lowercase()));
    out.push(b':');
    let mut words = value
        .split(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
        .filter(|word| !word.is_empty());
    if let Some(first) = words.next() {
        out.extend_from_slice(first);
    }
    for word in words {
        out.push(b' ');
        out.extend_from_slice(word);
    }
    out.extend_from_slice(b"\r\n");
}

/// The SHA-256 of a body in relaxed form, fed in pieces of any size.
#[derive(Clone, Debug, Default)]
pub struct BodyDigest {
    hash: Sha256,
    /// A CR was the last octet.
    after_cr: bool,
    /// White space came since the last other octet of this line.
    space: bool,
    /// Line ends that came since the last octet hashed; those at the end of the body do not count.
    line_ends: u64,
    /// Something was hashed.
    begun: bool,
}

impl BodyDigest {
    /// An empty body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next octets.
    ///
    /// # Errors
    /// Where a CR or LF stands alone.
    pub fn update(&mut self, octets: &[u8]) -> Result<(), BareLineEnd> {
        let mut rest = octets;
        while let Some((&first, behind)) = rest.split_first() {
            if self.after_cr != (first == b'\n') {
                return Err(BareLineEnd);
            }
            rest = behind;
            match first {
                b'\r' => self.after_cr = true,
                b'\n' => self.end_line(),
                b' ' | b'\t' => self.space = true,
                _ => rest = self.take_words(first, behind),
            }
        }
        Ok(())
    }

    /// The digest of the whole body.
    ///
    /// # Errors
    /// Where the body ends with a CR alone.
    pub fn finish(mut self) -> Result<[u8; 32], BareLineEnd> {
        if self.after_cr {
            return Err(BareLineEnd);
        }
        // Section 3.4.4: what is not empty ends with one CRLF; what is empty stays empty.
        if self.begun {
            self.hash.update(b"\r\n");
        }
        Ok(self.hash.finalize().into())
    }

    fn end_line(&mut self) {
        self.after_cr = false;
        self.space = false;
        self.line_ends = self.line_ends.saturating_add(1);
    }

    /// Hashes the words that begin with `first`; returns what stands behind them.
    fn take_words<'a>(&mut self, first: u8, behind: &'a [u8]) -> &'a [u8] {
        for _ in 0..self.line_ends {
            self.hash.update(b"\r\n");
        }
        self.line_ends = 0;
        if std::mem::take(&mut self.space) {
            self.hash.update(b" ");
        }
        self.begun = true;
        self.hash.update([first]);
        let stop = run_length(behind);
        let (word, rest) = behind.split_at_checked(stop).unwrap_or((behind, &[]));
        self.hash.update(word);
        rest
    }
}

/// How many octets stay as they are: words, and single spaces between them. One call of the hash for a
/// line is three times as fast as one for each word.
fn run_length(octets: &[u8]) -> usize {
    let special = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let mut at = 0;
    loop {
        let rest = octets.get(at..).unwrap_or_default();
        let Some(word) = rest.iter().position(special) else {
            return octets.len();
        };
        match rest.get(word..) {
            Some([b' ', next, ..]) if !special(next) => at += word + 1,
            _ => return at + word,
        }
    }
}
