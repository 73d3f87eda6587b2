//! What the owner of a domain can do so that mail reaches it directly.

use serde::{Deserialize, Serialize};

use super::host::BOGUS;
use super::outcome::DISPUTED;
use super::{Effect, Finding, Rule, Subject};
use crate::vocab::{DnsName, Language};

/// One thing that the owner of a domain, or of its mail server, can do.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Remedy {
    /// An address of the host that can be looked up.
    Address(DnsName),
    /// A certificate of the host that proves it, by a public authority or by DANE.
    Certificate(DnsName),
    /// A certificate of the host that fits its TLSA record for an issuer, or a record for its own key.
    CertificateUnderTlsa(DnsName),
    /// TLS of the host that is not too old.
    CurrentTls(DnsName),
    /// Name servers of the domain that answer.
    NameServers(DnsName),
    /// The host in the MTA-STS policy of the domain.
    NamedByPolicy {
        /// The host.
        host: DnsName,
        /// The domain.
        domain: DnsName,
    },
    /// An address of the host on the public Internet.
    PublicAddress(DnsName),
    /// REQUIRETLS at the host.
    RequireTls(DnsName),
    /// Signatures of this name that are right.
    Signatures(DnsName),
    /// A signed zone of the domain, as NTA 7516 demands.
    SignedForNta(DnsName),
    /// A signed zone of the domain, or an MTA-STS policy.
    SignedOrPolicy(DnsName),
    /// A signed zone of the domain, or an MTA-STS policy in mode enforce.
    SignedOrEnforced(DnsName),
    /// SMTPUTF8 at the host.
    SmtpUtf8(DnsName),
    /// STARTTLS at the host.
    StartTls(DnsName),
    /// Name servers of the host that answer questions for TLSA records.
    TlsaAnswers(DnsName),
    /// TLSA records that match the certificate of the host.
    TlsaMatch(DnsName),
    /// Name servers of the domain that answer questions for TXT records.
    TxtAnswers(DnsName),
    /// TLSA records of the host that can be used.
    UsableTlsa(DnsName),
}

impl Remedy {
    /// What would have changed this finding about a way to `domain`, or about a host of it that has TLSA
    /// records or has none.
    pub(super) fn of(finding: &Finding, domain: &DnsName, has_dane: bool) -> Option<Self> {
        let domain = || domain.clone();
        let name = match &finding.subject {
            Subject::Domain(name) | Subject::Host(name) => name.clone(),
            Subject::Message => return None,
        };
        Some(match finding.rule {
            Rule::X15 if finding.effect == Effect::Exclude => Self::SignedOrEnforced(domain()),
            Rule::R06 => Self::SmtpUtf8(name),
            Rule::R08 => Self::RequireTls(name),
            Rule::C04 | Rule::C05 => Self::StartTls(name),
            Rule::C08 | Rule::C09 => Self::CurrentTls(name),
            Rule::Ce01
            | Rule::Ce02
            | Rule::Ce03
            | Rule::Ce04
            | Rule::Ce07
            | Rule::Ce09
            | Rule::Ce13
            | Rule::Ce14 => match has_dane {
                true => Self::CertificateUnderTlsa(name),
                false => Self::Certificate(name),
            },
            Rule::X04 | Rule::Ce17 => Self::TlsaMatch(name),
            Rule::X03 | Rule::X09 => Self::NamedByPolicy {
                host: name,
                domain: domain(),
            },
            Rule::S02 | Rule::S04 | Rule::S05 | Rule::H01 => Self::SignedOrPolicy(domain()),
            Rule::Nta03 => Self::TxtAnswers(domain()),
            Rule::Nta04 => Self::SignedForNta(domain()),
            Rule::T02 | Rule::X07 => Self::UsableTlsa(name),
            Rule::Ad03 | Rule::T05 if [BOGUS, DISPUTED].contains(&&*finding.fact) => {
                Self::Signatures(name)
            }
            Rule::T05 | Rule::T07 => Self::TlsaAnswers(name),
            Rule::Mx03 | Rule::Mx04 | Rule::Mx27 => Self::Signatures(domain()),
            Rule::Mx05 | Rule::Mx06 => Self::NameServers(domain()),
            Rule::Mx18 => Self::PublicAddress(name),
            Rule::Ad03 | Rule::Ad04 => Self::Address(name),
            _ => return None,
        })
    }

    /// The same in words, without an end: `switch on STARTTLS at mx.example.org`.
    #[must_use]
    pub fn words(&self, language: Language) -> String {
        match language {
            Language::Dutch => self.dutch(),
            Language::English => self.english(),
        }
    }

