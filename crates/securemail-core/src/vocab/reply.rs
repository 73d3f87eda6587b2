//! SMTP replies (RFC 5321, section 4.2) with enhanced status codes (RFC 3463).

use std::fmt;

use serde::{Deserialize, Serialize};

/// An enhanced status code: `5.7.1`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EnhancedStatus {
    /// 2 success, 4 transient, 5 permanent.
    pub class: u8,
    /// What it is about.
    pub subject: u16,
    /// What it is.
    pub detail: u16,
}

impl EnhancedStatus {
    /// `class.subject.detail`.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self {
            class,
            subject,
            detail,
        }
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// One reply. The text has no line breaks and only printable ASCII; others become `?`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Reply {
    code: u16,
    enhanced: Option<EnhancedStatus>,
    text: String,
}

impl Reply {
    /// A reply. `text` is made printable.
    #[must_use]
    pub fn new(code: u16, enhanced: Option<EnhancedStatus>, text: &str) -> Self {
        let text = text
            .chars()
            .take(400)
            .map(|c| {
                if c == ' ' || c.is_ascii_graphic() {
                    c
                } else {
                    '?'
                }
            })
            .collect();
        Self {
            code,
            enhanced,
            text,
        }
    }

    /// The three digits.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status code, if there was one.
    #[must_use]
    pub const fn enhanced(&self) -> Option<EnhancedStatus> {
        self.enhanced
    }

    /// The text behind the codes.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// 2yz.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        matches!(self.code, 200..=299)
    }

    /// 4yz.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self.code, 400..=499)
    }

    /// 5yz.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        matches!(self.code, 500..=599)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.enhanced {
            Some(enhanced) => write!(f, "{} {enhanced} {}", self.code, self.text),
            None => write!(f, "{} {}", self.code, self.text),
        }
    }
}
