//! The lab of real servers that `cargo xtask lab` starts, as a test sees it.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use securemail_core::backend::Clock;
use securemail_core::vocab::UnixTime;
use serde_json::Value;

/// The variable in which the harness names the lab's description.
const DESCRIBED_IN: &str = "SECUREMAIL_LAB";

/// A running lab. What it holds stands in `xtask/src/lab/`.
#[derive(Clone, Debug)]
pub struct Lab(Value);

impl Lab {
    /// The lab that this process runs in.
    ///
    /// # Errors
    /// Outside a lab; `cargo xtask lab` starts one.
    #[expect(
        clippy::disallowed_methods,
        reason = "the harness tells a test where its lab is"
    )]
    pub fn here() -> io::Result<Self> {
        let file = std::env::var(DESCRIBED_IN)
            .map_err(|_| io::Error::other("this test runs in the lab: `cargo xtask lab`"))?;
        let described = serde_json::from_slice(&fs::read(file)?)?;
        Ok(Self(described))
    }

    /// A validating resolver with the lab's root as its anchor, which sets AD.
    #[must_use]
    pub fn resolver(&self) -> SocketAddr {
        self.address("/resolver")
    }

    /// Another one, over TLS, and the name in its certificate.
    #[must_use]
    pub fn vantage(&self) -> (SocketAddr, String) {
        (self.address("/vantage/server"), self.text("/vantage/name"))
    }

    /// The key of the lab's root zone, as a DNSKEY record in a zone file.
    #[must_use]
    pub fn trust_anchor(&self) -> PathBuf {
        PathBuf::from(self.text("/trust_anchor"))
    }

    /// The certificate of the lab's CA, PEM.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        PathBuf::from(self.text("/ca_file"))
    }

    /// The private DKIM key of `sender.test` for a selector (`lab-rsa`, `lab-ed`), PEM.
    #[must_use]
    pub fn dkim_key(&self, selector: &str) -> Option<PathBuf> {
        let keys = self.0.pointer("/sender/dkim").and_then(Value::as_array)?;
        let key = keys
            .iter()
            .find(|key| key.get("selector").and_then(Value::as_str) == Some(selector))?;
        key.get("key").and_then(Value::as_str).map(PathBuf::from)
    }

    /// Where the mail server of that name (`dane`, `pkix`, `expired`, `badtlsa`, `notls`, `exim`, …) listens.
    #[must_use]
    pub fn peer(&self, name: &str) -> Option<SocketAddr> {
        let peers = self.0.pointer("/peers").and_then(Value::as_array)?;
        let peer = peers
            .iter()
            .find(|peer| peer.get("name").and_then(Value::as_str) == Some(name))?;
        let address = peer.get("address").and_then(Value::as_str)?.parse().ok()?;
        Some(SocketAddr::new(address, 25))
    }

    /// The certificate (chain of one) and key of a server of the lab, PEM.
    #[must_use]
    pub fn certificate(&self, name: &str) -> (PathBuf, PathBuf) {
        let folder = PathBuf::from(self.text("/certificates"));
        (
            folder.join(format!("{name}.pem")),
            folder.join(format!("{name}.key")),
        )
    }

    /// The key of the zone `diff.test`, without ending. The lab delegates that zone to 127.0.0.2 and
    /// serves nothing there.
    #[must_use]
    pub fn differential_key(&self) -> String {
        self.text("/differential_key")
    }

    /// A program in Python that the harness installed by itself (`parsedmarc`, `sslyze`).
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        PathBuf::from(self.text(&format!("/programs/{name}")))
    }

    /// The messages that the mail servers took for a domain, as they lie in its mailbox.
    ///
    /// # Errors
    /// Where the mailbox cannot be read. One that does not exist yet is empty.
    pub fn mail_for(&self, domain: &str) -> io::Result<Vec<Vec<u8>>> {
        let folder = Path::new(&self.text("/mail")).join(domain).join("new");
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        entries.map(|entry| fs::read(entry?.path())).collect()
    }

    /// The reports about TLS that were posted to the lab's receiver: Content-Type and body of each.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn posted_reports(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut posted = Vec::new();
        for entry in fs::read_dir(self.text("/reports"))? {
            let file = entry?.path();
            if file.extension().is_some_and(|kind| kind == "body") {
                let kind = fs::read_to_string(file.with_extension("type"))?;
                posted.push((kind, fs::read(file)?));
            }
        }
        Ok(posted)
    }

    /// The log of the mail servers.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn mail_log(&self) -> io::Result<String> {
        fs::read_to_string(self.text("/mail_log"))
    }

    /// The log of a mail server that is no Postfix (`exim`, `nodemailer`).
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn log_of(&self, name: &str) -> io::Result<String> {
        fs::read_to_string(self.text(&format!("/logs/{name}")))
    }

    /// Node, which finds the client `nodemailer`.
    #[must_use]
    pub fn node(&self) -> Command {
        let mut node = Command::new("/usr/bin/node");
        node.env("NODE_PATH", self.text("/node_modules"));
        node
    }

    /// What dkimpy says of each DKIM signature of a message, with the keys that the lab's DNS has.
    ///
    /// # Errors
    /// Where dkimpy cannot be run, or says something else than yes or no.
    pub fn dkimpy(&self, message: &[u8]) -> io::Result<Vec<bool>> {
        self.dkimpy_after(message, Duration::ZERO)
    }

    /// The same, as if this time had passed: it takes no signature from the future.
    ///
    /// # Errors
    /// As [`dkimpy`](Self::dkimpy).
    pub fn dkimpy_after(&self, message: &[u8], passed: Duration) -> io::Result<Vec<bool>> {
        let [env, variables @ ..] = later(passed);
        let mut python = Command::new(env);
        python.args(variables).arg(self.text("/python"));
        let output = run_with_input(python.args(["-c", DKIMPY]), message)?;
        let said = String::from_utf8_lossy(&output.stdout);
        let verdicts = said.split_whitespace().map(|word| match word {
            "True" => Ok(true),
            "False" => Ok(false),
            other => Err(io::Error::other(format!("dkimpy: {other}"))),
        });
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(why));
        }
        verdicts.collect()
    }

    fn text(&self, pointer: &str) -> String {
        let text = self.0.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    }

    fn address(&self, pointer: &str) -> SocketAddr {
        let unset = SocketAddr::from(([127, 0, 0, 1], 0));
        self.text(pointer).parse().unwrap_or(unset)
    }
}

