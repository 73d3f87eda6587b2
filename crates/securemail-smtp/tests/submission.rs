//! A submission from greeting to final dot: order, limits, refusals, and the end.

mod common;

use std::time::{Duration, Instant};

use common::{Raw, start, start_with};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test]
async fn a_message_reaches_the_handler_as_it_was_sent() {
    let server = start().await;
    let mut raw = server.connector().await;
    raw.ask("MAIL FROM:<ward@clinic.test> SIZE=40 BODY=8BITMIME", "250")
        .await;
    raw.ask("RCPT TO:<a@example.test>", "250").await;
    raw.ask("RCPT TO:<b@example.test>", "250").await;
    raw.ask("RCPT TO:<a@example.test>", "250").await;
    raw.ask("DATA", "354").await;
    raw.send("Subject: x\r\n\r\n..dots\r\n.. \r\n...\r\n.\r\n")
        .await;
    raw.expect("250 2.0.0 taken").await;
    raw.ask("QUIT", "221 2.0.0").await;
    let taken = server.handler.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].octets, b"Subject: x\r\n\r\n.dots\r\n. \r\n..\r\n");
    let names: Vec<_> = taken[0]
        .envelope
        .recipients
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["a@example.test", "b@example.test"]);
    assert_eq!(taken[0].envelope.helo, "client.test");
    assert!(taken[0].tls);
    assert!(
        !taken[0].debug.contains("example.test"),
        "addresses do not stand in Debug"
    );
}

#[tokio::test]
async fn clear_text_offers_starttls_and_nothing_that_needs_it() {
    let server = start().await;
    let mut raw = server.clear().await;
    let offer = raw.ask("EHLO client.test", "250").await;
    for keyword in [
        "PIPELINING",
        "SIZE 62914560",
        "8BITMIME",
        "ENHANCEDSTATUSCODES",
        "CHUNKING",
        "SMTPUTF8",
        "STARTTLS",
    ] {
        assert!(offer.contains(keyword), "{keyword} in {offer}");
    }
    for keyword in ["AUTH", "REQUIRETLS", "BINARYMIME"] {
        assert!(!offer.contains(keyword), "{keyword} in {offer}");
    }
    for line in [
        "MAIL FROM:<a@clinic.test>",
        "AUTH PLAIN AAAA",
        "RCPT TO:<a@b.test>",
        "DATA",
    ] {
        raw.ask(line, "530 5.7.0").await;
    }
}

#[tokio::test]
async fn tls_offers_auth_and_mail_needs_it() {
    let server = start().await;
    let mut raw = server.tls().await;
    let offer = raw.ask("EHLO client.test", "250").await;
    assert!(offer.contains("AUTH PLAIN LOGIN"));
    assert!(!offer.contains("STARTTLS"));
    raw.ask("MAIL FROM:<a@clinic.test>", "530 5.7.0").await;
}

#[tokio::test]
async fn starttls_forgets_what_was_said_before() {
    let server = start().await;
    let mut raw = server.clear().await;
    raw.ask("EHLO client.test", "250").await;
    raw.ask("STARTTLS", "220 2.0.0").await;
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(server.client_config()));
    let name = rustls::pki_types::ServerName::try_from("relay.test").unwrap();
    let mut raw = Raw::over(connector.connect(name, raw.io).await.unwrap());
    raw.ask("AUTH PLAIN AAAA", "503 5.5.1").await;
    raw.ask("EHLO client.test", "250").await;
    raw.ask("STARTTLS", "503 5.5.1").await;
    raw.ask(&common::plain("connector", common::SECRET), "235")
        .await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
}

#[tokio::test]
async fn a_reverse_path_of_another_domain_is_refused_with_the_way_out() {
    let server = start().await;
    let mut raw = server.connector().await;
    let reply = raw.ask("MAIL FROM:<a@other.test>", "550 5.7.1").await;
    assert!(reply.contains("clinic.test"), "{reply}");
    raw.ask("MAIL FROM:<a@sub.clinic.test>", "550 5.7.1").await;
}

#[tokio::test]
async fn the_null_reverse_path_is_for_connectors() {
    let server = start().await;
    let mut raw = server.connector().await;
    raw.ask("MAIL FROM:<>", "250").await;
    let mut raw = server.tls().await;
    raw.ask(&common::plain("person", common::PASSWORD), "235")
        .await;
    raw.ask("MAIL FROM:<>", "550 5.7.1").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
}

