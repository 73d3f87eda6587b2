//! The reference that a sender, a recipient and a help desk can say to each other: `K7-4QPD`.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secret::Key32;
use crate::vocab::{QueueId, VaultId};

/// Names one message in mail and on pages. It says nothing to anybody who lacks the key, and opens nothing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Reference([u8; 6]);

impl Reference {
    /// The reference of a message: the same each time, under the same key.
    #[must_use]
    pub fn of(key: &Key32, queue: QueueId) -> Self {
        let mut mac = keyed(key);
        mac.update(b"securemail/v1/reference\0");
        mac.update(queue.as_bytes());
        let tag = mac.finalize().into_bytes();
        let mut number = tag
            .iter()
            .take(8)
            .fold(0u64, |n, byte| n << 8 | u64::from(*byte));
        let mut signs = [0; 6];
        for sign in &mut signs {
            let index = usize::try_from(number % SIGNS.len() as u64).unwrap_or_default();
            *sign = SIGNS.get(index).copied().unwrap_or_default();
            number /= SIGNS.len() as u64;
        }
        Self(signs)
    }
}

impl Reference {
    /// The reference of a message in the vault: 30 bits of its id, the same on the mail, on the page
    /// and in the log. Not a secret.
    #[must_use]
    pub fn of_vault(id: VaultId) -> Self {
        const LETTERS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
        let bits = id
            .as_bytes()
            .iter()
            .take(4)
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let mut signs = [b'2'; 6];
        for (place, sign) in (0..6_u32).zip(&mut signs) {
            let five = usize::try_from(bits >> (27 - 5 * place) & 31).unwrap_or(0);
            *sign = LETTERS.get(five).copied().unwrap_or(b'2');
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

/// HMAC-SHA-256 under a key of 32 bytes, filled up with zeros as RFC 2104, section 2, does.
pub(super) fn keyed(key: &Key32) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key.expose()) {
        *to = *from;
    }
    Hmac::new(&(*block).into())
}

/// Digits and letters that nobody mixes up when they are read aloud or written by hand.
const SIGNS: &[u8; 30] = b"23456789ABCDEFGHJKMNPQRSTVWXYZ";
