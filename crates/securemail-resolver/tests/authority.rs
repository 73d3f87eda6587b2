//! A name server speaks for a zone only where it says so itself.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record};
use securemail_core::vocab::DnsName;
use securemail_resolver::{AuthorityAnswer, ask_authority};
use tokio::net::UdpSocket;

const LIMIT: Duration = Duration::from_secs(5);

/// What is made of a question.
type Answer = fn(&mut Message);

/// A name server that answers every question so.
async fn server(answer: Answer) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut octets = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut octets).await {
            let mut message = Message::from_vec(&octets[..length]).unwrap();
            assert!(!message.metadata.recursion_desired);
            message.metadata.message_type = MessageType::Response;
            answer(&mut message);
            socket
                .send_to(&message.to_vec().unwrap(), from)
                .await
                .unwrap();
        }
    });
    address
}

fn with_soa(message: &mut Message) {
    let name = Name::from_ascii("example.test.").unwrap();
    let soa = SOA::new(name.clone(), name.clone(), 1, 2, 3, 4, 5);
    message.add_answer(Record::from_rdata(name, 60, RData::SOA(soa)));
}

fn speaks(message: &mut Message) {
    with_soa(message);
    message.metadata.authoritative = true;
}

fn refuses(message: &mut Message) {
    message.metadata.response_code = ResponseCode::Refused;
}

/// RFC 2308, section 2.2: of another zone, or of the one above.
fn has_none(message: &mut Message) {
    message.metadata.authoritative = true;
}

#[tokio::test]
async fn only_an_authoritative_answer_with_the_record_speaks_for_a_zone() {
    let zone = DnsName::parse("example.test").unwrap();
    let servers: [(Answer, AuthorityAnswer); 4] = [
        (speaks, AuthorityAnswer::Authoritative),
        (with_soa, AuthorityAnswer::Lame),
        (refuses, AuthorityAnswer::Lame),
        (has_none, AuthorityAnswer::Lame),
    ];
    for (answer, expected) in servers {
        let server = server(answer).await;
        assert_eq!(ask_authority(server, &zone, LIMIT).await, expected);
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_silent() {
    let zone = DnsName::parse("example.test").unwrap();
    let mute = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = mute.local_addr().unwrap();
    let silent = AuthorityAnswer::Silent;
    assert_eq!(
        ask_authority(address, &zone, Duration::from_secs(1)).await,
        silent
    );
    drop(mute);
    assert_eq!(
        ask_authority(address, &zone, Duration::from_secs(1)).await,
        silent
    );
}
