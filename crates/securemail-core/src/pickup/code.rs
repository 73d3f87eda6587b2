//! One-time codes: made from a key and the id of a challenge, so that nothing is stored and a resend
//! gives the same digits.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::ChallengeId;
use crate::secret::{Key32, SecretText};

/// Digits of a code.
pub const DIGITS: usize = 6;

/// Characters of what was typed that are looked at; spaces and hyphens between digits have room.
const TYPED_MAX: usize = 32;

/// The code of a challenge: RFC 4226, section 5.3, with SHA-256.
#[must_use]
pub fn of(key: &Key32, challenge: ChallengeId) -> SecretText {
    let Ok(mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key.expose()) else {
        // HMAC takes keys of every length; an empty code matches nothing that `read` lets through.
        return SecretText::new("");
    };
    let digest: [u8; 32] = mac.chain_update(challenge.0).finalize().into_bytes().into();
    let offset = usize::from(digest[31] & 15);
    let bits = digest
        .get(offset..offset + 4)
        .unwrap_or(&[])
        .iter()
        .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
    SecretText::new(format!("{:06}", (bits & 0x7fff_ffff) % 1_000_000))
}

/// Why something typed is not a code at all. It does not count as a try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed {
    /// How many digits there were.
    pub digits: usize,
}

/// Reads what was typed: spaces, dots and hyphens are of no account.
///
/// # Errors
/// Where it is not six digits.
pub fn read(typed: &str) -> Result<SecretText, Malformed> {
    let typed = typed.trim();
    let separator = |c: char| c.is_whitespace() || matches!(c, '.' | '-' | '\u{2010}'..='\u{2014}');
    let digits: String = typed
        .chars()
        .filter(char::is_ascii_digit)
        .take(TYPED_MAX)
        .collect();
    let only = typed.chars().all(|c| c.is_ascii_digit() || separator(c));
    if only && typed.chars().count() <= TYPED_MAX && digits.len() == DIGITS {
        Ok(SecretText::new(digits))
    } else {
        Err(Malformed {
            digits: digits.len(),
        })
    }
}

/// Whether a code is the right one; takes the same time for every wrong one.
#[must_use]
pub fn matches(right: &SecretText, typed: &SecretText) -> bool {
    right
        .expose()
        .as_bytes()
        .ct_eq(typed.expose().as_bytes())
        .into()
}
