//! The standard policy: from evidence and time to a route (rules MX, P, X, R and G).

use std::time::Duration;

use super::decision::{Findings, Subject, listed};
use super::facts::{self, Chain, Hosts, Listing, MxFacts, StsFacts, Trouble};
use super::history;
use super::host::{Admitted, Context, Obstacle, Views, trouble_in_words};
use super::mta_sts::{StsMode, StsPolicy};
use super::outcome::{self, Ending};
use super::partners;
use super::sessions::{self, Sessions};
use super::{
    Authentication, Decision, DeferClass, Evidence, PolicySettings, Route, Rule, VaultReason,
};
use crate::backend::{TransportPolicy, VantageView};
use crate::vocab::{
    Answer, DnsName, EnhancedStatus, Mx, MxTarget, Outcome, Question, Security, UnixTime,
};

/// Names that are reserved for other uses (RFC 6761, 7686, 8375, 9476). `test` and `example` are
/// whatever the DNS says.
const RESERVED: [&str; 6] = ["alt", "home.arpa", "invalid", "local", "localhost", "onion"];

/// Decides by the rules of this product. Pure: the same evidence and time give the same decision.
#[derive(Clone, Debug, Default)]
pub struct StandardPolicy {
    settings: PolicySettings,
}

impl StandardPolicy {
    /// With these clocks and exceptions.
    #[must_use]
    pub const fn new(settings: PolicySettings) -> Self {
        Self { settings }
    }

    /// Its clocks and exceptions.
    #[must_use]
    pub const fn settings(&self) -> &PolicySettings {
        &self.settings
    }
}

impl TransportPolicy for StandardPolicy {
    fn decide(&self, evidence: &Evidence, now: UnixTime) -> Decision {
        let mut findings = Findings::default();
        let judge = Judge {
            evidence,
            settings: &self.settings,
            now,
        };
        let route = judge.route(&mut findings);
        Decision {
            domain: evidence.domain.clone(),
            route,
            findings: findings.into_vec(),
            decided_at: now,
            fresh_until: fresh_until(evidence, now),
        }
    }
}

/// Whether a name can never be a recipient domain (MX-24).
pub(super) fn is_reserved(domain: &DnsName) -> bool {
    domain.labels().count() < 2 || RESERVED.iter().any(|reserved| domain.ends_in(reserved))
}

/// A host and what was found about it.
type Judgement = (DnsName, Result<Admitted, Obstacle>);

/// One decision in the making.
pub(super) struct Judge<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) settings: &'a PolicySettings,
    pub(super) now: UnixTime,
}

