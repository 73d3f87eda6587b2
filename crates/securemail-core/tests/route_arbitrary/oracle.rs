//! A second reading of the evidence, written from the standards and not from the engine.
//!
//! It shares no code with the engine: what justifies a hop, a refusal or the vault is derived here anew,
//! slowly and plainly.

use std::net::IpAddr;
use std::time::Duration;

use securemail_core::backend::{RecipientOutcome, SessionOutcome, VantageView};
use securemail_core::limits::ALIAS_HOPS_MAX;
use securemail_core::route::{AttemptEvidence, Authentication, Authority, Hop, PeerFailure};
use securemail_core::vocab::{
    Answer, MxTarget, Outcome, Profile, RecordKind, Reply, Security, Tlsa, UnixTime,
};

use super::evidence::{Case, PUBLIC, question};
use super::pki::PKI;
use super::texts::{Meaning, Mode, read_announcement, read_policy};

const DAY: Duration = Duration::from_secs(86_400);
const MONTH: Duration = Duration::from_secs(30 * 86_400);
const FIRST_RETRY: Duration = Duration::from_secs(450);

/// Where a name led, where every step may be used.
pub(crate) struct Trail<'a> {
    pub(crate) names: Vec<String>,
    aliases: Vec<Security>,
    pub(crate) answer: &'a Answer,
}

impl Trail<'_> {
    /// Every step is signed (RFC 7672, section 2.1.3).
    pub(crate) fn is_secure(&self) -> bool {
        let last = self.answer.security;
        self.aliases
            .iter()
            .chain([&last])
            .all(|state| *state == Security::Secure)
    }

    fn last(&self) -> &str {
        self.names.last().unwrap()
    }
}

/// What is known of the domain's policy (RFC 8461, sections 3.3 and 5.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sts {
    /// This one applies.
    Policy(Meaning),
    /// None does.
    Nothing,
    /// It cannot be told.
    Unknown,
}

/// What the TLSA records of a host demand (RFC 7672, sections 2.1.2 and 2.2).
#[derive(Debug)]
pub(crate) enum Demand {
    /// It cannot be told, so that the host may not be used.
    Unclear,
    /// Nothing.
    Nothing,
    /// There are records and nobody can use one.
    Unusable,
    /// A match with one of these, which stand at this name.
    Match(String, Vec<Tlsa>),
}

impl Case {
    fn asked(&self, name: &str, kind: RecordKind) -> Option<&Answer> {
        let question = question(name, kind);
        let mut all = self
            .evidence
            .dns
            .iter()
            .filter(|asked| asked.question == question);
        all.next_back().map(|asked| &asked.answer)
    }

