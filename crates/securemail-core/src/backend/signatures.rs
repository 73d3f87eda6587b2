//! Finds out who signed a mail that came in.

use std::fmt;

use async_trait::async_trait;

use crate::vocab::DnsName;

/// Checks DKIM signatures of mail that came in (RFC 6376).
///
/// # Contract
/// - **E1** `valid` names only domains whose signature verified, covers the whole body (no `l=`) and the
///   `From` field, and was made with SHA-256 (RFC 8301, section 3.1) by the domain itself.
/// - **E2** A key counts only where its record is for the service that is asked about, or for all (RFC
///   6376, section 3.6.1), is not in testing (`t=y`), and is the only record there.
/// - **E3** A key that could not be looked up puts its domain into `unknown`; a failure is never "not
///   signed".
/// - **E4** At most [`SIGNATURES_MAX`](crate::limits::SIGNATURES_MAX) signatures are looked at; a mail
///   with more counts as not signed.
#[async_trait]
pub trait Signatures: fmt::Debug + Send + Sync + 'static {
    /// Who signed `message`, with keys for `service` (`email`, `tlsrpt`).
    async fn signers(&self, message: &[u8], service: &str) -> Signers;
}

/// Who signed a mail.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Signers {
    /// Domains whose signature is good.
    pub valid: Vec<DnsName>,
    /// Domains of which that could not be found out now.
    pub unknown: Vec<DnsName>,
}
