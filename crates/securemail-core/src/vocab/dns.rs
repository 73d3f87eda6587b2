//! DNS questions and answers, each with how far it is proved.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{DnsName, UnixTime};

/// One question. The resolver follows no alias and adds no search domain.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Question {
    /// The owner name asked for.
    pub name: DnsName,
    /// The type asked for.
    pub kind: RecordKind,
}

impl Question {
    /// Asks for records of `kind` at `name`.
    #[must_use]
    pub const fn new(name: DnsName, kind: RecordKind) -> Self {
        Self { name, kind }
    }
}

/// The record types that decisions need, and those by which a server is examined (`Caa`, `Ns`).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum RecordKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Who may issue certificates (RFC 8659).
    Caa,
    /// The alias itself.
    Cname,
    /// Mail exchangers.
    Mx,
    /// Name servers of a zone.
    Ns,
    /// TLSA records (RFC 6698).
    Tlsa,
    /// Texts.
    Txt,
}

/// What came back for one question, and how far it is proved.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Answer {
    /// What came back.
    pub outcome: Outcome,
    /// How far it is proved. For a denial this is the state of the denial itself.
    pub security: Security,
    /// Until when it may be used: TTLs, and for signed data the end of the signatures.
    pub expires: UnixTime,
    /// Extended DNS errors (RFC 8914) that came with it.
    pub extended_errors: Vec<u16>,
    /// How many independent validators said so: 1 or 2.
    pub validators: u8,
    /// When it was asked for. `None`: just now, as far as anybody knows; a resolver that keeps answers says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<UnixTime>,
}

impl Answer {
    /// An answer of one validator, without extended errors or the time at which it was asked for.
    #[must_use]
    pub const fn new(outcome: Outcome, security: Security, expires: UnixTime) -> Self {
        Self {
            outcome,
            security,
            expires,
            extended_errors: Vec::new(),
            validators: 1,
            asked: None,
        }
    }

    /// A failure. It is never absence (RFC 7672, section 2.1.1).
    #[must_use]
    pub const fn failed(failure: LookupFailure, expires: UnixTime) -> Self {
        Self::new(Outcome::Failed(failure), Security::Indeterminate, expires)
    }
}

/// What came back for a question.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Outcome {
    /// IPv4 or IPv6 addresses.
    Addresses(Vec<IpAddr>),
    /// The name is an alias (CNAME, or DNAME made into one) of this one; ask there.
    Alias(DnsName),
    /// Who may issue certificates.
    Caa(Vec<Caa>),
    /// No answer that may be used.
    Failed(LookupFailure),
    /// Mail exchangers, in the order received.
    Mx(Vec<Mx>),
    /// Name servers of a zone.
    NameServers(Vec<DnsName>),
    /// The name exists and has no such records.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// TLSA records.
    Tlsa(Vec<Tlsa>),
    /// Texts; the strings of one record are joined (RFC 8461, section 3.1).
    Txt(Vec<String>),
}

/// DNSSEC state of an answer (RFC 4035, section 4.3).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Security {
    /// Ought to be signed and did not validate; it may be an attack.
    Bogus,
    /// Could not be determined.
    Indeterminate,
    /// Proved to be unsigned.
    Insecure,
    /// Signed and validated.
    Secure,
}

/// Why there is no usable answer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum LookupFailure {
    /// Signatures do not validate.
    Bogus,
    /// Two validators, or a denial and its proof, do not agree.
    Disagreement,
    /// The server says that the question is malformed.
    FormErr,
    /// The answer could not be read, or came without the proof that it needs.
    Malformed,
    /// The server does not know the kind of question.
    NotImp,
    /// The server refuses.
    Refused,
    /// The server could not find out.
    ServFail,
    /// No answer in time.
    Timeout,
    /// The resolver itself cannot be reached or does not validate: our own fault.
    Unusable,
}

/// One property of a CAA record set (RFC 8659, section 4.1).
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Caa {
    /// An issuer that does not know the tag must not issue.
    pub is_critical: bool,
    /// The name of the property, in lower case.
    pub tag: String,
    /// What it says.
    pub value: String,
}

/// One MX record.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Mx {
    /// Lower is tried first.
    pub preference: u16,
    /// Where it points.
    pub target: MxTarget,
}

impl Mx {
    /// Whether it says that the domain takes no mail (RFC 7505).
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self.target, MxTarget::Null)
    }
}

/// Where an MX record points.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum MxTarget {
    /// At a host.
    Host(DnsName),
    /// At something that is not a host name, such as an address written as a name.
    Invalid(String),
    /// At the root: a null MX (RFC 7505).
    Null,
}

/// One TLSA record (RFC 6698). The data may have any length; nothing is checked yet.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Tlsa {
    /// Certificate usage; SMTP uses 2 (DANE-TA) and 3 (DANE-EE) only (RFC 7672, section 3.1).
    pub usage: u8,
    /// 0: the certificate, 1: its public key.
    pub selector: u8,
    /// 0: exact, 1: SHA-256, 2: SHA-512.
    pub matching: u8,
    /// The association data.
    pub data: Vec<u8>,
}
