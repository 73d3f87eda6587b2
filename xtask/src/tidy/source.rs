//! The files of the project, as git lists them, and Rust text without its comments.

use std::fs;

use crate::failure::Failure;
use crate::steps::root;
use crate::tracked;

/// One file that git tracks, or would track.
#[derive(Debug)]
pub(super) struct Source {
    /// Its path from the root of the workspace.
    pub(super) path: String,
    /// What stands in it; empty for what is no text.
    pub(super) text: String,
}

impl Source {
    /// Reads every file that is tracked or new and not ignored.
    pub(super) fn tracked() -> Result<Vec<Self>, Failure> {
        let paths = tracked::paths()?;
        // A file that was just deleted is still listed; it has nothing to check.
        Ok(paths
            .into_iter()
            .filter_map(|path| {
                let bytes = fs::read(root().join(&path)).ok()?;
                let text = String::from_utf8(bytes).unwrap_or_default();
                Some(Self { path, text })
            })
            .collect())
    }

    /// Whether it is Rust.
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Rust text without comments, up to the unit tests at its end; lines keep their numbers.
    pub(super) fn code(&self) -> String {
        let shipped = self.text.split("#[cfg(test)]").next().unwrap_or_default();
        shipped
            .lines()
            .map(without_comment)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// A line up to `//`, unless that stands behind a colon or inside a string, as in an address.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let mut last = ' ';
    for (at, c) in line.char_indices() {
        if c == '"' && last != '\\' && last != '\'' {
            quoted = !quoted;
        }
        if !quoted && c == '/' && line.get(at..).is_some_and(|rest| rest.starts_with("//")) {
            return line.get(..at).unwrap_or(line);
        }
        last = c;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{Source, without_comment};

    #[test]
    fn comments_go_and_strings_stay() {
        assert_eq!(without_comment("let a = 1; // crate::drive"), "let a = 1; ");
        assert_eq!(
            without_comment(r#"let a = "https://x"; // y"#),
            r#"let a = "https://x"; "#
        );
        assert_eq!(without_comment("let q = '\"'; // y"), "let q = '\"'; ");
    }

    #[test]
    fn unit_tests_are_not_shipped_code() {
        let text = "use a;\n#[cfg(test)]\nmod tests { use b; }".to_owned();
        let source = Source {
            path: "a.rs".to_owned(),
            text,
        };
        assert_eq!(source.code(), "use a;");
    }
}