/// Runs swaks (a client that submits mail) with these arguments.
///
/// # Errors
/// Where it cannot be run. What the server said is in the output.
pub fn swaks(arguments: &[&str]) -> io::Result<Output> {
    Command::new("swaks").args(arguments).output()
}

/// What stands before a program that shall live this much later than we do. Its pauses are as long as
/// they are.
#[must_use]
pub fn later(passed: Duration) -> [String; 4] {
    [
        "env".to_owned(),
        // The linker puts the folder of this machine's kind for `$LIB`.
        "LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1".to_owned(),
        format!("FAKETIME=+{}s", passed.as_secs()),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ]
}

fn run_with_input(command: &mut Command, input: &[u8]) -> io::Result<Output> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input)?;
    }
    child.wait_with_output()
}

/// The time of this machine: servers of the lab check signatures and certificates against it.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

#[async_trait]
impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> UnixTime {
        let passed = SystemTime::now().duration_since(UNIX_EPOCH);
        UnixTime::from_secs(passed.unwrap_or_default().as_secs())
    }

    async fn sleep_until(&self, deadline: UnixTime) {
        let seconds = deadline.as_secs().saturating_sub(self.now().as_secs());
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

const DKIMPY: &str = "\
import sys, dkim
message = sys.stdin.buffer.read()
header = message.replace(b'\\r\\n', b'\\n').split(b'\\n\\n')[0].lower()
count = (b'\\n' + header).count(b'\\ndkim-signature:')
for index in range(count):
    try:
        print(dkim.DKIM(message).verify(idx=index))
    except dkim.DKIMException:
        print(False)
";
