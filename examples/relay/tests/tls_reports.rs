//! Reports about TLS of the whole relay: counted, sent, taken and shown.

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::visitor::client_config;
use common::world::{World, arrival, contains};
use common::{PATIENCE, Place, message};
use mail_parser::{MessageParser, MimeHeaders as _};
use securemail_core::backend::DomainMemory as _;
use securemail_core::tlsrpt::{
    DomainSessions, Failure, Policy, PolicyType, ResultType, Session, UtcDay, compress, read_report,
};
use securemail_core::vocab::{DnsName, UnixTime};
use tokio::time::sleep;

const EXAMPLE: &str = include_str!("../../../vectors/tlsrpt/rfc8460-appendix-b.json");

#[expect(
    clippy::disallowed_methods,
    reason = "the relay beside this test lives in real time"
)]
fn now() -> UnixTime {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixTime::from_secs(passed.as_secs())
}

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

/// Yesterday with a domain whose server shows the wrong key; the report is due.
fn yesterday() -> DomainSessions {
    let failed = Session {
        policy: Policy {
            kind: PolicyType::Tlsa,
            domain: name("mx.mismatch.test"),
            strings: vec!["3 1 1 aa".to_owned()],
            mx_hosts: vec!["mx.mismatch.test".to_owned()],
        },
        failure: Some(Failure {
            result: ResultType::ValidationFailure,
            sending_ip: None,
            mx_host: Some(name("mx.mismatch.test")),
            helo: None,
            receiving_ip: None,
            reason: Some("dane-no-match".to_owned()),
        }),
    };
    DomainSessions {
        domain: name("mismatch.test"),
        day: UtcDay::of(now()).minus(1),
        due: now().minus(Duration::from_secs(1)),
        sessions: vec![(failed, 3)],
    }
}

fn asks(world: &World, domain: &str, rua: &str) {
    let line = format!("_smtp._tls.{domain}. TXT \"v=TLSRPTv1; rua={rua}\"");
    world.dns.replace(&line).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_goes_by_signed_mail_to_a_domain_whose_tls_is_broken() {
    let world = World::start().await;
    asks(&world, "mismatch.test", "mailto:tls@mismatch.test");
    let mut place = Place::new(&world);
    place.set("tls_reports.poll_every", "\"1s\"");
    let relay = place.start();
    let store = place.store().await;
    store.count_sessions(&[yesterday()]).await.unwrap();
    let mail = arrival(&world.mismatch, |mail| mail.to == ["tls@mismatch.test"]).await;
    assert!(mail.tls, "the best that is offered");
    assert_eq!(mail.from, "");
    assert!(contains(&mail.data, "TLS-Report-Domain: mismatch.test\r\n"));
    assert!(contains(&mail.data, "TLS-Report-Submitter: relay.test\r\n"));
    assert!(contains(&mail.data, "d=relay.test"), "signed");
    let parsed = MessageParser::default().parse(&mail.data).unwrap();
    let attached = parsed.attachments().next().unwrap();
    assert!(attached.is_content_type("application", "tlsrpt+gzip"));
    let report = read_report(attached.contents()).unwrap();
    assert_eq!(report.organization_name, "Praktijk Anna");
    assert_eq!(report.contact_info, "post@relay.test");
    assert_eq!(report.policies[0].summary.total_failure_session_count, 3);
    sleep(Duration::from_secs(3)).await;
    let mails = world.mismatch.messages();
    let reports = mails.iter().filter(|mail| mail.to == ["tls@mismatch.test"]);
    assert_eq!(reports.count(), 1, "once");
    assert!(relay.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_the_relay_are_counted_unless_it_shall_not_report() {
    let world = World::start().await;
    for send in [true, false] {
        let mut place = Place::new(&world);
        place.set("tls_reports.poll_every", "\"1s\"");
        place.set("tls_reports.send", &send.to_string());
        let relay = place.start();
        let mail = message("count", "eva@proved.test", "x", "y");
        let reply = relay.submitter().submit(&["eva@proved.test"], &mail).await;
        assert!(reply.unwrap().starts_with("250"));
        // What is counted is written at the end at the latest.
        assert!(relay.stop().success());
        let store = place.store().await;
        let later = now().plus(Duration::from_secs(3 * 86_400));
        let mut counted = Vec::new();
        while let Some(claim) = store.claim_report(later, PATIENCE).await.unwrap() {
            counted.extend(
                claim
                    .sessions
                    .into_iter()
                    .map(|counted| (claim.domain.clone(), counted)),
            );
        }
        let of_domain = counted
            .iter()
            .filter(|(domain, _)| *domain == name("proved.test"));
        let of_domain: Vec<_> = of_domain.map(|(_, counted)| counted).collect();
        if !send {
            assert!(counted.is_empty(), "{counted:?}");
            continue;
        }
        let [(session, 1)] = of_domain.as_slice() else {
            panic!("{counted:?}");
        };
        assert_eq!(session.policy.kind, PolicyType::Tlsa);
        assert_eq!(session.failure, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_about_us_is_taken_and_shown_in_plain_words() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    place.set("tls_reports.receive", "true");
    let relay = place.start();
    let shown = || place.relay(&["events", "--config", "{}", "--tls-reports"]);
    assert_eq!(shown().code, Some(1), "nothing yet");
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(client_config(&relay.certificate()))
        .resolve("localhost", place.web())
        .no_proxy()
        .build()
        .unwrap();
    let today = UtcDay::of(now()).to_string();
    let recent = EXAMPLE.replace("2016-04-01", &today);
    let about_us = recent.replace("company-y.example", "sender.test");
    let old = EXAMPLE.replace("company-y.example", "sender.test");
    for (report, status) in [
        (&recent, 404),
        (&old, 400),
        (&about_us, 201),
        (&about_us, 201),
    ] {
        let answer = client
            .post(format!("{}/tls-reports", place.origin()))
            .header("content-type", "application/tlsrpt+gzip")
            .body(compress(report.as_bytes()))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), status);
    }
    let said = shown();
    assert_eq!(said.code, Some(0), "{said:?}");
    let first = said.out.lines().next().unwrap();
    assert_eq!(
        first,
        format!("{today} Company-X: sender.test (MTA-STS): 5326 sessions were safe, 303 failed")
    );
    assert_eq!(said.out.lines().count(), 4, "once: {}", said.out);
    assert!(relay.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_signed_for_are_refused() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    for (contact, wanted) in [
        ("\"mailto:tls@elsewhere.test\"", "notice.from"),
        ("\"tls@relay.test\"", "mailto:ADDRESS"),
        ("\"https://relay.test/\"", "mailto:ADDRESS"),
    ] {
        place.set("tls_reports.contact", contact);
        let said = place.relay(&["config", "check", "--config", "{}"]);
        assert_eq!(said.code, Some(2), "{contact}: {said:?}");
        assert!(said.err.contains(wanted), "{contact}: {said:?}");
    }
    place.set("tls_reports.contact", "\"mailto:tls@relay.test\"");
    let said = place.relay(&["config", "check", "--config", "{}"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}
