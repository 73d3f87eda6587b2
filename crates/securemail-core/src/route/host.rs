//! Judges one MX host: what its peer must prove, or why it is left out.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::decision::{Findings, Subject, listed};
use super::facts::{self, AddressFacts, TlsaFacts, Trouble};
use super::mta_sts::{StsMode, StsPolicy};
use super::outcome::DISPUTED;
use super::{Authentication, Authority, Evidence, Hop, PolicySettings, Rule, dane, history};
use crate::vocab::{DnsName, Profile, Tlsa, UnixTime};

/// Why a host cannot be used, in the order in which one dominates the other (rules G).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Obstacle {
    /// It leads nowhere: no name, no address, or none that may be connected to.
    Nowhere,
    /// The same without proof, so that somebody on the way may have said it: it might be safe.
    Hidden,
    /// It was looked at, and cannot be proved safe.
    Unproved,
    /// It cannot take the message.
    Incapable,
    /// It did not answer; it might be safe.
    Transient,
    /// It, or its domain, was safer before, and nothing is published now.
    Fell,
    /// Somebody on the way answers for it.
    Tampered,
    /// Two validators do not agree about it, so one of them was deceived, or is at fault.
    Disputed,
    /// It does not meet what the domain publishes, or what is published is forged.
    Published,
    /// The fault is ours.
    OwnFault,
}

impl Obstacle {
    /// What stands in the way where these stand in the way of the hosts. A host that may have been hidden
    /// weighs as silence (rule G-03) as soon as another one would decide; where none is in sight, the domain
    /// takes no mail now.
    pub(super) fn of_all(each: &[Self]) -> Self {
        match each.iter().copied().max().unwrap_or(Self::Nowhere) {
            Self::Unproved | Self::Incapable if each.contains(&Self::Hidden) => Self::Hidden,
            Self::Hidden => Self::Nowhere,
            worst @ (Self::Disputed
            | Self::Fell
            | Self::Incapable
            | Self::Nowhere
            | Self::OwnFault
            | Self::Published
            | Self::Tampered
            | Self::Transient
            | Self::Unproved) => worst,
        }
    }
}

impl From<Trouble> for Obstacle {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Bogus => Self::Published,
            Trouble::Disagreement => Self::Disputed,
            Trouble::OwnFault => Self::OwnFault,
            Trouble::Transient => Self::Transient,
        }
    }
}

/// A host that may be tried.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) hop: Hop,
    /// The domain or the host publishes that this proof is needed.
    pub(super) published: bool,
    /// What it means if the peer proves nothing, and nothing is published that asks for it.
    pub(super) unproved: Obstacle,
    /// What it means if the certificate does not name the domain where it must.
    pub(super) unnamed: Obstacle,
}

/// What all hosts of a domain have in common.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) settings: &'a PolicySettings,
    pub(super) now: UnixTime,
    /// How sure the way must be.
    pub(super) profile: Profile,
    /// The MX answer is secure.
    pub(super) mx_secure: bool,
    /// The domain is its own host.
    pub(super) implicit: bool,
    /// Where the domain's alias chain ended.
    pub(super) expanded: DnsName,
    /// The MTA-STS policy that applies.
    pub(super) sts: Option<StsPolicy>,
    /// Other vantages see the same mail servers.
    pub(super) views: Views,
    /// The domain was safer before than its DNS and policy are now.
    pub(super) fell: bool,
    /// The list of mail servers was the same for as long as the settings ask.
    pub(super) is_stable: bool,
}

/// What other vantages see.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Views {
    /// The same.
    Agree,
    /// Something else, or they could not be asked.
    Differ,
    /// None is configured.
    None,
}

