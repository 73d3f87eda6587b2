//! From the rules of the decision engine to the result types of RFC 8460, section 4.3.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::route::{PeerFailure, Rule};

/// The kind of a policy (RFC 8460, section 4.4).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyType {
    /// The domain publishes nothing about TLS.
    NoPolicyFound,
    /// MTA-STS.
    Sts,
    /// DANE.
    Tlsa,
}

/// Why a session failed (RFC 8460, section 4.3).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultType {
    /// The certificate is out of its validity.
    CertificateExpired,
    /// The certificate bears another name.
    CertificateHostMismatch,
    /// The certificate leads to no trusted root.
    CertificateNotTrusted,
    /// We demand DANE, and the host has none.
    DaneRequired,
    /// The DNS ought to be signed, and is not.
    DnssecInvalid,
    /// STARTTLS is not offered, or refused.
    StarttlsNotSupported,
    /// A policy of MTA-STS is announced and could not be had.
    StsPolicyFetchError,
    /// A policy of MTA-STS, or what announces it, cannot be read.
    StsPolicyInvalid,
    /// The certificate of the policy host is not valid.
    StsWebpkiInvalid,
    /// TLSA records are published, and none can be used.
    TlsaInvalid,
    /// Anything else that failed.
    ValidationFailure,
}

impl ResultType {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::CertificateExpired,
        Self::CertificateHostMismatch,
        Self::CertificateNotTrusted,
        Self::DaneRequired,
        Self::DnssecInvalid,
        Self::StarttlsNotSupported,
        Self::StsPolicyFetchError,
        Self::StsPolicyInvalid,
        Self::StsWebpkiInvalid,
        Self::TlsaInvalid,
        Self::ValidationFailure,
    ];

    /// As it stands in a report.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::DaneRequired => "dane-required",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::StarttlsNotSupported => "starttls-not-supported",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::ValidationFailure => "validation-failure",
        }
    }

    /// What it means, for whoever runs the domain.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::CertificateExpired => "the certificate of the mail server had expired",
            Self::CertificateHostMismatch => "the certificate bore another name",
            Self::CertificateNotTrusted => "the certificate was not trusted",
            Self::DaneRequired => "the sender demands DANE, and there was none",
            Self::DnssecInvalid => "the DNSSEC signatures were wrong",
            Self::StarttlsNotSupported => "the mail server offered no STARTTLS",
            Self::StsPolicyFetchError => "the MTA-STS policy could not be fetched",
            Self::StsPolicyInvalid => "the MTA-STS policy could not be read",
            Self::StsWebpkiInvalid => "the certificate of the policy host was not valid",
            Self::TlsaInvalid => "no TLSA record could be used",
            Self::ValidationFailure => "the mail server could not be authenticated",
        }
    }
}

impl fmt::Display for ResultType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The result type of a rule; `None` where the rule is no failure of TLS, or one of our own (RFC 8460,
/// section 4.3.4: networks that are busy or silent need not be reported).
#[must_use]
pub const fn result_of(rule: Rule) -> Option<ResultType> {
    Some(match rule {
        Rule::C03 | Rule::C04 | Rule::C05 | Rule::C06 => ResultType::StarttlsNotSupported,
        Rule::Ce03 | Rule::Ce10 | Rule::Ce11 | Rule::Ce12 => ResultType::CertificateHostMismatch,
        Rule::Ce01 | Rule::Ce07 => ResultType::CertificateExpired,
        Rule::Ce02 | Rule::Ce04 | Rule::Ce05 | Rule::Ce06 | Rule::Ce09 | Rule::Ce13 => {
            ResultType::CertificateNotTrusted
        }
        // No type is made for these; section 4.3.3 names this one for what fits nowhere.
        Rule::C07
        | Rule::C08
        | Rule::C09
        | Rule::Ce14
        | Rule::Ce16
        | Rule::Ce17
        | Rule::X03
        | Rule::X04
        | Rule::X09
        | Rule::X12 => ResultType::ValidationFailure,
        Rule::T02 | Rule::X07 => ResultType::TlsaInvalid,
        Rule::Ad03 | Rule::Mx03 | Rule::Mx04 | Rule::T05 | Rule::T06 | Rule::T07 => {
            ResultType::DnssecInvalid
        }
        Rule::S05 => ResultType::DaneRequired,
        Rule::P11 | Rule::P13 | Rule::P14 | Rule::P16 | Rule::P18 => {
            ResultType::StsPolicyFetchError
        }
        Rule::P12 => ResultType::StsWebpkiInvalid,
        Rule::P05 | Rule::P15 | Rule::P19 | Rule::P25 => ResultType::StsPolicyInvalid,
        _ => return None,
    })
}

/// The failure reason code of a rule: a word of ours, stable, that says more than the result type.
#[must_use]
pub const fn reason_code(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::C03 => "no-esmtp",
        Rule::C04 => "not-advertised",
        Rule::C05 | Rule::C06 => "starttls-refused",
        Rule::C07 => "starttls-injection",
        Rule::C08 | Rule::C09 => "tls-handshake",
        Rule::Ce09 => "certificate-unusable",
        Rule::Ce14 => "no-certificate",
        Rule::Ce17 | Rule::X04 => "dane-no-match",
        Rule::T02 | Rule::X07 => "all-unusable",
        Rule::Mx03 | Rule::Mx04 => "mx-bogus",
        Rule::Ad03 => "address-bogus",
        Rule::T05 | Rule::T06 | Rule::T07 => "tlsa-bogus",
        Rule::X03 | Rule::X09 | Rule::X12 => "mx-mismatch",
        Rule::P05 => "txt-invalid",
        Rule::P11 => "unreachable",
        Rule::P13 => "redirect",
        Rule::P14 => "http-status",
        Rule::P15 => "media-type",
        Rule::P16 => "too-large",
        Rule::P18 => "no-public-address",
        Rule::P19 | Rule::P25 => "malformed",
        _ => return None,
    })
}

/// The rule that a peer broke which is not proved; `None` where only a demand of ours was not met, which
/// the domain is not blamed for.
#[must_use]
pub const fn of_peer(failure: &PeerFailure) -> Option<Rule> {
    Some(match failure {
        PeerFailure::Certificate(_) => Rule::Ce09,
        PeerFailure::Expired => Rule::Ce01,
        PeerFailure::IssuerExpired => Rule::Ce07,
        PeerFailure::Misused(_) => Rule::Ce13,
        PeerFailure::Name => Rule::Ce03,
        PeerFailure::NoCertificate => Rule::Ce14,
        PeerFailure::NoTlsaMatch => Rule::X04,
        PeerFailure::NotNamed => return None,
        PeerFailure::Untrusted => Rule::Ce04,
    })
}
