//! Lengths, first lines and words.

use super::source::Source;

const LINES_MAX: usize = 700;

/// What may stand nowhere. Each is written in two halves, so that this file may stand here too.
const WORDS: [(&str, &str, &str); 14] = [
    ("to", "do!(", "what is not built is not there"),
    ("unimple", "mented!(", "what is not built is not there"),
    ("db", "g!(", "remove it"),
    ("FIX", "ME", "fix it, or write it down in docs/decisions"),
    ("#[all", "ow(", "use #[expect(.., reason = ..)]"),
    ("#[ign", "ore", "a test that does not run is no test"),
    ("```ign", "ore", "an example compiles, or is text"),
    ("crates", ".io", "do not name a package registry"),
    ("docs", ".rs/", "do not name a package registry's host"),
    ("py", "pi.org", "do not name a package registry"),
    ("npm", "js.", "do not name a package registry"),
    ("/wo", "rk/", "a path of one machine"),
    ("/tmp/w", "t/", "a path of one machine"),
    ("/ho", "me/", "a path of one machine"),
];

/// Names that say nothing. The glossary in CONTRIBUTING.md has better ones.
const EMPTY_NAMES: [&str; 3] = ["Manager", "Helper", "Util"];

/// Checks every text file.
pub(super) fn check(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .filter(|source| source.path != "Cargo.lock")
        .flat_map(breaches)
        .collect()
}

fn breaches(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let path = &source.path;
    for (number, line) in (1_usize..).zip(source.text.lines()) {
        for (head, tail, advice) in WORDS {
            let word = format!("{head}{tail}");
            if line.contains(&word) {
                found.push(format!("{path}:{number}: `{word}`: {advice}"));
            }
        }
    }
    if !source.is_rust() {
        return found;
    }
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        found.push(format!(
            "{path}: {lines} lines; {LINES_MAX} at most: split it by its jobs"
        ));
    }
    if !source.text.starts_with("//!") && !is_shared_test_part(path) {
        found.push(format!(
            "{path}: its first line must say its one job, `//! ...`"
        ));
    }
    if path.contains("/tests/") {
        return found; // a test is named by a sentence, which may begin with any word
    }
    for (number, line) in (1_usize..).zip(source.code().lines()) {
        found.extend(empty_name(line).map(|n| format!("{path}:{number}: {n}")));
    }
    found
}

/// A file under `tests/` that another includes may begin as it likes.
fn is_shared_test_part(path: &str) -> bool {
    path.contains("/tests/") && path.ends_with(".inc.rs")
}

fn empty_name(line: &str) -> Option<String> {
    let mut words = line
        .split_whitespace()
        .skip_while(|w| !matches!(*w, "struct" | "enum" | "trait" | "fn"));
    let kind = words.next()?;
    let name = words.next()?;
    if kind == "fn" {
        let bad = name.starts_with("get_") || name.starts_with("do_");
        return bad.then(|| format!("`{name}`: name what it gives or does"));
    }
    let empty = EMPTY_NAMES.iter().find(|empty| name.contains(*empty))?;
    Some(format!("`{name}`: `{empty}` says nothing; name its job"))
}

#[cfg(test)]
mod tests {
    use super::{Source, check};

    fn found(path: &str, text: &str) -> usize {
        check(&[Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }])
        .len()
    }

    #[test]
    fn good_file_passes() {
        assert_eq!(found("a/src/b.rs", "//! Adds.\nfn add() {}\n"), 0);
    }

    #[test]
    fn each_rule_can_fail() {
        assert_eq!(found("a/src/b.rs", "fn add() {}\n"), 1, "no first line");
        assert_eq!(
            found("a/src/b.rs", &format!("//! Adds.\n{}", "\n".repeat(700))),
            1,
            "length"
        );
        assert_eq!(
            found("a/src/b.rs", "//! A.\nstruct KeyManager;\n"),
            1,
            "empty name"
        );
        assert_eq!(
            found("a/src/b.rs", "//! A.\nfn get_key() {}\n"),
            1,
            "getter"
        );
        assert_eq!(found("README.md", &["see /wo", "rk/x"].concat()), 1, "path");
    }
}
