//! Where a message goes and why, in the language of who reads it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::{
    Authentication, Authority, Decision, DeferClass, Hop, Remedy, Route, Rule, VaultReason,
};
use crate::vocab::{DnsName, EnhancedStatus, Language, UnixTime};

/// What a decision says to anybody: where a message goes, why, and what the owner of the domain can do.
///
/// It says so in every language, names no person, and can be kept where the decision itself is not.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Summary {
    domain: DnsName,
    route: Route,
    cause: Option<Cause>,
    remedies: Vec<Remedy>,
}

impl Summary {
    /// The domain that the mail is for.
    #[must_use]
    pub const fn domain(&self) -> &DnsName {
        &self.domain
    }

    /// Where the message goes and why, in one sentence; in two, where it goes back.
    #[must_use]
    pub fn sentence(&self, language: Language) -> String {
        let Self {
            domain,
            route,
            cause,
            remedies: _,
        } = self;
        sentence(domain, route, *cause, language)
    }

    /// What the owner of the domain can do so that mail goes directly; empty where that is not what is
    /// missing.
    #[must_use]
    pub fn remedies(&self) -> &[Remedy] {
        &self.remedies
    }
}

impl Decision {
    /// What this says to anybody, in any language.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            domain: self.domain.clone(),
            route: self.route.clone(),
            cause: Cause::of(self),
            remedies: self.remedies(),
        }
    }

    /// Where the message goes and why, in one sentence; in two, where it goes back. In English, as events
    /// have it; [`Decision::summary`] says it in other languages.
    #[must_use]
    pub fn sentence(&self) -> String {
        sentence(
            &self.domain,
            &self.route,
            Cause::of(self),
            Language::English,
        )
    }

    /// What the owner of the domain can do so that mail goes directly.
    #[must_use]
    pub fn remedies(&self) -> Vec<Remedy> {
        let mut remedies = Vec::new();
        if !has_remedy(&self.route) {
            return remedies;
        }
        for finding in &self.findings {
            let has_dane = self
                .findings
                .iter()
                .any(|other| other.rule == Rule::T01 && other.subject == finding.subject);
            if let Some(remedy) = Remedy::of(finding, &self.domain, has_dane)
                && !remedies.contains(&remedy)
            {
                remedies.push(remedy);
            }
        }
        remedies
    }
}

/// Whether it would be otherwise if the domain or its hosts were.
const fn has_remedy(route: &Route) -> bool {
    match route {
        Route::Bounce { rule, .. } => !matches!(rule, Rule::R03 | Rule::R04 | Rule::R13),
        Route::Defer { class, .. } => !matches!(class, DeferClass::OwnFault),
        Route::Deliver(_) => false,
        Route::Vault { reason } => !matches!(reason, VaultReason::Required),
    }
}