#[tokio::test]
async fn parameters_and_paths_that_are_not_understood_are_refused() {
    let server = start().await;
    let mut raw = server.connector().await;
    for (line, reply) in [
        ("MAIL FROM:<a@clinic.test> SMTPUTF8=YES", "501 5.5.4"),
        ("MAIL FROM:<a@clinic.test> REQUIRETLS=YES", "501 5.5.4"),
        ("MAIL FROM:<a@clinic.test> RET=FULL", "555 5.5.4"),
        ("MAIL FROM:<a@clinic.test> BODY=BINARYMIME", "501 5.5.4"),
        ("MAIL FROM:<a@clinic.test> SIZE=x", "501 5.5.4"),
        ("MAIL FROM:<a@[127.0.0.1]>", "550 5.1.7"),
        (
            "MAIL FROM:<a@clinic.test> SIZE=99999999999999999999",
            "552 5.3.4",
        ),
        ("MAIL FROM:<a@clinic.test>", "250"),
        ("RCPT TO:<a@[127.0.0.1]>", "550 5.1.2"),
        ("RCPT TO:<@a.test,@b.test:c@d.test>", "501 5.1.3"),
        ("RCPT TO:<a@b.test> NOTIFY=NEVER", "555 5.5.4"),
        ("RCPT TO:<j\u{f6}rg@b.test>", "553 5.6.7"),
        ("RCPT TO:<refused@b.test>", "550 no such recipient"),
        ("DATA", "554 5.5.1"),
    ] {
        raw.ask(line, reply).await;
    }
}

#[tokio::test]
async fn a_reply_of_the_handler_that_is_none_becomes_451() {
    let server = start().await;
    let mut raw = server.connector().await;
    raw.ask("MAIL FROM:<nonsense@clinic.test>", "451 4.3.0")
        .await;
    raw.ask("MAIL FROM:<suspended@clinic.test>", "550 suspended")
        .await;
}

#[tokio::test]
async fn recipients_beyond_the_limit_are_for_another_message() {
    let server = start_with(|settings| settings.recipients = 2).await;
    let mut raw = server.connector().await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    raw.ask("RCPT TO:<a@b.test>", "250").await;
    raw.ask("RCPT TO:<refused@b.test>", "550").await;
    raw.ask("RCPT TO:<c@b.test>", "452 4.5.3").await;
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused_and_the_session_goes_on() {
    let server = start_with(|settings| settings.message_bytes = 1000).await;
    let mut raw = server.connector().await;
    raw.ask("MAIL FROM:<a@clinic.test> SIZE=1001", "552 5.3.4")
        .await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    raw.ask("RCPT TO:<a@b.test>", "250").await;
    raw.ask("DATA", "354").await;
    raw.send(format!("{}.\r\n", "x".repeat(98).as_str().to_owned() + "\r\n").repeat(1))
        .await;
    raw.expect("250").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    raw.ask("RCPT TO:<a@b.test>", "250").await;
    raw.ask("DATA", "354").await;
    raw.send(format!("{}.\r\n", ("x".repeat(98) + "\r\n").repeat(11)))
        .await;
    raw.expect("552 5.3.4").await;
    raw.ask("RCPT TO:<a@b.test>", "503").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    assert_eq!(server.handler.taken().len(), 1);
}

#[tokio::test]
async fn a_message_without_end_ends_the_session() {
    let server = start_with(|settings| settings.message_bytes = 1000).await;
    let mut raw = server.connector().await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    raw.ask("RCPT TO:<a@b.test>", "250").await;
    raw.ask("DATA", "354").await;
    raw.send(("x".repeat(98) + "\r\n").repeat(30)).await;
    raw.expect("552 5.3.4").await;
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn a_line_of_more_than_998_octets_is_refused() {
    let server = start().await;
    let mut raw = server.connector().await;
    for (length, reply) in [(998, "250"), (999, "554 5.6.0")] {
        raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
        raw.ask("RCPT TO:<a@b.test>", "250").await;
        raw.ask("DATA", "354").await;
        raw.send(format!("{}\r\n.\r\n", "x".repeat(length))).await;
        raw.expect(reply).await;
    }
}

#[tokio::test]
async fn content_above_the_memory_budget_is_sealed_on_disk_and_read_back_whole() {
    let server = start_with(|settings| settings.memory_bytes = 64 * 1024).await;
    let line = "x".repeat(76) + "\r\n";
    for size in [1, 60, 70, 1000] {
        let body = line.repeat(size * 1024 / 78);
        let mut raw = server.connector().await;
        raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
        raw.ask("RCPT TO:<a@b.test>", "250").await;
        raw.ask("DATA", "354").await;
        raw.send(format!("{body}.\r\n")).await;
        raw.expect("250").await;
        let taken = server.handler.taken().pop().unwrap();
        assert_eq!(taken.octets, body.as_bytes());
    }
    let names = std::fs::read_dir(server.data_dir.path()).unwrap().count();
    assert_eq!(names, 0, "the files have no name");
}

/// What the files of `data_dir` without a name hold, by way of this process's descriptors.
fn unnamed_files(data_dir: &std::path::Path) -> Vec<Vec<u8>> {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let target = std::fs::read_link(&path).ok()?;
            target
                .starts_with(data_dir)
                .then(|| std::fs::read(path).ok())?
        })
        .collect()
}

