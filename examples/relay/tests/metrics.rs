//! Numbers tell how the relay fares, and never of whom.

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use common::world::{World, arrival};
use common::{ANNA, NUMBER, PATIENCE, Place, TENANT, eventually, message};
use securemail_testkit::ports;
use securemail_testkit::sink::Conduct;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What is served at `path`: status and body.
async fn read(at: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// The value of a series.
fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("{series} is missing:\n{text}"));
    line.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_tell_what_happened_and_name_nobody() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    let metrics = ports::free(Ipv4Addr::LOCALHOST).unwrap();
    place.set("listen.metrics", &format!("\"{metrics}\""));
    let relay = place.start();
    assert_eq!(read(metrics, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(read(metrics, "/").await.0, 404);

    // Delivered, vaulted, refused at RCPT, held.
    let anna = relay.submitter();
    let eva = message("1", "eva@proved.test", "Uw dossier", "Persoonlijk.");
    assert!(
        anna.submit(&["eva@proved.test"], &eva)
            .await
            .unwrap()
            .starts_with("250")
    );
    let jan = message("2", "jan@open.test", "Uw dossier", "Persoonlijk.");
    assert!(
        anna.submit(&["jan@open.test"], &jan)
            .await
            .unwrap()
            .starts_with("250")
    );
    let kim = message("3", "kim@mismatch.test", "Uw dossier", "Persoonlijk.");
    assert!(
        anna.submit(&["kim@mismatch.test"], &kim)
            .await
            .unwrap()
            .starts_with("250")
    );
    world
        .slow
        .behave(Conduct::ReplyAtRcpt("550 5.1.1 nobody".to_owned()));
    let no = message("4", "no@slow.test", "Uw dossier", "Persoonlijk.");
    assert!(
        anna.submit(&["no@slow.test"], &no)
            .await
            .unwrap()
            .starts_with("550")
    );
    arrival(&world.open, |_| true).await;

    let (mut text, begun) = (String::new(), Instant::now());
    while begun.elapsed() < PATIENCE {
        text = read(metrics, "/metrics").await.1;
        if value(&text, "securemail_notices_total{result=\"taken\"}") >= 1.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (series, wanted) in [
        ("securemail_messages_total{reply=\"accepted\"}", 3.0),
        ("securemail_messages_total{reply=\"refused\"}", 1.0),
        ("securemail_messages_total{reply=\"later\"}", 0.0),
        ("securemail_recipients_total{outcome=\"delivered\"}", 1.0),
        ("securemail_recipients_total{outcome=\"vaulted\"}", 1.0),
        ("securemail_recipients_total{outcome=\"refused\"}", 1.0),
        ("securemail_recipients_total{outcome=\"bounced\"}", 0.0),
        (
            "securemail_settle_seconds_count{outcome=\"delivered\"}",
            1.0,
        ),
        ("securemail_answer_seconds_count", 4.0),
        ("securemail_notices_total{result=\"taken\"}", 1.0),
        ("securemail_vault_messages", 1.0),
        ("securemail_spool_queued", 1.0),
        ("securemail_store_up", 1.0),
    ] {
        assert!(
            (value(&text, series) - wanted).abs() < 0.5,
            "{series} is not {wanted}:\n{text}"
        );
    }
    for series in [
        "securemail_recipients_held_total{class=\"suspicious\"}",
        "securemail_tls_failures_total{rule=\"tlsa_mismatch\"}",
        "securemail_tls_failures_total{rule=\"starttls\"}",
        "securemail_attempts_total{result=\"answered\"}",
        "securemail_certificate_remaining_seconds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ] {
        assert!(value(&text, series) >= 1.0, "{series} is nothing:\n{text}");
    }
    for personal in [
        ANNA,
        NUMBER,
        TENANT,
        "anna",
        "eva",
        "jan@",
        "kim",
        "proved.test",
        "open.test",
        "mismatch.test",
        "sender.test",
        "relay.test",
        "127.",
        "dossier",
    ] {
        assert!(
            !text.contains(personal),
            "`{personal}` stands among the numbers:\n{text}"
        );
    }
    assert!(relay.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_others_reach_is_said_loudly() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    let port = ports::free(Ipv4Addr::LOCALHOST).unwrap().port();
    place.set("listen.metrics", &format!("\"0.0.0.0:{port}\""));
    // Codes on the terminal are for a relay that nobody else reaches.
    let said = place.relay(&["config", "check", "--config", "{}"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.err.contains("every listener on 127.0.0.1"),
        "{}",
        said.err
    );
    std::fs::write(
        place.folder().join("token"),
        "0123456789abcdef0123456789abcdef",
    )
    .unwrap();
    let token = format!("\"{}/token\"", place.folder().display());
    place
        .set("sms.provider", "\"twilio\"")
        .set("sms.account_sid", "\"AC0123456789abcdef0123456789abcdef\"")
        .set("sms.auth_token_file", &token)
        .set("sms.from", "\"+31612345670\"");
    let relay = place.start();
    eventually("a loud word", || {
        let log = relay.log();
        log.contains("listen.metrics").then_some(())
    })
    .await;
    assert!(
        relay
            .log()
            .contains("how much mail is sent, held and refused"),
        "{}",
        relay.log()
    );
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    assert_eq!(read(here, "/healthz").await.0, 200);
    assert!(relay.stop().success());
}
