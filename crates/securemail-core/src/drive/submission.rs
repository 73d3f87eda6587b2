//! From what a sender handed in to what is delivered: screened, hashed, given its trace, signed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Relay;
use super::item::ItemHeader;
use super::wished::Wished;
use crate::backend::{ResubmissionKey, SigningError, Verdict};
use crate::dkim::{self, SignError, SignOptions};
use crate::ledger::Log;
use crate::mail::{self, HeaderView, Protocol, TlsSession, Trace};
use crate::route::MessageFacts;
use crate::vocab::{
    Account, Address, Concat, Content, DeliveryKey, Demands, DnsName, EnhancedStatus, Envelope,
    Profile, QueueId, Reply, RequireTls, Tenant, UnixTime, sha256,
};

/// A message as a session took it in.
#[derive(Debug)]
pub struct Submission {
    /// Who handed it in.
    pub account: Account,
    /// Its envelope.
    pub envelope: Envelope,
    /// Its octets, with dot-stuffing removed.
    pub content: Arc<dyn Content>,
    /// How it came.
    pub protocol: Protocol,
    /// The cipher suite and group of its session.
    pub tls: Option<(String, String)>,
    /// What its sender said in MAIL. Whether SMTPUTF8 is needed is found out from the message.
    pub demands: Demands,
}

/// A message that may be taken, as it came.
#[derive(Debug)]
pub(super) struct Screened {
    pub tenant: Arc<Tenant>,
    pub account: Account,
    pub envelope: Envelope,
    pub queue: QueueId,
    /// The tenant's log.
    pub log: Log,
    /// SHA-256 of the octets that came.
    pub submitted: [u8; 32],
    /// One for each recipient, or none where the message has no Message-ID.
    pub resubmission: Option<Vec<ResubmissionKey>>,
    received: UnixTime,
    view: HeaderView,
    content: Arc<dyn Content>,
    protocol: Protocol,
    tls: Option<(String, String)>,
    wished: Wished,
    demands: Demands,
}

/// A message as it goes out, with everything that its deliveries need.
#[derive(Debug)]
pub(super) struct Accepted {
    pub tenant: Arc<Tenant>,
    pub queue: QueueId,
    /// The tenant's log.
    pub log: Log,
    pub header: ItemHeader,
    /// Its envelope, for the evidence.
    pub envelope: Envelope,
    /// Recipients of whom an earlier attempt at the same submission was lost, with the delivery that
    /// was the first.
    pub lost: BTreeMap<u16, DeliveryKey>,
    /// With our trace, not signed: what is sealed if the message must wait.
    pub content: Arc<dyn Content>,
    /// Signed; `None` where signing failed, and then the message waits.
    pub signed: Option<Signed>,
}

/// A message as a host gets it.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub content: Arc<dyn Content>,
    /// SHA-256 of its octets, for the evidence.
    pub digest: [u8; 32],
}

impl Screened {
    /// Its Message-ID, if it has one.
    pub(super) fn message_id(&self) -> Option<String> {
        self.view.message_id()
    }
}

impl Accepted {
    /// What the policy must know of it.
    pub(super) fn facts(&self) -> MessageFacts {
        let mut facts = self.header.facts();
        facts.nta7516.clone_from(&self.tenant.nta7516);
        facts
    }

    /// How sure a route to `domain` must be.
    pub(super) fn profile(&self, domain: &DnsName) -> Profile {
        self.header.wished.profile(&self.tenant, domain)
    }
}

impl ItemHeader {
    /// What the policy must know of the message.
    pub(super) fn facts(&self) -> MessageFacts {
        let mut facts = MessageFacts::at(self.accepted);
        facts.require_tls = self.demands.require_tls == RequireTls::Always;
        facts.size = self.size;
        facts.vault_required = self.wished.vault;
        facts.vault_possible = !self.wished.direct;
        facts
    }
}

