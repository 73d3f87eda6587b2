//! Mail that we write ourselves, and what we read of a sender's.

mod content_free;

pub use content_free::ContentFree;
