//! Puts libFuzzer before a target of `fuzz/`, on the stable compiler.
//!
//! `cargo fuzz` wants nightly for its sanitizers. Coverage alone needs none: it is a pass of LLVM that stable rustc runs
//! where it is told to. What is lost is AddressSanitizer, which has little to find where `unsafe` is forbidden.

mod outcome;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use self::outcome::Outcome;
use crate::failure::Failure;
use crate::steps::{command, output_of, root, run};

/// How long a target runs where nothing else is said.
const SECONDS: &str = "60";

/// LLVM's coverage, as libFuzzer reads it: a counter for each edge, and what is compared with what.
const FLAGS: [&str; 8] = [
    "--cfg=coverage_fuzzing",
    "-Ccodegen-units=1",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Clink-dead-code",
];

/// What is said to who asks otherwise.
const USAGE: &str = "\
cargo xtask fuzz TARGET...|all [--seconds N] [--engines]

  --seconds N   how long each target runs; 60 where nothing is said
  --engines     builds what targets of core need and no more; not with `all`";

/// `cargo xtask fuzz TARGET... [--seconds N] [--engines]`; `all` stands for each target. A find does not keep the next one
/// from running; a table at the end tells all.
pub(crate) fn fuzz(words: &[&str]) -> Result<(), Failure> {
    let (words, features): (&[&str], &[&str]) = match words {
        [words @ .., "--engines"] => (words, &["--no-default-features"]),
        words => (words, &[]),
    };
    let (names, seconds) = match words {
        [names @ .., "--seconds", seconds] => (names, *seconds),
        names => (names, SECONDS),
    };
    let is_all = names == ["all"];
    let has_options = names.iter().any(|name| name.starts_with('-'));
    if names.is_empty() || has_options || is_all && !features.is_empty() {
        return Err(Failure::usage(USAGE));
    }
    let chosen = choose(names, is_all)?;
    let program = build(features)?;
    let mut outcomes = Vec::new();
    for name in chosen {
        let outcome = run_one(&program, &name, seconds)?;
        println!("--- {name}: {outcome}");
        outcomes.push((name, outcome));
    }
    sum_up(&outcomes)
}

fn choose(names: &[&str], is_all: bool) -> Result<Vec<String>, Failure> {
    let known = targets()?;
    if is_all {
        return Ok(known);
    }
    let is_unknown = |name: &&&str| known.iter().all(|known| known != *name);
    match names.iter().find(is_unknown) {
        Some(name) => Err(Failure::new(format!(
            "there is no target {name}; there are {}",
            known.join(", ")
        ))),
        None => Ok(names.iter().copied().map(str::to_owned).collect()),
    }
}

fn sum_up(outcomes: &[(String, Outcome)]) -> Result<(), Failure> {
    println!("\n=== {} targets", outcomes.len());
    for (name, outcome) in outcomes {
        println!("{name:<16}{outcome}");
    }
    let failed = outcomes.iter().filter(|(_, outcome)| !outcome.is_fine());
    let failed: Vec<&str> = failed.map(|(name, _)| name.as_str()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(failed.join(", ")))
}

/// Each target has a corpus of its name; a test sees to that.
fn targets() -> Result<Vec<String>, Failure> {
    let folder = root().join("fuzz/corpus");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::doing("fuzz/corpus"))? {
        let entry = entry.map_err(Failure::doing("fuzz/corpus"))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// A target directory of its own, since every crate is built otherwise here.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| root().join("target"), |path| root().join(path));
    target.join("fuzz")
}

fn build(features: &[&str]) -> Result<PathBuf, Failure> {
    let host = host()?;
    // With `--target` the flags are for our programs alone, and not for build scripts, which no fuzzer is linked to.
    let build = [
        "build",
        "--locked",
        "--package",
        "fuzz-coverage",
        "--target",
    ];
    let mut cargo = command("cargo", &build);
    cargo
        .arg(&host)
        .args(features)
        .env("CARGO_TARGET_DIR", folder())
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"))
        .env("CARGO_INCREMENTAL", "0")
        // Faster, with the checks of a debug build.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    run(cargo)?;
    Ok(folder().join(host).join("debug/fuzz-coverage"))
}

fn host() -> Result<String, Failure> {
    let said = output_of(command("rustc", &["-vV"]))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| Failure::new("rustc -vV names no host"))
}

/// What is found goes into the corpus, where the stable test replays it; what merely is new stays beside the program.
fn run_one(program: &Path, name: &str, seconds: &str) -> Result<Outcome, Failure> {
    println!("\n=== {name}");
    let seeds = root().join("fuzz/corpus").join(name);
    let grown = folder().join("corpus").join(name);
    fs::create_dir_all(&grown).map_err(Failure::doing("the grown corpus"))?;
    let mut fuzzer = command(&program.to_string_lossy(), &[]);
    fuzzer
        .env("FUZZ_TARGET", name)
        .stderr(Stdio::piped())
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", seeds.display()))
        .args([
            "-max_len=8192",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ])
        .args([&grown, &seeds]);
    let mut child = fuzzer.spawn().map_err(Failure::doing("libFuzzer"))?;
    let mut outcome = Outcome::default();
    let said = child.stderr.take().ok_or_else(no_output)?;
    for line in BufReader::new(said).split(b'\n') {
        let line = line.map_err(Failure::doing("libFuzzer"))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        outcome.note(&line);
    }
    let status = child.wait().map_err(Failure::doing("libFuzzer"))?;
    outcome.end(status);
    Ok(outcome)
}

fn no_output() -> Failure {
    Failure::new("libFuzzer says nothing")
}
