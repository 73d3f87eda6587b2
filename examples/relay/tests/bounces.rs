//! A notice that comes back is told to the sender; nobody else can say that it did.

mod common;

use std::net::{Ipv4Addr, SocketAddr};

use common::world::{World, arrival, contains};
use common::{ANNA, Place, message, queue_id};
use securemail_testkit::ports;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;

/// A mail server that brings something back.
struct Bouncer(BufStream<TcpStream>);

impl Bouncer {
    async fn connect(to: SocketAddr) -> Self {
        let mut bouncer = Self(BufStream::new(TcpStream::connect(to).await.unwrap()));
        bouncer.expect("220").await;
        bouncer.say("EHLO mx.open.test", "250").await;
        bouncer
    }

    async fn say(&mut self, text: &str, answer: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.write_all(b"\r\n").await.unwrap();
        self.0.flush().await.unwrap();
        self.expect(answer).await;
    }

    async fn expect(&mut self, answer: &str) {
        let mut line = String::new();
        while line.as_bytes().get(3) != Some(&b' ') {
            line.clear();
            assert!(self.0.read_line(&mut line).await.unwrap() > 0, "it is gone");
        }
        assert!(line.starts_with(answer), "{line}");
    }

    async fn bounce(&mut self, to: &str, action: &str, status: &str) {
        self.say("MAIL FROM:<>", "250").await;
        self.say(&format!("RCPT TO:<{to}>"), "250").await;
        self.say("DATA", "354").await;
        let report = format!(
            "From: <MAILER-DAEMON@mx.open.test>\r\nTo: <{to}>\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n\
             --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.open.test\r\n\r\n\
             Final-Recipient: rfc822; jan@open.test\r\nAction: {action}\r\nStatus: {status}\r\n\r\n--b--\r\n."
        );
        self.say(&report, "250").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_comes_back_is_told_to_its_sender_and_only_then() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    let bounces = ports::free(Ipv4Addr::LOCALHOST).unwrap();
    place.set("listen.bounces", &format!("\"{bounces}\""));
    let relay = place.start();
    let mail = message("back", "jan@open.test", "Uw dossier", "Dit is persoonlijk.");
    let reply = relay.submitter().submit(&["jan@open.test"], &mail).await;
    let reply = reply.unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let notice = arrival(&world.open, |_| true).await;
    let path = notice.from;
    assert!(
        path.starts_with("bounce+") && path.ends_with("@relay.test"),
        "{path}"
    );
    let came_back = || {
        let said = place.relay(&["events", "--config", "{}", queue_id(&reply)]);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.out.contains("the notice came back")
    };

    let mut bouncer = Bouncer::connect(bounces).await;
    bouncer
        .say(&format!("MAIL FROM:<{ANNA}>"), "550 5.7.1")
        .await;
    bouncer.say("MAIL FROM:<>", "250").await;
    let forged = path.replace("@relay.test", "0@relay.test");
    bouncer.say(&format!("RCPT TO:<{forged}>"), "5").await;
    bouncer.say("RCPT TO:<jan@open.test>", "550 5.1.1").await;
    bouncer.say("RSET", "250").await;
    bouncer.bounce(&path, "delayed", "4.4.1").await;
    assert!(!came_back(), "a delay is no failure");

    bouncer.bounce(&path, "failed", "5.1.1").await;
    assert!(came_back());
    let told = arrival(&world.sender, |mail| mail.to == [ANNA]).await;
    assert!(contains(&told.data, "jan@open.test"));
    assert!(!contains(&told.data, "persoonlijk") && !contains(&told.data, "dossier"));
    assert!(told.tls);
    assert!(relay.stop().success());
}
