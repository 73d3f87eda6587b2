//! SMTP server (submission) and client (delivery).
//!
//! A server session asks a [`MailHandler`] about MAIL, RCPT and the end of DATA. Sessions are sans-IO
//! state machines (`proto`); tokio drivers move their octets (`net`).

mod handler;
mod settings;

pub use handler::{MailHandler, SessionFacts, Submission, TlsFacts, TransactionFacts};
pub use settings::{ClientSettings, ClientTimeouts, ServerSettings, ServerTimeouts};
