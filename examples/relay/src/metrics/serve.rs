//! The listener for `/metrics` and `/healthz`: plain HTTP, for this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use securemail_smtp::Connections;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::{Metrics, State};
use crate::assemble::{Base, Trouble};
use crate::serve::accept;
use crate::tls;
use crate::web::bind;

/// What the listener shows.
#[derive(Clone, Debug)]
struct Health {
    metrics: Arc<Metrics>,
    state: Arc<State>,
}

/// Serves until told to stop.
///
/// # Errors
/// Where the socket cannot be had.
pub async fn start(
    (base, certificate): (&Base, &tls::Certificate),
    address: SocketAddr,
    stopped: watch::Receiver<bool>,
) -> Result<(SocketAddr, JoinHandle<()>), Trouble> {
    let state = State {
        store: base.census(),
        clock: base.clock.clone(),
        certificate: certificate.chain.first().map(|leaf| leaf.to_vec()),
        started: base.clock.now(),
        patience: PATIENCE,
    };
    let health = Health {
        metrics: base.metrics.clone(),
        state: Arc::new(state),
    };
    let listener = bind(address).await?;
    let address = listener.local_addr()?;
    Ok((address, tokio::spawn(serve(listener, health, stopped))))
}

async fn serve(listener: TcpListener, health: Health, mut stop: watch::Receiver<bool>) {
    let router = router(health);
    let places = Arc::new(Connections::new(CONNECTIONS, CONNECTIONS));
    while let Some((stream, _, place)) =
        accept(&listener, &mut stop, |from| places.admit(from)).await
    {
        let router = router.clone();
        tokio::spawn(async move {
            if timeout(CONNECTION, connection(stream, router))
                .await
                .is_err()
            {
                tracing::debug!("a metrics connection lasted too long");
            }
            drop(place);
        });
    }
}

/// What a non-loopback address would show, and to whom.
#[must_use]
pub fn exposure(address: SocketAddr) -> Option<String> {
    (!address.ip().is_loopback()).then(|| {
        format!(
            "listen.metrics = \"{address}\" is not on this machine alone: whoever reaches it reads, without \
             a password and in clear, how much mail is sent, held and refused, and when"
        )
    })
}

fn router(health: Health) -> Router {
    let of_health = health.state.clone();
    Router::new()
        .route(
            "/metrics",
            get(move || {
                let Health { metrics, state } = health.clone();
                async move {
                    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
                    (kind, metrics.text(&state).await)
                }
            }),
        )
        .route(
            "/healthz",
            get(move || {
                let state = of_health.clone();
                async move {
                    if state.is_healthy().await {
                        return (StatusCode::OK, "ok\n");
                    }
                    (
                        StatusCode::SERVICE_UNAVAILABLE,
                        "the store does not answer\n",
                    )
                }
            }),
        )
}

async fn connection(stream: TcpStream, router: Router) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        router.clone().oneshot(request)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a metrics connection broke");
    }
}

/// One scraper and a few curious people.
const CONNECTIONS: usize = 16;
/// For a header, and for the store to say that it is there.
const PATIENCE: Duration = Duration::from_secs(5);
/// For a connection as a whole; a scraper opens the next one.
const CONNECTION: Duration = Duration::from_secs(60);
