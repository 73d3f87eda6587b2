//! Prints a decision with its findings, and says it to scripts as an exit code.

use std::fmt;

use super::cause::Cause;
use super::{Decision, DeferClass, Effect, Finding, Route, Subject};
use crate::vocab::Language;

/// The exit code of `check`: 0 direct, 10 vault, 20 refuse, 30 held, 3 could not tell.
#[must_use]
pub fn exit_code(decision: &Decision) -> u8 {
    match &decision.route {
        Route::Deliver(_) => 0,
        // Once confirmed, it goes back to its sender.
        Route::Defer {
            class: DeferClass::NoPath,
            ..
        } if Cause::of(decision) == Some(Cause::RequireTls) => 20,
        Route::Vault { .. } => 10,
        // Once confirmed, the vault is where the message goes, unless it cannot.
        Route::Defer {
            class: DeferClass::NoPath,
            ..
        } if Cause::of(decision) == Some(Cause::NoPath) => 10,
        Route::Bounce { .. } => 20,
        Route::Defer {
            class: DeferClass::OwnFault,
            ..
        } => 3,
        Route::Defer {
            class:
                DeferClass::NoPath
                | DeferClass::Suspicious
                | DeferClass::Transient
                | DeferClass::Unconfirmed
                | DeferClass::UnprovedDenial,
            ..
        } => 30,
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.sentence())?;
        for finding in &self.findings {
            writeln!(f, "  {finding}")?;
        }
        let remedies = self.remedies();
        if !remedies.is_empty() {
            writeln!(f, "What the owner of {} can do:", self.domain.shown())?;
        }
        for remedy in remedies {
            writeln!(f, "  - {}", remedy.words(Language::English))?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            subject,
            effect,
            fact,
        } = self;
        let mark = match effect {
            Effect::Admit => "+",
            Effect::Exclude => "-",
            Effect::Hold => "!",
            Effect::Note => " ",
            Effect::Refuse => "x",
        };
        write!(f, "{mark} {subject}: {}", rule.text())?;
        if !fact.is_empty() {
            write!(f, " ({fact})")?;
        }
        write!(f, " [{}; {}]", rule.id(), rule.spec())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(name) | Self::Host(name) => f.write_str(&name.shown()),
            Self::Message => f.write_str("the message"),
        }
    }
}