    /// Follows aliases; `None` where a step was not asked, failed, or may not be used.
    pub(crate) fn follow(&self, name: &str, kind: RecordKind) -> Option<Trail<'_>> {
        let mut names = vec![name.to_owned()];
        let mut aliases = Vec::new();
        loop {
            let answer = self.asked(names.last()?, kind)?;
            if !is_usable(answer, kind) {
                return None;
            }
            let Outcome::Alias(target) = &answer.outcome else {
                return Some(Trail {
                    names,
                    aliases,
                    answer,
                });
            };
            if aliases.len() == ALIAS_HOPS_MAX {
                return None;
            }
            aliases.push(answer.security);
            names.push(target.to_string());
        }
    }

    /// Whether every step was asked, whatever came back.
    fn is_asked(&self, name: &str, kind: RecordKind) -> bool {
        let mut name = name.to_owned();
        for _ in 0..=ALIAS_HOPS_MAX {
            match self.asked(&name, kind).map(|answer| &answer.outcome) {
                Some(Outcome::Alias(target)) => name = target.to_string(),
                Some(_) => return true,
                None => return false,
            }
        }
        true
    }

    pub(crate) fn domain(&self) -> &str {
        self.evidence.domain.as_str()
    }

    pub(crate) fn mail_servers(&self) -> Option<Trail<'_>> {
        self.follow(self.domain(), RecordKind::Mx)
    }

    /// The hosts with their preferences: by MX records, or the domain itself (RFC 5321, section 5.1).
    pub(crate) fn listed(&self) -> Vec<(u16, String)> {
        let Some(trail) = self.mail_servers() else {
            return Vec::new();
        };
        match &trail.answer.outcome {
            Outcome::NoData => vec![(0, self.domain().to_owned())],
            Outcome::Mx(records) => records
                .iter()
                .filter_map(|mx| match &mx.target {
                    MxTarget::Host(host) => Some((mx.preference, host.to_string())),
                    MxTarget::Invalid(_) | MxTarget::Null => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The lowest preference of a host; `None` where it is not listed.
    pub(crate) fn preference(&self, host: &str) -> Option<u16> {
        let listed = self.listed();
        let of_host = listed.iter().filter(|(_, name)| name == host);
        of_host.map(|(preference, _)| *preference).min()
    }

    /// The policy that was kept, where it is one and still in force.
    fn kept(&self) -> Option<Meaning> {
        let kept = self.evidence.sts.cached.as_ref()?;
        (kept.expires > self.now)
            .then(|| read_policy(&kept.body))
            .flatten()
    }

    pub(crate) fn sts(&self) -> Sts {
        let kept_or = |else_: Sts| self.kept().map_or(else_, Sts::Policy);
        let owner = format!("_mta-sts.{}", self.domain());
        let Some(trail) = self.follow(&owner, RecordKind::Txt) else {
            return kept_or(Sts::Unknown);
        };
        let id = match &trail.answer.outcome {
            Outcome::Txt(records) => read_announcement(records),
            _ => None,
        };
        let Some(id) = id else {
            return kept_or(Sts::Nothing);
        };
        let sts = &self.evidence.sts;
        let is_kept = sts.cached.as_ref().is_some_and(|kept| kept.id == id);
        if let (true, Some(policy)) = (is_kept, self.kept()) {
            return Sts::Policy(policy);
        }
        match &sts.fetched {
            Some(Ok(fetched)) => match read_policy(&fetched.body) {
                Some(policy) => Sts::Policy(policy),
                None => kept_or(Sts::Nothing),
            },
            Some(Err(_)) => kept_or(Sts::Nothing),
            None if self.failed_lately(id) => kept_or(Sts::Nothing),
            None => kept_or(Sts::Unknown),
        }
    }

    fn failed_lately(&self, id: &str) -> bool {
        let history = self.evidence.history.as_ref();
        let failed = history.and_then(|history| history.sts_failed.as_ref());
        failed.is_some_and(|failed| {
            let age = self.now.as_millis().checked_sub(failed.at.as_millis());
            failed.id == id && age.is_some_and(|age| age < 300_000)
        })
    }

    /// The policy that applies, where it names hosts.
    pub(crate) fn policy(&self) -> Option<Meaning> {
        match self.sts() {
            Sts::Policy(policy) if policy.mode != Mode::None => Some(policy),
            _ => None,
        }
    }

    pub(crate) fn enforced(&self) -> Option<Meaning> {
        self.policy().filter(|policy| policy.mode == Mode::Enforce)
    }

    /// What TLSA records demand of a host.
    pub(crate) fn demand(&self, host: &str) -> Demand {
        let families = [RecordKind::A, RecordKind::Aaaa].map(|kind| self.follow(host, kind));
        let usable = || families.iter().flatten();
        // RFC 7672, section 2.2.2: the last name of a signed chain, then the first; of a chain that is
        // signed at its first step only, the first.
        let candidates = match usable().find(|trail| trail.is_secure()) {
            Some(trail) if trail.aliases.is_empty() => vec![host],
            Some(trail) => vec![trail.last(), host],
            None if usable().any(|trail| trail.aliases.first() == Some(&Security::Secure)) => {
                vec![host]
            }
            None => vec![],
        };
        for base in candidates {
            let owner = format!("_{}._tcp.{base}", self.evidence.port);
            let Some(trail) = self.follow(&owner, RecordKind::Tlsa) else {
                return Demand::Unclear;
            };
            if let (Outcome::Tlsa(records), true) = (&trail.answer.outcome, trail.is_secure()) {
                let records = that_count(records);
                return if records.is_empty() {
                    Demand::Unusable
                } else {
                    Demand::Match(base.to_owned(), records)
                };
            }
        }
        Demand::Nothing
    }

    /// Addresses of a host that may be connected to.
    pub(crate) fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let families = [RecordKind::A, RecordKind::Aaaa].map(|kind| self.follow(host, kind));
        let found = families
            .iter()
            .flatten()
            .flat_map(|trail| match &trail.answer.outcome {
                Outcome::Addresses(found) => found.clone(),
                _ => Vec::new(),
            });
        let is_loopback_allowed = !self.settings.allow_networks.is_empty();
        found
            .filter(|address| {
                let is_public = PUBLIC.contains(&address.to_string().as_str());
                is_public || (is_loopback_allowed && address.to_string() == "127.0.0.1")
            })
            .collect()
    }

    /// Some host has no address to go to, and an answer that says so is not signed.
    pub(crate) fn hides_a_host(&self) -> bool {
        let is_signed = |host: &str, kind| self.follow(host, kind).is_some_and(|t| t.is_secure());
        self.before_ourselves().iter().any(|host| {
            let kinds = [RecordKind::A, RecordKind::Aaaa];
            self.addresses(host).is_empty() && !kinds.iter().all(|kind| is_signed(host, *kind))
        })
    }

    /// Whether every other place sees the same at every step: `None` where there is no other place.
    pub(crate) fn others_agree(&self) -> Option<bool> {
        let trail = self.mail_servers()?;
        let seen = |name: &String| -> Vec<&VantageView> {
            let question = question(name, RecordKind::Mx);
            let mut all = self
                .evidence
                .vantages
                .iter()
                .filter(|seen| seen.question == question);
            all.next_back()
                .into_iter()
                .flat_map(|seen| &seen.views)
                .collect()
        };
        if trail.names.iter().all(|name| seen(name).is_empty()) {
            return None;
        }
        Some(trail.names.iter().all(|name| {
            let ours = self.asked(name, RecordKind::Mx).unwrap();
            let views = seen(name);
            !views.is_empty() && views.iter().all(|view| sees_the_same(ours, &view.answer))
        }))
    }

    /// The list may be forged, and nothing that is signed or fetched speaks for its hosts.
    pub(crate) fn is_contradicted(&self) -> bool {
        let is_signed = self.mail_servers().is_some_and(|trail| trail.is_secure());
        let asks_others = matches!(self.evidence.profile, Profile::Standard | Profile::Strict);
        asks_others && !is_signed && self.policy().is_none() && self.others_agree() == Some(false)
    }

    /// The domain was safer before than what is found of it now.
    pub(crate) fn fell(&self) -> bool {
        let Some(history) = &self.evidence.history else {
            return false;
        };
        let is_signed = self.mail_servers().is_some_and(|trail| trail.is_secure());
        let was_signed = history
            .mx_secure_at
            .is_some_and(|at| self.now.since(at) <= MONTH);
        let was_enforced = history
            .sts_enforced_until
            .is_some_and(|until| until > self.now);
        (was_signed && !is_signed) || (was_enforced && !matches!(self.sts(), Sts::Policy(_)))
    }

    pub(crate) fn was_signed_or_dane(&self) -> bool {
        self.evidence.history.as_ref().is_some_and(|history| {
            let is_recent = |at: UnixTime| self.now.since(at) <= MONTH;
            // What an unsigned list alone named may have been a forger's, unless it is listed still.
            let listed = self.listed();
            let is_ours = |host: &str| listed.iter().any(|(_, name)| name == host);
            let mut hosts = history
                .hosts
                .iter()
                .filter(|host| host.authority >= 1 || is_ours(host.host.as_str()));
            history.mx_secure_at.is_some_and(is_recent)
                || hosts.any(|host| host.authentication >= 3 && is_recent(host.best_at))
        })
    }

    fn is_stable(&self) -> bool {
        if self.settings.stable_for.is_zero() {
            return true;
        }
        let mut now: Vec<String> = self.listed().into_iter().map(|(_, host)| host).collect();
        now.sort();
        now.dedup();
        self.evidence.history.as_ref().is_some_and(|history| {
            let before: Vec<String> = history.mx_set.iter().map(ToString::to_string).collect();
            let since = history.mx_set_since.map(|since| self.now.since(since));
            before == now && since.is_some_and(|since| since >= self.settings.stable_for)
        })
    }

    /// Whether S of a hop stands in the evidence.
    pub(crate) fn authority_is_there(&self, hop: &Hop) -> bool {
        let host = hop.host.as_str();
        match hop.authority {
            Authority::Dnssec => self.mail_servers().is_some_and(|trail| trail.is_secure()),
            Authority::MtaSts => self.policy().is_some_and(|policy| policy.names(host)),
            // Below a registry anybody may have a certificate. A name of one label is one; what else is,
            // nobody can tell, so others must not contradict.
            Authority::Named => {
                let below = format!(".{}", self.domain());
                let is_below = self.domain().contains('.') && host.ends_with(&below);
                host == self.domain() || (is_below && self.others_agree() != Some(false))
            }
            Authority::Corroborated => {
                self.others_agree() == Some(true) && !self.fell() && self.is_stable()
            }
            Authority::Unsigned => true,
            Authority::Operator => false,
        }
    }

    /// Whether the profile is met by what the hop has, or by what its certificate must bring.
    pub(crate) fn profile_is_met(&self, hop: &Hop) -> bool {
        let is_dane = matches!(hop.authenticate, Authentication::Dane { .. });
        match self.evidence.profile {
            Profile::Basic => true,
            Profile::Standard => hop.authority >= Authority::Corroborated || hop.must_name_domain,
            Profile::Strict => hop.authority >= Authority::Named || hop.must_name_domain,
            Profile::DaneOnly => hop.authority == Authority::Dnssec && is_dane,
        }
    }

    /// Whether H that a hop demands is what the evidence demands.
    pub(crate) fn proof_is_demanded(&self, hop: &Hop) -> bool {
        let host = hop.host.as_str();
        match (self.demand(host), &hop.authenticate) {
            (Demand::Unclear, _) => false,
            (Demand::Match(base, wanted), Authentication::Dane { records, names }) => {
                let trail = self.mail_servers().unwrap();
                // RFC 7672, section 3.2.2: only a signed list lends the name of the domain.
                let mut may_bear = vec![base.as_str()];
                if trail.is_secure() {
                    may_bear.extend([self.domain(), trail.last()]);
                }
                let fits = names.iter().all(|name| may_bear.contains(&name.as_str()));
                hop.sni.as_str() == base
                    && same_records(records, &wanted)
                    && fits
                    && names.iter().any(|name| name.as_str() == base)
            }
            (Demand::Nothing, Authentication::Pkix { name }) => *name == hop.host,
            // RFC 7671, section 10.3.
            (Demand::Unusable, Authentication::Pkix { name }) => {
                *name == hop.host && hop.authority >= Authority::MtaSts
            }
            (Demand::Match(..), Authentication::Pkix { .. }) => false,
            (Demand::Nothing | Demand::Unusable, Authentication::Dane { .. }) => false,
        }
    }

    /// The latest session with a host in the present round.
    pub(crate) fn session(&self, host: &str) -> Option<&AttemptEvidence> {
        let began = self.evidence.message.round_began;
        let mut all = self.evidence.attempts.iter();
        all.rfind(|attempt| attempt.host.as_str() == host && attempt.at >= began)
    }

    /// What peers that were proved said, the latest last.
    fn said(&self) -> impl Iterator<Item = (&AttemptEvidence, &RecipientOutcome)> {
        let reached_mail = |attempt: &&AttemptEvidence| {
            let outcome = &attempt.outcome;
            matches!(
                outcome,
                SessionOutcome::Completed | SessionOutcome::CalledOff
            )
        };
        let attempts = self.evidence.attempts.iter().filter(reached_mail);
        attempts.filter_map(|attempt| Some((attempt, attempt.recipient.as_ref()?)))
    }

    /// A permanent refusal by a peer that was proved.
    pub(crate) fn refusal(&self) -> Option<&Reply> {
        let latest = self.said().filter_map(|(_, said)| match said {
            RecipientOutcome::Refused(reply) => Some(reply),
            _ => None,
        });
        let noted = self.evidence.message.refusal.as_ref();
        let is_final = |reply: &&Reply| (500..600).contains(&reply.code());
        latest.last().filter(is_final).or(noted.filter(is_final))
    }

    /// Hosts that asked to come again later, in the present round.
    pub(crate) fn told_to_wait(&self) -> usize {
        let began = self.evidence.message.round_began;
        let deferred = |(attempt, said): &(&AttemptEvidence, &RecipientOutcome)| {
            attempt.at >= began && matches!(said, RecipientOutcome::Deferred(_))
        };
        self.said().filter(deferred).count()
    }

    /// The peer may have the message since less than half an hour.
    pub(crate) fn may_have_arrived(&self) -> bool {
        let mut attempts = self.evidence.attempts.iter();
        attempts.any(|attempt| {
            attempt.recipient == Some(RecipientOutcome::Unconfirmed)
                && attempt.at.plus(Duration::from_secs(1800)) > self.now
        })
    }

    /// The hosts that may be asked: those before the relay itself (RFC 5321, section 5.1).
    pub(crate) fn before_ourselves(&self) -> Vec<String> {
        let listed = self.listed();
        let is_own = |host: &str| {
            self.settings
                .own_hosts
                .iter()
                .any(|own| own.as_str() == host)
        };
        let own = listed.iter().filter(|(_, host)| is_own(host));
        let limit = own.map(|(preference, _)| *preference).min();
        let mut hosts: Vec<String> = listed
            .into_iter()
            .filter(|(_, host)| {
                limit.is_none_or(|limit| self.preference(host).is_some_and(|own| own < limit))
            })
            .map(|(_, host)| host)
            .collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// Something that the domain publishes is known not to be met by a host that could be used.
    pub(crate) fn is_unmet(&self, host: &str) -> bool {
        let families = [RecordKind::A, RecordKind::Aaaa];
        let is_asked = families.iter().all(|kind| self.is_asked(host, *kind));
        if !is_asked || self.addresses(host).is_empty() {
            return false;
        }
        let is_left_out = self.enforced().is_some_and(|policy| !policy.names(host));
        let asks_for_proof = match self.demand(host) {
            Demand::Unclear => return false,
            Demand::Match(..) => true,
            Demand::Nothing | Demand::Unusable => self.enforced().is_some(),
        };
        let failed = self
            .session(host)
            .is_some_and(|attempt| match &attempt.outcome {
                // The proof that was asked for was given, only the domain was not named.
                SessionOutcome::NotAuthenticated(failure) => *failure != PeerFailure::NotNamed,
                SessionOutcome::NoStartTls(_)
                | SessionOutcome::TlsFailed(_)
                | SessionOutcome::Injected => true,
                _ => false,
            });
        is_left_out || (asks_for_proof && failed)
    }

    /// Since when the absence of the domain is known, where that was seen within a day.
    pub(crate) fn absent_for(&self) -> Option<Duration> {
        let seen = self.evidence.history.as_ref()?.absent?;
        (self.now.since(seen.last) <= DAY).then(|| self.now.since(seen.since))
    }

    /// A cycle was waited for what cannot be told of the policy, or nothing depends on it (RFC 8461,
    /// section 10.2).
    pub(crate) fn has_waited_for_policy(&self) -> bool {
        let is_signed = self.mail_servers().is_some_and(|trail| trail.is_secure());
        self.sts() != Sts::Unknown || is_signed || self.age() >= FIRST_RETRY
    }
}

fn is_usable(answer: &Answer, kind: RecordKind) -> bool {
    let is_filtered = answer
        .extended_errors
        .iter()
        .any(|code| [4, 15, 16, 17, 18].contains(code));
    let is_known = matches!(answer.security, Security::Secure | Security::Insecure);
    let fits = match &answer.outcome {
        Outcome::Failed(_) => false,
        Outcome::Alias(_) | Outcome::NoData | Outcome::NxDomain => true,
        Outcome::Addresses(found) => {
            matches!(kind, RecordKind::A | RecordKind::Aaaa) && !found.is_empty()
        }
        Outcome::Caa(found) => kind == RecordKind::Caa && !found.is_empty(),
        Outcome::Mx(found) => kind == RecordKind::Mx && !found.is_empty(),
        Outcome::NameServers(found) => kind == RecordKind::Ns && !found.is_empty(),
        Outcome::Tlsa(found) => kind == RecordKind::Tlsa && !found.is_empty(),
        Outcome::Txt(found) => kind == RecordKind::Txt && !found.is_empty(),
    };
    !is_filtered && is_known && fits
}

fn sees_the_same(ours: &Answer, theirs: &Answer) -> bool {
    match (&ours.outcome, &theirs.outcome) {
        (Outcome::Failed(_), _) | (_, Outcome::Failed(_)) => false,
        (Outcome::Mx(ours), Outcome::Mx(theirs)) => {
            let all_in = |these: &[_], those: &[securemail_core::vocab::Mx]| {
                let mut these: std::slice::Iter<'_, securemail_core::vocab::Mx> = these.iter();
                these.all(|mx| those.iter().any(|other| other.target == mx.target))
            };
            all_in(ours, theirs) && all_in(theirs, ours)
        }
        (ours, theirs) => ours == theirs,
    }
}

/// RFC 7672, section 3.1, and RFC 7671, section 9.
fn that_count(records: &[Tlsa]) -> Vec<Tlsa> {
    let is_fine = |record: &&Tlsa| {
        let known = |matching| PKI.honest.association(record.selector, matching);
        let is_well_formed = match record.matching {
            // In full, the honest certificate and key are the only ones there are.
            0 => record.data == known(0),
            1 => record.data.len() == 32,
            2 => record.data.len() == 64,
            _ => false,
        };
        [2, 3].contains(&record.usage) && record.selector <= 1 && is_well_formed
    };
    let fine: Vec<&Tlsa> = records.iter().filter(is_fine).collect();
    let is_pushed_out = |record: &Tlsa| {
        record.matching == 1
            && fine.iter().any(|other| {
                other.matching == 2
                    && other.usage == record.usage
                    && other.selector == record.selector
            })
    };
    fine.iter()
        .filter(|record| !is_pushed_out(record))
        .map(|record| (*record).clone())
        .collect()
}

fn same_records(these: &[Tlsa], those: &[Tlsa]) -> bool {
    !these.is_empty()
        && these.iter().all(|record| those.contains(record))
        && those.iter().all(|record| these.contains(record))
}
