//! What the main flow counts: each session, under each policy that applied to it.

use std::time::Duration;

use securemail_core::backend::{
    AttemptKind, AttemptReport, Directory, DomainMemory, Fact, FetchError, FetchedPolicy,
    PeerFacts, RecipientOutcome, SessionOutcome,
};
use securemail_core::route::{Authentication, Authority, Evidence, Hop, MessageFacts, PeerFailure};
use securemail_core::tlsrpt::{PolicyType, ResultType, of_session, of_unproved};
use securemail_core::vocab::{
    LookupFailure, Outcome, Profile, RecordKind, Security, Tlsa, UnixTime,
};
use securemail_testkit::outage::Fault;
use securemail_testkit::scripted::{HostScript, reply};

use crate::flow_world::{DAY, SECOND, World, defers, message, message_with, name, passes};

const EVA: &str = "eva@taker.example";
const HOST: &str = "mx.host.example";
const POLICY: &str = "version: STSv1\nmode: enforce\nmx: mx.host.example\nmax_age: 86400\n";

pub(crate) async fn world() -> World {
    World::with(|settings| settings.count_sessions = true, passes()).await
}

/// Everything counted so far but sessions with the sender's own domain, a line each:
/// `reported to: kind policy-domain result/reason host = count`.
async fn counted(world: &World) -> Vec<String> {
    world.relay.write_counts().await.unwrap();
    let after = world.now().plus(3 * DAY);
    let mut lines = Vec::new();
    let memory = world.memory.inner();
    while let Some(claim) = memory.claim_report(after, DAY).await.unwrap() {
        for (session, count) in claim.sessions {
            let policy = &session.policy;
            if policy.domain.as_str().ends_with("gemeente.example") {
                continue;
            }
            let kind = match policy.kind {
                PolicyType::NoPolicyFound => "none",
                PolicyType::Sts => "sts",
                PolicyType::Tlsa => "tlsa",
            };
            let result = session.failure.map_or_else(
                || "ok".to_owned(),
                |failure| {
                    let reason = failure.reason.unwrap_or_else(|| "-".to_owned());
                    let host = failure
                        .mx_host
                        .map_or_else(|| "-".to_owned(), |h| h.to_string());
                    format!("{}/{reason} {host}", failure.result)
                },
            );
            lines.push(format!(
                "{}: {kind} {} {result} = {count}",
                claim.domain, policy.domain
            ));
        }
    }
    lines.sort();
    lines
}

fn sts(world: &World, policy: Result<&'static str, FetchError>) {
    let domain = name("taker.example");
    let at = domain.below("_mta-sts").unwrap();
    let txt = Outcome::Txt(vec!["v=STSv1; id=1".to_owned()]);
    world.dns.put(&at, RecordKind::Txt, txt, Security::Insecure);
    let body = |body: &'static str| FetchedPolicy { body: body.into() };
    world.dns.policy(&domain, policy.map(body));
}

fn tlsa(world: &World, outcome: Outcome, security: Security) {
    let at = name("_25._tcp.mx.host.example");
    world.dns.put(&at, RecordKind::Tlsa, outcome, security);
}

fn fails(failure: PeerFailure) -> HostScript {
    HostScript::ends(SessionOutcome::NotAuthenticated(failure))
}

#[tokio::test]
async fn a_proved_session_is_a_success_for_the_domain_and_for_whoever_runs_the_host() {
    let world = world().await;
    world.proved("taker.example", HOST, HostScript::takes());
    assert_eq!(
        world
            .submit(message(&[EVA, "jo@taker.example"]))
            .await
            .code(),
        250
    );
    assert_eq!(
        counted(&world).await,
        [
            "mx.host.example: tlsa mx.host.example ok = 1",
            "taker.example: tlsa mx.host.example ok = 1",
        ],
        "one session, however many recipients"
    );
}

#[tokio::test]
async fn nothing_is_counted_where_nobody_reports() {
    let world = World::new().await;
    world.proved("taker.example", HOST, HostScript::takes());
    world.submit(message(&[EVA])).await;
    assert!(counted(&world).await.is_empty());
}

