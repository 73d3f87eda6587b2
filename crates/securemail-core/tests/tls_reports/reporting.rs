//! The whole way: sessions fail on one day, and the domain is told on the next.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use mail_auth::report::tlsrpt::{ResultType as Theirs, TlsReport};
use securemail_core::backend::{
    DomainMemory, PostError, RecipientOutcome, ReportPoster, SessionOutcome,
};
use securemail_core::drive::{TlsReportSettings, TlsReporter};
use securemail_core::limits::TLS_REPORTS_AT_ONCE_MAX;
use securemail_core::route::PeerFailure;
use securemail_core::tlsrpt::{HttpsUri, Report, read_report};
use securemail_core::vocab::{LookupFailure, Outcome, RecordKind, Security};
use securemail_testkit::outage::Fault;
use securemail_testkit::scripted::{HostScript, reply};

use tokio::sync::{Notify, oneshot};

use crate::counting::world;
use crate::flow_world::{DAY, HOUR, MINUTE, SECOND, World, address, message, name, tenant};

const EVA: &str = "eva@taker.example";
const HOST: &str = "mx.host.example";

/// Takes reports, or not.
#[derive(Debug, Default)]
struct Desk {
    fails: Mutex<Option<PostError>>,
    /// Hosts that take a connection and never answer.
    silent: Mutex<Vec<String>>,
    got: Mutex<Vec<(String, Bytes)>>,
    asked: Mutex<usize>,
}

impl Desk {
    fn reports(&self) -> Vec<Report> {
        let got = self.got.lock().unwrap();
        got.iter()
            .map(|(_, octets)| read_report(octets).unwrap())
            .collect()
    }
}

#[async_trait]
impl ReportPoster for Desk {
    async fn post(&self, to: &HttpsUri, report: Bytes) -> Result<(), PostError> {
        *self.asked.lock().unwrap() += 1;
        if let Some(error) = *self.fails.lock().unwrap() {
            return Err(error);
        }
        if self.silent.lock().unwrap().contains(&to.host().to_string()) {
            return std::future::pending().await;
        }
        let at = format!("{}{}", to.host(), to.path());
        self.got.lock().unwrap().push((at, report));
        Ok(())
    }
}

/// A domain whose host shows the wrong key all day, and that asks for reports so.
async fn failing(world: &World, rua: &str) {
    let wrong_key = SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch);
    world.proved("taker.example", HOST, HostScript::ends(wrong_key));
    asks(world, "taker.example", rua);
    world.submit(message(&[EVA])).await;
    world.work_after(HOUR).await;
}

fn asks(world: &World, domain: &str, rua: &str) {
    let at = name(domain).below("_smtp._tls").unwrap();
    let txt = Outcome::Txt(vec![format!("v=TLSRPTv1; rua={rua}")]);
    world.dns.put(&at, RecordKind::Txt, txt, Security::Insecure);
}

fn reporter(world: &World, desk: &Arc<Desk>) -> Arc<TlsReporter> {
    let contact = address("veilig@gemeente.example");
    let settings = TlsReportSettings::new("Gemeente Voorbeeld".to_owned(), contact, tenant().id);
    Arc::new(TlsReporter::new(
        world.relay.clone(),
        desk.clone(),
        settings,
    ))
}

async fn report(world: &World, reporter: &Arc<TlsReporter>) -> usize {
    let reporter = reporter.clone();
    let due = world.drive(async move { reporter.report_due().await });
    due.await.unwrap()
}

/// Until the next day, and so many hours into it.
fn to_next_day(world: &World, hours: u32) {
    let now = world.now();
    let midnight = securemail_core::tlsrpt::UtcDay::of(now).ends();
    world.clock.set(midnight.plus(hours * HOUR));
}

