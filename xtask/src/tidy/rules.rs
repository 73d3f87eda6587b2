//! Every rule of the decision engine has a case in which it holds, and one in which it does not.

use std::collections::BTreeMap;

use super::source::Source;

const RULES: &str = "crates/securemail-core/src/route/rule.rs";
const TALLY: &str = "docs/rules.md";
const TABLES: &str = "crates/securemail-core/tests/golden/";
/// Before the case of a rule that forbids something: it fires nowhere, and the case shows that it is not done.
const NEVER: &str = "never: ";

/// Compares the rules with the tally of their cases.
pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let text = |path: &str| sources.iter().find(|source| source.path == path);
    let (Some(rules), Some(tally)) = (text(RULES), text(TALLY)) else {
        return vec![format!("{RULES} or {TALLY} is missing")];
    };
    let cases = Cases::read(sources);
    let rows = rows(&tally.text);
    let mut found = Vec::new();
    let mut known = Vec::new();
    for (id, spec) in rules.text.lines().filter_map(rule) {
        known.push(id);
        let Some([standard, holds, not]) = rows.get(id) else {
            found.push(format!("{TALLY}: {id} has no row"));
            continue;
        };
        if spec.is_some_and(|spec| spec != *standard) {
            found.push(format!("{TALLY}: {id} names another standard than {RULES}"));
        }
        found.extend(cases.breaches(id, holds, true));
        found.extend(cases.breaches(id, not, false));
        let both = tests(holds).find(|name| tests(not).any(|other| other == *name));
        found.extend(both.map(|name| format!("{TALLY}: {id}: `{name}` stands for both")));
    }
    let strange = rows.keys().filter(|id| !known.contains(*id));
    found.extend(strange.map(|id| format!("{TALLY}: {id} is no rule")));
    found
}

/// `Mx01 "MX-01" "RFC 7672, section 2.2.1"` in the list of rules.
fn rule(line: &str) -> Option<(&str, Option<&str>)> {
    let mut parts = line.split('"');
    let variant = parts.next()?.trim();
    let id = parts.next()?;
    let is_variant = variant.chars().next()?.is_ascii_uppercase()
        && variant.chars().all(|c| c.is_ascii_alphanumeric());
    let (letters, number) = id.split_once('-')?;
    let is_id = letters.chars().all(|c| c.is_ascii_uppercase())
        && number.chars().all(|c| c.is_ascii_digit());
    (is_variant && is_id).then(|| (id, parts.nth(1)))
}

/// Id to standard, positive and negative cases.
fn rows(text: &str) -> BTreeMap<&str, [&str; 3]> {
    text.lines()
        .filter(|line| line.starts_with("| "))
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            match cells.as_slice() {
                [id, standard, holds, not] if id.contains('-') => {
                    Some((*id, [*standard, *holds, *not]))
                }
                _ => None,
            }
        })
        .collect()
}

/// The tests that a cell names.
fn tests(cell: &str) -> impl Iterator<Item = &str> {
    let names = cell.split("test `").skip(1);
    names.filter_map(|rest| rest.split('`').next())
}

/// What stands in the tables and tests.
struct Cases<'a> {
    /// `mx.txt: title` to the rules that fire there.
    tables: BTreeMap<String, Vec<&'a str>>,
    code: Vec<&'a str>,
}

impl<'a> Cases<'a> {
    fn read(sources: &'a [Source]) -> Self {
        let mut tables = BTreeMap::new();
        for source in sources {
            let Some(file) = source.path.strip_prefix(TABLES) else {
                continue;
            };
            for case in source.text.split("\n== ").skip(1) {
                let (title, rest) = case.split_once('\n').unwrap_or((case, ""));
                let findings = rest.split_once("---\n").map_or("", |(_, after)| after);
                let fired = findings
                    .lines()
                    .filter_map(|line| line.split_whitespace().next());
                tables.insert(format!("{file}: {title}"), fired.collect());
            }
        }
        let code = sources
            .iter()
            .filter(|source| source.is_rust())
            .map(|source| source.text.as_str())
            .collect();
        Self { tables, code }
    }

