//! Which module of core may read which, and who may drive.

use super::source::Source;

const CORE: &str = "crates/securemail-core/src/";
const ENGINES: [&str; 8] = [
    "route", "dkim", "seal", "pickup", "ledger", "mail", "schedule", "tlsrpt",
];
/// Beside the layers: small things that everybody may read.
const GROUND: [&str; 4] = ["error", "limits", "secret", "vocab"];

/// One engine may read the types of another only here, for this reason.
const BETWEEN_ENGINES: [(&str, &str, &str); 8] = [
    ("dkim", "mail", "it signs the header that mail reads"),
    ("ledger", "route", "an event holds the decision"),
    ("ledger", "seal", "the personal part of an event is sealed"),
    ("mail", "route", "a DSN explains the decision"),
    ("mail", "tlsrpt", "a report about TLS goes by mail"),
    (
        "pickup",
        "route",
        "a pickup keeps why it did not go directly",
    ),
    ("pickup", "seal", "a pickup holds its wrapped keys"),
    (
        "tlsrpt",
        "route",
        "it counts what decisions and sessions showed",
    ),
];

/// Items of `backend` that the ground may name: randomness comes in as an argument.
const ENTROPY: [&str; 2] = ["Entropy", "NoEntropy"];

/// Adapters that are called with a handle of the main flow.
const MAY_DRIVE: [&str; 2] = ["crates/securemail-smtp/", "crates/securemail-web/"];

/// Checks every `crate::` path of core and every `securemail_core::drive` of an adapter.
pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    let io_traits = io_traits(sources);
    for source in sources.iter().filter(|source| source.is_rust()) {
        if let Some(inner) = source.path.strip_prefix(CORE) {
            found.extend(core_breaches(source, inner, &io_traits));
        } else if source.path.starts_with("crates/") && source.path.contains("/src/") {
            found.extend(adapter_breaches(source));
        }
    }
    found
}

fn core_breaches(source: &Source, inner: &str, io_traits: &[String]) -> Vec<String> {
    let from = inner
        .split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs");
    if from == "lib" {
        return Vec::new();
    }
    let code = source.code();
    let mut found: Vec<String> = crate_paths(&code)
        .into_iter()
        .filter(|path| !is_allowed(from, path))
        .map(|path| {
            format!(
                "{}: `{from}` may not read `crate::{path}`; see ARCHITECTURE.md, layers",
                source.path
            )
        })
        .collect();
    if climbs_out(&code, inner) {
        found.push(format!(
            "{}: `super::` leaves its folder; write `crate::`",
            source.path
        ));
    }
    if ENGINES.contains(&from) {
        found.extend(io_in_engine(from, source, &code, io_traits));
    }
    found
}

/// `path` is what stands behind `crate::`, such as `vocab::DnsName`.
fn is_allowed(from: &str, path: &str) -> bool {
    let (to, item) = path.split_once("::").unwrap_or((path, ""));
    if to == from || GROUND.contains(&to) || to.starts_with(char::is_uppercase) {
        return true;
    }
    match from {
        "drive" => true,
        "backend" => ENGINES.contains(&to),
        from if ENGINES.contains(&from) => {
            to == "backend"
                || BETWEEN_ENGINES
                    .iter()
                    .any(|(a, b, _)| *a == from && *b == to)
        }
        _ => to == "backend" && ENTROPY.contains(&item),
    }
}

/// Every path behind `crate::`, groups taken apart one level deep.
fn crate_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = code.get(at + "crate::".len()..).unwrap_or_default();
        expand("", rest, &mut paths);
    }
    paths
}

/// Reads one path, or one group of paths, from the start of `rest`.
fn expand(prefix: &str, rest: &str, paths: &mut Vec<String>) {
    let end = rest
        .find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
        .unwrap_or(rest.len());
    let (head, tail) = rest.split_at(end);
    let path = format!("{prefix}{head}");
    let Some(group) = tail.strip_prefix('{') else {
        paths.push(path);
        return;
    };
    for member in group_members(group) {
        expand(&path, member.trim(), paths);
    }
}

