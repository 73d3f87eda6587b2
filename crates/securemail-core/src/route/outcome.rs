//! From what stands in the way to what happens, and when (classes A to F, rules G).

use std::time::Duration;

use super::decision::{Findings, Subject};
use super::history::CONFIRMS_FOR;
use super::host::Obstacle;
use super::{
    DeferClass, Evidence, PolicySettings, Route, Rule, VaultReason, facts, history, partners,
    sessions,
};
use crate::backend::Lack;
use crate::vocab::{EnhancedStatus, UnixTime};

/// The first retry comes no sooner than this.
pub(super) const RETRY_MIN: Duration = Duration::from_secs(450);
/// Retries come no later than this one after the other.
const RETRY_MAX: Duration = Duration::from_secs(8 * 3600);

/// While no host of any domain can be reached, each is tried so often: it may be over at any moment, and
/// whoever is asked in vain is our own network.
const CUT_OFF_RETRY: Duration = Duration::from_secs(15 * 60);

/// Support of REQUIRETLS is needed (RFC 8689, section 7).
const NO_REQUIRE_TLS: EnhancedStatus = EnhancedStatus::new(5, 7, 30);

/// Facts by which a reader is told which of two things a rule means.
const PUBLISHED: &str = "the domain itself publishes what was not met";
pub(super) const DISPUTED: &str = "two validators do not agree";
pub(super) const FELL: &str = "the domain was safer before";
pub(super) const HIDDEN: &str = "that a host has no address is not proved";
pub(super) const NOWHERE: &str = "no host can be reached at all";
pub(super) const TAMPERED: &str = "somebody on the way answers for the host";

/// By what a message that cannot go now is settled.
pub(super) struct Ending<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) settings: &'a PolicySettings,
    pub(super) now: UnixTime,
}

/// Says what happens to a message that no host can be given now.
pub(super) fn settle(ending: &Ending<'_>, worst: Obstacle, findings: &mut Findings) -> Route {
    let domain = Subject::Domain(ending.evidence.domain.clone());
    match worst {
        // Never the recipient's fault, never the sender's: hold, and call the operator.
        Obstacle::OwnFault => {
            findings.hold(Rule::Mx26, &domain, "");
            ending.defer(DeferClass::OwnFault)
        }
        Obstacle::Published => ending.suspicious(PUBLISHED, findings),
        Obstacle::Disputed => ending.suspicious(DISPUTED, findings),
        Obstacle::Tampered => ending.suspicious(TAMPERED, findings),
        Obstacle::Fell => {
            findings.hold(Rule::G02, &domain, FELL);
            let message = &ending.evidence.message;
            let may_divert = message.divert_on_downgrade && message.may_divert();
            if may_divert && ending.age() >= ending.settings.divert_after {
                findings.note(Rule::H01, &domain, "the sender consents to the vault");
                return Route::Vault {
                    reason: VaultReason::DowngradeConsented,
                };
            }
            ending.hold_or_bounce(DeferClass::Suspicious, [7, 5], findings)
        }
        // Never into the vault for want of a network of our own, and never back.
        Obstacle::Hidden | Obstacle::Transient if ending.is_cut_off() => {
            findings.hold(Rule::F02, &domain, "");
            Route::Defer {
                class: DeferClass::OwnFault,
                not_before: ending.next_try().min(ending.now.plus(CUT_OFF_RETRY)),
            }
        }
        Obstacle::Hidden | Obstacle::Transient => {
            let fact = if worst == Obstacle::Hidden {
                HIDDEN
            } else {
                ""
            };
            findings.hold(Rule::G03, &domain, fact);
            if ending.evidence.message.may_divert() {
                if ending.age() >= ending.settings.divert_after {
                    return Route::Vault {
                        reason: VaultReason::Unreachable,
                    };
                }
            } else {
                findings.note(ending.no_vault(), &domain, "");
            }
            ending.hold_or_bounce(DeferClass::Transient, [4, 7], findings)
        }
        Obstacle::Incapable => ending.incapable(findings),
        Obstacle::Unproved => ending.no_path(findings),
        Obstacle::Nowhere => {
            findings.hold(Rule::G03, &domain, NOWHERE);
            ending.hold_or_bounce(DeferClass::Transient, [4, 4], findings)
        }
    }
}

