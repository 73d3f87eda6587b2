//! Is told what happens, in kinds and times alone: for metrics.

use std::fmt;
use std::time::Duration;

use super::{ItemClass, SessionOutcome};
use crate::route::{DeferClass, PeerFailure};
use crate::vocab::Alarm;

/// Is told what happens. What it hears names nobody, so that whatever it shows names nobody (P10).
///
/// # Contract
/// - **O1** A call returns at once, and never fails.
/// - **O2** Nothing depends on it: what a process heard is lost with it.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// This happened just now.
    fn observe(&self, fact: Fact);
}

/// Something that happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fact {
    /// An alarm of the node was heard, again or for the first time.
    Alarm(Alarm),
    /// A message was answered at its end of data.
    Answered {
        /// The reply code.
        code: u16,
        /// How long the sender waited.
        after: Duration,
    },
    /// A session with a host was tried.
    Attempted(AttemptKind),
    /// A recipient of a message came to an end.
    Ended {
        /// Which.
        end: End,
        /// Since the message was accepted.
        after: Duration,
    },
    /// A message was refused as it came in: it was too large or ill-formed, or found no room.
    RefusedUnseen {
        /// The reply code.
        code: u16,
    },
    /// A recipient of a message waits.
    Held(DeferClass),
    /// A mail of ours came to an end.
    OwnMail {
        /// Notice or sender mail.
        class: ItemClass,
        /// It was taken; else it was given up.
        taken: bool,
    },
    /// A policy (MTA-STS) was looked at in the background.
    PolicyRefresh(PolicyRefresh),
}

/// How a look at a policy in the background ended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum PolicyRefresh {
    /// It was fetched.
    Fetched,
    /// One in force could not be fetched anew.
    Failed,
    /// The same, since two days, or since half of its life.
    Missed,
}

/// How a recipient of a message ended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum End {
    /// Given back to the sender by a mail.
    Bounced,
    /// Taken by the next server.
    Delivered,
    /// Refused in the session.
    Refused,
    /// Sealed into the vault.
    Vaulted,
}

/// How far a session came.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum AttemptKind {
    /// To MAIL: the peer had its say.
    Answered,
    /// Called off by us.
    CalledOff,
    /// The certificate is out of its validity.
    CertificateExpired,
    /// The certificate bears another name.
    CertificateName,
    /// The certificate leads to no trusted root.
    CertificateUntrusted,
    /// The certificate is of a kind that cannot be used, or there is none.
    CertificateUnusable,
    /// The certificate does not name the recipient's domain, which was the only authority left.
    DomainNotNamed,
    /// The host cannot take the message.
    Incapable,
    /// Octets came that nobody asked for.
    Injected,
    /// The host does not take our login.
    NotLetIn,
    /// STARTTLS is not offered, or was refused.
    NoStartTls,
    /// The handshake failed.
    TlsFailed,
    /// The certificate matches no TLSA record.
    TlsaMismatch,
    /// No connection, or no greeting.
    Unreachable,
}

impl From<&SessionOutcome> for AttemptKind {
    fn from(outcome: &SessionOutcome) -> Self {
        match outcome {
            SessionOutcome::CalledOff => Self::CalledOff,
            SessionOutcome::Completed => Self::Answered,
            SessionOutcome::Incapable(_) => Self::Incapable,
            SessionOutcome::Injected => Self::Injected,
            SessionOutcome::NoStartTls(_) => Self::NoStartTls,
            SessionOutcome::TlsFailed(_) => Self::TlsFailed,
            SessionOutcome::Unreachable(_) => Self::Unreachable,
            SessionOutcome::NotAuthenticated(failure) => match failure {
                PeerFailure::Certificate(_)
                | PeerFailure::Misused(_)
                | PeerFailure::NoCertificate => Self::CertificateUnusable,
                PeerFailure::Expired | PeerFailure::IssuerExpired => Self::CertificateExpired,
                PeerFailure::Name => Self::CertificateName,
                PeerFailure::NoTlsaMatch => Self::TlsaMismatch,
                PeerFailure::NotNamed => Self::DomainNotNamed,
                PeerFailure::Untrusted => Self::CertificateUntrusted,
            },
        }
    }
}

/// Hears nothing.
impl Observer for () {
    fn observe(&self, _: Fact) {}
}
