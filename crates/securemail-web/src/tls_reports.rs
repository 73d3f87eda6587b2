//! Where others post their reports about TLS (RFC 8460, section 5.4).

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use securemail_core::drive::{TlsInbox, TlsInboxError};
use securemail_core::limits::TLS_REPORT_POST_OCTETS_MAX;

/// A router with one place, `POST /tls-reports`. Publish it as
/// `_smtp._tls.<domain> TXT "v=TLSRPTv1; rua=https://<host>/tls-reports"`.
pub fn tls_report_router(inbox: Arc<TlsInbox>) -> Router {
    Router::new()
        .route("/tls-reports", post(take))
        .layer(DefaultBodyLimit::max(TLS_REPORT_POST_OCTETS_MAX))
        .with_state(inbox)
}

async fn take(
    State(inbox): State<Arc<TlsInbox>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    if !is_report(&headers) {
        let words = "send application/tlsrpt+gzip or application/tlsrpt+json\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, words.to_owned());
    }
    let status = match inbox.take(&body).await {
        Ok(()) => return (StatusCode::CREATED, String::new()),
        Err(error) => match &error {
            TlsInboxError::Store(cause) => {
                tracing::warn!(%cause, "a report about TLS could not be kept");
                (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
            TlsInboxError::NotOurs => (StatusCode::NOT_FOUND, error.to_string()),
            _ => (StatusCode::BAD_REQUEST, error.to_string()),
        },
    };
    (status.0, format!("{}\n", status.1))
}

/// RFC 8460, sections 6.4 and 6.5.
fn is_report(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    ["application/tlsrpt+gzip", "application/tlsrpt+json"]
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known))
}
