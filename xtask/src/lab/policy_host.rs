//! The host of MTA-STS policies, which takes reports about TLS by HTTPS as well, on 127.0.0.23:443.

use super::files::{Folder, wait_for_port};
use super::reports;
use crate::failure::Failure;

/// Starts it. A report that is posted lies in `reports`: `N.body`, and its Content-Type in `N.type`.
pub(super) fn start(folder: &Folder) -> Result<(), Failure> {
    for (host, policy) in reports::POLICIES {
        let site = folder.below(&format!("policy/{host}"))?;
        site.write("mta-sts.txt", policy)?;
    }
    folder.below("reports")?;
    folder.write("policy_host.py", SERVER)?;
    let start = format!("exec /usr/bin/python3 policy_host.py {}", reports::RECEIVER);
    folder.spawn(&start, "policy_host.log")?;
    wait_for_port("the policy host", "127.0.0.23:443")
}

const SERVER: &str = "\
import http.server, os, ssl, sys, uuid

RECEIVER = sys.argv[1]

class Site(http.server.BaseHTTPRequestHandler):
    def host(self):
        return self.headers.get('Host', '').split(':')[0]

    def answer(self, status, kind='text/plain', body=b''):
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        file = f'policy/{os.path.basename(self.host())}/mta-sts.txt'
        if self.path != '/.well-known/mta-sts.txt' or not os.path.exists(file):
            return self.answer(404)
        with open(file, 'rb') as policy:
            self.answer(200, body=policy.read())

    def do_POST(self):
        if (self.host(), self.path) != (RECEIVER, '/tls-reports'):
            return self.answer(404)
        body = self.rfile.read(int(self.headers['Content-Length']))
        name = f'reports/{uuid.uuid4().hex}'
        with open(f'{name}.type', 'w') as kind:
            kind.write(self.headers['Content-Type'])
        with open(f'{name}.part', 'wb') as part:
            part.write(body)
        os.rename(f'{name}.part', f'{name}.body')
        self.answer(201)

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64

server = Server(('127.0.0.23', 443), Site)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('certificates/policy-host.pem', 'certificates/policy-host.key')
# Each handshake in the thread of its connection: one that waits must not stop the others.
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
";