#[tokio::test]
async fn a_failing_dane_domain_is_told_the_next_day() {
    let world = world().await;
    let desk = Arc::new(Desk::default());
    let reporter = reporter(&world, &desk);
    failing(&world, "https://reports.taker.example/tls").await;
    assert_eq!(report(&world, &reporter).await, 0, "the day is not over");
    to_next_day(&world, 0);
    world.clock.advance(9 * MINUTE);
    assert_eq!(report(&world, &reporter).await, 0, "not all at midnight");
    to_next_day(&world, 0);
    world.clock.set(world.now().minus(DAY).plus(4 * HOUR));
    report(&world, &reporter).await;
    let reports = desk.reports();
    assert_eq!(reports.len(), 1, "{reports:?}");
    let told = &reports[0];
    assert_eq!(told.organization_name, "Gemeente Voorbeeld");
    assert_eq!(told.date_range.start_datetime, "2026-11-21T00:00:00Z");
    assert_eq!(told.date_range.end_datetime, "2026-11-21T23:59:59Z");
    let policy = &told.policies[0];
    assert_eq!(told.policies.len(), 1, "{told:?}");
    assert_eq!(policy.policy.policy_type, "tlsa");
    assert_eq!(policy.policy.policy_domain, HOST);
    assert_eq!(
        policy.policy.policy_string,
        [format!("3 1 1 {}", "07".repeat(32))]
    );
    assert_eq!(policy.summary.total_successful_session_count, 0);
    assert_eq!(policy.summary.total_failure_session_count, 2);
    let details = &policy.failure_details[0];
    assert_eq!(details.result_type, "validation-failure");
    assert_eq!(
        details.failure_reason_code.as_deref(),
        Some("dane-no-match")
    );
    assert_eq!(details.receiving_mx_hostname.as_deref(), Some(HOST));
    let json = String::from_utf8(told.to_json()).unwrap();
    assert!(!json.contains("eva") && !json.contains("jan@"), "{json}");
    world.clock.advance(DAY);
    report(&world, &reporter).await;
    assert_eq!(desk.reports().len(), 1, "once");
}

#[tokio::test]
async fn success_is_reported_too() {
    let world = world().await;
    let desk = Arc::new(Desk::default());
    world.proved("taker.example", HOST, HostScript::takes());
    asks(&world, "taker.example", "https://reports.taker.example/tls");
    world.submit(message(&[EVA])).await;
    to_next_day(&world, 5);
    report(&world, &reporter(&world, &desk)).await;
    let reports = desk.reports();
    assert_eq!(
        reports[0].policies[0]
            .summary
            .total_successful_session_count,
        1
    );
    assert_eq!(reports[0].policies[0].failure_details, []);
}

#[tokio::test]
async fn whoever_asks_for_nothing_gets_nothing() {
    let world = world().await;
    let desk = Arc::new(Desk::default());
    world.proved("taker.example", HOST, HostScript::takes());
    asks(&world, "taker.example", "ftp://reports.taker.example/");
    world.submit(message(&[EVA])).await;
    to_next_day(&world, 5);
    assert!(report(&world, &reporter(&world, &desk)).await >= 2);
    assert_eq!(desk.reports(), []);
    world.clock.advance(10 * DAY);
    assert_eq!(report(&world, &reporter(&world, &desk)).await, 0, "over");
}

#[tokio::test]
async fn of_two_processes_one_reports() {
    let world = world().await;
    let desk = Arc::new(Desk::default());
    failing(&world, "https://reports.taker.example/tls").await;
    world.relay.write_counts().await.unwrap();
    to_next_day(&world, 5);
    let (first, second) = (reporter(&world, &desk), reporter(&world, &desk));
    let both = async move { tokio::join!(first.report_due(), second.report_due()) };
    let (first, second) = world.drive(both).await;
    assert_eq!(
        first.unwrap() + second.unwrap(),
        2,
        "the domain, and whoever runs its host"
    );
    assert_eq!(desk.reports().len(), 1);
}

#[tokio::test]
async fn a_report_that_is_not_taken_is_tried_again_for_a_day_under_the_same_id() {
    let world = world().await;
    let desk = Arc::new(Desk::default());
    let reporter = reporter(&world, &desk);
    failing(&world, "https://reports.taker.example/tls").await;
    *desk.fails.lock().unwrap() = Some(PostError::Status(503));
    to_next_day(&world, 5);
    report(&world, &reporter).await;
    assert_eq!(report(&world, &reporter).await, 0, "not at once");
    for _ in 0..3 {
        world.clock.advance(HOUR);
        report(&world, &reporter).await;
    }
    *desk.fails.lock().unwrap() = None;
    world.clock.advance(4 * HOUR);
    report(&world, &reporter).await;
    let asked = *desk.asked.lock().unwrap();
    assert!((4..=6).contains(&asked), "less and less often: {asked}");
    let reports = desk.reports();
    assert_eq!(reports.len(), 1);
    assert!(
        reports[0].report_id.starts_with("2026-11-21."),
        "{}",
        reports[0].report_id
    );
}

#[tokio::test]
async fn after_a_day_a_report_is_given_up() {
    let world = world().await;
    let desk = Arc::new(Desk::default());
    let reporter = reporter(&world, &desk);
    failing(&world, "https://reports.taker.example/tls").await;
    *desk.fails.lock().unwrap() = Some(PostError::Unreachable);
    to_next_day(&world, 5);
    for _ in 0..30 {
        report(&world, &reporter).await;
        world.clock.advance(HOUR);
    }
    let asked = *desk.asked.lock().unwrap();
    *desk.fails.lock().unwrap() = None;
    for _ in 0..30 {
        report(&world, &reporter).await;
        world.clock.advance(HOUR);
    }
    assert_eq!(desk.reports(), []);
    assert_eq!(*desk.asked.lock().unwrap(), asked);
}