/// The members of a group, up to its closing brace.
fn group_members(group: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let (mut depth, mut start) = (0_u32, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                members.extend(group.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
        if c == '}' && depth == 0 && start == at + 1 {
            break;
        }
    }
    members
        .into_iter()
        .filter(|member| !member.trim().is_empty())
        .collect()
}

/// Whether a chain of `super::` reaches the root of the crate.
fn climbs_out(code: &str, inner: &str) -> bool {
    let depth = inner.split('/').count() - usize::from(inner.ends_with("/mod.rs"));
    code.contains(&"super::".repeat(depth.max(1)))
}

/// The traits of `backend` that do input or output: those with an `async fn`.
fn io_traits(sources: &[Source]) -> Vec<String> {
    let backend = format!("{CORE}backend/");
    let mut traits = Vec::new();
    for source in sources
        .iter()
        .filter(|source| source.path.starts_with(&backend))
    {
        for part in source.code().split("#[async_trait]").skip(1) {
            let name = part.split("pub trait ").nth(1).unwrap_or_default();
            let end = name
                .find(|c: char| !c.is_alphanumeric())
                .unwrap_or(name.len());
            traits.extend(name.get(..end).map(str::to_owned));
        }
    }
    traits
}

/// Engines that may wait, and only for content that is handed in and for keys, which a KMS may hold.
const MAY_WAIT: [&str; 4] = ["dkim", "ledger", "mail", "seal"];
const KEYS: [&str; 3] = ["DkimSigner", "MasterKey", "SigningKeys"];

fn io_in_engine(from: &str, source: &Source, code: &str, io_traits: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let may_wait = MAY_WAIT.contains(&from);
    if !may_wait && (code.contains("async fn ") || code.contains(".await")) {
        found.push(format!(
            "{}: this engine waits for nothing: no `async` here",
            source.path
        ));
    }
    for path in crate_paths(code) {
        let item = path.strip_prefix("backend::").unwrap_or_default();
        let is_io = io_traits.iter().any(|name| name == item);
        if is_io && !(may_wait && KEYS.contains(&item)) {
            found.push(format!(
                "{}: an engine does no I/O: it cannot hold `{item}`",
                source.path
            ));
        }
    }
    found
}

fn adapter_breaches(source: &Source) -> Vec<String> {
    let is_testkit = source.path.starts_with("crates/securemail-testkit/");
    if is_testkit || MAY_DRIVE.iter().any(|may| source.path.starts_with(may)) {
        return Vec::new();
    }
    let code = source.code();
    let drives = code.contains("securemail_core::drive")
        || code.contains("securemail_core::{") && code.contains("drive::");
    match drives {
        true => vec![format!(
            "{}: this adapter may not read `drive`",
            source.path
        )],
        false => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Source, check, crate_paths};

    fn found(inner: &str, code: &str) -> usize {
        let path = format!("crates/securemail-core/src/{inner}");
        let clock = Source {
            path: "crates/securemail-core/src/backend/system.rs".to_owned(),
            text: "#[async_trait]\npub trait Clock: Send { async fn sleep(&self); }".to_owned(),
        };
        check(&[
            clock,
            Source {
                path,
                text: code.to_owned(),
            },
        ])
        .len()
    }

    #[test]
    fn groups_are_taken_apart() {
        let paths =
            crate_paths("use crate::{vocab::{A, B}, drive::C};\nfn f(x: crate::seal::D) {}");
        assert_eq!(paths, ["vocab::A", "vocab::B", "drive::C", "seal::D"]);
    }

    #[test]
    fn downward_reads_pass() {
        assert_eq!(found("route/policy.rs", "use crate::vocab::DnsName;"), 0);
        assert_eq!(
            found("route/policy.rs", "use crate::backend::TransportPolicy;"),
            0
        );
        assert_eq!(found("backend/policy.rs", "use crate::route::Decision;"), 0);
        assert_eq!(
            found("vocab/id.rs", "use crate::backend::{Entropy, NoEntropy};"),
            0
        );
        assert_eq!(
            found("drive/relay.rs", "use crate::{seal::A, backend::B};"),
            0
        );
    }

    #[test]
    fn upward_and_sideways_reads_are_breaches() {
        assert_eq!(found("vocab/id.rs", "use crate::route::Decision;"), 1);
        assert_eq!(found("vocab/id.rs", "use crate::backend::Clock;"), 1);
        assert_eq!(found("route/policy.rs", "use crate::drive::Relay;"), 1);
        assert_eq!(found("route/policy.rs", "use crate::seal::Sealer;"), 1);
        assert_eq!(found("backend/spool.rs", "use crate::drive::Relay;"), 1);
        assert_eq!(
            found("route/policy.rs", "use super::super::drive::Relay;"),
            1
        );
    }

    #[test]
    fn engines_neither_wait_nor_hold_a_clock() {
        assert_eq!(found("route/policy.rs", "async fn decide() {}"), 1);
        assert_eq!(found("route/policy.rs", "use crate::backend::Clock;"), 1);
        assert_eq!(found("seal/content.rs", "async fn read() {}"), 0);
        assert_eq!(found("seal/content.rs", "use crate::backend::Clock;"), 1);
    }
}
