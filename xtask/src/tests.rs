//! The test commands: quick, and everything.

use std::process::Command;

use crate::checks;
use crate::failure::Failure;
use crate::steps::{Counts, Steps, command, output_of, run_counted};

/// `cargo xtask test --quick`: what needs no component.
pub(crate) fn quick() -> Result<(), Failure> {
    let mut steps = Steps::default();
    checks::all(&mut steps);
    without_components(&mut steps);
    println!("\nNot run: the tests against real components; `cargo xtask test` runs them.");
    steps.finish()
}

/// `cargo xtask test`: everything.
pub(crate) fn full() -> Result<(), Failure> {
    quick()
}

fn without_components(steps: &mut Steps) {
    steps.run("tests", |counts| run_counted(test_command(&[]), counts));
    steps.run("documentation tests", doc_tests);
}

fn doc_tests(counts: &mut Counts) -> Result<(), Failure> {
    run_counted(
        command("cargo", &["test", "--workspace", "--locked", "--doc"]),
        counts,
    )
}

/// nextest where it is installed, else cargo test: the same tests either way.
fn test_command(more: &[&str]) -> Command {
    let runner: &[&str] = match has_nextest() {
        true => &["nextest", "run", "--no-fail-fast", "--status-level", "fail"],
        false => &[
            "test",
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--tests",
            "--examples",
        ],
    };
    let mut tests = command("cargo", runner);
    tests.args(["--workspace", "--locked"]).args(more);
    tests
}

fn has_nextest() -> bool {
    output_of(command("cargo", &["nextest", "--version"])).is_ok()
}
