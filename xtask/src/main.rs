//! The project's own commands: test, ci, tidy, attacks, fuzz, lab. Nothing of the workspace is imported here.
#![expect(
    clippy::print_stdout,
    reason = "a command line tool speaks on standard output"
)]

mod attacks;
mod checks;
mod components;
mod failure;
mod fuzz;
mod lab;
mod steps;
mod tests;
mod tidy;
mod tracked;

use std::process::ExitCode;

use failure::Failure;

const USAGE: &str = "\
cargo xtask COMMAND

  test           everything: checks, tests, then the tests against real components
  test --quick   checks and the tests that need no component
  test --lab     only the tests against real components
  ci             checks only: format, tidy, clippy, documentation
  lab diff       compares our decisions with those of Postfix and OpenSSL; -n N, --seed S, --only ID
  lab [CMD ..]   runs CMD, or a shell, inside a fresh lab of real servers
  attacks [W ..] takes each defence of docs/attacks.md away and demands that its test fails; W: id, file, test, package
  fuzz TARGET    puts libFuzzer before a target of fuzz/, or before all of them; --seconds N, --engines
  tidy           layers, crate edges, licences, witnesses, lengths, words";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("FAILED: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), Failure> {
    match words {
        ["test"] => tests::full(),
        ["test", "--quick"] => tests::quick(),
        ["test", "--lab"] => tests::lab_only(),
        ["ci"] => checks::alone(),
        ["fuzz", words @ ..] => fuzz::fuzz(words),
        ["attacks", words @ ..] => attacks::run(words),
        ["tidy"] => tidy::run(),
        ["lab", "diff", words @ ..] => components::install().and_then(|()| lab::compare(words)),
        ["lab", words @ ..] => components::install().and_then(|()| lab::enter(words)),
        ["inside-the-lab", folder, words @ ..] => lab::inside(folder, words),
        _ => Err(Failure::usage(USAGE)),
    }
}