impl Relay {
    /// Screens a submission.
    ///
    /// # Errors
    /// The reply for the sender, which says what to change or when to try again.
    pub(super) async fn screen(&self, submission: Submission) -> Result<Screened, Reply> {
        let Submission {
            account,
            mut envelope,
            content,
            protocol,
            tls,
            demands,
        } = submission;
        let mut seen = BTreeSet::new();
        envelope
            .recipients
            .retain(|recipient| seen.insert(recipient.to_string()));
        let tenant = self.tenant_of(&envelope).await?;
        let view = mail::read_header(&*content)
            .await
            .map_err(|error| error.reply())?;
        mail::check_submission(&view, &envelope, &account, &tenant)?;
        let (view, wished) = Wished::read(view, &envelope, &tenant)?;
        let wished = wished.with_vault(self.scan(&envelope, &*content).await?)?;
        let submitted = sha256(&*content).await.map_err(|_| try_later())?;
        let demands = Demands {
            smtp_utf8: demands.smtp_utf8
                && mail::has_utf8_below(&view, &*content)
                    .await
                    .map_err(|_| try_later())?,
            ..demands
        };
        let resubmission = view
            .message_id()
            .map(|id| self.resubmission_keys(&envelope, &id, (&submitted, demands.require_tls)));
        let queue = QueueId::random(&*self.parts.entropy).map_err(|_| try_later())?;
        let received = self.now();
        let log = self.log_or_later(&tenant.id).await?;
        Ok(Screened {
            tenant,
            account,
            envelope,
            queue,
            log,
            submitted,
            resubmission,
            received,
            view,
            content,
            protocol,
            tls,
            wished,
            demands,
        })
    }

    /// Makes a screened message ready to go out: its trace in front, signed; marked as a possible
    /// duplicate where an earlier attempt at it was lost.
    ///
    /// # Errors
    /// The reply for the sender, where the message itself cannot be signed. A key that cannot be used
    /// is our affair: then the message is taken and waits.
    pub(super) async fn prepare(
        &self,
        screened: &Screened,
        lost: BTreeMap<u16, DeliveryKey>,
    ) -> Result<Accepted, Reply> {
        let Screened {
            tenant,
            account,
            envelope,
            queue,
            log,
            received,
            view,
            content,
            protocol,
            tls,
            wished,
            demands,
            submitted: _,
            resubmission: _,
        } = screened;
        let trace = Trace {
            by: &self.settings.hostname,
            queue: *queue,
            received: *received,
            helo: &envelope.helo,
            with: *protocol,
            tls: tls.as_ref().map(|(cipher, group)| TlsSession {
                cipher,
                group: Some(group.as_str()),
            }),
            recipients: &envelope.recipients,
            possible_duplicate: !lost.is_empty(),
        };
        let demands = Demands {
            smtp_utf8: demands.smtp_utf8
                || !trace.header(view).is_ascii()
                || envelope.reverse_path.needs_utf8(),
            ..*demands
        };
        let content = trace.outgoing(view, content.clone());
        let signed = match self.sign(&content).await {
            Ok(signed) => Some(signed),
            Err(error) => held_or_refused(&error)?,
        };
        let header = ItemHeader {
            account: Some(account.id.clone()),
            author: view.mailboxes("From").addresses.first().cloned(),
            reverse_path: envelope.reverse_path.clone(),
            accepted: *received,
            size: content.size(),
            wrapped_key: Vec::new(),
            day: day_of(*received),
            message_id: view.message_id(),
            wished: wished.clone(),
            demands,
            about: None,
            vault: None,
            arrives_quietly: false,
            bland: None,
        };
        Ok(Accepted {
            tenant: tenant.clone(),
            queue: *queue,
            log: log.clone(),
            header,
            envelope: envelope.clone(),
            lost,
            content,
            signed,
        })
    }

    async fn tenant_of(&self, envelope: &Envelope) -> Result<Arc<Tenant>, Reply> {
        match self.parts.directory.tenant(&envelope.tenant).await {
            Ok(Some(tenant)) => Ok(Arc::new(tenant)),
            Ok(None) => Err(Reply::new(
                550,
                Some(EnhancedStatus::new(5, 7, 1)),
                "this account's organisation is not known here any more; ask its administrator",
            )),
            Err(_) => Err(try_later()),
        }
    }

