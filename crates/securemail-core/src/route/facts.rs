//! What the answers so far say, alias by alias, and which question comes next.
//!
//! The inquiry asks what is missing here; the policy judges what is there. Both read the same facts,
//! so nothing can be judged that was not asked.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::mta_sts::{StsMode, StsPolicy, announced_id};
use super::partners::{self, Taking};
use super::{Asked, Evidence, PolicySettings, Rule};
use crate::backend::{CachedPolicy, FailedFetch, FetchError};
use crate::limits::{ADDRESSES_PER_HOST_MAX, ALIAS_HOPS_MAX, MX_HOSTS_MAX, STS_FETCH_AGAIN_SECS};
use crate::vocab::{
    Answer, DnsName, LookupFailure, Mx, MxTarget, Outcome, Question, RecordKind, Security, Tlsa,
    UnixTime,
};

/// Why an answer cannot be used. None of them is ever absence (RFC 7672, section 2.1.1).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Trouble {
    /// Something did not answer, or answered with an error.
    Transient,
    /// Two validators differ: an attack would look like this.
    Disagreement,
    /// Ought to be signed and is not: an attack would look like this.
    Bogus,
    /// The resolver on our side is at fault.
    OwnFault,
}

/// Questions that must be answered first.
pub(super) type Missing = Vec<Question>;

/// Where a name led, alias by alias.
pub(super) struct Chain<'a> {
    /// What was asked of the last name.
    last: &'a Asked,
    /// The aliases on the way there.
    aliases: Vec<&'a Asked>,
    /// Why the last answer cannot be used.
    pub(super) trouble: Option<Trouble>,
}

impl<'a> Chain<'a> {
    /// The last name.
    pub(super) const fn name(&self) -> &'a DnsName {
        &self.last.question.name
    }

    /// The answer at the last name.
    pub(super) const fn answer(&self) -> &'a Answer {
        &self.last.answer
    }

    /// Whether the first name is an alias.
    pub(super) const fn is_aliased(&self) -> bool {
        !self.aliases.is_empty()
    }

    /// The state of the first alias.
    fn first_alias(&self) -> Option<Security> {
        self.aliases.first().map(|asked| asked.answer.security)
    }

    /// Every question that was asked on the way.
    pub(super) fn questions(&self) -> impl Iterator<Item = &'a Question> {
        let asked = self.aliases.iter().copied().chain([self.last]);
        asked.map(|asked| &asked.question)
    }

    /// As sure as the least sure step (RFC 7672, section 2.1.3).
    pub(super) fn is_secure(&self) -> bool {
        let mut steps = self.aliases.iter().copied().chain([self.last]);
        self.trouble.is_none() && steps.all(|asked| asked.answer.security == Security::Secure)
    }
}

/// Follows a name from alias to alias through the answers.
pub(super) fn walk<'a>(
    evidence: &'a Evidence,
    name: &DnsName,
    kind: RecordKind,
) -> Result<Chain<'a>, Question> {
    match evidence.asked(name, kind) {
        Some(first) => follow(evidence, first),
        None => Err(Question::new(name.clone(), kind)),
    }
}

/// The same for `base` below `label`; `None` where that is too long to be a name.
pub(super) fn walk_below<'a>(
    evidence: &'a Evidence,
    label: &str,
    base: &DnsName,
    kind: RecordKind,
) -> Result<Option<Chain<'a>>, Question> {
    if let Some(first) = evidence.asked_below(label, base, kind) {
        return follow(evidence, first).map(Some);
    }
    match base.below(label) {
        Ok(name) => Err(Question::new(name, kind)),
        Err(_) => Ok(None),
    }
}

