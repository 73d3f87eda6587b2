//! Two Unbounds that validate: the resolver of this machine, and a vantage over TLS.

use super::files::{Folder, wait_for, wait_for_port};
use crate::failure::Failure;

/// The resolver that `/etc/resolv.conf` names.
pub(super) const RESOLVER: &str = "127.0.0.53";
/// The other one, on port 853 with a certificate for `vantage.test`.
pub(super) const VANTAGE: &str = "127.0.0.54";

/// Starts both and makes the first the machine's own.
pub(super) fn start(folder: &Folder) -> Result<(), Failure> {
    folder.write(
        "root.hints",
        ". 3600 NS ns.test.\nns.test. 3600 A 127.0.0.1\n",
    )?;
    start_one(folder, "resolver", RESOLVER, "")?;
    let certificate = folder.text("certificates/vantage");
    let tls = format!(
        " interface: {VANTAGE}@853\n tls-port: 853\n tls-service-key: \"{certificate}.key\"\n\
         \x20tls-service-pem: \"{certificate}.pem\"\n"
    );
    start_one(folder, "vantage", VANTAGE, &tls)?;
    wait_for_port("the vantage", "127.0.0.54:853")?;
    folder.write(
        "resolv.conf",
        &format!("nameserver {RESOLVER}\noptions trust-ad edns0\n"),
    )?;
    // Postfix reads it as another user.
    folder.shell("chmod 644 resolv.conf; mount --bind resolv.conf /etc/resolv.conf")?;
    wait_for("a validated answer", || answers_secure(folder))
}

fn answers_secure(folder: &Folder) -> bool {
    let answer = folder.shell("dig +dnssec +time=1 +tries=1 dane.test MX");
    answer.is_ok_and(|text| text.contains("NOERROR") && text.contains(" ad;"))
}

/// Times to live are short, so that a test can change a record and see it.
fn start_one(folder: &Folder, name: &str, address: &str, more: &str) -> Result<(), Failure> {
    let home = folder.text("");
    let settings = format!(
        "server:\n interface: {address}@53\n{more} do-ip6: no\n incoming-num-tcp: 100\n username: \"\"\n chroot: \"\"\n\
         \x20directory: \"{home}\"\n pidfile: \"{home}/{name}.pid\"\n logfile: \"{home}/{name}.log\"\n\
         \x20use-syslog: no\n num-threads: 1\n msg-cache-size: 1m\n rrset-cache-size: 1m\n\
         \x20module-config: \"validator iterator\"\n trust-anchor-file: \"{home}/root.key\"\n\
         \x20root-hints: \"{home}/root.hints\"\n do-not-query-localhost: no\n\
         \x20local-zone: \"test.\" nodefault\n val-log-level: 2\n log-servfail: yes\n ede: yes\n\
         \x20cache-max-ttl: 5\n cache-max-negative-ttl: 1\n val-bogus-ttl: 1\n access-control: 127.0.0.0/8 allow\n\
         remote-control:\n control-enable: no\n"
    );
    let file = format!("{name}.conf");
    folder.write(&file, &settings)?;
    folder.shell(&format!("unbound -c {}", folder.text(&file)))?;
    Ok(())
}
