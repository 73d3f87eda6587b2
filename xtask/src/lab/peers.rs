//! The mail servers of the recipients, and their certificates.

use super::files::Folder;
use super::{model, reports};
use crate::failure::Failure;

/// One mail server: an address of its own, port 25, and a certificate with its names.
#[derive(Debug)]
pub(super) struct Peer {
    /// What it is for; its log lines bear it.
    pub(super) name: &'static str,
    /// Where it listens.
    pub(super) address: &'static str,
    /// What it shows.
    pub(super) shows: Shows,
    /// The names in its certificate, its own first.
    pub(super) names: &'static [&'static str],
}

/// What a peer answers to STARTTLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shows {
    /// A certificate of the lab's CA.
    Certificate,
    /// One that expired long ago.
    Expired,
    /// Nothing: it has no STARTTLS.
    NoStartTls,
}

pub(super) const PEERS: [Peer; 5] = [
    Peer {
        name: "dane",
        address: "127.0.0.11",
        shows: Shows::Certificate,
        names: &["mx.dane.test", "mx.bogus.test", "mx.sender.test"],
    },
    Peer {
        name: "pkix",
        address: "127.0.0.12",
        shows: Shows::Certificate,
        names: &[
            "mx.pkix.test",
            "mx.insecure.test",
            "mx.sts.test",
            "mx.stsbad.test",
            "mx.stscert.test",
            "mx.stsdown.test",
        ],
    },
    Peer {
        name: "expired",
        address: "127.0.0.13",
        shows: Shows::Expired,
        names: &["mx.expired.test"],
    },
    Peer {
        name: "badtlsa",
        address: "127.0.0.14",
        shows: Shows::Certificate,
        names: &["mx.badtlsa.test"],
    },
    Peer {
        name: "notls",
        address: "127.0.0.15",
        shows: Shows::NoStartTls,
        names: &["mx.notls.test"],
    },
];

/// A mail server that is no Postfix, for the domain `NAME.test`.
#[derive(Debug)]
pub(super) struct Other {
    /// Its maker's name.
    pub(super) name: &'static str,
    /// Where it listens, on port 25.
    pub(super) address: &'static str,
    /// Its own name, and the one in its certificate.
    pub(super) host: &'static str,
}

pub(super) const OTHERS: [Other; 4] = [
    Other {
        name: "exim",
        address: "127.0.0.16",
        host: "mx.exim.test",
    },
    Other {
        name: "aiosmtpd",
        address: "127.0.0.17",
        host: "mx.aiosmtpd.test",
    },
    Other {
        name: "opensmtpd",
        address: "127.0.0.18",
        host: "mx.opensmtpd.test",
    },
    Other {
        name: "nodemailer",
        address: "127.0.0.19",
        host: "mx.nodemailer.test",
    },
];

/// Makes the CA, a certificate for every peer, and one for each other server of the lab.
pub(super) fn create(folder: &Folder) -> Result<&'static [Peer], Failure> {
    let certificates = folder.below("certificates")?;
    certificates.write("ca.cnf", CA_SETTINGS)?;
    certificates.shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
           -subj '/CN=Lab CA' -addext basicConstraints=critical,CA:TRUE \
           -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem; \
         touch index; echo 01 > serial",
    )?;
    for peer in &PEERS {
        certify(&certificates, peer.name, peer.names, peer.shows)?;
    }
    for other in &OTHERS {
        certify(&certificates, other.name, &[other.host], Shows::Certificate)?;
    }
    certify(&certificates, "model", &model::NAMES, Shows::Certificate)?;
    certify(
        &certificates,
        "policy-host",
        &reports::NAMES,
        Shows::Certificate,
    )?;
    certify(
        &certificates,
        "vantage",
        &["vantage.test"],
        Shows::Certificate,
    )?;
    Ok(&PEERS)
}

/// The digest of a TLSA record 3 1 1 (RFC 6698, section 2.1).
pub(super) fn key_digest(folder: &Folder, name: &str) -> Result<String, Failure> {
    let digest = folder.shell(&format!(
        "openssl x509 -in certificates/{name}.pem -noout -pubkey \
         | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1"
    ))?;
    Ok(digest.trim().to_owned())
}

fn certify(folder: &Folder, name: &str, names: &[&str], shows: Shows) -> Result<(), Failure> {
    let alternatives: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
    folder.write(
        &format!("{name}.ext"),
        &format!(
            "subjectAltName={}\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n",
            alternatives.join(",")
        ),
    )?;
    let validity = match shows {
        Shows::Expired => "-startdate 20240101000000Z -enddate 20240201000000Z",
        Shows::Certificate | Shows::NoStartTls => "-days 30",
    };
    folder.shell(&format!(
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN={name}' \
           -keyout {name}.key -out {name}.csr; \
         openssl ca -batch -notext -config ca.cnf {validity} -extfile {name}.ext \
           -in {name}.csr -out {name}.pem"
    ))?;
    Ok(())
}

/// `openssl ca` and not `x509 -req`, because only it takes dates in the past.
const CA_SETTINGS: &str = "\
[ca]
default_ca = lab
[lab]
database = index
serial = serial
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
";
