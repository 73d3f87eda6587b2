//! Shows everything on one machine: a proved delivery, a refused impostor, a message picked up by code.

mod codes;
mod submit;
mod visitor;
mod world;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use mail_parser::MessageParser;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use securemail_core::backend::DkimAlgorithm;
use securemail_core::dkim::LocalDkimKey;
use securemail_core::ledger::Log;
use securemail_core::vocab::{DnsName, QueueId, TenantId};
use securemail_sms_twilio::ConsoleNotifier;
use securemail_testkit::ports;
use securemail_testkit::sink::{Received, Sink};
use sha2::{Digest, Sha256};

use self::codes::Shown;
use self::submit::Submitter;
use self::visitor::{Visitor, between};
use self::world::World;
use crate::assemble::Trouble;
use crate::logging;
use crate::run::{self, Running, in_full};
use crate::settings::load;
use crate::sms::Carrier;
use crate::terminal::{self, say};
use crate::tls::write_private;

/// How long anything in the demo may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The demo's account. Its secret is worth nothing: the relay lives as long as the demo.
const SECRET: &str = "demo-secret-worth-nothing-elsewhere";

/// `demo`.
pub async fn demo(once: bool) -> ExitCode {
    logging::warnings();
    match story(once).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => terminal::fail(1, &format!("the demo failed: {}", in_full(&*error))),
    }
}

async fn story(once: bool) -> Result<(), Trouble> {
    say("securemail hands a message over only where it is proved who takes it.");
    say(
        "Everything you see runs on this machine: a small signed DNS, three mail servers, the relay.\n",
    );
    let folder = tempfile::tempdir()?;
    let world = World::start().await?;
    let shown = Shown::default();
    let settings = write_settings(folder.path(), &world)?;
    let settings = load(&settings, std::iter::empty())?;
    say(
        "Set for the demo, openly: mail servers may be on loopback (allow_networks), and a way that",
    );
    say("cannot be proved is confirmed after 2 seconds instead of 15 minutes (confirm_after).\n");
    let carrier = Carrier::silent(Arc::new(ConsoleNotifier::new(shown.clone())));
    let running = run::start(&settings, carrier).await?;
    let certificate = folder.path().join("data/tls/self-signed.pem");
    let certificate = CertificateDer::from_pem_file(certificate)?;
    let submitter = Submitter {
        relay: running.submission.ok_or("no submission listener")?,
        certificate: certificate.clone(),
        username: "demo".to_owned(),
        secret: SECRET.to_owned(),
    };
    deliver_proved(&world, &submitter, &running).await?;
    hold_mismatch(&world, &submitter, &running).await?;
    let (link, sent) = divert_open(&world, &submitter, &running).await?;
    if once {
        pick_up(&link, &sent, certificate, &running, &shown).await?;
        say("\nAll is as it should be.");
    } else {
        say(
            "\nOpen the link in a browser (it will warn of the self-signed certificate) and ask for",
        );
        say("the code; it appears here. End the demo with Ctrl-C.");
        tokio::signal::ctrl_c().await?;
    }
    running.stop().await;
    Ok(())
}

/// One: the server proves itself by DANE.
async fn deliver_proved(
    world: &World,
    submitter: &Submitter,
    running: &Running,
) -> Result<(), Trouble> {
    say(
        "1. To eva@proved.test. Her domain is signed and says which key its mail server has (DANE).",
    );
    let message = message("eva@proved.test", "Uw uitslag", 1);
    let reply = submitter
        .submit("anna@sender.test", &["eva@proved.test"], &message)
        .await?;
    say(&format!("   The relay answers: {reply}"));
    let received = arrival(&world.proved, |_| true).await?;
    check(received.tls, "it came over TLS")?;
    check(received.data.ends_with(&message), "it came octet for octet")?;
    check(
        received.data.starts_with(b"DKIM-Signature:"),
        "it came signed",
    )?;
    explain(running, &reply).await?;
    say("   It arrived over TLS, signed, octet for octet. Nothing was stored.\n");
    Ok(())
}

