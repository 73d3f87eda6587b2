//! A small Internet in the test's process, and the relay beside it as a process of its own.
#![allow(
    dead_code,
    unused_imports,
    clippy::allow_attributes,
    reason = "each test file uses a part"
)]

pub(crate) mod smtp;
pub(crate) mod visitor;
pub(crate) mod world;

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use securemail_core::backend::{DkimAlgorithm, MasterKey as _};
use securemail_core::dkim::LocalDkimKey;
use securemail_core::ledger::Log;
use securemail_core::seal::{LocalMasterKey, RecordCipher};
use securemail_core::vocab::{DeliveryKey, DnsName};
use securemail_store_sqlite::{SqliteStore, StoreSettings};
use securemail_testkit::ports;
use securemail_testkit::sim::SeededEntropy;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use self::smtp::Submitter;
pub(crate) use self::visitor::link_in;
use self::world::World;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// The secret of the account `anna`.
pub(crate) const SECRET: &str = "a-generated-secret-of-128-bits";
/// The one tenant.
pub(crate) const TENANT: &str = "praktijk";
/// Who sends.
pub(crate) const ANNA: &str = "anna@sender.test";
/// Jan's number, in the directory.
pub(crate) const NUMBER: &str = "+31612345678";

/// Keys, settings and data of one relay.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) settings: toml::Table,
    /// What the relay finds in its environment besides.
    pub(crate) environment: Vec<(&'static str, &'static str)>,
    submission: SocketAddr,
    web: SocketAddr,
}

impl Place {
    /// Settings that fit `world`; `host` is the loopback address that this relay listens on.
    pub(crate) fn new(world: &World) -> Self {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("master.key"), Sha256::digest("a key")).unwrap();
        for domain in ["sender.test", "relay.test"] {
            let name = DnsName::parse(domain).unwrap();
            let (_, pem) =
                LocalDkimKey::generate(name, "test", DkimAlgorithm::Ed25519Sha256).unwrap();
            fs::write(at(&format!("{domain}.pem")), pem.expose()).unwrap();
        }
        fs::write(at("anchor"), world.dns.anchor()).unwrap();
        fs::write(at("ca.pem"), &world.ca_pem).unwrap();
        let host = world.host(9);
        let (submission, web) = (ports::free(host).unwrap(), ports::free(host).unwrap());
        let text = settings(folder.path(), world, submission, web);
        Self {
            folder,
            settings: text.parse().unwrap(),
            environment: Vec::new(),
            submission,
            web,
        }
    }

    /// Sets `section.key` to `value`, written as TOML.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> &mut Self {
        let value = format!("v = {value}").parse::<toml::Table>().unwrap();
        let (section, key) = key.split_once('.').unwrap();
        let section = self
            .settings
            .entry(section)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        let section = section.as_table_mut().unwrap();
        drop(section.insert(key.to_owned(), value["v"].clone()));
        self
    }

    /// Everything that belongs to this relay, data and keys.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        PathBuf::from(self.settings["relay"]["data_dir"].as_str().unwrap())
    }

    /// Where the portal is, as its links have it.
    pub(crate) fn origin(&self) -> String {
        format!("https://localhost:{}", self.web.port())
    }

    pub(crate) fn web(&self) -> SocketAddr {
        self.web
    }

    /// Its store, opened beside the relay.
    pub(crate) async fn store(&self) -> SqliteStore {
        let key = self.master().derive("store/directory").await.unwrap();
        let entropy = Arc::new(SeededEntropy::new(7));
        let settings = StoreSettings::new(RecordCipher::new(key), entropy);
        SqliteStore::open(&self.data_dir().join("store.db"), settings).unwrap()
    }

    /// What reads the events of its tenant.
    pub(crate) async fn log(&self) -> Log {
        let tenant = TENANT.parse().unwrap();
        Log::of_tenant(tenant, &self.master()).await.unwrap()
    }

    fn master(&self) -> LocalMasterKey {
        let octets = fs::read(self.folder.path().join("master.key")).unwrap();
        LocalMasterKey::from_file_octets(&octets, Arc::new(SeededEntropy::new(7))).unwrap()
    }

    /// Writes the settings down.
    pub(crate) fn write(&self) -> PathBuf {
        let file = self.folder.path().join("relay.toml");
        fs::write(&file, self.settings.to_string()).unwrap();
        file
    }

    /// The binary with these arguments, and the settings where `{}` stands.
    pub(crate) fn relay(&self, arguments: &[&str]) -> Said {
        let file = self.write();
        let file = file.to_str().unwrap();
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|argument| if *argument == "{}" { file } else { argument })
            .collect();
        relay(&arguments)
    }

    /// Starts the relay and waits until it serves.
    pub(crate) fn start(&self) -> Running {
        self.try_start()
            .unwrap_or_else(|said| panic!("the relay did not start: {said}"))
    }

    /// Starts the relay; what it said, where it ended instead of serving.
    pub(crate) fn try_start(&self) -> Result<Running, String> {
        let file = self.write();
        let mut child = Command::new(program())
            .args(["run", "--config"])
            .arg(&file)
            .envs(self.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        gather(child.stderr.take().unwrap(), log.clone());
        let (ready, wait) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if line.starts_with("ready") && ready.send(()).is_err() {
                    return;
                }
            }
        });
        let mut running = Running {
            child,
            log,
            submission: self.submission,
            certificate: self.data_dir().join("tls/self-signed.pem"),
        };
        if wait.recv_timeout(PATIENCE).is_ok() {
            return Ok(running);
        }
        running.kill();
        // The reader of standard error may lag behind the end of the process.
        thread::park_timeout(Duration::from_millis(200));
        Err(running.log())
    }
}

