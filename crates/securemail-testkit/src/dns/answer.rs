//! Answers to questions, with aliases followed as a recursive resolver does.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::denial::{Claim, wildcard_of};
use super::zone::{Node, State, Zone, Zones};
use super::{DnsError, records};

/// Aliases followed; a loop ends here.
const HOPS_MAX: usize = 16;

/// What one zone is asked.
#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    name: &'a Name,
    kind: RecordType,
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) code: ResponseCode,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    /// The least sure zone that took part.
    pub(super) state: State,
}

impl Zones {
    /// Answers with everything that a validator needs.
    pub(super) fn resolve(
        &self,
        name: &Name,
        kind: RecordType,
        now: u32,
    ) -> Result<Resolved, DnsError> {
        let mut resolved = Resolved {
            code: ResponseCode::NoError,
            answers: Vec::new(),
            authorities: Vec::new(),
            state: State::Secure,
        };
        let mut name = name.to_lowercase();
        for _ in 0..HOPS_MAX {
            let Some(zone) = self.zone_for(&name, kind) else {
                break;
            };
            resolved.state = resolved.state.min(self.state(zone, now));
            match resolved.step(zone, Asked { name: &name, kind })? {
                Some(target) => name = target,
                None => return Ok(resolved),
            }
        }
        resolved.code = ResponseCode::ServFail;
        Ok(resolved)
    }
}

impl Resolved {
    /// Answers from one zone; gives the target where the name is an alias.
    fn step(&mut self, zone: &Zone, asked: Asked<'_>) -> Result<Option<Name>, DnsError> {
        if let Some(node) = zone.node(asked.name) {
            return self.take(zone, asked, node, Claim::NoData);
        }
        let encloser = zone.closest_encloser(asked.name);
        if let Some(rrset) = zone
            .nodes
            .get(&encloser)
            .and_then(|node| node.get(&RecordType::DNAME))
        {
            return self.redirect(zone, asked, &encloser, rrset);
        }
        let wildcard = wildcard_of(&encloser)?;
        if let Some(node) = zone.nodes.get(&wildcard) {
            return self.take(zone, asked, Some(node), Claim::WildcardNoData);
        }
        self.code = ResponseCode::NXDomain;
        self.deny(zone, Claim::NxDomain, asked.name)?;
        Ok(None)
    }

    /// Takes what is at the name, or at the wildcard that covers it; `absent` says which of the two denies.
    fn take(
        &mut self,
        zone: &Zone,
        asked: Asked<'_>,
        node: Option<&Node>,
        absent: Claim,
    ) -> Result<Option<Name>, DnsError> {
        let alias = node.and_then(|node| node.get(&RecordType::CNAME));
        let rrset = node.and_then(|node| node.get(&asked.kind)).or(alias);
        let Some(rrset) = rrset else {
            self.deny(zone, absent, asked.name)?;
            return Ok(None);
        };
        self.answers.extend(signed(zone, rrset, Some(asked.name))?);
        if absent == Claim::WildcardNoData {
            self.authorities
                .extend(prove(zone, Claim::Wildcard, asked.name)?);
        }
        let target = rrset.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if asked.kind != RecordType::CNAME => {
                Some(target.0.to_lowercase())
            }
            _ => None,
        });
        Ok(target)
    }

    /// Moves the whole tree below a DNAME record: the record is signed, the alias made from it is not
    /// (RFC 6672, section 5.3.1).
    fn redirect(
        &mut self,
        zone: &Zone,
        asked: Asked<'_>,
        owner: &Name,
        rrset: &[Record],
    ) -> Result<Option<Name>, DnsError> {
        self.answers.extend(signed(zone, rrset, None)?);
        let bad = || DnsError::Name(asked.name.to_string());
        let first = rrset.first().ok_or_else(bad)?;
        let target = records::dname_target(&first.data).ok_or_else(bad)?;
        let kept = usize::from(asked.name.num_labels().saturating_sub(owner.num_labels()));
        let moved = Name::from_labels(asked.name.iter().take(kept))
            .and_then(|prefix| prefix.append_domain(&target))
            .map_err(|_| bad())?;
        let alias = RData::CNAME(CNAME(moved.clone()));
        self.answers
            .push(Record::from_rdata(asked.name.clone(), first.ttl, alias));
        Ok((asked.kind != RecordType::CNAME).then_some(moved))
    }

    fn deny(&mut self, zone: &Zone, claim: Claim, name: &Name) -> Result<(), DnsError> {
        self.authorities.extend(signed(zone, &zone.soa(), None)?);
        self.authorities.extend(prove(zone, claim, name)?);
        Ok(())
    }
}

fn prove(zone: &Zone, claim: Claim, name: &Name) -> Result<Vec<Record>, DnsError> {
    if zone.signer.is_none() {
        return Ok(Vec::new());
    }
    let mut records = Vec::new();
    for proof in zone.prove(claim, name)? {
        records.extend(signed(zone, &[proof], None)?);
    }
    Ok(records)
}

/// A record set with its signature; a wildcard's set appears under the name that was asked.
fn signed(zone: &Zone, rrset: &[Record], asked: Option<&Name>) -> Result<Vec<Record>, DnsError> {
    let mut records = rrset.to_vec();
    if let Some(signer) = &zone.signer {
        records.push(signer.sign(rrset)?);
    }
    if let Some(asked) = asked {
        for record in &mut records {
            record.name = asked.clone();
        }
    }
    Ok(records)
}
