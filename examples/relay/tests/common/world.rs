//! Signed DNS and mail servers, good and bad, each world on loopback addresses of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use securemail_testkit::ca::{Issued, TestCa};
use securemail_testkit::dns::{RunningDns, SignedDns, ZoneSpec};
use securemail_testkit::sink::{Conduct, Received, Sink, SinkOptions};

use super::eventually;

/// The servers. Dropping them ends them.
pub(crate) struct World {
    pub(crate) dns: RunningDns,
    /// One port for all mail servers.
    pub(crate) port: u16,
    /// `proved.test`: a TLSA record that matches.
    pub(crate) proved: Sink,
    /// `slow.test`: likewise, and it answers the final dot after two seconds.
    pub(crate) slow: Sink,
    /// `mismatch.test`: a TLSA record that does not match.
    pub(crate) mismatch: Sink,
    /// `open.test`: no TLS.
    pub(crate) open: Sink,
    /// `sender.test`: takes what the relay tells its senders.
    pub(crate) sender: Sink,
    pub(crate) ca: TestCa,
    pub(crate) ca_pem: String,
    /// The TLSA data that `mismatch.test` should have.
    right_tlsa: String,
    net: [u8; 2],
}

/// How long the slow server thinks.
pub(crate) const SLOW: Duration = Duration::from_secs(2);

impl World {
    pub(crate) async fn start() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        // Worlds of tests that run beside each other do not meet.
        let pid = std::process::id().to_be_bytes();
        let net = [
            64 | (pid[2] & 63),
            pid[3].wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(37)),
        ];
        let host = |last| Ipv4Addr::new(127, net[0], net[1], last);
        let ca = TestCa::new().unwrap();
        let issue = |domain: &str| ca.issue(&[&format!("mx.{domain}")]).unwrap();
        let (good, slow_one) = (issue("proved.test"), issue("slow.test"));
        let (bad, own) = (issue("mismatch.test"), issue("sender.test"));
        let proved = sink(host(11), 0, "proved.test", Some(&good)).await;
        let port = proved.address().port();
        let slow = sink(host(15), port, "slow.test", Some(&slow_one)).await;
        slow.behave(Conduct::DelayAtDot(SLOW));
        let mismatch = sink(host(12), port, "mismatch.test", Some(&bad)).await;
        let open = sink(host(13), port, "open.test", None).await;
        let sender = sink(host(14), port, "sender.test", Some(&own)).await;
        let mut dns = SignedDns::new()
            .zone(ZoneSpec::signed("test."))
            .zone(ZoneSpec::signed("nullmx.test."))
            .zone(ZoneSpec::unsigned("plain.test."))
            .zone(ZoneSpec::signed("bogus.test.").with_wrong_ds())
            .mx("nullmx.test.", 0, ".")
            .mx("plain.test.", 10, "mx.plain.test.")
            .address("mx.plain.test.", IpAddr::V4(host(11)))
            .mx("bogus.test.", 10, "mx.proved.test.");
        let servers = [
            ("proved.test", 11, Some(&good)),
            ("slow.test", 15, Some(&slow_one)),
            ("mismatch.test", 12, Some(&good)),
            ("open.test", 13, None),
            ("sender.test", 14, Some(&own)),
        ];
        for (domain, last, tlsa) in servers {
            let mx = format!("mx.{domain}.");
            dns = dns
                .zone(ZoneSpec::signed(&format!("{domain}.")))
                .mx(&format!("{domain}."), 10, &mx)
                .address(&mx, IpAddr::V4(host(last)));
            if let Some(issued) = tlsa {
                dns = dns.tlsa(&mx, port, &issued.tlsa_3_1_1());
            }
        }
        let dns = dns.start().await.unwrap();
        Self {
            dns,
            port,
            proved,
            slow,
            mismatch,
            open,
            sender,
            ca_pem: ca.root_pem(),
            ca,
            right_tlsa: bad.tlsa_3_1_1(),
            net,
        }
    }

    /// From now on `mismatch.test` publishes the key that its server has.
    pub(crate) fn heal_mismatch(&self) {
        let owner = format!("_{}._tcp.mx.mismatch.test.", self.port);
        let line = format!("{owner} TLSA {}", self.right_tlsa);
        self.dns.replace(&line).unwrap();
    }

    /// A loopback address that only this world uses.
    pub(crate) fn host(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.net[0], self.net[1], last)
    }
}

async fn sink(address: Ipv4Addr, port: u16, domain: &str, certificate: Option<&Issued>) -> Sink {
    let options = SinkOptions {
        host: format!("mx.{domain}"),
        certificate: certificate.cloned(),
        conduct: Conduct::Accept,
    };
    let address = SocketAddr::new(address.into(), port);
    Sink::start(address, options).await.unwrap()
}

/// Waits for a message in `sink` that is wanted.
pub(crate) async fn arrival(sink: &Sink, wanted: impl Fn(&Received) -> bool) -> Received {
    eventually("a message", || sink.messages().into_iter().find(&wanted)).await
}

/// Whether `octets` contain `wanted`.
pub(crate) fn contains(octets: &[u8], wanted: &str) -> bool {
    octets
        .windows(wanted.len())
        .any(|window| window == wanted.as_bytes())
}