impl Judge<'_> {
    fn route(&self, findings: &mut Findings) -> Route {
        if is_reserved(&self.evidence.domain) {
            findings.refuse(Rule::Mx24, &self.domain(), "");
            return bounce(Rule::Mx24, EnhancedStatus::new(5, 1, 2));
        }
        // What was said on a proved session is final, whatever the DNS says now.
        if let Some(route) = self.refused(findings) {
            return route;
        }
        if sessions::unconfirmed_before(self.evidence) {
            findings.note(
                Rule::R09,
                &self.domain(),
                "what follows is a possible duplicate",
            );
        }
        let judged = match self.hosts(findings) {
            Ok(judged) => judged,
            Err(route) => return route,
        };
        let mut hops = Vec::new();
        let mut obstacles = Vec::new();
        for (_, judgement) in judged {
            match judgement {
                Ok(admitted) => hops.push(admitted.hop),
                Err(obstacle) => obstacles.push(obstacle),
            }
        }
        let worst = Obstacle::of_all(&obstacles);
        // RFC 5321, section 4.2.1: one more host after a "try again later", then wait.
        let deferred = Sessions::of_this_round(self.evidence).deferred();
        if hops.is_empty() {
            let route = outcome::settle(&self.ending(), worst, findings);
            return self.confirmed(route, findings);
        }
        if deferred >= 2 {
            let worst = worst.max(Obstacle::Transient);
            let route = outcome::settle(&self.ending(), worst, findings);
            return self.confirmed(route, findings);
        }
        Route::Deliver(hops)
    }

    /// Nothing final rests on answers without proof that we kept, or happens under a policy in mode enforce before its
    /// announcement was asked for once more (RFC 8461, section 5.1): whoever repaired it must not lose mail to what we
    /// keep, and what was forged once must not confirm itself.
    fn confirmed(&self, route: Route, findings: &mut Findings) -> Route {
        let route = self.by_fresh_answers(route, findings);
        if !is_final(&route) || !self.is_enforced() {
            return route;
        }
        let asked = self.evidence.sts.confirmed;
        match asked.filter(|at| *at >= self.evidence.message.round_began) {
            Some(at) => {
                findings.note(Rule::G05, &self.domain(), format!("asked again at {at}"));
                route
            }
            None => self.ask_again("to be asked again", findings),
        }
    }

    /// Nothing final rests on answers without proof that were asked for before this round.
    fn by_fresh_answers(&self, route: Route, findings: &mut Findings) -> Route {
        if is_final(&route) && self.rests_on_kept(self.evidence.message.round_began) {
            return self.ask_again(KEPT, findings);
        }
        route
    }

    fn ask_again(&self, what: &'static str, findings: &mut Findings) -> Route {
        findings.hold(Rule::G05, &self.domain(), what);
        // A driver asks at once; where it cannot, this is how long the message waits.
        Route::Defer {
            class: DeferClass::Suspicious,
            not_before: self.now.plus(outcome::RETRY_MIN),
        }
    }

    /// Whether an answer without proof was asked for before `since`. Its TTL was written by whoever may have forged it.
    fn rests_on_kept(&self, since: UnixTime) -> bool {
        let is_kept = |answer: &Answer| {
            answer.security != Security::Secure && answer.asked.is_some_and(|at| at < since)
        };
        self.evidence.dns.iter().any(|asked| is_kept(&asked.answer))
    }

    fn is_enforced(&self) -> bool {
        matches!(
            facts::sts_as_it_is(self.evidence, self.now),
            StsFacts::Known(Some(policy), _) if policy.mode == StsMode::Enforce
        )
    }

    /// The hosts in order, each judged; or what happens because there are none to judge.
    pub(super) fn hosts(&self, findings: &mut Findings) -> Result<Vec<Judgement>, Route> {
        if !self.evidence.message.vault_required {
            self.part(findings)
                .map_err(|route| self.by_fresh_answers(route, findings))?;
        }
        let mx =
            facts::mx(self.evidence).map_err(|_| self.mx_failed(Trouble::Transient, findings))?;
        let hosts = match &mx.listing {
            Listing::Failed(_) if self.evidence.message.vault_required => {
                return Err(self.required(findings));
            }
            Listing::Failed(trouble) => return Err(self.mx_failed(*trouble, findings)),
            Listing::Absent => return Err(self.denied(&mx, Denial::ABSENT, findings)),
            Listing::Null(preference) => {
                if *preference != 0 {
                    let fact = format!("preference {preference}");
                    findings.note(Rule::Mx14, &self.domain(), fact);
                }
                return Err(self.denied(&mx, Denial::NULL, findings));
            }
            Listing::Hosts(hosts) => hosts,
        };
        self.note_listing(&mx, hosts, findings);
        if self.evidence.message.vault_required {
            return Err(self.required(findings));
        }
        if let Some(not_before) = sessions::unconfirmed(self.evidence, self.now) {
            findings.hold(Rule::R09, &self.domain(), "");
            return Err(self.ending().unconfirmed(not_before, findings));
        }
        let sts = self.sts(&mx, findings)?;
        let kept = self.without_ourselves(hosts, findings);
        if kept.is_empty() && !hosts.hosts.is_empty() {
            return Err(self.denied(&mx, Denial::LOOP, findings));
        }
        let context = self.context(&mx, hosts, sts);
        if context.fell {
            findings.note(Rule::H01, &self.domain(), "");
        }
        let sessions = Sessions::of_this_round(self.evidence);
        let judge = |host: &DnsName| {
            let judged = context.judge(host, findings);
            let untried = judged.and_then(|admitted| self.untried(admitted, &sessions, findings));
            (host.clone(), untried)
        };
        Ok(kept.into_iter().map(judge).collect())
    }

    /// Whether an MTA-STS policy applies to the domain, or might.
    pub(super) fn has_sts_policy(&self) -> bool {
        !matches!(
            facts::sts_as_it_is(self.evidence, self.now),
            StsFacts::Known(None, _)
        )
    }

    /// When to look again.
    pub(super) fn next_try(&self) -> UnixTime {
        self.ending().next_try()
    }

    /// Leaves out a host whose session of this round failed, and says what that means.
    fn untried(
        &self,
        admitted: Admitted,
        sessions: &Sessions<'_>,
        findings: &mut Findings,
    ) -> Result<Admitted, Obstacle> {
        let subject = Subject::Host(admitted.hop.host.clone());
        let Some(attempt) = sessions.with(&admitted.hop.host) else {
            return Ok(admitted);
        };
        let was_proved = history::was_proved(self.evidence, self.now);
        match sessions::failed(attempt, &admitted, was_proved) {
            Some((obstacle, rule, fact)) => {
                findings.exclude(rule, &subject, fact);
                let by_certificate =
                    matches!(admitted.hop.authenticate, Authentication::Pkix { .. });
                if obstacle == Obstacle::Published && admitted.published && by_certificate {
                    findings.note(Rule::X10, &subject, "");
                }
                Err(obstacle)
            }
            None => Ok(admitted),
        }
    }

    fn context<'c>(
        &'c self,
        mx: &MxFacts<'_>,
        hosts: &Hosts,
        sts: Option<StsPolicy>,
    ) -> Context<'c> {
        let mx_secure = mx.chain.is_secure();
        Context {
            evidence: self.evidence,
            settings: self.settings,
            now: self.now,
            profile: partners::profile(self.evidence),
            mx_secure,
            implicit: hosts.implicit,
            expanded: mx.chain.name().clone(),
            fell: history::fell(self.evidence, mx_secure, sts.as_ref(), self.now),
            is_stable: history::is_stable(
                self.evidence,
                hosts.hosts.iter().map(|(_, host)| host.clone()),
                self.settings.stable_for,
                self.now,
            ),
            // A policy is about MX hosts (RFC 8461, section 4.1), and says nothing of those that stand in.
            sts: sts.filter(|_| !mx.by_record),
            views: views(self.evidence, &mx.chain),
        }
    }

    fn note_listing(&self, mx: &MxFacts<'_>, hosts: &Hosts, findings: &mut Findings) {
        let domain = self.domain();
        let rule = match (hosts.implicit, mx.chain.is_secure()) {
            _ if mx.by_record => Rule::Nta02,
            (false, true) => Rule::Mx01,
            (false, false) => Rule::Mx02,
            (true, true) => Rule::Mx09,
            (true, false) => Rule::Mx10,
        };
        let names = hosts.hosts.iter().map(|(_, host)| host);
        let fact = listed("hosts: ", names) + by_whom(mx);
        findings.note(rule, &domain, fact);
        if mx.chain.is_aliased() {
            let fact = format!("alias of {}", mx.chain.name());
            findings.note(Rule::Mx15, &domain, fact);
        }
        if hosts.null {
            findings.note(Rule::Mx13, &domain, "");
        }
        for text in &hosts.invalid {
            let is_address = text
                .trim_end_matches('.')
                .parse::<std::net::IpAddr>()
                .is_ok();
            let rule = if is_address { Rule::Mx17 } else { Rule::Mx16 };
            findings.exclude(rule, &domain, "one target is left out");
        }
        if hosts.cut {
            findings.note(Rule::Mx21, &domain, "more hosts than are looked at");
        }
        let mut preferences: Vec<u16> = hosts.hosts.iter().map(|(number, _)| *number).collect();
        preferences.dedup();
        if preferences.len() < hosts.hosts.len() {
            findings.note(Rule::Mx20, &domain, "");
        }
    }

    /// Hosts before this relay itself (RFC 5321, section 5.1).
    fn without_ourselves<'h>(&self, hosts: &'h Hosts, findings: &mut Findings) -> Vec<&'h DnsName> {
        let ours = hosts
            .hosts
            .iter()
            .find(|(_, host)| self.settings.own_hosts.contains(host));
        let limit = ours.map(|(preference, _)| *preference);
        if let Some((preference, host)) = ours {
            let fact = format!("own preference {preference}");
            findings.exclude(Rule::Mx19, &Subject::Host(host.clone()), fact);
        }
        hosts
            .hosts
            .iter()
            .filter(|(preference, _)| limit.is_none_or(|limit| *preference < limit))
            .map(|(_, host)| host)
            .collect()
    }

    fn sts(&self, mx: &MxFacts<'_>, findings: &mut Findings) -> Result<Option<StsPolicy>, Route> {
        let domain = self.domain();
        match facts::sts_as_it_is(self.evidence, self.now) {
            StsFacts::Known(policy, rule) => {
                let fact = match &policy {
                    Some(StsPolicy { mode, .. }) => format!("policy mode: {mode}"),
                    None => format!("asked for: _mta-sts.{}", self.evidence.domain),
                };
                findings.note(rule, &domain, fact);
                if let Some(target) = facts::announced_behind(self.evidence) {
                    findings.note(Rule::P07, &domain, format!("alias of {target}"));
                }
                if policy.as_ref().is_some_and(|p| p.max_age.is_zero()) {
                    findings.note(Rule::P24, &domain, "max_age: 0");
                }
                if policy.is_none() && rule != Rule::P26 && self.policy_is_missed() {
                    findings.note(
                        Rule::P30,
                        &domain,
                        "a policy in mode enforce was seen before",
                    );
                }
                Ok(policy)
            }
            // RFC 8461, section 10.2: hiding the record is the known attack, so one cycle is waited.
            // A signed list of mail servers does not depend on it.
            StsFacts::Unknown | StsFacts::Fetch(_) => {
                let waited = self.now.since(self.evidence.message.accepted);
                if mx.chain.is_secure() || waited >= outcome::RETRY_MIN {
                    findings.note(Rule::P04, &domain, "waited long enough, or not needed");
                    return Ok(None);
                }
                findings.hold(Rule::P04, &domain, "");
                Err(self.ending().defer(DeferClass::Transient))
            }
        }
    }

    /// Whether it is a fall that there is no policy now.
    fn policy_is_missed(&self) -> bool {
        let history = self.evidence.history.as_ref();
        let until = history.and_then(|history| history.sts_enforced_until);
        until.is_some_and(|until| until > self.now)
    }

    fn mx_failed(&self, trouble: Trouble, findings: &mut Findings) -> Route {
        let rule = match trouble {
            Trouble::Bogus => match facts::mx(self.evidence) {
                Ok(mx)
                    if mx.chain.answer().security == Security::Indeterminate
                        && !matches!(mx.chain.answer().outcome, Outcome::Failed(_)) =>
                {
                    Rule::Mx04
                }
                Ok(_) | Err(_) => Rule::Mx03,
            },
            Trouble::Disagreement => Rule::Mx27,
            Trouble::OwnFault => Rule::Mx26,
            Trouble::Transient => self.transient_rule(),
        };
        findings.hold(rule, &self.domain(), trouble_in_words(trouble));
        let obstacle = match Obstacle::from(trouble) {
            Obstacle::Transient if history::was_secure(self.evidence, self.now) => Obstacle::Fell,
            other => other,
        };
        let route = outcome::settle(&self.ending(), obstacle, findings);
        self.by_fresh_answers(route, findings)
    }

    fn transient_rule(&self) -> Rule {
        use crate::vocab::LookupFailure as F;
        match facts::mx(self.evidence) {
            Ok(mx) => match &mx.chain.answer().outcome {
                Outcome::Failed(F::Timeout) => Rule::Mx06,
                Outcome::Alias(_) => Rule::Mx15,
                _ => Rule::Mx05,
            },
            Err(_) => Rule::Mx06,
        }
    }

    /// A denial ends the message where it is proved, or was seen twice (I6).
    fn denied(&self, mx: &MxFacts<'_>, denial: Denial, findings: &mut Findings) -> Route {
        if mx.chain.is_secure() && !is_stale(mx) {
            let fact = by_whom(mx).trim_start_matches("; ");
            findings.refuse(denial.proved, &self.domain(), fact);
            return bounce(denial.proved, denial.status);
        }
        let route = self.perhaps_denied(mx, denial, findings);
        self.by_fresh_answers(route, findings)
    }

    fn perhaps_denied(&self, mx: &MxFacts<'_>, denial: Denial, findings: &mut Findings) -> Route {
        let domain = self.domain();
        // RFC 8914: stale data may be right, but no bounce rests on it.
        if is_stale(mx) {
            findings.hold(Rule::Mx25, &domain, "");
            return outcome::settle(&self.ending(), Obstacle::Transient, findings);
        }
        if history::was_secure(self.evidence, self.now) {
            findings.hold(Rule::H01, &domain, "it was signed before");
            return outcome::settle(&self.ending(), Obstacle::Fell, findings);
        }
        let since = history::absent_since(self.evidence, self.now);
        let confirmed =
            since.is_some_and(|since| self.now.since(since) >= self.settings.confirm_absence_after);
        if views(self.evidence, &mx.chain) == Views::Differ {
            findings.hold(Rule::S02, &domain, "");
            return outcome::settle(&self.ending(), Obstacle::Transient, findings);
        }
        if confirmed {
            // A second look is one that was asked for after the first.
            let first = since.unwrap_or_default().plus(Duration::from_millis(1));
            if self.rests_on_kept(self.evidence.message.round_began.max(first)) {
                return self.ask_again(KEPT, findings);
            }
            findings.refuse(denial.unproved, &domain, "confirmed");
            return bounce(denial.unproved, denial.status);
        }
        findings.hold(denial.unproved, &domain, "to be confirmed");
        let since = since.unwrap_or(self.now).min(self.now);
        let not_before = since.plus(self.settings.confirm_absence_after);
        let not_before = not_before.min(self.ending().look_again());
        let class = DeferClass::UnprovedDenial;
        self.ending()
            .hold_until(class, not_before, [4, 4], findings)
    }

    /// A refusal on a proved session (rules R).
    fn refused(&self, findings: &mut Findings) -> Option<Route> {
        let reply = sessions::refusal(self.evidence)?;
        let status = reply.enhanced();
        let code = status.map(|status| (status.subject, status.detail));
        if matches!(code, Some((3, 4) | (2, 3))) {
            findings.note(Rule::R05, &Subject::Message, reply.code().to_string());
            return Some(outcome::settle(
                &self.ending(),
                Obstacle::Incapable,
                findings,
            ));
        }
        let rule = if matches!(code, Some((7, _))) {
            Rule::R13
        } else {
            Rule::R03
        };
        findings.refuse(rule, &Subject::Message, reply.code().to_string());
        let status = status
            .filter(|status| status.class == 5)
            .unwrap_or(EnhancedStatus::new(5, 0, 0));
        Some(Route::Bounce { status, rule })
    }

    fn required(&self, findings: &mut Findings) -> Route {
        findings.note(Rule::V01, &Subject::Message, "");
        if self.evidence.message.vault_possible {
            return Route::Vault {
                reason: VaultReason::Required,
            };
        }
        self.ending().without_vault(findings)
    }

    pub(super) fn ending(&self) -> Ending<'_> {
        Ending {
            evidence: self.evidence,
            settings: self.settings,
            now: self.now,
        }
    }

    fn domain(&self) -> Subject {
        Subject::Domain(self.evidence.domain.clone())
    }
}