/// Two: somebody else answers in its place.
async fn hold_mismatch(
    world: &World,
    submitter: &Submitter,
    running: &Running,
) -> Result<(), Trouble> {
    say("2. To kim@mismatch.test. Its server has another key than the domain publishes.");
    let message = message("kim@mismatch.test", "Uw uitslag", 2);
    let reply = submitter
        .submit("anna@sender.test", &["kim@mismatch.test"], &message)
        .await?;
    say(&format!("   The relay answers: {reply}"));
    explain(running, &reply).await?;
    check(
        world.mismatch.messages().is_empty(),
        "the wrong server got nothing",
    )?;
    say("   It is held, sealed; the server got nothing, not even a notice.\n");
    Ok(())
}

/// Three: a server without TLS. The message waits in the vault; the notice has nothing of it.
async fn divert_open(
    world: &World,
    submitter: &Submitter,
    running: &Running,
) -> Result<(String, Vec<u8>), Trouble> {
    say(
        "3. To jan@open.test. His mail server knows no TLS: whoever is on the way could read along.",
    );
    let message = message("jan@open.test", "Uw dossier", 3);
    let reply = submitter
        .submit("anna@sender.test", &["jan@open.test"], &message)
        .await?;
    say(&format!("   The relay answers: {reply}"));
    explain(running, &reply).await?;
    let notice = arrival(&world.open, |_| true).await?;
    let text = String::from_utf8_lossy(&notice.data).into_owned();
    check(
        !text.contains("dossier") && !text.contains(MARKER),
        "the notice has nothing of the message",
    )?;
    let link = link_in(&notice.data).ok_or("the notice has no link")?;
    say("   The message is sealed in the vault. Jan got a notice without anything of it; in it:");
    say(&format!("   {link}"));
    Ok((link, message))
}

/// What Jan does: follow the link, ask for the code, open, compare.
async fn pick_up(
    link: &str,
    sent: &[u8],
    certificate: CertificateDer<'static>,
    running: &Running,
    shown: &Shown,
) -> Result<(), Trouble> {
    let web = running.web.ok_or("no web listener")?;
    let origin = format!("https://localhost:{}", web.port());
    let id = between(link, "/m/", "/").ok_or("a link of another form")?;
    let mut jan = Visitor::new(&origin, web, certificate)?;
    let landing = jan.get(link).await?;
    say("\n4. Jan follows the link and asks for the code:");
    let page = jan.post(&format!("/b/{id}/code"), &landing, &[]).await?;
    let code = shown.last_code().ok_or("no code was sent")?;
    let opened = jan
        .post(&format!("/b/{id}/open"), &page, &[("code", &code)])
        .await?;
    let opened = String::from_utf8_lossy(&opened).into_owned();
    check(
        opened.contains("Uw dossier"),
        "the message page shows the message",
    )?;
    let whole = jan.get(&format!("{origin}/b/{id}/message.eml")).await?;
    check(
        whole.ends_with(sent),
        "it is octet for octet what Anna sent",
    )?;
    say("   The code opens it. It is octet for octet what was sent.");
    Ok(())
}

/// Says what the relay decided, from its own log.
async fn explain(running: &Running, reply: &str) -> Result<(), Trouble> {
    let queue: QueueId = reply.rsplit(' ').next().unwrap_or("").parse()?;
    let tenant: TenantId = "demo".parse()?;
    let log = Log::of_tenant(tenant.clone(), &*running.app.base.master).await?;
    let mut said = Vec::new();
    for event in running.app.base.audit().of_message(&tenant, queue).await? {
        let event = log.read(&event)?;
        if let Some(reason) = event.fact(securemail_core::ledger::Fact::Reason)
            && !said.contains(&reason.to_owned())
        {
            say(&format!("   Decision: {reason}"));
            said.push(reason.to_owned());
        }
    }
    check(!said.is_empty(), "the log explains the decision")
}

