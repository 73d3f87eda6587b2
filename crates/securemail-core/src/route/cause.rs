//! What stands in the way of a message, as its sender needs to hear it.

use serde::{Deserialize, Serialize};

use super::outcome::{DISPUTED, FELL, HIDDEN, NOWHERE, TAMPERED};
use super::{Decision, DeferClass, Effect, Finding, Route, Rule, VaultReason};
use crate::vocab::Language;

/// Why a message waits, or waited until it was given back.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Cause {
    Disputed,
    Fell,
    Hidden,
    NameServers,
    NoPath,
    NoVault,
    Nowhere,
    OtherViews,
    OwnFault,
    PolicyAskedAgain,
    Published,
    RequireTls,
    Silent,
    Suspicious,
    Tampered,
    TryLater,
    Unconfirmed,
    UnprovedDenial,
    VaultRequired,
}

impl Cause {
    /// What holds the message, or held it to the end of its time. `None` where nothing did.
    pub(super) fn of(decision: &Decision) -> Option<Self> {
        let held = |found: &&Finding| found.effect == Effect::Hold;
        let last = decision.findings.iter().rfind(held);
        let has = |rule: Rule| decision.findings.iter().any(|found| found.rule == rule);
        let said = last.and_then(|last| match last.rule {
            Rule::X15 => Some(Self::RequireTls),
            Rule::G02 if last.fact == DISPUTED => Some(Self::Disputed),
            Rule::G02 if last.fact == FELL => Some(Self::Fell),
            Rule::G02 if last.fact == TAMPERED => Some(Self::Tampered),
            Rule::G02 => Some(Self::Published),
            Rule::G03 if last.fact == HIDDEN => Some(Self::Hidden),
            Rule::G03 if last.fact == NOWHERE => Some(Self::Nowhere),
            Rule::G03 if has(Rule::Mx05) || has(Rule::Mx06) => Some(Self::NameServers),
            Rule::G03 if has(Rule::R02) => Some(Self::TryLater),
            Rule::G03 if has(Rule::S02) => Some(Self::OtherViews),
            Rule::G03 => Some(Self::Silent),
            Rule::G05 => Some(Self::PolicyAskedAgain),
            Rule::G06 if has(Rule::V01) => Some(Self::VaultRequired),
            Rule::G06 => Some(Self::NoVault),
            Rule::R09 => Some(Self::Unconfirmed),
            _ => None,
        });
        match &decision.route {
            Route::Defer { class, .. } => Some(match class {
                DeferClass::NoPath => said.unwrap_or(Self::NoPath),
                DeferClass::OwnFault => Self::OwnFault,
                DeferClass::Suspicious => said.unwrap_or(Self::Suspicious),
                DeferClass::Transient => said.unwrap_or(Self::Silent),
                DeferClass::Unconfirmed => Self::Unconfirmed,
                DeferClass::UnprovedDenial => Self::UnprovedDenial,
            }),
            Route::Bounce { .. }
            | Route::Vault {
                reason: VaultReason::Unreachable,
            } => said,
            Route::Deliver(_) | Route::Vault { .. } => None,
        }
    }

    /// What follows "because".
    pub(super) const fn words(self, language: Language) -> &'static str {
        match language {
            Language::Dutch => self.dutch(),
            Language::English => self.english(),
        }
    }

    const fn dutch(self) -> &'static str {
        match self {
            Self::Disputed => {
                "twee controles van de DNS-gegevens van het domein niet hetzelfde uitwijzen, en zo \
                 ziet ook een aanval eruit"
            }
            Self::Fell => "het domein minder veilig is dan eerst, en zo ziet ook een aanval eruit",
            Self::Hidden => {
                "een mailserver van het domein geen adres lijkt te hebben, zonder bewijs daarvan"
            }
            Self::NameServers => "de naamservers van het domein niet antwoorden zoals het hoort",
            Self::NoPath => {
                "geen mailserver van het domein kan bewijzen dat hij veilig is; dat kijken wij één \
                 keer na voordat het bericht in de kluis gaat"
            }
            Self::NoVault => {
                "geen mailserver van het domein kan bewijzen dat hij veilig is, en de kluis niet \
                 kan worden gebruikt"
            }
            Self::Nowhere => "geen mailserver van het domein te bereiken is",
            Self::OtherViews => {
                "andere plaatsen op internet niet dezelfde mailservers zien als wij"
            }
            Self::OwnFault => "er aan onze kant iets niet werkt",
            Self::PolicyAskedAgain => {
                "wij het domein nog één keer vragen voordat er iets definitief is"
            }
            Self::Published => {
                "niet klopt wat het domein over zijn beveiliging bekendmaakt, en zo ziet ook een \
                 aanval eruit"
            }
            Self::RequireTls => {
                "het bericht REQUIRETLS eist en geen mailserver dat biedt; dat kijken wij één keer \
                 na voordat het bericht teruggaat"
            }
            Self::Silent => "iets niet antwoordde",
            Self::Suspicious => "er iets niet klopt, en zo ziet ook een aanval eruit",
            Self::Tampered => {
                "iemand onderweg voor de mailserver antwoordt, en zo ziet ook een aanval eruit"
            }
            Self::TryLater => {
                "de mailserver van het domein vraagt om het later opnieuw te proberen"
            }
            Self::Unconfirmed => {
                "het misschien al is aangekomen: er kwam geen antwoord op het einde"
            }
            Self::UnprovedDenial => {
                "het domein geen mail lijkt te ontvangen, zonder bewijs; dat kijken wij eerst na"
            }
            Self::VaultRequired => "de kluis moet, en niet kan worden gebruikt",
        }
    }

    const fn english(self) -> &'static str {
        match self {
            Self::Disputed => {
                "two validators of the DNS do not agree about the domain, which is how an attack looks"
            }
            Self::Fell => "the domain is less safe than before, which is how an attack looks",
            Self::Hidden => {
                "a mail server of the domain seems to have no address, and nothing proves that"
            }
            Self::NameServers => "the name servers of the domain do not answer as they should",
            Self::NoPath => {
                "no mail server of the domain can be proved safe, which is confirmed once before \
                 the vault is used"
            }
            Self::NoVault => {
                "no mail server of the domain can be proved safe, and the vault cannot be used"
            }
            Self::Nowhere => "no mail server of the domain can be reached",
            Self::OtherViews => {
                "other places on the Internet do not see the same mail servers as we do"
            }
            Self::OwnFault => "something on our own side is wrong",
            Self::PolicyAskedAgain => "the domain is asked once more before anything is final",
            Self::Published => {
                "what the domain publishes about its security is not met, which is how an attack \
                 looks"
            }
            Self::RequireTls => {
                "it demands REQUIRETLS and no mail server fulfils that, which is confirmed once \
                 before it goes back to its sender"
            }
            Self::Silent => "something did not answer",
            Self::Suspicious => "something is wrong that an attack would look like",
            Self::Tampered => {
                "somebody on the way answers for the mail server, which is how an attack looks"
            }
            Self::TryLater => "the mail server of the domain asks us to try again later",
            Self::Unconfirmed => "it may have arrived already: no answer came to its end",
            Self::UnprovedDenial => {
                "the domain seems to take no mail, without proof, which is confirmed first"
            }
            Self::VaultRequired => "the vault is required and cannot be used",
        }
    }
}
