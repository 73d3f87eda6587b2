//! Whether a name server speaks for a zone: asked by itself, without a resolver between (RFC 1034, section 4.3.1).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use securemail_core::vocab::DnsName;

use crate::exchange::{self, ExchangeError};
use crate::records;

/// A datagram may get lost; then it is asked again.
const ROUNDS: usize = 2;

/// What a name server says of a zone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthorityAnswer {
    /// It speaks for it.
    Authoritative,
    /// It answers, and not as one that speaks for it: a lame delegation (RFC 1912, section 2.8).
    Lame,
    /// This machine has no way to addresses of this family.
    NoRoute,
    /// Nothing that is an answer came in time.
    Silent,
}

/// Asks a server for the SOA record of a zone, and whether it speaks for it. What it says is not validated.
pub async fn ask_authority(server: SocketAddr, zone: &DnsName, limit: Duration) -> AuthorityAnswer {
    let Some(name) = records::absolute(zone) else {
        return AuthorityAnswer::Lame;
    };
    let mut request = exchange::request(name, RecordType::SOA);
    // A name server is not asked to look elsewhere.
    request.metadata.recursion_desired = false;
    for _ in 0..ROUNDS {
        match exchange::ask(server, &request, limit).await {
            Ok(answer) if speaks_for(&answer) => return AuthorityAnswer::Authoritative,
            Ok(_) => return AuthorityAnswer::Lame,
            Err(ExchangeError::Unreachable(error)) if has_no_route(&error) => {
                return AuthorityAnswer::NoRoute;
            }
            Err(_) => {}
        }
    }
    AuthorityAnswer::Silent
}

fn speaks_for(answer: &Message) -> bool {
    answer.metadata.authoritative
        && answer.metadata.response_code == ResponseCode::NoError
        && answer
            .answers
            .iter()
            .any(|record| record.record_type() == RecordType::SOA)
}

fn has_no_route(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::Unsupported
    )
}
