//! Whether the world may already see the key that we are about to show (RFC 7671, section 8.1).
//!
//! A host that publishes TLSA records and shows another key gets no mail from senders that keep to DANE. So a new
//! certificate is refused until a record for it is visible; and one that a record of its issuer fits (usage 2) while
//! its chain or its name does not hold.

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use securemail_core::backend::{Clock as _, Resolver};
use securemail_core::route::{
    Authentication, Authority, Hop, PeerFailure, Trust, associated, authenticate, public_key,
    usable,
};
use securemail_core::vocab::{DnsName, Tlsa};
use sha2::{Digest, Sha256};

use super::lookup::{Found, tlsa};
use super::report::{Level, advice, fail, good, unknown};
use crate::settings::{Settings, SettingsError};
use crate::system::SystemClock;
use crate::tls::Certificate;

/// Where MX records point at, always (RFC 5321, section 2.3.5).
pub const SMTP_PORT: u16 = 25;

/// How the certificate stands to what is published.
#[derive(Debug)]
pub struct Rollover {
    published: Found<Vec<Tlsa>>,
    /// Of the records, how many senders use: of several digests of one key only the strongest (RFC 7671, section 9).
    usable: usize,
    /// Of these, how many are of our certificates.
    matching: usize,
    /// Why senders would not believe us all the same, where that is so.
    doubt: Option<PeerFailure>,
    /// The record that would fit.
    line: String,
}

/// Compares what is published for `host` with `certificate`.
pub async fn look(
    resolver: &dyn Resolver,
    host: &DnsName,
    port: u16,
    certificate: &Certificate,
) -> Rollover {
    let published = tlsa(resolver, host, port).await;
    let usable = match &published {
        Found::Records(records, _) => usable(records),
        Found::Absent(_) | Found::Unknown(_) => Vec::new(),
    };
    let chain: Vec<&[u8]> = certificate.chain.iter().map(AsRef::as_ref).collect();
    Rollover {
        doubt: doubt(host, usable.clone(), &certificate.chain),
        published,
        usable: usable.len(),
        matching: usable.iter().filter(|one| associated(one, &chain)).count(),
        line: record_for(host, port, certificate.chain.first()),
    }
}

impl Rollover {
    /// Whether senders that keep to DANE would hold what they have for us. Where no record is usable they authenticate
    /// nobody, and hold nothing (RFC 7672, section 2.2).
    pub const fn shuts_out(&self) -> bool {
        let is_signed = matches!(&self.published, Found::Records(_, true));
        is_signed && self.usable > 0 && self.doubt.is_some()
    }

    /// The checks, and what each found.
    pub fn judge(&self) -> Vec<(&'static str, (Level, String))> {
        let line = &self.line;
        match &self.published {
            Found::Records(records, true) => {
                let exists = good(format!("{} records", records.len()));
                let mut found = vec![("dane_exists", exists), ("dane_valid", self.validity())];
                if self.usable > 0 {
                    found.push(("dane_rollover", self.spare()));
                }
                found
            }
            Found::Records(_, false) => vec![(
                "dane_exists",
                fail("the TLSA records are not signed, and count for nothing"),
            )],
            Found::Absent(true) => vec![(
                "dane_exists",
                fail(format!(
                    "no TLSA record, and that is proved; publish {line}"
                )),
            )],
            Found::Absent(false) => vec![(
                "dane_exists",
                fail("no TLSA record, and the zone is not signed"),
            )],
            // RFC 7672, section 2.2: what cannot be read is not absent.
            Found::Unknown(why) => vec![(
                "dane_exists",
                unknown(format!(
                    "{why}; senders with DANE hold their mail while that is so"
                )),
            )],
        }
    }
}

impl Rollover {
    fn validity(&self) -> (Level, String) {
        let line = &self.line;
        match (self.usable, self.matching) {
            (0, _) => fail(format!(
                "no record can be used, so senders with DANE authenticate nobody. Publish {line}"
            )),
            (_, 0) => fail(format!(
                "no record fits our certificate; senders with DANE hold their mail. Publish {line}"
            )),
            (_, _) => match &self.doubt {
                None => good("a record fits our certificate"),
                Some(why) => fail(format!(
                    "a record fits, and senders with DANE hold their mail all the same: {why}. Publish {line}"
                )),
            },
        }
    }

