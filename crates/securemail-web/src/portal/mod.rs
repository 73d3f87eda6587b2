//! The router of the portal, and what every page of it keeps to.

mod cookie;
mod page;
mod phone;
mod reading;
mod recipient;
mod sender;
mod visitor;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use securemail_core::backend::{Entropy, KeyError, MasterKey};
use securemail_core::drive::pickup::PickupService;
use securemail_core::limits::{FORM_OCTETS_MAX, PORTAL_MESSAGE_OCTETS_MAX};
use securemail_core::route::Network;
use securemail_core::seal::RecordCipher;
use securemail_core::vocab::VaultId;
use tokio::sync::Semaphore;

#[doc(hidden)]
pub use self::phone::number_of;
use self::visitor::Visitor;
use crate::theme::Theme;
use crate::words::{Language, Words, WordsError};

/// Messages that are taken apart at once; each may need [`PORTAL_MESSAGE_OCTETS_MAX`] a few times.
const TAKEN_APART_AT_ONCE: usize = 4;

/// What a portal works with.
#[derive(Clone, Debug)]
pub struct PortalParts {
    /// Runs the pickups.
    pub service: Arc<PickupService>,
    /// The key from which that of the cookies is derived.
    pub master: Arc<dyn MasterKey>,
    /// Gives randomness to the sealing of cookies.
    pub entropy: Arc<dyn Entropy>,
    /// Reads what the carrier reports, if it does.
    pub callbacks: Option<Arc<dyn CarrierCallbacks>>,
    /// What the operator settled.
    pub settings: PortalSettings,
}

/// What the operator settled about the portal.
#[derive(Clone, Debug)]
pub struct PortalSettings {
    /// How it looks.
    pub theme: Theme,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// The language where a visitor wants none that there is.
    pub language: Language,
    /// The country (ISO 3166) of numbers that are written without one.
    pub country: String,
    /// The countries that codes are sent to.
    pub countries: Vec<String>,
    /// Octets of a message that is shown; a larger one is saved whole.
    /// [`PORTAL_MESSAGE_OCTETS_MAX`] at most.
    pub message_octets: usize,
}

impl PortalSettings {
    /// The defaults: Dutch, and codes to the Netherlands and their neighbours.
    #[must_use]
    pub fn new(theme: Theme) -> Self {
        Self {
            theme,
            trusted_proxies: Vec::new(),
            language: Language::Dutch,
            country: "NL".to_owned(),
            countries: ["NL", "BE", "DE", "FR", "LU"].map(str::to_owned).to_vec(),
            message_octets: PORTAL_MESSAGE_OCTETS_MAX,
        }
    }
}

/// Reads what a carrier reports at `/callback/sms`.
#[async_trait]
pub trait CarrierCallbacks: fmt::Debug + Send + Sync + 'static {
    /// Checks that it comes from the carrier, and says what it is. `url` is the public address that was
    /// called, built from the settings and never from the request's `Host`.
    async fn receive(&self, url: &str, headers: &HeaderMap, body: &[u8]) -> CallbackAnswer;
}

/// What a carrier reported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CallbackAnswer {
    /// It does not come from the carrier.
    Forged,
    /// Nothing that anybody needs to do something about.
    Taken,
    /// The number of this message cannot receive codes.
    Undeliverable(VaultId),
}

/// A portal cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortalError {
    /// The country of the settings is none.
    #[error("the country is not a code of ISO 3166, such as NL")]
    Country,
    /// The key of the cookies cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The words cannot be read.
    #[error(transparent)]
    Words(#[from] WordsError),
}

/// What the handlers share.
#[derive(Debug)]
struct Portal {
    service: Arc<PickupService>,
    cookies: RecordCipher,
    entropy: Arc<dyn Entropy>,
    callbacks: Option<Arc<dyn CarrierCallbacks>>,
    settings: PortalSettings,
    css: String,
    words: Vec<Arc<Words>>,
    taking_apart: Semaphore,
}