    fn dutch(&self) -> String {
        match self {
            Self::Address(host) => format!("{} een adres geven dat te vinden is", host.shown()),
            Self::Certificate(host) => format!(
                "{} een geldig certificaat van een publieke uitgever op die naam geven, of de zone \
                 van die server ondertekenen (DNSSEC) en er een TLSA-record voor publiceren (DANE)",
                host.shown()
            ),
            Self::CertificateUnderTlsa(host) => format!(
                "{} een certificaat geven dat nu geldig is, die naam draagt en van de uitgever in \
                 het TLSA-record is, of een TLSA-record voor de eigen sleutel publiceren (3 1 1)",
                host.shown()
            ),
            Self::CurrentTls(host) => format!(
                "op {} TLS 1.2 of 1.3 met gangbare versleuteling aanbieden",
                host.shown()
            ),
            Self::NameServers(domain) => {
                format!("de naamservers van {} herstellen", domain.shown())
            }
            Self::NamedByPolicy { host, domain } => format!(
                "{} noemen in het MTA-STS-beleid van {}",
                host.shown(),
                domain.shown()
            ),
            Self::PublicAddress(host) => format!("{} een openbaar adres geven", host.shown()),
            Self::RequireTls(host) => format!("REQUIRETLS aanzetten op {}", host.shown()),
            Self::Signatures(name) => {
                format!("de handtekeningen (DNSSEC) van {} herstellen", name.shown())
            }
            Self::SignedForNta(domain) => format!(
                "de zone van {} ondertekenen (DNSSEC), zoals NTA 7516 eist",
                domain.shown()
            ),
            Self::SignedOrPolicy(domain) => format!(
                "de zone van {} ondertekenen (DNSSEC), of er een MTA-STS-beleid voor publiceren",
                domain.shown()
            ),
            Self::SignedOrEnforced(domain) => format!(
                "de zone van {} ondertekenen (DNSSEC), of een MTA-STS-beleid publiceren dat \
                 dwingend is (enforce)",
                domain.shown()
            ),
            Self::SmtpUtf8(host) => format!("SMTPUTF8 aanzetten op {}", host.shown()),
            Self::StartTls(host) => format!("STARTTLS aanzetten op {}", host.shown()),
            Self::TlsaAnswers(host) => format!(
                "de naamservers van {} herstellen: vragen naar TLSA-records mislukken",
                host.shown()
            ),
            Self::TlsaMatch(host) => format!(
                "de TLSA-records van {} laten kloppen met het certificaat van die server",
                host.shown()
            ),
            Self::TxtAnswers(domain) => format!(
                "de naamservers van {} herstellen: vragen naar TXT-records mislukken",
                domain.shown()
            ),
            Self::UsableTlsa(host) => format!(
                "de TLSA-records van {} vervangen door bruikbare, zoals 3 1 1",
                host.shown()
            ),
        }
    }

    fn english(&self) -> String {
        match self {
            Self::Address(host) => {
                format!("give {} an address that can be looked up", host.shown())
            }
            Self::Certificate(host) => format!(
                "give {} a valid certificate of a public authority with that name, or sign its \
                 zone (DNSSEC) and publish a TLSA record for it (DANE)",
                host.shown()
            ),
            Self::CertificateUnderTlsa(host) => format!(
                "give {} a certificate that is valid now, bears its name and is of the issuer in the \
                 TLSA record, or publish a TLSA record for its own key (3 1 1)",
                host.shown()
            ),
            Self::CurrentTls(host) => format!(
                "offer TLS 1.2 or 1.3 with current ciphers at {}",
                host.shown()
            ),
            Self::NameServers(domain) => format!("repair the name servers of {}", domain.shown()),
            Self::NamedByPolicy { host, domain } => format!(
                "name {} in the MTA-STS policy of {}",
                host.shown(),
                domain.shown()
            ),
            Self::PublicAddress(host) => format!("give {} a public address", host.shown()),
            Self::RequireTls(host) => format!("switch on REQUIRETLS at {}", host.shown()),
            Self::Signatures(name) => {
                format!("repair the signatures (DNSSEC) of {}", name.shown())
            }
            Self::SignedForNta(domain) => format!(
                "sign the zone of {} (DNSSEC), as NTA 7516 demands",
                domain.shown()
            ),
            Self::SignedOrPolicy(domain) => format!(
                "sign the zone of {} (DNSSEC), or publish an MTA-STS policy for it",
                domain.shown()
            ),
            Self::SignedOrEnforced(domain) => format!(
                "sign the zone of {} (DNSSEC), or publish an MTA-STS policy in mode enforce",
                domain.shown()
            ),
            Self::SmtpUtf8(host) => format!("switch on SMTPUTF8 at {}", host.shown()),
            Self::StartTls(host) => format!("switch on STARTTLS at {}", host.shown()),
            Self::TlsaAnswers(host) => format!(
                "repair the name servers of {}: questions for TLSA records fail",
                host.shown()
            ),
            Self::TlsaMatch(host) => format!(
                "make the TLSA records of {} match the certificate of that host",
                host.shown()
            ),
            Self::TxtAnswers(domain) => format!(
                "repair the name servers of {}: questions for TXT records fail",
                domain.shown()
            ),
            Self::UsableTlsa(host) => format!(
                "replace the TLSA records of {} by usable ones, such as 3 1 1",
                host.shown()
            ),
        }
    }
}
