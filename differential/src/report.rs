//! What agreed, what is explained, and what is not.

use std::collections::BTreeMap;
use std::fmt;

use crate::case::Case;
use crate::explained::Explanation;
use crate::verdict::Verdict;

/// With whom we are compared.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Against {
    /// Profile `dane-only` with a delivery by Postfix at level `dane-only`.
    DaneOnly,
    /// Profile `basic` with a delivery at level `dane`: whether DANE is demanded, and met.
    Dane,
    /// Profile `basic` with `posttls-finger` at level `dane`, which falls back to `secure`.
    Finger,
    /// Profile `basic` with a delivery at level `verify`, of domains without TLSA records.
    Verify,
    /// Our reading of the MTA-STS policy with that of postfix-mta-sts-resolver.
    Policy,
    /// Our matching of TLSA records with OpenSSL's, for the host of this number.
    OpenSsl(usize),
}

/// Two that do not agree.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    /// About this domain.
    pub(crate) case: Case,
    /// Who they are.
    pub(crate) against: Against,
    /// What we do.
    pub(crate) ours: Verdict,
    /// Why.
    pub(crate) our_words: String,
    /// What they do.
    pub(crate) theirs: Verdict,
    /// Why.
    pub(crate) their_words: String,
}

/// The sums of a run.
#[derive(Debug)]
pub struct Report {
    seed: u64,
    same: BTreeMap<&'static str, usize>,
    explained: BTreeMap<Explanation, usize>,
    unexplained: Vec<Difference>,
    told: Vec<String>,
}

impl Against {
    const fn name(self) -> &'static str {
        match self {
            Self::Dane => "postfix dane",
            Self::DaneOnly => "postfix dane-only",
            Self::Finger => "posttls-finger",
            Self::OpenSsl(_) => "openssl",
            Self::Policy => "postfix-mta-sts-resolver",
            Self::Verify => "postfix verify",
        }
    }
}

impl Report {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            seed,
            same: BTreeMap::new(),
            explained: BTreeMap::new(),
            unexplained: Vec::new(),
            told: Vec::new(),
        }
    }

    pub(crate) fn same(&mut self, against: Against) {
        *self.same.entry(against.name()).or_default() += 1;
    }

    pub(crate) fn explained(&mut self, rule: Explanation) {
        *self.explained.entry(rule).or_default() += 1;
    }

    pub(crate) fn unexplained(&mut self, difference: Difference) {
        self.unexplained.push(difference);
    }

    pub(crate) fn tell(&mut self, difference: &Difference) {
        self.told.push(difference.to_string());
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (name, count) in other.same {
            *self.same.entry(name).or_default() += count;
        }
        for (rule, count) in other.explained {
            *self.explained.entry(rule).or_default() += count;
        }
        self.unexplained.extend(other.unexplained);
        self.told.extend(other.told);
    }

    /// Whether every difference is explained.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.unexplained.is_empty()
    }

    /// How many comparisons with this one agreed, by the name in the sums.
    #[must_use]
    pub fn agreed_with(&self, name: &str) -> usize {
        self.same.get(name).copied().unwrap_or(0)
    }

    /// How many comparisons agreed.
    #[must_use]
    pub fn agreed(&self) -> usize {
        self.same.values().sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for told in &self.told {
            writeln!(f, "{told}")?;
        }
        for difference in &self.unexplained {
            let (seed, id) = (self.seed, difference.case.id);
            writeln!(
                f,
                "UNEXPLAINED; again: --seed {seed} --only {id}\n{difference}"
            )?;
        }
        for (name, count) in &self.same {
            writeln!(f, "{count:>6} same as {name}")?;
        }
        for (rule, count) in &self.explained {
            writeln!(f, "{count:>6} explained: {rule}")?;
        }
        write!(
            f,
            "same {}, explained {}, unexplained {}",
            self.agreed(),
            self.explained.values().sum::<usize>(),
            self.unexplained.len()
        )
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            case,
            against,
            ours,
            our_words,
            theirs,
            their_words,
        } = self;
        write!(
            f,
            "{case}\n  {against:?}\n  we: {ours:?}\n  {our_words}\n  they: {theirs:?}\n  {}",
            their_words.trim().replace('\n', "\n  ")
        )
    }
}
