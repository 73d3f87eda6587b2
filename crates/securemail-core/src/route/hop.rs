//! One host to which a message may be handed, and what its peer must prove.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::vocab::{DnsName, Tlsa};

/// A host, its addresses, and what a session with it must prove before MAIL.
///
/// Hops are made by a [`TransportPolicy`](crate::backend::TransportPolicy), and for a host that the
/// operator named by [`NamedHost`](super::NamedHost); there is no hop without authentication.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hop {
    /// The recipient domain that the host was found for.
    pub domain: DnsName,
    /// The host as the MX record names it (or the domain itself, without MX records).
    pub host: DnsName,
    /// Where to connect, in this order.
    pub addresses: Vec<IpAddr>,
    /// The TCP port: 25, unless the operator's route says otherwise.
    pub port: u16,
    /// The name sent in SNI (RFC 7672, section 8.1; RFC 8461, section 7.1).
    pub sni: DnsName,
    /// How the peer proves that it is the host.
    pub authenticate: Authentication,
    /// How sure it is that the host may receive for the domain.
    pub authority: Authority,
    /// With `authority` S0, S0+ the certificate may raise it to S1 by naming the domain itself; where
    /// this is set, it must, or the peer is refused.
    pub must_name_domain: bool,
}

/// How the peer proves that it is the host.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Authentication {
    /// By a TLSA record (H3). The records are usable and filtered by digest agility.
    Dane {
        /// Any one that matches is enough.
        records: Vec<Tlsa>,
        /// The names that a certificate under a trust anchor of usage 2 may bear
        /// (RFC 7672, section 3.2.2). Usage 3 checks no names.
        names: Vec<DnsName>,
    },
    /// By a certificate of a trusted root with this name (H2).
    Pkix {
        /// The reference identifier.
        name: DnsName,
    },
}

/// S: how sure it is that the host may receive for the domain. Later is surer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Authority {
    /// S0: unsigned DNS only.
    Unsigned,
    /// S0+: unsigned, but a second vantage sees the same and no history contradicts.
    Corroborated,
    /// S1: the certificate names the domain, or the host lies inside it.
    Named,
    /// S2: an MTA-STS policy names the host.
    MtaSts,
    /// S3: the MX answer is DNSSEC-secure.
    Dnssec,
    /// The operator of the relay named the host in its settings; no DNS was asked who may receive.
    Operator,
}

/// H: how the peer proved that it is the host. There is no value for less.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Strength {
    /// H2: trusted root, in validity, named.
    Pkix,
    /// H3: a secure TLSA record matched.
    Dane,
}

/// Why a peer is not proved to be its hop.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum PeerFailure {
    /// The certificate is of another kind than the rules allow: form, extension, weak key.
    #[error("the certificate is not usable: {0}")]
    Certificate(String),
    /// Out of its validity.
    #[error("the certificate has expired or is not valid yet")]
    Expired,
    /// A certificate above it is out of its validity.
    #[error("a certificate above the host's has expired or is not valid yet")]
    IssuerExpired,
    /// It is not for servers, or what stands above it may not vouch for it.
    #[error("the certificate is not for this use: {0}")]
    Misused(String),
    /// It bears another name.
    #[error("the certificate bears another name")]
    Name,
    /// No certificate was shown.
    #[error("no certificate was shown")]
    NoCertificate,
    /// It matches no TLSA record.
    #[error("the certificate matches no TLSA record")]
    NoTlsaMatch,
    /// The certificate does not name the domain, which was the only authority left.
    #[error("the certificate does not name the recipient's domain")]
    NotNamed,
    /// It leads to no trusted root.
    #[error("the certificate leads to no trusted root")]
    Untrusted,
}
