//! Checks that run no test: format, tidy, clippy twice, documentation.

use crate::failure::Failure;
use crate::steps::{Steps, command, run};
use crate::tidy;

/// `cargo xtask ci`.
pub(crate) fn alone() -> Result<(), Failure> {
    let mut steps = Steps::default();
    all(&mut steps);
    steps.finish()
}

/// Runs every check.
pub(crate) fn all(steps: &mut Steps) {
    steps.run("format", |_| {
        run(command("cargo", &["fmt", "--all", "--check"]))
    });
    steps.run("tidy", |_| tidy::run());
    steps.run("clippy, libraries and programs", |_| {
        clippy(&["--lib", "--bins"], &[])
    });
    // A lint about tests that clippy.toml cannot switch off: it exempts `#[test]` functions, not the
    // helpers beside them.
    steps.run("clippy, tests and benches", |_| {
        clippy(&["--all-targets"], &IN_TESTS)
    });
    steps.run("documentation", |_| {
        let mut doc = command(
            "cargo",
            &[
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ],
        );
        doc.env("RUSTDOCFLAGS", "-Dwarnings");
        run(doc)
    });
}

/// A test may break off where an assumption fails, and it tells one story from its beginning to its end.
const IN_TESTS: [&str; 10] = [
    "-A",
    "clippy::unwrap_used",
    "-A",
    "clippy::expect_used",
    "-A",
    "clippy::panic",
    "-A",
    "clippy::indexing_slicing",
    "-A",
    "clippy::too_many_lines",
];

fn clippy(targets: &[&str], lints: &[&str]) -> Result<(), Failure> {
    let mut clippy = command(
        "cargo",
        &["clippy", "--workspace", "--all-features", "--locked"],
    );
    clippy
        .args(targets)
        .args(["--", "-D", "warnings"])
        .args(lints);
    run(clippy)
}
