//! Why a command of this tool stopped, in words for the person at the terminal.

use std::fmt;

/// One sentence that says what failed and, where it is known, what to do.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// Says what failed.
    pub(crate) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }

    /// The command line was not understood.
    pub(crate) fn usage(usage: &str) -> Self {
        Self(format!("unknown command\n\n{usage}"))
    }

    /// Wraps an error of the system with what was being done.
    pub(crate) fn doing(what: &str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