    /// Whether the message must go the vault way.
    async fn scan(&self, envelope: &Envelope, content: &dyn Content) -> Result<bool, Reply> {
        match self.parts.scanner.scan(envelope, content).await {
            Ok(Verdict::Pass) => Ok(false),
            Ok(Verdict::RequireVault) => Ok(true),
            Ok(Verdict::Refuse(reason)) => {
                Err(Reply::new(554, Some(EnhancedStatus::new(5, 7, 1)), &reason))
            }
            // Fail closed: what could not be scanned is not taken.
            Err(_) => Err(try_later()),
        }
    }

    fn resubmission_keys(
        &self,
        envelope: &Envelope,
        message_id: &str,
        (octets, require_tls): (&[u8; 32], RequireTls),
    ) -> Vec<ResubmissionKey> {
        // A message that demands more is not covered by one that demanded less.
        let demand: &[u8] = match require_tls {
            RequireTls::Always => b"requiretls",
            RequireTls::IfOffered | RequireTls::No => b"",
        };
        let key = |recipient: &Address| {
            // As written: two spellings may be two mailboxes, and each gets its own copy.
            let recipient = recipient.to_string();
            let parts: [&[u8]; 6] = [
                envelope.tenant.as_str().as_bytes(),
                envelope.account.as_str().as_bytes(),
                recipient.as_bytes(),
                message_id.as_bytes(),
                octets,
                demand,
            ];
            let mut joined = Vec::new();
            for part in parts {
                joined.extend_from_slice(&(part.len() as u64).to_be_bytes());
                joined.extend_from_slice(part);
            }
            ResubmissionKey(self.spool_cipher.hash("resubmission", &joined))
        };
        envelope.recipients.iter().map(key).collect()
    }

    /// Puts DKIM signatures of the domain in From in front.
    ///
    /// # Errors
    /// Where a key cannot be used or there is none: the message waits.
    pub(super) async fn sign(&self, content: &Arc<dyn Content>) -> Result<Signed, SignError> {
        let view = mail::read_header(&**content).await?;
        let domain = from_domain(&view).ok_or(SignError::FromCount(0))?;
        let signers = self.parts.signing.signers(&domain).await?;
        if signers.is_empty() {
            return Err(SigningError::BadKey("there is none for this domain").into());
        }
        let fields = dkim::sign(&**content, &signers, self.now(), SignOptions::default()).await?;
        let content: Arc<dyn Content> = Arc::new(Concat::new(fields, content.clone()));
        let digest = sha256(&*content).await?;
        Ok(Signed { content, digest })
    }
}

/// A key that cannot be used holds the message; a message that cannot be signed is refused.
fn held_or_refused(error: &SignError) -> Result<Option<Signed>, Reply> {
    match error {
        SignError::Key(cause) => {
            tracing::error!(%cause, "a DKIM key cannot be used; messages wait until it can");
            Ok(None)
        }
        SignError::Content(_) => Err(try_later()),
        _ => Err(Reply::new(
            550,
            Some(EnhancedStatus::new(5, 6, 0)),
            &error.to_string(),
        )),
    }
}

/// The domain that signs: the one of From, which screening bound to the account.
fn from_domain(view: &HeaderView) -> Option<DnsName> {
    view.mailboxes("From")
        .addresses
        .first()
        .map(|address| address.domain().clone())
}

/// Something of ours does not work now; the sender keeps the message.
pub(super) fn try_later() -> Reply {
    Reply::new(
        451,
        Some(EnhancedStatus::new(4, 3, 0)),
        "not possible now; please try again later",
    )
}

/// When a day's spool key may be destroyed is settled by its day.
#[must_use]
pub(super) const fn day_of(time: UnixTime) -> u64 {
    time.as_secs() / 86_400
}
