//! Certificates: of the honest hosts, and of somebody who is none of them.

use std::sync::LazyLock;

use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData, date_time_ymd};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256, Sha512};

use securemail_core::route::{Hop, PeerAuthenticated, PeerFailure, Trust, authenticate};
use securemail_core::vocab::UnixTime;

/// A host that is nobody's but the attacker's.
pub(crate) const ATTACKER: &str = "mx.attacker.example";

/// All names that the honest certificate bears.
const HONEST: [&str; 6] = [
    "example.org",
    "mx1.example.org",
    "mx2.example.org",
    "mx.host.example",
    "real.example.org",
    "real.host.example",
];

/// A leaf and its key.
pub(crate) struct Leaf {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: Vec<u8>,
}

pub(crate) struct Pki {
    root: CertificateDer<'static>,
    /// Of the honest hosts, under the root.
    pub(crate) honest: Leaf,
    /// Of the attacker, under the root, for the attacker's own host.
    pub(crate) attacker: Leaf,
    /// Of the attacker, signed by itself, with the names of all honest hosts.
    pub(crate) impostor: Leaf,
}

pub(crate) static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let key = KeyPair::generate().unwrap();
    let mut authority = params(&[], "root");
    authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = authority.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::from_params(&authority, &key);
    let issue = |names: &[&str]| {
        let key = KeyPair::generate().unwrap();
        let certificate = params(names, "leaf").signed_by(&key, &issuer).unwrap();
        leaf(certificate.der(), &key)
    };
    let honest = issue(&HONEST);
    let attacker = issue(&[ATTACKER]);
    let own = KeyPair::generate().unwrap();
    let certificate = params(&HONEST, "impostor").self_signed(&own).unwrap();
    Pki {
        root,
        honest,
        attacker,
        impostor: leaf(certificate.der(), &own),
    }
});

fn leaf(certificate: &CertificateDer<'static>, key: &KeyPair) -> Leaf {
    Leaf {
        certificate: certificate.clone(),
        key: key.subject_public_key_info(),
    }
}

fn params(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params
}

impl Leaf {
    /// The association data of a TLSA record for it (RFC 6698, section 2.1).
    pub(crate) fn association(&self, selector: u8, matching: u8) -> Vec<u8> {
        let octets = if selector == 0 {
            self.certificate.to_vec()
        } else {
            self.key.clone()
        };
        match matching {
            0 => octets,
            1 => Sha256::digest(&octets).to_vec(),
            _ => Sha512::digest(&octets).to_vec(),
        }
    }

    /// Shows this leaf and the root above it to a hop.
    pub(crate) fn show(&self, hop: &Hop, now: UnixTime) -> Result<PeerAuthenticated, PeerFailure> {
        let chain = [self.certificate.clone(), PKI.root.clone()];
        authenticate(hop, &chain, now, &trust())
    }
}

pub(crate) fn trust() -> Trust {
    let root = webpki::anchor_from_trusted_cert(&PKI.root).unwrap();
    Trust {
        roots: vec![root.to_owned()],
        algorithms: webpki::ALL_VERIFICATION_ALGS,
    }
}
