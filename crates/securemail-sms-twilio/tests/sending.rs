//! Sending over real HTTP on loopback to the strict fake: what arrives, and what each failure means.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use securemail_core::backend::{CodeMessage, Notifier, NotifyError};
use securemail_core::secret::SecretText;
use securemail_sms_twilio::request::MessageRequest;
use securemail_sms_twilio::{
    ConsoleNotifier, SettingsError, SmsStatus, TwilioNotifier, TwilioSettings, TwilioWebhook,
    WebhookError,
};
use securemail_testkit::ca::TestCa;
use securemail_testkit::twilio_fake::{Fault, TwilioAccount, TwilioFake};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

const TEXT: &str = "482913 is uw code.\n\n@mail.example #482913";

fn message(to: &str) -> CodeMessage {
    CodeMessage {
        to: to.parse().unwrap(),
        text: SecretText::new(TEXT),
        valid_for: Duration::from_secs(600),
        reference: "k7/4&qpd".to_owned(),
    }
}

fn settings(base_url: &str, account: &TwilioAccount) -> TwilioSettings {
    TwilioSettings::new(
        account.sid.parse().unwrap(),
        SecretText::new(account.auth_token.clone()),
        account.senders[0].parse().unwrap(),
    )
    .unwrap()
    .base_url(base_url)
    .unwrap()
    .timeouts(Duration::from_secs(2), Duration::from_secs(5))
}

async fn fake() -> (TwilioFake, TwilioAccount) {
    let account = TwilioAccount::default();
    (TwilioFake::start(account.clone()).await.unwrap(), account)
}

async fn send(settings: TwilioSettings, to: &str) -> Result<String, NotifyError> {
    let notifier = TwilioNotifier::new(settings).unwrap();
    Ok(notifier.notify(&message(to)).await?.carrier_id)
}

#[tokio::test]
async fn a_code_arrives_as_it_was_meant() {
    let (fake, account) = fake().await;
    let settings = settings(&fake.base_url(), &account)
        .status_callback("https://mail.example/hooks/twilio")
        .unwrap()
        .redact(true);
    let sid = send(settings, "+31612345678").await.unwrap();
    let taken = fake.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].sid, sid);
    assert_eq!(taken[0].to, "+31612345678");
    assert_eq!(taken[0].from, "+15005550006");
    assert_eq!(taken[0].body, TEXT);
    assert_eq!(taken[0].validity_secs, Some(600));
    assert_eq!(
        taken[0].status_callback.as_deref(),
        Some("https://mail.example/hooks/twilio?ref=k7%2F4%26qpd")
    );
}

#[tokio::test]
async fn names_and_messaging_services_are_senders_too() {
    let mut account = TwilioAccount::default();
    account.senders.push(format!("MG{}", "a".repeat(32)));
    let fake = TwilioFake::start(account.clone()).await.unwrap();
    for sender in account.senders.clone() {
        account.senders[0].clone_from(&sender);
        send(settings(&fake.base_url(), &account), "+31612345678")
            .await
            .unwrap();
        assert_eq!(fake.taken().last().unwrap().from, sender);
    }
}

#[tokio::test]
async fn each_refusal_says_who_must_act() {
    let (fake, account) = fake().await;
    let settings = || settings(&fake.base_url(), &account);
    for (to, wanted) in [
        ("+15005550001", NotifyError::Number),
        ("+15005550002", NotifyError::NotAllowed),
        ("+15005550003", NotifyError::NotAllowed),
        ("+15005550004", NotifyError::NotAllowed),
        ("+15005550009", NotifyError::Number),
    ] {
        let error = send(settings(), to).await.unwrap_err();
        assert_eq!(error.to_string(), wanted.to_string(), "{to}");
    }
    fake.go_wrong(Fault::RateLimit);
    assert!(matches!(
        send(settings(), "+31612345678").await,
        Err(NotifyError::Busy)
    ));
    assert!(fake.taken().is_empty());
}

#[tokio::test]
async fn wrong_credentials_and_wrong_senders_are_the_operators() {
    let (fake, mut account) = fake().await;
    account.senders[0] = "Stranger".to_owned();
    let result = send(settings(&fake.base_url(), &account), "+31612345678").await;
    assert!(matches!(result, Err(NotifyError::NotAllowed)));
    account.auth_token.push('x');
    let result = send(settings(&fake.base_url(), &account), "+31612345678").await;
    assert!(matches!(result, Err(NotifyError::Credentials)));
    assert!(fake.taken().is_empty());
}

