//! What to do with one message for one recipient domain, and why.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::{Hop, Rule};
use crate::vocab::{DnsName, EnhancedStatus, UnixTime};

/// A route with its reasons. `Display` says it in words anybody can understand.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[must_use]
pub struct Decision {
    /// About which domain.
    pub domain: DnsName,
    /// What to do.
    pub route: Route,
    /// Every rule that was consulted, in order. Never empty.
    pub findings: Vec<Finding>,
    /// When it was decided.
    pub decided_at: UnixTime,
    /// When the facts behind this go stale.
    pub fresh_until: UnixTime,
}

impl Decision {
    /// Whether what is kept must be asked for once more before anything final happens: the announcement of the domain's
    /// policy, and DNS answers without proof (rule G-05). A driver asks at once and lets the policy decide again.
    #[must_use]
    pub fn wants_confirmation(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.rule == Rule::G05 && finding.effect == Effect::Hold)
    }

    /// Holds a message until `not_before` because something of ours does not work (class F): nothing
    /// was found out, so nothing else can be decided.
    pub fn own_fault(domain: &DnsName, now: UnixTime, not_before: UnixTime) -> Self {
        let mut findings = Findings::default();
        findings.hold(Rule::F01, &Subject::Domain(domain.clone()), "");
        Self {
            domain: domain.clone(),
            route: Route::Defer {
                class: DeferClass::OwnFault,
                not_before,
            },
            findings: findings.into_vec(),
            decided_at: now,
            fresh_until: now,
        }
    }
}

/// Where a message goes. There is no variant for unauthenticated delivery.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Route {
    /// Back to its sender.
    Bounce {
        /// What the DSN or the reply says.
        status: EnhancedStatus,
        /// The rule that decided.
        rule: Rule,
    },
    /// Later: nothing is proved, and guessing would allow a downgrade.
    Defer {
        /// Why, which settles the clock.
        class: DeferClass,
        /// No sooner than this.
        not_before: UnixTime,
    },
    /// To one of these, tried in this order; none is tried without proof.
    Deliver(Vec<Hop>),
    /// Into the vault.
    Vault {
        /// Why.
        reason: VaultReason,
    },
}

/// Why a message waits (the classes of the decision engine).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum DeferClass {
    /// A: no secure way, to be confirmed once on a fresh connection.
    NoPath,
    /// B: something did not answer.
    Transient,
    /// C: something is wrong that an attack would look like.
    Suspicious,
    /// D': a denial without proof, to be confirmed.
    UnprovedDenial,
    /// F: our own fault.
    OwnFault,
    /// U: the peer may have the message.
    Unconfirmed,
}

/// Why the vault.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum VaultReason {
    /// The domain was better before and publishes nothing now; the sender consented.
    DowngradeConsented,
    /// The host cannot take the message: size, or an extension.
    Incapable,
    /// No host can be proved.
    NoSecurePath,
    /// It stayed unreachable for as long as the settings allow.
    Unreachable,
    /// The sender, the tenant or a scanner requires it.
    Required,
}

/// One rule that was consulted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// About what.
    pub subject: Subject,
    /// What it did.
    pub effect: Effect,
    /// The fact that fired it, in words: a record, a reply, a time. No address of a person.
    pub fact: Cow<'static, str>,
}

/// Findings as they are made, in order.
#[derive(Debug)]
pub(super) struct Findings(Vec<Finding>);

impl Default for Findings {
    fn default() -> Self {
        // What a domain with two hosts usually has.
        Self(Vec::with_capacity(24))
    }
}

impl Findings {
    pub(super) fn admit(
        &mut self,
        rule: Rule,
        subject: &Subject,
        fact: impl Into<Cow<'static, str>>,
    ) {
        self.add(rule, subject, Effect::Admit, fact);
    }

    pub(super) fn exclude(
        &mut self,
        rule: Rule,
        subject: &Subject,
        fact: impl Into<Cow<'static, str>>,
    ) {
        self.add(rule, subject, Effect::Exclude, fact);
    }

    pub(super) fn hold(
        &mut self,
        rule: Rule,
        subject: &Subject,
        fact: impl Into<Cow<'static, str>>,
    ) {
        self.add(rule, subject, Effect::Hold, fact);
    }

    pub(super) fn note(
        &mut self,
        rule: Rule,
        subject: &Subject,
        fact: impl Into<Cow<'static, str>>,
    ) {
        self.add(rule, subject, Effect::Note, fact);
    }

    pub(super) fn refuse(
        &mut self,
        rule: Rule,
        subject: &Subject,
        fact: impl Into<Cow<'static, str>>,
    ) {
        self.add(rule, subject, Effect::Refuse, fact);
    }

    pub(super) fn into_vec(self) -> Vec<Finding> {
        self.0
    }

    fn add(
        &mut self,
        rule: Rule,
        subject: &Subject,
        effect: Effect,
        fact: impl Into<Cow<'static, str>>,
    ) {
        self.0.push(Finding {
            rule,
            subject: subject.clone(),
            effect,
            fact: fact.into(),
        });
    }
}

/// Several things in one fact: `what` and then each, with commas.
pub(super) fn listed<T: fmt::Display>(what: &str, things: impl IntoIterator<Item = T>) -> String {
    let mut text = String::with_capacity(FACT_USUAL);
    text.push_str(what);
    for (place, thing) in things.into_iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        // A string takes whatever is written.
        write!(text, "{comma}{thing}").unwrap_or_default();
    }
    text
}

/// Octets of a fact that names two hosts.
const FACT_USUAL: usize = 64;

/// What a finding is about.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Subject {
    /// The recipient domain.
    Domain(DnsName),
    /// An MX host.
    Host(DnsName),
    /// The message.
    Message,
}

/// What a rule did.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Effect {
    /// Let the host in.
    Admit,
    /// Left the host out.
    Exclude,
    /// Holds the message.
    Hold,
    /// Noted it.
    Note,
    /// Ends the message.
    Refuse,
}
