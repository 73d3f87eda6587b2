//! The reference that a sender, a recipient and a help desk can say to each other: `K7-4QPD`.

use std::fmt;

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

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0.map(char::from);
        write!(f, "{a}{b}-{c}{d}{e}{g}")
    }
}

/// Digits and letters that are not mixed up when they are read aloud or written by hand.
const SIGNS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