/// N2.
#[tokio::test]
async fn a_lost_answer_is_in_doubt_and_nothing_is_sent_again() {
    let (fake, account) = fake().await;
    let notifier = TwilioNotifier::new(settings(&fake.base_url(), &account)).unwrap();
    // A connection from the pool must not make the client try again by itself.
    notifier.notify(&message("+31612345678")).await.unwrap();
    fake.go_wrong(Fault::AnswerLost);
    let result = notifier.notify(&message("+31612345678")).await;
    assert!(matches!(result, Err(NotifyError::InDoubt(_))), "{result:?}");
    assert_eq!(fake.taken().len(), 2);
    fake.go_wrong(Fault::Status(502));
    let result = notifier.notify(&message("+31612345678")).await;
    assert!(matches!(result, Err(NotifyError::InDoubt(_))));
}

#[tokio::test]
async fn a_late_answer_is_in_doubt() {
    let (fake, account) = fake().await;
    let settings = settings(&fake.base_url(), &account)
        .timeouts(Duration::from_secs(2), Duration::from_millis(200));
    fake.go_wrong(Fault::Delay(Duration::from_secs(30)));
    let result = send(settings, "+31612345678").await;
    assert!(matches!(result, Err(NotifyError::InDoubt(_))), "{result:?}");
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let result = send(settings(&url, &TwilioAccount::default()), "+31612345678").await;
    assert!(
        matches!(result, Err(NotifyError::Unavailable(_))),
        "{result:?}"
    );
}

/// A TLS server with a certificate of `ca` for localhost: its address, and what it is sent.
async fn tls_server(ca: &TestCa) -> (String, JoinHandle<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let issued = ca.issue(&["localhost"]).unwrap();
    let config = issued.server_config().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = TlsAcceptor::from(config).accept(stream).await.ok()?;
        let mut octets = vec![0; 4096];
        let size = stream.read(&mut octets).await.ok()?;
        Some(String::from_utf8_lossy(&octets[..size]).into_owned())
    });
    (url, server)
}

#[tokio::test]
async fn a_server_that_cannot_prove_its_name_gets_nothing() {
    let (url, server) = tls_server(&TestCa::new().unwrap()).await;
    let result = send(settings(&url, &TwilioAccount::default()), "+31612345678").await;
    assert!(
        matches!(result, Err(NotifyError::Unavailable(_))),
        "{result:?}"
    );
    assert_eq!(server.await.unwrap(), None);
}

#[tokio::test]
async fn a_server_under_a_trusted_root_gets_the_request() {
    let ca = TestCa::new().unwrap();
    let (url, server) = tls_server(&ca).await;
    let mut roots = RootCertStore::empty();
    roots.add(ca.root_der()).unwrap();
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let settings = settings(&url, &TwilioAccount::default());
    let notifier = TwilioNotifier::with_tls(settings, tls).unwrap();
    // The server hangs up without an answer.
    let result = notifier.notify(&message("+31612345678")).await;
    assert!(matches!(result, Err(NotifyError::InDoubt(_))), "{result:?}");
    let sent = server.await.unwrap().unwrap();
    assert!(
        sent.starts_with("POST /2010-04-01/Accounts/AC0000"),
        "{sent}"
    );
}

#[tokio::test]
async fn an_endless_answer_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = b"HTTP/1.1 201 Created\r\ncontent-length: 99999999999\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(&[b' '; 4096]).await.is_ok() {}
    });
    let result = send(settings(&url, &TwilioAccount::default()), "+31612345678").await;
    assert!(matches!(result, Err(NotifyError::InDoubt(_))), "{result:?}");
}

