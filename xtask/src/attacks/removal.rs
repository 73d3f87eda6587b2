//! One removal of a defence: which text goes, what stands there instead, and which tests must then fail.

use std::fs;

use super::notation::{self, Entry};
use crate::failure::Failure;
use crate::steps::root;

/// Where the removals stand, one file for each table of `docs/attacks.md`.
const FOLDER: &str = "xtask/removals";

/// A defence that is taken away. It is data, so that everybody sees what each test is worth.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Removal {
    /// The row of `docs/attacks.md`.
    pub(crate) row: String,
    /// What an attacker gains, in words.
    pub(crate) gone: String,
    /// The file, from the root of the workspace.
    pub(crate) file: String,
    /// What stands there, exactly once.
    pub(crate) text: String,
    /// What stands there instead.
    pub(crate) instead: String,
    /// The package of the tests.
    pub(crate) package: String,
    /// Their target: the name of a file in `tests/`, or `lib`.
    pub(crate) target: String,
    /// Each of them must fail.
    pub(crate) tests: Vec<String>,
}

impl Removal {
    /// Every removal, in the order in which builds cost least: by test target, then by file.
    pub(crate) fn all() -> Result<Vec<Self>, Failure> {
        let folder = root().join(FOLDER);
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(Failure::doing(FOLDER))? {
            let path = entry.map_err(Failure::doing(FOLDER))?.path();
            let shown = path.display().to_string();
            let text = fs::read_to_string(&path).map_err(Failure::doing(&shown))?;
            found.extend(Self::read(&text).map_err(|e| Failure::new(format!("{shown}: {e}")))?);
        }
        found.sort_by(|a, b| a.place().cmp(&b.place()));
        Ok(found)
    }

    fn read(text: &str) -> Result<Vec<Self>, Failure> {
        notation::entries(text)?.into_iter().map(Self::of).collect()
    }

    fn of(mut entry: Entry) -> Result<Self, Failure> {
        let removal = Self {
            row: entry.take("row")?,
            gone: entry.take("gone")?,
            file: entry.take("file")?,
            text: entry.take("text")?,
            instead: entry.take("instead")?,
            package: entry.take("package")?,
            target: entry.take("target")?,
            tests: entry.take_list("tests")?,
        };
        entry.end().map(|()| removal)
    }

    fn place(&self) -> (&str, &str, &str, &str) {
        (&self.package, &self.target, &self.file, &self.row)
    }

    /// The text of the file without the defence, or nothing where the defence does not stand there exactly once.
    pub(crate) fn applied(&self, text: &str) -> Option<String> {
        let mut parts = text.split(&self.text);
        let (before, after) = (parts.next()?, parts.next()?);
        let once = parts.next().is_none();
        once.then(|| [before, &self.instead, after].concat())
    }

    /// Whether a word of the command line means this one.
    pub(crate) fn is_meant_by(&self, word: &str) -> bool {
        self.row.eq_ignore_ascii_case(word)
            || self.file.contains(word)
            || self.target == word
            || self.package == word
            || self.tests.iter().any(|test| test == word)
    }
}

#[cfg(test)]
mod tests {
    use super::Removal;

    const ONE: &str = r#"
        [[removal]]
        row = "O1"
        gone = "a reply is believed"
        file = "a/src/b.rs"
        text = 'if is_bad { return; }'
        instead = ''
        package = "a"
        target = "b"
        tests = ["nothing_bad_is_believed"]
    "#;

    #[test]
    fn a_defence_is_taken_away_only_where_it_stands_once() {
        let removal = Removal::read(ONE).unwrap().remove(0);
        let line = "if is_bad { return; }";
        assert_eq!(removal.applied(&format!("a;{line}b")).unwrap(), "a;b");
        assert_eq!(removal.applied("a;"), None);
        assert_eq!(removal.applied(&line.repeat(2)), None);
    }

    #[test]
    fn a_word_means_rows_files_and_tests() {
        let removal = Removal::read(ONE).unwrap().remove(0);
        for word in ["o1", "src/b.rs", "nothing_bad_is_believed"] {
            assert!(removal.is_meant_by(word), "{word}");
        }
        assert!(!removal.is_meant_by("O10"));
    }
}
