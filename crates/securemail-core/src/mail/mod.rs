//! Mail that we write ourselves, and what we read of a sender's.

mod content_free;
mod screen;
mod trace;
mod view;

pub use content_free::ContentFree;
pub use screen::check_submission;
pub use trace::{Protocol, TlsSession, Trace};
pub use view::{Field, HeaderError, HeaderView, Mailboxes, read_header};