/// N3.
#[tokio::test]
async fn neither_number_nor_text_nor_token_stand_in_errors_or_debug() {
    let (fake, account) = fake().await;
    let settings = settings(&fake.base_url(), &account);
    let mut shown = format!(
        "{settings:?} {:?} {:?}",
        MessageRequest::new(&settings, &message("+31612345678")).unwrap(),
        TwilioNotifier::new(settings.clone()).unwrap(),
    );
    for fault in [Fault::AnswerLost, Fault::Status(500), Fault::Status(404)] {
        fake.go_wrong(fault);
        let error = send(settings.clone(), "+31612345678").await.unwrap_err();
        shown.push_str(&format!("{error} {error:?}"));
    }
    let error = send(settings, "+15005550001").await.unwrap_err();
    shown.push_str(&format!("{error} {error:?}"));
    for secret in [
        "612345678",
        "482913",
        account.auth_token.as_str(),
        "5550001",
        account.sid.as_str(),
    ] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn credentials_leave_over_https_or_loopback_only() {
    let account = TwilioAccount::default();
    let with = |url: &str| {
        settings("https://api.example", &account)
            .base_url(url)
            .err()
    };
    for url in [
        "https://api.example/proxy/",
        "http://127.0.0.1:9",
        "http://[::1]:9",
        "http://localhost:9",
    ] {
        assert_eq!(with(url), None, "{url}");
    }
    for url in [
        "http://api.example",
        "ftp://127.0.0.1",
        "api.example",
        "",
        "https://u:p@api.example",
    ] {
        assert_eq!(with(url), Some(SettingsError::BaseUrl), "{url}");
    }
    let under_a_path = settings("https://api.example/proxy/", &account);
    let request = MessageRequest::new(&under_a_path, &message("+31612345678")).unwrap();
    assert_eq!(
        request.url.as_str(),
        format!(
            "https://api.example/proxy/2010-04-01/Accounts/{}/Messages.json",
            account.sid
        )
    );
}

#[test]
fn senders_are_checked_before_anything_is_sent() {
    use securemail_sms_twilio::Sender;
    for good in [
        "+31612345678",
        "Gemeente 1",
        "MG0123456789abcdef0123456789abcdef",
    ] {
        assert!(good.parse::<Sender>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "12345",
        "twelve chars",
        "Gemeente!",
        "0612345678",
        "MG12",
        "Café",
    ] {
        let parsed = bad.parse::<Sender>();
        // "MG12" is a name like any other.
        assert_eq!(parsed.is_ok(), bad == "MG12", "{bad}");
    }
}

/// One web server that takes callbacks as the portal does, and answers 204 or 403.
async fn callbacks(
    listener: TcpListener,
    webhook: TwilioWebhook,
    seen: mpsc::UnboundedSender<Result<securemail_sms_twilio::StatusUpdate, WebhookError>>,
) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut octets = Vec::new();
        let (head, length) = loop {
            let mut piece = [0; 4096];
            let size = stream.read(&mut piece).await.unwrap();
            octets.extend_from_slice(&piece[..size]);
            let text = String::from_utf8(octets.clone()).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let field = |name: &str| {
                let line = head
                    .lines()
                    .find(|line| line.to_lowercase().starts_with(name));
                line.map(|line| line[name.len() + 1..].trim().to_owned())
            };
            let length: usize = field("content-length").unwrap().parse().unwrap();
            if body.len() >= length {
                break (
                    (head.to_owned(), field("x-twilio-signature").unwrap()),
                    length,
                );
            }
        };
        let (head, signature) = head;
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let body = &octets[octets.len() - length..];
        let update = webhook.receive(query, body, &signature);
        let answer = if update.is_ok() {
            "204 No Content"
        } else {
            "403 Forbidden"
        };
        let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        seen.send(update).unwrap();
    }
}

#[tokio::test]
async fn the_fate_of_a_code_comes_back_signed() {
    let (fake, account) = fake().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/twilio", listener.local_addr().unwrap());
    let token = SecretText::new(account.auth_token.clone());
    let webhook = TwilioWebhook::new(account.sid.parse().unwrap(), token, &url).unwrap();
    let (sender, mut seen) = mpsc::unbounded_channel();
    tokio::spawn(callbacks(listener, webhook, sender));
    let settings = settings(&fake.base_url(), &account)
        .status_callback(&url)
        .unwrap();
    let sid = send(settings, "+31612345678").await.unwrap();

    assert_eq!(
        fake.report(&sid, "delivered", None, None).await.unwrap(),
        204
    );
    let update = seen.recv().await.unwrap().unwrap();
    assert_eq!(update.carrier_id, sid);
    assert_eq!(update.reference, "k7/4&qpd");
    assert_eq!((update.status, update.error), (SmsStatus::Delivered, None));

    fake.report(&sid, "undelivered", Some(30_006), None)
        .await
        .unwrap();
    let update = seen.recv().await.unwrap().unwrap();
    assert_eq!(update.status, SmsStatus::Undelivered { retry: false });
    assert_eq!(update.error, Some(30_006));
}

#[tokio::test]
async fn a_callback_signed_with_another_token_is_refused() {
    let (fake, account) = fake().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/twilio", listener.local_addr().unwrap());
    let other = SecretText::new("another-token-altogether");
    let webhook = TwilioWebhook::new(account.sid.parse().unwrap(), other, &url).unwrap();
    let (sender, mut seen) = mpsc::unbounded_channel();
    tokio::spawn(callbacks(listener, webhook, sender));
    let settings = settings(&fake.base_url(), &account)
        .status_callback(&url)
        .unwrap();
    let sid = send(settings, "+31612345678").await.unwrap();
    assert_eq!(
        fake.report(&sid, "delivered", None, None).await.unwrap(),
        403
    );
    assert_eq!(seen.recv().await.unwrap(), Err(WebhookError::Signature));
}

#[tokio::test]
async fn the_console_shows_the_code_and_not_the_number() {
    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);
    impl Write for Screen {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            Write::write(&mut *self.0.lock().unwrap(), octets)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let screen = Screen::default();
    let console = ConsoleNotifier::new(screen.clone());
    let receipt = console.notify(&message("+31612345678")).await.unwrap();
    assert_eq!(receipt.carrier_id, "console-1");
    let shown = String::from_utf8(screen.0.lock().unwrap().clone()).unwrap();
    assert!(shown.contains("482913") && shown.contains("78"), "{shown}");
    assert!(!shown.contains("612345"), "{shown}");
    assert!(!format!("{console:?}").contains("482913"));
}
