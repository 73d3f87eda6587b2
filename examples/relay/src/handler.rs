//! Joins SMTP sessions to the main flow.

use std::sync::Arc;

use async_trait::async_trait;
use securemail_core::drive::{self, Relay};
use securemail_core::mail::Protocol;
use securemail_core::vocab::{Address, Credential, EnhancedStatus, Envelope, Reply};
use securemail_smtp::{
    BounceHandler, BounceUnkept, MailHandler, SessionFacts, Submission, TransactionFacts,
};

/// Hands what sessions take in to the relay.
#[derive(Debug)]
pub struct Handler(pub Arc<Relay>);

#[async_trait]
impl MailHandler for Handler {
    async fn sender(&self, _: &SessionFacts, _: &TransactionFacts) -> Reply {
        Reply::new(250, Some(EnhancedStatus::new(2, 1, 0)), "ok")
    }

    async fn recipient(
        &self,
        session: &SessionFacts,
        transaction: &TransactionFacts,
        recipient: &Address,
    ) -> Reply {
        let account = &transaction.account;
        let reply = self.0.recipient(&account.tenant, recipient).await;
        if reply.code() >= 500 {
            let envelope = Envelope {
                tenant: account.tenant.clone(),
                account: account.id.clone(),
                reverse_path: transaction.reverse_path.clone(),
                recipients: transaction.recipients.clone(),
                helo: session.helo.clone(),
                client: session.client,
            };
            self.0.recipient_refused(&envelope, recipient, &reply).await;
        }
        reply
    }

    fn not_taken(&self, reply: &Reply) {
        self.0.refused_unseen(reply);
    }

    async fn message(&self, submission: Submission) -> Reply {
        let Submission {
            account,
            envelope,
            demands,
            content,
            session,
            ..
        } = submission;
        let with_password = !matches!(account.credential, Credential::Certificate(_));
        let protocol = match (with_password, demands.smtp_utf8) {
            (false, false) => Protocol::Esmtps,
            (false, true) => Protocol::Utf8Smtps,
            (true, false) => Protocol::Esmtpsa,
            (true, true) => Protocol::Utf8Smtpsa,
        };
        let tls = session.tls.map(|tls| (tls.cipher, tls.group));
        self.0
            .submit(drive::Submission {
                account,
                envelope,
                content,
                protocol,
                tls,
                demands,
            })
            .await
    }
}

/// Hands bounces of notices to the relay that sent them.
#[derive(Debug)]
pub struct Bounces(pub Arc<Relay>);

#[async_trait]
impl BounceHandler for Bounces {
    fn is_ours(&self, address: &Address) -> bool {
        self.0.is_notice_path(address)
    }

    async fn bounced(&self, address: &Address) -> Result<(), BounceUnkept> {
        let noted = self.0.notice_bounced(address).await;
        noted.map_err(|error| BounceUnkept(error.into()))
    }
}