#[tokio::test]
async fn a_failing_dane_domain_is_counted_with_each_try() {
    let world = world().await;
    world.proved("taker.example", HOST, fails(PeerFailure::NoTlsaMatch));
    world.submit(message(&[EVA])).await;
    world.work_after(Duration::from_secs(3600)).await;
    let lines = counted(&world).await;
    let line =
        "taker.example: tlsa mx.host.example validation-failure/dane-no-match mx.host.example = 2";
    assert!(lines.iter().any(|found| found == line), "{lines:?}");
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[tokio::test]
async fn each_way_to_fail_has_its_type() {
    let no_starttls = |code| SessionOutcome::NoStartTls(code);
    for (script, wanted) in [
        (fails(PeerFailure::Expired), "certificate-expired/-"),
        (fails(PeerFailure::Name), "certificate-host-mismatch/-"),
        (fails(PeerFailure::Untrusted), "certificate-not-trusted/-"),
        (
            fails(PeerFailure::NoCertificate),
            "validation-failure/no-certificate",
        ),
        (
            HostScript::ends(no_starttls(None)),
            "starttls-not-supported/not-advertised",
        ),
        (
            HostScript::ends(no_starttls(Some(reply(454, "not now")))),
            "starttls-not-supported/smtp-454",
        ),
        (
            HostScript::ends(SessionOutcome::TlsFailed("alert".to_owned())),
            "validation-failure/tls-handshake",
        ),
        (
            HostScript::ends(SessionOutcome::Injected),
            "validation-failure/starttls-injection",
        ),
    ] {
        let world = world().await;
        world.unsigned("taker.example", HOST, script);
        sts(&world, Ok(POLICY));
        world.submit(message(&[EVA])).await;
        let line = format!("taker.example: sts taker.example {wanted} mx.host.example = 1");
        assert_eq!(counted(&world).await, [line]);
    }
}

#[tokio::test]
async fn silence_and_refusals_are_no_failures_of_tls() {
    let world = world().await;
    let silent = SessionOutcome::Unreachable("timed out".to_owned());
    world.proved("taker.example", HOST, HostScript::ends(silent));
    world.proved(
        "later.example",
        "mx.later.example",
        HostScript::says(defers()),
    );
    let unclear = HostScript::says(RecipientOutcome::Unconfirmed);
    world.proved("unclear.example", "mx.unclear.example", unclear);
    let reply = world.submit(message(&[EVA, "a@later.example", "a@unclear.example"]));
    assert_eq!(reply.await.code(), 250);
    let lines = counted(&world).await;
    assert!(
        lines.iter().all(|line| line.contains(" ok = ")),
        "{lines:?}"
    );
    assert!(!lines.iter().any(|line| line.contains(HOST)), "{lines:?}");
    assert_eq!(lines.len(), 4, "{lines:?}");
}

#[tokio::test]
async fn without_a_policy_a_session_succeeds_when_tls_comes_up() {
    for (script, wanted) in [
        (HostScript::takes(), "ok"),
        (fails(PeerFailure::Untrusted), "ok"),
        (
            HostScript::ends(SessionOutcome::NoStartTls(None)),
            "starttls-not-supported/not-advertised mx.host.example",
        ),
    ] {
        let world = world().await;
        world.unsigned("taker.example", HOST, script);
        world.submit(message(&[EVA])).await;
        let line = format!("taker.example: none taker.example {wanted} = 1");
        assert_eq!(counted(&world).await, [line]);
    }
}

#[tokio::test]
async fn a_policy_that_cannot_be_had_is_a_failure_of_the_domain() {
    for (policy, wanted) in [
        (
            Err(FetchError::Unreachable),
            "sts-policy-fetch-error/unreachable",
        ),
        (
            Err(FetchError::Status(404)),
            "sts-policy-fetch-error/http-status",
        ),
        (
            Err(FetchError::Status(302)),
            "sts-policy-fetch-error/redirect",
        ),
        (Err(FetchError::Certificate), "sts-webpki-invalid/-"),
        (Ok("version: STSv9\n"), "sts-policy-invalid/malformed"),
    ] {
        let world = world().await;
        world.unsigned("taker.example", HOST, HostScript::takes());
        sts(&world, policy);
        world.submit(message(&[EVA])).await;
        let line = format!("taker.example: sts taker.example {wanted} mx.host.example = 1");
        assert_eq!(counted(&world).await, [line], "{wanted}");
    }
}

#[tokio::test]
async fn a_txt_record_of_something_else_announces_no_policy() {
    let world = world().await;
    world.unsigned("taker.example", HOST, HostScript::takes());
    let at = name("_mta-sts.taker.example");
    let txt = Outcome::Txt(vec!["v=spf1 -all".to_owned()]);
    world.dns.put(&at, RecordKind::Txt, txt, Security::Insecure);
    world.submit(message(&[EVA])).await;
    assert_eq!(
        counted(&world).await,
        ["taker.example: none taker.example ok = 1"]
    );
}

#[tokio::test]
async fn a_host_that_is_left_out_for_what_is_published_is_a_failed_session() {
    let other = "version: STSv1\nmode: enforce\nmx: mx.other.example\nmax_age: 86400\n";
    let world = world().await;
    world.unsigned("taker.example", HOST, HostScript::takes());
    sts(&world, Ok(other));
    world.submit(message(&[EVA])).await;
    let line =
        "taker.example: sts taker.example validation-failure/mx-mismatch mx.host.example = 1";
    assert_eq!(counted(&world).await, [line]);
}

#[tokio::test]
async fn bogus_answers_are_said_at_their_place() {
    let first = world().await;
    first.proved("taker.example", HOST, HostScript::takes());
    let failed = Outcome::Failed(LookupFailure::Bogus);
    tlsa(&first, failed.clone(), Security::Bogus);
    first.submit(message(&[EVA])).await;
    assert_eq!(
        counted(&first).await,
        [
            "mx.host.example: tlsa mx.host.example dnssec-invalid/tlsa-bogus mx.host.example = 1",
            "taker.example: tlsa mx.host.example dnssec-invalid/tlsa-bogus mx.host.example = 1",
        ]
    );
    let second = world().await;
    let domain = name("taker.example");
    second
        .dns
        .put(&domain, RecordKind::Mx, failed, Security::Bogus);
    second.submit(message(&[EVA])).await;
    let line = "taker.example: none taker.example dnssec-invalid/mx-bogus - = 1";
    assert_eq!(counted(&second).await, [line]);
}

#[tokio::test]
async fn a_timeout_of_the_dns_is_nobodys_failure() {
    let world = world().await;
    world.proved("taker.example", HOST, HostScript::takes());
    let failed = Outcome::Failed(LookupFailure::Timeout);
    tlsa(&world, failed, Security::Indeterminate);
    world.submit(message(&[EVA])).await;
    assert!(counted(&world).await.is_empty());
}

#[tokio::test]
async fn records_that_nobody_can_use_are_invalid() {
    let world = world().await;
    world.proved("taker.example", HOST, HostScript::takes());
    let record = Tlsa {
        usage: 1,
        selector: 1,
        matching: 1,
        data: vec![7; 32],
    };
    tlsa(&world, Outcome::Tlsa(vec![record]), Security::Secure);
    world.submit(message(&[EVA])).await;
    let lines = counted(&world).await;
    let line = "taker.example: tlsa mx.host.example tlsa-invalid/all-unusable mx.host.example = 1";
    assert!(lines.iter().any(|found| found == line), "{lines:?}");
}

#[tokio::test]
async fn who_demands_dane_says_so() {
    let world = world().await;
    world.unsigned("taker.example", HOST, HostScript::takes());
    world.dns.sign(&name("taker.example"));
    let mut tenant = crate::flow_world::tenant();
    tenant.profile = Profile::DaneOnly;
    world.directory.put_tenant(&tenant).await.unwrap();
    world.submit(message_with("", &[EVA])).await;
    let line = "taker.example: tlsa mx.host.example dane-required/- mx.host.example = 1";
    let lines = counted(&world).await;
    assert!(lines.iter().any(|found| found == line), "{lines:?}");
}

#[tokio::test]
async fn hosts_behind_the_one_that_took_the_message_were_not_needed() {
    for (first, second, wanted) in [(HOST, "mx.bogus.example", 1), ("mx.bogus.example", HOST, 2)] {
        let world = world().await;
        world.proved("taker.example", HOST, HostScript::takes());
        world.dns.sign(&name("mx.bogus.example"));
        let hosts = [&name(first), &name(second)];
        world
            .dns
            .mail(&name("taker.example"), &hosts, Security::Secure);
        let failed = Outcome::Failed(LookupFailure::Bogus);
        let at = name("_25._tcp.mx.bogus.example");
        world
            .dns
            .put(&at, RecordKind::Tlsa, failed, Security::Bogus);
        assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
        let lines = counted(&world).await;
        let of_domain = lines
            .iter()
            .filter(|line| line.starts_with("taker.example:"));
        assert_eq!(of_domain.count(), wanted, "{lines:?}");
    }
}

#[tokio::test]
async fn counts_that_the_store_did_not_take_wait_for_the_next_time() {
    let world = world().await;
    world.proved("taker.example", HOST, HostScript::takes());
    world.submit(message(&[EVA])).await;
    world.memory.fail("count_sessions", Fault::Full);
    assert!(world.relay.write_counts().await.is_err());
    world.memory.up();
    assert_eq!(counted(&world).await.len(), 2);
}

#[test]
fn a_connection_that_was_kept_is_one_session_however_many_messages_it_carries() {
    let (evidence, hop, report) = proved_session();
    let count = |secured| {
        let mut report = report.clone();
        report.peer.as_mut().unwrap().secured = secured;
        of_session(&evidence, &hop, &report, report.ended).len()
    };
    let began = report.ended.minus(report.took);
    assert_eq!(count(began.plus(SECOND)), 1);
    assert_eq!(count(began.minus(SECOND)), 0, "counted when it was made");
}

/// RFC 8460, section 4.3, counts sessions: one address of a host may be led elsewhere while the next one is right.
#[tokio::test]
async fn a_session_that_failed_counts_though_the_next_address_took_the_message() {
    let world = world().await;
    let wrong = SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch);
    let silent = SessionOutcome::Unreachable("timed out".to_owned());
    let script = HostScript {
        elsewhere: vec![silent, wrong],
        ..HostScript::takes()
    };
    world.proved("taker.example", HOST, script);
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    let facts = world.observer.facts();
    assert!(facts.contains(&Fact::Attempted(AttemptKind::TlsaMismatch)));
    let lines = counted(&world).await;
    let of_domain: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("taker.example:"))
        .collect();
    assert_eq!(
        of_domain,
        [
            "taker.example: tlsa mx.host.example ok = 1",
            "taker.example: tlsa mx.host.example validation-failure/dane-no-match mx.host.example = 1",
        ]
    );
}

