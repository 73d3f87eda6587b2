//! An alarm of the node is an event of the node, a number and a finding of `doctor`, until it is over.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use common::Place;
use common::world::World;
use securemail_testkit::ports;

fn canaries(absent: &str) -> String {
    format!(
        "{{ signed = \"mx.proved.test\", bogus = \"bogus.test\", unsigned = \"nothing.test\", \
         absent = \"{absent}\" }}"
    )
}

/// What is served to whoever watches.
fn numbers(at: SocketAddr) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_fails_is_told_once_and_so_is_its_end() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    let metrics = ports::free(Ipv4Addr::LOCALHOST).unwrap();
    place.set("listen.metrics", &format!("\"{metrics}\""));
    place.set("dns.canaries", &canaries("absent.nowhere"));
    let alarms = |place: &Place| place.relay(&["events", "--config", "{}", "--node"]);
    let relay = place.start();
    assert_eq!(alarms(&place).code, Some(1), "there was none");
    assert!(relay.stop().success());

    place.set("dns.canaries", &canaries("mx.proved.test"));
    let relay = place.start();
    let said = alarms(&place);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out.contains("  -  ALARM: a canary is answered"),
        "{said:?}"
    );
    assert_eq!(said.out.lines().count(), 1, "{said:?}");
    let numbers = numbers(metrics);
    let counted = |kind: &str| {
        let name = format!("securemail_alarms_total{{alarm=\"{kind}\"}} ");
        let value = numbers.lines().find_map(|line| line.strip_prefix(&name));
        value.unwrap().parse::<u64>().unwrap()
    };
    assert!(counted("canary") > 0, "{numbers}");
    assert_eq!(counted("disagreement"), 0);
    let found = place.relay(&["doctor", "--config", "{}"]);
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.out.contains("canary: since 20"), "{found:?}");
    assert!(relay.stop().success());

    // Once more: it lasts, so it is no news.
    let relay = place.start();
    assert_eq!(alarms(&place).out.lines().count(), 1);
    assert!(relay.stop().success());

    place.set("dns.canaries", &canaries("absent.nowhere"));
    let relay = place.start();
    let said = alarms(&place).out;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[1].contains("  -  over: a canary is answered"),
        "{said}"
    );
    let found = place.relay(&["doctor", "--config", "{}"]);
    assert!(
        found.out.contains("node: the last was over at 20"),
        "{found:?}"
    );
    assert!(relay.stop().success());
}
