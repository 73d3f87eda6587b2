//! Takes the reports about TLS that others send about our own domains (RFC 8460).

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::tls_forget::Forgetting;
use crate::StoreError;
use crate::backend::{Clock, DomainMemory, ReceivedReport, Signatures};
use crate::limits::{TLS_REPORT_KEPT_OCTETS_MAX, TLS_REPORT_LATE_DAYS};
use crate::mail::{ReportMail, ReportMailDefect, read_report_mail};
use crate::tlsrpt::{Report, ReportDefect, UtcDay, read_report};
use crate::vocab::DnsName;

/// Keeps reports about these domains. Anybody may send one, by mail in the name of a domain of theirs:
/// what it says is a hint, and no decision rests on it.
#[derive(Debug)]
pub struct TlsInbox {
    memory: Arc<dyn DomainMemory>,
    clock: Arc<dyn Clock>,
    domains: Vec<DnsName>,
    forgetting: Forgetting,
}

/// A report was not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsInboxError {
    /// It is no report.
    #[error("not a report about TLS: {0}")]
    Defect(#[from] ReportDefect),
    /// The mail does not have the form.
    #[error("not a report about TLS by mail: {0}")]
    Mail(#[from] ReportMailDefect),
    /// No policy in it is about a domain of ours.
    #[error("no policy-domain in it is one of ours")]
    NotOurs,
    /// The key of who signed it could not be looked up; it may come again.
    #[error("the key of its DKIM signature could not be looked up")]
    SignerUnknown,
    /// Nobody who speaks for its author signed it.
    #[error(
        "the domain of its From field has not signed it: a DKIM signature by SHA-256 without l= is \
         needed, with a key for s=tlsrpt or s=* (RFC 8460, section 3)"
    )]
    Unsigned,
    /// The store did not take it; it may come again.
    #[error("the report could not be written down")]
    Store(#[from] StoreError),
}

impl TlsInbox {
    /// Keeps reports about `domains` and names inside them.
    #[must_use]
    pub fn new(
        memory: Arc<dyn DomainMemory>,
        clock: Arc<dyn Clock>,
        domains: Vec<DnsName>,
    ) -> Self {
        Self {
            memory,
            clock,
            domains,
            forgetting: Forgetting::default(),
        }
    }

    /// Keeps the report that a mail carries, once it is shown that the author's domain signed it (RFC
    /// 8460, section 3: others must be ignored).
    ///
    /// # Errors
    /// As [`take`](Self::take), and where the mail has another form, or is not signed so.
    pub async fn take_mail(
        &self,
        message: &[u8],
        signatures: &dyn Signatures,
    ) -> Result<(), TlsInboxError> {
        let mail = read_report_mail(message)?;
        is_signed(&mail, message, signatures).await?;
        self.keep(&mail.report, Some(mail.author())).await
    }

    /// Keeps one report of whoever sent it, gzip or JSON; a repeat is thanked for and changes nothing.
    ///
    /// # Errors
    /// Where it is none, about nobody here, or cannot be kept.
    pub async fn take(&self, octets: &[u8]) -> Result<(), TlsInboxError> {
        self.keep(octets, None).await
    }

    async fn keep(&self, octets: &[u8], signer: Option<&DnsName>) -> Result<(), TlsInboxError> {
        let mut report = read_report(octets)?;
        let domain = self.keep_ours(&mut report)?;
        let now = self.clock.now();
        let received = ReceivedReport {
            domain,
            day: report.day().ok_or(ReportDefect::Dates)?,
            key: key_of(&report, signer),
            signer: signer.cloned(),
            received: now,
            report,
        };
        // Nobody reports the future; a wrong clock is at most a day off. Each day has its own room, so only days
        // that are reported now may be filled.
        let today = UtcDay::of(now);
        let tomorrow = UtcDay::of(now.plus(std::time::Duration::from_secs(86_400)));
        if received.day > tomorrow || received.day < today.minus(TLS_REPORT_LATE_DAYS) {
            return Err(ReportDefect::Day.into());
        }
        if received.report.to_json().len() > TLS_REPORT_KEPT_OCTETS_MAX {
            return Err(ReportDefect::TooLarge.into());
        }
        self.forgetting.once_a_day(&*self.memory, today).await?;
        self.memory.keep_received(&received).await?;
        Ok(())
    }

    /// Leaves out what is about others; the first domain of ours that is left.
    fn keep_ours(&self, report: &mut Report) -> Result<DnsName, TlsInboxError> {
        let ours = |name: &str| {
            let name = DnsName::parse(name).ok()?;
            let mut domains = self.domains.iter();
            domains.find(|domain| name.is_inside(domain)).cloned()
        };
        report
            .policies
            .retain(|entry| ours(&entry.policy.policy_domain).is_some());
        report
            .policies
            .first()
            .and_then(|entry| ours(&entry.policy.policy_domain))
            .ok_or(TlsInboxError::NotOurs)
    }
}

async fn is_signed(
    mail: &ReportMail,
    message: &[u8],
    signatures: &dyn Signatures,
) -> Result<(), TlsInboxError> {
    let signers = signatures.signers(message, SERVICE).await;
    let speaks = |domain: &DnsName| mail.speaks_for_author(domain);
    if signers.valid.iter().any(speaks) {
        return Ok(());
    }
    Err(if signers.unknown.iter().any(speaks) {
        TlsInboxError::SignerUnknown
    } else {
        TlsInboxError::Unsigned
    })
}

/// The id is unique for a submitter (RFC 8460, section 4.4), and the contact says who that is. These are words of
/// whoever sent it: what one signer says, or nobody signed, must not keep out what another one signs.
fn key_of(report: &Report, signer: Option<&DnsName>) -> String {
    let digest = Sha256::new()
        .chain_update(signer.map_or("", DnsName::as_str))
        .chain_update([0])
        .chain_update(&report.contact_info)
        .chain_update([0])
        .chain_update(&report.organization_name)
        .chain_update([0])
        .chain_update(&report.report_id)
        .finalize();
    digest.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// What a key must be for (RFC 8460, section 3).
const SERVICE: &str = "tlsrpt";
