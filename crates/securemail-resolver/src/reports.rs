//! Reports about TLS over HTTPS (RFC 8460, section 5.4), posted to whoever asks for them.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use securemail_core::backend::{FetchError, PostError, ReportPoster};
use securemail_core::tlsrpt::HttpsUri;
use tokio::time::timeout;

use crate::policy::PolicyClient;

/// Posts reports with the same guard as policies are fetched: our own resolver, public addresses only,
/// certificates of trusted roots, no redirect, no proxy.
#[derive(Debug)]
pub struct ReportClient(PolicyClient);

impl ReportClient {
    /// Posts as `client` fetches.
    #[must_use]
    pub const fn new(client: PolicyClient) -> Self {
        Self(client)
    }

    async fn send(&self, to: &HttpsUri, report: Bytes) -> Result<(), PostError> {
        let addresses = self
            .0
            .addresses(to.host())
            .await
            .map_err(|error| of_fetch(&error))?;
        let client = self
            .0
            .client(to.host(), &addresses)
            .map_err(|error| of_fetch(&error))?;
        let port = to.port().unwrap_or(self.0.port());
        let url = format!("https://{}:{port}{}", to.host(), to.path());
        let answer = client
            .post(url)
            .header(CONTENT_TYPE, "application/tlsrpt+gzip")
            .body(report)
            .send()
            .await
            .map_err(|error| of_fetch(&crate::policy::cause(&error)))?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(PostError::Status(answer.status().as_u16()))
        }
    }
}

#[async_trait]
impl ReportPoster for ReportClient {
    async fn post(&self, to: &HttpsUri, report: Bytes) -> Result<(), PostError> {
        timeout(POST_MAX, self.send(to, report))
            .await
            .map_err(|_| PostError::Unreachable)?
    }
}

fn of_fetch(error: &FetchError) -> PostError {
    match error {
        FetchError::Certificate => PostError::Certificate,
        FetchError::NoAddress => PostError::NoAddress,
        FetchError::Status(status) => PostError::Status(*status),
        _ => PostError::Unreachable,
    }
}

/// A receiver answers before it looks at the report (section 5.4), so this is much.
const POST_MAX: Duration = Duration::from_mins(1);