impl Rule {
    /// Why a message goes back, where this rule decided so.
    #[must_use]
    pub fn verdict(self, language: Language) -> Cow<'static, str> {
        match (language, self) {
            (Language::English, Self::Mx08) => {
                Cow::Borrowed("The domain does not seem to exist, which was confirmed.")
            }
            (Language::English, Self::Mx12) => {
                Cow::Borrowed("The domain seems to accept no mail, which was confirmed.")
            }
            (Language::English, _) => Cow::Borrowed(self.text()),
            (Language::Dutch, _) => self.verdict_in_dutch().map_or_else(
                || {
                    Cow::Owned(format!(
                        "Regel {} ({}) beslist dat.",
                        self.id(),
                        self.spec()
                    ))
                },
                Cow::Borrowed,
            ),
        }
    }

    /// Of the rules by which the standard policy gives a message back.
    const fn verdict_in_dutch(self) -> Option<&'static str> {
        Some(match self {
            Self::Mx07 => "Het domein bestaat niet, en de DNS bewijst dat.",
            Self::Mx08 => "Het domein lijkt niet te bestaan; dat is nog eens nagekeken.",
            Self::Mx11 => "Het domein ontvangt geen mail, en de DNS bewijst dat.",
            Self::Mx12 => "Het domein lijkt geen mail te ontvangen; dat is nog eens nagekeken.",
            Self::Mx19 => "De lijst van mailservers leidt naar deze server zelf terug.",
            Self::Mx22 => "Het domein is een IP-adres, en daarvan is niets te bewijzen.",
            Self::Mx23 => "Het domein heeft letters die niet in de DNS passen.",
            Self::Mx24 => "Deze domeinnaam is voor iets anders gereserveerd.",
            Self::X15 => {
                "Het bericht eist REQUIRETLS; daarvoor moet een ondertekende lijst van mailservers \
                 of een dwingend beleid de mailserver noemen."
            }
            Self::R03 => "De mailserver heeft bewezen wie hij is, en weigert de ontvanger.",
            Self::R04 => "De mailserver heeft bewezen wie hij is, en weigert het bericht.",
            Self::R05 => "Het bericht is groter dan de mailserver aanneemt.",
            Self::R06 => "De mailserver neemt geen adressen in deze letters aan.",
            Self::R07 => "De mailserver neemt deze tekens niet aan.",
            Self::R08 => "De mailserver biedt REQUIRETLS niet aan.",
            Self::R13 => {
                "De mailserver heeft bewezen wie hij is, en weigert volgens zijn eigen regels."
            }
            Self::G06 => "De kluis kan voor deze ontvanger niet worden gebruikt.",
            Self::G10 => "Het bericht heeft zo lang gewacht als mag.",
            _ => return None,
        })
    }
}

fn sentence(domain: &DnsName, route: &Route, cause: Option<Cause>, language: Language) -> String {
    let domain = &*domain.shown();
    match route {
        Route::Deliver(hops) => match hops.first() {
            Some(hop) => deliver(domain, hop, language),
            None => match language {
                Language::Dutch => {
                    format!("Mail voor {domain} gaat nergens heen: er is geen server.")
                }
                Language::English => {
                    format!("Mail for {domain} goes nowhere: no host is left.")
                }
            },
        },
        Route::Vault { reason } => sealed(domain, *reason, cause, language),
        Route::Defer { not_before, .. } => held(domain, *not_before, cause, language),
        Route::Bounce { status, rule } => given_back(domain, (*status, *rule), cause, language),
    }
}

fn deliver(domain: &str, hop: &Hop, language: Language) -> String {
    let host = hop.host.shown();
    let is_dane = matches!(hop.authenticate, Authentication::Dane { .. });
    match language {
        Language::Dutch => {
            let proof = if is_dane {
                "zijn sleutel in ondertekende DNS staat en wordt nagekeken"
            } else {
                "zijn certificaat wordt nagekeken: de naam, en of het van een vertrouwde uitgever is"
            };
            format!(
                "Mail voor {domain} gaat rechtstreeks naar {host} over een versleutelde verbinding, \
                 omdat {} en {proof}.",
                authority_in_dutch(hop)
            )
        }
        Language::English => {
            let proof = if is_dane {
                "its key is published in signed DNS and will be checked"
            } else {
                "its certificate will be checked against trusted roots and its name"
            };
            format!(
                "Mail for {domain} goes directly to {host} over an encrypted connection, because {} \
                 and {proof}.",
                authority_in_english(hop)
            )
        }
    }
}

const fn authority_in_dutch(hop: &Hop) -> &'static str {
    match hop.authority {
        Authority::Operator => "de instellingen deze server noemen",
        Authority::Dnssec => "de lijst van mailservers ondertekend is",
        Authority::MtaSts => "het domein deze server in zijn eigen beleid noemt",
        Authority::Named => "de server in het domein zelf ligt",
        Authority::Corroborated => "meer plaatsen op internet dezelfde mailservers zien",
        Authority::Unsigned if hop.must_name_domain => {
            "zijn certificaat het domein zelf moet noemen"
        }
        Authority::Unsigned => {
            "de instellingen de lijst van mailservers ook zonder handtekening vertrouwen"
        }
    }
}

