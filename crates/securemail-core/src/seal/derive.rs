//! Keys from keys: HKDF with SHA-256 (RFC 5869).

use hkdf::Hkdf;
use sha2::Sha256;

use crate::secret::Key32;

/// HKDF-SHA-256 of `secret` with `salt`, to 32 octets, for the purpose named by the parts of `info`.
///
/// The parts are concatenated; the caller makes them unambiguous (fixed length, or ended by a zero).
pub(crate) fn derive(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Key32 {
    let mut key = [0; 32];
    // 32 octets are one block of SHA-256: the length is always right (RFC 5869, section 2.3).
    let expanded = Hkdf::<Sha256>::new(Some(salt), secret).expand_multi_info(info, &mut key);
    debug_assert!(expanded.is_ok(), "one block can always be expanded");
    Key32::from_bytes(key)
}
