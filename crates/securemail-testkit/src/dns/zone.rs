//! The zones and their records, and which zone a name belongs to.

use std::collections::BTreeMap;

use hickory_proto::dnssec::PublicKey;
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::rr::rdata::{NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::records::{self, ParsedRecord};
use super::signer::Signer;
use super::{DnsError, Ds, Nsec3, ZoneSpec};

/// TTL of what the zones have of themselves.
const TTL: u32 = 300;
/// How long a denial may be kept.
const DENIAL_TTL: u32 = 60;

/// How far the answers of a zone can be proved. Later is surer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum State {
    Bogus,
    Insecure,
    Secure,
}

/// Records of one name, by type.
pub(super) type Node = BTreeMap<RecordType, Vec<Record>>;

/// One zone. Its names are in canonical order (RFC 4034, section 6.1), which is the order of [`Name`].
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) origin: Name,
    pub(super) nodes: BTreeMap<Name, Node>,
    pub(super) signer: Option<Signer>,
    pub(super) nsec3: Option<Nsec3>,
    ds: Ds,
}

impl Zone {
    fn build(spec: &ZoneSpec, now: u32) -> Result<Self, DnsError> {
        let origin = records::name(&spec.origin)?;
        let signer = spec
            .signed
            .then(|| Signer::generate(&origin, spec, now))
            .transpose()?;
        let mut zone = Self {
            nodes: BTreeMap::new(),
            nsec3: spec.nsec3,
            ds: spec.ds,
            signer,
            origin,
        };
        let server = records::name("ns.invalid.")?;
        let soa = SOA::new(
            server.clone(),
            server.clone(),
            1,
            3600,
            600,
            86_400,
            DENIAL_TTL,
        );
        zone.put(zone.origin.clone(), TTL, RData::SOA(soa));
        zone.put(zone.origin.clone(), TTL, RData::NS(NS(server)));
        if let Some(signer) = &zone.signer {
            let key = RData::DNSSEC(DNSSECRData::DNSKEY(signer.dnskey().clone()));
            zone.put(zone.origin.clone(), TTL, key);
        }
        Ok(zone)
    }

    fn put(&mut self, name: Name, ttl: u32, data: RData) {
        let node = self.nodes.entry(name.clone()).or_default();
        let rrset = node.entry(data.record_type()).or_default();
        // The records of a set share one TTL (RFC 2181, section 5.2).
        for record in &mut *rrset {
            record.ttl = ttl;
        }
        if !rrset.iter().any(|record| record.data == data) {
            rrset.push(Record::from_rdata(name, ttl, data));
        }
    }

    /// The records at `name`; `None` where the name does not exist, empty where it only has names below it.
    pub(super) fn node(&self, name: &Name) -> Option<Option<&Node>> {
        if let Some(node) = self.nodes.get(name) {
            return Some(Some(node));
        }
        self.nodes
            .keys()
            .any(|key| name.zone_of(key))
            .then_some(None)
    }

    /// The longest existing ancestor of `name`.
    pub(super) fn closest_encloser(&self, name: &Name) -> Name {
        let mut ancestor = name.base_name();
        while self.node(&ancestor).is_none() && !ancestor.is_root() {
            ancestor = ancestor.base_name();
        }
        ancestor
    }

    /// The SOA record, with the TTL of a denial (RFC 2308, section 5).
    pub(super) fn soa(&self) -> Vec<Record> {
        let mut soa = self
            .nodes
            .get(&self.origin)
            .and_then(|node| node.get(&RecordType::SOA))
            .cloned()
            .unwrap_or_default();
        for record in &mut soa {
            record.ttl = DENIAL_TTL;
        }
        soa
    }

    /// Whether the name is a delegation from this zone without DS record.
    pub(super) fn is_unsigned_delegation(&self, name: &Name, node: &Node) -> bool {
        *name != self.origin
            && node.contains_key(&RecordType::NS)
            && !node.contains_key(&RecordType::DS)
    }
}

/// All zones, by origin.
#[derive(Debug)]
pub(super) struct Zones(BTreeMap<Name, Zone>);

