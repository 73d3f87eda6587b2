//! The mailbox for reports about TLS beside the receiver of bounces, over loopback.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use common::{Raw, pem};
use securemail_core::backend::{DomainMemory as _, Signatures, Signers};
use securemail_core::drive::TlsInbox;
use securemail_core::limits::TLS_REPORT_MAIL_OCTETS_MAX;
use securemail_core::tlsrpt::UtcDay;
use securemail_core::vocab::{Address, DnsName};
use securemail_smtp::{
    BounceHandler, BounceParts, BounceServer, BounceUnkept, ReportBox, ServerSettings,
    server_config,
};
use securemail_testkit::ca::TestCa;
use securemail_testkit::memory::{MemoryDirectory, MemoryDomainMemory};
use securemail_testkit::sim::{ManualClock, SeededEntropy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const EXAMPLE: &str = include_str!("../../../vectors/tlsrpt/rfc8460-appendix-b.json");
const ADDRESS: &str = "tls@relay.test";

/// Says who signed by what the mail says of itself.
#[derive(Debug)]
struct ByWord;

#[async_trait]
impl Signatures for ByWord {
    async fn signers(&self, message: &[u8], _: &str) -> Signers {
        let text = String::from_utf8_lossy(message);
        let named = |field: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(field));
            lines.map(|domain| domain.parse().unwrap()).collect()
        };
        Signers {
            valid: named("X-Signed-By: "),
            unknown: named("X-Unknown: "),
        }
    }
}

/// Knows one address.
#[derive(Debug)]
struct OneBounce;

#[async_trait]
impl BounceHandler for OneBounce {
    fn is_ours(&self, address: &Address) -> bool {
        address.to_string() == "bounce@relay.test"
    }

    async fn bounced(&self, _: &Address) -> Result<(), BounceUnkept> {
        panic!("no bounce comes in these tests")
    }
}

struct Running {
    at: SocketAddr,
    memory: Arc<MemoryDomainMemory>,
    _stop: watch::Sender<bool>,
    _data_dir: tempfile::TempDir,
}

async fn start() -> Running {
    let ca = TestCa::new().unwrap();
    let (chain, key) = pem(&ca.issue(&["relay.test"]).unwrap());
    let host: DnsName = "relay.test".parse().unwrap();
    let data_dir = tempfile::tempdir().unwrap();
    let memory = Arc::new(MemoryDomainMemory::default());
    // The day after the one that the example is about.
    let day: UtcDay = "2016-04-02".parse().unwrap();
    let clock = Arc::new(ManualClock::at(day.begins()));
    let ours = vec!["company-y.example".parse().unwrap()];
    let server = BounceServer::new(BounceParts {
        settings: ServerSettings::for_bounces(host, data_dir.path().to_owned()),
        tls: Arc::new(server_config(chain, key).unwrap()),
        handler: Arc::new(OneBounce),
        reports: Some(ReportBox {
            address: ADDRESS.parse().unwrap(),
            inbox: Arc::new(TlsInbox::new(memory.clone(), clock.clone(), ours)),
            signatures: Arc::new(ByWord),
        }),
        directory: Arc::new(MemoryDirectory::default()),
        clock,
        entropy: Arc::new(SeededEntropy::new(1)),
    })
    .unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move { server.serve(socket, stopped).await });
    Running {
        at,
        memory,
        _stop: stop,
        _data_dir: data_dir,
    }
}

impl Running {
    async fn client(&self) -> Raw<TcpStream> {
        let mut raw = Raw::over(TcpStream::connect(self.at).await.unwrap());
        raw.expect("220 relay.test").await;
        raw.ask("EHLO mx.test", "250").await;
        raw
    }

    async fn kept(&self) -> usize {
        let domain = "company-y.example".parse().unwrap();
        let kept = self.memory.received_reports(&domain, 10).await;
        kept.unwrap().len()
    }
}

