//! nginx in front of the portal, as an operator would put it there.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::relay::{Relay, eventually};

/// Where the proxy comes from when it asks the portal.
pub(crate) const COMES_FROM: &str = "127.0.0.99";

/// A running nginx. It ends with its value.
pub(crate) struct Proxy(Child);

impl Proxy {
    /// Starts it at `at`, with the certificate of the relay.
    pub(crate) fn start(relay: &Relay, at: SocketAddr) -> Self {
        let home = relay.folder.path().join("nginx");
        fs::create_dir_all(&home).unwrap();
        let settings = settings(relay, at);
        fs::write(home.join("nginx.conf"), settings).unwrap();
        let child = Command::new("/usr/sbin/nginx")
            .arg("-p")
            .arg(&home)
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let proxy = Self(child);
        eventually("nginx listens", || std::net::TcpStream::connect(at).is_ok());
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// One process in the foreground. It asks the portal over TLS that it verifies.
fn settings(relay: &Relay, at: SocketAddr) -> String {
    let tls = relay.data_dir().join("tls");
    let (tls, web) = (tls.display(), relay.web());
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
events {{}}
http {{
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {{
    listen {at} ssl;
    ssl_certificate {tls}/self-signed.pem;
    ssl_certificate_key {tls}/self-signed.key;
    location / {{
      proxy_pass https://{web};
      proxy_bind {COMES_FROM};
      proxy_ssl_verify on;
      proxy_ssl_name localhost;
      proxy_ssl_server_name on;
      proxy_ssl_trusted_certificate {tls}/self-signed.pem;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
"
    )
}
