//! Mail without anything of the sender's message in it.

use bytes::Bytes;

/// A whole mail (header and body, CRLF) that holds no subject, body or header of any sender's message.
///
/// Only the templates of this module make one, from facts that are not content.
#[derive(Clone, Debug)]
pub struct ContentFree(Bytes);

impl ContentFree {
    /// Called by the templates of `mail` alone.
    pub(crate) const fn new(octets: Bytes) -> Self {
        Self(octets)
    }

    /// The octets of the mail.
    #[must_use]
    pub const fn octets(&self) -> &Bytes {
        &self.0
    }
}