#[tokio::test]
async fn what_is_on_disk_is_never_in_clear() {
    let server = start_with(|settings| settings.memory_bytes = 0).await;
    *server.handler.delay.lock().unwrap() = Duration::from_secs(1);
    let marker = "MARKER-OF-A-PATIENT ".repeat(20) + "\r\n";
    let body = marker.repeat(1500);
    let mut raw = server.connector().await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    raw.ask("RCPT TO:<a@b.test>", "250").await;
    raw.ask("DATA", "354").await;
    raw.send(format!("{body}.\r\n")).await;
    while *server.handler.begun.lock().unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let files = unnamed_files(server.data_dir.path());
    assert_eq!(files.len(), 1);
    assert!(files[0].len() > body.len(), "the whole message is there");
    assert!(!files[0].windows(8).any(|octets| octets == b"MARKER-O"));
    raw.expect("250").await;
    assert_eq!(server.handler.taken()[0].octets, body.as_bytes());
    assert_eq!(
        unnamed_files(server.data_dir.path()).len(),
        0,
        "and gone with its handle"
    );
}

#[tokio::test]
async fn without_room_on_disk_the_message_is_put_off() {
    let server = start_with(|settings| {
        settings.memory_bytes = 0;
        settings.data_dir = "/nonexistent/securemail".into();
    })
    .await;
    let mut raw = server.connector().await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    raw.ask("RCPT TO:<a@b.test>", "250").await;
    raw.ask("DATA", "354").await;
    raw.send("x\r\n.\r\n").await;
    raw.expect("452 4.3.1").await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    assert_eq!(*server.handler.not_taken.lock().unwrap(), [452]);
}

/// So that numbers show it: the handler never hears of the message itself.
#[tokio::test]
async fn the_handler_is_told_of_each_message_that_the_session_refuses() {
    let server = start_with(|settings| settings.message_bytes = 2000).await;
    let mut raw = server.connector().await;
    let large = ("x".repeat(98) + "\r\n").repeat(21);
    let long = "x".repeat(999) + "\r\n";
    for (content, reply) in [(&large, "552 5.3.4"), (&long, "554 5.6.0")] {
        raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
        raw.ask("RCPT TO:<a@b.test>", "250").await;
        raw.ask("DATA", "354").await;
        raw.send(format!("{content}.\r\n")).await;
        raw.expect(reply).await;
    }
    for (chunks, reply) in [
        (vec![large.as_str(), "x"], "552 5.3.4"),
        (vec!["an open line"], "554 5.6.0"),
    ] {
        raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
        raw.ask("RCPT TO:<a@b.test>", "250").await;
        for (place, chunk) in (1..).zip(&chunks) {
            let last = if place == chunks.len() { " LAST" } else { "" };
            raw.send(format!("BDAT {}{last}\r\n{chunk}", chunk.len()))
                .await;
            raw.expect(if place == 1 { reply } else { "503" }).await;
        }
        raw.ask("RSET", "250").await;
    }
    let heard = server.handler.not_taken.lock().unwrap().clone();
    assert_eq!(heard, [552, 554, 552, 554], "once for each");
    assert!(server.handler.taken().is_empty());
}

#[tokio::test]
async fn the_handler_ends_though_the_sender_hangs_up_after_the_dot() {
    let server = start().await;
    *server.handler.delay.lock().unwrap() = Duration::from_millis(300);
    let mut raw = server.connector().await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    raw.ask("RCPT TO:<a@b.test>", "250").await;
    raw.ask("DATA", "354").await;
    raw.send("x\r\n.\r\n").await;
    drop(raw);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if !server.handler.taken().is_empty() {
            return;
        }
    }
    panic!("the handler was not driven to its end");
}

#[tokio::test]
async fn a_connection_cut_before_the_dot_gives_nothing_to_the_handler() {
    let server = start().await;
    let mut raw = server.connector().await;
    raw.ask("MAIL FROM:<a@clinic.test>", "250").await;
    raw.ask("RCPT TO:<a@b.test>", "250").await;
    raw.ask("DATA", "354").await;
    raw.send("x\r\n.\r").await;
    drop(raw);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(*server.handler.begun.lock().unwrap(), 0);
}