fn follow<'a>(evidence: &'a Evidence, first: &'a Asked) -> Result<Chain<'a>, Question> {
    let kind = first.question.kind;
    let mut last = first;
    let mut aliases: Vec<&Asked> = Vec::new();
    loop {
        let mut trouble = trouble(&last.answer, kind);
        if let (Outcome::Alias(target), None) = (&last.answer.outcome, trouble) {
            let was_asked = aliases.iter().any(|asked| asked.question == last.question);
            if aliases.len() < ALIAS_HOPS_MAX && !was_asked {
                aliases.push(last);
                last = evidence
                    .asked(target, kind)
                    .ok_or_else(|| Question::new(target.clone(), kind))?;
                continue;
            }
            // A loop, or a chain without end, is a failed lookup (RFC 5321, section 5.1).
            trouble = Some(Trouble::Transient);
        }
        return Ok(Chain {
            last,
            aliases,
            trouble,
        });
    }
}

/// Whether an answer cannot be used, and why.
pub(super) fn trouble(answer: &Answer, kind: RecordKind) -> Option<Trouble> {
    // RFC 8914: forged, blocked, censored, filtered, prohibited. Somebody on our side did it.
    if answer
        .extended_errors
        .iter()
        .any(|code| matches!(code, 4 | 15..=18))
    {
        return Some(Trouble::OwnFault);
    }
    let fits = match (&answer.outcome, kind) {
        (Outcome::Failed(failure), _) => return Some(of_failure(*failure)),
        (Outcome::Addresses(found), RecordKind::A | RecordKind::Aaaa) => !found.is_empty(),
        (Outcome::Caa(found), RecordKind::Caa) => !found.is_empty(),
        (Outcome::Mx(found), RecordKind::Mx) => !found.is_empty(),
        (Outcome::NameServers(found), RecordKind::Ns) => !found.is_empty(),
        (Outcome::Tlsa(found), RecordKind::Tlsa) => !found.is_empty(),
        (Outcome::Txt(found), RecordKind::Txt) => !found.is_empty(),
        (Outcome::Alias(_) | Outcome::NoData | Outcome::NxDomain, _) => true,
        (
            Outcome::Addresses(_)
            | Outcome::Caa(_)
            | Outcome::Mx(_)
            | Outcome::NameServers(_)
            | Outcome::Tlsa(_)
            | Outcome::Txt(_),
            _,
        ) => false,
    };
    match answer.security {
        // RFC 7672, section 2.1.1: indeterminate is treated as bogus.
        Security::Bogus | Security::Indeterminate => Some(Trouble::Bogus),
        Security::Insecure | Security::Secure => (!fits).then_some(Trouble::Transient),
    }
}

const fn of_failure(failure: LookupFailure) -> Trouble {
    match failure {
        LookupFailure::Bogus => Trouble::Bogus,
        LookupFailure::Disagreement => Trouble::Disagreement,
        LookupFailure::Unusable => Trouble::OwnFault,
        LookupFailure::FormErr
        | LookupFailure::Malformed
        | LookupFailure::NotImp
        | LookupFailure::Refused
        | LookupFailure::ServFail
        | LookupFailure::Timeout => Trouble::Transient,
    }
}

/// What the MX lookup of the domain gave.
pub(super) struct MxFacts<'a> {
    /// The chain of answers.
    pub(super) chain: Chain<'a>,
    /// What it says.
    pub(super) listing: Listing,
    /// They are named by the domain's record of NTA 7516, and not by MX records.
    pub(super) by_record: bool,
}

/// Mail exchangers, or why there are none.
pub(super) enum Listing {
    /// The domain does not exist.
    Absent,
    /// It cannot be told.
    Failed(Trouble),
    /// These hosts, in the order in which they are tried.
    Hosts(Hosts),
    /// A null MX (RFC 7505), with its preference.
    Null(u16),
}

/// Hosts of a domain.
pub(super) struct Hosts {
    /// In the order in which they are tried.
    pub(super) hosts: Vec<(u16, DnsName)>,
    /// The domain has no MX records and is its own host.
    pub(super) implicit: bool,
    /// Targets that are no host names.
    pub(super) invalid: Vec<String>,
    /// There were more than are looked at.
    pub(super) cut: bool,
    /// A null MX stood among them.
    pub(super) null: bool,
}

/// The mail servers of the domain: by its MX records, or by what stands in for them.
pub(super) fn mx(evidence: &Evidence) -> Result<MxFacts<'_>, Question> {
    if let Taking::Yes(part) = partners::taking(evidence)?
        && !part.hosts.is_empty()
    {
        return Ok(MxFacts {
            listing: listed(&part.hosts, evidence),
            chain: part.chain,
            by_record: true,
        });
    }
    mx_records(evidence)
}

