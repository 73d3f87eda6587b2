//! The reference that a sender, a recipient and a help desk can say to each other: `K7-4QPD`.

use std::fmt;
use std::str::FromStr;

use crate::vocab::VaultId;

/// Names one message in mail, on pages and in the log. It is no secret, and opens nothing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Reference([u8; 6]);

impl Reference {
    /// The reference of a message to one recipient: 30 bits of its id, the same on the mail, on the page
    /// and in the log.
    #[must_use]
    pub fn of_vault(id: VaultId) -> Self {
        let bits = id
            .as_bytes()
            .iter()
            .take(4)
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let mut signs = [b'2'; 6];
        for (place, sign) in (0..6_u32).zip(&mut signs) {
            let five = usize::try_from(bits >> (27 - 5 * place) & 31).unwrap_or(0);
            *sign = SIGNS.get(five).copied().unwrap_or(b'2');
        }
        Self(signs)
    }
}

impl FromStr for Reference {
    type Err = NoReference;

    /// As it is written in a mail, or as somebody types what they were told.
    fn from_str(text: &str) -> Result<Self, NoReference> {
        let typed = text.bytes().filter(|b| !matches!(b, b'-' | b' '));
        let signs: Vec<u8> = typed.map(|b| b.to_ascii_uppercase()).take(7).collect();
        let signs = <[u8; 6]>::try_from(signs).map_err(|_| NoReference)?;
        let is_known = signs.iter().all(|sign| SIGNS.contains(sign));
        is_known.then_some(Self(signs)).ok_or(NoReference)
    }
}

/// It is not written like a reference.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a reference is written like K7-4QPD")]
pub struct NoReference;

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0.map(char::from);
        write!(f, "{a}{b}-{c}{d}{e}{g}")
    }
}

/// Digits and letters that are not mixed up when they are read aloud or written by hand.
const SIGNS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
