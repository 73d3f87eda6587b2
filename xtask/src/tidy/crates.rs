//! Crate edges, banned crates and licences, from what cargo says of the workspace.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::licence;
use crate::failure::Failure;
use crate::steps::{command, output_of};

const CORE: &str = "securemail-core";
const TESTKIT: &str = "securemail-testkit";
const OURS: &str = "securemail-";

/// Core has no sockets, no runtime and no database, not even at second hand.
const NOT_IN_CORE: [&str; 8] = [
    "async-std",
    "hickory-proto",
    "hyper",
    "reqwest",
    "rusqlite",
    "rustls",
    "tokio",
    "tokio-rustls",
];

/// What may be nowhere in the tree, with any feature, on any platform.
const NOWHERE: [(&str, &str); 9] = [
    ("async-std", "tokio is the one runtime"),
    ("native-tls", "rustls is the one TLS stack"),
    ("openssl", "rustls is the one TLS stack"),
    ("openssl-sys", "rustls is the one TLS stack"),
    ("ring", "aws-lc-rs is the one provider"),
    (
        "rsa",
        "its private-key operations leak time (RUSTSEC-2023-0071)",
    ),
    (
        "rustls-mbedcrypto-provider",
        "aws-lc-rs is the one provider",
    ),
    ("rustls-rustcrypto", "aws-lc-rs is the one provider"),
    ("smol", "tokio is the one runtime"),
];

/// Of these there is exactly one version, or types of two would not fit.
const ONE_VERSION: [&str; 5] = [
    "aws-lc-rs",
    "hickory-proto",
    "rustls",
    "rustls-webpki",
    "tokio",
];

/// Checks edges, bans and licences.
pub(super) fn check() -> Result<Vec<String>, Failure> {
    let metadata = ["metadata", "--format-version", "1", "--locked"];
    let metadata = output_of(command("cargo", &metadata))?;
    let metadata: Value = serde_json::from_str(&metadata)
        .map_err(|error| Failure::new(format!("cargo metadata: {error}")))?;
    let mut found = edges(&metadata);
    let used = used_packages(&[
        "--workspace",
        "--edges",
        "normal,build,dev",
        "--target",
        "all",
    ])?;
    found.extend(bans(&used));
    found.extend(licences(&metadata, &used));
    let core = used_packages(&["--package", CORE, "--edges", "normal"])?;
    let in_core = NOT_IN_CORE.iter().filter(|name| core.contains_key(**name));
    found.extend(in_core.map(|name| format!("{CORE}: `{name}` came in; core does no I/O")));
    Ok(found)
}

/// Packages that are really compiled (a lock file holds more), each with its versions.
fn used_packages(scope: &[&str]) -> Result<BTreeMap<String, BTreeSet<String>>, Failure> {
    let mut tree = command("cargo", &["tree", "--locked", "--all-features"]);
    tree.args(["--prefix", "none", "--no-dedupe", "--format", "{p}"])
        .args(scope);
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in output_of(tree)?.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            packages
                .entry(name.to_owned())
                .or_default()
                .insert(version.to_owned());
        }
    }
    Ok(packages)
}

fn bans(used: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let nowhere = NOWHERE
        .iter()
        .filter(|(name, _)| used.contains_key(*name))
        .map(|(name, reason)| format!("`{name}` is in the tree: {reason}"));
    let versions = ONE_VERSION.iter().filter_map(|name| {
        let versions = used.get(*name).filter(|versions| versions.len() > 1)?;
        Some(format!(
            "`{name}` is there in several versions: {versions:?}"
        ))
    });
    nowhere.chain(versions).collect()
}

fn licences(metadata: &Value, used: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let of_tree = packages(metadata).filter(|p| used.contains_key(name_of(p)));
    let unfit = of_tree.filter(|package| {
        let expression = package["license"].as_str().unwrap_or_default();
        !licence::is_allowed(name_of(package), expression)
    });
    unfit
        .map(|p| {
            format!(
                "`{}`: licence {} is not on the list",
                name_of(p),
                p["license"]
            )
        })
        .collect()
}