/// The relay's binary. A package that only borrows this world has none, and starts the relay inside.
fn program() -> &'static str {
    match option_env!("CARGO_BIN_EXE_securemail-relay") {
        Some(program) => program,
        None => panic!("only the relay's own package has its binary"),
    }
}

/// What the binary said before it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the binary to its end.
pub(crate) fn relay(arguments: &[&str]) -> Said {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(program())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Said {
        code: status.code(),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// A relay that serves. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
    submission: SocketAddr,
    certificate: PathBuf,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.certificate).unwrap()
    }

    /// Anna's mail program.
    pub(crate) fn submitter(&self) -> Submitter {
        Submitter {
            relay: self.submission,
            certificate: self.certificate(),
            username: "anna".to_owned(),
            secret: SECRET.to_owned(),
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        // It may have ended by itself.
        drop(self.child.kill());
        self.child.wait().unwrap()
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(told.success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not stop");
            thread::park_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn gather(stream: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    let reader = BufReader::new(stream);
    thread::spawn(move || {
        for line in reader.lines().map_while(Result::ok) {
            let mut text = into.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&line);
            text.push('\n');
        }
    });
}

/// Waits until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "it never came: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A message with its header, CRLF, octet for octet as it is handed in.
pub(crate) fn message(id: &str, to: &str, subject: &str, body: &str) -> Vec<u8> {
    format!(
        "From: Anna <{ANNA}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n\
         Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{id}@sender.test>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{body}\r\n"
    )
    .into_bytes()
}

/// The id that a reply names.
pub(crate) fn queue_id(reply: &str) -> &str {
    reply.rsplit(' ').next().unwrap()
}

/// The delivery to the first recipient of the message that a reply names.
pub(crate) fn delivery(reply: &str) -> DeliveryKey {
    DeliveryKey {
        tenant: TENANT.parse().unwrap(),
        queue: queue_id(reply).parse().unwrap(),
        recipient: 0,
    }
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn settings(folder: &Path, world: &World, submission: SocketAddr, web: SocketAddr) -> String {
    format!(
        r#"
[relay]
hostname = "relay.test"
data_dir = "{at}/data"
[listen]
submission = "{submission}"
web = "{web}"
[dns]
servers = ["{servers}"]
trust_anchor = "{at}/anchor"
second_opinion = ["{validator}"]
[route]
profile = "strict"
port = {port}
ca_file = "{at}/ca.pem"
confirm_after = "1s"
confirm_absence_after = "1s"
allow_networks = ["127.0.0.0/8"]
[portal]
url = "https://localhost:{web_port}"
[notice]
from = "post@relay.test"
dkim_selector = "test"
dkim_key = "{at}/relay.test.pem"
[keys]
master_key_file = "{at}/master.key"
[sms]
provider = "console"
[[tenant]]
name = "{TENANT}"
display_name = "Praktijk Anna"
domains = ["sender.test"]
languages = ["en"]
[[tenant.account]]
username = "anna"
password = "sha256:{secret}"
domains = ["sender.test"]
[[tenant.dkim]]
domain = "sender.test"
selector = "test"
key = "{at}/sender.test.pem"
[[tenant.phone]]
address = "jan@open.test"
number = "{NUMBER}"
"#,
        at = folder.display(),
        servers = world.dns.addr(),
        validator = world.dns.validator_addr(),
        port = world.port,
        web_port = web.port(),
        secret = hex(&Sha256::digest(SECRET)),
    )
}
