//! Receives what comes back: bounces of notices, to addresses of ours only, and reports about TLS.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use securemail_core::backend::{Clock, Directory, Entropy, NoEntropy};
use securemail_core::mail::is_permanent_failure;
use securemail_core::vocab::{
    Account, AccountId, AccountKind, Address, Content, ContentError, Credential, EnhancedStatus,
    Reply, ReversePath, TenantId,
};
use securemail_core::{BoxError, limits};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::handler::{MailHandler, SessionFacts, Submission, TransactionFacts};
use crate::net::server::{Access, Listener, ServerParts, SmtpServer, TlsMode};
use crate::report_box::ReportBox;
use crate::settings::ServerSettings;

/// What a bounce is about, and what is done about it.
///
/// # Contract
/// - **B1** `bounced` is called only for addresses that `is_ours` knows, and only where a delivery
///   status notification says that the mail failed for good.
/// - **B2** When `bounced` returns `Ok`, its effect is durable. It may be called again for the same
///   address.
#[async_trait]
pub trait BounceHandler: fmt::Debug + Send + Sync + 'static {
    /// RCPT: whether we made this address.
    fn is_ours(&self, address: &Address) -> bool;

    /// The mail with this return path failed for good.
    ///
    /// # Errors
    /// Where that could not be written down; the peer is told to try again.
    async fn bounced(&self, address: &Address) -> Result<(), BounceUnkept>;
}

/// A bounce could not be written down.
#[derive(Debug, thiserror::Error)]
#[error("the bounce could not be written down")]
pub struct BounceUnkept(#[source] pub BoxError);

/// What a receiver of bounces is made of.
pub struct BounceParts {
    /// Begin with [`ServerSettings::for_bounces`].
    pub settings: ServerSettings,
    /// From [`server_config`](crate::server_config).
    pub tls: Arc<rustls::ServerConfig>,
    /// What is done about bounces.
    pub handler: Arc<dyn BounceHandler>,
    /// Where reports about TLS come, if they come here.
    pub reports: Option<ReportBox>,
    /// Not asked here: nobody logs in.
    pub directory: Arc<dyn Directory>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for the keys of content on disk.
    pub entropy: Arc<dyn Entropy>,
}

/// A receiver of bounces. Build it once and call [`serve`](Self::serve).
///
/// TLS is offered and not asked for: a bounce of a content-free mail has nothing to hide, and must not
/// be lost.
#[derive(Clone, Debug)]
pub struct BounceServer(SmtpServer);

impl BounceServer {
    /// A receiver that does not listen yet.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub fn new(parts: BounceParts) -> Result<Self, NoEntropy> {
        let BounceParts {
            mut settings,
            tls,
            handler,
            reports,
            directory,
            clock,
            entropy,
        } = parts;
        if reports.is_some() {
            let octets = settings.message_bytes;
            settings.message_bytes = octets.max(limits::TLS_REPORT_MAIL_OCTETS_MAX);
        }
        SmtpServer::new(ServerParts {
            settings,
            tls,
            handler: Arc::new(Desk {
                bounces: handler,
                reports,
            }),
            directory,
            clock,
            entropy,
        })
        .map(Self)
    }

    /// Serves until `shutdown` is true or its sender is gone, as [`SmtpServer::serve`] does.
    pub async fn serve(&self, socket: TcpListener, shutdown: watch::Receiver<bool>) {
        let nobody = Account {
            id: AccountId::new("bounces"),
            tenant: TenantId::nobody(),
            kind: AccountKind::Connector,
            // Nobody logs in with it: it is in no directory.
            credential: Credential::Certificate([0; 32]),
            domains: Vec::new(),
        };
        let listener = Listener {
            socket,
            tls: TlsMode::StartTls,
            access: Access::Anybody(Box::new(nobody)),
        };
        self.0.serve(vec![listener], shutdown).await;
    }
}

