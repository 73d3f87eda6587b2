//! What postfix-mta-sts-resolver says of a domain's policy: another reader of RFC 8461.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::Trouble;
use crate::system::wait_for_port;

const ADDRESS: &str = "127.0.0.1:8461";
/// A policy in mode testing counts as one in mode enforce here, so that it is compared too.
const SETTINGS: &str = "\
host: 127.0.0.1
port: 8461
cache_grace: 0
proactive_policy_fetching: {enabled: false}
cache: {type: internal, options: {cache_size: 100000}}
default_zone: {strict_testing: true, timeout: 20}
";

/// A running one.
#[derive(Debug)]
pub(crate) struct Resolver {
    _child: Child,
}

/// What it said.
#[derive(Debug)]
pub(crate) struct Opinion {
    /// The names that a host may have; `None` where there is no policy.
    pub(crate) patterns: Option<Vec<String>>,
    /// Its words.
    pub(crate) words: String,
}

impl Resolver {
    /// Starts it, trusting the roots of a file. It ends with the value.
    ///
    /// # Errors
    /// Where it does not start.
    pub(crate) async fn start(folder: &Path, roots: &Path) -> Result<Self, Trouble> {
        let settings = folder.join("mta-sts.yml");
        fs::write(&settings, SETTINGS)?;
        let mut daemon = Command::new("mta-sts-daemon");
        daemon
            .arg("-c")
            .arg(&settings)
            .env("SSL_CERT_FILE", roots)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let child = daemon.spawn()?;
        wait_for_port("mta-sts-daemon", ADDRESS).await?;
        Ok(Self { _child: child })
    }

    /// Asks it, as Postfix would: one netstring there, one back.
    ///
    /// # Errors
    /// Where it does not answer.
    pub(crate) async fn opinion(&self, domain: &str) -> Result<Opinion, Trouble> {
        let mut stream = TcpStream::connect(ADDRESS).await?;
        let question = format!("postfix {domain}");
        let question = format!("{}:{question},", question.len());
        stream.write_all(question.as_bytes()).await?;
        let mut length = String::new();
        loop {
            match char::from(stream.read_u8().await?) {
                ':' => break,
                digit => length.push(digit),
            }
        }
        let mut words = vec![0; length.parse::<u16>()?.into()];
        stream.read_exact(&mut words).await?;
        let words = String::from_utf8(words)?;
        Ok(Opinion {
            patterns: patterns(&words),
            words,
        })
    }
}

/// `OK secure match=mx.example.org:.example.net servername=hostname`
fn patterns(words: &str) -> Option<Vec<String>> {
    let (_, after) = words.strip_prefix("OK secure ")?.split_once("match=")?;
    let list = after.split(' ').next()?;
    Some(list.split(':').map(str::to_owned).collect())
}
