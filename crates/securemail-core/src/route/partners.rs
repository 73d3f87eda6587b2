//! What NTA 7516 makes of a message's way, where its organisation asks for it: which hosts, and how much proof.
//!
//! A domain that takes part says so in a TXT record. It demands what `dane-only` demands, and may name other
//! hosts than its MX records do. Nothing here lowers what a profile asks for.

use super::decision::{Findings, Subject};
use super::facts::{Chain, Trouble, walk};
use super::host::{Obstacle, trouble_in_words};
use super::policy::Judge;
use super::{Evidence, Route, Rule, history, nta7516, outcome};
use crate::vocab::{Mx, Outcome, Profile, Question, RecordKind};

/// What the record of the domain says, where anybody asks.
pub(super) enum Taking<'a> {
    /// The domain takes no part; why an announcement does not count, where there is one.
    No(Option<String>),
    /// It could not be found out, which is never absence.
    Unknown(Trouble),
    /// The domain says so, and nothing proves that it was the domain.
    Unsigned,
    /// The domain takes part.
    Yes(Part<'a>),
}

/// How a domain takes part.
pub(super) struct Part<'a> {
    /// Where its record was found.
    pub(super) chain: Chain<'a>,
    /// Who provides it, and since when.
    fact: String,
    /// The hosts that stand in for MX; empty: those of MX.
    pub(super) hosts: Vec<Mx>,
}

/// Reads the record. The month is that of the present round of attempts.
pub(super) fn taking(evidence: &Evidence) -> Result<Taking<'_>, Question> {
    let Some(settings) = &evidence.message.nta7516 else {
        return Ok(Taking::No(None));
    };
    let chain = walk(evidence, &evidence.domain, RecordKind::Txt)?;
    if let Some(trouble) = chain.trouble {
        return Ok(Taking::Unknown(trouble));
    }
    let Outcome::Txt(records) = &chain.answer().outcome else {
        return Ok(Taking::No(None));
    };
    let record = match nta7516::announced(records, &settings.version) {
        Ok(Some(record)) => record,
        Ok(None) => return Ok(Taking::No(None)),
        Err(why) => return Ok(Taking::No(Some(why.to_owned()))),
    };
    let (is_current, months) = record.is_current(evidence.message.round_began, settings.ahead);
    if !is_current {
        return Ok(Taking::No(Some(format!("not valid now: {months}"))));
    }
    if !chain.is_secure() {
        return Ok(Taking::Unsigned);
    }
    Ok(Taking::Yes(Part {
        chain,
        fact: format!("{}; {months}", record.by_whom()),
        hosts: record.mail_servers(),
    }))
}

/// Whether the norm decides where the message goes. What is learnt of the domain then says nothing about
/// the messages of others.
pub(super) fn decide(evidence: &Evidence) -> bool {
    matches!(taking(evidence), Ok(Taking::Unsigned | Taking::Yes(_)))
}

/// How sure the way must be: as the profile asks, and by DANE where the domain takes part.
pub(super) fn profile(evidence: &Evidence) -> Profile {
    match taking(evidence) {
        Ok(Taking::Yes(_)) => evidence.profile.max(Profile::DaneOnly),
        Ok(Taking::No(_) | Taking::Unknown(_) | Taking::Unsigned) | Err(_) => evidence.profile,
    }
}

impl Judge<'_> {
    /// Says whether the domain takes part.
    ///
    /// # Errors
    /// What happens to the message, where that is not known or not proved.
    pub(super) fn part(&self, findings: &mut Findings) -> Result<(), Route> {
        let domain = Subject::Domain(self.evidence.domain.clone());
        let obstacle = match taking(self.evidence) {
            Ok(Taking::No(None)) => return Ok(()),
            Ok(Taking::No(Some(why))) => {
                findings.note(Rule::Nta05, &domain, why);
                return Ok(());
            }
            Ok(Taking::Yes(part)) => {
                findings.note(Rule::Nta01, &domain, part.fact);
                return Ok(());
            }
            Ok(Taking::Unsigned) => {
                findings.exclude(Rule::Nta04, &domain, "");
                Obstacle::Unproved
            }
            Ok(Taking::Unknown(trouble)) => {
                findings.hold(Rule::Nta03, &domain, trouble_in_words(trouble));
                Obstacle::from(trouble)
            }
            Err(_) => {
                findings.hold(Rule::Nta03, &domain, "it was not asked for");
                Obstacle::Transient
            }
        };
        let is_less = matches!(obstacle, Obstacle::Transient | Obstacle::Unproved);
        let worst = match is_less && history::was_secure(self.evidence, self.now) {
            true => Obstacle::Fell,
            false => obstacle,
        };
        Err(outcome::settle(&self.ending(), worst, findings))
    }
}