/// The router of the portal.
///
/// # Errors
/// Where the settings cannot be used, or the master key not now.
pub async fn portal_router(parts: PortalParts) -> Result<Router, PortalError> {
    let PortalParts {
        service,
        master,
        entropy,
        callbacks,
        settings,
    } = parts;
    if !phone::is_country(&settings.country) {
        return Err(PortalError::Country);
    }
    let words: Result<_, WordsError> = Language::ALL
        .into_iter()
        .map(|language| Words::of(language).map(Arc::new))
        .collect();
    let portal = Arc::new(Portal {
        service,
        cookies: RecordCipher::new(master.derive("portal/cookie").await?),
        entropy,
        callbacks,
        css: settings.theme.css(),
        settings,
        words: words?,
        taking_apart: Semaphore::new(TAKEN_APART_AT_ONCE),
    });
    Ok(Router::new()
        .route("/m/{id}/{secret}", get(recipient::follow))
        .route("/b/{id}", get(recipient::show))
        .route("/b/{id}/code", post(recipient::request_code))
        .route("/b/{id}/open", post(recipient::verify))
        .route("/b/{id}/number", post(recipient::not_my_number))
        .route("/b/{id}/body", get(reading::body))
        .route("/b/{id}/file/{number}", get(reading::file))
        .route("/b/{id}/message.eml", get(reading::whole))
        .route(
            "/b/{id}/destroy",
            get(reading::ask_destroy).post(reading::destroy),
        )
        .route("/b/{id}/close", post(reading::close))
        .route("/s/{token}", get(sender::show))
        .route("/s/{token}/number", post(sender::number))
        .route("/s/{token}/release", post(sender::release))
        .route("/s/{token}/notice", post(sender::renew_notice))
        .route("/callback/sms", post(callback))
        .route("/portal.css", get(css))
        .route("/robots.txt", get(robots))
        .route("/healthz", get(async || "ok\n"))
        .fallback(nothing_here)
        .method_not_allowed_fallback(nothing_here)
        .layer(DefaultBodyLimit::max(FORM_OCTETS_MAX))
        .layer(middleware::from_fn(same_origin))
        .layer(middleware::map_response(keep_headers))
        .with_state(portal))
}

async fn nothing_here(State(portal): State<Arc<Portal>>, visitor: Visitor) -> Response {
    portal.unknown(&visitor)
}

async fn css(State(portal): State<Arc<Portal>>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, portal.css.clone()).into_response()
}

async fn robots() -> &'static str {
    "User-agent: *\nDisallow: /\n"
}

async fn callback(
    State(portal): State<Arc<Portal>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let Some(callbacks) = &portal.callbacks else {
        return StatusCode::NOT_FOUND;
    };
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    let url = format!("{}{target}", portal.service.settings().url);
    match callbacks.receive(&url, &headers, &body).await {
        CallbackAnswer::Forged => StatusCode::FORBIDDEN,
        CallbackAnswer::Taken => StatusCode::NO_CONTENT,
        CallbackAnswer::Undeliverable(id) => match portal.service.code_undeliverable(id).await {
            Ok(()) => StatusCode::NO_CONTENT,
            Err(error) => {
                tracing::warn!(vault = %id, %error, "a carrier's report could not be written down");
                StatusCode::SERVICE_UNAVAILABLE
            }
        },
    }
}

/// A browser says where a request comes from; what another site sends is refused, before any cookie or
/// token is looked at. Older browsers say nothing; for them there are the tokens in the forms.
async fn same_origin(request: Request, next: Next) -> Response {
    let site = request.headers().get("sec-fetch-site");
    let from_elsewhere = site.is_some_and(|site| site != "same-origin");
    if request.method() == Method::POST && from_elsewhere {
        return StatusCode::FORBIDDEN.into_response();
    }
    next.run(request).await
}

/// What every answer carries. A handler that set one of them knows better.
async fn keep_headers(mut response: Response) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; frame-src 'self'; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=()",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            HeaderName::from_static("x-robots-tag"),
            "noindex, nofollow, noarchive",
        ),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}
