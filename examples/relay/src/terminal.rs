//! Writes to the terminal: the one place of the program that does.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the terminal"
)]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// One line for whoever reads.
pub fn say(text: &str) {
    println!("{text}");
}

/// What is wrong, and the exit code for it.
#[must_use]
pub fn fail(code: u8, text: &str) -> ExitCode {
    let program = std::env::args_os().next().map(PathBuf::from);
    let name = program.as_deref().and_then(Path::file_name);
    let name = name.map_or_else(|| "securemail".into(), OsStr::to_string_lossy);
    eprintln!("{name}: {text}");
    ExitCode::from(code)
}

/// A warning that must be seen at once.
pub fn warn(text: &str) {
    eprintln!("warning: {text}");
}