impl Ending<'_> {
    /// Holds, and tries again when the time has come.
    pub(super) fn defer(&self, class: DeferClass) -> Route {
        Route::Defer {
            class,
            not_before: self.next_try(),
        }
    }

    /// Class C: what may be an attack is never diverted.
    fn suspicious(&self, fact: &'static str, findings: &mut Findings) -> Route {
        let domain = Subject::Domain(self.evidence.domain.clone());
        findings.hold(Rule::G02, &domain, fact);
        self.hold_or_bounce(DeferClass::Suspicious, [7, 5], findings)
    }

    /// Whether silence is our own fault: nobody answers us, and in this round nobody did either.
    fn is_cut_off(&self) -> bool {
        self.evidence.cut_off.is_some() && sessions::all_silent(self.evidence)
    }

    /// The vault is required and cannot be used (G-06).
    pub(super) fn without_vault(&self, findings: &mut Findings) -> Route {
        let domain = Subject::Domain(self.evidence.domain.clone());
        findings.hold(Rule::G06, &domain, "");
        self.hold_or_bounce(DeferClass::NoPath, [7, 10], findings)
    }

    /// Class U: the peer may have it. Every further try may be one more copy, so they come ever later,
    /// and the clocks of what cannot be reached end them.
    pub(super) fn unconfirmed(&self, not_before: UnixTime, findings: &mut Findings) -> Route {
        let is_due = self.age() >= self.settings.divert_after;
        if is_due && self.evidence.message.may_divert() {
            return Route::Vault {
                reason: VaultReason::Unreachable,
            };
        }
        match self.hold_or_bounce(DeferClass::Unconfirmed, [4, 7], findings) {
            Route::Defer {
                class,
                not_before: next,
            } => Route::Defer {
                class,
                not_before: next.max(not_before),
            },
            over => over,
        }
    }

    /// Class A: one confirming attempt, then the vault.
    fn no_path(&self, findings: &mut Findings) -> Route {
        let domain = Subject::Domain(self.evidence.domain.clone());
        if self.evidence.message.require_tls {
            return self.without_require_tls(findings);
        }
        if !self.evidence.message.vault_possible {
            return self.without_vault(findings);
        }
        // What is remembered was found out about another way than that of NTA 7516.
        let since = match partners::decide(self.evidence) {
            true => self.evidence.message.accepted,
            false => self.no_path_since(),
        };
        if self.now.since(since) >= self.settings.confirm_after {
            findings.note(Rule::G04, &domain, "confirmed");
            return Route::Vault {
                reason: VaultReason::NoSecurePath,
            };
        }
        findings.hold(Rule::G04, &domain, "to be confirmed once");
        let not_before = since.plus(self.settings.confirm_after).max(self.now);
        Route::Defer {
            class: DeferClass::NoPath,
            not_before: not_before.min(self.look_again()),
        }
    }

    /// REQUIRETLS and no host that may be given such a message: one confirming look, then back to the
    /// sender, who asked for just that (RFC 8689, section 4.2.1). The vault is no way around it.
    fn without_require_tls(&self, findings: &mut Findings) -> Route {
        let domain = Subject::Domain(self.evidence.domain.clone());
        let without = history::no_require_tls_since(self.evidence, self.now);
        let since = without.map_or(self.now, |since| since.min(self.now));
        let since = since.min(self.no_path_since());
        if self.now.since(since) >= self.settings.confirm_after {
            findings.refuse(Rule::X15, &domain, "confirmed");
            return Route::Bounce {
                status: NO_REQUIRE_TLS,
                rule: Rule::X15,
            };
        }
        findings.hold(Rule::X15, &domain, "to be confirmed once");
        let not_before = since.plus(self.settings.confirm_after).max(self.now);
        Route::Defer {
            class: DeferClass::NoPath,
            not_before: not_before.min(self.look_again()),
        }
    }

    /// Every host that could be asked lacks what the message needs.
    fn incapable(&self, findings: &mut Findings) -> Route {
        let message = &self.evidence.message;
        let (rule, status, vault) = match sessions::lack(self.evidence) {
            Some(Lack::EightBitMime) => (Rule::R07, EnhancedStatus::new(5, 6, 3), true),
            Some(Lack::RequireTls) => (Rule::R08, NO_REQUIRE_TLS, false),
            // The notice would need what the message needs (RFC 6531, section 3.2).
            Some(Lack::SmtpUtf8) => (
                Rule::R06,
                EnhancedStatus::new(5, 6, 7),
                !message.utf8_recipient,
            ),
            Some(Lack::Size(_)) | None => (Rule::R05, EnhancedStatus::new(5, 3, 4), true),
        };
        if vault && message.may_divert() {
            return Route::Vault {
                reason: VaultReason::Incapable,
            };
        }
        let domain = Subject::Domain(self.evidence.domain.clone());
        findings.refuse(self.no_vault(), &domain, "");
        Route::Bounce { status, rule }
    }

    /// Why the vault is no way for this message.
    const fn no_vault(&self) -> Rule {
        if self.evidence.message.require_tls {
            Rule::X15
        } else {
            Rule::G06
        }
    }

    /// Half of the time in which one look confirms another: whatever the clock, something is seen again
    /// before it is forgotten.
    pub(super) fn look_again(&self) -> UnixTime {
        self.now.plus(CONFIRMS_FOR / 2)
    }

    fn no_path_since(&self) -> UnixTime {
        let remembered = history::no_path_since(self.evidence, self.now);
        let tried = sessions::unproved_since(self.evidence, self.now);
        remembered
            .into_iter()
            .chain(tried)
            .min()
            .unwrap_or(self.now)
            .min(self.now)
    }

    fn hold_or_bounce(
        &self,
        class: DeferClass,
        [subject, detail]: [u16; 2],
        findings: &mut Findings,
    ) -> Route {
        self.hold_until(class, self.next_try(), [subject, detail], findings)
    }

    /// Holds until `not_before`, or gives the message back when it has waited as long as it may.
    pub(super) fn hold_until(
        &self,
        class: DeferClass,
        not_before: UnixTime,
        [subject, detail]: [u16; 2],
        findings: &mut Findings,
    ) -> Route {
        if self.age() < self.settings.hold_for {
            let end = self.evidence.message.accepted.plus(self.settings.hold_for);
            let not_before = not_before.min(end);
            return Route::Defer { class, not_before };
        }
        let domain = Subject::Domain(self.evidence.domain.clone());
        findings.refuse(Rule::G10, &domain, "");
        Route::Bounce {
            status: EnhancedStatus::new(5, subject, detail),
            rule: Rule::G10,
        }
    }

    fn age(&self) -> Duration {
        self.now.since(self.evidence.message.accepted)
    }

    /// Waits as long again as the message has waited: 7.5, 15, 30 minutes, up to 8 hours; up to a
    /// quarter more, drawn from the message, so that retries do not come in crowds. Never past the
    /// moments at which a clock changes what happens.
    pub(super) fn next_try(&self) -> UnixTime {
        let wait = self.age().clamp(RETRY_MIN, RETRY_MAX);
        let drawn = facts::draw(self.evidence, &self.evidence.domain) % 256;
        let extra = wait.as_secs().saturating_mul(drawn) / 1024;
        let next = self
            .now
            .plus(wait.saturating_add(Duration::from_secs(extra)));
        let accepted = self.evidence.message.accepted;
        [self.settings.divert_after, self.settings.hold_for]
            .into_iter()
            .map(|clock| accepted.plus(clock))
            .filter(|moment| *moment > self.now.plus(RETRY_MIN))
            .fold(next, UnixTime::min)
    }
}
