//! Whatever two servers could read differently ends the session (CVE-2023-51764 and its kin).

mod common;

use std::time::Duration;

use common::{Raw, Running, TlsRaw, start};
use tokio::net::TcpStream;

/// What somebody would smuggle behind a false end of data.
const BEHIND: &str = "MAIL FROM:<a@clinic.test>\r\nRCPT TO:<victim@b.test>\r\nDATA\r\nx\r\n.\r\n";

async fn in_data(server: &Running) -> TlsRaw {
    let mut raw = server.connector().await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    raw.ask("RCPT TO:<a@b.test>", "250").await;
    raw.ask("DATA", "354").await;
    raw
}

#[tokio::test]
async fn a_false_end_of_data_ends_the_session_and_nothing_is_taken() {
    let server = start().await;
    let ends: [&[u8]; 13] = [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r\n.\rx",
        b"\n.\r",
        b"\r.\n",
        b"\r\r\n.\r\n",
        b"\n\r\n.\r\n",
        b"\0\r\n.\r\n",
        b"\r\n\0.\r\n",
    ];
    for end in ends {
        let mut raw = in_data(&server).await;
        raw.send([b"x".as_slice(), end, BEHIND.as_bytes()].concat())
            .await;
        let said = raw.rest().await;
        assert!(
            said.starts_with("521 5.5.2"),
            "{:?}: {said:?}",
            end.escape_ascii().to_string()
        );
        assert_eq!(
            said.matches("\r\n").count(),
            1,
            "nothing behind is obeyed: {said:?}"
        );
    }
    assert_eq!(server.handler.taken().len(), 0);
}

#[tokio::test]
async fn the_same_in_single_octets() {
    let server = start().await;
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r\n", "\r\n.\rx"] {
        let mut raw = in_data(&server).await;
        for octet in format!("x{end}").bytes() {
            raw.send([octet]).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let said = raw.rest().await;
        assert!(said.starts_with("521 5.5.2"), "{end:?}: {said:?}");
    }
    assert_eq!(server.handler.taken().len(), 0);
}

#[tokio::test]
async fn a_false_line_end_counts_also_when_the_message_is_already_too_big() {
    let server = common::start_with(|settings| settings.message_bytes = 100).await;
    let mut raw = in_data(&server).await;
    raw.send(format!("{}\r\nx\n.\r\n{BEHIND}", "x".repeat(120)))
        .await;
    let said = raw.rest().await;
    assert!(said.starts_with("521 5.5.2"), "{said:?}");
}

#[tokio::test]
async fn dots_that_are_no_end_are_content() {
    let server = start().await;
    let mut raw = in_data(&server).await;
    raw.send("x.\r\n.x\r\n. \r\n..\r\n.\r\n").await;
    raw.expect("250").await;
    assert_eq!(server.handler.taken()[0].octets, b"x.\r\nx\r\n \r\n.\r\n");
}

#[tokio::test]
async fn commands_with_false_line_ends_end_the_session() {
    let server = start().await;
    for command in [
        "NOOP\n",
        "NOOP\rNOOP\r\n",
        "NO\0OP\r\n",
        "NOOP\r\r\n",
        "\nNOOP\r\n",
    ] {
        let mut raw = server.clear().await;
        raw.send(command).await;
        let said = raw.rest().await;
        assert!(said.starts_with("521 5.5.2"), "{command:?}: {said:?}");
        assert_eq!(said.matches("\r\n").count(), 1);
    }
}

#[tokio::test]
async fn a_line_without_end_is_not_kept() {
    let server = start().await;
    let mut raw = server.clear().await;
    raw.send("x".repeat(1100)).await;
    let said = raw.rest().await;
    assert!(said.starts_with("500 5.5.2"), "{said:?}");
    let mut raw = server.tls().await;
    raw.send("x".repeat(13_000)).await;
    let said = raw.rest().await;
    assert!(said.starts_with("500 5.5.2"), "{said:?}");
    let mut raw = server.tls().await;
    raw.ask(&format!("NOOP {}", "x".repeat(2000)), "500 5.5.2")
        .await;
}

#[tokio::test]
async fn octets_behind_starttls_in_the_same_segment_end_the_session() {
    let server = start().await;
    for behind in ["NOOP\r\n", "EHLO injected.test\r\n", "\r\n", "x"] {
        let mut raw = server.clear().await;
        raw.ask("EHLO client.test", "250").await;
        raw.send(format!("STARTTLS\r\n{behind}")).await;
        let said = raw.rest().await;
        assert!(said.starts_with("554 5.5.0"), "{behind:?}: {said:?}");
        assert_eq!(said.matches("\r\n").count(), 1);
    }
}

#[tokio::test]
async fn octets_behind_the_220_to_starttls_are_not_obeyed() {
    let server = start().await;
    let mut raw = server.clear().await;
    raw.ask("EHLO client.test", "250").await;
    raw.ask("STARTTLS", "220").await;
    raw.send("EHLO injected.test\r\nMAIL FROM:<a@clinic.test>\r\n")
        .await;
    let said = raw.io_rest().await;
    assert!(
        !said.windows(3).any(|three| three == b"250"),
        "no reply in clear: {said:?}"
    );
}

#[tokio::test]
async fn pipelining_is_only_where_it_is_allowed() {
    let server = start().await;
    for group in [
        "EHLO a.test\r\nMAIL FROM:<a@clinic.test>\r\n",
        "NOOP\r\nNOOP\r\n",
        "AUTH PLAIN\r\nAAAA\r\n",
        "HELO a.test\r\nRSET\r\n",
    ] {
        let mut raw = server.tls().await;
        raw.send(group).await;
        let said = raw.rest().await;
        assert!(said.starts_with("554 5.5.0"), "{group:?}: {said:?}");
    }
    let mut raw = server.connector().await;
    raw.send("MAIL FROM:<a@clinic.test>\r\nRCPT TO:<a@b.test>\r\nDATA\r\nx\r\n.\r\n")
        .await;
    raw.expect("250").await;
    raw.expect("250").await;
    raw.expect("554 5.5.0").await;
    assert_eq!(raw.rest().await, "");
    assert_eq!(server.handler.taken().len(), 0);
}

#[tokio::test]
async fn who_speaks_before_the_greeting_is_not_served() {
    let server = start().await;
    // Whether the octets are there when the server looks is a race that it wins now and then.
    let mut turned_away = 0;
    for _ in 0..50 {
        let mut raw = Raw::over(TcpStream::connect(server.submission).await.unwrap());
        raw.send("EHLO early.test\r\nNOOP\r\n").await;
        let said = raw.reply().await;
        if said.starts_with("554 5.5.0") {
            turned_away += 1;
            continue;
        }
        let said = raw.reply().await;
        assert!(
            said.starts_with("554 5.5.0"),
            "EHLO with octets behind: {said:?}"
        );
    }
    assert!(turned_away > 0, "some are turned away at once");
}

#[tokio::test]
async fn a_client_for_another_service_is_refused_in_the_handshake() {
    let server = start().await;
    let mut config = server.client_config();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(server.submissions).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("relay.test").unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    assert!(connector.connect(name, stream).await.is_err());
}

#[tokio::test]
async fn after_a_refused_message_nothing_is_left_of_its_transaction() {
    let server = common::start_with(|settings| settings.message_bytes = 10).await;
    let mut raw = in_data(&server).await;
    raw.send("0123456789\r\n.\r\n").await;
    raw.expect("552").await;
    raw.ask("DATA", "503").await;
    raw.ask("RCPT TO:<a@b.test>", "503").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
}
