//! The same zones through a real validating resolver: Unbound in front, Unbound as second validator.
//!
//! These need `unbound` on this machine and nothing else of the lab: they serve their own zones.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::common::{ask, build, settings, zones};
use securemail_core::vocab::{LookupFailure, Outcome, RecordKind, Security};
use securemail_testkit::dns::RunningDns;
use securemail_testkit::ports;
use tempfile::TempDir;

/// The file of what it says.
const SAID: &str = "unbound.log";
/// On a machine that is busy.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// An Unbound that forwards to the in-process DNS and validates with its anchor. Dropping it ends it.
struct Unbound {
    process: Child,
    addr: SocketAddr,
    directory: TempDir,
}

impl Drop for Unbound {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Unbound {
    async fn start(dns: &RunningDns, modules: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let anchor = directory.path().join("anchor.key");
        fs::write(&anchor, dns.anchor()).unwrap();
        let addr = ports::free(Ipv4Addr::LOCALHOST).unwrap();
        let config = format!(
            "server:\n interface: 127.0.0.1\n port: {port}\n do-daemonize: no\n username: \"\"\n \
             chroot: \"\"\n pidfile: \"\"\n use-syslog: no\n directory: \"{directory}\"\n \
             trust-anchor-file: \"{anchor}\"\n do-not-query-localhost: no\n ede: yes\n \
             module-config: \"{modules}\"\n local-zone: \"test.\" nodefault\n\
             remote-control:\n control-enable: no\n\
             forward-zone:\n name: \".\"\n forward-addr: 127.0.0.1@{forward}\n",
            port = addr.port(),
            directory = directory.path().display(),
            anchor = anchor.display(),
            forward = dns.addr().port(),
        );
        let file = directory.path().join("unbound.conf");
        fs::write(&file, config).unwrap();
        let process = Command::new("unbound")
            .arg("-c")
            .arg(&file)
            .stderr(File::create(directory.path().join(SAID)).unwrap())
            .spawn()
            .expect("unbound is not installed: apt-get install unbound");
        let mut unbound = Self {
            process,
            addr,
            directory,
        };
        unbound.answers(dns).await;
        unbound
    }

    async fn answers(&mut self, dns: &RunningDns) {
        let mut settings = settings(dns);
        settings.servers = vec![self.addr];
        let begun = Instant::now();
        while build(&settings).probe().await.is_err() {
            let ended = self.process.try_wait().unwrap();
            if ended.is_some() || begun.elapsed() > STARTS_WITHIN {
                let said = fs::read_to_string(self.directory.path().join(SAID));
                panic!("unbound does not answer ({ended:?}): {said:?}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test]
async fn every_zone_is_answered_through_unbound_as_it_must_be() {
    let dns = zones().start().await.unwrap();
    let unbound = Unbound::start(&dns, "validator iterator").await;
    let mut settings = settings(&dns);
    settings.servers = vec![unbound.addr];
    crate::common::check_cases(&build(&settings)).await;
}

#[tokio::test]
async fn unbound_agrees_as_second_validator() {
    let dns = zones().start().await.unwrap();
    let unbound = Unbound::start(&dns, "validator iterator").await;
    let mut settings = settings(&dns);
    settings.second_opinion = vec![unbound.addr];
    let resolver = build(&settings);
    assert_eq!(resolver.probe().await, Ok(()));
    crate::common::check_cases(&resolver).await;
}

#[tokio::test]
async fn unbound_vouches_for_a_wildcard_of_an_nsec_zone() {
    let dns = zones()
        .record("*.wild.good.test. TLSA 3 1 1 0909")
        .start()
        .await
        .unwrap();
    let unbound = Unbound::start(&dns, "validator iterator").await;
    let mut settings = settings(&dns);
    settings.servers = vec![unbound.addr];
    let alone = ask(&build(&settings), "_25.wild.good.test", RecordKind::Tlsa).await;
    assert_eq!(alone.outcome, Outcome::Failed(LookupFailure::Bogus));
    settings.second_opinion = vec![unbound.addr];
    let vouched = ask(&build(&settings), "_25.wild.good.test", RecordKind::Tlsa).await;
    assert_eq!(vouched.security, Security::Secure, "{vouched:?}");
}

#[tokio::test]
async fn an_unbound_that_does_not_validate_is_no_second_validator() {
    let dns = zones().start().await.unwrap();
    let unbound = Unbound::start(&dns, "iterator").await;
    let mut settings = settings(&dns);
    settings.second_opinion = vec![unbound.addr];
    assert_eq!(
        build(&settings).probe().await,
        Err(securemail_resolver::ProbeError::SecondDoesNotValidate)
    );
}