    /// Why we are not to be shown, and the way out.
    fn refusal(&self, host: &DnsName) -> String {
        let (why, instead) = match &self.doubt {
            Some(why) if self.matching > 0 => (
                format!("one fits, and it is not believed all the same: {why}"),
                "put the certificate right",
            ),
            Some(_) | None => ("none fits this key".to_owned(), "keep the old key"),
        };
        format!(
            "tls.certificate: {host} publishes TLSA records and {why}, so senders with DANE would hold their \
             mail. Publish {} beside those that are there, wait until the old ones have run out of every cache, \
             and start then; or {instead}; or, if you know better, set tls.rollover_guard = false",
            self.line
        )
    }

    fn spare(&self) -> (Level, String) {
        if self.matching > 0 && self.usable > self.matching {
            good("there is a record for the next key")
        } else {
            advice("only one key is published; publish the next one's record before it is used")
        }
    }
}

/// Why a sender that keeps to DANE would not believe these certificates. A record of usage 2 is of an issuer; then
/// the chain must lead there, be valid now, and bear the name (RFC 7672, section 3.2.2).
fn doubt(host: &DnsName, records: Vec<Tlsa>, chain: &[CertificateDer<'_>]) -> Option<PeerFailure> {
    let hop = Hop {
        domain: host.clone(),
        host: host.clone(),
        addresses: Vec::new(),
        port: SMTP_PORT,
        sni: host.clone(),
        authenticate: Authentication::Dane {
            records,
            names: vec![host.clone()],
        },
        authority: Authority::Dnssec,
        must_name_domain: false,
    };
    let trust = Trust {
        roots: Vec::new(),
        algorithms: default_provider().signature_verification_algorithms.all,
    };
    authenticate(&hop, chain, SystemClock.now(), &trust).err()
}

/// The 3 1 1 record that fits a certificate: it outlives renewals that keep the key (RFC 7671, section 5.1).
fn record_for(host: &DnsName, port: u16, leaf: Option<&CertificateDer<'_>>) -> String {
    let key = leaf.and_then(|leaf| public_key(leaf)).unwrap_or_default();
    let digest: String = Sha256::digest(key)
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    format!("_{port}._tcp.{host} TLSA 3 1 1 {digest}")
}

/// Refuses to serve with a certificate that the world must not believe yet. A DNS that does not answer refuses
/// nothing: what was shown before is shown again.
///
/// # Errors
/// Where TLSA records are published, and none fits or the certificates are not believed all the same.
pub async fn guard(
    settings: &Settings,
    resolver: &dyn Resolver,
    certificate: &Certificate,
) -> Result<(), SettingsError> {
    if settings.listen.bounces.is_none() || !settings.tls.rollover_guard {
        return Ok(());
    }
    let host = &settings.relay.hostname;
    let state = look(resolver, host, SMTP_PORT, certificate).await;
    if let Found::Unknown(why) = &state.published {
        tracing::warn!(%why, "the TLSA records of this host could not be read");
    }
    if !state.shuts_out() {
        return Ok(());
    }
    Err(SettingsError::Invalid(state.refusal(host)))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;
    use securemail_core::vocab::{Outcome, RecordKind, Security};
    use securemail_testkit::ca::TestCa;
    use securemail_testkit::scripted::ScriptedDns;
    use sha2::Sha512;

    use super::*;

    /// An issuer is named, and what it issued bears another name (RFC 7672, section 3.2.2): no sender believes it.
    #[tokio::test]
    async fn a_record_of_the_issuer_needs_our_name_in_the_certificate() {
        let host = DnsName::parse("relay.example").unwrap();
        for (named, level) in [
            ("relay.example", Level::Good),
            ("other.example", Level::Fail),
        ] {
            let ca = TestCa::new().unwrap();
            let issued = ca.issue(&[named]).unwrap();
            let certificate = Certificate {
                chain: vec![issued.leaf_der.clone().into(), ca.root_der()],
                key: PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap(),
            };
            let key = public_key(&ca.root_der()).unwrap();
            let record = Tlsa {
                usage: 2,
                ..record(3, 1, &Sha256::digest(key))
            };
            let dns = ScriptedDns::default();
            let owner = host.below("_25._tcp").unwrap();
            let records = Outcome::Tlsa(vec![record]);
            dns.put(&owner, RecordKind::Tlsa, records, Security::Secure);
            let state = look(&dns, &host, SMTP_PORT, &certificate).await;
            let found = state.judge();
            let (check, (found, text)) = &found[1];
            assert_eq!((*check, *found), ("dane_valid", level), "{text}");
            assert_eq!(state.shuts_out(), level == Level::Fail);
            if let Some(why) = &state.doubt {
                let refusal = state.refusal(&host);
                assert!(refusal.contains(&why.to_string()), "{refusal}");
                assert!(!refusal.contains("none fits"), "{refusal}");
            }
        }
    }

    /// What is found, and whether it shuts out, where `publish` makes records from our key.
    async fn judged(publish: impl Fn(&[u8]) -> Vec<Tlsa>) -> (Vec<(&'static str, Level)>, bool) {
        let state = state(publish).await;
        let found = state.judge().into_iter();
        let levels = found.map(|(check, (level, _))| (check, level)).collect();
        (levels, state.shuts_out())
    }

    async fn state(publish: impl Fn(&[u8]) -> Vec<Tlsa>) -> Rollover {
        let host = DnsName::parse("relay.example").unwrap();
        let issued = TestCa::new().unwrap().issue(&[host.as_str()]).unwrap();
        let certificate = Certificate {
            chain: vec![issued.leaf_der.clone().into()],
            key: PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap(),
        };
        let dns = ScriptedDns::default();
        let records = publish(&public_key(&issued.leaf_der).unwrap());
        let owner = host.below("_25._tcp").unwrap();
        let records = Outcome::Tlsa(records);
        dns.put(&owner, RecordKind::Tlsa, records, Security::Secure);
        look(&dns, &host, SMTP_PORT, &certificate).await
    }

    fn record(usage: u8, matching: u8, data: &[u8]) -> Tlsa {
        Tlsa {
            usage,
            selector: 1,
            matching,
            data: data.to_vec(),
        }
    }

    fn found(valid: Level, rollover: Option<Level>) -> Vec<(&'static str, Level)> {
        let mut found = vec![("dane_exists", Level::Good), ("dane_valid", valid)];
        found.extend(rollover.map(|level| ("dane_rollover", level)));
        found
    }

    #[tokio::test]
    async fn a_record_of_another_key_is_a_spare_one() {
        let two_keys = |key: &[u8]| {
            let other = record(3, 1, &[7; 32]);
            vec![record(3, 1, &Sha256::digest(key)), other]
        };
        let expected = found(Level::Good, Some(Level::Good));
        assert_eq!(judged(two_keys).await, (expected, false));
    }

    #[tokio::test]
    async fn another_digest_of_the_same_key_is_no_spare_one() {
        let one_key = |key: &[u8]| {
            let strong = record(3, 2, &Sha512::digest(key));
            vec![record(3, 1, &Sha256::digest(key)), strong]
        };
        let expected = found(Level::Good, Some(Level::Advice));
        assert_eq!(judged(one_key).await, (expected, false));
    }

    #[tokio::test]
    async fn records_of_other_keys_alone_shut_us_out() {
        let foreign = |_: &[u8]| vec![record(3, 1, &[7; 32])];
        let expected = found(Level::Fail, Some(Level::Advice));
        assert_eq!(judged(foreign).await, (expected, true));
        let host = DnsName::parse("relay.example").unwrap();
        let refusal = state(foreign).await.refusal(&host);
        assert!(refusal.contains("none fits this key"), "{refusal}");
    }

    /// RFC 7672, section 2.2: senders then use TLS and authenticate nobody.
    #[tokio::test]
    async fn records_that_nobody_can_use_are_wrong_and_shut_nobody_out() {
        let unusable = |key: &[u8]| vec![record(1, 1, &Sha256::digest(key)), record(3, 9, &[7])];
        assert_eq!(judged(unusable).await, (found(Level::Fail, None), false));
    }
}