/// A statement that there is nobody to send to.
#[derive(Clone, Copy)]
struct Denial {
    status: EnhancedStatus,
    proved: Rule,
    unproved: Rule,
}

impl Denial {
    const ABSENT: Self = Self {
        status: EnhancedStatus::new(5, 1, 2),
        proved: Rule::Mx07,
        unproved: Rule::Mx08,
    };
    const LOOP: Self = Self {
        status: EnhancedStatus::new(5, 4, 6),
        proved: Rule::Mx19,
        unproved: Rule::Mx19,
    };
    const NULL: Self = Self {
        status: EnhancedStatus::new(5, 1, 10),
        proved: Rule::Mx11,
        unproved: Rule::Mx12,
    };
}

/// What an answer rested on that must be asked for again.
const KEPT: &str = "kept DNS answers, to be asked for again";

const fn is_final(route: &Route) -> bool {
    matches!(route, Route::Bounce { .. } | Route::Vault { .. })
}

/// RFC 8914, section 4.4 and 4.20: a resolver answers with what it kept past its time.
fn is_stale(mx: &MxFacts<'_>) -> bool {
    let mut errors = mx.chain.answer().extended_errors.iter();
    errors.any(|code| matches!(code, 3 | 19))
}

const fn bounce(rule: Rule, status: EnhancedStatus) -> Route {
    Route::Bounce { status, rule }
}

