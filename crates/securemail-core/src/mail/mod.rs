//! Mail that we write ourselves, and what we read of a sender's.

mod bounce;
mod compose;
mod content_free;
mod dsn;
mod mime;
mod notice;
mod reference;
mod report_mail;
mod screen;
mod sender_mail;
pub mod sms;
mod subject_tags;
mod tls_report;
mod trace;
pub mod verp;
mod view;
mod wishes;

pub use crate::vocab::{Language, UnknownLanguage};
pub use bounce::is_permanent_failure;
pub use compose::{Head, Link, LinkError};
pub use content_free::ContentFree;
pub use dsn::{Dsn, DsnAction, DsnReason, DsnRecipient};
pub use mime::has_utf8_below;
pub use notice::{Notice, NoticeKind, reason};
pub use reference::{NoReference, Reference};
pub use report_mail::{ReportMail, ReportMailDefect, read_report_mail};
pub use screen::check_submission;
pub use sender_mail::{Progress, ReturnRoute, SenderMail, SenderNews};
pub use tls_report::TlsReportMail;
pub use trace::{Protocol, TlsSession, Trace, duplicate_mark};
pub use view::{Field, HeaderError, HeaderView, Mailboxes, read_header};
pub use wishes::{DeliveryWish, Wishes};
