//! What was looked at, what was found, and how bad it is.

use std::fmt;
use std::process::ExitCode;

use securemail_core::vocab::is_hidden;
use serde::Serialize;

/// How bad a finding is; the worst one is the exit code.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Good,
    /// It works; something better is known.
    Advice,
    /// It could not be found out.
    Unknown,
    /// It is wrong.
    Fail,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "good",
            Self::Advice => "advice",
            Self::Unknown => "unknown",
            Self::Fail => "FAIL",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The name of the check, as Internet.nl has it where it has one.
    pub check: &'static str,
    /// What was looked at: a domain, a host or a listener.
    pub subject: String,
    /// What was found, and what to do.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            level,
            check,
            subject,
            text,
        } = self;
        write!(f, "{level:<8}{check:<23}{subject}: {text}")
    }
}

/// Findings in the order in which they were made.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
}

impl Report {
    /// Adds a finding about `subject`.
    pub fn add(
        &mut self,
        subject: &dyn fmt::Display,
        check: &'static str,
        (level, text): (Level, String),
    ) {
        // Records and replies of others stand in it, and may speak to the terminal.
        let is_bad = |c: char| c.is_control() || is_hidden(c);
        self.findings.push(Finding {
            level,
            check,
            subject: subject.to_string(),
            text: text.replace(is_bad, " "),
        });
    }

    /// Adds what another one found.
    pub fn append(&mut self, mut other: Self) {
        self.findings.append(&mut other.findings);
    }

    /// 0 where all is good or could only be better, 3 where something could not be found out, 1 where
    /// something is wrong.
    pub fn exit_code(&self) -> ExitCode {
        let worst = self.findings.iter().map(|finding| finding.level).max();
        ExitCode::from(match worst {
            None | Some(Level::Good | Level::Advice) => 0,
            Some(Level::Unknown) => 3,
            Some(Level::Fail) => 1,
        })
    }

    fn count(&self, level: Level) -> usize {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.level == level).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        write!(
            f,
            "{} good, {} could be better, {} unknown, {} wrong",
            self.count(Level::Good),
            self.count(Level::Advice),
            self.count(Level::Unknown),
            self.count(Level::Fail)
        )
    }
}

/// As it should be.
pub fn good(text: impl Into<String>) -> (Level, String) {
    (Level::Good, text.into())
}

/// It works; something better is known.
pub fn advice(text: impl Into<String>) -> (Level, String) {
    (Level::Advice, text.into())
}

/// It could not be found out.
pub fn unknown(text: impl Into<String>) -> (Level, String) {
    (Level::Unknown, text.into())
}

/// It is wrong.
pub fn fail(text: impl Into<String>) -> (Level, String) {
    (Level::Fail, text.into())
}
