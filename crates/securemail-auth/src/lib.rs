//! Who signed a mail that came in: DKIM (RFC 6376) by mail-auth, over our own validating resolver.

mod key;
mod signatures;

pub use signatures::{DkimError, DkimSignatures};