#[tokio::test]
async fn a_dns_that_fails_or_lies_asks_for_nothing_yet() {
    for (outcome, security) in [
        (
            Outcome::Failed(LookupFailure::Timeout),
            Security::Indeterminate,
        ),
        (
            Outcome::Txt(vec!["v=TLSRPTv1; rua=https://liar.example/".to_owned()]),
            Security::Bogus,
        ),
    ] {
        let world = world().await;
        let desk = Arc::new(Desk::default());
        let reporter = reporter(&world, &desk);
        failing(&world, "https://reports.taker.example/tls").await;
        let at = name("_smtp._tls.taker.example");
        world.dns.put(&at, RecordKind::Txt, outcome, security);
        to_next_day(&world, 5);
        report(&world, &reporter).await;
        assert_eq!(desk.reports(), []);
        asks(&world, "taker.example", "https://reports.taker.example/tls");
        world.clock.advance(HOUR);
        report(&world, &reporter).await;
        assert_eq!(desk.reports().len(), 1, "asked again");
    }
}

#[tokio::test]
async fn a_mail_goes_out_signed_although_the_domains_own_tls_is_broken() {
    let world = world().await;
    let desk = Arc::new(Desk::default());
    failing(&world, "mailto:reports@taker.example").await;
    let tries = world.transport.attempts();
    world
        .transport
        .notice_host(&name(HOST), HostScript::takes());
    to_next_day(&world, 5);
    report(&world, &reporter(&world, &desk)).await;
    world.work().await;
    let mails = world.transport.notices();
    let mails: Vec<_> = mails
        .iter()
        .filter(|mail| mail.recipient.to_string() == "reports@taker.example")
        .collect();
    assert_eq!(mails.len(), 1);
    let octets = mails[0].mail.octets();
    let text = String::from_utf8_lossy(octets);
    assert!(text.contains("d=gemeente.example"), "{text}");
    let signed = text.replace("\r\n\t", "").to_ascii_lowercase();
    assert!(
        signed.contains("tls-report-domain:tls-report-domain"),
        "signed and sealed: {text}"
    );
    let theirs = TlsReport::parse_rfc5322(octets, 1 << 20).unwrap();
    assert_eq!(theirs.policies[0].summary.total_failure, 2);
    let details = &theirs.policies[0].failure_details[0];
    assert_eq!(details.result_type, Theirs::ValidationFailure);
    // The message itself was tried again meanwhile; the session with the report is not among these.
    let counted = counted_on_the_next_day(&world).await;
    assert_eq!(counted, world.transport.attempts() as u64 - tries as u64);
}

/// Such a session with a notice would be counted: nothing is published.
#[tokio::test]
async fn a_mail_that_goes_out_unproved_is_not_counted() {
    let world = world().await;
    let host = "mx.open.example";
    world.unsigned("open.example", host, HostScript::takes());
    world
        .transport
        .notice_host(&name(host), HostScript::takes());
    asks(&world, "open.example", "mailto:reports@open.example");
    world.submit(message(&["kim@open.example"])).await;
    let no_tls = HostScript::ends(SessionOutcome::NoStartTls(None));
    world.transport.host(&name(host), no_tls);
    to_next_day(&world, 5);
    report(&world, &reporter(&world, &Arc::new(Desk::default()))).await;
    counted_on_the_next_day(&world).await;
    world.work().await;
    let mails = world.transport.notices();
    assert_eq!(mails.len(), 1, "it goes without a proof");
    assert_eq!(mails[0].recipient.to_string(), "reports@open.example");
    assert_eq!(counted_on_the_next_day(&world).await, 0);
}

/// Sessions counted since the last report, once for each.
async fn counted_on_the_next_day(world: &World) -> u64 {
    world.relay.write_counts().await.unwrap();
    let later = world.now().plus(3 * DAY);
    let memory = world.memory.inner();
    let mut count = 0;
    while let Some(claim) = memory.claim_report(later, 9 * DAY).await.unwrap() {
        let is_host = claim.domain.as_str().starts_with("mx.");
        let sessions = claim.sessions.iter().filter(|_| !is_host);
        count += sessions.map(|(_, count)| count).sum::<u64>();
    }
    count
}

