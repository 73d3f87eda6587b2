//! The key of one zone, and the signatures made with it.

use std::fmt;

use hickory_proto::dnssec::crypto::Ed25519SigningKey;
use hickory_proto::dnssec::rdata::sig::SigInput;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, RRSIG};
use hickory_proto::dnssec::{Algorithm, DigestType, SigningKey, TBS};
use hickory_proto::rr::{DNSClass, Name, RData, Record, SerialNumber};

use super::{DnsError, ZoneSpec};

/// Signs the records of one zone.
pub(super) struct Signer {
    key: Ed25519SigningKey,
    dnskey: DNSKEY,
    tag: u16,
    origin: Name,
    inception: u32,
    expiration: u32,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Makes a key for `origin`. Its signatures are valid as `spec` says, counted from `now`.
    pub(super) fn generate(origin: &Name, spec: &ZoneSpec, now: u32) -> Result<Self, DnsError> {
        let bad = |error: &dyn fmt::Display| DnsError::Signing(error.to_string());
        let pkcs8 = Ed25519SigningKey::generate_pkcs8().map_err(|e| bad(&e))?;
        let key = Ed25519SigningKey::from_pkcs8(&pkcs8).map_err(|e| bad(&e))?;
        let dnskey = DNSKEY::from_key(&key.to_public_key().map_err(|e| bad(&e))?);
        Ok(Self {
            tag: dnskey.calculate_key_tag().map_err(|e| bad(&e))?,
            key,
            dnskey,
            origin: origin.clone(),
            inception: shift(now, spec.inception),
            expiration: shift(now, spec.expiration),
        })
    }

    /// The public key.
    pub(super) const fn dnskey(&self) -> &DNSKEY {
        &self.dnskey
    }

    /// Whether the signatures have ended at `now`.
    pub(super) const fn has_expired(&self, now: u32) -> bool {
        self.expiration < now
    }

    /// The DS record for the parent; one that fits no key where `wrong`.
    pub(super) fn ds(&self, wrong: bool) -> Result<DS, DnsError> {
        let digest = self
            .dnskey
            .to_digest(&self.origin, DigestType::SHA256)
            .map_err(|error| DnsError::Signing(error.to_string()))?;
        let flip = u8::from(wrong);
        let octets = digest.as_ref().iter().map(|octet| octet ^ flip).collect();
        Ok(DS::new(
            self.tag,
            Algorithm::ED25519,
            DigestType::SHA256,
            octets,
        ))
    }

    /// Signs one record set, whose records have one name, type and TTL.
    pub(super) fn sign(&self, rrset: &[Record]) -> Result<Record, DnsError> {
        let bad = |error: &dyn fmt::Display| DnsError::Signing(error.to_string());
        let first = rrset.first().ok_or_else(|| bad(&"no records to sign"))?;
        let input = SigInput {
            type_covered: first.record_type(),
            algorithm: Algorithm::ED25519,
            num_labels: first.name.num_labels(),
            original_ttl: first.ttl,
            sig_expiration: SerialNumber::new(self.expiration),
            sig_inception: SerialNumber::new(self.inception),
            key_tag: self.tag,
            signer_name: self.origin.clone(),
        };
        let signed = TBS::from_input(&first.name, DNSClass::IN, &input, rrset.iter())
            .map_err(|e| bad(&e))?;
        let signature = self.key.sign(&signed).map_err(|e| bad(&e))?;
        let data = RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, signature)));
        Ok(Record::from_rdata(first.name.clone(), first.ttl, data))
    }
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "signatures of this server must be valid at the real time, which validators read themselves"
)]
pub(super) fn now() -> u32 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| u32::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}

fn shift(now: u32, offset: i64) -> u32 {
    u32::try_from(i64::from(now).saturating_add(offset)).unwrap_or(0)
}
