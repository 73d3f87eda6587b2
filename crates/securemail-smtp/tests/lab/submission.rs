//! swaks, a client of another make, submits to the server.

use std::fs;
use std::net::SocketAddr;
use std::process::Output;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use securemail_core::backend::Directory;
use securemail_core::vocab::{
    Account, AccountId, AccountKind, Address, Credential, Identity, Reply,
};
use securemail_smtp::{
    Access, Listener, MailHandler, ServerParts, ServerSettings, SessionFacts, SmtpServer,
    Submission, TlsMode, TransactionFacts, server_config,
};
use securemail_testkit::lab::{Lab, WallClock, swaks};
use securemail_testkit::memory::MemoryDirectory;
use securemail_testkit::sim::SeededEntropy;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) const PASSWORD: &str = "correct-horse-battery-staple-0123456789";
/// What swaks returns where it could not log in.
const NOT_LOGGED_IN: i32 = 28;

/// Takes everything and keeps it.
#[derive(Debug, Default)]
pub(crate) struct Keep(pub(crate) Mutex<Vec<(Vec<String>, Vec<u8>)>>);

#[async_trait]
impl MailHandler for Keep {
    async fn sender(&self, _: &SessionFacts, _: &TransactionFacts) -> Reply {
        Reply::new(250, None, "OK")
    }

    async fn recipient(&self, _: &SessionFacts, _: &TransactionFacts, _: &Address) -> Reply {
        Reply::new(250, None, "OK")
    }

    fn not_taken(&self, _: &Reply) {}

    async fn message(&self, submission: Submission) -> Reply {
        let recipients = submission
            .envelope
            .recipients
            .iter()
            .map(ToString::to_string)
            .collect();
        let size = usize::try_from(submission.content.size()).unwrap();
        let mut octets = Vec::new();
        while octets.len() < size {
            octets.extend(
                submission
                    .content
                    .read(octets.len() as u64, size)
                    .await
                    .unwrap(),
            );
        }
        self.0.lock().unwrap().push((recipients, octets));
        Reply::new(250, None, "kept")
    }
}

pub(crate) struct Server {
    pub(crate) starttls: SocketAddr,
    implicit: SocketAddr,
    pub(crate) kept: Arc<Keep>,
    _data: tempfile::TempDir,
    _shutdown: watch::Sender<bool>,
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_submits_ten_megabytes_over_starttls_and_over_implicit_tls() {
    let server = server().await;
    let attachment = tempfile::NamedTempFile::new().unwrap();
    fs::write(attachment.path(), vec![7_u8; 10 * 1024 * 1024]).unwrap();
    let attach = format!("@{}", attachment.path().display());
    for (socket, tls) in [(server.starttls, "--tls"), (server.implicit, "--tlsc")] {
        let output = submit(
            socket,
            &[tls, "--auth-password", PASSWORD, "--attach", &attach],
        )
        .await;
        assert!(output.status.success(), "{}", text(&output));
    }
    let kept = server.kept.0.lock().unwrap();
    assert_eq!(kept.len(), 2);
    for (recipients, octets) in kept.iter() {
        assert_eq!(recipients, &["a@dane.test", "b@pkix.test"]);
        assert!(octets.len() > 13 * 1024 * 1024, "{}", octets.len());
        assert!(
            octets.trim_ascii_end().ends_with(b"--"),
            "the last boundary is missing"
        );
        let bare = octets
            .windows(2)
            .any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
        assert!(!bare, "a bare LF came through");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_cannot_log_in_without_tls_or_with_another_password() {
    let server = server().await;
    let clear = submit(server.starttls, &["--auth-password", PASSWORD]).await;
    assert_eq!(clear.status.code(), Some(NOT_LOGGED_IN), "{}", text(&clear));
    let wrong = submit(server.starttls, &["--tls", "--auth-password", "wrong"]).await;
    assert_eq!(wrong.status.code(), Some(NOT_LOGGED_IN), "{}", text(&wrong));
    assert!(server.kept.0.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_cannot_send_as_another_domain() {
    let server = server().await;
    let other = [
        "--tls",
        "--auth-password",
        PASSWORD,
        "--from",
        "x@dane.test",
    ];
    let output = submit(server.starttls, &other).await;
    assert!(!output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("<~* 550"), "{}", text(&output));
    assert!(server.kept.0.lock().unwrap().is_empty());
}

async fn submit(socket: SocketAddr, more: &[&str]) -> Output {
    let (host, port) = (socket.ip().to_string(), socket.port().to_string());
    let common = [
        "--server",
        &host,
        "--port",
        &port,
        "--from",
        "clinic@sender.test",
    ];
    let to = [
        "--to",
        "a@dane.test,b@pkix.test",
        "--auth",
        "PLAIN",
        "--auth-user",
        "clinic",
    ];
    let all: Vec<String> = common
        .iter()
        .chain(&to)
        .chain(more)
        .map(|word| (*word).to_owned())
        .collect();
    let run = move || swaks(&all.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap().unwrap()
}

fn text(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    // Never the lines of content: they are long.
    said.lines()
        .filter(|line| !line.starts_with(" ->"))
        .collect::<Vec<_>>()
        .join("\n")
}

pub(crate) async fn server() -> Server {
    let lab = Lab::here().unwrap();
    let (certificate, key) = lab.certificate("dane");
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let tls = server_config(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap();
    let data = tempfile::tempdir().unwrap();
    let kept = Arc::new(Keep::default());
    let name = "relay.sender.test".parse().unwrap();
    let server = SmtpServer::new(ServerParts {
        settings: ServerSettings::new(name, data.path().to_path_buf()),
        tls: Arc::new(tls),
        handler: Arc::clone(&kept) as Arc<dyn MailHandler>,
        directory: Arc::new(directory().await),
        clock: Arc::new(WallClock),
        entropy: Arc::new(SeededEntropy::new(1)),
    })
    .unwrap();
    let clear = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wrapped = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (starttls, implicit) = (clear.local_addr().unwrap(), wrapped.local_addr().unwrap());
    let (shutdown, over) = watch::channel(false);
    let listeners = vec![
        Listener {
            socket: clear,
            tls: TlsMode::StartTls,
            access: Access::Accounts,
        },
        Listener {
            socket: wrapped,
            tls: TlsMode::Implicit,
            access: Access::Accounts,
        },
    ];
    tokio::spawn(async move { server.serve(listeners, over).await });
    Server {
        starttls,
        implicit,
        kept,
        _data: data,
        _shutdown: shutdown,
    }
}

async fn directory() -> MemoryDirectory {
    let directory = MemoryDirectory::default();
    let account = Account {
        id: AccountId::new("clinic"),
        tenant: "clinic".parse().unwrap(),
        kind: AccountKind::Sender,
        credential: Credential::Secret(Sha256::digest(PASSWORD).into()),
        domains: vec!["sender.test".parse().unwrap()],
    };
    let identity = Identity::Username("clinic".to_owned());
    directory.put_account(&identity, &account).await.unwrap();
    directory
}
