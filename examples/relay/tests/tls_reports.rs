//! Reports about TLS of the whole relay: counted, sent, taken and shown.

mod common;

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::visitor::client_config;
use common::world::{World, arrival, contains};
use common::{PATIENCE, Place, eventually, message};
use mail_parser::{MessageParser, MimeHeaders as _};
use securemail_core::backend::DomainMemory as _;
use securemail_core::dkim::LocalDkimKey;
use securemail_core::secret::SecretText;
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
    yesterday_of("mismatch.test")
}

fn yesterday_of(domain: &str) -> DomainSessions {
    let failed = Session {
        policy: Policy {
            kind: PolicyType::Tlsa,
            domain: name(&format!("mx.{domain}")),
            strings: vec!["3 1 1 aa".to_owned()],
            mx_hosts: vec![format!("mx.{domain}")],
        },
        failure: Some(Failure {
            result: ResultType::ValidationFailure,
            sending_ip: None,
            mx_host: Some(name(&format!("mx.{domain}"))),
            helo: None,
            receiving_ip: None,
            reason: Some("dane-no-match".to_owned()),
        }),
    };
    DomainSessions {
        domain: name(domain),
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
        // Nothing is written before the end.
        place.set("tls_reports.poll_every", "\"1h\"");
        place.set("tls_reports.send", &send.to_string());
        let relay = place.start();
        let mail = message("count", "eva@proved.test", "x", "y");
        let reply = relay.submitter().submit(&["eva@proved.test"], &mail).await;
        assert!(reply.unwrap().starts_with("250"));
        assert!(
            counted(&place, "proved.test").await.is_empty(),
            "in memory only"
        );
        assert!(relay.stop().success());
        let of_domain = counted(&place, "proved.test").await;
        if !send {
            assert!(of_domain.is_empty(), "{of_domain:?}");
            continue;
        }
        let [(session, 1)] = of_domain.as_slice() else {
            panic!("{of_domain:?}");
        };
        assert_eq!(session.policy.kind, PolicyType::Tlsa);
        assert_eq!(session.failure, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_outlives_the_order_to_stop_is_counted_too() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    place.set("tls_reports.poll_every", "\"1h\"");
    let relay = place.start();
    let submitter = relay.submitter();
    let submitted = tokio::spawn(async move {
        let mail = message("late", "eva@slow.test", "x", "y");
        submitter.submit(&["eva@slow.test"], &mail).await
    });
    // It has the message, and thinks for some seconds before it says so.
    arrival(&world.slow, |_| true).await;
    assert!(relay.stop().success());
    assert!(submitted.await.unwrap().unwrap().starts_with("250"));
    let of_domain = counted(&place, "slow.test").await;
    assert_eq!(of_domain.len(), 1, "{of_domain:?}");
}

/// What the store has of a domain. It can be asked once: then all is claimed.
async fn counted(place: &Place, domain: &str) -> Vec<(Session, u64)> {
    let store = place.store().await;
    let later = now().plus(Duration::from_secs(3 * 86_400));
    let mut counted = Vec::new();
    while let Some(claim) = store.claim_report(later, PATIENCE).await.unwrap() {
        if claim.domain == name(domain) {
            counted = claim.sessions;
        }
    }
    counted
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
        format!(
            "{today} [not signed] Company-X: sender.test (MTA-STS): 5326 sessions were safe, 303 failed"
        )
    );
    assert_eq!(said.out.lines().count(), 4, "once: {}", said.out);
    assert!(relay.stop().success());
}

/// The relay is its own receiver: what it signs and sends is what it takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_by_mail_is_taken_when_the_key_that_signed_it_is_published() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    let bounces = SocketAddr::from((world.host(9), world.port));
    place.set("listen.bounces", &format!("\"{bounces}\""));
    place.set("tls_reports.address", "\"tls@relay.test\"");
    place.set("tls_reports.poll_every", "\"1s\"");
    asks(&world, "sender.test", "mailto:tls@relay.test");
    let pem = fs::read_to_string(place.folder().join("relay.test.pem")).unwrap();
    let key = LocalDkimKey::from_pem(name("relay.test"), "test", &SecretText::new(pem)).unwrap();
    let record = format!("{}. TXT \"{}\"", key.dns_name(), key.dns_record());
    for line in [
        "relay.test. MX 10 in.relay.test.",
        &format!("in.relay.test. A {}", world.host(9)),
        &record,
    ] {
        world.dns.add(line).unwrap();
    }
    let relay = place.start();
    let store = place.store().await;
    let counted = yesterday_of("sender.test");
    store.count_sessions(&[counted]).await.unwrap();
    let shown = eventually("the report", || {
        let said = place.relay(&["events", "--config", "{}", "--tls-reports"]);
        (said.code == Some(0)).then_some(said.out)
    });
    let shown = shown.await;
    let wanted =
        "[relay.test] Praktijk Anna: mx.sender.test (DANE): 0 sessions were safe, 3 failed";
    assert!(shown.contains(wanted), "{shown}");
    let found = place.relay(&["doctor", "--config", "{}"]).out;
    assert!(found.contains("tls_reports"), "{found}");
    assert!(relay.stop().success());
    // Who takes reports sends none about those sessions, and answers none.
    let later = now().plus(Duration::from_secs(3 * 86_400));
    let claim = store.claim_report(later, PATIENCE).await.unwrap();
    assert!(claim.is_none(), "{claim:?}");
    assert_eq!(world.sender.messages().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_for_reports_without_a_listener_is_refused() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    place.set("tls_reports.address", "\"tls@relay.test\"");
    let said = place.relay(&["config", "check", "--config", "{}"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("listen.bounces"), "{said:?}");
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
