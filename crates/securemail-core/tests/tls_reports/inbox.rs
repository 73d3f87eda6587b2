//! Reports about our own domains that come in.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use securemail_core::backend::{DomainMemory, Signatures, Signers};
use securemail_core::drive::{TlsInbox, TlsInboxError};
use securemail_core::limits::{
    TLS_REPORT_JSON_OCTETS_MAX, TLS_REPORTS_A_DAY_MAX, TLS_REPORTS_A_DAY_OCTETS_MAX,
};
use securemail_core::mail::ReportMailDefect;
use securemail_core::tlsrpt::{ReportDefect, UtcDay, compress};
use securemail_testkit::memory::MemoryDomainMemory;
use securemail_testkit::sim::ManualClock;

use crate::flow_world::name;

const EXAMPLE: &str = include_str!("../../../../vectors/tlsrpt/rfc8460-appendix-b.json");

fn inbox(memory: &Arc<MemoryDomainMemory>, domain: &str) -> TlsInbox {
    // The day after the one that the example is about.
    let day: UtcDay = "2016-04-02".parse().unwrap();
    let clock = Arc::new(ManualClock::at(day.begins()));
    TlsInbox::new(memory.clone(), clock, vec![name(domain)])
}

#[tokio::test]
async fn a_report_is_kept_once_and_shown_in_plain_words() {
    let memory = Arc::new(MemoryDomainMemory::default());
    let inbox = inbox(&memory, "company-y.example");
    inbox.take(EXAMPLE.as_bytes()).await.unwrap();
    inbox.take(&compress(EXAMPLE.as_bytes())).await.unwrap();
    let domain = name("company-y.example");
    let kept = memory.received_reports(&domain, 10).await.unwrap();
    assert_eq!(kept.len(), 1, "a repeat is no second report");
    assert_eq!(kept[0].day.to_string(), "2016-04-01");
    assert_eq!(
        kept[0].report.in_words(),
        "Company-X: company-y.example (MTA-STS): 5326 sessions were safe, 303 failed\n  \
         100 x the certificate of the mail server had expired, at mx1.mail.company-y.example\n  \
         200 x the mail server offered no STARTTLS, at mx2.mail.company-y.example\n  \
         3 x the mail server could not be authenticated, at mx-backup.mail.company-y.example \
         (X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED)\n"
    );
}

#[tokio::test]
async fn a_report_about_others_is_refused() {
    let memory = Arc::new(MemoryDomainMemory::default());
    let refused = inbox(&memory, "other.example")
        .take(EXAMPLE.as_bytes())
        .await;
    assert!(
        matches!(refused, Err(TlsInboxError::NotOurs)),
        "{refused:?}"
    );
    let broken = inbox(&memory, "company-y.example").take(b"{}").await;
    let is_defect = matches!(broken, Err(TlsInboxError::Defect(ReportDefect::Json)));
    assert!(is_defect, "{broken:?}");
}