/// Takes what a bounce or a report is, and nothing else.
#[derive(Debug)]
struct Desk {
    bounces: Arc<dyn BounceHandler>,
    reports: Option<ReportBox>,
}

impl Desk {
    /// The mailbox for reports, if this is its address.
    fn report_box(&self, address: &Address) -> Option<&ReportBox> {
        self.reports
            .as_ref()
            .filter(|reports| reports.is_for(address))
    }

    /// Transient and unreadable ones are thanked for and forgotten: nothing follows from them.
    async fn bounce(&self, octets: &[u8], paths: &[Address]) -> Reply {
        let thanks = say(250, (2, 0, 0), "thank you");
        if !is_permanent_failure(octets) {
            return thanks;
        }
        for address in paths {
            if let Err(error) = self.bounces.bounced(address).await {
                tracing::warn!(cause = %error.0, "a bounce could not be written down");
                return try_again();
            }
        }
        thanks
    }
}

#[async_trait]
impl MailHandler for Desk {
    /// RFC 3464, section 2: a notification comes from `<>`; whatever else comes is mail for nobody.
    /// Reports come from anywhere.
    async fn sender(&self, _: &SessionFacts, transaction: &TransactionFacts) -> Reply {
        match transaction.reverse_path {
            ReversePath::Mailbox(_) if self.reports.is_none() => only_bounces(),
            ReversePath::Mailbox(_) | ReversePath::Null => say(250, (2, 1, 0), "ok"),
        }
    }

    async fn recipient(
        &self,
        _: &SessionFacts,
        transaction: &TransactionFacts,
        recipient: &Address,
    ) -> Reply {
        let is_report = self.report_box(recipient).is_some();
        if !is_report && !self.bounces.is_ours(recipient) {
            return say(550, (5, 1, 1), "no such address here");
        }
        if !is_report && transaction.reverse_path != ReversePath::Null {
            return only_bounces();
        }
        // One reply cannot speak for a bounce and a report.
        let others = &transaction.recipients;
        if others
            .iter()
            .any(|other| self.report_box(other).is_some() != is_report)
        {
            return say(452, (4, 5, 3), "hand this in by itself");
        }
        say(250, (2, 1, 5), "ok")
    }

    /// What anybody sends here is no message of ours, and not counted as one.
    fn not_taken(&self, _: &Reply) {}

    async fn message(&self, submission: Submission) -> Reply {
        let paths = &submission.envelope.recipients;
        let reports = paths.first().and_then(|path| self.report_box(path));
        let limit = match reports {
            Some(_) => limits::TLS_REPORT_MAIL_OCTETS_MAX,
            None => limits::BOUNCE_OCTETS_MAX,
        };
        let Ok(octets) = whole(&*submission.content, limit).await else {
            return try_again();
        };
        match reports {
            Some(reports) => reports.take(&octets).await,
            None => self.bounce(&octets, paths).await,
        }
    }
}

/// The server took no more than its settings allow; more than the limit is not looked at.
async fn whole(content: &dyn Content, limit: u64) -> Result<Vec<u8>, ContentError> {
    let mut octets = Vec::new();
    let mut at = 0_u64;
    while at < limit {
        let piece = content.read(at, PIECE).await?;
        if piece.is_empty() {
            break;
        }
        at = at.saturating_add(piece.len() as u64);
        octets.extend_from_slice(&piece);
    }
    Ok(octets)
}

fn only_bounces() -> Reply {
    say(
        550,
        (5, 7, 1),
        "only delivery status notifications, from <>, are taken here",
    )
}

pub(crate) fn try_again() -> Reply {
    say(451, (4, 3, 0), "not written down; try again later")
}

pub(crate) fn say(code: u16, (class, subject, detail): (u8, u16, u16), text: &str) -> Reply {
    let status = EnhancedStatus::new(class, subject, detail);
    Reply::new(code, Some(status), text)
}

impl fmt::Debug for BounceParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BounceParts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Octets that are read at once.
const PIECE: usize = 64 * 1024;
