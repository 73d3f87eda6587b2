//! The one place that decides whether a TLS peer is the hop: DANE (RFC 7671, 7672) or PKIX.

use std::fmt;
use std::time::Duration;

use rustls_pki_types::{
    CertificateDer, Der, ServerName, SignatureVerificationAlgorithm, TrustAnchor,
    UnixTime as PkiTime,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::x509;
use super::{Authentication, Authority, Hop, PeerFailure, Strength};
use crate::limits::CHAIN_CERTIFICATES_MAX;
use crate::vocab::{DnsName, Tlsa, UnixTime};

/// What is trusted without further proof.
pub struct Trust {
    /// Roots for PKIX.
    pub roots: Vec<TrustAnchor<'static>>,
    /// Signature algorithms of the caller's crypto provider. Those that the provider of the example
    /// servers offers know neither SHA-1 nor RSA keys below 2048 bits.
    pub algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("roots", &self.roots.len())
            .field("algorithms", &self.algorithms.len())
            .finish()
    }
}

/// The proof that the peer of one TLS session is its hop. Only [`authenticate`] makes one.
#[derive(Debug)]
#[must_use]
pub struct PeerAuthenticated {
    hop: Hop,
    proof: PeerProof,
}

/// What was proved, to be kept as evidence. It opens nothing: the witness is [`PeerAuthenticated`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PeerProof {
    /// The MX host.
    pub host: DnsName,
    /// SHA-256 of the leaf certificate.
    pub leaf_sha256: [u8; 32],
    /// H: how the peer proved that it is the host.
    pub strength: Strength,
    /// S, finally: the certificate may have raised it to S1 by naming the domain.
    pub authority: Authority,
    /// What the certificate matched.
    pub matched: Matched,
}

/// What a certificate matched.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Matched {
    /// A trusted root.
    Root {
        /// Its subject.
        subject: String,
    },
    /// A TLSA record of the hop.
    Tlsa {
        /// Its place in the hop's records.
        record: usize,
        /// Where in the chain: 0 is the leaf.
        depth: usize,
    },
}

impl PeerAuthenticated {
    /// Whether this proves just this hop, by a session whose leaf certificate (DER) was this.
    #[must_use]
    pub fn is_for(&self, hop: &Hop, leaf: &[u8]) -> bool {
        self.hop == *hop && self.proof.leaf_sha256 == sha256(leaf)
    }

    /// The hop that is proved.
    #[must_use]
    pub const fn hop(&self) -> &Hop {
        &self.hop
    }

    /// The MX host.
    #[must_use]
    pub const fn host(&self) -> &DnsName {
        &self.proof.host
    }

    /// What was proved.
    #[must_use]
    pub const fn proof(&self) -> &PeerProof {
        &self.proof
    }
}

/// Decides whether the peer that showed `chain` (the leaf first) is `hop`.
///
/// That the peer holds the leaf's key is the TLS handshake's business, and must be checked there.
///
/// # Errors
/// The reason why not. There is no weaker kind of success.
pub fn authenticate(
    hop: &Hop,
    chain: &[CertificateDer<'_>],
    now: UnixTime,
    trust: &Trust,
) -> Result<PeerAuthenticated, PeerFailure> {
    let peer = Peer::new(chain, now, trust)?;
    let (strength, matched) = match &hop.authenticate {
        // RFC 8461, section 2: a certificate of a trusted root never stands in for a TLSA match.
        Authentication::Dane { records, names } => (Strength::Dane, peer.dane(records, names)?),
        Authentication::Pkix { name } => (Strength::Pkix, peer.pkix(name)?),
    };
    let mut authority = hop.authority;
    // A trust anchor that the host names in its own zone says nothing about another domain, so even
    // under DANE only a certificate of a trusted root can name the domain.
    if authority < Authority::Named && peer.pkix(&hop.domain).is_ok() {
        authority = Authority::Named;
    }
    if hop.must_name_domain && authority < Authority::Named {
        return Err(PeerFailure::NotNamed);
    }
    let proof = PeerProof {
        host: hop.host.clone(),
        leaf_sha256: sha256(peer.leaf),
        strength,
        authority,
        matched,
    };
    Ok(PeerAuthenticated {
        hop: hop.clone(),
        proof,
    })
}

/// What a peer showed, and by what it is judged.
struct Peer<'a> {
    leaf: &'a CertificateDer<'a>,
    above: &'a [CertificateDer<'a>],
    now: UnixTime,
    trust: &'a Trust,
}

