//! What operators see of a running relay in numbers. They name nobody (P10).

mod registry;
mod serve;
mod state;
mod table;

use std::sync::Arc;

use async_trait::async_trait;
use securemail_core::backend::{
    AttemptKind, CodeMessage, End, Fact, ItemClass, Notifier, NotifyError, Observer, PolicyRefresh,
    Receipt,
};
use securemail_core::route::DeferClass;

use self::registry::Registry;
pub use self::serve::{exposure, start};
use self::state::State;

/// Counts what happens in this process.
#[derive(Debug, Default)]
pub struct Metrics(Registry);

impl Observer for Metrics {
    fn observe(&self, fact: Fact) {
        match fact {
            Fact::Alarm(alarm) => self.0.count(table::ALARMS, alarm.as_str()),
            Fact::RefusedUnseen { code } => self.0.count(table::MESSAGES, reply_class(code)),
            Fact::Answered { code, after } => {
                self.0.count(table::MESSAGES, reply_class(code));
                self.0.time(table::ANSWER, "", after);
            }
            Fact::Attempted(kind) => self.attempted(kind),
            Fact::Ended { end, after } => {
                let outcome = match end {
                    End::Bounced => "bounced",
                    End::Delivered => "delivered",
                    End::Refused => "refused",
                    End::Vaulted => "vaulted",
                };
                self.0.count(table::RECIPIENTS, outcome);
                self.0.time(table::SETTLE, outcome, after);
            }
            Fact::Held(class) => self.0.count(table::HELD, class_name(class)),
            Fact::OwnMail { class, taken } => {
                let result = if taken { "taken" } else { "given_up" };
                match class {
                    ItemClass::Notice => self.0.count(table::NOTICES, result),
                    ItemClass::SenderMail => self.0.count(table::SENDER_MAILS, result),
                    // A message is counted with its recipients, and nobody waits for a report.
                    ItemClass::Content | ItemClass::TlsReport => {}
                }
            }
            Fact::PolicyRefresh(refresh) => {
                let result = match refresh {
                    PolicyRefresh::Fetched => "fetched",
                    PolicyRefresh::Failed => "failed",
                    PolicyRefresh::Missed => "missed",
                };
                self.0.count(table::POLICIES, result);
            }
            _ => {}
        }
    }
}

impl Metrics {
    fn attempted(&self, kind: AttemptKind) {
        let result = match kind {
            AttemptKind::Answered => "answered",
            AttemptKind::CalledOff => "called_off",
            AttemptKind::Incapable => "incapable",
            AttemptKind::Injected => "injected",
            AttemptKind::NotLetIn => "not_let_in",
            AttemptKind::Unreachable => "unreachable",
            AttemptKind::CertificateExpired
            | AttemptKind::CertificateName
            | AttemptKind::CertificateUntrusted
            | AttemptKind::CertificateUnusable
            | AttemptKind::DomainNotNamed
            | AttemptKind::NoStartTls
            | AttemptKind::TlsFailed
            | AttemptKind::TlsaMismatch => "tls_failed",
        };
        self.0.count(table::ATTEMPTS, result);
        let rule = match kind {
            AttemptKind::CertificateExpired => "certificate_expired",
            AttemptKind::CertificateName => "certificate_name",
            AttemptKind::CertificateUntrusted => "certificate_untrusted",
            AttemptKind::CertificateUnusable => "certificate_unusable",
            AttemptKind::DomainNotNamed => "domain_not_named",
            AttemptKind::NoStartTls => "starttls",
            AttemptKind::TlsFailed => "handshake",
            AttemptKind::TlsaMismatch => "tlsa_mismatch",
            AttemptKind::Answered
            | AttemptKind::CalledOff
            | AttemptKind::Incapable
            | AttemptKind::Injected
            | AttemptKind::NotLetIn
            | AttemptKind::Unreachable => return,
        };
        self.0.count(table::TLS_FAILURES, rule);
    }

    /// The text that is served, with what the relay's `state` is now.
    pub async fn text(&self, state: &State) -> String {
        self.0.text(&table::FAMILIES, &state.read().await)
    }
}

const fn reply_class(code: u16) -> &'static str {
    match code {
        ..=299 => "accepted",
        300..=499 => "later",
        500.. => "refused",
    }
}

const fn class_name(class: DeferClass) -> &'static str {
    match class {
        DeferClass::NoPath => "no_path",
        DeferClass::Transient => "transient",
        DeferClass::Suspicious => "suspicious",
        DeferClass::UnprovedDenial => "unproved_denial",
        DeferClass::OwnFault => "own_fault",
        DeferClass::Unconfirmed => "unconfirmed",
    }
}

/// A carrier whose codes are counted.
#[derive(Debug)]
pub struct CountedNotifier {
    pub inner: Arc<dyn Notifier>,
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl Notifier for CountedNotifier {
    async fn notify(&self, message: &CodeMessage) -> Result<Receipt, NotifyError> {
        let answer = self.inner.notify(message).await;
        let result = match &answer {
            Ok(_) => "sent",
            Err(NotifyError::InDoubt(_)) => "in_doubt",
            Err(NotifyError::Number) => "number",
            Err(NotifyError::NotAllowed) => "not_allowed",
            Err(NotifyError::Credentials) => "credentials",
            Err(NotifyError::Busy) => "busy",
            Err(NotifyError::Unavailable(_)) => "unavailable",
            // The enum may grow.
            Err(_) => "other",
        };
        self.metrics.0.count(table::SMS, result);
        answer
    }
}
