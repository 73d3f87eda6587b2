//! Every numbered clause of a contract has a conformance test that names it.

use std::collections::BTreeSet;

use super::source::Source;

const CONTRACTS: &str = "crates/securemail-core/src/backend/";
const SUITES: &str = "crates/securemail-testkit/src/conformance/";

/// Policy fetching, master keys, carriers, observers, resolvers, transports, return hosts,
/// posting of reports, checking of signatures: there is no suite that could run on every such back-end,
/// because each needs its own world. Their crates test them.
const WITHOUT_SUITE: [char; 8] = ['E', 'F', 'M', 'N', 'O', 'Q', 'T', 'W'];

/// Finds clauses (`- **V1** ...`) without a function `v1_...` in the suites.
pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let suites: Vec<&Source> = sources
        .iter()
        .filter(|s| s.path.starts_with(SUITES))
        .collect();
    let contracts = sources.iter().filter(|s| s.path.starts_with(CONTRACTS));
    let mut found = Vec::new();
    for contract in contracts {
        let clauses = clauses(&contract.text).into_iter();
        for clause in clauses.filter(|clause| !clause.starts_with(WITHOUT_SUITE)) {
            let function = format!("fn {}_", clause.to_lowercase());
            if !suites.iter().any(|suite| suite.text.contains(&function)) {
                found.push(format!(
                    "{}: clause {clause} has no conformance test",
                    contract.path
                ));
            }
        }
    }
    found
}

fn clauses(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("/// - **"))
        .filter_map(|line| line.split("**").next())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Source, check};

    #[test]
    fn a_clause_without_a_test_is_a_breach() {
        let source = |path: &str, text: &str| Source {
            path: format!("crates/{path}"),
            text: text.to_owned(),
        };
        let contract = || {
            source(
                "securemail-core/src/backend/vault.rs",
                "    /// - **V1** Stored is durable.",
            )
        };
        assert_eq!(check(&[contract()]).len(), 1);
        let suite = source(
            "securemail-testkit/src/conformance/vault.rs",
            "async fn v1_stored_is_durable() {}",
        );
        assert!(check(&[contract(), suite]).is_empty());
    }
}
