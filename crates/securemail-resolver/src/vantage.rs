//! Servers of other operators, asked over TLS, so that one forged answer here is not seen there.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use securemail_core::backend::VantageView;
use securemail_core::vocab::{Answer, LookupFailure, Question, UnixTime};
use tokio::time::timeout;

use crate::exchange::ExchangeError;
use crate::settings::{BuildError, VantageSettings};
use crate::{exchange, reading, records, upstream};

/// One vantage. What it says is never more than insecure: its signatures are not checked here.
pub(crate) struct Vantage {
    server: SocketAddr,
    name: String,
    server_name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    limit: Duration,
}

impl fmt::Debug for Vantage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vantage")
            .field("server", &self.server)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Vantage {
    pub(crate) fn new(
        settings: &VantageSettings,
        roots: &Arc<RootCertStore>,
        limit: Duration,
    ) -> Result<Self, BuildError> {
        let server_name = ServerName::try_from(settings.name.clone())
            .map_err(|_| BuildError::VantageName(settings.name.clone()))?;
        Ok(Self {
            server: settings.server,
            name: settings.name.clone(),
            server_name,
            tls: Arc::new(client_config(Arc::clone(roots))?),
            limit,
        })
    }

    pub(crate) async fn view(&self, question: &Question, now: UnixTime) -> VantageView {
        let answer = match timeout(self.limit, self.ask(question, now)).await {
            Ok(answer) => answer,
            Err(_) => reading::failed(LookupFailure::Timeout, now),
        };
        VantageView {
            vantage: self.name.clone(),
            answer,
        }
    }

    async fn ask(&self, question: &Question, now: UnixTime) -> Answer {
        let Some(name) = records::absolute(&question.name) else {
            return reading::failed(LookupFailure::Malformed, now);
        };
        let request = exchange::request(name, records::record_type(question.kind));
        let (server, tls) = (self.server, Arc::clone(&self.tls));
        let answered = exchange::ask_tls(server, self.server_name.clone(), tls, &request).await;
        let message = match answered {
            Ok(message) => message,
            Err(ExchangeError::Malformed) => return reading::failed(LookupFailure::Malformed, now),
            Err(ExchangeError::Timeout) => return reading::failed(LookupFailure::Timeout, now),
            Err(ExchangeError::Unreachable(error)) => {
                tracing::debug!(vantage = %self.name, %error, "a vantage cannot be reached");
                return reading::failed(LookupFailure::Unusable, now);
            }
        };
        let mut answer = match upstream::failure_of(&message) {
            Some(failure) => reading::failed(failure, now),
            None => reading::read_unsigned(&message, question, now),
        };
        answer.extended_errors = upstream::extended_errors(&message);
        answer
    }
}

/// TLS as a client, without client certificate and without resumption.
pub(crate) fn client_config(roots: Arc<RootCertStore>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}