const fn authority_in_english(hop: &Hop) -> &'static str {
    match hop.authority {
        Authority::Operator => "your settings name this host",
        Authority::Dnssec => "the list of mail servers is signed",
        Authority::MtaSts => "the domain's own policy names this host",
        Authority::Named => "the host lies inside the domain itself",
        Authority::Corroborated => "several places on the Internet see the same mail servers",
        Authority::Unsigned if hop.must_name_domain => {
            "its certificate must name the domain itself"
        }
        Authority::Unsigned => "your settings trust the unsigned list of mail servers",
    }
}

fn sealed(domain: &str, reason: VaultReason, cause: Option<Cause>, language: Language) -> String {
    // Of what kept it waiting, only silence means that the domain could not be reached.
    let waited_for = cause.filter(|cause| !matches!(cause, Cause::Silent | Cause::Nowhere));
    match (waited_for, language) {
        (Some(cause), Language::Dutch) => format!(
            "Mail voor {domain} gaat in de kluis, omdat {}, en het zo lang heeft gewacht als mag.",
            cause.words(language)
        ),
        (Some(cause), Language::English) => format!(
            "Mail for {domain} goes into the vault, because {}, and it has waited as long as it may.",
            cause.words(language)
        ),
        (None, Language::Dutch) => format!(
            "Mail voor {domain} gaat in de kluis, omdat {}.",
            vault_in_dutch(reason)
        ),
        (None, Language::English) => format!(
            "Mail for {domain} goes into the vault, because {}.",
            vault_in_english(reason)
        ),
    }
}

const fn vault_in_dutch(reason: VaultReason) -> &'static str {
    match reason {
        VaultReason::DowngradeConsented => {
            "het domein minder veilig is dan eerst en de afzender de kluis dan goed vindt"
        }
        VaultReason::Incapable => "de mailserver een bericht van deze soort niet kan aannemen",
        VaultReason::NoSecurePath => {
            "geen mailserver van het domein kan bewijzen dat hij veilig is"
        }
        VaultReason::Required => "de afzender, de organisatie of een scanner dat eist",
        VaultReason::Unreachable => "het domein te lang niet te bereiken was",
    }
}

const fn vault_in_english(reason: VaultReason) -> &'static str {
    match reason {
        VaultReason::DowngradeConsented => {
            "the domain is less safe than before and the sender consents to the vault"
        }
        VaultReason::Incapable => "the receiving host cannot take a message of this kind",
        VaultReason::NoSecurePath => "no mail server of the domain can be proved safe",
        VaultReason::Required => "the sender, the organisation or a scanner requires it",
        VaultReason::Unreachable => "the domain could not be reached for too long",
    }
}

fn held(domain: &str, not_before: UnixTime, cause: Option<Cause>, language: Language) -> String {
    let until = language.moment(not_before);
    let why = cause.unwrap_or(Cause::Silent).words(language);
    match language {
        Language::Dutch => format!("Mail voor {domain} wacht tot {until}, omdat {why}."),
        Language::English => format!("Mail for {domain} is held until {until}, because {why}."),
    }
}

fn given_back(
    domain: &str,
    (status, rule): (EnhancedStatus, Rule),
    cause: Option<Cause>,
    language: Language,
) -> String {
    let verdict = rule.verdict(language);
    // That time is over says nothing of why; what it waited for does.
    let waited_for = cause.filter(|_| rule == Rule::G10);
    let why = match (waited_for, language) {
        (Some(cause), Language::Dutch) => {
            let verdict = verdict.trim_end_matches('.');
            Cow::Owned(format!("{verdict}, omdat {}.", cause.words(language)))
        }
        (Some(cause), Language::English) => {
            let verdict = verdict.trim_end_matches('.');
            Cow::Owned(format!("{verdict}, because {}.", cause.words(language)))
        }
        (None, _) => verdict,
    };
    match language {
        Language::Dutch => {
            format!("Mail voor {domain} gaat terug naar de afzender ({status}). {why}")
        }
        Language::English => {
            format!("Mail for {domain} goes back to its sender ({status}). {why}")
        }
    }
}
