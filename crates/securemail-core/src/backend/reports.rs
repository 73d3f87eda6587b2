//! Hands reports about TLS over by HTTPS.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::tlsrpt::HttpsUri;

/// Posts reports over authenticated HTTPS (RFC 8460, section 5.4).
///
/// # Contract
/// - **W1** The certificate of the host was checked against trusted roots and its name. Section 3 leaves
///   that to us; whoever has no certificate that is trusted can ask for reports by mail.
/// - **W2** No redirect was followed; `Ok` says that the status was 2xx.
/// - **W3** No private, loopback or link-local address was connected to, unless allowed by name.
/// - **W4** It ends within a minute, and reads nothing of the answer beyond its status.
#[async_trait]
pub trait ReportPoster: fmt::Debug + Send + Sync + 'static {
    /// Posts a report, compressed by gzip.
    ///
    /// # Errors
    /// Where it was not taken; it may be tried again.
    async fn post(&self, to: &HttpsUri, report: Bytes) -> Result<(), PostError>;
}

/// Why a report was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// The certificate is not trusted for the name of the host.
    #[error("the certificate of the host is not valid for its name")]
    Certificate,
    /// The host has no address that may be connected to.
    #[error("the host has no public address")]
    NoAddress,
    /// The status was not 2xx.
    #[error("the host answered with status {0}")]
    Status(u16),
    /// No connection, or no answer in time.
    #[error("the host cannot be reached")]
    Unreachable,
}
