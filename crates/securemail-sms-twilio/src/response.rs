//! What Twilio's answer means: taken, refused, or unknown.

use securemail_core::backend::{NotifyError, Receipt};
use serde::Deserialize;

use crate::codes::{Meaning, lookup};

/// Octets of an answer that are read; a real one has about a thousand.
pub const ANSWER_OCTETS_MAX: usize = 64 * 1024;

/// The answer was not what the API describes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unclear {
    /// HTTP says that it was taken, the body does not name it.
    #[error("the carrier took it and gave no id")]
    NoId,
    /// A failure inside Twilio, or between it and us.
    #[error("the carrier failed with HTTP status {0}")]
    Status(u16),
}

/// What a message resource says (status 201), as far as it matters here.
#[derive(Deserialize)]
struct Taken {
    sid: String,
    status: Option<String>,
    error_code: Option<u32>,
}

/// What an error says: the classic form, or that of RFC 9457. Both have the code; the text may hold the
/// number and is not read.
#[derive(Deserialize)]
struct Refusal {
    code: Option<u32>,
}

/// What the answer `status` with `body` means.
///
/// # Errors
/// Where Twilio did not take the text, or that is unknown.
pub fn read(status: u16, body: &[u8]) -> Result<Receipt, NotifyError> {
    match status {
        200..=299 => taken(body),
        401 => Err(NotifyError::Credentials),
        // Both say that it was not worked on (RFC 6585, section 4; RFC 9110, section 15.6.4).
        429 | 503 => Err(NotifyError::Busy),
        400..=499 => Err(refused(status, code_in(body))),
        _ => Err(NotifyError::InDoubt(Unclear::Status(status).into())),
    }
}

/// The code in the body of an error, if there is one.
#[must_use]
pub fn code_in(body: &[u8]) -> Option<u32> {
    serde_json::from_slice::<Refusal>(body).ok()?.code
}

fn taken(body: &[u8]) -> Result<Receipt, NotifyError> {
    let taken = serde_json::from_slice::<Taken>(body).ok();
    let taken = taken
        .filter(|taken| is_message_sid(&taken.sid))
        .ok_or_else(|| NotifyError::InDoubt(Unclear::NoId.into()))?;
    match taken.status.as_deref() {
        Some("failed" | "undelivered" | "canceled") => Err(refused(201, taken.error_code)),
        _ => Ok(Receipt {
            carrier_id: taken.sid,
        }),
    }
}

fn refused(status: u16, code: Option<u32>) -> NotifyError {
    let Some((meaning, _)) = code.and_then(lookup) else {
        return if matches!(status, 403 | 404) {
            NotifyError::Credentials
        } else {
            NotifyError::NotAllowed
        };
    };
    match meaning {
        Meaning::Busy | Meaning::Unreachable => NotifyError::Busy,
        Meaning::Credentials => NotifyError::Credentials,
        Meaning::Number => NotifyError::Number,
        Meaning::NotAllowed | Meaning::Settings => NotifyError::NotAllowed,
    }
}

/// `SM` or `MM` and 32 hexadecimal digits.
pub(crate) fn is_message_sid(text: &str) -> bool {
    text.strip_prefix("SM")
        .or_else(|| text.strip_prefix("MM"))
        .is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}