impl Context<'_> {
    /// Judges one host.
    pub(super) fn judge(
        &self,
        host: &DnsName,
        findings: &mut Findings,
    ) -> Result<Admitted, Obstacle> {
        let subject = Subject::Host(host.clone());
        let (found, addresses) = self.addresses(host, findings)?;
        let tlsa = self.tlsa(host, &found, findings)?;
        let listed = self.sts_gate(host, &tlsa, findings)?;
        let authority = self.authority(host, listed, findings);
        self.check_require_tls(authority, listed, &subject, findings)?;
        let (sni, authenticate) = match tlsa {
            Requirement::Dane(dane) => self.dane(host, dane, findings),
            Requirement::Certificate { unusable } => {
                self.check_certificate_is_enough(host, unusable, authority, findings)?;
                (host.clone(), Authentication::Pkix { name: host.clone() })
            }
        };
        let published =
            listed == Listed::Enforced || matches!(authenticate, Authentication::Dane { .. });
        let must_name_domain = self.must_name_domain(authority, &subject, findings)?;
        let unproved = self.if_unproved(authority);
        let hop = Hop {
            domain: self.evidence.domain.clone(),
            host: host.clone(),
            addresses,
            port: self.evidence.port,
            sni,
            authenticate,
            authority,
            must_name_domain,
        };
        Ok(Admitted {
            hop,
            published,
            unproved,
            unnamed: if self.fell { Obstacle::Fell } else { unproved },
        })
    }

    /// What is known of its addresses, and those that may be tried.
    fn addresses(
        &self,
        host: &DnsName,
        findings: &mut Findings,
    ) -> Result<(AddressFacts, Vec<IpAddr>), Obstacle> {
        let subject = Subject::Host(host.clone());
        let Ok(found) = facts::addresses(self.evidence, host) else {
            findings.exclude(Rule::Ad03, &subject, "its addresses were not asked for");
            return Err(Obstacle::Transient);
        };
        match (found.addresses.is_empty(), found.trouble) {
            (true, Some(trouble)) => {
                let rule = if found.alias_in_doubt {
                    Rule::Ad09
                } else {
                    Rule::Ad03
                };
                findings.exclude(rule, &subject, trouble_in_words(trouble));
                return Err(self.unanswered(trouble));
            }
            (true, None) => {
                findings.exclude(Rule::Ad04, &subject, "no address");
                return Err(nowhere(&found));
            }
            (false, Some(trouble)) => {
                findings.note(Rule::Ad02, &subject, trouble_in_words(trouble));
            }
            (false, None) => {}
        }
        let (tried, is_cut) = found.to_try(self.settings);
        if is_cut {
            findings.note(Rule::Mx21, &subject, "more addresses than are tried");
        }
        if tried.is_empty() {
            findings.exclude(Rule::Mx18, &subject, "no public address");
            return Err(nowhere(&found));
        }
        let is_allowed = |address: &IpAddr| self.settings.allows(*address);
        if !found.addresses.iter().all(is_allowed) {
            findings.note(
                Rule::Mx18,
                &subject,
                "some addresses are not public and are left out",
            );
        }
        let fact = listed("addresses: ", &tried);
        findings.note(found.rule, &subject, fact);
        if !found.between.is_empty() && !found.bases.is_empty() {
            findings.note(Rule::Ad10, &subject, listed("", &found.between));
        }
        Ok((found, tried))
    }

    /// What the TLSA records demand. An error is never absence (RFC 7672, section 2.1.2).
    fn tlsa<'f>(
        &'f self,
        host: &DnsName,
        found: &'f AddressFacts,
        findings: &mut Findings,
    ) -> Result<Requirement<'f>, Obstacle> {
        let subject = Subject::Host(host.clone());
        let Ok(facts) = facts::tlsa(self.evidence, &found.bases) else {
            findings.exclude(Rule::T05, &subject, "its TLSA records were not asked for");
            return Err(Obstacle::Transient);
        };
        let (base, records) = match facts {
            TlsaFacts::Failed(trouble, rule) => {
                findings.exclude(rule, &subject, trouble_in_words(trouble));
                if self.sts.is_some() {
                    findings.note(Rule::X05, &subject, "");
                }
                return Err(self.unanswered(trouble));
            }
            TlsaFacts::Absent(_) if found.bases.is_empty() => {
                return Ok(Requirement::Certificate { unusable: false });
            }
            TlsaFacts::Absent(rule) => {
                let names = found.bases.iter().map(|base| self.owner(base));
                findings.note(rule, &subject, listed("asked for: ", names));
                return Ok(Requirement::Certificate { unusable: false });
            }
            TlsaFacts::Records {
                base,
                aliased,
                records,
            } => {
                if aliased {
                    findings.note(Rule::T08, &subject, "");
                }
                (base, records)
            }
        };
        let usable = dane::usable(records);
        note_unusable(records, usable.len(), &subject, findings);
        if usable.is_empty() {
            findings.note(Rule::T02, &subject, format!("records: {}", records.len()));
            return Ok(Requirement::Certificate { unusable: true });
        }
        findings.note(
            Rule::T01,
            &subject,
            format!("usable records at {}: {}", self.owner(base), usable.len()),
        );
        if !self.mx_secure {
            findings.note(Rule::T10, &subject, "");
        }
        if self.evidence.port != 25 {
            findings.note(Rule::T09, &subject, format!("port {}", self.evidence.port));
        }
        Ok(Requirement::Dane(Dane {
            base,
            records: usable,
            aliased: found.rule != Rule::Ad01,
        }))
    }

    /// Where the TLSA records for a name stand.
    fn owner(&self, base: &DnsName) -> String {
        format!("_{}._tcp.{base}", self.evidence.port)
    }

    /// Whether the domain's MTA-STS policy lets the host in (RFC 8461, section 4.1).
    fn sts_gate(
        &self,
        host: &DnsName,
        tlsa: &Requirement<'_>,
        findings: &mut Findings,
    ) -> Result<Listed, Obstacle> {
        let subject = Subject::Host(host.clone());
        let has_dane = matches!(tlsa, Requirement::Dane(_));
        let Some(policy) = &self.sts else {
            match tlsa {
                Requirement::Dane(_) => findings.note(Rule::X01, &subject, ""),
                Requirement::Certificate { unusable: false } => {
                    findings.note(Rule::X13, &subject, "");
                }
                // Something is published, and T-02 has said that it cannot be used.
                Requirement::Certificate { unusable: true } => {}
            }
            return Ok(Listed::No);
        };
        match (policy.mode, policy.names(host)) {
            (StsMode::Enforce, true) => {
                let rule = match tlsa {
                    Requirement::Dane(_) => Rule::X02,
                    Requirement::Certificate { unusable: true } => Rule::X06,
                    Requirement::Certificate { unusable: false } => Rule::X08,
                };
                findings.note(rule, &subject, "policy mode: enforce");
                Ok(Listed::Enforced)
            }
            (StsMode::Enforce, false) => {
                let rule = if has_dane { Rule::X03 } else { Rule::X09 };
                let fact = listed("the policy names ", policy.hosts());
                findings.exclude(rule, &subject, fact);
                Err(Obstacle::Published)
            }
            (StsMode::Testing, true) => {
                findings.note(Rule::X11, &subject, "policy mode: testing");
                Ok(Listed::Tested)
            }
            (StsMode::Testing, false) => {
                findings.note(Rule::X12, &subject, "policy mode: testing");
                Ok(Listed::No)
            }
            (StsMode::None, _) => Ok(Listed::No),
        }
    }

    /// S: how sure it is that the host may receive for the domain.
    fn authority(&self, host: &DnsName, listed: Listed, findings: &mut Findings) -> Authority {
        let subject = Subject::Host(host.clone());
        if self.mx_secure {
            return Authority::Dnssec;
        }
        if listed != Listed::No {
            return Authority::MtaSts;
        }
        if self.is_named_by_itself(host) {
            findings.note(Rule::S03, &subject, "");
            return Authority::Named;
        }
        match self.views {
            Views::Agree if !self.fell && !self.is_stable => {
                let days = self.settings.stable_for.as_secs() / 86_400;
                findings.note(Rule::S06, &subject, format!("asked for: {days} days"));
                Authority::Unsigned
            }
            Views::Agree if !self.fell => {
                findings.note(Rule::S01, &subject, "");
                Authority::Corroborated
            }
            Views::Agree => {
                findings.note(
                    Rule::H01,
                    &subject,
                    "other places agree, but the domain was safer",
                );
                Authority::Unsigned
            }
            Views::Differ => {
                findings.note(Rule::S02, &subject, "");
                Authority::Unsigned
            }
            Views::None => Authority::Unsigned,
        }
    }

    /// Whether only a certificate of the domain itself, or below it, can prove the host: whoever forges the
    /// list still needs that. Below a registry anybody may have one. A name of one label is known to be a
    /// registry; where one has more labels, only other vantages can tell that the list is forged.
    fn is_named_by_itself(&self, host: &DnsName) -> bool {
        let domain = &self.evidence.domain;
        let is_below = host.is_inside(domain) && domain.labels().count() > 1;
        host == domain || (is_below && self.views != Views::Differ)
    }

    fn dane(
        &self,
        host: &DnsName,
        Dane {
            base,
            records,
            aliased,
        }: Dane<'_>,
        findings: &mut Findings,
    ) -> (DnsName, Authentication) {
        let subject = Subject::Host(host.clone());
        // RFC 7672, section 3.2.2: an insecurely found host may bear its own name only, which for an
        // alias is the name at which its records stand: that name is asked for (section 8.1).
        let (rule, mut names) = if self.mx_secure {
            let rule = match (self.implicit, aliased, base == host) {
                (true, _, _) => Rule::N05,
                (false, false, _) => Rule::N01,
                (false, true, false) => Rule::N02,
                (false, true, true) => Rule::N03,
            };
            let names = [base, &self.evidence.domain, &self.expanded];
            (rule, names.map(Clone::clone).to_vec())
        } else {
            (Rule::N04, vec![base.clone()])
        };
        names.dedup();
        findings.admit(rule, &subject, format!("name asked for: {base}"));
        if aliased && self.sts.is_some() {
            findings.note(Rule::N07, &subject, "the policy is asked about the host");
        }
        if records.iter().all(|record| record.usage == 3) {
            findings.note(Rule::N08, &subject, "");
        }
        (base.clone(), Authentication::Dane { records, names })
    }

    /// Whether a certificate of a trusted root may decide (H2).
    fn check_certificate_is_enough(
        &self,
        host: &DnsName,
        unusable: bool,
        authority: Authority,
        findings: &mut Findings,
    ) -> Result<(), Obstacle> {
        let subject = Subject::Host(host.clone());
        if self.profile == Profile::DaneOnly {
            findings.exclude(Rule::S05, &subject, "only DANE is allowed");
            return Err(self.or_fell(host, Obstacle::Unproved));
        }
        // RFC 7671, section 10.3: records that nobody can use still ask for care.
        if unusable && authority < Authority::MtaSts {
            findings.exclude(Rule::X07, &subject, "");
            return Err(self.or_fell(host, self.if_unproved(authority)));
        }
        if self.was_dane(host) {
            findings.note(Rule::H01, &subject, "it had TLSA records before");
        }
        findings.admit(Rule::N06, &subject, format!("name asked for: {host}"));
        Ok(())
    }

    /// RFC 8689, section 4.2.1, step 2: DNSSEC or MTA-STS. A policy under test enforces nothing.
    fn check_require_tls(
        &self,
        authority: Authority,
        listed: Listed,
        subject: &Subject,
        findings: &mut Findings,
    ) -> Result<(), Obstacle> {
        if !self.evidence.message.require_tls {
            return Ok(());
        }
        if authority == Authority::Dnssec || listed == Listed::Enforced {
            findings.note(Rule::X15, subject, "");
            return Ok(());
        }
        findings.exclude(Rule::X15, subject, "neither names it");
        Err(if self.fell {
            Obstacle::Fell
        } else {
            Obstacle::Unproved
        })
    }

    fn must_name_domain(
        &self,
        authority: Authority,
        subject: &Subject,
        findings: &mut Findings,
    ) -> Result<bool, Obstacle> {
        let least = match self.profile {
            Profile::Basic => Authority::Unsigned,
            Profile::Standard => Authority::Corroborated,
            Profile::Strict => Authority::Named,
            Profile::DaneOnly => Authority::Dnssec,
        };
        if authority >= least {
            return Ok(false);
        }
        if least > Authority::Named {
            findings.exclude(Rule::S05, subject, "the list of mail servers is not signed");
            let before = if self.fell {
                Obstacle::Fell
            } else {
                Obstacle::Unproved
            };
            return Err(before);
        }
        findings.note(Rule::S04, subject, "");
        Ok(true)
    }

    /// What it means if the peer proves nothing.
    fn if_unproved(&self, authority: Authority) -> Obstacle {
        match (self.views, self.profile) {
            // Another look may agree; guessing would let one forged answer choose the vault.
            (Views::Differ, Profile::Standard | Profile::Strict)
                if authority < Authority::MtaSts =>
            {
                Obstacle::Transient
            }
            (Views::Agree | Views::Differ | Views::None, _) => Obstacle::Unproved,
        }
    }

    /// A lookup that failed: where the domain was safe before, an attack would look like this.
    pub(super) fn unanswered(&self, trouble: Trouble) -> Obstacle {
        match Obstacle::from(trouble) {
            Obstacle::Transient if history::was_secure(self.evidence, self.now) => Obstacle::Fell,
            other => other,
        }
    }

    fn was_dane(&self, host: &DnsName) -> bool {
        history::was_dane(self.evidence, host, self.now)
    }

    fn or_fell(&self, host: &DnsName, obstacle: Obstacle) -> Obstacle {
        if self.was_dane(host) || self.fell {
            Obstacle::Fell
        } else {
            obstacle
        }
    }
}

