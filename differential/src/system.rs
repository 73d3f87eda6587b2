//! Commands and waiting.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;

use crate::Trouble;

const PAUSE: Duration = Duration::from_millis(50);
const TRIES: usize = 600;

/// Runs a script; its output is in the error if it fails.
///
/// # Errors
/// Where it ends with anything but success.
pub(crate) async fn shell(folder: &Path, script: &str) -> Result<String, Trouble> {
    let mut shell = Command::new("sh");
    shell.args(["-euc", script]).current_dir(folder);
    let output = shell.stdin(Stdio::null()).output().await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("a command failed: {script}\n{said}{errors}").into())
}

/// Runs a program and gives all it says, however it ends.
///
/// # Errors
/// Where it cannot be started, or does not end.
pub(crate) async fn said(program: &str, arguments: &[&str]) -> Result<String, Trouble> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
    let output = ended.map_err(|_| format!("{program} does not end"))??;
    let all = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&all).into_owned())
}

/// Waits until something listens there.
///
/// # Errors
/// Where nothing does after half a minute.
pub(crate) async fn wait_for_port(what: &str, address: &str) -> Result<(), Trouble> {
    for _ in 0..TRIES {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(format!("{what} did not start").into())
}
