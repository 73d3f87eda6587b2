//! A relay that runs in the lab, as an operator would start it, and swaks as its sender.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use securemail_testkit::lab::{Lab, swaks};
use securemail_testkit::ports;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_securemail-relay");
pub(crate) const SENDER: &str = "clinic@sender.test";
pub(crate) const PASSWORD: &str = "correct-horse-battery-staple-0123456789";
pub(crate) const PASSWORD_SHA256: &str =
    "7771a0cec1279f8ca878a66c694f3344b16bee8128c78b8ef5fd0656b35b02ee";
const WAIT_MAX: Duration = Duration::from_secs(60);

/// One relay with a folder of its own. It ends with its value.
pub(crate) struct Relay {
    pub(crate) lab: Lab,
    pub(crate) folder: TempDir,
    port: u16,
    web: u16,
    process: Child,
}

/// How a relay is started.
#[derive(Default)]
pub(crate) struct Start<'a> {
    /// How it greets, where that is not `relay.sender.test`.
    pub(crate) hostname: Option<&'a str>,
    /// More lines for `[limits]`.
    pub(crate) limits: &'a str,
    /// More lines for `[[tenant]]`.
    pub(crate) tenant: &'a str,
    /// `[portal]`, where it is not the relay itself without a proxy.
    pub(crate) portal: Option<&'a str>,
    /// `[sms]`, where codes do not go to the terminal.
    pub(crate) sms: Option<&'a str>,
    /// Recipients with this number, besides those that every relay of the lab knows.
    pub(crate) phones: &'a [(&'a str, &'a str)],
    /// Sections of their own, as TOML.
    pub(crate) sections: &'a str,
    /// A program that runs it, such as strace, with its arguments.
    pub(crate) under: &'a [&'a str],
}

impl Relay {
    pub(crate) fn start() -> Self {
        Self::start_with(&Start::default())
    }

    pub(crate) fn start_with(start: &Start<'_>) -> Self {
        let lab = Lab::here().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (port, web) = (free_port(), free_port());
        let settings = write_settings(&lab, folder.path(), (port, web), start);
        let process = spawn(folder.path(), &settings, start.under);
        let mut relay = Self {
            lab,
            folder,
            port,
            web,
            process,
        };
        relay.must_listen();
        relay
    }

    /// Ends as an operator ends it, and begins again over the same data, under `under`.
    pub(crate) fn again(&mut self, under: &[&str]) {
        self.stop();
        let settings = self.folder.path().join("relay.toml");
        self.process = spawn(self.folder.path(), &settings, under);
        self.must_listen();
    }

    fn stop(&mut self) {
        let pid = self.process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(told.success());
        self.wait_until("it stops", |relay| {
            let ended = relay.process.try_wait().unwrap();
            ended.inspect(|status| assert!(status.success(), "{status}"));
            ended.is_some()
        });
    }

    fn must_listen(&mut self) {
        self.wait_until("it listens", |relay| {
            if let Some(status) = relay.process.try_wait().unwrap() {
                panic!("the relay ended with {status}\n{}", relay.log());
            }
            let listens = |address| TcpStream::connect(address).is_ok();
            listens(relay.submission()) && listens(relay.web())
        });
    }

    /// Where it takes mail in.
    pub(crate) fn submission(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Where the portal listens.
    pub(crate) fn web(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.web))
    }

    /// Everything that the relay writes.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("relay.log")).unwrap_or_default()
    }

    /// Hands in a message for these recipients.
    pub(crate) fn submit(&self, recipients: &[&str], more: &[&str]) -> Output {
        let (port, to) = (self.port.to_string(), recipients.join(","));
        let common = [
            "--server",
            "127.0.0.1",
            "--port",
            &port,
            "--tls",
            "--auth",
            "PLAIN",
        ];
        let account = ["--auth-user", "clinic", "--auth-password", PASSWORD];
        let envelope = ["--from", SENDER, "--to", &to, "--timeout", "60"];
        swaks(&[&common[..], &account, &envelope, more].concat()).unwrap()
    }

    /// Hands in a message that must be accepted.
    pub(crate) fn accepted(&self, recipients: &[&str], more: &[&str]) {
        let output = self.submit(recipients, more);
        assert!(
            output.status.success(),
            "{}\n{}",
            replies(&output),
            self.log()
        );
    }

    /// The one message in the mailbox of `domain` that holds `text`, once it is there.
    pub(crate) fn arrived(&mut self, domain: &str, text: &str) -> Vec<u8> {
        let mut found = None;
        self.wait_until(&format!("`{text}` for {domain}"), |relay| {
            found = mail_with(&relay.lab, domain, text);
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits until it is so, and shows the log where it never is.
    pub(crate) fn wait_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let came = comes_true(|| is_so(self));
        assert!(came, "not in time: {what}\n{}", self.log());
    }
}

fn spawn(folder: &Path, settings: &Path, under: &[&str]) -> Child {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("relay.log"))
        .unwrap();
    let words: Vec<&str> = under.iter().copied().chain([PROGRAM]).collect();
    Command::new(words[0])
        .args(&words[1..])
        .args(["run", "--config"])
        .arg(settings)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Waits until it is so.
pub(crate) fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    assert!(comes_true(is_so), "not in time: {what}");
}