fn mail(field: &str, report: &str) -> String {
    format!(
        "{field}\r\nFrom: <tls-reports@company-x.example>\r\n\
         TLS-Report-Domain: company-y.example\r\nTLS-Report-Submitter: company-x.example\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=tlsrpt; boundary=b\r\n\r\n\
         --b\r\nContent-Type: application/tlsrpt+json\r\n\r\n{report}\r\n--b--\r\n.\r\n"
    )
}

async fn hand_in(raw: &mut Raw<TcpStream>, from: &str, content: &str, answer: &str) {
    raw.ask(&format!("MAIL FROM:<{from}>"), "250 2.1.0").await;
    raw.ask("RCPT TO:<TLS@relay.test>", "250 2.1.5").await;
    raw.ask("DATA", "354").await;
    raw.send(content).await;
    raw.expect(answer).await;
}

#[tokio::test]
async fn a_signed_report_is_kept_and_anything_else_is_refused_with_its_reason() {
    let running = start().await;
    let mut raw = running.client().await;
    let example = EXAMPLE.replace('\n', "\r\n");
    let others = example.replace("company-y.example", "company-q.example");
    let refused = [
        (
            mail("X-Signed-By: company-z.example", &example),
            "550 5.7.20",
        ),
        (mail("X-Nobody: signed", &example), "550 5.7.20"),
        (mail("X-Unknown: company-x.example", &example), "451 4.7.5"),
        (mail("X-Signed-By: company-x.example", &others), "554 5.6.0"),
        (mail("X-Signed-By: company-x.example", "{}"), "554 5.6.0"),
        (
            mail("X-Signed-By: company-x.example", &example)
                .replace("multipart/report", "multipart/mixed"),
            "554 5.6.0",
        ),
        (
            "Subject: hello\r\n\r\nHow are you?\r\n.\r\n".to_owned(),
            "554 5.6.0",
        ),
    ];
    for (content, answer) in refused {
        hand_in(&mut raw, "reports@company-x.example", &content, answer).await;
        assert_eq!(running.kept().await, 0);
    }
    let good = mail("X-Signed-By: company-x.example", &example);
    for from in ["reports@company-x.example", ""] {
        hand_in(&mut raw, from, &good, "250 2.0.0").await;
        assert_eq!(running.kept().await, 1, "once");
    }
}

#[tokio::test]
async fn nothing_else_than_the_two_kinds_of_addresses_is_known_and_never_both_at_once() {
    let running = start().await;
    let mut raw = running.client().await;
    raw.ask("MAIL FROM:<x@company-x.example>", "250 2.1.0")
        .await;
    raw.ask("RCPT TO:<post@relay.test>", "550 5.1.1").await;
    raw.ask("RCPT TO:<x@elsewhere.example>", "550 5.1.1").await;
    raw.ask("RCPT TO:<bounce@relay.test>", "550 5.7.1").await;
    raw.ask("RCPT TO:<tls@relay.test>", "250 2.1.5").await;
    raw.ask("RSET", "250").await;
    raw.ask("MAIL FROM:<>", "250 2.1.0").await;
    raw.ask("RCPT TO:<bounce@relay.test>", "250 2.1.5").await;
    raw.ask("RCPT TO:<tls@relay.test>", "452 4.5.3").await;
    raw.ask("RSET", "250").await;
    raw.ask("MAIL FROM:<>", "250 2.1.0").await;
    raw.ask("RCPT TO:<tls@relay.test>", "250 2.1.5").await;
    raw.ask("RCPT TO:<bounce@relay.test>", "452 4.5.3").await;
}

#[tokio::test]
async fn a_mail_above_the_limit_is_refused_before_it_comes() {
    let running = start().await;
    let mut raw = running.client().await;
    let size = |octets: u64| format!("MAIL FROM:<x@company-x.example> SIZE={octets}");
    raw.ask(&size(TLS_REPORT_MAIL_OCTETS_MAX + 1), "552 5.3.4")
        .await;
    raw.ask(&size(TLS_REPORT_MAIL_OCTETS_MAX), "250 2.1.0")
        .await;
}
