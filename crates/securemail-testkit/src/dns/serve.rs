//! The sockets: UDP and TCP on one port of 127.0.0.1.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

use super::answer::Resolved;
use super::zone::{State, Zones};
use super::{Fault, TCP_IDLE, records, signer};

/// Questions are small; longer datagrams are not read whole.
const DATAGRAM_MAX: usize = 4096;
/// How often a port is tried that is free for both UDP and TCP.
const PORT_TRIES: usize = 20;

/// What both faces answer from.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) zones: Zones,
    pub(super) faults: Vec<Fault>,
    pub(super) queries: BTreeMap<String, usize>,
}

impl Shared {
    pub(super) const fn new(zones: Zones) -> Self {
        Self {
            zones,
            faults: Vec::new(),
            queries: BTreeMap::new(),
        }
    }
}

/// As whom it answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Face {
    /// Passes everything on and validates nothing.
    Resolver,
    /// Says AD and SERVFAIL as a validating resolver would.
    Validator,
}

/// Sockets that answer.
pub(super) struct Serving {
    pub(super) addr: SocketAddr,
    pub(super) tasks: Vec<JoinHandle<()>>,
}

/// Binds and answers.
pub(super) async fn start(shared: Arc<Mutex<Shared>>, face: Face) -> io::Result<Serving> {
    let (udp, tcp) = bind().await?;
    let addr = udp.local_addr()?;
    let over_udp = tokio::spawn(serve_udp(Arc::new(udp), Arc::clone(&shared), face));
    let over_tcp = tokio::spawn(serve_tcp(tcp, shared, face));
    Ok(Serving {
        addr,
        tasks: vec![over_udp, over_tcp],
    })
}

async fn bind() -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = None;
    for _ in 0..PORT_TRIES {
        let udp = UdpSocket::bind("127.0.0.1:0").await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

async fn serve_udp(socket: Arc<UdpSocket>, shared: Arc<Mutex<Shared>>, face: Face) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let Some(Handled { reply, delay }) = buffer
            .get(..length)
            .and_then(|octets| handle(octets, &shared, face, Way::Udp))
        else {
            continue;
        };
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            drop(socket.send_to(&reply, peer).await);
        });
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Mutex<Shared>>, face: Face) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A client that goes away is no concern of a test server.
            drop(converse(stream, &shared, face).await);
        });
    }
}

