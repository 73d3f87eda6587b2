//! The lab's folder: writes its files, runs its commands, waits for its servers.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::steps::output_of;

const START_MAX: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);
/// Of each log, when something failed.
const LOG_LINES: usize = 40;

/// Everything of one lab lies below it.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`, which exists.
    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// The path of one file.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The same as text, for configurations. The folder's name is ours and plain.
    pub(super) fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// A folder below it.
    pub(super) fn below(&self, name: &str) -> Result<Self, Failure> {
        let path = self.path(name);
        fs::create_dir_all(&path).map_err(Failure::doing(name))?;
        Ok(Self(path))
    }

    /// Writes one file.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        fs::write(self.path(name), text).map_err(Failure::doing(name))
    }

    /// Reads one file.
    pub(super) fn read(&self, name: &str) -> Result<String, Failure> {
        fs::read_to_string(self.path(name)).map_err(Failure::doing(name))
    }

    /// Runs a script in it, with its output on failure only, and gives what it printed.
    pub(super) fn shell(&self, script: &str) -> Result<String, Failure> {
        let mut shell = Command::new("sh");
        shell.args(["-euc", script]).current_dir(&self.0);
        output_of(shell)
    }

    /// Starts a script that stays, with its output in `log`. The namespace ends it.
    pub(super) fn spawn(&self, script: &str, log: &str) -> Result<(), Failure> {
        let log = fs::File::create(self.path(log)).map_err(Failure::doing(log))?;
        let errors = log.try_clone().map_err(Failure::doing("a log"))?;
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", script])
            .current_dir(&self.0)
            .stdout(log)
            .stderr(errors);
        shell.spawn().map(drop).map_err(Failure::doing(script))
    }

    /// Prints the end of every log.
    pub(super) fn show_logs(&self) {
        let logs = self
            .shell("find . -name '*.log' -type f")
            .unwrap_or_default();
        for log in logs.lines() {
            println!("--- {log}");
            let text = self.read(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
                println!("{line}");
            }
        }
    }
}

/// Waits until `is_up` says yes.
#[expect(
    clippy::disallowed_methods,
    reason = "this tool has no runtime; servers start in real time"
)]
pub(super) fn wait_for(what: &str, is_up: impl Fn() -> bool) -> Result<(), Failure> {
    let began = Instant::now();
    while !is_up() {
        if began.elapsed() > START_MAX {
            return Err(Failure::new(format!("{what} did not start")));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Waits until something listens there.
pub(super) fn wait_for_port(what: &str, address: &str) -> Result<(), Failure> {
    let address: SocketAddr = address
        .parse()
        .map_err(|_| Failure::new(format!("{address} is no address")))?;
    wait_for(what, || {
        TcpStream::connect_timeout(&address, START_MAX).is_ok()
    })
}