    /// What is wrong with one cell of a row.
    fn breaches(&self, id: &str, cell: &str, holds: bool) -> Vec<String> {
        if cell.is_empty() {
            return vec![format!("{TALLY}: {id} lacks a case")];
        }
        if cell.starts_with("test `") {
            return tests(cell)
                .filter(|name| !self.has_test(name))
                .map(|name| format!("{TALLY}: {id}: there is no test `{name}`"))
                .collect();
        }
        let forbids = cell.strip_prefix(NEVER).filter(|_| holds);
        let case = forbids.unwrap_or(cell);
        let Some(fired) = self.tables.get(case) else {
            return vec![format!("{TALLY}: {id}: there is no case \"{case}\"")];
        };
        if forbids.is_some() {
            let fires = self.tables.values().any(|fired| fired.contains(&id));
            return fires
                .then(|| format!("{TALLY}: {id}: it is not never: a table shows it"))
                .into_iter()
                .collect();
        }
        if fired.contains(&id) != holds {
            let not = if holds { "does not show" } else { "shows" };
            return vec![format!("{TALLY}: {id}: the case \"{cell}\" {not} it")];
        }
        Vec::new()
    }

    fn has_test(&self, name: &str) -> bool {
        let function = format!("fn {name}(");
        self.code.iter().any(|code| code.contains(&function))
    }
}

#[cfg(test)]
mod tests {
    use super::{RULES, Source, TABLES, TALLY, check};

    const CODE: &str = r#"
    Mx01 "MX-01" "RFC 1, section 2"
        "Says something about \"X-1\"."
    Mx02 "MX-02" "RFC 1" "Says something."
    Mx03 "MX-03" "RFC 1" "Forbids something."
"#;

    fn breaches(tally: &str) -> Vec<String> {
        let source = |path: &str, text: &str| Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let table =
            "# Lists.\n\n== one\nmx a\n---\nMX-01  note  a\n\n== two\nmx b\n---\n=> deliver\n";
        check(&[
            source(RULES, CODE),
            source(TALLY, tally),
            source(&format!("{TABLES}mx.txt"), table),
            source("a/tests/b.rs", "fn mx_02_holds() {} fn mx_02_not() {}"),
        ])
    }

    const GOOD: &str = "| MX-01 | RFC 1, section 2 | mx.txt: one | mx.txt: two |\n\
                        | MX-02 | RFC 1 | test `mx_02_holds` | test `mx_02_not` |\n\
                        | MX-03 | RFC 1 | never: mx.txt: one | mx.txt: two |\n";

    #[test]
    fn a_rule_with_both_cases_is_well() {
        assert_eq!(breaches(GOOD), Vec::<String>::new());
    }

    #[test]
    fn a_rule_without_a_case_is_a_breach() {
        for (from, to) in [
            ("| MX-01", "| MX-04"),
            ("| mx.txt: one |", "| |"),
            ("mx.txt: one", "mx.txt: two"),
            ("one | mx.txt: two", "one | mx.txt: one"),
            ("mx.txt: one", "mx.txt: three"),
            ("mx_02_holds", "mx_02_is_dreamt"),
            ("section 2", "section 3"),
            ("test `mx_02_holds`", "being built"),
            ("test `mx_02_holds`", "mx.txt: one"),
            ("mx_02_not", "mx_02_holds"),
            ("test `mx_02_not`", "test `mx_02_not`, test `mx_02_holds`"),
            ("never: mx.txt: one", "mx.txt: one"),
            ("never: mx.txt: one", "never: mx.txt: three"),
            ("section 2 | mx.txt: one", "section 2 | never: mx.txt: one"),
            ("never: mx.txt: one | mx", "never: mx.txt: one | never: mx"),
        ] {
            let tally = GOOD.replacen(from, to, 1);
            assert!(!breaches(&tally).is_empty(), "{from} -> {to}");
        }
    }
}
