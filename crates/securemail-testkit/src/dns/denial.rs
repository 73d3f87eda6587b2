//! Proofs that something does not exist: NSEC (RFC 4034, section 4) and NSEC3 (RFC 5155).

use std::collections::BTreeMap;

use hickory_proto::dnssec::Nsec3HashAlgorithm;
use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC, NSEC3};
use hickory_proto::rr::{Label, Name, RData, Record, RecordType};

use super::zone::{Node, Zone};
use super::{DnsError, Nsec3};

/// TTL of the proofs.
const TTL: u32 = 60;

/// What has to be proved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Claim {
    /// The name exists without such records.
    NoData,
    /// Neither the name nor a wildcard that covers it exists.
    NxDomain,
    /// The name does not exist; a wildcard answered.
    Wildcard,
    /// The name does not exist; the wildcard has no such records.
    WildcardNoData,
}

impl Zone {
    /// The records that prove `claim` about `name`, one record a set, without signatures.
    pub(super) fn prove(&self, claim: Claim, name: &Name) -> Result<Vec<Record>, DnsError> {
        match self.nsec3 {
            Some(settings) => Nsec3Chain::build(self, settings)?.prove(claim, name),
            None => self.prove_by_nsec(claim, name),
        }
    }

    fn prove_by_nsec(&self, claim: Claim, name: &Name) -> Result<Vec<Record>, DnsError> {
        let wildcard = wildcard_of(&self.closest_encloser(name))?;
        let names: &[&Name] = match claim {
            Claim::NoData | Claim::Wildcard => &[name],
            Claim::NxDomain | Claim::WildcardNoData => &[name, &wildcard],
        };
        let mut proofs: Vec<Record> = Vec::new();
        for record in names.iter().filter_map(|name| self.nsec_at_or_before(name)) {
            if !proofs.contains(&record) {
                proofs.push(record);
            }
        }
        Ok(proofs)
    }

    /// The NSEC record that matches the name, or covers it.
    fn nsec_at_or_before(&self, name: &Name) -> Option<Record> {
        let (owner, node) = self
            .nodes
            .range(..=name)
            .next_back()
            .or_else(|| self.nodes.iter().next_back())?;
        let next = self.nodes.keys().find(|key| *key > owner);
        let next = next.unwrap_or(&self.origin).clone();
        let data = NSEC::new_cover_self(next, node.keys().copied());
        let data = RData::DNSSEC(DNSSECRData::NSEC(data));
        Some(Record::from_rdata(owner.clone(), TTL, data))
    }
}

/// All hashed names of a zone, in order.
struct Nsec3Chain<'a> {
    zone: &'a Zone,
    settings: Nsec3,
    names: BTreeMap<Vec<u8>, Vec<RecordType>>,
}

impl<'a> Nsec3Chain<'a> {
    fn build(zone: &'a Zone, settings: Nsec3) -> Result<Self, DnsError> {
        let mut chain = Self {
            zone,
            settings,
            names: BTreeMap::new(),
        };
        for (name, node) in &zone.nodes {
            // Opt-out leaves out unsigned delegations (RFC 5155, section 6).
            if settings.opt_out && zone.is_unsigned_delegation(name, node) {
                continue;
            }
            let types = types_at(zone, name, node);
            chain.names.insert(chain.hash(name)?, types);
            // Names that have only names below them are hashed too (RFC 5155, section 7.1).
            let mut ancestor = name.base_name();
            while ancestor != zone.origin && zone.origin.zone_of(&ancestor) {
                let hash = chain.hash(&ancestor)?;
                chain.names.entry(hash).or_default();
                ancestor = ancestor.base_name();
            }
        }
        Ok(chain)
    }

    fn prove(&self, claim: Claim, name: &Name) -> Result<Vec<Record>, DnsError> {
        if claim == Claim::NoData && self.names.contains_key(&self.hash(name)?) {
            return Ok(vec![self.record_for(name)?]);
        }
        let encloser = self.hashed_encloser(name)?;
        let next_closer = name.trim_to(usize::from(encloser.num_labels()) + 1);
        let wildcard = wildcard_of(&encloser)?;
        let names: &[&Name] = match claim {
            // Of a delegation that opt-out leaves out (RFC 5155, section 7.2.4).
            Claim::NoData => &[&encloser, &next_closer],
            Claim::NxDomain | Claim::WildcardNoData => &[&encloser, &next_closer, &wildcard],
            Claim::Wildcard => &[&next_closer],
        };
        let mut proofs: Vec<Record> = Vec::new();
        for name in names {
            let record = self.record_for(name)?;
            if !proofs.contains(&record) {
                proofs.push(record);
            }
        }
        Ok(proofs)
    }

    fn hashed_encloser(&self, name: &Name) -> Result<Name, DnsError> {
        let mut ancestor = name.base_name();
        while ancestor != self.zone.origin && !self.names.contains_key(&self.hash(&ancestor)?) {
            ancestor = ancestor.base_name();
        }
        Ok(ancestor)
    }

    /// The record that matches the hash of the name, or covers it.
    fn record_for(&self, name: &Name) -> Result<Record, DnsError> {
        let hash = self.hash(name)?;
        let (owner, types) = self
            .names
            .range(..=hash)
            .next_back()
            .or_else(|| self.names.iter().next_back())
            .ok_or_else(|| DnsError::Name(name.to_string()))?;
        let next = self.names.keys().find(|key| *key > owner);
        let next = next.or_else(|| self.names.keys().next());
        let label = self.data(owner.clone(), &[]);
        let label: Label = label
            .next_hashed_owner_name_base32()
            .cloned()
            .ok_or_else(|| DnsError::Name(name.to_string()))?;
        let owner = self
            .zone
            .origin
            .prepend_label(label)
            .map_err(|_| DnsError::Name(name.to_string()))?;
        let data = self.data(next.cloned().unwrap_or_default(), types);
        let data = RData::DNSSEC(DNSSECRData::NSEC3(data));
        Ok(Record::from_rdata(owner.to_lowercase(), TTL, data))
    }

    fn data(&self, next: Vec<u8>, types: &[RecordType]) -> NSEC3 {
        NSEC3::new(
            Nsec3HashAlgorithm::SHA1,
            self.settings.opt_out,
            self.settings.iterations,
            Vec::new(),
            next,
            types.iter().copied(),
        )
    }

    fn hash(&self, name: &Name) -> Result<Vec<u8>, DnsError> {
        Nsec3HashAlgorithm::SHA1
            .hash(&[], name, self.settings.iterations)
            .map(|digest| digest.as_ref().to_vec())
            .map_err(|error| DnsError::Signing(error.to_string()))
    }
}

/// The types at a name; RRSIG among them where something there is signed.
fn types_at(zone: &Zone, name: &Name, node: &Node) -> Vec<RecordType> {
    let mut types: Vec<RecordType> = node.keys().copied().collect();
    if !zone.is_unsigned_delegation(name, node) {
        types.push(RecordType::RRSIG);
    }
    types
}

pub(super) fn wildcard_of(name: &Name) -> Result<Name, DnsError> {
    name.prepend_label("*")
        .map_err(|_| DnsError::Name(name.to_string()))
}