/// Reads the MX lookup.
pub(super) fn mx_records(evidence: &Evidence) -> Result<MxFacts<'_>, Question> {
    let chain = walk(evidence, &evidence.domain, RecordKind::Mx)?;
    let listing = match (&chain.answer().outcome, chain.trouble) {
        (_, Some(trouble)) => Listing::Failed(trouble),
        (Outcome::NxDomain, None) => Listing::Absent,
        (Outcome::NoData, None) => Listing::Hosts(implicit(&evidence.domain)),
        (Outcome::Mx(records), None) => listed(records, evidence),
        (
            Outcome::Addresses(_)
            | Outcome::Alias(_)
            | Outcome::Caa(_)
            | Outcome::Failed(_)
            | Outcome::NameServers(_)
            | Outcome::Tlsa(_)
            | Outcome::Txt(_),
            None,
        ) => Listing::Failed(Trouble::Transient),
    };
    Ok(MxFacts {
        chain,
        listing,
        by_record: false,
    })
}

fn implicit(domain: &DnsName) -> Hosts {
    Hosts {
        hosts: vec![(0, domain.clone())],
        implicit: true,
        invalid: Vec::new(),
        cut: false,
        null: false,
    }
}

fn listed(records: &[Mx], evidence: &Evidence) -> Listing {
    let mut hosts: Vec<(u16, DnsName)> = Vec::with_capacity(records.len());
    let mut invalid = Vec::new();
    let mut null = None;
    for Mx { preference, target } in records {
        match target {
            MxTarget::Host(host) if hosts.iter().any(|(_, seen)| seen == host) => {
                for seen in hosts.iter_mut().filter(|(_, seen)| seen == host) {
                    seen.0 = seen.0.min(*preference);
                }
            }
            MxTarget::Host(host) => hosts.push((*preference, host.clone())),
            MxTarget::Invalid(text) => invalid.push(text.clone()),
            MxTarget::Null => null = null.or(Some(*preference)),
        }
    }
    if let (Some(preference), true, true) = (null, hosts.is_empty(), invalid.is_empty()) {
        return Listing::Null(preference);
    }
    hosts.sort();
    // RFC 5321, section 5.1: equal preferences in random order. It is drawn from the message, so that
    // the same evidence gives the same order.
    let is_shared =
        |pair: &[(u16, DnsName)]| matches!(pair, [(one, _), (other, _)] if one == other);
    if hosts.windows(2).any(is_shared) {
        hosts.sort_by_cached_key(|(preference, host)| (*preference, draw(evidence, host)));
    }
    let cut = hosts.len() > MX_HOSTS_MAX;
    hosts.truncate(MX_HOSTS_MAX);
    Listing::Hosts(Hosts {
        hosts,
        implicit: false,
        invalid,
        cut,
        null: null.is_some(),
    })
}

/// A number that looks random and depends on the message and `about` alone.
pub(super) fn draw(evidence: &Evidence, about: &DnsName) -> u64 {
    let mut hash = Sha256::new();
    hash.update(evidence.message.accepted.as_millis().to_be_bytes());
    hash.update(evidence.message.size.to_be_bytes());
    hash.update(evidence.domain.as_str());
    hash.update([0]);
    hash.update(about.as_str());
    let digest: [u8; 32] = hash.finalize().into();
    digest
        .iter()
        .take(8)
        .fold(0, |number, octet| (number << 8) | u64::from(*octet))
}

/// What the address lookups of a host gave.
pub(super) struct AddressFacts {
    /// All addresses, the families in turn (RFC 5321, section 5.1).
    pub(super) addresses: Vec<IpAddr>,
    /// Why there are none, or fewer.
    pub(super) trouble: Option<Trouble>,
    /// Every answer is signed: nobody on the way made them.
    pub(super) is_secure: bool,
    /// Names at which TLSA records may stand, in the order in which they are asked (RFC 7672,
    /// section 2.2.2). Empty: DANE does not apply.
    pub(super) bases: Vec<DnsName>,
    /// The rule that settled them.
    pub(super) rule: Rule,
    /// It failed at an alias, of which it cannot be told whether it is signed.
    pub(super) alias_in_doubt: bool,
    /// Names between the first and the last.
    pub(super) between: Vec<DnsName>,
}