/// What a host says inside TLS is no failure of TLS, and no reason to forget the session.
#[test]
fn a_session_counts_once_tls_is_up_however_it_ends() {
    let (evidence, hop, report) = proved_session();
    let refused = SessionOutcome::Unreachable("in TLS: 421".to_owned());
    for outcome in [SessionOutcome::CalledOff, refused] {
        let mut report = report.clone();
        report.outcome = outcome;
        let counted = of_session(&evidence, &hop, &report, report.ended);
        assert_eq!(counted.len(), 1, "{:?}", report.outcome);
        assert_eq!(counted[0].failure, None);
        report.peer = None;
        let counted = of_session(&evidence, &hop, &report, report.ended);
        assert!(counted.is_empty(), "TLS was not tried");
    }
}

/// Where nothing is published nothing is demanded, and a mail of ours is a session like another.
#[test]
fn an_unproved_session_counts_where_nothing_is_published() {
    let (evidence, _, mut report) = proved_session();
    let count = |report: &AttemptReport| of_unproved(&evidence, report, report.ended);
    assert_eq!(count(&report)[0].failure, None);
    report.peer = None;
    let failure = count(&report)[0].failure.clone().unwrap();
    assert_eq!(failure.result, ResultType::StarttlsNotSupported, "in clear");
    report.outcome = SessionOutcome::Unreachable("timed out".to_owned());
    assert!(count(&report).is_empty());
}

