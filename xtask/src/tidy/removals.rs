//! Every attack has a removal of its defence, and no removal has rotted.

use crate::attacks::Removal;

use super::source::Source;

const DOCUMENT: &str = "docs/attacks.md";

/// Checks the rows of the document against `xtask/removals/`.
pub(super) fn check(sources: &[Source], removals: &[Removal]) -> Vec<String> {
    let document = sources.iter().find(|source| source.path == DOCUMENT);
    let rows: Vec<Row<'_>> = document.map_or_else(Vec::new, |document| rows(&document.text));
    let mut found = Vec::new();
    for row in &rows {
        if !removals.iter().any(|removal| removal.row == row.id) {
            let id = row.id;
            found.push(format!(
                "{DOCUMENT}: row {id} has no removal in xtask/removals"
            ));
        }
    }
    for removal in removals {
        found.extend(breaches(removal, &rows, sources));
    }
    found
}

/// A line of a table: its first cell, and the line.
struct Row<'a> {
    id: &'a str,
    line: &'a str,
}

/// The rows that name tests.
fn rows(text: &str) -> Vec<Row<'_>> {
    let lines = text.lines().filter(|line| line.contains("test `"));
    lines
        .filter_map(|line| {
            let id = line.strip_prefix("| ")?.split(" |").next()?;
            Some(Row { id, line })
        })
        .collect()
}

fn breaches(removal: &Removal, rows: &[Row<'_>], sources: &[Source]) -> Vec<String> {
    let Removal { row: id, file, .. } = removal;
    let mut found = Vec::new();
    let row = rows.iter().find(|row| row.id == *id);
    let Some(row) = row else {
        return vec![format!("xtask/removals: {DOCUMENT} has no row {id}")];
    };
    if removal.tests.is_empty() {
        found.push(format!("xtask/removals: {id} names no test"));
    }
    for test in &removal.tests {
        if !row.line.contains(&format!("test `{test}`")) {
            found.push(format!("{DOCUMENT}: row {id} does not name test `{test}`"));
        }
    }
    let source = sources.iter().find(|source| source.path == *file);
    if source.and_then(|s| removal.applied(&s.text)).is_none() {
        let gone = &removal.gone;
        found.push(format!(
            "xtask/removals: {id} ({gone}): its text does not stand exactly once in {file}"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Removal, Source, check};

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn removal(row: &str, text: &str) -> Removal {
        Removal {
            row: row.to_owned(),
            gone: "it is believed".to_owned(),
            file: "a.rs".to_owned(),
            text: text.to_owned(),
            instead: String::new(),
            package: "a".to_owned(),
            target: "b".to_owned(),
            tests: vec!["nothing_is_believed".to_owned()],
        }
    }

    #[test]
    fn rows_and_removals_belong_together() {
        let document = || {
            source(
                "docs/attacks.md",
                "| O1 | x | y | test `nothing_is_believed` |",
            )
        };
        let code = || source("a.rs", "check();");
        let sources = [document(), code()];
        assert!(check(&sources, &[removal("O1", "check();")]).is_empty());
        assert_eq!(check(&sources, &[]).len(), 1, "a row without a removal");
        let twice = [removal("O1", "check();"), removal("O2", "check();")];
        assert_eq!(check(&sources, &twice).len(), 1, "no such row");
        assert_eq!(
            check(&sources, &[removal("O1", "gone();")]).len(),
            1,
            "rotten"
        );
        let other = source("docs/attacks.md", "| O1 | x | y | test `another` |");
        let found = check(&[other, code()], &[removal("O1", "check();")]);
        assert_eq!(found.len(), 1, "a test of another row");
    }
}