impl<'a> Peer<'a> {
    fn new(
        chain: &'a [CertificateDer<'a>],
        now: UnixTime,
        trust: &'a Trust,
    ) -> Result<Self, PeerFailure> {
        let chain = chain.get(..CHAIN_CERTIFICATES_MAX).unwrap_or(chain);
        let (leaf, above) = chain.split_first().ok_or(PeerFailure::NoCertificate)?;
        Ok(Self {
            leaf,
            above,
            now,
            trust,
        })
    }

    /// Any one record is enough (RFC 7671, section 8; usages 2 and 3 may be mixed).
    fn dane(&self, records: &[Tlsa], names: &[DnsName]) -> Result<Matched, PeerFailure> {
        // RFC 7671, section 5.1: usage 3 ignores names, validity and issuer; the DNS vouches for the key.
        let leaf = records
            .iter()
            .position(|record| record.usage == 3 && x509::matches(record, self.leaf));
        if let Some(record) = leaf {
            return Ok(Matched::Tlsa { record, depth: 0 });
        }
        let mut failure = PeerFailure::NoTlsaMatch;
        for (index, record) in records
            .iter()
            .enumerate()
            .filter(|(_, record)| record.usage == 2)
        {
            match self.dane_ta(record, names) {
                Ok(depth) => {
                    return Ok(Matched::Tlsa {
                        record: index,
                        depth,
                    });
                }
                // A record that matched and failed later tells more than one that matched nothing.
                Err(PeerFailure::NoTlsaMatch) => {}
                Err(found) => failure = found,
            }
        }
        Err(failure)
    }

    /// Usage 2: the association is an issuer, at depth 1 or above (RFC 7671, section 5.2). The depth.
    fn dane_ta(&self, record: &Tlsa, names: &[DnsName]) -> Result<usize, PeerFailure> {
        // A leaf that is its own trust anchor is no chain: it would be usage 3 in disguise.
        if x509::matches(record, self.leaf) {
            return Err(PeerFailure::NoTlsaMatch);
        }
        let mut failure = PeerFailure::NoTlsaMatch;
        for certificate in self.anchor_certificates(record) {
            match self.under_certificate(&certificate, names) {
                Ok(depth) => return Ok(depth),
                Err(found) => failure = found,
            }
        }
        // A key that the handshake shows in a certificate is bound by what that certificate says, so
        // the bare key counts only where there is none (RFC 7671, section 5.2.3).
        if failure == PeerFailure::NoTlsaMatch && (record.selector, record.matching) == (1, 0) {
            return self.under_key(&record.data, names);
        }
        Err(failure)
    }

    /// The certificates that are the trust anchor of a record: shown in the handshake, or for `2 0 0`
    /// in the record itself (RFC 7671, section 5.2.2).
    fn anchor_certificates(&self, record: &Tlsa) -> Vec<CertificateDer<'_>> {
        let shown = self
            .above
            .iter()
            .filter(|shown| x509::matches(record, shown));
        let mut found: Vec<_> = shown
            .map(|shown| CertificateDer::from(shown.as_ref()))
            .collect();
        if found.is_empty() && (record.selector, record.matching) == (0, 0) {
            found.push(CertificateDer::from(record.data.clone()));
        }
        found
    }

    fn under_certificate(
        &self,
        anchor: &CertificateDer<'_>,
        names: &[DnsName],
    ) -> Result<usize, PeerFailure> {
        let path_length = x509::check_anchor(anchor, self.now)?;
        let anchor = webpki::anchor_from_trusted_cert(anchor);
        let anchors = [anchor.map_err(|error| self.failure(error))?];
        self.leaf_for_server(names)?
            .verify(&anchors, path_length)
            .map(|found| found.depth)
    }

    fn under_key(&self, key: &[u8], names: &[DnsName]) -> Result<usize, PeerFailure> {
        let Some(key) = key_content(key) else {
            return Err(PeerFailure::NoTlsaMatch);
        };
        let mut issuers: Vec<Vec<u8>> = std::iter::once(self.leaf)
            .chain(self.above)
            .filter_map(|certificate| x509::issuer(certificate))
            .collect();
        issuers.sort();
        issuers.dedup();
        let anchors: Vec<TrustAnchor<'_>> = issuers
            .into_iter()
            .map(|subject| TrustAnchor {
                subject: Der::from(subject),
                subject_public_key_info: Der::from_slice(key),
                name_constraints: None,
            })
            .collect();
        match self.leaf_for_server(names)?.verify(&anchors, None) {
            Ok(found) => Ok(found.depth),
            Err(PeerFailure::Untrusted) => Err(PeerFailure::NoTlsaMatch),
            Err(other) => Err(other),
        }
    }

    fn pkix(&self, name: &DnsName) -> Result<Matched, PeerFailure> {
        let leaf = self.leaf_for_server(std::slice::from_ref(name))?;
        let found = leaf.verify(&self.trust.roots, None)?;
        Ok(Matched::Root {
            subject: x509::name_in_words(&found.subject),
        })
    }

    fn leaf_for_server<'n>(&'n self, names: &'n [DnsName]) -> Result<Leaf<'n>, PeerFailure> {
        if x509::has_weak_key(self.leaf) {
            return Err(PeerFailure::Certificate("its key is too weak".to_owned()));
        }
        let certificate = EndEntityCert::try_from(self.leaf);
        Ok(Leaf {
            certificate: certificate.map_err(|error| self.failure(error))?,
            peer: self,
            names,
        })
    }

    /// What an error of webpki means. It does not say which certificate is out of its validity: where the
    /// leaf is not, it is one above.
    fn failure(&self, error: webpki::Error) -> PeerFailure {
        use webpki::Error as E;
        match error {
            E::CertExpired { .. } | E::CertNotValidYet { .. } => {
                if x509::is_valid_at(self.leaf, self.now) {
                    PeerFailure::IssuerExpired
                } else {
                    PeerFailure::Expired
                }
            }
            E::CertNotValidForName(_) => PeerFailure::Name,
            E::UnknownIssuer | E::InvalidSignatureForPublicKey => PeerFailure::Untrusted,
            // RFC 5280, sections 4.2.1.9, 4.2.1.10 and 4.2.1.12.
            misused @ (E::CaUsedAsEndEntity
            | E::EmptyEkuExtension
            | E::EndEntityUsedAsCa
            | E::NameConstraintViolation
            | E::PathLenConstraintViolated
            | E::RequiredEkuNotFoundContext(_)) => PeerFailure::Misused(misused.to_string()),
            other => PeerFailure::Certificate(other.to_string()),
        }
    }
}

