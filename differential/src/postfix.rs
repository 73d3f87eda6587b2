//! What Postfix does: real deliveries at three levels, and `posttls-finger`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::Trouble;
use crate::system::{said, shell, wait_for_port};
use crate::verdict::{Proof, Verdict};

/// Where this Postfix takes messages.
const ENTRANCE: &str = "127.0.0.3:25";
/// Recipients of one message.
const RECIPIENTS: usize = 90;
/// The log is read so often.
const PAUSE: Duration = Duration::from_millis(300);
/// Without a new result for so many pauses nothing more comes: 24 s, longer than any timeout in [`main_settings`].
const QUIET: usize = 80;

/// A TLS security level, which is also a local part and a transport.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Level {
    /// `dane`: opportunistic.
    Dane,
    /// `dane-only`.
    DaneOnly,
    /// `verify`, with the name in the MX record.
    Verify,
}

/// Each with its name.
pub(crate) const LEVELS: [(Level, &str); 3] = [
    (Level::Dane, "dane"),
    (Level::DaneOnly, "only"),
    (Level::Verify, "verify"),
];

/// What became of one message, and Postfix's words.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// What became of it.
    pub(crate) verdict: Verdict,
    /// Its words.
    pub(crate) words: String,
}

/// A running Postfix.
#[derive(Debug)]
pub(crate) struct Postfix {
    home: PathBuf,
    roots: PathBuf,
}

impl Postfix {
    /// Starts it in `folder`, trusting the roots of a file.
    ///
    /// # Errors
    /// Where it does not start.
    pub(crate) async fn start(folder: &Path, roots: &Path) -> Result<Self, Trouble> {
        let home = folder.join("postfix");
        for part in ["etc", "queue", "data"] {
            fs::create_dir_all(home.join(part))?;
        }
        fs::write(home.join("etc/main.cf"), main_settings(&home))?;
        fs::write(home.join("etc/master.cf"), services(roots))?;
        let transports: String = LEVELS
            .iter()
            .map(|(_, name)| format!("/^{name}@/ {name}:\n"))
            .collect();
        fs::write(home.join("etc/transports"), transports)?;
        let start = "chmod 755 .. . etc; chown postfix data; postfix -c $PWD/etc start";
        shell(&home, start).await?;
        wait_for_port("postfix", ENTRANCE).await?;
        Ok(Self {
            home,
            roots: roots.to_owned(),
        })
    }

    /// Ends it.
    ///
    /// # Errors
    /// Where it does not end.
    pub(crate) async fn stop(self) -> Result<(), Trouble> {
        shell(&self.home, "postfix -c $PWD/etc stop")
            .await
            .map(drop)
    }

