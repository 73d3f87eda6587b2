//! Reports each day what was counted, to whoever asks for it (RFC 8460, sections 3 to 5).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{self, Either, FutureExt as _};
use sha2::{Digest, Sha256};

use super::Relay;
use super::own_mail::{OwnMail, id_of};
use super::tls_forget::Forgetting;
use crate::StoreError;
use crate::backend::{ItemClass, PostError, ReportClaim, ReportPoster, ReportSettlement};
use crate::limits::{
    ALIAS_HOPS_MAX, TLS_REPORT_HOURS, TLS_REPORT_POST_SECS, TLS_REPORTS_AT_ONCE_MAX,
};
use crate::mail::TlsReportMail;
use crate::tlsrpt::{self, HttpsUri, ReportHead, ReportUri, UtcDay, report_uris};
use crate::vocab::{
    Address, Answer, DeliveryKey, DnsName, Outcome, Question, QueueId, RecordKind, RequireTls,
    ReversePath, Security, TenantId, UnixTime,
};

/// What the operator settled about reports.
#[derive(Clone, Debug)]
pub struct TlsReportSettings {
    /// The name of the organisation that reports.
    pub organisation: String,
    /// Whom to ask; in the domain that notices come from, because that signs.
    pub contact: Address,
    /// Under whose keys a report waits in the spool.
    pub tenant: TenantId,
    /// How often due reports are looked for, and counts written down.
    pub poll_every: Duration,
    /// How long a report is ours; one takes less.
    pub lease: Duration,
    /// How soon a report is tried again; doubled each time.
    pub retry: Duration,
}

impl TlsReportSettings {
    /// The defaults.
    #[must_use]
    pub const fn new(organisation: String, contact: Address, tenant: TenantId) -> Self {
        Self {
            organisation,
            contact,
            tenant,
            poll_every: Duration::from_secs(60),
            lease: Duration::from_secs(15 * 60),
            retry: Duration::from_secs(15 * 60),
        }
    }
}

/// Reports what a [`Relay`] counted. Of several over one store each report is sent by one.
#[derive(Debug)]
pub struct TlsReporter {
    relay: Arc<Relay>,
    poster: Arc<dyn ReportPoster>,
    settings: TlsReportSettings,
    forgetting: Forgetting,
}

/// Who wants a report.
enum Wanted {
    By(Vec<ReportUri>),
    ByNobody,
    /// It could not be found out.
    Unknown,
}

impl TlsReporter {
    /// A reporter that does nothing yet.
    #[must_use]
    pub fn new(
        relay: Arc<Relay>,
        poster: Arc<dyn ReportPoster>,
        settings: TlsReportSettings,
    ) -> Self {
        Self {
            relay,
            poster,
            settings,
            forgetting: Forgetting::default(),
        }
    }

    /// Reports until `stop` ends; then it writes down what was counted. Counts do not wait for reports: whoever
    /// takes one slowly must not have others forgotten.
    pub async fn work(&self, stop: impl Future<Output = ()> + Send) {
        let stop = stop.shared();
        future::join(self.keep_counts(stop.clone()), self.keep_sending(stop)).await;
        self.keep_count("counts of TLS sessions are lost").await;
    }

    async fn keep_counts(&self, stop: impl Future<Output = ()> + Clone + Unpin + Send) {
        while self.has_paused(stop.clone()).await {
            self.keep_count("counts of TLS sessions must wait for the store")
                .await;
        }
    }

    async fn keep_count(&self, failed: &str) {
        if let Err(error) = self.relay.write_counts().await {
            tracing::warn!(%error, "{failed}");
        }
    }

    async fn keep_sending(&self, stop: impl Future<Output = ()> + Clone + Unpin + Send) {
        while self.has_paused(stop.clone()).await {
            if let Err(error) = self.send_due(stop.clone()).await {
                tracing::warn!(%error, "reports about TLS must wait for the store");
            }
        }
    }