/// A leaf that must lead to an anchor and bear one of these names.
struct Leaf<'a> {
    certificate: EndEntityCert<'a>,
    peer: &'a Peer<'a>,
    names: &'a [DnsName],
}

/// Where a path ended.
struct Found {
    /// The anchor's place above the leaf.
    depth: usize,
    /// The anchor's subject.
    subject: Vec<u8>,
}

impl Leaf<'_> {
    fn verify(
        &self,
        anchors: &[TrustAnchor<'_>],
        path_length: Option<usize>,
    ) -> Result<Found, PeerFailure> {
        let now = PkiTime::since_unix_epoch(Duration::from_secs(self.peer.now.as_secs()));
        // webpki keeps no path length of an anchor, so it is checked on each path that it finds.
        let fits = |path: &VerifiedPath<'_>| match path_length {
            Some(most) if path.intermediate_certificates().count() > most => {
                Err(webpki::Error::PathLenConstraintViolated)
            }
            Some(_) | None => Ok(()),
        };
        let path = self
            .certificate
            .verify_for_usage(
                self.peer.trust.algorithms,
                anchors,
                self.peer.above,
                now,
                KeyUsage::server_auth(),
                None,
                Some(&fits),
            )
            .map_err(|error| self.peer.failure(error))?;
        if !self.names.iter().any(|name| self.bears(name)) {
            return Err(PeerFailure::Name);
        }
        Ok(Found {
            depth: path.intermediate_certificates().count().saturating_add(1),
            subject: path.anchor().subject.to_vec(),
        })
    }

    /// DNS-ID only: the common name never counts (RFC 9525, section 6.3; RFC 8461, section 4.2), and a
    /// wildcard is one whole left-most label.
    fn bears(&self, name: &DnsName) -> bool {
        rustls_pki_types::DnsName::try_from(name.as_str()).is_ok_and(|name| {
            let name = ServerName::DnsName(name);
            self.certificate
                .verify_is_valid_for_subject_name(&name)
                .is_ok()
        })
    }
}

/// The content of a `SubjectPublicKeyInfo`, as webpki writes it in an anchor.
fn key_content(spki: &[u8]) -> Option<&[u8]> {
    x509::is_public_key(spki)
        .then(|| x509::sequence_content(spki))
        .flatten()
}

fn sha256(octets: &[u8]) -> [u8; 32] {
    Sha256::digest(octets).into()
}
