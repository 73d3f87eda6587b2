//! Writes to the terminal: the one place of the program that does.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the terminal"
)]

use std::process::ExitCode;

/// One line for whoever reads.
pub fn say(text: &str) {
    println!("{text}");
}

/// What is wrong, and the exit code for it.
pub fn fail(code: u8, text: &str) -> ExitCode {
    eprintln!("securemail-relay: {text}");
    ExitCode::from(code)
}

/// A warning that must be seen at once.
pub fn warn(text: &str) {
    eprintln!("warning: {text}");
}
