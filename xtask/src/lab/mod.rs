//! The lab: real DNS servers and mail servers in a network, mount and process namespace of their own.
//!
//! Ports 25, 53 and 443 are free there, several labs run side by side, and nothing outlives the
//! command: the kernel ends every process of the namespace with its first one.

mod authority;
mod describe;
mod files;
mod model;
mod others;
mod peers;
mod policy_host;
mod postfix;
mod reports;
mod resolver;
mod zones;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::components::as_root;
use crate::failure::Failure;
use crate::steps::{Counts, command, output_of, run, run_counted};
use files::Folder;

/// Named to tests: the file that describes the lab.
const DESCRIBED_IN: &str = "SECUREMAIL_LAB";
/// Every test of the lab together; a stuck one must not hold the run for ever.
const SECONDS_MAX: &str = "1500";

/// Runs `words` (or a shell) inside a fresh lab.
pub(crate) fn enter(words: &[&str]) -> Result<(), Failure> {
    let folder = TemporaryFolder::create()?;
    let words = if words.is_empty() { &["bash"] } else { words };
    let mut command = as_root("unshare");
    unshared(&mut command, &folder, words)?;
    run(command)
}

/// Compares our decisions with those of others, for domains that are made up.
pub(crate) fn compare(words: &[&str]) -> Result<(), Failure> {
    let package = ["build", "--locked", "--package", "securemail-differential"];
    let mut build = command("cargo", &package);
    build.args(["--message-format", "json-render-diagnostics"]);
    build.stderr(std::process::Stdio::inherit());
    let messages = output_of(build)?;
    let program = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message.get("executable")?.as_str().map(str::to_owned))
        .ok_or_else(|| Failure::new("cargo built no program"))?;
    enter(&[&[program.as_str()], words].concat())
}

/// Runs `words` inside a fresh lab, counts the tests it reports, and shows the logs if it fails.
pub(crate) fn test(words: &[&str], counts: &mut Counts) -> Result<(), Failure> {
    let folder = TemporaryFolder::create()?;
    let mut limited = as_root("timeout");
    limited.args(["--foreground", "--kill-after=5", SECONDS_MAX, "unshare"]);
    unshared(&mut limited, &folder, words)?;
    let result = run_counted(limited, counts);
    if result.is_err() {
        folder.folder().show_logs();
    }
    result
}

/// The arguments of unshare(1) that run `words` in namespaces of their own.
fn unshared(
    unshare: &mut Command,
    folder: &TemporaryFolder,
    words: &[&str],
) -> Result<(), Failure> {
    let myself = std::env::current_exe().map_err(Failure::doing("this program's own path"))?;
    unshare.args([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    unshare
        .arg(myself)
        .arg("inside-the-lab")
        .arg(folder.path())
        .args(words);
    Ok(())
}

/// The first process of the namespace: starts everything, then runs `words`.
pub(crate) fn inside(folder: &str, words: &[&str]) -> Result<(), Failure> {
    let folder = Folder::at(Path::new(folder));
    folder.shell("ip link set lo up")?;
    let peers = peers::create(&folder)?;
    let zones = zones::create(&folder, peers)?;
    authority::start(&folder, &zones)?;
    resolver::start(&folder)?;
    postfix::start(&folder, peers, &zones)?;
    others::start(&folder)?;
    policy_host::start(&folder)?;
    let description = describe::write(&folder, peers)?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::new("nothing to run inside the lab"));
    };
    let mut command = Command::new(program);
    command.args(arguments).env(DESCRIBED_IN, description);
    run(command)
}

/// A folder that goes away with its value.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn create() -> Result<Self, Failure> {
        let mut mktemp = Command::new("mktemp");
        mktemp.args(["--directory", "--tmpdir", "securemail-lab.XXXXXXXX"]);
        let made = output_of(mktemp)?;
        Ok(Self(PathBuf::from(made.trim())))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn folder(&self) -> Folder {
        Folder::at(&self.0)
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Postfix and the servers wrote there as root.
        let mut remove = as_root("rm");
        remove.args(["-rf", "--"]).arg(&self.0);
        if let Err(failure) = run(remove) {
            println!("left behind: {failure}");
        }
    }
}