impl AddressFacts {
    /// Those that may be tried, and whether some of them are left for want of a place. What may not be
    /// connected to is left out first, so that it takes no place.
    pub(super) fn to_try(&self, settings: &PolicySettings) -> (Vec<IpAddr>, bool) {
        let allowed = self.addresses.iter().copied();
        let mut allowed = allowed.filter(|address| settings.allows(*address));
        let tried = allowed.by_ref().take(ADDRESSES_PER_HOST_MAX).collect();
        (tried, allowed.next().is_some())
    }
}

/// Reads the address lookups of a host.
pub(super) fn addresses(evidence: &Evidence, host: &DnsName) -> Result<AddressFacts, Missing> {
    let (v4, v6) = match (
        walk(evidence, host, RecordKind::A),
        walk(evidence, host, RecordKind::Aaaa),
    ) {
        (Ok(v4), Ok(v6)) => (v4, v6),
        (v4, v6) => return Err(v4.err().into_iter().chain(v6.err()).collect()),
    };
    let trouble = v4.trouble.max(v6.trouble);
    let families = [&v6, &v4].map(|chain| match (&chain.answer().outcome, chain.trouble) {
        (Outcome::Addresses(found), None) => found.as_slice(),
        _ => &[],
    });
    let addresses = in_turn(families);
    let is_alias = |chain: &Chain<'_>| matches!(chain.answer().outcome, Outcome::Alias(_));
    let alias_in_doubt = is_alias(&v4) || is_alias(&v6);
    let longest = if v4.aliases.len() >= v6.aliases.len() {
        &v4.aliases
    } else {
        &v6.aliases
    };
    let between = longest.iter().skip(1);
    let between = between.map(|asked| asked.question.name.clone()).collect();
    let is_secure = v4.is_secure() && v6.is_secure();
    let (bases, rule) = bases(host, &[v4, v6]);
    Ok(AddressFacts {
        addresses,
        trouble,
        is_secure,
        bases,
        rule,
        alias_in_doubt,
        between,
    })
}

fn in_turn([first, second]: [&[IpAddr]; 2]) -> Vec<IpAddr> {
    let mut found = Vec::with_capacity(first.len().saturating_add(second.len()));
    for index in 0..first.len().max(second.len()) {
        found.extend(
            first
                .get(index)
                .into_iter()
                .chain(second.get(index))
                .copied(),
        );
    }
    found
}

/// Where TLSA records may stand (RFC 7672, sections 2.1.3, 2.2.2): a family that failed says nothing,
/// the other decides.
fn bases(host: &DnsName, families: &[Chain<'_>]) -> (Vec<DnsName>, Rule) {
    let usable = || families.iter().filter(|chain| chain.trouble.is_none());
    if let Some(secure) = usable().find(|chain| chain.is_secure()) {
        return if secure.is_aliased() {
            (vec![secure.name().clone(), host.clone()], Rule::Ad06)
        } else {
            (vec![host.clone()], Rule::Ad01)
        };
    }
    let first_alias = usable().filter_map(Chain::first_alias).max();
    match first_alias {
        Some(Security::Secure) => (vec![host.clone()], Rule::Ad07),
        Some(_) => (Vec::new(), Rule::Ad08),
        None => (Vec::new(), Rule::Ad05),
    }
}

/// What the TLSA lookups of a host gave.
pub(super) enum TlsaFacts<'a> {
    /// No records that are proved; the rule says why.
    Absent(Rule),
    /// It cannot be told, so the host cannot be used (RFC 7672, section 2.1.2).
    Failed(Trouble, Rule),
    /// Signed records.
    Records {
        /// The name that they stand for.
        base: &'a DnsName,
        /// They stand behind an alias.
        aliased: bool,
        /// The records.
        records: &'a [Tlsa],
    },
}

