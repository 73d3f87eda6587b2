//! Tests that the documents name exist.

use super::source::Source;

const DOCUMENTS: [&str; 3] = ["ARCHITECTURE.md", "SECURITY.md", "docs/attacks.md"];
/// A name in backticks in the last column of a table is a test, where it stands behind this word.
const MARK: &str = "test `";

/// Finds names behind the word *test* that no Rust function bears.
pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let documents = sources
        .iter()
        .filter(|s| DOCUMENTS.contains(&s.path.as_str()));
    let mut found = Vec::new();
    for document in documents {
        for name in document
            .text
            .split(MARK)
            .skip(1)
            .filter_map(|rest| rest.split('`').next())
        {
            let function = format!("fn {name}(");
            let exists = sources
                .iter()
                .any(|s| s.is_rust() && s.text.contains(&function));
            if !exists {
                found.push(format!("{}: there is no test `{name}`", document.path));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Source, check};

    #[test]
    fn a_test_that_is_named_must_exist() {
        let source = |path: &str, text: &str| Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let promise = || {
            source(
                "ARCHITECTURE.md",
                "| P1 | x | test `clear_text_never_leaves` |",
            )
        };
        assert_eq!(check(&[promise()]).len(), 1);
        let test = source("a/tests/b.rs", "#[test]\nfn clear_text_never_leaves() {}");
        assert!(check(&[promise(), test]).is_empty());
    }
}
