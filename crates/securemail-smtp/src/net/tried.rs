//! What came of an attempt at one address, and which of two attempts says more.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use securemail_core::backend::{
    AttemptReport, OtherSession, PeerFacts, RecipientOutcome, SessionOutcome,
};
use securemail_core::route::PeerProof;
use securemail_core::vocab::{DnsName, UnixTime};

/// What came of one address.
pub(super) struct Tried {
    pub(super) address: Option<IpAddr>,
    pub(super) peer: Option<PeerFacts>,
    pub(super) proof: Option<PeerProof>,
    pub(super) outcome: SessionOutcome,
    pub(super) recipients: Vec<RecipientOutcome>,
    /// What came of the addresses before and after it.
    others: Vec<OtherSession>,
}

impl Tried {
    pub(super) fn nothing() -> Self {
        Self {
            address: None,
            peer: None,
            proof: None,
            outcome: SessionOutcome::Unreachable("the host has no address".to_owned()),
            recipients: Vec::new(),
            others: Vec::new(),
        }
    }

    pub(super) fn at(address: IpAddr) -> Self {
        Self {
            address: Some(address),
            ..Self::nothing()
        }
    }

    /// Whether no other address is tried: the peer had its say, or the caller.
    pub(super) const fn is_final(&self) -> bool {
        matches!(
            self.outcome,
            SessionOutcome::CalledOff | SessionOutcome::Completed | SessionOutcome::Incapable(_)
        )
    }

    /// The one of two that says more, with the other one beside it; an attack at one address is not hidden by
    /// silence at the next, nor by a success.
    pub(super) fn or(mut self, next: Self) -> Self {
        if self.address.is_none() {
            return next;
        }
        let mut others = std::mem::take(&mut self.others);
        let (more, less) = if rank(&self.outcome) > rank(&next.outcome) {
            (self, next)
        } else {
            (next, self)
        };
        others.push(less.beside());
        Self { others, ..more }
    }

    /// The same beside another one. The leaf says who it was; the rest of the chain is not needed again.
    fn beside(self) -> OtherSession {
        let peer = self.peer.map(|mut peer| {
            peer.chain.truncate(1);
            peer
        });
        OtherSession {
            address: self.address,
            own_address: self.address.and_then(own_address),
            peer,
            outcome: self.outcome,
        }
    }

    pub(super) fn report(self, host: DnsName, ended: UnixTime, took: Duration) -> AttemptReport {
        AttemptReport {
            host,
            address: self.address,
            own_address: self.address.and_then(own_address),
            peer: self.peer,
            proof: self.proof,
            outcome: self.outcome,
            recipients: self.recipients,
            others: self.others,
            ended,
            took,
        }
    }
}

/// The address that this machine uses towards `peer`. The routing table is asked, without a packet:
/// many a session that failed left no socket that could be.
fn own_address(peer: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match peer {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((peer, 25)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The one of two outcomes that says more; of equals the later one.
pub(super) fn says_more(first: SessionOutcome, next: SessionOutcome) -> SessionOutcome {
    if rank(&first) > rank(&next) {
        first
    } else {
        next
    }
}

/// Anybody on the way can say "later" in clear, as easily as say nothing: neither hides what TLS said.
const fn rank(outcome: &SessionOutcome) -> u8 {
    match outcome {
        SessionOutcome::Unreachable(_) => 0,
        SessionOutcome::NoStartTls(Some(reply)) if reply.is_transient() => 1,
        SessionOutcome::TlsFailed(_) => 2,
        SessionOutcome::NoStartTls(_) => 3,
        SessionOutcome::NotAuthenticated(_) => 4,
        SessionOutcome::Injected => 5,
        SessionOutcome::CalledOff | SessionOutcome::Completed | SessionOutcome::Incapable(_) => 6,
    }
}
