//! The mailbox for reports about TLS of our own domains (RFC 8460, section 5.3): signed ones are kept, nothing else.

use std::fmt;
use std::sync::Arc;

use securemail_core::backend::Signatures;
use securemail_core::drive::{TlsInbox, TlsInboxError};
use securemail_core::vocab::{Address, Reply};

use crate::bounces::{say, try_again};

/// Where reports about our own domains come by mail.
///
/// Publish it as `_smtp._tls.<domain> TXT "v=TLSRPTv1; rua=mailto:<address>"`.
#[derive(Clone)]
pub struct ReportBox {
    /// The address that is published.
    pub address: Address,
    /// What keeps reports.
    pub inbox: Arc<TlsInbox>,
    /// Who signed a mail.
    pub signatures: Arc<dyn Signatures>,
}

impl ReportBox {
    pub(crate) fn is_for(&self, address: &Address) -> bool {
        self.address.canonical() == address.canonical()
    }

    /// Whoever sends a report learns in the session what is wrong with it: nothing is sent back later.
    pub(crate) async fn take(&self, message: &[u8]) -> Reply {
        let taken = self.inbox.take_mail(message, &*self.signatures).await;
        match taken {
            Ok(()) => say(250, (2, 0, 0), "thank you"),
            Err(TlsInboxError::Store(cause)) => {
                tracing::warn!(%cause, "a report about TLS could not be kept");
                try_again()
            }
            Err(error @ TlsInboxError::SignerUnknown) => say(451, (4, 7, 5), &error.to_string()),
            // RFC 7372, section 3.1: no passing signature.
            Err(error @ TlsInboxError::Unsigned) => say(550, (5, 7, 20), &error.to_string()),
            Err(error) => say(554, (5, 6, 0), &error.to_string()),
        }
    }
}

impl fmt::Debug for ReportBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReportBox")
            .field("inbox", &self.inbox)
            .field("signatures", &self.signatures)
            .finish_non_exhaustive()
    }
}