async fn arrival(sink: &Sink, wanted: impl Fn(&Received) -> bool) -> Result<Received, Trouble> {
    let look = async {
        loop {
            if let Some(found) = sink.messages().into_iter().find(&wanted) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    Ok(tokio::time::timeout(PATIENCE, look)
        .await
        .map_err(|_| "nothing arrived within a minute")?)
}

fn check(holds: bool, what: &str) -> Result<(), Trouble> {
    if holds {
        Ok(())
    } else {
        Err(format!("this does not hold: {what}").into())
    }
}

/// The first pickup link of a notice.
fn link_in(notice: &[u8]) -> Option<String> {
    let notice = MessageParser::default().parse(notice)?;
    let text = notice.body_text(0)?;
    let rest = text.get(text.find("https://")?..)?;
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    rest.get(..end).map(str::to_owned)
}

/// In every message of the demo, and in nothing else.
const MARKER: &str = "M4RK3R-OF-THE-DEMO";

fn message(to: &str, subject: &str, number: u8) -> Vec<u8> {
    format!(
        "From: Anna <anna@sender.test>\r\nTo: <{to}>\r\nSubject: {subject}\r\n\
         Date: Sat, 21 Nov 2026 10:00:0{number} +0000\r\nMessage-ID: <demo-{number}@sender.test>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         {MARKER}\r\n.A line that begins with a dot.\r\nThis is personal.\r\n"
    )
    .into_bytes()
}

/// Writes keys and settings, as an operator would.
fn write_settings(folder: &Path, world: &World) -> Result<std::path::PathBuf, Trouble> {
    let entropy = crate::system::SystemEntropy;
    let secret: String = Sha256::digest(SECRET)
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    let master = securemail_core::secret::Key32::random(&entropy)?;
    write_private(&folder.join("master.key"), master.expose())?;
    for domain in ["sender.test", "relay.test"] {
        let name = DnsName::parse(domain)?;
        let (_, pem) = LocalDkimKey::generate(name, "demo", DkimAlgorithm::RsaSha256)?;
        write_private(
            &folder.join(format!("{domain}.dkim.pem")),
            pem.expose().as_bytes(),
        )?;
    }
    fs::write(folder.join("anchor"), world.dns.anchor())?;
    fs::write(folder.join("ca.pem"), &world.ca_pem)?;
    let web = ports::free(Ipv4Addr::LOCALHOST)?.port();
    let text = settings_text(folder, world, web, &secret);
    let file = folder.join("relay.toml");
    fs::write(&file, text)?;
    Ok(file)
}

fn settings_text(folder: &Path, world: &World, web: u16, secret: &str) -> String {
    let at = folder.display();
    format!(
        r#"
[relay]
hostname = "relay.test"
data_dir = "{at}/data"
[listen]
submission = "127.0.0.1:0"
web = "127.0.0.1:{web}"
[dns]
servers = ["{servers}"]
trust_anchor = "{at}/anchor"
second_opinion = ["{validator}"]
[route]
profile = "strict"
port = {port}
ca_file = "{at}/ca.pem"
confirm_after = "2s"
allow_networks = ["127.0.0.0/8"]
[portal]
url = "https://localhost:{web}"
[notice]
from = "post@relay.test"
dkim_selector = "demo"
dkim_key = "{at}/relay.test.dkim.pem"
[keys]
master_key_file = "{at}/master.key"
[tls_reports]
send = false
[sms]
provider = "console"
[[tenant]]
name = "demo"
display_name = "Praktijk Anna"
domains = ["sender.test"]
languages = ["en", "nl"]
[[tenant.account]]
username = "demo"
password = "sha256:{secret}"
domains = ["sender.test"]
[[tenant.dkim]]
domain = "sender.test"
selector = "demo"
key = "{at}/sender.test.dkim.pem"
[[tenant.phone]]
address = "jan@open.test"
number = "+31612345678"
"#,
        servers = world.dns.addr(),
        validator = world.dns.validator_addr(),
        port = world.port,
    )
}
