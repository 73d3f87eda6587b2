//! SMTP server (submission) and client (delivery).
//!
//! [`SmtpServer`] asks a [`MailHandler`] about MAIL, RCPT and the end of DATA. [`BounceServer`] takes
//! bounces of notices, and reports about TLS where it has a [`ReportBox`]. [`SmtpTransport`] is the `Transport`, `NoticeTransport` and
//! `ReturnTransport` of `securemail-core`. They are thin: sessions are sans-IO state
//! machines in [`proto`], and tokio drivers move their octets.

mod bounces;
mod handler;
mod net;
pub mod proto;
mod report_box;
mod settings;

pub use bounces::{BounceHandler, BounceParts, BounceServer, BounceUnkept};
pub use handler::{MailHandler, SessionFacts, Submission, TlsFacts, TransactionFacts};
pub use net::client::SmtpTransport;
pub use net::limits::{Connections, Counted};
pub use net::server::{Access, Listener, ServerParts, SmtpServer, TlsMode};
pub use net::tls::{server_config, trust};
pub use report_box::ReportBox;
pub use settings::{ClientSettings, ClientTimeouts, Keeping, ServerSettings, ServerTimeouts};
