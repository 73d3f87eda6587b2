//! Certificates of every kind that a mail server may show.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer as Signer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256, Sha512};

use crate::Trouble;
use crate::case::{Between, Chain, Issuer, Kind, Named, Of, Record, Validity};

/// A root with its intermediates.
struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    good: CertifiedIssuer<'static, KeyPair>,
    expired: CertifiedIssuer<'static, KeyPair>,
}

/// All authorities of a run.
pub(crate) struct Authorities {
    trusted: Authority,
    private: Authority,
    other: Vec<u8>,
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorities").finish_non_exhaustive()
    }
}

/// The names that a host goes by.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// In the MX record.
    pub(crate) host: String,
    /// At its addresses.
    pub(crate) last: String,
    /// Of the recipient domain.
    pub(crate) domain: String,
}

/// What one host shows, and what TLSA records may speak of.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The chain of the handshake, the leaf first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The leaf's key, PEM.
    pub(crate) key_pem: String,
    issuer: Vec<u8>,
    root: Vec<u8>,
    other: Vec<u8>,
}

impl Authorities {
    /// Makes them.
    ///
    /// # Errors
    /// Where no key can be made.
    pub(crate) fn new() -> Result<Self, Trouble> {
        let other = KeyPair::generate()?;
        let other = params("other.invalid")?.self_signed(&other)?;
        Ok(Self {
            trusted: Authority::new("Trusted")?,
            private: Authority::new("Private")?,
            other: other.der().to_vec(),
        })
    }

    /// The root that both sides trust.
    #[must_use]
    pub(crate) fn trusted_root(&self) -> CertificateDer<'static> {
        self.trusted.root.der().clone()
    }

    /// The same, PEM.
    #[must_use]
    pub(crate) fn trusted_pem(&self) -> String {
        self.trusted.root.pem()
    }

    /// A good certificate of the trusted root for a server that is no mail server: chain and key.
    ///
    /// # Errors
    /// Where the name cannot stand in a certificate.
    pub(crate) fn web(
        &self,
        name: &str,
    ) -> Result<(Vec<CertificateDer<'static>>, KeyPair), Trouble> {
        let key = KeyPair::generate()?;
        let mut leaf = params(name)?;
        leaf.subject_alt_names = vec![SanType::DnsName(name.try_into()?)];
        let leaf = leaf.signed_by(&key, &self.trusted.good)?;
        let chain = vec![leaf.der().clone(), self.trusted.good.der().clone()];
        Ok((chain, key))
    }

    /// What a host shows.
    ///
    /// # Errors
    /// Where no key can be made.
    pub(crate) fn show(&self, chain: &Chain, names: &Names) -> Result<Shown, Trouble> {
        let key = KeyPair::generate()?;
        let params = leaf(chain, names)?;
        let authority = match chain.issuer {
            Issuer::Trusted => &self.trusted,
            Issuer::Private => &self.private,
            Issuer::Itself => {
                let leaf = params.self_signed(&key)?;
                return Ok(Shown {
                    chain: vec![leaf.der().clone()],
                    key_pem: key.serialize_pem(),
                    issuer: leaf.der().to_vec(),
                    root: leaf.der().to_vec(),
                    other: self.other.clone(),
                });
            }
        };
        let signer = authority.signer(chain.between);
        let leaf = params.signed_by(&key, signer as &Signer<'_, KeyPair>)?;
        let mut shown = vec![leaf.der().clone()];
        if matches!(chain.between, Between::Shown | Between::Expired) {
            shown.push(signer.der().clone());
        }
        if chain.root_shown {
            shown.push(authority.root.der().clone());
        }
        Ok(Shown {
            chain: shown,
            key_pem: key.serialize_pem(),
            issuer: signer.der().to_vec(),
            root: authority.root.der().to_vec(),
            other: self.other.clone(),
        })
    }
}

impl Authority {
    fn new(name: &str) -> Result<Self, Trouble> {
        let root = CertifiedIssuer::self_signed(
            authority(&format!("{name} root"))?,
            KeyPair::generate()?,
        )?;
        let intermediate = |kind: &str, years: (i32, i32)| -> Result<_, Trouble> {
            let mut params = authority(&format!("{name} intermediate {kind}"))?;
            (params.not_before, params.not_after) =
                (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
            params.use_authority_key_identifier_extension = true;
            Ok(CertifiedIssuer::signed_by(
                params,
                KeyPair::generate()?,
                &root,
            )?)
        };
        let good = intermediate("good", (2020, 2090))?;
        let expired = intermediate("expired", (2019, 2020))?;
        Ok(Self {
            root,
            good,
            expired,
        })
    }

    const fn signer(&self, between: Between) -> &CertifiedIssuer<'static, KeyPair> {
        match between {
            Between::Shown | Between::Hidden => &self.good,
            Between::Expired => &self.expired,
            Between::Nothing => &self.root,
        }
    }
}

impl Shown {
    /// The chain of the handshake, PEM.
    #[must_use]
    pub(crate) fn chain_pem(&self) -> String {
        self.chain.iter().map(pem).collect()
    }

    /// The association data of a record.
    #[must_use]
    pub(crate) fn association(&self, record: &Record) -> Vec<u8> {
        let certificate = match record.of {
            Of::Leaf => self.chain.first().map_or(&[][..], |leaf| leaf.as_ref()),
            Of::Issuer => &self.issuer,
            Of::Root => &self.root,
            Of::Other => &self.other,
        };
        let content = match record.selector {
            1 => securemail_core::route::public_key(certificate).unwrap_or_default(),
            _ => certificate.to_vec(),
        };
        let mut data = match record.matching {
            0 => content,
            2 => Sha512::digest(&content).to_vec(),
            _ => Sha256::digest(&content).to_vec(),
        };
        if let Some(length) = record.cut {
            data.truncate(length);
        }
        data
    }
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

fn params(common_name: &str) -> Result<CertificateParams, Trouble> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    Ok(params)
}

fn authority(name: &str) -> Result<CertificateParams, Trouble> {
    let mut params = params(name)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn leaf(chain: &Chain, names: &Names) -> Result<CertificateParams, Trouble> {
    let (_, parent) = names.host.split_once('.').unwrap_or_default();
    let (_, grandparent) = parent.split_once('.').unwrap_or_default();
    let name = match chain.named {
        Named::Host | Named::CommonName => names.host.clone(),
        Named::Final => names.last.clone(),
        Named::Domain => names.domain.clone(),
        Named::Other => "wrong.invalid".to_owned(),
        Named::Wildcard => format!("*.{parent}"),
        Named::DeepWildcard => format!("*.{grandparent}"),
    };
    let mut params = params(&name)?;
    if chain.named != Named::CommonName {
        params.subject_alt_names = vec![SanType::DnsName(name.as_str().try_into()?)];
    }
    params.is_ca = match chain.kind {
        Kind::Authority => IsCa::Ca(BasicConstraints::Unconstrained),
        Kind::Client | Kind::Server => IsCa::ExplicitNoCa,
    };
    params.key_usages = match chain.kind {
        Kind::Authority => vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ],
        Kind::Client | Kind::Server => vec![KeyUsagePurpose::DigitalSignature],
    };
    params.extended_key_usages = match chain.kind {
        Kind::Authority => Vec::new(),
        Kind::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Kind::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
    };
    params.use_authority_key_identifier_extension = true;
    let years = match chain.validity {
        Validity::Now => (2020, 2090),
        Validity::Past => (2019, 2020),
        Validity::Future => (2090, 2091),
    };
    (params.not_before, params.not_after) =
        (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
    Ok(params)
}