/// Each day has room of its own, so a day that is nobody's business must not be had.
#[tokio::test]
async fn a_report_about_a_day_to_come_or_long_over_is_refused() {
    let memory = Arc::new(MemoryDomainMemory::default());
    let inbox = inbox(&memory, "company-y.example");
    let about = |day| EXAMPLE.replace("2016-04-01", day);
    for day in ["2036-04-01", "2016-04-04", "2016-03-29", "1970-01-01"] {
        let refused = inbox.take(about(day).as_bytes()).await;
        let is_defect = matches!(refused, Err(TlsInboxError::Defect(ReportDefect::Day)));
        assert!(is_defect, "{day}: {refused:?}");
    }
    for day in ["2016-04-03", "2016-03-30"] {
        inbox.take(about(day).as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_report_that_takes_much_room_is_refused() {
    let memory = Arc::new(MemoryDomainMemory::default());
    let long = EXAMPLE.replace("Company-X", &"x".repeat(64 * 1024));
    let inbox = inbox(&memory, "company-y.example");
    for report in [long.clone().into_bytes(), compress(long.as_bytes())] {
        let refused = inbox.take(&report).await;
        let is_defect = matches!(refused, Err(TlsInboxError::Defect(ReportDefect::TooLarge)));
        assert!(is_defect, "{refused:?}");
    }
}

/// Also where nobody sends reports, so that nobody else forgets.
#[tokio::test]
async fn reports_are_forgotten_after_their_time() {
    let memory = Arc::new(MemoryDomainMemory::default());
    inbox(&memory, "company-y.example")
        .take(EXAMPLE.as_bytes())
        .await
        .unwrap();
    let later: UtcDay = "2016-07-20".parse().unwrap();
    let clock = Arc::new(ManualClock::at(later.begins()));
    let domain = name("company-y.example");
    let later = TlsInbox::new(memory.clone(), clock, vec![domain.clone()]);
    let fresh = EXAMPLE.replace("2016-04-01", "2016-07-19");
    later.take(fresh.as_bytes()).await.unwrap();
    let kept = memory.received_reports(&domain, 10).await.unwrap();
    let days: Vec<String> = kept.iter().map(|report| report.day.to_string()).collect();
    assert_eq!(days, ["2016-07-19"]);
}

#[tokio::test]
async fn whoever_sends_many_fills_a_day_and_no_more() {
    let memory = Arc::new(MemoryDomainMemory::default());
    let inbox = inbox(&memory, "company-y.example");
    for number in 0..TLS_REPORTS_A_DAY_MAX + 20 {
        let report = EXAMPLE.replace("5065427c-", &format!("{number}-"));
        inbox.take(report.as_bytes()).await.unwrap();
    }
    let domain = name("company-y.example");
    let kept = memory.received_reports(&domain, 10_000).await.unwrap();
    assert_eq!(kept.len(), TLS_REPORTS_A_DAY_MAX);
}

#[tokio::test]
async fn the_texts_of_a_report_do_nothing_to_a_terminal() {
    let memory = Arc::new(MemoryDomainMemory::default());
    let evil = EXAMPLE
        .replace("Company-X", "\\u001b[2Jgone\\r\\nFrom: x")
        .replace("mx1.mail", "\\u202emx1");
    inbox(&memory, "company-y.example")
        .take(evil.as_bytes())
        .await
        .unwrap();
    let domain = name("company-y.example");
    let kept = memory.received_reports(&domain, 10).await.unwrap();
    let words = kept[0].report.in_words();
    assert!(
        words.starts_with("?[2Jgone??From: x: company-y.example"),
        "{words:?}"
    );
    assert!(!words.contains(['\u{1b}', '\r', '\u{202e}']), "{words:?}");
    assert_eq!(words.lines().count(), 4);
}

/// A mail as RFC 8460, section 5.3, has it.
fn mail(report: &[u8]) -> String {
    let report = STANDARD.encode(report);
    format!(
        "From: Reports <tls-reports@mail.company-x.example>\r\nTo: <tls@company-y.example>\r\n\
         Subject: Report Domain: company-y.example Submitter: company-x.example\r\n\
         TLS-Report-Domain: company-y.example\r\nTLS-Report-Submitter: company-x.example\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nA report.\r\n\
         --b\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         {report}\r\n--b--\r\n"
    )
}

/// Says what it was told to say about who signed.
#[derive(Debug)]
struct Told(Signers);

#[async_trait]
impl Signatures for Told {
    async fn signers(&self, _: &[u8], service: &str) -> Signers {
        assert_eq!(service, "tlsrpt");
        self.0.clone()
    }
}

fn signed_by(domain: &str) -> Told {
    Told(Signers {
        valid: vec![name(domain)],
        unknown: Vec::new(),
    })
}

#[tokio::test]
async fn a_mail_that_the_domain_of_its_author_signed_is_kept_once() {
    let memory = Arc::new(MemoryDomainMemory::default());
    let inbox = inbox(&memory, "company-y.example");
    for signer in ["company-x.example", "mail.company-x.example"] {
        let mail = mail(&compress(EXAMPLE.as_bytes()));
        let taken = inbox.take_mail(mail.as_bytes(), &signed_by(signer)).await;
        taken.unwrap();
    }
    inbox.take(EXAMPLE.as_bytes()).await.unwrap();
    let domain = name("company-y.example");
    let kept = memory.received_reports(&domain, 10).await.unwrap();
    let signers: Vec<_> = kept.iter().map(|one| one.signer.clone()).collect();
    assert_eq!(
        signers,
        [Some(name("mail.company-x.example")), None],
        "once by mail; whoever posted it may be anybody"
    );
}

/// Contact and id are words: whoever guesses them must not keep the true report out.
#[tokio::test]
async fn what_somebody_else_said_before_keeps_no_signed_report_out() {
    let memory = Arc::new(MemoryDomainMemory::default());
    let inbox = inbox(&memory, "company-y.example");
    let lie = EXAMPLE.replace("5326", "1");
    inbox.take(lie.as_bytes()).await.unwrap();
    let liar = mail(lie.as_bytes()).replace("@mail.company-x.example", "@liar.example");
    let by_liar = signed_by("liar.example");
    inbox.take_mail(liar.as_bytes(), &by_liar).await.unwrap();
    let by_author = signed_by("company-x.example");
    let truth = mail(EXAMPLE.as_bytes());
    inbox.take_mail(truth.as_bytes(), &by_author).await.unwrap();
    let domain = name("company-y.example");
    let kept = memory.received_reports(&domain, 10).await.unwrap();
    let of_author = kept
        .iter()
        .find(|one| one.signer == Some(name("mail.company-x.example")));
    let words = of_author.unwrap().report.in_words();
    assert!(words.contains("5326"), "{words}");
    assert_eq!(kept.len(), 3);
}

/// Posting costs nothing, and nobody is asked who it is.
#[tokio::test]
async fn reports_that_nobody_signed_leave_room_for_signed_ones() {
    let memory = Arc::new(MemoryDomainMemory::default());
    let inbox = inbox(&memory, "company-y.example");
    let large = EXAMPLE.replace("Company-X", &"x".repeat(2000));
    for number in 0..TLS_REPORTS_A_DAY_MAX + 20 {
        let report = large.replace("5065427c-", &format!("{number}-"));
        inbox.take(report.as_bytes()).await.unwrap();
    }
    let signed = mail(EXAMPLE.as_bytes());
    let signer = signed_by("company-x.example");
    inbox.take_mail(signed.as_bytes(), &signer).await.unwrap();
    let domain = name("company-y.example");
    let kept = memory.received_reports(&domain, 10_000).await.unwrap();
    assert!(kept[0].signer.is_some());
    let octets: usize = kept.iter().map(|one| one.report.to_json().len()).sum();
    assert!(octets <= 2 * TLS_REPORTS_A_DAY_OCTETS_MAX, "{octets}");
}

#[tokio::test]
async fn a_mail_that_nobody_signed_who_speaks_for_its_author_is_refused() {
    let memory = Arc::new(MemoryDomainMemory::default());
    let inbox = inbox(&memory, "company-y.example");
    let mail = mail(&compress(EXAMPLE.as_bytes()));
    for signer in [
        "company-z.example",
        "other.mail.company-x.example",
        "example",
    ] {
        let refused = inbox.take_mail(mail.as_bytes(), &signed_by(signer)).await;
        let is_unsigned = matches!(refused, Err(TlsInboxError::Unsigned));
        assert!(is_unsigned, "{signer}: {refused:?}");
    }
    let unknown = |domain: &str| {
        Told(Signers {
            valid: vec![name("company-z.example")],
            unknown: vec![name(domain)],
        })
    };
    let signers = unknown("company-x.example");
    let later = inbox.take_mail(mail.as_bytes(), &signers).await;
    assert!(
        matches!(later, Err(TlsInboxError::SignerUnknown)),
        "{later:?}"
    );
    let signers = unknown("company-q.example");
    let refused = inbox.take_mail(mail.as_bytes(), &signers).await;
    assert!(
        matches!(refused, Err(TlsInboxError::Unsigned)),
        "{refused:?}"
    );
    let domain = name("company-y.example");
    let kept = memory.received_reports(&domain, 10).await.unwrap();
    assert!(kept.is_empty(), "{kept:?}");
}

#[tokio::test]
async fn a_mail_of_another_form_is_refused_before_anybody_asks_who_signed_it() {
    use ReportMailDefect::{Attachment, Fields, From, Type};
    let good = mail(&compress(EXAMPLE.as_bytes()));
    let part = "--b\r\nContent-Type: application/tlsrpt+json\r\n\r\n{}\r\n--b--";
    let broken = [
        ("multipart/report", "multipart/mixed", Type),
        ("\"tlsrpt\"", "\"delivery-status\"", Type),
        (
            "MIME-Version",
            "Content-Type: text/plain\r\nMIME-Version",
            Type,
        ),
        ("TLS-Report-Domain:", "X-Domain:", Fields),
        ("TLS-Report-Submitter:", "X-Submitter:", Fields),
        (
            "MIME-Version",
            "TLS-Report-Domain: x.example\r\nMIME-Version",
            Fields,
        ),
        ("From:", "X-From:", From),
        ("To:", "From: <x@company-z.example>\r\nTo:", From),
        (
            "From: Reports",
            "From: <x@company-z.example>, Reports",
            From,
        ),
        ("tlsrpt+gzip", "gzip", Attachment),
        ("--b--", part, Attachment),
    ];
    let memory = Arc::new(MemoryDomainMemory::default());
    let inbox = inbox(&memory, "company-y.example");
    for (from, to, defect) in broken {
        assert!(good.contains(from), "{from}");
        let mail = good.replacen(from, to, 1);
        let refused = inbox.take_mail(mail.as_bytes(), &Nobody).await;
        let Err(TlsInboxError::Mail(found)) = refused else {
            panic!("{to}: {refused:?}");
        };
        assert_eq!(found, defect, "{to}");
    }
}

/// Must not be asked.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Signatures for Nobody {
    async fn signers(&self, _: &[u8], _: &str) -> Signers {
        panic!("a mail without the form of a report is no reason to ask the DNS")
    }
}

#[tokio::test]
async fn what_unfolds_into_too_much_is_refused_although_it_is_signed() {
    let memory = Arc::new(MemoryDomainMemory::default());
    let inbox = inbox(&memory, "company-y.example");
    let bomb = compress(&vec![b' '; TLS_REPORT_JSON_OCTETS_MAX + 1]);
    assert!(bomb.len() < 20_000, "a few octets that become many");
    let mail = mail(&bomb);
    let signers = signed_by("company-x.example");
    let refused = inbox.take_mail(mail.as_bytes(), &signers).await;
    let is_defect = matches!(refused, Err(TlsInboxError::Defect(ReportDefect::Gzip)));
    assert!(is_defect, "{refused:?}");
}