fn edges(metadata: &Value) -> Vec<String> {
    let ours: BTreeSet<&str> = members(metadata).map(name_of).collect();
    let mut found = Vec::new();
    for package in members(metadata) {
        let from = name_of(package);
        for edge in package["dependencies"].as_array().into_iter().flatten() {
            let to = edge["name"].as_str().unwrap_or_default();
            let is_dev = edge["kind"] == "dev";
            if ours.contains(to) && !may_import(from, to, is_dev, is_library(package)) {
                found.push(format!(
                    "{from} may not import {to}; see ARCHITECTURE.md, layers"
                ));
            }
            if from == "xtask" && to != "serde_json" {
                found.push(format!(
                    "xtask may not import {to}: it must build in seconds"
                ));
            }
        }
    }
    found
}

/// The picture in ARCHITECTURE.md as a rule.
fn may_import(from: &str, to: &str, is_dev: bool, is_library: bool) -> bool {
    if from == "xtask" {
        return false;
    }
    if !is_library || from == to {
        return true; // examples and benches import everything
    }
    match (from, to) {
        (CORE, TESTKIT) => is_dev,
        (CORE, _) => false,
        (_, CORE) => true,
        (TESTKIT, _) => false,
        (_, TESTKIT) => is_dev,
        _ => false, // adapters never import each other
    }
}

/// A crate under `crates/`: what others embed.
fn is_library(package: &Value) -> bool {
    let manifest = package["manifest_path"].as_str().unwrap_or_default();
    name_of(package).starts_with(OURS) && manifest.contains("/crates/")
}

fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    packages(metadata).filter(|package| package["source"].is_null())
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

fn name_of(package: &Value) -> &str {
    package["name"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{bans, edges};

    fn breaches(from: &str, folder: &str, to: &str, kind: Option<&str>) -> usize {
        let other = |name: &str| {
            json!({ "name": name, "source": null, "dependencies": [],
            "manifest_path": "/r/crates/x/Cargo.toml" })
        };
        let metadata = json!({ "packages": [
            other("securemail-core"), other("securemail-testkit"), other("securemail-smtp"),
            { "name": from, "source": null, "manifest_path": format!("/r/{folder}/x/Cargo.toml"),
              "dependencies": [{ "name": to, "kind": kind }] },
        ]});
        edges(&metadata).len()
    }

    #[test]
    fn adapters_import_core_and_only_core() {
        assert_eq!(
            breaches("securemail-web", "crates", "securemail-core", None),
            0
        );
        assert_eq!(
            breaches(
                "securemail-web",
                "crates",
                "securemail-testkit",
                Some("dev")
            ),
            0
        );
        assert_eq!(
            breaches("securemail-web", "crates", "securemail-testkit", None),
            1
        );
        assert_eq!(
            breaches("securemail-web", "crates", "securemail-smtp", None),
            1
        );
        assert_eq!(
            breaches("securemail-web", "crates", "securemail-smtp", Some("dev")),
            1
        );
    }

    #[test]
    fn examples_import_everything_and_xtask_nothing() {
        assert_eq!(
            breaches("securemail-relay", "examples", "securemail-smtp", None),
            0
        );
        assert!(breaches("xtask", "xtask", "securemail-core", None) > 0);
    }

    #[test]
    fn banned_and_doubled_crates_are_found() {
        let used = [
            ("openssl-sys", vec!["1"]),
            ("rustls", vec!["0.22", "0.23"]),
            ("tokio", vec!["1"]),
        ];
        let used = used
            .into_iter()
            .map(|(n, v)| (n.to_owned(), v.into_iter().map(str::to_owned).collect()))
            .collect();
        assert_eq!(bans(&used).len(), 2);
    }
}
