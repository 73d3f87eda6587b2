//! Mail servers of other makers, each on an address of its own: Exim, aiosmtpd, OpenSMTPD, and the server of
//! the Nodemailer project.

use super::files::{Folder, wait_for_port};
use super::peers::{self, Other};
use crate::components::{UNPACKED, node_folder};
use crate::failure::Failure;

/// Starts them. Mail for `x@d` lies in the same mailboxes as Postfix's, `mail/d/new`.
pub(super) fn start(folder: &Folder) -> Result<(), Failure> {
    for other in &peers::OTHERS {
        let Other { name, address, .. } = other;
        let mailbox = folder.text(&format!("postfix/mail/{name}.test"));
        let home = folder.below(name)?;
        let certificate = folder.text(&format!("certificates/{name}"));
        home.shell(&format!(
            "cp {certificate}.pem cert.pem; cp {certificate}.key key.pem; \
             mkdir -p {mailbox}/new {mailbox}/cur {mailbox}/tmp; chown -R nobody:nogroup {mailbox}"
        ))?;
        match *name {
            "exim" => exim(&home, other, &mailbox)?,
            "aiosmtpd" => aiosmtpd(&home, other, &mailbox)?,
            "nodemailer" => nodemailer(&home, other, &mailbox)?,
            _ => opensmtpd(&home, other)?,
        }
        wait_for_port(name, &format!("{address}:25"))?;
    }
    Ok(())
}

/// With settings that are not its own it gives up root, so all is done as its user.
fn exim(home: &Folder, other: &Other, mailbox: &str) -> Result<(), Failure> {
    let Other { address, host, .. } = other;
    let here = home.text("");
    home.write(
        "exim.conf",
        &format!(
            "exim_path = {UNPACKED}/usr/sbin/exim4
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = {here}spool
log_file_path = {here}%s.log
pid_file_path = {here}pid
primary_hostname = {host}
local_interfaces = {address}.25
daemon_smtp_ports = 25
tls_advertise_hosts = *
tls_certificate = {here}cert.pem
tls_privatekey = {here}key.pem
keep_environment =
message_size_limit = 100M
acl_smtp_rcpt = here
begin acl
here:
  accept domains = exim.test
  deny
begin routers
everybody:
  driver = accept
  transport = mailbox
begin transports
mailbox:
  driver = appendfile
  directory = {mailbox}
  maildir_format
  user = Debian-exim
  group = Debian-exim
"
        ),
    )?;
    home.shell(&format!(
        "mkdir -p spool; chmod 755 .; chown -R Debian-exim spool .; chmod 640 key.pem; \
         chown root exim.conf; chmod 644 exim.conf; chown -R Debian-exim {mailbox}; \
         {UNPACKED}/usr/sbin/exim4 -C {here}exim.conf -bd -q5s"
    ))?;
    Ok(())
}

fn aiosmtpd(home: &Folder, other: &Other, mailbox: &str) -> Result<(), Failure> {
    let Other { address, host, .. } = other;
    home.write("receiver.py", RECEIVER)?;
    home.spawn(
        &format!("exec /usr/bin/python3 receiver.py {address} {host} {mailbox}"),
        "receiver.log",
    )
}

/// The one that speaks REQUIRETLS.
fn nodemailer(home: &Folder, other: &Other, mailbox: &str) -> Result<(), Failure> {
    let Other { address, host, .. } = other;
    home.write("receiver.js", NODE_RECEIVER)?;
    let modules = node_folder()?.join("node_modules").display().to_string();
    home.spawn(
        &format!("NODE_PATH='{modules}' exec /usr/bin/node receiver.js {address} {host} {mailbox}"),
        "receiver.log",
    )
}

/// This one breaks off every TLS handshake (seen with 6.8.0p2 and OpenSSL 3), which is what it is for. Its
/// spool has one place, so each lab mounts its own there.
fn opensmtpd(home: &Folder, other: &Other) -> Result<(), Failure> {
    let Other { address, host, .. } = other;
    let here = home.text("");
    home.write(
        "smtpd.conf",
        &format!(
            "pki lab cert \"{here}cert.pem\"\npki lab key \"{here}key.pem\"\n\
             listen on {address} port 25 tls pki lab hostname {host}\n\
             action \"local\" mbox virtual {{ \"@\" = nobody }}\n\
             match from any for domain \"opensmtpd.test\" action \"local\"\n"
        ),
    )?;
    home.shell(
        "chmod 711 .; chmod 600 key.pem; mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd; \
         mount -t tmpfs -o mode=711 spool /var/spool/smtpd; \
         chmod 711 /var/spool/smtpd",
    )?;
    // Its socket and its queue have fixed places, which another lab may hold.
    home.spawn(
        &format!(
            "exec unshare --mount sh -euc 'mount -t tmpfs none /run; \
             mount -t tmpfs -o mode=711 none /var/spool/smtpd; \
             exec {UNPACKED}/usr/sbin/smtpd -d -f {here}smtpd.conf'"
        ),
        "smtpd.log",
    )
}

/// Takes mail after STARTTLS only; some recipients fare worse.
const RECEIVER: &str = "\
import asyncio, os, ssl, sys, uuid
from aiosmtpd.controller import Controller

address, host, mailbox = sys.argv[1:]

class Handler:
    async def handle_RCPT(self, server, session, envelope, recipient, options):
        who = recipient.split('@')[0]
        if who == 'refused':
            return '550 5.1.1 no such mailbox'
        if who == 'later':
            return '451 4.2.1 not now'
        envelope.rcpt_tos.append(recipient)
        return '250 2.1.5 ok'

    async def handle_DATA(self, server, session, envelope):
        who = envelope.rcpt_tos[0].split('@')[0]
        if who == 'policy':
            return '554 5.7.1 not this message'
        name = uuid.uuid4().hex
        with open(f'{mailbox}/tmp/{name}', 'wb') as file:
            file.write(envelope.original_content)
        os.rename(f'{mailbox}/tmp/{name}', f'{mailbox}/new/{name}')
        return '250 2.0.0 kept'

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('cert.pem', 'key.pem')
controller = Controller(Handler(), hostname=address, port=25, server_hostname=host,
                        tls_context=context, require_starttls=True, data_size_limit=100 << 20,
                        ready_timeout=60)
controller.start()
asyncio.new_event_loop().run_forever()
";

/// Takes mail after STARTTLS only, and writes down what MAIL demanded.
const NODE_RECEIVER: &str = "\
const fs = require('fs');
const { SMTPServer } = require('smtp-server');
const [address, host, mailbox] = process.argv.slice(2);
let count = 0;
const server = new SMTPServer({
  name: host,
  key: fs.readFileSync('key.pem'),
  cert: fs.readFileSync('cert.pem'),
  hideREQUIRETLS: false,
  authOptional: true,
  disabledCommands: ['AUTH'],
  disableReverseLookup: true,
  onMailFrom(from, session, done) {
    if (!session.secure) return done(Object.assign(new Error('TLS first'), { responseCode: 530 }));
    done();
  },
  onData(stream, session, done) {
    const parts = [];
    stream.on('data', part => parts.push(part));
    stream.on('end', () => {
      const { requireTLS, rcptTo } = session.envelope;
      console.log(JSON.stringify({ requireTLS, to: rcptTo.map(one => one.address) }));
      const name = `${process.pid}.${count++}`;
      fs.writeFileSync(`${mailbox}/tmp/${name}`, Buffer.concat(parts));
      fs.renameSync(`${mailbox}/tmp/${name}`, `${mailbox}/new/${name}`);
      done(null, '2.0.0 kept');
    });
  },
});
server.listen(25, address);
";
