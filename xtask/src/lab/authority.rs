//! NSD, which serves every zone of the lab on 127.0.0.1, and on two more addresses that name servers need.

use super::files::{Folder, wait_for_port};
use super::model::NAME_SERVER;
use super::zones::Zone;
use crate::failure::Failure;

/// Starts it, without NSD's limit of 200 answers a second for each network: everybody here shares one.
pub(super) fn start(folder: &Folder, zones: &[Zone]) -> Result<(), Failure> {
    let home = folder.text("zones");
    let mut settings = format!(
        "server:\n ip-address: 127.0.0.1@53\n ip-address: {NAME_SERVER}@53\n ip-address: ::1@53\n zonesdir: \"{home}\"\n\
         \x20pidfile: \"{home}/nsd.pid\"\n zonelistfile: \"{home}/zone.list\"\n\
         \x20xfrdfile: \"{home}/xfrd.state\"\n xfrdir: \"{home}\"\n database: \"\"\n username: \"\"\n\
         \x20logfile: \"{home}/nsd.log\"\n server-count: 1\n\
         \x20rrl-ratelimit: 0\n rrl-whitelist-ratelimit: 0\n\
         remote-control:\n control-enable: no\n"
    );
    for zone in zones {
        let (apex, stem) = (zone.apex, zone.file_stem());
        settings.push_str(&format!(
            "zone:\n name: \"{apex}.\"\n zonefile: \"{stem}.zone\"\n"
        ));
    }
    folder.write("nsd.conf", &settings)?;
    folder.shell(&format!(
        "nsd-checkconf {0}; nsd -c {0}",
        folder.text("nsd.conf")
    ))?;
    wait_for_port("nsd", "127.0.0.1:53")
}
