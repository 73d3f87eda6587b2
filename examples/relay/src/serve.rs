//! Serves a router over HTTPS. Neither one address nor a slow client holds it for others.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use securemail_core::route::Network;
use securemail_smtp::{Connections, Counted};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// What clients get of a listener.
#[derive(Clone, Debug)]
pub struct WebLimits {
    /// Connections at a time; one more is closed at once.
    pub connections: usize,
    /// Connections at a time from one address (IPv4 /32, IPv6 /64).
    pub per_address: usize,
    /// Proxies that carry many clients: only the number in all holds for them.
    pub proxies: Vec<Network>,
    /// For a handshake, or a header.
    pub header: Duration,
    /// For a request with its body, up to the beginning of the answer.
    pub request: Duration,
    /// For a client to take some more of an answer.
    pub write: Duration,
    /// For a connection as a whole: a client that reads an octet a minute holds a place for nothing.
    pub connection: Duration,
}

impl WebLimits {
    /// The defaults, behind these proxies.
    pub fn new(proxies: Vec<Network>) -> Self {
        Self {
            connections: 1000,
            per_address: 100,
            proxies,
            header: Duration::from_secs(20),
            request: Duration::from_mins(1),
            write: Duration::from_secs(30),
            connection: Duration::from_hours(1),
        }
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|proxy| proxy.contains(address))
    }
}

/// Serves until `stop` changes.
///
/// # Errors
/// Where the listener fails.
pub async fn https(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    router: Router,
    limits: WebLimits,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(tls);
    let clients = Arc::new(Connections::new(limits.connections, limits.per_address));
    let proxies = Arc::new(Connections::new(limits.connections, limits.connections));
    let limits = Arc::new(limits);
    let admit = |address| {
        let of = if limits.is_proxy(address) {
            &proxies
        } else {
            &clients
        };
        of.admit(address)
    };
    while let Some((stream, peer, place)) = accept(&listener, &mut stop, admit).await {
        let (acceptor, router, limits) = (acceptor.clone(), router.clone(), limits.clone());
        tokio::spawn(async move {
            let served = connection((stream, peer), acceptor, router, &limits);
            match timeout(limits.connection, served).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a web connection broke"),
                Err(_) => tracing::debug!("a web connection lasted too long"),
            }
            drop(place);
        });
    }
    Ok(())
}

/// The next connection that there is a place for; `None` when `stop` changes.
pub async fn accept(
    listener: &TcpListener,
    stop: &mut watch::Receiver<bool>,
    admit: impl Fn(IpAddr) -> Option<Counted>,
) -> Option<(TcpStream, SocketAddr, Counted)> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return None,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of descriptors: connections that end make room.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        match admit(peer.ip()) {
            Some(place) => return Some((stream, peer, place)),
            None => tracing::debug!("a client is one too many"),
        }
    }
}

async fn connection(
    (stream, peer): (TcpStream, SocketAddr),
    acceptor: TlsAcceptor,
    router: Router,
    limits: &WebLimits,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let stream = Impatient::new(stream, limits.write);
    let stream = timeout(limits.header, acceptor.accept(stream)).await??;
    let limit = limits.request;
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let answering = timeout(limit, router.clone().oneshot(request));
        async move { answering.await.unwrap_or_else(|_| Ok(too_slow())) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

/// The body did not come in time; what still comes of it is read by nobody.
fn too_slow() -> Response {
    let mut response = StatusCode::REQUEST_TIMEOUT.into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// A stream whose peer must take what is sent, some of it each time within `limit`.
struct Impatient {
    stream: TcpStream,
    limit: Duration,
    /// Runs while the peer takes nothing.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    const fn new(stream: TcpStream, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            waiting: None,
        }
    }

    /// What became of a write, unless the peer took nothing for too long.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, octets);
        self.watch(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, ended)
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
