//! The test commands: quick, and everything.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::checks;
use crate::components;
use crate::failure::Failure;
use crate::lab;
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
    let mut steps = Steps::default();
    let installed = steps.run("components", |_| components::install());
    checks::all(&mut steps);
    without_components(&mut steps);
    if installed {
        steps.run("tests against real components", in_the_lab);
    }
    steps.finish()
}

/// `cargo xtask test --lab`: only what needs real components.
pub(crate) fn lab_only() -> Result<(), Failure> {
    let mut steps = Steps::default();
    if steps.run("components", |_| components::install()) {
        steps.run("tests against real components", in_the_lab);
    }
    steps.finish()
}

/// Builds every test target named `lab` as whoever we are, then runs them all in one lab, as root.
fn in_the_lab(counts: &mut Counts) -> Result<(), Failure> {
    let programs = lab_programs()?;
    if programs.is_empty() {
        return Err(Failure::new("no test target is named `lab`"));
    }
    let script: Vec<String> = programs
        .iter()
        .map(|(folder, program)| format!("(cd '{folder}' && '{program}') || failed=1"))
        .collect();
    let script = format!("failed=0\n{}\nexit $failed", script.join("\n"));
    lab::test(&["sh", "-c", &script], counts)
}

/// The lab's test programs, each with the folder of its package.
fn lab_programs() -> Result<Vec<(String, String)>, Failure> {
    let mut build = command(
        "cargo",
        &["test", "--workspace", "--locked", "--all-features"],
    );
    build.args([
        "--test",
        "lab",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
    ]);
    build.stderr(Stdio::inherit());
    let messages = output_of(build)?;
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(messages
        .filter(|message| text_at(message, "/target/name") == Some("lab"))
        .filter_map(|message| {
            let folder = Path::new(text_at(&message, "/manifest_path")?)
                .parent()?
                .to_str()?;
            Some((
                folder.to_owned(),
                text_at(&message, "/executable")?.to_owned(),
            ))
        })
        .collect())
}

fn text_at<'a>(message: &'a Value, pointer: &str) -> Option<&'a str> {
    message.pointer(pointer).and_then(Value::as_str)
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
    same_cases(&mut tests);
    tests
}

/// Properties are tried with the same cases in each run, so that a change is judged and not chance. `cargo test` by
/// itself draws others each time, and who sets this variable gets those of that number.
pub(crate) fn same_cases(tests: &mut Command) {
    const SEED: &str = "PROPTEST_RNG_SEED";
    if std::env::var_os(SEED).is_none() {
        tests.env(SEED, "1");
    }
}

fn has_nextest() -> bool {
    output_of(command("cargo", &["nextest", "--version"])).is_ok()
}