/// One of them may come back, and then nobody would have it.
#[tokio::test]
async fn each_mailbox_gets_a_mail() {
    let world = world().await;
    let desk = Arc::new(Desk::default());
    failing(
        &world,
        "mailto:gone@taker.example,mailto:reports@taker.example",
    )
    .await;
    world
        .transport
        .notice_host(&name(HOST), HostScript::takes());
    to_next_day(&world, 5);
    report(&world, &reporter(&world, &desk)).await;
    world.work().await;
    let mails = world.transport.notices();
    let mut to: Vec<String> = mails
        .iter()
        .map(|mail| mail.recipient.to_string())
        .collect();
    to.retain(|to| to.ends_with("@taker.example") && to != EVA);
    to.sort();
    assert_eq!(to, ["gone@taker.example", "reports@taker.example"]);
}

/// Takes a connection, and never answers.
#[derive(Debug, Default)]
struct Silent(Notify);

#[async_trait]
impl ReportPoster for Silent {
    async fn post(&self, _: &HttpsUri, _: Bytes) -> Result<(), PostError> {
        self.0.notify_one();
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_place_that_never_answers_does_not_put_off_the_end() {
    let world = world().await;
    failing(&world, "https://reports.taker.example/tls").await;
    let desk = Arc::new(Silent::default());
    let contact = address("veilig@gemeente.example");
    let settings = TlsReportSettings::new("Gemeente".to_owned(), contact, tenant().id);
    let reporter = TlsReporter::new(world.relay.clone(), desk.clone(), settings);
    let (stop, stopped) = oneshot::channel::<()>();
    let working = tokio::spawn(async move { reporter.work(stopped.map(drop)).await });
    to_next_day(&world, 5);
    let asked = async {
        // Each step of the clock lets the next round begin.
        loop {
            world.clock.advance(MINUTE);
            tokio::select! {
                () = desk.0.notified() => return,
                () = tokio::task::yield_now() => {}
            }
        }
    };
    asked.await;
    stop.send(()).unwrap();
    working.await.unwrap();
}

#[tokio::test]
async fn a_report_goes_in_clear_where_tls_fails_and_nothing_else_does() {
    let world = world().await;
    let desk = Arc::new(Desk::default());
    failing(&world, "mailto:reports@taker.example").await;
    let broken = HostScript::ends(SessionOutcome::TlsFailed("alert".to_owned()));
    world.transport.notice_host(&name(HOST), broken);
    to_next_day(&world, 5);
    report(&world, &reporter(&world, &desk)).await;
    world.work().await;
    let ways: Vec<bool> = world
        .transport
        .notices()
        .iter()
        .filter(|mail| mail.recipient.to_string() == "reports@taker.example")
        .map(|mail| mail.without_tls)
        .collect();
    assert_eq!(ways, [false, true], "TLS first");
    // A notice to the same domain is held: what is published is not met.
    let others = world.transport.notices();
    assert!(
        others
            .iter()
            .all(|mail| !mail.without_tls || mail.recipient.to_string().starts_with("reports@"))
    );
}

#[tokio::test]
async fn a_mail_that_nobody_takes_is_given_up_after_a_day_and_says_nothing() {
    let world = world().await;
    let desk = Arc::new(Desk::default());
    failing(&world, "mailto:reports@taker.example").await;
    let later = RecipientOutcome::Deferred(reply(451, "later"));
    world
        .transport
        .notice_host(&name(HOST), HostScript::says(later));
    to_next_day(&world, 5);
    report(&world, &reporter(&world, &desk)).await;
    let home = world.mails_home().len();
    for _ in 0..60 {
        world.work_after(Duration::from_secs(1800)).await;
    }
    let of_report = |world: &World| {
        let notices = world.transport.notices();
        let of = notices
            .iter()
            .filter(|mail| mail.recipient.to_string() == "reports@taker.example");
        of.count()
    };
    let tried = of_report(&world);
    assert!((10..60).contains(&tried), "{tried}");
    world.work_after(DAY).await;
    assert_eq!(of_report(&world), tried, "given up");
    let about = world.mails_home();
    assert!(
        about[home..]
            .iter()
            .all(|mail| !mail.contains("reports@taker.example"))
    );
}

#[tokio::test]
async fn a_mail_that_cannot_be_queued_is_tried_again() {
    let world = world().await;
    let desk = Arc::new(Desk::default());
    let reporter = reporter(&world, &desk);
    failing(&world, "mailto:reports@taker.example").await;
    world
        .transport
        .notice_host(&name(HOST), HostScript::takes());
    to_next_day(&world, 5);
    world.spool.fail("commit", Fault::Full);
    report(&world, &reporter).await;
    world.spool.up();
    world.clock.advance(HOUR);
    report(&world, &reporter).await;
    world.work().await;
    let mails = world.transport.notices();
    let of = mails
        .iter()
        .filter(|mail| mail.recipient.to_string() == "reports@taker.example");
    assert_eq!(of.count(), 1);
}

const SILENT: &str = "silent.example";

fn with_silent() -> Arc<Desk> {
    let desk = Desk::default();
    desk.silent.lock().unwrap().push(SILENT.to_owned());
    Arc::new(desk)
}

#[tokio::test]
async fn places_that_never_answer_leave_time_for_the_last() {
    let world = world().await;
    let desk = with_silent();
    let silent = format!("https://{SILENT}/");
    let rua = format!("{silent}1,{silent}2,{silent}3,https://reports.taker.example/tls");
    failing(&world, &rua).await;
    to_next_day(&world, 5);
    let began = world.now();
    report(&world, &reporter(&world, &desk)).await;
    assert_eq!(*desk.asked.lock().unwrap(), 4);
    assert_eq!(desk.reports().len(), 1);
    let took = world.now().since(began);
    assert!(took <= MINUTE, "{took:?}");
}

/// What a process that dies loses is what was counted within a minute, whoever takes reports how slowly.
#[tokio::test]
async fn counts_are_written_down_while_a_place_never_answers() {
    let world = world().await;
    failing(&world, &format!("https://{SILENT}/")).await;
    let desk = with_silent();
    let contact = address("veilig@gemeente.example");
    let mut settings = TlsReportSettings::new("Gemeente".to_owned(), contact, tenant().id);
    settings.poll_every = 5 * SECOND;
    let reporter = TlsReporter::new(world.relay.clone(), desk.clone(), settings);
    let (stop, stopped) = oneshot::channel::<()>();
    let working = tokio::spawn(async move { reporter.work(stopped.map(drop)).await });
    to_next_day(&world, 5);
    while *desk.asked.lock().unwrap() == 0 {
        world.pass(SECOND).await;
    }
    world.proved("other.example", "mx.other.example", HostScript::takes());
    world.submit(message(&["jo@other.example"])).await;
    world.pass(6 * SECOND).await;
    assert_eq!(*desk.asked.lock().unwrap(), 1, "it is still asked");
    let memory = world.memory.inner();
    let mut domains = Vec::new();
    while let Some(claim) = memory
        .claim_report(world.now().plus(3 * DAY), 9 * DAY)
        .await
        .unwrap()
    {
        domains.push(claim.domain);
    }
    assert!(domains.contains(&name("other.example")), "{domains:?}");
    stop.send(()).unwrap();
    working.await.unwrap();
}

/// A report goes out when its day is over, however late the reporter comes to it: the day's last counts are in it.
#[tokio::test]
async fn a_report_holds_what_was_counted_while_another_one_was_slow() {
    let world = world().await;
    let desk = with_silent();
    world.proved("slow.example", "mx.slow.example", HostScript::takes());
    asks(&world, "slow.example", &format!("https://{SILENT}/"));
    world.proved("taker.example", HOST, HostScript::takes());
    asks(&world, "taker.example", "https://reports.taker.example/tls");
    world.submit(message(&["a@slow.example"])).await;
    world.relay.write_counts().await.unwrap();
    to_next_day(&world, 23);
    world.submit(message(&[EVA])).await;
    world.clock.advance(55 * MINUTE);
    let reporter = reporter(&world, &desk);
    let reporting = tokio::spawn(async move { reporter.report_due().await });
    world.pass(SECOND).await;
    assert_eq!(*desk.asked.lock().unwrap(), 1);
    world.submit(message(&["jo@taker.example"])).await;
    world.clock.advance(5 * HOUR);
    reporting.await.unwrap().unwrap();
    let sessions = |report: &Report| report.policies[0].summary.total_successful_session_count;
    assert_eq!(desk.reports().iter().map(sessions).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn a_few_reports_are_sent_at_once() {
    let world = world().await;
    let desk = with_silent();
    for number in 0..TLS_REPORTS_AT_ONCE_MAX + 2 {
        let domain = format!("d{number}.example");
        world.proved(&domain, &format!("mx.{domain}"), HostScript::takes());
        asks(&world, &domain, &format!("https://{SILENT}/"));
        world.submit(message(&[&format!("a@{domain}")])).await;
    }
    to_next_day(&world, 5);
    let reporter = reporter(&world, &desk);
    let reporting = tokio::spawn(async move { reporter.report_due().await });
    world.pass(SECOND).await;
    assert_eq!(*desk.asked.lock().unwrap(), TLS_REPORTS_AT_ONCE_MAX);
    reporting.abort();
}
