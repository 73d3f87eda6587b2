//! Every golden file and every vector is read by a test.

use super::source::Source;

/// Finds files under `tests/golden/` and `vectors/` that no Rust file names, alone or by its folder.
pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let code: Vec<&Source> = sources.iter().filter(|source| source.is_rust()).collect();
    let data = sources.iter().filter(|source| {
        (source.path.contains("tests/golden/") || source.path.starts_with("vectors/"))
            && !source.path.ends_with(".md")
            && !source.is_rust()
    });
    data.filter(|file| !code.iter().any(|code| names(&code.text, &file.path)))
        .map(|file| format!("{}: no test names it or its folder", file.path))
        .collect()
}

/// Whether `code` names the file, or a folder that leads to it beyond the common one.
fn names(code: &str, path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let Some((file, folders)) = parts.split_last() else {
        return false;
    };
    let inner = folders.last().copied().unwrap_or_default();
    code.contains(&format!("{file}\"")) || code.contains(&format!("{inner}\""))
}

#[cfg(test)]
mod tests {
    use super::{Source, check};

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_vector_that_nobody_reads_is_a_breach() {
        let vector = || source("vectors/dane/ee.txt", "x");
        assert_eq!(check(&[vector()]).len(), 1);
        assert!(check(&[vector(), source("a.rs", r#"read("vectors/dane/ee.txt")"#)]).is_empty());
        assert!(check(&[vector(), source("a.rs", r#"all_of("vectors/dane")"#)]).is_empty());
    }
}
