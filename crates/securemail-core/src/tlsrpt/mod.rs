//! Reports about TLS (RFC 8460): counts of sessions, who wants them, and the report itself.
//!
//! A report tells how many sessions with the hosts of a domain could be proved and how many not, and
//! why. It holds no address of a person and nothing of any message.

mod gzip;
mod json;
mod policy;
mod record;
mod report;
mod result;
mod session;
mod tally;
mod words;

pub use gzip::{compress, expand};
pub use json::{ReportDefect, read_report};
pub use record::{HttpsUri, ReportUri, ReportUriError, report_uris};
pub use report::{DateRange, Details, PolicyEntry, PolicyHead, Report, ReportHead, Summary};
pub use result::{PolicyType, ResultType, of_peer, reason_code, result_of};
pub use session::{DomainSessions, Failure, Policy, Session, UtcDay};
pub use tally::{of_decision, of_session, of_unproved};
