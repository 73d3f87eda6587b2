//! A small Internet in one process: signed DNS, and mail servers good and bad.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use securemail_testkit::ca::{Issued, TestCa};
use securemail_testkit::dns::{RunningDns, SignedDns, ZoneSpec};
use securemail_testkit::sink::{Conduct, Sink, SinkOptions};

use crate::assemble::Trouble;

/// The servers of the demo. Dropping it ends them.
pub struct World {
    pub dns: RunningDns,
    /// One port for all of them, each on its own loopback address.
    pub port: u16,
    /// Takes mail, with a TLSA record that matches.
    pub proved: Sink,
    /// Takes mail, with a TLSA record that does not match.
    pub mismatch: Sink,
    /// Takes mail without TLS.
    pub open: Sink,
    /// The sender's own server, for reports; nobody looks into it.
    _sender: Sink,
    /// The root that no certificate here needs, as PEM: DANE-EE asks for none.
    pub ca_pem: String,
}

const PROVED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const MISMATCH: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 12);
const OPEN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 13);
const SENDER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 14);

impl World {
    /// Starts everything on free ports of loopback.
    ///
    /// # Errors
    /// Where a socket or key cannot be had.
    pub async fn start() -> Result<Self, Trouble> {
        let ca = TestCa::new()?;
        let certificate = |host: &str| ca.issue(&[host]);
        let (good, bad) = (
            certificate("mx.proved.test")?,
            certificate("mx.mismatch.test")?,
        );
        let own = certificate("mx.sender.test")?;
        let proved = sink(PROVED, 0, "mx.proved.test", Some(&good)).await?;
        let port = proved.address().port();
        let mismatch = sink(MISMATCH, port, "mx.mismatch.test", Some(&bad)).await?;
        let open = sink(OPEN, port, "mx.open.test", None).await?;
        let sender = sink(SENDER, port, "mx.sender.test", Some(&own)).await?;
        let dns = SignedDns::new()
            .zone(ZoneSpec::signed("test."))
            .zone(ZoneSpec::signed("proved.test."))
            .zone(ZoneSpec::signed("mismatch.test."))
            .zone(ZoneSpec::signed("open.test."))
            .zone(ZoneSpec::signed("sender.test."))
            .mx("proved.test.", 10, "mx.proved.test.")
            .address("mx.proved.test.", IpAddr::V4(PROVED))
            .tlsa("mx.proved.test.", port, &good.tlsa_3_1_1())
            .mx("mismatch.test.", 10, "mx.mismatch.test.")
            .address("mx.mismatch.test.", IpAddr::V4(MISMATCH))
            .tlsa("mx.mismatch.test.", port, &good.tlsa_3_1_1())
            .mx("open.test.", 10, "mx.open.test.")
            .address("mx.open.test.", IpAddr::V4(OPEN))
            .mx("sender.test.", 10, "mx.sender.test.")
            .address("mx.sender.test.", IpAddr::V4(SENDER))
            .tlsa("mx.sender.test.", port, &own.tlsa_3_1_1())
            .start()
            .await?;
        Ok(Self {
            dns,
            port,
            proved,
            mismatch,
            open,
            _sender: sender,
            ca_pem: ca.root_pem(),
        })
    }
}

async fn sink(
    address: Ipv4Addr,
    port: u16,
    host: &str,
    certificate: Option<&Issued>,
) -> io::Result<Sink> {
    let options = SinkOptions {
        host: host.to_owned(),
        certificate: certificate.cloned(),
        conduct: Conduct::Accept,
    };
    Sink::start(SocketAddr::new(address.into(), port), options).await
}
