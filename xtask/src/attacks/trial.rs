//! Builds one test target of the copy and runs single tests of it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::scratch::Scratch;
use crate::failure::Failure;
use crate::tests::same_cases;

/// What cargo said of a build.
#[derive(Debug)]
pub(super) enum Built {
    /// The program of the tests.
    Program(Program),
    /// What the compiler had to say. A removal that does not compile shows nothing.
    Refused(String),
}

/// How one test ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    Passed,
    Failed,
    Hung,
}

/// A program of tests, with the folder in which cargo would run it and the names of its tests.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    folder: PathBuf,
    names: Vec<String>,
}

/// Builds a target of a package.
pub(super) fn build(scratch: &Scratch, package: &str, target: &str) -> Result<Built, Failure> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--locked", "--no-run", "--package", package])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(scratch.tree())
        .env("CARGO_TARGET_DIR", scratch.target())
        .env("CARGO_INCREMENTAL", "1")
        // Nobody steps through these programs, and a third of each build is for who would.
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    match target {
        "lib" => cargo.arg("--lib"),
        target => cargo.args(["--test", target]),
    };
    let output = cargo.output().map_err(Failure::doing("cargo test"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Ok(Built::Refused(said));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let messages = said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let program = messages.filter_map(|message| program(&message)).next_back();
    let (path, folder) =
        program.ok_or_else(|| Failure::new(format!("{package} has no tests in {target}")))?;
    let names = names(&path, &folder)?;
    Ok(Built::Program(Program {
        path,
        folder,
        names,
    }))
}

/// The program that a message of cargo tells of, and the folder of its package.
fn program(message: &Value) -> Option<(PathBuf, PathBuf)> {
    let is_test = message.pointer("/profile/test")?.as_bool()?;
    let path = message.pointer("/executable")?.as_str()?;
    let manifest = Path::new(message.pointer("/manifest_path")?.as_str()?);
    let folder = manifest.parent()?;
    is_test.then(|| (path.into(), folder.to_owned()))
}

fn names(path: &Path, folder: &Path) -> Result<Vec<String>, Failure> {
    let mut list = Command::new(path);
    list.args(["--list", "--format", "terse"])
        .current_dir(folder);
    let output = list.output().map_err(Failure::doing("the list of tests"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = said.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_owned).collect())
}

impl Program {
    /// Runs one test alone, and no longer than `limit`. Its name may lack the modules that it stands in.
    pub(super) fn run(&self, test: &str, limit: Duration) -> Result<Ended, Failure> {
        let inner = format!("::{test}");
        let mut names = self.names.iter();
        let name = names.find(|name| *name == test || name.ends_with(&inner));
        let Some(name) = name else {
            let path = self.path.display();
            return Err(Failure::new(format!("{path} has no test `{test}`")));
        };
        let mut run = Command::new(&self.path);
        run.args(["--exact", name])
            .current_dir(&self.folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        same_cases(&mut run);
        let mut child = run.spawn().map_err(Failure::doing(name))?;
        if !ends_within(limit, &mut child).map_err(Failure::doing(name))? {
            return Ok(Ended::Hung);
        }
        let status = child.wait().map_err(Failure::doing(name))?;
        let mut said = Vec::new();
        if let Some(mut out) = child.stdout.take() {
            out.read_to_end(&mut said).map_err(Failure::doing(name))?;
        }
        let ran = String::from_utf8_lossy(&said).contains("running 1 test\n");
        match (ran, status.success()) {
            (false, _) => Err(Failure::new(format!("`{name}` could not be run"))),
            (true, true) => Ok(Ended::Passed),
            (true, false) => Ok(Ended::Failed),
        }
    }
}

/// Waits for the end, and brings it about when the time is over.
#[expect(
    clippy::disallowed_methods,
    reason = "the end of another program has no waker, and this tool no clock"
)]
fn ends_within(limit: Duration, child: &mut Child) -> std::io::Result<bool> {
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        if began.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}