impl Zones {
    /// Makes the zones and delegates each from the nearest one above it.
    pub(super) fn build(specs: &[ZoneSpec], now: u32) -> Result<Self, DnsError> {
        let mut zones = Self(BTreeMap::new());
        for spec in specs {
            let zone = Zone::build(spec, now)?;
            zones.0.insert(zone.origin.clone(), zone);
        }
        let origins: Vec<Name> = zones.0.keys().cloned().collect();
        for origin in origins.into_iter().filter(|origin| !origin.is_root()) {
            zones.delegate(&origin)?;
        }
        Ok(zones)
    }

    fn delegate(&mut self, origin: &Name) -> Result<(), DnsError> {
        let ds = match self.0.get(origin) {
            Some(Zone {
                signer: Some(signer),
                ds,
                ..
            }) if *ds != Ds::Missing => Some(signer.ds(*ds == Ds::Wrong)?),
            _ => None,
        };
        let Some(parent) = self.nearest_mut(&origin.base_name()) else {
            return Ok(());
        };
        let server = records::name("ns.invalid.")?;
        parent.put(origin.clone(), TTL, RData::NS(NS(server)));
        if let Some(ds) = ds {
            parent.put(origin.clone(), TTL, RData::DNSSEC(DNSSECRData::DS(ds)));
        }
        Ok(())
    }

    /// The zone that answers for `kind` at `name`. DS records are the parent's (RFC 4035, section 3.1.4.1).
    pub(super) fn zone_for(&self, name: &Name, kind: RecordType) -> Option<&Zone> {
        if kind == RecordType::DS && !name.is_root() {
            return self.nearest(&name.base_name());
        }
        self.nearest(name)
    }

    /// How far the answers of `zone` can be proved at `now`.
    pub(super) fn state(&self, zone: &Zone, now: u32) -> State {
        let own = match &zone.signer {
            Some(_) if zone.ds == Ds::Missing => State::Insecure,
            Some(signer) if zone.ds == Ds::Wrong || signer.has_expired(now) => State::Bogus,
            Some(_) => State::Secure,
            None => State::Insecure,
        };
        match self.parent_state(zone, now) {
            // Below an unsigned zone nothing can be proved, and nothing be bogus.
            State::Insecure => State::Insecure,
            parent => own.min(parent),
        }
    }

    fn parent_state(&self, zone: &Zone, now: u32) -> State {
        if zone.origin.is_root() {
            return State::Secure;
        }
        self.nearest(&zone.origin.base_name())
            .map_or(State::Bogus, |parent| self.state(parent, now))
    }

    /// Puts a record into the nearest zone above it.
    pub(super) fn insert(&mut self, record: ParsedRecord) -> Result<(), DnsError> {
        let zone = self
            .nearest_mut(&record.name)
            .ok_or_else(|| DnsError::Name(record.name.to_string()))?;
        zone.put(record.name, record.ttl, record.data);
        Ok(())
    }

    /// Takes the records of one kind away.
    pub(super) fn remove(&mut self, name: &Name, kind: RecordType) {
        let Some(zone) = self.nearest_mut(name) else {
            return;
        };
        if let Some(node) = zone.nodes.get_mut(name) {
            node.remove(&kind);
            if node.is_empty() {
                zone.nodes.remove(name);
            }
        }
    }

    /// The DNSKEY record of the root as a line of a zone file.
    pub(super) fn anchor(&self) -> String {
        let key = self
            .0
            .get(&Name::root())
            .and_then(|zone| zone.signer.as_ref())
            .map(|signer| records::base64(signer.dnskey().public_key().public_bytes()));
        // 257: a zone key that is an entry point; 15: Ed25519.
        format!(". {TTL} IN DNSKEY 257 3 15 {}\n", key.unwrap_or_default())
    }

    /// The digest of that key as a line of a zone file.
    pub(super) fn anchor_ds(&self) -> Result<String, DnsError> {
        let signer = self
            .0
            .get(&Name::root())
            .and_then(|zone| zone.signer.as_ref())
            .ok_or_else(|| DnsError::Signing("the root is not signed".to_owned()))?;
        Ok(format!(". {TTL} IN DS {}\n", signer.ds(false)?))
    }

    fn nearest(&self, name: &Name) -> Option<&Zone> {
        let mut name = name.clone();
        loop {
            if let Some(zone) = self.0.get(&name) {
                return Some(zone);
            }
            if name.is_root() {
                return None;
            }
            name = name.base_name();
        }
    }

    fn nearest_mut(&mut self, name: &Name) -> Option<&mut Zone> {
        let origin = self.nearest(name)?.origin.clone();
        self.0.get_mut(&origin)
    }
}
