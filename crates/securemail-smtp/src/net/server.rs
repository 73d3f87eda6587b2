//! Listens, counts, starts sessions, and ends them in order.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use securemail_core::backend::{Clock, Directory, Entropy, NoEntropy};
use securemail_core::vocab::Account;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::auth::Authenticator;
use super::body::BodyStore;
use super::limits::Connections;
use super::session;
use super::wire::Wire;
use crate::handler::MailHandler;
use crate::proto::answers::say;
use crate::settings::ServerSettings;
use bytes::BytesMut;

/// What a server is made of.
pub struct ServerParts {
    /// What an operator may change.
    pub settings: ServerSettings,
    /// From [`server_config`](crate::server_config).
    pub tls: Arc<rustls::ServerConfig>,
    /// The main flow.
    pub handler: Arc<dyn MailHandler>,
    /// Who may send.
    pub directory: Arc<dyn Directory>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for the keys of content on disk.
    pub entropy: Arc<dyn Entropy>,
}

/// A submission server (RFC 6409, RFC 8314). Build it once and call [`serve`](Self::serve).
#[derive(Clone)]
pub struct SmtpServer(Arc<Shared>);

/// A socket to listen on.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// When TLS begins.
    pub tls: TlsMode,
    /// Who may hand in mail.
    pub access: Access,
}

/// Who may hand in mail.
#[derive(Clone, Debug)]
pub enum Access {
    /// Accounts, after TLS and a login: submission.
    Accounts,
    /// Any server, as this account, with any reverse-path, and in clear where it knows no TLS: for
    /// bounces of our own notices, which hold no content. The handler must refuse every recipient that
    /// is not its own.
    Anybody(Box<Account>),
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsMode {
    /// At once (RFC 8314, section 3.3).
    Implicit,
    /// After STARTTLS; before it, nothing else is of use (RFC 3207).
    StartTls,
}

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) settings: ServerSettings,
    pub(crate) tls: Arc<rustls::ServerConfig>,
    pub(crate) handler: Arc<dyn MailHandler>,
    pub(crate) authenticator: Authenticator,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) bodies: Arc<BodyStore>,
    connections: Arc<Connections>,
}

/// Held by everything that must end before [`SmtpServer::serve`] does.
pub(crate) type Alive = mpsc::Sender<()>;

impl SmtpServer {
    /// A server that does not listen yet.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub fn new(parts: ServerParts) -> Result<Self, NoEntropy> {
        let ServerParts {
            settings,
            tls,
            handler,
            directory,
            clock,
            entropy,
        } = parts;
        Ok(Self(Arc::new(Shared {
            authenticator: Authenticator::new(directory, entropy.as_ref())?,
            bodies: Arc::new(BodyStore::new(
                settings.memory_bytes,
                settings.data_dir.clone(),
                entropy,
            )),
            connections: Arc::new(Connections::new(
                settings.connections,
                settings.connections_per_address,
            )),
            settings,
            tls,
            handler,
            clock,
        })))
    }

    /// Serves until `shutdown` is true or its sender is gone. Then idle sessions get 421, those with a
    /// message end it, and it returns when all are over, at the latest after the time to drain.
    /// Handlers that still run then go on in the background. It returns before that only where a listener failed.
    pub async fn serve(&self, listeners: Vec<Listener>, shutdown: watch::Receiver<bool>) {
        let (alive, mut all_ended) = mpsc::channel(1);
        let mut listening = JoinSet::new();
        for listener in listeners {
            let (server, alive) = (self.clone(), alive.clone());
            listening.spawn(server.listen(listener, shutdown.clone(), alive));
        }
        drop(alive);
        let mut over = shutdown;
        tokio::select! {
            () = wait_for(&mut over) => {}
            Some(Err(error)) = listening.join_next() => {
                // The others end with the set. Who called must know that nobody listens any more.
                tracing::error!(%error, "a listener failed");
                return;
            }
        }
        // `recv` gives `None` once nobody holds an `Alive` any more.
        if timeout(self.0.settings.timeouts.drain, all_ended.recv())
            .await
            .is_err()
        {
            tracing::warn!("sessions were still open when the time to drain was over");
        }
    }

    async fn listen(self, listener: Listener, mut shutdown: watch::Receiver<bool>, alive: Alive) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = wait_for(&mut shutdown) => return,
                accepted = listener.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    self.welcome(stream, peer.ip(), &listener, (&shutdown, &alive));
                }
                Err(error) => pause_after(&error).await,
            }
        }
    }

    fn welcome(
        &self,
        stream: TcpStream,
        client: IpAddr,
        listener: &Listener,
        (shutdown, alive): (&watch::Receiver<bool>, &Alive),
    ) {
        let shared = Arc::clone(&self.0);
        let Some(counted) = shared.connections.admit(client) else {
            tokio::spawn(turn_away(stream, listener.tls));
            return;
        };
        let (shutdown, alive) = (shutdown.clone(), alive.clone());
        let (mode, access) = (listener.tls, listener.access.clone());
        tokio::spawn(async move {
            session::run(shared, (stream, client), (mode, access), (shutdown, alive)).await;
            drop(counted);
        });
    }
}

/// Returns when `shutdown` is true, or nobody can make it true any more.
pub(crate) async fn wait_for(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|over| *over).await.is_err() {
        tracing::debug!("the shutdown sender is gone");
    }
}

/// Says 421 where that can be read, and closes. Within implicit TLS it would cost a handshake.
async fn turn_away(stream: TcpStream, mode: TlsMode) {
    let mut wire = Wire::new(stream);
    if mode == TlsMode::Implicit {
        return;
    }
    let mut out = BytesMut::new();
    say(421, (4, 7, 0), "too many connections; try again later").print(&mut out);
    if wire.send(&out, TURN_AWAY).await.is_ok() {
        wire.close().await;
    }
}

/// Without a pause, a lack of file descriptors would be asked for again without end.
async fn pause_after(error: &io::Error) {
    tracing::warn!(kind = ?error.kind(), "a connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

impl fmt::Debug for SmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpServer")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerParts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// For a client that is one too many.
const TURN_AWAY: Duration = Duration::from_secs(5);
/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
