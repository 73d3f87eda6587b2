//! A recipient without a browser: follows the link, asks for the code, opens, downloads.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Response, StatusCode};
use rustls::pki_types::CertificateDer;

use crate::assemble::Trouble;

/// One visitor with his cookies.
pub struct Visitor {
    client: Client,
    origin: String,
    cookies: Vec<(String, String)>,
}

impl Visitor {
    /// A visitor of the portal at `web`, who trusts its certificate and no other.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(
        origin: &str,
        web: SocketAddr,
        certificate: CertificateDer<'static>,
    ) -> Result<Self, Trouble> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .resolve("localhost", web)
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            origin: origin.to_owned(),
            cookies: Vec::new(),
        })
    }

    /// GETs `url`, following where it leads.
    ///
    /// # Errors
    /// Where the portal does not answer with a page.
    pub async fn get(&mut self, url: &str) -> Result<Vec<u8>, Trouble> {
        let mut url = url.to_owned();
        for _ in 0..REDIRECTS_MAX {
            let response = self
                .client
                .get(&url)
                .header(COOKIE, self.cookie())
                .send()
                .await?;
            match self.next(response).await? {
                Next::Page(page) => return Ok(page),
                Next::Follow(path) => url = format!("{}{path}", self.origin),
            }
        }
        Err("the portal leads in a circle".into())
    }

    /// POSTs the fields to `path` with the token of `page`, and follows.
    ///
    /// # Errors
    /// Where the portal does not answer with a page.
    pub async fn post(
        &mut self,
        path: &str,
        page: &[u8],
        fields: &[(&str, &str)],
    ) -> Result<Vec<u8>, Trouble> {
        let page = String::from_utf8_lossy(page);
        let token = between(&page, "name=\"csrf\" value=\"", "\"").ok_or("a form without token")?;
        let mut form = vec![("csrf", token)];
        form.extend_from_slice(fields);
        let request = self.client.post(format!("{}{path}", self.origin));
        let response = request
            .header(COOKIE, self.cookie())
            .form(&form)
            .send()
            .await?;
        match self.next(response).await? {
            Next::Page(page) => Ok(page),
            Next::Follow(path) => self.get(&format!("{}{path}", self.origin)).await,
        }
    }

    async fn next(&mut self, response: Response) -> Result<Next, Trouble> {
        for set in response.headers().get_all(SET_COOKIE) {
            let pair = set.to_str()?.split(';').next().unwrap_or("");
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.retain(|(known, _)| known != name);
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        let status = response.status();
        if status == StatusCode::SEE_OTHER {
            let location = response.headers().get(LOCATION).ok_or("303 to nowhere")?;
            return Ok(Next::Follow(location.to_str()?.to_owned()));
        }
        let page = response.bytes().await?.to_vec();
        if status.is_success() {
            Ok(Next::Page(page))
        } else {
            Err(format!("the portal says {status}").into())
        }
    }

    fn cookie(&self) -> String {
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        pairs.join("; ")
    }
}

enum Next {
    Page(Vec<u8>),
    Follow(String),
}

/// What stands between two texts.
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?
        .1
        .split_once(after)
        .map(|(inner, _)| inner)
}

const REDIRECTS_MAX: usize = 5;