#[expect(clippy::disallowed_methods, reason = "another process needs real time")]
fn comes_true(mut is_so: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > WAIT_MAX {
            return false;
        }
        sleep(Duration::from_millis(100));
    }
    true
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// Runs one of the relay's commands with the settings of a relay in the lab.
pub(crate) fn command(arguments: &[&str]) -> Output {
    command_with(&Start::default(), arguments)
}

/// The same with other settings.
pub(crate) fn command_with(start: &Start<'_>, arguments: &[&str]) -> Output {
    let lab = Lab::here().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ports = (free_port(), free_port());
    let settings = write_settings(&lab, folder.path(), ports, start);
    Command::new(PROGRAM)
        .args(arguments)
        .arg("--config")
        .arg(settings)
        .output()
        .unwrap()
}

/// What the relay answered, without the content.
pub(crate) fn replies(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines()
        .filter(|line| line.starts_with('<'))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The message in a mailbox that holds `text`.
pub(crate) fn mail_with(lab: &Lab, domain: &str, text: &str) -> Option<Vec<u8>> {
    let mail = lab.mail_for(domain).unwrap();
    mail.into_iter().find(|message| contains(message, text))
}

pub(crate) fn contains(octets: &[u8], wanted: &str) -> bool {
    String::from_utf8_lossy(octets).contains(wanted)
}

pub(crate) fn free_port() -> u16 {
    ports::free(Ipv4Addr::LOCALHOST).unwrap().port()
}

fn write_settings(lab: &Lab, folder: &Path, (port, web): (u16, u16), start: &Start<'_>) -> PathBuf {
    let data = folder.join("data");
    fs::create_dir_all(&data).unwrap();
    let master_key = folder.join("master.key");
    fs::write(&master_key, PASSWORD_SHA256).unwrap();
    let (vantage, vantage_name) = lab.vantage();
    let resolver = lab.resolver();
    let (anchor, ca) = (lab.trust_anchor(), lab.ca_file());
    let rsa = lab.dkim_key("lab-rsa").unwrap();
    let hostname = start.hostname.unwrap_or("relay.sender.test");
    let limits = start.limits;
    let sms = start.sms.unwrap_or("provider = \"console\"");
    let own_portal = format!("url = \"https://localhost:{web}\"");
    let portal = start.portal.unwrap_or(&own_portal);
    let mut settings = format!(
        r#"
[relay]
hostname = "{hostname}"
data_dir = {data:?}
[listen]
submission = "127.0.0.1:{port}"
web = "127.0.0.1:{web}"
[dns]
servers = ["{resolver}"]
trust_anchor = {anchor:?}
second_opinion = ["{resolver}"]
vantage = [{{ server = "{vantage}", name = "{vantage_name}" }}]
[route]
ca_file = {ca:?}
allow_networks = ["127.0.0.0/8"]
confirm_after = "1s"
confirm_absence_after = "1s"
[portal]
{portal}
[notice]
from = "notice@sender.test"
dkim_selector = "lab-rsa"
dkim_key = {rsa:?}
[keys]
master_key_file = {master_key:?}
[limits]
{limits}
[sms]
{sms}
"#
    );
    settings.push_str(start.sections);
    settings.push_str(&tenant(lab, start));
    let file = folder.join("relay.toml");
    fs::write(&file, settings).unwrap();
    file
}

fn tenant(lab: &Lab, start: &Start<'_>) -> String {
    let (rsa, ed) = (
        lab.dkim_key("lab-rsa").unwrap(),
        lab.dkim_key("lab-ed").unwrap(),
    );
    let more = start.tenant;
    let mut settings = format!(
        r#"
[[tenant]]
name = "clinic"
display_name = "Kliniek Zuid"
domains = ["sender.test"]
{more}
[[tenant.account]]
username = "clinic"
password = "sha256:{PASSWORD_SHA256}"
domains = ["sender.test"]
[[tenant.dkim]]
domain = "sender.test"
selector = "lab-rsa"
key = {rsa:?}
[[tenant.dkim]]
domain = "sender.test"
selector = "lab-ed"
key = {ed:?}
[[tenant.phone]]
address = "somebody@notls.test"
number = "+31612345678"
[[tenant.phone]]
address = "somebody@expired.test"
number = "+31612345679"
"#
    );
    for (address, number) in start.phones {
        settings.push_str(&format!(
            "[[tenant.phone]]\naddress = \"{address}\"\nnumber = \"{number}\"\n"
        ));
    }
    settings
}
