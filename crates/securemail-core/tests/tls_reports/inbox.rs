//! Reports about our own domains that come in.

use std::sync::Arc;

use securemail_core::backend::DomainMemory;
use securemail_core::drive::{TlsInbox, TlsInboxError};
use securemail_core::limits::TLS_REPORTS_A_DAY_MAX;
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
    for day in ["2036-04-01", "2016-04-04", "2016-01-02", "1970-01-01"] {
        let refused = inbox.take(about(day).as_bytes()).await;
        let is_defect = matches!(refused, Err(TlsInboxError::Defect(ReportDefect::Day)));
        assert!(is_defect, "{day}: {refused:?}");
    }
    for day in ["2016-04-03", "2016-01-03"] {
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
