//! Sends over HTTPS.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response};
use rustls::{ClientConfig, RootCertStore};
use securemail_core::BoxError;
use securemail_core::backend::{CodeMessage, Notifier, NotifyError, Receipt};

use crate::codes::lookup;
use crate::request::MessageRequest;
use crate::response::{ANSWER_OCTETS_MAX, code_in, read};
use crate::settings::{SettingsError, TwilioSettings};

/// Hands codes to Twilio.
///
/// Nothing is sent twice: there are no retries and no redirects, and where an answer is lost after the
/// request may have left, the error is `InDoubt`.
#[derive(Clone)]
pub struct TwilioNotifier {
    settings: TwilioSettings,
    client: Client,
}

impl TwilioNotifier {
    /// A notifier that trusts the roots of Mozilla.
    ///
    /// # Errors
    /// `Tls`.
    pub fn new(settings: TwilioSettings) -> Result<Self, SettingsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| SettingsError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self::with_tls(settings, tls)
    }

    /// A notifier with TLS as the program has it: roots, provider.
    ///
    /// # Errors
    /// `Tls`.
    pub fn with_tls(settings: TwilioSettings, tls: ClientConfig) -> Result<Self, SettingsError> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .user_agent(concat!("securemail/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| SettingsError::Tls)?;
        Ok(Self { settings, client })
    }

    async fn post(&self, request: MessageRequest) -> Result<Response, NotifyError> {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(request.form)
            .finish();
        let token = self.settings.auth_token.expose();
        self.client
            .post(request.url)
            .basic_auth(self.settings.account.as_str(), Some(token))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .map_err(failed)
    }
}

#[async_trait]
impl Notifier for TwilioNotifier {
    async fn notify(&self, message: &CodeMessage) -> Result<Receipt, NotifyError> {
        let request = MessageRequest::new(&self.settings, message)
            .map_err(|error| NotifyError::Unavailable(error.into()))?;
        let response = self.post(request).await?;
        let status = response.status().as_u16();
        let body = bounded_body(response).await?;
        let result = read(status, &body);
        if let Err(error) = &result {
            let code = code_in(&body);
            let advice = code.and_then(lookup).map_or("", |(_, advice)| advice);
            tracing::warn!(status, code, advice, %error, "Twilio did not take a code");
        }
        result
    }
}

/// Before there was a connection nothing can have left; after that, anything can.
fn failed(error: reqwest::Error) -> NotifyError {
    let nothing_left = error.is_connect() || error.is_builder();
    let cause: BoxError = error.without_url().into();
    if nothing_left {
        NotifyError::Unavailable(cause)
    } else {
        NotifyError::InDoubt(cause)
    }
}

async fn bounded_body(mut response: Response) -> Result<Vec<u8>, NotifyError> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        // What is cut does not parse, and then counts as unclear.
        let room = ANSWER_OCTETS_MAX.saturating_sub(body.len());
        body.extend(piece.iter().take(room));
        if room < piece.len() {
            break;
        }
    }
    Ok(body)
}

impl fmt::Debug for TwilioNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TwilioNotifier(..)")
    }
}