/// What other vantages see of the MX lookup, every step of it.
pub(super) fn views(evidence: &Evidence, chain: &Chain<'_>) -> Views {
    let of = |question: &Question| -> &[VantageView] {
        evidence
            .vantages
            .iter()
            .rfind(|seen| seen.question == *question)
            .map_or(&[], |seen| &seen.views)
    };
    if chain.questions().all(|question| of(question).is_empty()) {
        return Views::None;
    }
    let agree = chain.questions().all(|question| {
        let views = of(question);
        let ours = evidence.answer(question).map(|answer| &answer.outcome);
        !views.is_empty()
            && views
                .iter()
                .all(|view| ours.is_some_and(|ours| is_same(ours, &view.answer.outcome)))
    });
    if agree { Views::Agree } else { Views::Differ }
}

pub(super) fn is_same(ours: &Outcome, theirs: &Outcome) -> bool {
    let targets = |records: &[Mx]| {
        let mut targets: Vec<MxTarget> = records.iter().map(|mx| mx.target.clone()).collect();
        targets.sort();
        targets.dedup();
        targets
    };
    match (ours, theirs) {
        (Outcome::Failed(_), _) | (_, Outcome::Failed(_)) => false,
        (Outcome::Mx(ours), Outcome::Mx(theirs)) => targets(ours) == targets(theirs),
        (ours, theirs) => ours == theirs,
    }
}

fn by_whom(mx: &MxFacts<'_>) -> &'static str {
    match (mx.chain.is_secure(), mx.chain.answer().validators) {
        (true, 0 | 1) => "; one validator",
        (true, _) => "; two validators",
        (false, _) => "",
    }
}

/// The facts go stale with the first of them; what is decided now is good for now at least.
fn fresh_until(evidence: &Evidence, now: UnixTime) -> UnixTime {
    let first = evidence.dns.iter().map(|asked| asked.answer.expires).min();
    first
        .unwrap_or(now)
        .max(now)
        .min(now.plus(Duration::from_secs(86_400)))
}