/// Reads the TLSA lookups, one candidate after the other.
pub(super) fn tlsa<'a>(
    evidence: &'a Evidence,
    bases: &'a [DnsName],
) -> Result<TlsaFacts<'a>, Question> {
    let mut rule = Rule::T03;
    let label = match evidence.port {
        25 => Cow::Borrowed("_25._tcp"),
        port => Cow::Owned(format!("_{port}._tcp")),
    };
    for base in bases {
        // A name that is too long cannot exist.
        let Some(chain) = walk_below(evidence, &label, base, RecordKind::Tlsa)? else {
            continue;
        };
        if let Some(trouble) = chain.trouble {
            let rule = match (&chain.answer().outcome, bases.first() == Some(base)) {
                // An answer without its proof: stripping the records gives just this.
                (Outcome::Failed(LookupFailure::Malformed), _) => Rule::T07,
                (_, true) if bases.len() > 1 => Rule::T06,
                (_, _) => Rule::T05,
            };
            return Ok(TlsaFacts::Failed(trouble, rule));
        }
        match &chain.answer().outcome {
            Outcome::Tlsa(records) if chain.is_secure() => {
                let aliased = chain.is_aliased();
                return Ok(TlsaFacts::Records {
                    base,
                    aliased,
                    records,
                });
            }
            Outcome::Tlsa(_) => rule = Rule::T04,
            _ if !chain.is_secure() => rule = Rule::T04,
            _ => {}
        }
    }
    Ok(TlsaFacts::Absent(rule))
}

/// What is known of the domain's MTA-STS policy.
pub(super) enum StsFacts {
    /// The announced policy must be fetched; its id.
    Fetch(String),
    /// This policy applies, or none.
    Known(Option<StsPolicy>, Rule),
    /// It cannot be told, and none is kept.
    Unknown,
}

/// Where the announcement of a policy is asked for.
pub(super) fn announcing(evidence: &Evidence) -> Result<Option<Chain<'_>>, Question> {
    walk_below(evidence, "_mta-sts", &evidence.domain, RecordKind::Txt)
}

/// Reads the MTA-STS lookups (RFC 8461, sections 3.1, 3.3, 5.1).
pub(super) fn sts(evidence: &Evidence, now: UnixTime) -> Result<StsFacts, Question> {
    let Some(chain) = announcing(evidence)? else {
        return Ok(StsFacts::Known(None, Rule::P01));
    };
    let kept = in_force(evidence, now);
    // Whoever can hide the record must not be able to switch off a policy that is still in force.
    let fall_back = |with: Rule, without: Rule| match kept.and_then(parsed) {
        Some(policy) => applied(policy, with),
        None => StsFacts::Known(None, without),
    };
    if chain.trouble.is_some() {
        return Ok(match kept.and_then(parsed) {
            Some(policy) => applied(policy, Rule::P03),
            None => StsFacts::Unknown,
        });
    }
    let Outcome::Txt(records) = &chain.answer().outcome else {
        return Ok(fall_back(Rule::P02, Rule::P01));
    };
    let Some(id) = announced_id(records) else {
        return Ok(fall_back(Rule::P02, Rule::P05));
    };
    if let Some(policy) = kept.filter(|kept| kept.id == id).and_then(parsed) {
        return Ok(applied(policy, Rule::P08));
    }
    Ok(match &evidence.sts.fetched {
        None => match failed_lately(evidence, &id, now) {
            Some(error) => fall_back(Rule::P10, of_fetch(error)),
            None => StsFacts::Fetch(id),
        },
        Some(Ok(fetched)) => match parsed(fetched) {
            Some(policy) => applied(policy, Rule::P09),
            None => fall_back(Rule::P10, Rule::P19),
        },
        Some(Err(error)) => fall_back(Rule::P10, of_fetch(error)),
    })
}

