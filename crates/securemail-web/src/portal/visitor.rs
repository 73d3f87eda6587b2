//! Who asks: address, language, cookies.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use super::Portal;
use crate::client;
use crate::words::{Language, Words};

const LANGUAGE_COOKIE: &str = "__Host-lang";

/// Who asks.
pub(super) struct Visitor {
    pub(super) client: IpAddr,
    pub(super) words: Arc<Words>,
    /// The language that was chosen with this request; it is kept in a cookie.
    pub(super) chosen: Option<Language>,
    /// Whether only text was asked for.
    pub(super) text_only: bool,
    headers: HeaderMap,
}

impl Visitor {
    /// The value of a cookie.
    pub(super) fn cookie(&self, name: &str) -> Option<&str> {
        cookie(&self.headers, name)
    }

    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The cookie that keeps a language that was chosen.
    pub(super) fn language_cookie(&self) -> Option<String> {
        let tag = self.chosen?.tag();
        Some(format!(
            "{LANGUAGE_COOKIE}={tag}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=31536000"
        ))
    }
}

impl FromRequestParts<Arc<Portal>> for Visitor {
    type Rejection = StatusCode;

    async fn from_request_parts(
        parts: &mut Parts,
        portal: &Arc<Portal>,
    ) -> Result<Self, StatusCode> {
        let Some(ConnectInfo(socket)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() else {
            tracing::error!("requests come without an address; serve the router with ConnectInfo");
            return Err(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let headers = parts.headers.clone();
        let forwarded = headers.get_all("x-forwarded-for").iter();
        let forwarded: Vec<&str> = forwarded
            .map(|value| value.to_str().unwrap_or("?"))
            .collect();
        let client = client::address(socket.ip(), &forwarded, &portal.settings.trusted_proxies);
        let query = parts.uri.query().unwrap_or("");
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let chosen = pairs.clone().find(|(key, _)| *key == "lang");
        let chosen = chosen.and_then(|(_, tag)| Language::of(tag));
        let text_only = pairs.any(|pair| pair == ("view", "text"));
        let kept = cookie(&headers, LANGUAGE_COOKIE).and_then(Language::of);
        let accepted = headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|field| field.to_str().ok());
        let language = chosen
            .or(kept)
            .or_else(|| accepted.and_then(Language::accepted))
            .unwrap_or(portal.settings.language);
        Ok(Self {
            client,
            words: portal
                .words(language)
                .ok_or(StatusCode::INTERNAL_SERVER_ERROR)?,
            chosen,
            text_only,
            headers,
        })
    }
}

impl Portal {
    fn words(&self, language: Language) -> Option<Arc<Words>> {
        let mut all = self.words.iter();
        all.find(|words| words.language() == language)
            .map(Arc::clone)
    }
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(header::COOKIE).iter();
    let fields = fields.filter_map(|field| field.to_str().ok());
    let mut pairs = fields
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}
