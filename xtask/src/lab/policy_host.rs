//! The MTA-STS policy host of `sts.test`, on 127.0.0.23:443.

use super::files::{Folder, wait_for_port};
use crate::failure::Failure;

/// Starts it.
pub(super) fn start(folder: &Folder) -> Result<(), Failure> {
    let site = folder.below("policy/.well-known")?;
    let policy = "version: STSv1\r\nmode: enforce\r\nmx: mx.sts.test\r\nmax_age: 86400\r\n";
    site.write("mta-sts.txt", policy)?;
    folder.write("policy_host.py", SERVER)?;
    folder.spawn("exec /usr/bin/python3 policy_host.py", "policy_host.log")?;
    wait_for_port("the policy host", "127.0.0.23:443")
}

const SERVER: &str = "\
import http.server, ssl

class Site(http.server.SimpleHTTPRequestHandler):
    extensions_map = {'.txt': 'text/plain'}

    def __init__(self, *arguments):
        super().__init__(*arguments, directory='policy')

server = http.server.ThreadingHTTPServer(('127.0.0.23', 443), Site)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('certificates/policy-host.pem', 'certificates/policy-host.key')
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
";