    /// Whether the pause ended before `stop`.
    async fn has_paused(&self, stop: impl Future<Output = ()> + Unpin + Send) -> bool {
        let next = self.relay.now().plus(self.settings.poll_every);
        let pause = self.relay.parts.clock.sleep_until(next);
        matches!(future::select(stop, pause).await, Either::Right(_))
    }

    /// Writes counts down, and sends every report that is due; returns how many were.
    ///
    /// # Errors
    /// Where domain memory does not answer.
    pub async fn report_due(&self) -> Result<usize, StoreError> {
        self.send_due(future::pending()).await
    }

    async fn send_due(
        &self,
        stop: impl Future<Output = ()> + Clone + Unpin + Send,
    ) -> Result<usize, StoreError> {
        let memory = &self.relay.parts.inquirer.memory;
        let today = UtcDay::of(self.relay.now());
        self.forgetting.once_a_day(&**memory, today).await?;
        let senders = (0..TLS_REPORTS_AT_ONCE_MAX).map(|_| self.send_in_turn(stop.clone()));
        let mut count = 0_usize;
        for sent in future::join_all(senders).await {
            count = count.saturating_add(sent?);
        }
        Ok(count)
    }

    /// One report after the other, until none is due.
    async fn send_in_turn(
        &self,
        mut stop: impl Future<Output = ()> + Unpin + Send,
    ) -> Result<usize, StoreError> {
        let memory = &self.relay.parts.inquirer.memory;
        let mut count = 0_usize;
        loop {
            // A day that is settled takes no more counts (R10): ours come before its report.
            self.relay.write_counts().await?;
            let (now, lease) = (self.relay.now(), self.settings.lease);
            let Some(claim) = memory.claim_report(now, lease).await? else {
                return Ok(count);
            };
            let sending = std::pin::pin!(self.report(&claim));
            // What is not finished is leased, and its id lets the receiver see one of two.
            let Either::Left((settlement, _)) = future::select(sending, &mut stop).await else {
                return Ok(count);
            };
            match memory.settle_report(&claim, settlement).await {
                // Somebody else has it by now; the id of a report lets the receiver see one of two.
                Ok(()) | Err(StoreError::LeaseLost) => {}
                Err(error) => return Err(error),
            }
            count = count.saturating_add(1);
        }
    }

    async fn report(&self, claim: &ReportClaim) -> ReportSettlement {
        if claim.sessions.is_empty() {
            return ReportSettlement::Done;
        }
        let taken = match self.wanted(&claim.domain).await {
            Wanted::ByNobody => true,
            Wanted::By(places) => self.deliver(claim, &places).await,
            Wanted::Unknown => false,
        };
        let over = claim
            .first_due
            .plus(Duration::from_secs(TLS_REPORT_HOURS * 3600));
        let again = self.retry_at(claim);
        match (taken, again < over) {
            (true, _) => ReportSettlement::Done,
            (false, true) => ReportSettlement::Again(again),
            (false, false) => {
                tracing::info!(domain = %claim.domain, "nobody took the report about TLS; it is given up");
                ReportSettlement::Done
            }
        }
    }

    /// Asks `_smtp._tls.<domain>`; the resolver keeps the answer. A bogus answer says nothing, and it is asked again.
    async fn wanted(&self, domain: &DnsName) -> Wanted {
        let Ok(mut name) = domain.below("_smtp._tls") else {
            return Wanted::ByNobody;
        };
        for _ in 0..=ALIAS_HOPS_MAX {
            let question = Question::new(name, RecordKind::Txt);
            let answer: Answer = self.relay.parts.inquirer.resolver.resolve(&question).await;
            let is_proved = matches!(answer.security, Security::Insecure | Security::Secure);
            match answer.outcome {
                Outcome::Alias(target) if is_proved => name = target,
                Outcome::Txt(records) if is_proved => {
                    return report_uris(&records).map_or(Wanted::ByNobody, Wanted::By);
                }
                Outcome::NoData | Outcome::NxDomain if is_proved => return Wanted::ByNobody,
                _ => return Wanted::Unknown,
            }
        }
        Wanted::Unknown
    }

