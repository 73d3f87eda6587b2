//! Sealing: content, small records, and the keys of both.
//!
//! There is one construction, [C2SP chunked-encryption](https://c2sp.org/chunked-encryption) as
//! Cobblestone-256: it commits to its key and its context, and any part of it can be opened alone.
//! [`chunked`] has the format, [`content`] lays it over a [`Content`](crate::vocab::Content),
//! [`record`] uses it for what fits in memory, [`wrap`] for content keys, [`master`] for the keys in
//! the key store.

pub mod chunked;
mod cipher;
pub mod content;
pub(crate) mod derive;
pub mod master;
pub mod record;
pub mod wrap;

pub use chunked::ChunkSealer;
pub use cipher::CipherProvider;
pub use content::{open, open_with, seal, seal_with};
pub use master::{LocalMasterKey, MasterKeyFormat};
pub use record::RecordCipher;
pub use wrap::WrappedContentKey;

use crate::backend::NoEntropy;

/// Something could not be sealed or opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The cipher refused to work; this is a fault of this program.
    #[error("the cipher failed")]
    Cipher,
    /// The octets, the key or the context are not those of the sealing.
    #[error("the octets are damaged, or sealed with another key or for something else")]
    Mismatch,
    /// The system has no randomness to give.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// It is longer than the format can hold (4 PiB).
    #[error("too long to be sealed")]
    TooLong,
}