#[tokio::test]
async fn a_notice_is_counted() {
    let world = world().await;
    let no_tls = HostScript::ends(SessionOutcome::NoStartTls(None));
    world.unsigned("open.example", "mx.open.example", no_tls);
    let host = name("mx.open.example");
    world.transport.notice_host(&host, HostScript::takes());
    world.phone("kim@open.example").await;
    let fields = "Message-ID: <m9@gemeente.example>\r\n";
    let kim = ["kim@open.example"];
    world.submit(message_with(fields, &kim)).await;
    for _ in 0..3 {
        world.work_after(Duration::from_secs(3600)).await;
    }
    assert_eq!(world.transport.notices().len(), 1);
    let lines = counted(&world).await;
    let line = "open.example: none open.example ok = 1";
    assert!(lines.iter().any(|found| found == line), "{lines:?}");
}

/// Who would have been tried then? Nobody.
#[tokio::test]
async fn bogus_mail_servers_fail_nothing_where_the_message_is_for_the_vault() {
    let world = world().await;
    let failed = Outcome::Failed(LookupFailure::Bogus);
    let domain = name("taker.example");
    let dns = &world.dns;
    dns.put(&domain, RecordKind::Mx, failed, Security::Bogus);
    world.phone(EVA).await;
    let fields = "Message-ID: <m9@gemeente.example>\r\nX-Securemail-Delivery: portal\r\n";
    world.submit(message_with(fields, &[EVA])).await;
    assert!(counted(&world).await.is_empty());
}

/// A session with a host about which nothing is published.
fn proved_session() -> (Evidence, Hop, AttemptReport) {
    let now = UnixTime::from_secs(1_795_262_400);
    let domain = name("taker.example");
    let evidence = Evidence::new(domain.clone(), Profile::Standard, MessageFacts::at(now));
    let hop = Hop {
        domain,
        host: name(HOST),
        addresses: Vec::new(),
        port: 25,
        sni: name(HOST),
        authenticate: Authentication::Pkix { name: name(HOST) },
        authority: Authority::Unsigned,
        must_name_domain: false,
    };
    let report = AttemptReport {
        host: name(HOST),
        address: None,
        own_address: None,
        peer: Some(PeerFacts {
            version: String::new(),
            cipher: String::new(),
            group: String::new(),
            chain: Vec::new(),
            ehlo: String::new(),
            secured: now,
        }),
        proof: None,
        outcome: SessionOutcome::Completed,
        recipients: Vec::new(),
        others: Vec::new(),
        ended: now.plus(10 * SECOND),
        took: 10 * SECOND,
    };
    (evidence, hop, report)
}
