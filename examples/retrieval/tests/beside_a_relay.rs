//! The portal alone opens what a relay put into the vault.

#[path = "../../relay/tests/common/mod.rs"]
mod common;

use std::io::BufReader;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use common::smtp::Submitter;
use common::visitor::{Visitor, between};
use common::world::{World, arrival};
use common::{PATIENCE, Place, SECRET, link_in, message};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The portal's process; dropping it kills it.
struct Portal {
    child: Child,
    said: Receiver<String>,
}

impl Portal {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_securemail-retrieval"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (heard, said) = channel();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let also = heard.clone();
        thread::spawn(move || listen(BufReader::new(out), |line| heard.send(line).is_ok()));
        thread::spawn(move || listen(BufReader::new(err), |line| also.send(line).is_ok()));
        Self { child, said }
    }

    /// The next line that is wanted, of either stream.
    fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.said.recv_timeout(PATIENCE).expect("a line in time");
            if wanted(&line) {
                return line;
            }
        }
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn listen(stream: impl std::io::BufRead, hear: impl Fn(String) -> bool) {
    for line in stream.lines().map_while(Result::ok) {
        if !hear(line) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_relay_put_into_the_vault_is_opened_at_the_portal_alone() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    let listen = place.settings["listen"].as_table_mut().unwrap();
    assert!(listen.remove("web").is_some(), "the relay serves no portal");
    let settings = place.write();
    let relay = securemail_relay::launch(&settings).await.unwrap();
    assert_eq!(relay.web, None);
    let certificate =
        CertificateDer::from_pem_file(place.data_dir().join("tls/self-signed.pem")).unwrap();
    let anna = Submitter {
        relay: relay.submission.unwrap(),
        certificate: certificate.clone(),
        username: "anna".to_owned(),
        secret: SECRET.to_owned(),
    };

    let web = place.web().to_string();
    let settings = settings.to_str().unwrap();
    let portal = Portal::start(&["--config", settings, "--listen", &web]);
    portal.line(|line| line.starts_with("ready"));

    let mail = message(
        "alone",
        "jan@open.test",
        "Uw dossier",
        "Dit is persoonlijk.",
    );
    let reply = anna.submit(&["jan@open.test"], &mail).await.unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let notice = arrival(&world.open, |_| true).await;
    let link = link_in(&notice.data).unwrap();
    let id = between(&link, "/m/", "/").unwrap().to_owned();
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut jan = Visitor::new(&place.origin(), place.web(), &certificate, here);
    let landing = jan.get(&link).await;
    let page = jan.post(&format!("/b/{id}/code"), &landing, &[]).await;
    // The last line of the text is `@host #code`.
    let last = portal.line(|line| line.starts_with('@'));
    let code = last.rsplit_once('#').unwrap().1;
    let opened = jan
        .post(&format!("/b/{id}/open"), &page, &[("code", code)])
        .await;
    assert!(opened.says("Uw dossier"), "{}", opened.text());
    let whole = jan.get(&format!("/b/{id}/message.eml")).await;
    assert!(whole.octets.ends_with(&mail), "octet for octet");
    drop(portal);
    relay.stop().await;
}

#[test]
fn codes_are_shown_on_the_terminal_only_where_nobody_else_can_come_in() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::start());
    let place = Place::new(&world);
    let settings = place.write();
    let settings = settings.to_str().unwrap();
    let portal = Portal::start(&["--config", settings, "--listen", "0.0.0.0:0"]);
    let said = portal.line(|line| line.contains("console"));
    assert!(said.starts_with("securemail-retrieval: "), "{said}");
}