#[tokio::test]
async fn shutdown_says_421_to_the_idle_and_lets_a_message_end() {
    let server = start().await;
    *server.handler.delay.lock().unwrap() = Duration::from_millis(300);
    let mut idle = server.tls().await;
    let mut busy = server.connector().await;
    busy.ask("MAIL FROM:<a@clinic.test>", "250").await;
    busy.ask("RCPT TO:<a@b.test>", "250").await;
    busy.ask("DATA", "354").await;
    server.shutdown.send(true).unwrap();
    idle.expect("421 4.3.2").await;
    busy.send("x\r\n.\r\n").await;
    busy.expect("250").await;
    busy.expect("421 4.3.2").await;
    drop((idle, busy));
    timeout(Duration::from_secs(5), server.served)
        .await
        .unwrap()
        .unwrap();
    assert!(
        TcpStream::connect(server.submission).await.is_err(),
        "the socket is closed"
    );
    assert_eq!(server.handler.taken.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_turned_away_and_counted_down_again() {
    let server = start_with(|settings| settings.connections_per_address = 1).await;
    let first = server.clear().await;
    let mut second = Raw::over(TcpStream::connect(server.submission).await.unwrap());
    second.expect("421 4.7.0").await;
    drop(first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(server.clear().await);
}

#[tokio::test]
async fn octets_that_trickle_do_not_put_off_the_end() {
    let server =
        start_with(|settings| settings.timeouts.command = Duration::from_millis(300)).await;
    let mut raw = server.clear().await;
    for _ in 0..50 {
        raw.send("x").await;
        let said = timeout(Duration::from_millis(60), raw.reply()).await;
        if let Ok(reply) = said {
            assert!(reply.starts_with("421 4.4.2"), "{reply}");
            return;
        }
    }
    panic!("octets put the end off for three seconds");
}

#[tokio::test]
async fn a_client_that_does_not_log_in_has_an_end_and_one_that_did_goes_on() {
    let login = Duration::from_secs(3);
    let server = start_with(|settings| settings.timeouts.login = login).await;
    let mut known = server.connector().await;
    let mut unknown = server.clear().await;
    let mut open = Raw::over(TcpStream::connect(server.bounces).await.unwrap());
    open.expect("220").await;
    for raw in [&mut unknown, &mut open] {
        let mut last = "250".to_owned();
        while last.starts_with("250") {
            tokio::time::sleep(Duration::from_millis(100)).await;
            raw.send("NOOP\r\n").await;
            last = raw.reply().await;
        }
        assert!(last.starts_with("421 4.4.2"), "{last}");
    }
    known.ask("NOOP", "250").await;
}

/// Chunks that are read and thrown away are no way to hold a place for longer.
#[tokio::test]
async fn chunks_of_a_client_that_does_not_log_in_have_the_same_end() {
    let login = Duration::from_secs(2);
    let server = start_with(|settings| settings.timeouts.login = login).await;
    let mut raw = server.tls().await;
    raw.send("BDAT 1000000\r\n").await;
    let began = Instant::now();
    let last = raw.reply().await;
    assert!(last.starts_with("421 4.4.2"), "{last}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn commands_that_bring_no_message_have_an_end() {
    let server = start().await;
    let mut raw = server.clear().await;
    let mut replies = 0;
    while replies < 200 {
        raw.send("NOOP\r\n").await;
        if raw.reply().await.starts_with("421 4.7.0") {
            break;
        }
        replies += 1;
    }
    assert_eq!(replies, 100);
    let mut raw = server.clear().await;
    for _ in 0..10 {
        raw.ask("NONSENSE", "500").await;
    }
    raw.ask("NONSENSE", "421 4.7.0").await;
}

#[tokio::test]
async fn a_pipelined_group_is_answered_in_order() {
    let server = start().await;
    let mut raw = server.connector().await;
    raw.send(
        "MAIL FROM:<a@clinic.test>\r\nRCPT TO:<refused@b.test>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n",
    )
    .await;
    for begins in ["250 sender", "550", "250 recipient", "354"] {
        raw.expect(begins).await;
    }
    raw.send("x\r\n.\r\nMAIL FROM:<a@clinic.test>\r\nRSET\r\nQUIT\r\n")
        .await;
    for begins in ["250 2.0.0 taken", "250 sender", "250 2.0.0 ok", "221"] {
        raw.expect(begins).await;
    }
}