async fn converse(mut stream: TcpStream, shared: &Mutex<Shared>, face: Face) -> io::Result<()> {
    loop {
        let length = tokio::time::timeout(TCP_IDLE, stream.read_u16()).await??;
        let mut octets = vec![0; usize::from(length)];
        tokio::time::timeout(TCP_IDLE, stream.read_exact(&mut octets)).await??;
        let Some(Handled { reply, delay }) = handle(&octets, shared, face, Way::Tcp) else {
            continue;
        };
        tokio::time::sleep(delay).await;
        let length = u16::try_from(reply.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        stream.write_u16(length).await?;
        stream.write_all(&reply).await?;
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Tcp,
    Udp,
}

struct Handled {
    reply: Vec<u8>,
    delay: Duration,
}

/// Answers one question; `None` says nothing.
fn handle(octets: &[u8], shared: &Mutex<Shared>, face: Face, way: Way) -> Option<Handled> {
    let request = Message::from_vec(octets).ok()?;
    let query = request.queries.first()?.clone();
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let (name, kind) = (query.name().to_lowercase(), query.query_type());
    *shared.queries.entry(format!("{name} {kind}")).or_default() += 1;

    let faults = Faults::of(&shared.faults, face, &name, kind);
    if faults.silent {
        return None;
    }
    let reply = reply(&request, &query, &shared.zones, face, &faults);
    let room = match way {
        Way::Tcp => usize::from(u16::MAX),
        Way::Udp if faults.truncate => 0,
        Way::Udp => usize::from(request.max_payload()),
    };
    let mut octets = reply.to_vec().ok()?;
    if octets.len() > room {
        let mut cut = reply.truncate();
        cut.metadata.truncation = true;
        octets = cut.to_vec().ok()?;
    }
    Some(Handled {
        reply: octets,
        delay: faults.delay,
    })
}

fn reply(request: &Message, query: &Query, zones: &Zones, face: Face, faults: &Faults) -> Message {
    let dnssec = request
        .edns
        .as_ref()
        .is_some_and(|edns| edns.flags().dnssec_ok);
    let mut reply = Message::response(request.metadata.id, OpCode::Query);
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.recursion_desired = request.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.add_query(query.clone());
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        edns.set_dnssec_ok(dnssec);
        reply.set_edns(edns);
    }
    if let Some(code) = faults.code {
        reply.metadata.response_code = code;
        return reply;
    }
    if let Some(soa) = &faults.forged {
        reply.authorities = soa.iter().map(forged_soa).collect();
        reply.metadata.authentic_data = face == Face::Validator;
        return reply;
    }
    fill(&mut reply, request, query, zones, (face, faults));
    let dnssec = dnssec && !faults.strip;
    reply.maybe_strip_dnssec_records(dnssec)
}

fn fill(
    reply: &mut Message,
    request: &Message,
    query: &Query,
    zones: &Zones,
    as_whom: (Face, &Faults),
) {
    let (face, faults) = as_whom;
    let resolved = zones.resolve(query.name(), query.query_type(), signer::now());
    let Ok(Resolved {
        code,
        answers,
        authorities,
        state,
    }) = resolved
    else {
        reply.metadata.response_code = ResponseCode::ServFail;
        return;
    };
    let bogus = state == State::Bogus || faults.refuted;
    if face == Face::Validator && bogus && !request.metadata.checking_disabled {
        reply.metadata.response_code = ResponseCode::ServFail;
        return;
    }
    reply.metadata.authentic_data = face == Face::Validator && state == State::Secure;
    reply.metadata.response_code = code;
    reply.answers = answers;
    reply.authorities = authorities;
}

fn forged_soa(origin: &Name) -> Record {
    let soa = SOA::new(origin.clone(), origin.clone(), 1, 3600, 600, 86_400, 60);
    Record::from_rdata(origin.clone(), 60, RData::SOA(soa))
}

/// What goes wrong with one question.
#[derive(Default)]
struct Faults {
    silent: bool,
    refuted: bool,
    strip: bool,
    truncate: bool,
    delay: Duration,
    code: Option<ResponseCode>,
    forged: Option<Option<Name>>,
}

impl Faults {
    fn of(faults: &[Fault], face: Face, name: &Name, kind: RecordType) -> Self {
        let mut found = Self::default();
        let here = |at: &str| records::name(at).is_ok_and(|at| at == *name);
        let this = |of: &str| records::kind(of).is_ok_and(|of| of == kind);
        for fault in faults {
            match fault {
                Fault::Silent => found.silent = true,
                Fault::SilentFor { kind } => found.silent |= this(kind),
                Fault::Code { name, code } if here(name) => {
                    found.code = Some(ResponseCode::from(0, low(*code)));
                }
                Fault::ValidatorRefutes { name } if here(name) => found.refuted = true,
                Fault::StripDnssec => found.strip = true,
                Fault::ForgeDenial { name, kind, soa }
                    if face == Face::Resolver && here(name) && this(kind) =>
                {
                    let soa = soa.as_ref().and_then(|soa| records::name(soa).ok());
                    found.forged = Some(soa);
                }
                Fault::Truncate => found.truncate = true,
                Fault::Delay(delay) => found.delay = *delay,
                Fault::ValidatorSilent => found.silent |= face == Face::Validator,
                Fault::ValidatorDenies { name, kind }
                    if face == Face::Validator && here(name) && this(kind) =>
                {
                    found.forged = Some(None);
                }
                Fault::Code { .. }
                | Fault::ForgeDenial { .. }
                | Fault::ValidatorDenies { .. }
                | Fault::ValidatorRefutes { .. } => {}
            }
        }
        found
    }
}

/// The four bits that fit into the header.
fn low(code: u16) -> u8 {
    u8::try_from(code & 0x0f).unwrap_or(2)
}