/// What the TLSA records of a host demand.
#[derive(Debug)]
enum Requirement<'a> {
    /// A certificate of a trusted root decides.
    Certificate {
        /// There are records, and none counts.
        unusable: bool,
    },
    /// A match.
    Dane(Dane<'a>),
}

/// A match that is demanded.
#[derive(Debug)]
struct Dane<'a> {
    /// The name at which the records stand.
    base: &'a DnsName,
    /// The records that count.
    records: Vec<Tlsa>,
    /// The host is an alias.
    aliased: bool,
}

/// How the MTA-STS policy speaks of a host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Listed {
    Enforced,
    No,
    Tested,
}

fn note_unusable(records: &[Tlsa], kept: usize, subject: &Subject, findings: &mut Findings) {
    let mut seen: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    for record in records {
        if let Some(rule) = dane::unusable(record) {
            seen.entry(rule).or_default().push(record_in_words(record));
        }
    }
    for (rule, shown) in seen {
        findings.note(rule, subject, shown.join("; "));
    }
    let counted = records
        .iter()
        .filter(|record| dane::unusable(record).is_none())
        .count();
    if kept < counted {
        findings.note(Rule::U06, subject, "");
    }
    if kept > 1 {
        findings.note(Rule::U07, subject, "");
    }
}

fn record_in_words(record: &Tlsa) -> String {
    let Tlsa {
        usage,
        selector,
        matching,
        data,
    } = record;
    let octets = data.len();
    format!("{usage} {selector} {matching} with {octets} octets")
}

const fn nowhere(found: &AddressFacts) -> Obstacle {
    if found.is_secure {
        Obstacle::Nowhere
    } else {
        Obstacle::Hidden
    }
}

/// The fact of a finding that rests on a bogus answer.
pub(super) const BOGUS: &str = "the DNS answer does not validate";

pub(super) const fn trouble_in_words(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Bogus => BOGUS,
        Trouble::Disagreement => DISPUTED,
        Trouble::OwnFault => "our own resolver is at fault",
        Trouble::Transient => "no usable DNS answer",
    }
}