    /// Delivers one message to each domain at each level.
    ///
    /// What is not in the answer did not end.
    ///
    /// # Errors
    /// Where Postfix takes no message.
    pub(crate) async fn deliver(
        &self,
        domains: &[String],
    ) -> Result<BTreeMap<(Level, String), Delivery>, Trouble> {
        let recipients: Vec<String> = domains
            .iter()
            .flat_map(|domain| LEVELS.map(|(_, name)| format!("{name}@{domain}")))
            .collect();
        for some in recipients.chunks(RECIPIENTS) {
            submit(some).await?;
        }
        let mut known = 0;
        let mut quiet = 0;
        loop {
            let log = fs::read_to_string(self.home.join("postfix.log")).unwrap_or_default();
            let found = read_log(&log);
            quiet = if found.len() == known { quiet + 1 } else { 0 };
            known = found.len();
            // Some never end: this Postfix dies of a TLSA record without data, again and again.
            if known == recipients.len() || quiet > QUIET {
                return Ok(found);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What `posttls-finger` says at level `dane`, which falls back to `secure` where there is no TLSA
    /// record; the name is the one in the MX record.
    ///
    /// # Errors
    /// Where it cannot be run.
    pub(crate) async fn finger(&self, domain: &str) -> Result<Delivery, Trouble> {
        let etc = self.home.join("etc");
        let etc = format!("MAIL_CONFIG={}", etc.display());
        let roots = self.roots.display().to_string();
        let arguments = [
            &etc,
            "posttls-finger",
            "-c",
            "-t20",
            "-T20",
            "-a",
            "ipv4",
            "-l",
            "dane",
            "-L",
            "summary,certmatch",
            "-F",
            &roots,
            domain,
            "hostname",
        ];
        let words = said("env", &arguments).await?;
        Ok(Delivery {
            verdict: of_finger(&words),
            words,
        })
    }
}

fn of_finger(words: &str) -> Verdict {
    let insecure_mx = words.contains("MX RRset insecure");
    let established = words.lines().find_map(|line| {
        let (before, after) = line.split_once(" TLS connection established to ")?;
        let word = before.rsplit(' ').next()?;
        Some((word, after.split('[').next()?))
    });
    match established {
        Some(("Verified", host)) => Verdict::Direct(host.to_owned(), Proof::Certificate),
        Some(("Trusted", host)) if insecure_mx => Verdict::Direct(host.to_owned(), Proof::Dane),
        Some(_) => Verdict::NotProved,
        None if words.contains("try again") => Verdict::Held,
        None if words.contains("(nullMX)") || words.contains(" not found") => Verdict::Refused,
        None => Verdict::Held,
    }
}

async fn submit(recipients: &[String]) -> Result<(), Trouble> {
    let mut stream = BufReader::new(TcpStream::connect(ENTRANCE).await?);
    expect(&mut stream, "220").await?;
    say(&mut stream, "EHLO relay.sender.test", "250").await?;
    say(&mut stream, "MAIL FROM:<>", "250").await?;
    for recipient in recipients {
        say(&mut stream, &format!("RCPT TO:<{recipient}>"), "250").await?;
    }
    say(&mut stream, "DATA", "354").await?;
    say(
        &mut stream,
        "Subject: differential\r\n\r\nHello.\r\n.",
        "250",
    )
    .await?;
    say(&mut stream, "QUIT", "221").await
}

async fn say(stream: &mut BufReader<TcpStream>, line: &str, expected: &str) -> Result<(), Trouble> {
    stream
        .get_mut()
        .write_all(format!("{line}\r\n").as_bytes())
        .await?;
    expect(stream, expected).await
}

async fn expect(stream: &mut BufReader<TcpStream>, code: &str) -> Result<(), Trouble> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line.get(3..4) == Some("-") {
            continue;
        }
        if line.starts_with(code) {
            return Ok(());
        }
        return Err(format!("postfix said {line}").into());
    }
}

/// The last word on each recipient. A process of Postfix makes one delivery at a time, so what it said of
/// TLS belongs to the delivery that it then reports.
fn read_log(log: &str) -> BTreeMap<(Level, String), Delivery> {
    let mut established: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for line in log.lines() {
        let Some(process) = process(line) else {
            continue;
        };
        if let Some((before, after)) = line.split_once(" TLS connection established to ") {
            let word = before.rsplit(' ').next().unwrap_or_default();
            let host = after.split('[').next().unwrap_or_default();
            established.insert(process, (host, word));
        }
        let Some((level, domain)) = recipient(line) else {
            continue;
        };
        let tls = established.remove(process);
        let Some(verdict) = of_log(line, level, tls) else {
            continue;
        };
        let words = line.split_once("relay=").map_or(line, |(_, words)| words);
        let delivery = Delivery {
            verdict,
            words: words.to_owned(),
        };
        found.insert((level, domain.to_owned()), delivery);
    }
    found
}

/// `only/smtp[123]`
fn process(line: &str) -> Option<&str> {
    let (_, after) = line.split_once(" postfix/")?;
    let (process, _) = after.split_once(':')?;
    Some(process)
}

fn recipient(line: &str) -> Option<(Level, &str)> {
    let (_, after) = line.split_once(" to=<")?;
    let (address, _) = after.split_once('>')?;
    let (local, domain) = address.split_once('@')?;
    let (level, _) = LEVELS.iter().find(|(_, name)| *name == local)?;
    Some((*level, domain))
}

fn of_log(line: &str, level: Level, tls: Option<(&str, &str)>) -> Option<Verdict> {
    if line.contains(" status=deferred ") {
        return Some(Verdict::Held);
    }
    if line.contains(" status=bounced ") {
        return Some(Verdict::Refused);
    }
    if !line.contains(" status=sent ") {
        return None;
    }
    let (_, after) = line.split_once("relay=")?;
    let host = after.split('[').next()?;
    let word = tls.filter(|(with, _)| *with == host).map(|(_, word)| word);
    let proof = match (level, word) {
        (Level::DaneOnly, _) => Proof::Dane,
        (Level::Verify, _) => Proof::Certificate,
        // This transport knows no root, so what is trusted is a TLSA match behind an unsigned MX record.
        (Level::Dane, Some("Trusted" | "Verified")) => Proof::Dane,
        (Level::Dane, _) => Proof::Nothing,
    };
    Some(Verdict::Direct(host.to_owned(), proof))
}

fn main_settings(home: &Path) -> String {
    let home = home.display();
    format!(
        "compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.sender.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
biff = no
notify_classes =
in_flow_delay = 0
maillog_file = {home}/postfix.log
maillog_file_prefixes = {home}
smtpd_peername_lookup = no
smtpd_recipient_restrictions = permit_mynetworks, reject
transport_maps = regexp:{home}/etc/transports
smtp_dns_support_level = dnssec
smtp_host_lookup = dns
smtp_tls_loglevel = 1
smtp_connection_cache_on_demand = no
smtp_connect_timeout = 20s
smtp_helo_timeout = 20s
smtp_starttls_timeout = 20s
default_process_limit = 20
service_throttle_time = 1s
transport_retry_time = 1s
"
    )
}

fn services(roots: &Path) -> String {
    let roots = roots.display();
    format!(
        "{ENTRANCE} inet n - n - - smtpd
only unix - - n - - smtp
 -o syslog_name=postfix/only -o smtp_tls_security_level=dane-only
dane unix - - n - - smtp
 -o syslog_name=postfix/dane -o smtp_tls_security_level=dane
verify unix - - n - - smtp
 -o syslog_name=postfix/verify -o smtp_tls_security_level=verify
 -o smtp_tls_verify_cert_match=hostname -o smtp_tls_CAfile={roots}
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"
    )
}