/// The same where nothing more is asked: what is missing is no absence, so a policy that is kept and
/// still in force applies (RFC 8461, section 3.3).
pub(super) fn sts_as_it_is(evidence: &Evidence, now: UnixTime) -> StsFacts {
    match sts(evidence, now) {
        Ok(facts @ (StsFacts::Known(..) | StsFacts::Unknown)) => facts,
        Ok(StsFacts::Fetch(_)) | Err(_) => in_force(evidence, now)
            .and_then(parsed)
            .map_or(StsFacts::Unknown, |policy| applied(policy, Rule::P03)),
    }
}

/// What is kept, as long as it is in force.
fn in_force(evidence: &Evidence, now: UnixTime) -> Option<&CachedPolicy> {
    let kept = evidence.sts.cached.as_ref()?;
    (kept.expires > now).then_some(kept)
}

/// What the TXT records at `_mta-sts.<domain>` say now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Announcement {
    /// A policy, under this id.
    Id(String),
    /// None.
    Nothing,
    /// It cannot be told.
    Unknown,
}

/// Reads the announcement of a policy from the answers of `evidence`.
///
/// # Errors
/// The question that must be answered first.
pub fn announcement(evidence: &Evidence) -> Result<Announcement, Question> {
    let Some(chain) = announcing(evidence)? else {
        return Ok(Announcement::Nothing);
    };
    Ok(match (&chain.answer().outcome, chain.trouble) {
        (_, Some(_)) => Announcement::Unknown,
        (Outcome::Txt(records), None) => {
            announced_id(records).map_or(Announcement::Nothing, Announcement::Id)
        }
        (_, None) => Announcement::Nothing,
    })
}

/// Whether the announcement of a policy stands behind an alias.
pub(super) fn announced_behind(evidence: &Evidence) -> Option<DnsName> {
    let chain = announcing(evidence).ok()??;
    chain.is_aliased().then(|| chain.name().clone())
}

/// Forgets what anybody may have forged, what others see of that, and what was asked about the announcement of a policy
/// with the fetch that followed.
pub(super) fn forget_unproved(evidence: &mut Evidence) {
    evidence.dns.retain(|asked| {
        asked.answer.security == Security::Secure && asked.question.kind != RecordKind::Txt
    });
    evidence.vantages.clear();
    evidence.sts.fetched = None;
}

/// A fetch that failed so lately that it is not made again (RFC 8461, section 3.3).
fn failed_lately<'a>(evidence: &'a Evidence, id: &str, now: UnixTime) -> Option<&'a FetchError> {
    let failed = evidence.history.as_ref()?.sts_failed.as_ref()?;
    let again = failed.at.plus(Duration::from_secs(STS_FETCH_AGAIN_SECS));
    (failed.id == id && failed.at <= now && now < again).then_some(&failed.error)
}

/// The fetch of this inquiry, if it gave no policy; it ended at `at`.
pub(super) fn failed_fetch(evidence: &Evidence, at: UnixTime) -> Option<FailedFetch> {
    let error = match evidence.sts.fetched.as_ref()? {
        Ok(fetched) if parsed(fetched).is_some() => return None,
        Ok(_) => FetchError::Malformed,
        Err(error) => error.clone(),
    };
    let chain = announcing(evidence).ok()??;
    let Outcome::Txt(records) = &chain.answer().outcome else {
        return None;
    };
    let id = announced_id(records)?;
    Some(FailedFetch { id, at, error })
}

fn parsed(policy: &CachedPolicy) -> Option<StsPolicy> {
    StsPolicy::parse(&policy.body).ok()
}

fn applied(policy: StsPolicy, rule: Rule) -> StsFacts {
    match policy.mode {
        StsMode::Enforce | StsMode::Testing => StsFacts::Known(Some(policy), rule),
        StsMode::None => StsFacts::Known(None, Rule::P26),
    }
}

const fn of_fetch(error: &FetchError) -> Rule {
    match error {
        FetchError::Certificate => Rule::P12,
        FetchError::NoAddress => Rule::P18,
        FetchError::Status(300..=399) => Rule::P13,
        FetchError::Status(_) => Rule::P14,
        FetchError::MediaType => Rule::P15,
        FetchError::Malformed => Rule::P19,
        FetchError::TooLarge => Rule::P16,
        FetchError::Unreachable => Rule::P11,
    }
}
