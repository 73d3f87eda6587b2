//! A visitor of the portal without a browser: cookies, tokens of forms, redirects; from any address.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use rustls::pki_types::CertificateDer;

/// One visitor with his cookies.
pub(crate) struct Visitor {
    client: Client,
    origin: String,
    cookies: BTreeMap<String, String>,
    forwarded: Option<String>,
}

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) octets: Vec<u8>,
}

impl Page {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.octets).into_owned()
    }

    /// Whether all these words stand on it.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.text().contains(words)
    }
}

impl Visitor {
    /// A visitor of the portal at `web` who comes from `from`.
    pub(crate) fn new(
        origin: &str,
        web: SocketAddr,
        certificate: &CertificateDer<'static>,
        from: IpAddr,
    ) -> Self {
        let client = Client::builder()
            .tls_backend_preconfigured(client_config(certificate))
            .redirect(reqwest::redirect::Policy::none())
            .resolve("localhost", web)
            .local_address(from)
            .no_proxy()
            .build()
            .unwrap();
        Self {
            client,
            origin: origin.to_owned(),
            cookies: BTreeMap::new(),
            forwarded: None,
        }
    }

    /// From now on his requests carry this `X-Forwarded-For`.
    pub(crate) fn forwarded_for(&mut self, value: &str) -> &mut Self {
        self.forwarded = Some(value.to_owned());
        self
    }

    /// Forgets all cookies.
    pub(crate) fn forget(&mut self) {
        self.cookies.clear();
    }

    /// GETs an address or a path, following where it leads.
    pub(crate) async fn get(&mut self, url: &str) -> Page {
        let mut url = self.absolute(url);
        for _ in 0..5 {
            let response = self.send(self.client.get(&url)).await;
            match self.next(response).await {
                Ok(page) => return page,
                Err(path) => url = self.absolute(&path),
            }
        }
        panic!("the portal leads in a circle: {url}");
    }

    /// POSTs the fields to `path` with the token of `page`, and follows.
    pub(crate) async fn post(&mut self, path: &str, page: &Page, fields: &[(&str, &str)]) -> Page {
        let text = page.text();
        let token = between(&text, "name=\"csrf\" value=\"", "\"")
            .unwrap_or_else(|| panic!("no form on the page: {text}"));
        let mut form = vec![("csrf", token)];
        form.extend_from_slice(fields);
        let request = self.client.post(self.absolute(path)).form(&form);
        let response = self.send(request).await;
        match self.next(response).await {
            Ok(page) => page,
            Err(path) => self.get(&path).await,
        }
    }

    fn absolute(&self, url: &str) -> String {
        if url.starts_with('/') {
            format!("{}{url}", self.origin)
        } else {
            url.to_owned()
        }
    }

    async fn send(&self, mut request: RequestBuilder) -> Response {
        if let Some(forwarded) = &self.forwarded {
            request = request.header("x-forwarded-for", forwarded);
        }
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        let request = request
            .header(COOKIE, cookies.join("; "))
            .header("accept-language", "en");
        request.send().await.unwrap()
    }

    /// A page, or where to go next.
    async fn next(&mut self, response: Response) -> Result<Page, String> {
        for set in response.headers().get_all(SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let status = response.status();
        if status == StatusCode::SEE_OTHER {
            let location = response.headers().get(LOCATION).unwrap();
            return Err(location.to_str().unwrap().to_owned());
        }
        let octets = response.bytes().await.unwrap().to_vec();
        Ok(Page { status, octets })
    }
}

/// TLS that trusts this certificate and no other.
pub(crate) fn client_config(certificate: &CertificateDer<'static>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// What stands between two texts.
pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?
        .1
        .split_once(after)
        .map(|(inner, _)| inner)
}

/// The first link in a mail that is quoted-printable (RFC 2045, section 6.7): any octet of it may be
/// written as its number, and lines are broken within it.
pub(crate) fn link_in(mail: &[u8]) -> Option<String> {
    let text = unquoted(&String::from_utf8_lossy(mail));
    let link = text.split_once("https://")?.1;
    let end = link.find(|c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>'))?;
    Some(format!("https://{}", &link[..end]))
}

fn unquoted(text: &str) -> String {
    let text = text.replace("=\r\n", "").replace("=\n", "");
    let mut parts = text.split('=');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let octet = part.get(..2).map(|digits| u8::from_str_radix(digits, 16));
        if let Some(Ok(octet)) = octet {
            whole.push(char::from(octet));
            whole.push_str(&part[2..]);
        } else {
            whole.push('=');
            whole.push_str(part);
        }
    }
    whole
}
