//! Reads a mail that carries a report about TLS to us (RFC 8460, section 5.3).

use mail_parser::{Message, MessageParser, MessagePart, MimeHeaders as _};

use crate::vocab::{Address, DnsName};

/// A mail of the form that reports have. Who sent it is a claim until a signature shows it.
#[derive(Clone, Eq, PartialEq)]
pub struct ReportMail {
    from: DnsName,
    /// The report, as it was attached: gzip or JSON.
    pub report: Vec<u8>,
}

/// Why a mail is no report.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportMailDefect {
    /// Not one part that is a report, or several.
    #[error(
        "it must carry one part of type application/tlsrpt+gzip or application/tlsrpt+json (RFC 8460, section 5.3)"
    )]
    Attachment,
    /// Not one author.
    #[error("it must have one From field with one address (RFC 5322, section 3.6.2)")]
    From,
    /// The fields that reports have are not there once.
    #[error(
        "it must have one TLS-Report-Domain and one TLS-Report-Submitter field (RFC 8460, section 5.3)"
    )]
    Fields,
    /// It has another type.
    #[error(
        "its Content-Type must be multipart/report; report-type=tlsrpt (RFC 8460, section 5.3)"
    )]
    Type,
}

/// Reads a mail. The report in it is not looked at: before that comes the signature.
///
/// # Errors
/// Where it does not have the form.
pub fn read_report_mail(message: &[u8]) -> Result<ReportMail, ReportMailDefect> {
    let message = MessageParser::default()
        .parse(message)
        .ok_or(ReportMailDefect::Type)?;
    if !is_report(&message) {
        return Err(ReportMailDefect::Type);
    }
    for field in ["TLS-Report-Domain", "TLS-Report-Submitter"] {
        if count(&message, field) != 1 {
            return Err(ReportMailDefect::Fields);
        }
    }
    Ok(ReportMail {
        from: author(&message).ok_or(ReportMailDefect::From)?,
        report: attached(&message).ok_or(ReportMailDefect::Attachment)?,
    })
}

impl ReportMail {
    /// The domain of its From field.
    #[must_use]
    pub const fn author(&self) -> &DnsName {
        &self.from
    }

    /// Whether a signature of `domain` speaks for the author: the author is in this domain. A name of
    /// one label is a registry's, and speaks for nobody.
    #[must_use]
    pub fn speaks_for_author(&self, domain: &DnsName) -> bool {
        domain.as_str().contains('.') && self.from.is_inside(domain)
    }
}

fn count(message: &Message<'_>, field: &str) -> usize {
    let fields = message.root_part().headers.iter();
    fields
        .filter(|header| header.name.as_str().eq_ignore_ascii_case(field))
        .count()
}

fn is_report(message: &Message<'_>) -> bool {
    let root = message.root_part();
    count(message, "Content-Type") == 1
        && root.is_content_type("multipart", "report")
        && root.content_type().is_some_and(|kind| {
            kind.attribute("report-type")
                .is_some_and(|report| report.eq_ignore_ascii_case("tlsrpt"))
        })
}

fn author(message: &Message<'_>) -> Option<DnsName> {
    let addresses = message.from().filter(|_| count(message, "From") == 1)?;
    let mut addresses = addresses.iter();
    let (only, more) = (addresses.next()?, addresses.next());
    if more.is_some() {
        return None;
    }
    let address: Address = only.address()?.parse().ok()?;
    Some(address.domain().clone())
}

/// What lies inside messages that are attached is not looked at.
fn attached(message: &Message<'_>) -> Option<Vec<u8>> {
    let mut reports = message.parts.iter().filter(|part| is_tlsrpt(part));
    let only = reports.next()?;
    match reports.next() {
        Some(_) => None,
        None => Some(only.contents().to_vec()),
    }
}

/// RFC 8460, sections 6.4 and 6.5.
fn is_tlsrpt(part: &MessagePart<'_>) -> bool {
    part.is_content_type("application", "tlsrpt+gzip")
        || part.is_content_type("application", "tlsrpt+json")
}

/// `Debug` shows no content.
impl std::fmt::Debug for ReportMail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReportMail")
            .field("octets", &self.report.len())
            .finish_non_exhaustive()
    }
}
