//! Hands the mail to a tenant's own people to the host that the tenant has named for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::Relay;
use super::deliver::Delivery;
use super::item::ItemHeader;
use super::retry_own::content_free;
use crate::StoreError;
use crate::backend::{
    AttemptKind, ItemClass, RecipientOutcome, ReturnAttempt, ReturnHost, ReturnHosts,
    ReturnOutcome, SessionOutcome,
};
use crate::vocab::{Content, TenantId};

/// How it fared on the tenant's own way.
pub(super) enum Returned {
    /// The host has it.
    Taken,
    /// Not now; it waits for this way.
    Waits,
    /// This way is not open to it: the engine finds another.
    No,
}

impl Relay {
    /// The tenant's own way, where it has named one. It comes before all others, since it is proved and
    /// leaves nobody else a say; while the host is down the mail waits as long as a message would before
    /// it goes another way. A host that refuses for good loses it no mail: the engine is asked at once.
    pub(super) async fn return_home(
        &self,
        class: ItemClass,
        header: &ItemHeader,
        content: &Arc<dyn Content>,
        delivery: &Delivery,
    ) -> Result<Returned, StoreError> {
        if class != ItemClass::SenderMail {
            return Ok(Returned::No);
        }
        let tenant = &delivery.lease.delivery.tenant;
        let patience = self.settings.policy.divert_after;
        let waits = if self.now() < header.accepted.plus(patience) {
            Returned::Waits
        } else {
            Returned::No
        };
        let host = match self.parts.return_hosts.return_host(tenant).await {
            Ok(Some(host)) => host,
            Ok(None) => return Ok(Returned::No),
            Err(error) => {
                tracing::warn!(%tenant, %error, "the tenant's return route cannot be told now");
                return Ok(waits);
            }
        };
        match self.try_return(host, header, content, delivery).await? {
            Some(ReturnOutcome::Answered(RecipientOutcome::HandedOver(_))) => Ok(Returned::Taken),
            Some(ReturnOutcome::Answered(RecipientOutcome::Refused(reply))) => {
                tracing::warn!(%tenant, code = reply.code(), "the return route refuses sender mail");
                Ok(Returned::No)
            }
            Some(ReturnOutcome::NotLetIn(reply)) => {
                let code = reply.map(|reply| reply.code());
                tracing::error!(
                    %tenant,
                    code,
                    "the return route does not take our login; see tenant.return_route"
                );
                Ok(waits)
            }
            Some(ReturnOutcome::Answered(
                RecipientOutcome::Deferred(_)
                | RecipientOutcome::NotTried
                | RecipientOutcome::Unconfirmed,
            ))
            | None => Ok(waits),
            Some(ReturnOutcome::Unanswered(outcome)) => {
                let why = in_words(&outcome);
                tracing::warn!(%tenant, why, "the return route cannot be used now");
                Ok(waits)
            }
        }
    }

    /// One attempt; `None` where something of ours, or the DNS, does not let it be made now.
    async fn try_return(
        &self,
        host: ReturnHost,
        header: &ItemHeader,
        content: &Arc<dyn Content>,
        delivery: &Delivery,
    ) -> Result<Option<ReturnOutcome>, StoreError> {
        let hop = match self.parts.inquirer.named(&host.host, host.port).await {
            Ok(hop) => hop,
            Err(error) => {
                let tenant = &delivery.lease.delivery.tenant;
                tracing::warn!(%tenant, %error, "the return route cannot be looked up now");
                return Ok(None);
            }
        };
        let Ok(signed) = self.sign(content).await else {
            return Ok(None);
        };
        let attempt = ReturnAttempt {
            hop,
            start: host.start,
            login: host.login,
            reverse_path: header.reverse_path.clone(),
            recipient: delivery.record.recipient.clone(),
            demands: header.demands,
            mail: content_free(&*signed.content).await?,
        };
        let attempting = self.parts.returns.attempt_return(attempt);
        let Some(outcome) = self.unless_stopped(attempting).await else {
            return Ok(None);
        };
        self.observe_attempt(match &outcome {
            ReturnOutcome::Answered(_) => AttemptKind::Answered,
            ReturnOutcome::NotLetIn(_) => AttemptKind::NotLetIn,
            ReturnOutcome::Unanswered(session) => session.into(),
        });
        Ok(Some(outcome))
    }
}

/// Hosts named once, in settings.
#[async_trait]
impl ReturnHosts for BTreeMap<TenantId, ReturnHost> {
    async fn return_host(&self, tenant: &TenantId) -> Result<Option<ReturnHost>, StoreError> {
        Ok(self.get(tenant).cloned())
    }
}

/// Without what the peer said, which may name people.
const fn in_words(outcome: &SessionOutcome) -> &'static str {
    match outcome {
        SessionOutcome::CalledOff => "called off",
        SessionOutcome::Completed => "the session broke",
        SessionOutcome::NotAuthenticated(_) => "its certificate does not prove that it is the host",
        SessionOutcome::NoStartTls(_) => "it offers no STARTTLS",
        SessionOutcome::Injected => "octets came that nobody asked for",
        SessionOutcome::TlsFailed(_) => "the TLS handshake failed",
        SessionOutcome::Unreachable(_) => "it cannot be reached",
        SessionOutcome::Incapable(_) => "it cannot take such a mail",
    }
}
