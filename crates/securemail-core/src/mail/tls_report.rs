//! The mail that carries a report about TLS (RFC 8460, section 5.3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ContentFree;
use super::compose::{Writer, mailbox};
use crate::tlsrpt::ReportHead;
use crate::vocab::{Address, DnsName, QueueId, UnixTime};

/// A report about TLS as a mail. It is made of counts; there is no place for anything of a message.
#[derive(Debug)]
pub struct TlsReportMail<'a> {
    /// Its own id; with `host` it is the Message-ID.
    pub id: QueueId,
    /// Our own name.
    pub host: &'a DnsName,
    /// The moment.
    pub now: UnixTime,
    /// Who reports, about whom.
    pub head: &'a ReportHead,
    /// Who sends; the domain signs, so it is the one of the contact.
    pub from: &'a Address,
    /// Who asked for it.
    pub to: &'a Address,
    /// The report, compressed.
    pub gzip: &'a [u8],
}

impl TlsReportMail<'_> {
    /// The mail.
    #[must_use]
    pub fn mail(&self) -> ContentFree {
        let head = self.head;
        let (domain, submitter) = (&head.domain, head.submitter());
        let mut mail = Writer::default();
        mail.raw(&format!("Date: {}\r\n", self.now.rfc5322()));
        mail.raw(&format!(
            "From: {}\r\n",
            mailbox(&head.organisation, self.from)
        ));
        mail.raw(&format!("To: <{}>\r\n", self.to));
        mail.raw(&format!("Message-ID: <{}@{}>\r\n", self.id, self.host));
        // The form of section 5.3: a plain text, so no encoded words.
        mail.status_field(
            "Subject",
            &format!(
                "Report Domain: {domain} Submitter: {submitter} Report-ID: <{}>",
                head.report_id()
            ),
        );
        mail.status_field("TLS-Report-Domain", domain.as_str());
        mail.status_field("TLS-Report-Submitter", submitter.as_str());
        // RFC 8689, section 3, and RFC 8460, section 3: it must arrive where TLS is broken.
        mail.raw("TLS-Required: No\r\n");
        mail.raw("Auto-Submitted: auto-generated\r\n");
        mail.raw("X-Auto-Response-Suppress: All\r\n");
        mail.raw("MIME-Version: 1.0\r\n");
        mail.raw("Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"=_report\"\r\n\r\n");
        mail.raw("--=_report\r\n");
        mail.part("text/plain", &self.words());
        mail.raw("--=_report\r\n");
        mail.raw("Content-Type: application/tlsrpt+gzip\r\n");
        mail.raw("Content-Transfer-Encoding: base64\r\n");
        mail.raw(&format!(
            "Content-Disposition: attachment;\r\n filename=\"{}\"\r\n\r\n",
            head.file_name()
        ));
        mail.raw(&lines(self.gzip));
        mail.raw("--=_report--\r\n");
        mail.finish()
    }

    fn words(&self) -> String {
        format!(
            "This is a report about TLS (RFC 8460) from {} for the mail servers of {}, for {}, UTC.\n\
             It counts the sessions of that day. It holds nothing of any message.\n",
            self.head.submitter(),
            self.head.domain,
            self.head.day
        )
    }
}

/// RFC 2045, section 6.8: lines of 76 characters.
fn lines(octets: &[u8]) -> String {
    let encoded = STANDARD.encode(octets);
    let mut text = String::with_capacity(encoded.len() + encoded.len() / 38 + 2);
    let mut rest = encoded.as_str();
    while let Some((line, more)) = rest.split_at_checked(76) {
        text.push_str(line);
        text.push_str("\r\n");
        rest = more;
    }
    if !rest.is_empty() {
        text.push_str(rest);
        text.push_str("\r\n");
    }
    text
}