    /// Whether one of the places took it, or mail is on its way to all that are left. Section 3 leaves the choice to
    /// the sender: by HTTPS first, since a mail to a domain whose TLS is broken may have to go in clear.
    async fn deliver(&self, claim: &ReportClaim, places: &[ReportUri]) -> bool {
        let head = ReportHead {
            organisation: self.settings.organisation.clone(),
            contact: self.settings.contact.clone(),
            domain: claim.domain.clone(),
            day: claim.day,
        };
        let report = head.report(&claim.sessions);
        let gzip = Bytes::from(tlsrpt::compress(&report.to_json()));
        if self.post(claim, places, &gzip).await {
            return true;
        }
        // A record that names no place that can be used asks for nothing.
        let mut taken = places.is_empty();
        for place in places {
            let ReportUri::Mailto(to) = place else {
                continue;
            };
            // A mail that is queued may come back, so each place gets its own.
            match self.mail(&head, to, &gzip).await {
                Ok(()) => taken = true,
                Err(error) => tracing::warn!(%error, "a report about TLS could not be queued"),
            }
        }
        taken
    }

    /// Whether one of the places took it by HTTPS. Each has its part of the time: one that never answers takes
    /// nothing from the others.
    async fn post(&self, claim: &ReportClaim, places: &[ReportUri], gzip: &Bytes) -> bool {
        let uris: Vec<&HttpsUri> = places
            .iter()
            .filter_map(|place| match place {
                ReportUri::Https(uri) => Some(uri),
                ReportUri::Mailto(_) => None,
            })
            .collect();
        let part = TLS_REPORT_POST_SECS / (uris.len() as u64).max(1);
        for uri in uris {
            let clock = &self.relay.parts.clock;
            let limit = clock.sleep_until(self.relay.now().plus(Duration::from_secs(part)));
            let posted = match future::select(self.poster.post(uri, gzip.clone()), limit).await {
                Either::Left((posted, _)) => posted,
                Either::Right(_) => Err(PostError::Unreachable),
            };
            match posted {
                Ok(()) => return true,
                Err(error) => {
                    tracing::info!(domain = %claim.domain, %error, "a report about TLS was not taken");
                }
            }
        }
        false
    }

    /// Queues it as a mail, which is then tried for a day.
    async fn mail(&self, head: &ReportHead, to: &Address, gzip: &[u8]) -> Result<(), StoreError> {
        let queue = queue_of(head, to);
        let relay = &self.relay;
        let mail = TlsReportMail {
            id: queue,
            host: &relay.settings.hostname,
            now: relay.now(),
            head,
            from: &relay.settings.notice_from,
            to,
            gzip,
        };
        let own = OwnMail {
            class: ItemClass::TlsReport,
            queue,
            about: DeliveryKey {
                tenant: self.settings.tenant.clone(),
                queue,
                recipient: 0,
            },
            vault: None,
            // What comes back of a report would be mail about mail about mail.
            reverse_path: ReversePath::Null,
            to: to.clone(),
            mail: mail.mail(),
            bland: None,
            arrives_quietly: false,
            require_tls: RequireTls::No,
            events: Vec::new(),
        };
        relay.commit_own(own).await.map(drop)
    }

    fn retry_at(&self, claim: &ReportClaim) -> UnixTime {
        let doubled = 1_u32 << claim.tries.min(10);
        let pause = self.settings.retry.saturating_mul(doubled);
        self.relay.now().plus(pause.min(RETRY_MAX))
    }
}

/// The same mail has the same id, so that a repeat meets its own.
fn queue_of(head: &ReportHead, to: &Address) -> QueueId {
    let hash = Sha256::new()
        .chain_update(b"securemail/v1/tls-report-mail\0")
        .chain_update(head.report_id())
        .chain_update([0])
        .chain_update(to.to_string());
    id_of(hash)
}

/// The longest pause between two tries.
const RETRY_MAX: Duration = Duration::from_secs(4 * 3600);
