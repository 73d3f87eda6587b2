//! One question to one server: UDP, TCP where the answer was cut off, or TLS.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Query};
use hickory_proto::rr::{Name, RecordType};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The size that survives every path without fragments (RFC 9715).
const DATAGRAM: u16 = 1232;

/// No usable answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// What came is no answer to the question.
    #[error("the answer cannot be read")]
    Malformed,
    /// Nothing came in time.
    #[error("no answer in time")]
    Timeout,
    /// The server cannot be reached.
    #[error("the server cannot be reached")]
    Unreachable(#[source] io::Error),
}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error)
    }
}

/// A question that asks for recursion, DNSSEC records and the AD bit (RFC 6840, section 5.7).
pub(crate) fn request(name: Name, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.metadata.authentic_data = true;
    message.add_query(Query::query(name, kind));
    let mut edns = Edns::new();
    edns.set_max_payload(DATAGRAM);
    edns.set_dnssec_ok(true);
    message.set_edns(edns);
    message
}

/// Asks over UDP, and over TCP where the answer was cut off. Each way has `limit`.
pub(crate) async fn ask(
    server: SocketAddr,
    request: &Message,
    limit: Duration,
) -> Result<Message, ExchangeError> {
    let answer = within(limit, over_udp(server, request)).await?;
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    // Data that was cut off is never used (RFC 2181, section 9).
    let answer = within(limit, over_tcp(server, request)).await?;
    if answer.metadata.truncation {
        return Err(ExchangeError::Malformed);
    }
    Ok(answer)
}

/// Asks over TLS (RFC 7858), with the name of the server checked.
pub(crate) async fn ask_tls(
    server: SocketAddr,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    request: &Message,
) -> Result<Message, ExchangeError> {
    let stream = TcpStream::connect(server).await?;
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    over_stream(stream, request).await
}

async fn within<F>(limit: Duration, exchange: F) -> Result<Message, ExchangeError>
where
    F: Future<Output = Result<Message, ExchangeError>>,
{
    timeout(limit, exchange)
        .await
        .map_err(|_| ExchangeError::Timeout)?
}

/// A fresh socket for every question: its port and the id are what an off-path forger has to guess.
async fn over_udp(server: SocketAddr, request: &Message) -> Result<Message, ExchangeError> {
    let local: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    socket.send(&encode(request)?).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Something that is no answer to this question may be forged; the right one may still come.
        let octets = buffer.get(..length).unwrap_or_default();
        if let Ok(answer) = decode(octets, request) {
            return Ok(answer);
        }
    }
}

async fn over_tcp(server: SocketAddr, request: &Message) -> Result<Message, ExchangeError> {
    over_stream(TcpStream::connect(server).await?, request).await
}

async fn over_stream<S>(mut stream: S, request: &Message) -> Result<Message, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let octets = encode(request)?;
    let length = u16::try_from(octets.len()).map_err(|_| ExchangeError::Malformed)?;
    // One write: some servers do not wait for the rest of a question.
    let framed = [length.to_be_bytes().as_slice(), &octets].concat();
    stream.write_all(&framed).await?;
    stream.flush().await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    decode(&answer, request)
}

fn encode(request: &Message) -> Result<Vec<u8>, ExchangeError> {
    request.to_vec().map_err(|_| ExchangeError::Malformed)
}

/// Reads an answer and checks that it is one to this question.
fn decode(octets: &[u8], request: &Message) -> Result<Message, ExchangeError> {
    let answer = Message::from_vec(octets).map_err(|_| ExchangeError::Malformed)?;
    let fits = answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == request.metadata.id
        && answer.metadata.op_code == request.metadata.op_code
        && answer.queries == request.queries;
    if fits {
        Ok(answer)
    } else {
        Err(ExchangeError::Malformed)
    }
}
