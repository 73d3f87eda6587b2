//! Postfix as the mail servers of every recipient domain: one master, one listener for each peer.

use super::files::{Folder, wait_for_port};
use super::peers::{Peer, Shows};
use super::zones::Zone;
use crate::failure::Failure;

/// Starts it. Mail for `x@d` lies in `mail/d/new`.
pub(super) fn start(folder: &Folder, peers: &[Peer], zones: &[Zone]) -> Result<(), Failure> {
    let home = folder.below("postfix")?;
    for part in ["etc", "queue", "data", "mail"] {
        home.below(part)?;
    }
    home.write("etc/main.cf", &main_settings(&home))?;
    home.write("etc/master.cf", &services(folder, peers))?;
    home.write("etc/domains", "/\\.test$/ OK\n")?;
    // So that the log says who greeted: a test tells its own sessions from those of others.
    home.write("etc/greetings", "/./ INFO greeted\n")?;
    home.write("etc/boxes", &boxes(zones))?;
    home.shell(
        "chmod 755 .. . etc; chown postfix data; chown nobody:nogroup mail; \
         postfix -c $PWD/etc start",
    )?;
    for peer in peers {
        wait_for_port(peer.name, &format!("{}:25", peer.address))?;
    }
    Ok(())
}

/// One maildir for each domain. (A map of boxes may not substitute, so each has its line.)
fn boxes(zones: &[Zone]) -> String {
    let line = |zone: &Zone| format!("/@{0}$/ {0}/\n", zone.apex);
    zones
        .iter()
        .filter(|zone| zone.apex.contains('.'))
        .map(line)
        .collect()
}

fn main_settings(home: &Folder) -> String {
    let home = home.text("");
    let home = home.trim_end_matches('/');
    format!(
        "compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.lab.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
biff = no
maillog_file = {home}/postfix.log
maillog_file_prefixes = {home}
message_size_limit = 67108864
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtpd_tls_loglevel = 1
smtpd_peername_lookup = no
smtpd_delay_reject = no
smtpd_helo_restrictions = check_helo_access regexp:{home}/etc/greetings
smtpd_recipient_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = regexp:{home}/etc/domains
virtual_mailbox_maps = regexp:{home}/etc/boxes
virtual_mailbox_base = {home}/mail
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
"
    )
}

fn services(folder: &Folder, peers: &[Peer]) -> String {
    let mut services = String::new();
    for peer in peers {
        services.push_str(&listener(folder, peer));
    }
    services + SERVICES
}

fn listener(folder: &Folder, peer: &Peer) -> String {
    let Peer {
        name,
        address,
        shows,
        names,
    } = peer;
    let host = names.first().copied().unwrap_or_default();
    let certificate = folder.text(&format!("certificates/{name}"));
    let level = if *shows == Shows::NoStartTls {
        "none"
    } else {
        "may"
    };
    format!(
        "{address}:25 inet n - n - - smtpd\n -o myhostname={host}\n -o syslog_name=postfix/{name}\n\
         \x20-o smtpd_tls_security_level={level}\n -o smtpd_tls_cert_file={certificate}.pem\n\
         \x20-o smtpd_tls_key_file={certificate}.key\n"
    )
}

const SERVICES: &str = "\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";
