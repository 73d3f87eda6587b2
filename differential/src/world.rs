//! Everything that a run needs: zones, mail servers, policy host, Postfix, and ourselves.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use securemail_core::vocab::Tlsa;
use securemail_testkit::ca::Issued;
use securemail_testkit::lab::Lab;
use securemail_testkit::sink::{Conduct, Sink, SinkOptions};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::case::{Case, Host};
use crate::certificates::{Authorities, Names, Shown};
use crate::ours::Ours;
use crate::postfix::Postfix;
use crate::socketmap::Resolver;
use crate::system::shell;
use crate::zones::{Placed, Zones};
use crate::{Options, Trouble, policy_host};

/// The first address of a mail server; each has its own.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 32, 0, 1);

/// What runs.
#[derive(Debug)]
pub(crate) struct World {
    /// The domains.
    pub(crate) cases: Vec<Case>,
    /// Their hosts, in the order of the cases.
    pub(crate) placed: Vec<Vec<Placed>>,
    /// We.
    pub(crate) ours: Ours,
    /// Postfix.
    pub(crate) postfix: Postfix,
    /// Another reader of policies.
    pub(crate) socketmap: Resolver,
    policy_host: JoinHandle<()>,
    sinks: Vec<Sink>,
    nsd: Child,
    folder: TempDir,
}

impl World {
    /// Sets everything up.
    ///
    /// # Errors
    /// Where something does not start.
    pub(crate) async fn start(options: &Options) -> Result<Self, Trouble> {
        let lab = Lab::here()?;
        let folder = TempDir::with_prefix("securemail-differential.")?;
        let pid = std::process::id();
        // Each mail server listens, and there may be thousands.
        let open = format!("chmod 755 .; prlimit --pid {pid} --nofile=$(ulimit -H -n):");
        shell(folder.path(), &open).await?;
        let authorities = Arc::new(Authorities::new()?);
        let roots: PathBuf = folder.path().join("roots.pem");
        fs::write(&roots, authorities.trusted_pem())?;
        let cases: Vec<Case> = options
            .ids
            .iter()
            .map(|id| Case::draw(options.seed, *id))
            .collect();
        let mut zones = Zones::default();
        let mut sinks = Vec::new();
        let mut placed = Vec::new();
        for case in &cases {
            let hosts = place(case, &authorities, &mut sinks).await?;
            zones.add(case, &hosts);
            placed.push(hosts);
        }
        let nsd = zones.serve(folder.path(), &lab.differential_key()).await?;
        Ok(Self {
            policy_host: policy_host::start(authorities.clone(), &cases).await?,
            postfix: Postfix::start(folder.path(), &roots).await?,
            socketmap: Resolver::start(folder.path(), &roots).await?,
            ours: Ours::new(&lab, &authorities.trusted_root())?,
            cases,
            placed,
            sinks,
            nsd,
            folder,
        })
    }

    /// Ends what was started.
    ///
    /// # Errors
    /// Where something does not end.
    pub(crate) async fn stop(self) -> Result<(), Trouble> {
        let Self {
            postfix,
            policy_host,
            sinks,
            mut nsd,
            folder,
            ..
        } = self;
        drop(sinks);
        policy_host.abort();
        nsd.kill().await?;
        postfix.stop().await?;
        Ok(folder.close()?)
    }
}

/// Starts the hosts of a case.
async fn place(
    case: &Case,
    authorities: &Authorities,
    sinks: &mut Vec<Sink>,
) -> Result<Vec<Placed>, Trouble> {
    let mut placed = Vec::new();
    for (index, host) in case.hosts.iter().enumerate() {
        let names = Names {
            host: case.host_name(index),
            last: case.final_name(index),
            domain: case.domain(),
        };
        // A host without STARTTLS has a chain all the same, of which its records speak.
        let chain = host.chain.unwrap_or(crate::case::Chain::ORDINARY);
        let shown = authorities.show(&chain, &names)?;
        let number = u32::try_from(sinks.len())?;
        let address = Ipv4Addr::from_bits(FIRST_ADDRESS.to_bits() + number);
        let options = SinkOptions {
            host: names.host,
            certificate: host.chain.map(|_| issued(&shown)),
            conduct: Conduct::Accept,
        };
        sinks.push(Sink::start((address, 25).into(), options).await?);
        placed.push(Placed { address, shown });
    }
    Ok(placed)
}

fn issued(shown: &Shown) -> Issued {
    Issued {
        chain_pem: shown.chain_pem(),
        key_pem: shown.key_pem.clone(),
        leaf_der: Vec::new(),
        spki_sha256: [0; 32],
    }
}

/// The records of a host as a decision reads them.
#[must_use]
pub(crate) fn tlsa(host: &Host, placed: &Placed) -> Vec<Tlsa> {
    host.tlsa
        .iter()
        .map(|record| Tlsa {
            usage: record.usage,
            selector: record.selector,
            matching: record.matching,
            data: placed.shown.association(record),
        })
        .collect()
}
