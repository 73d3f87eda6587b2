//! DKIM signatures (RFC 6376, RFC 8301, RFC 8463), in one pass over the message.

mod canonical;
#[cfg(feature = "aws-lc-rs")]
mod keys;
mod signer;

pub use canonical::{BareLineEnd, BodyDigest, write_relaxed_field};
#[cfg(feature = "aws-lc-rs")]
pub use keys::{KeyFileError, LocalDkimKey, LocalKeys};
pub use signer::{SignError, SignOptions, sign};
