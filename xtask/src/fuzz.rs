//! Puts libFuzzer before a target of `fuzz/`, on the stable compiler.
//!
//! `cargo fuzz` wants nightly for its sanitizers. Coverage alone needs none: it is a pass of LLVM that stable rustc runs
//! where it is told to. What is lost is AddressSanitizer, which has little to find where `unsafe` is forbidden.

use std::fs;
use std::path::PathBuf;

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
cargo xtask fuzz TARGET|all [--seconds N]
cargo xtask fuzz TARGET [--seconds N] --engines

  --engines   builds what a target of core needs and no more";

/// `cargo xtask fuzz TARGET [--seconds N] [--engines]`; `all` runs each target in turn.
pub(crate) fn fuzz(words: &[&str]) -> Result<(), Failure> {
    let (words, features): (&[&str], &[&str]) = match words {
        [words @ .., "--engines"] => (words, &["--no-default-features"]),
        words => (words, &[]),
    };
    let (target, seconds) = match words {
        ["all", ..] if !features.is_empty() => return Err(Failure::usage(USAGE)),
        [target] => (*target, SECONDS),
        [target, "--seconds", seconds] => (*target, *seconds),
        _ => return Err(Failure::usage(USAGE)),
    };
    let known = targets()?;
    let chosen: Vec<&String> = known
        .iter()
        .filter(|name| target == "all" || *name == target)
        .collect();
    if chosen.is_empty() {
        let known = known.join(", ");
        return Err(Failure::new(format!("the targets are {known}")));
    }
    let program = build(features)?;
    for name in chosen {
        run_one(&program, name, seconds)?;
    }
    Ok(())
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
fn run_one(program: &std::path::Path, name: &str, seconds: &str) -> Result<(), Failure> {
    println!("\n=== {name}");
    let seeds = root().join("fuzz/corpus").join(name);
    let grown = folder().join("corpus").join(name);
    fs::create_dir_all(&grown).map_err(Failure::doing("the grown corpus"))?;
    let mut fuzzer = command(&program.to_string_lossy(), &[]);
    fuzzer
        .env("FUZZ_TARGET", name)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", seeds.display()))
        .args([
            "-max_len=8192",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ])
        .args([&grown, &seeds]);
    run(fuzzer)
}
