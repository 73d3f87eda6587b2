//! Pages: what all have in common, and those that only say something.

use std::sync::Arc;

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use securemail_core::drive::pickup::PickupError;
use securemail_core::pickup::Facts;

use super::Portal;
use super::visitor::Visitor;
use crate::words::{Language, Words};

/// What every page needs.
pub(super) struct Frame {
    pub(super) words: Arc<Words>,
    pub(super) brand: String,
    /// Where the language links lead: the page itself, or the one that showed the form.
    pub(super) path: String,
    /// What went wrong, if something did: it is said on top and in the title.
    pub(super) error: Option<Wrong>,
}

/// What went wrong.
pub(super) struct Wrong {
    /// In words.
    pub(super) said: String,
    /// The field that it is about, if it is about one.
    pub(super) field: Option<&'static str>,
}

impl Frame {
    pub(super) const fn languages(&self) -> [Language; 2] {
        Language::ALL
    }

    /// Whether the page is in this language.
    pub(super) fn speaks(&self, language: Language) -> bool {
        self.words.language() == language
    }

    /// What is wrong with this field, if something is.
    pub(super) fn wrong(&self, field: &str) -> Option<&str> {
        let wrong = self.error.as_ref()?;
        (wrong.field == Some(field)).then_some(wrong.said.as_str())
    }
}

/// A page that says something.
#[derive(Template)]
#[template(path = "said.html")]
struct Said {
    frame: Frame,
    title: String,
    texts: Vec<String>,
    /// Where it goes on from here, if it does.
    back: Option<String>,
}

impl Portal {
    /// The frame of the page at `path`. A page that answers a form names the page that showed the form.
    pub(super) fn frame(&self, visitor: &Visitor, path: &str) -> Frame {
        Frame {
            words: Arc::clone(&visitor.words),
            brand: self.settings.theme.brand.clone(),
            path: path.to_owned(),
            error: None,
        }
    }

    /// The frame of a page of this message.
    pub(super) fn frame_of(&self, visitor: &Visitor, path: &str, facts: &Facts) -> Frame {
        Frame {
            brand: facts.organisation.clone(),
            ..self.frame(visitor, path)
        }
    }

    /// A page as an answer.
    pub(super) fn page(
        &self,
        visitor: &Visitor,
        status: StatusCode,
        page: &impl Template,
    ) -> Response {
        let Ok(html) = page.render() else {
            tracing::error!("a page could not be written");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let mut response = (status, Html(html)).into_response();
        if let Some(cookie) = visitor.language_cookie() {
            set_cookie(&mut response, &cookie);
        }
        response
    }

    /// A page that says something.
    pub(super) fn say(
        &self,
        visitor: &Visitor,
        status: StatusCode,
        path: &str,
        said: (String, Vec<String>),
    ) -> Response {
        self.say_in(visitor, status, self.frame(visitor, path), said)
    }

    /// A page that says something, in this frame.
    pub(super) fn say_in(
        &self,
        visitor: &Visitor,
        status: StatusCode,
        frame: Frame,
        said: (String, Vec<String>),
    ) -> Response {
        let page = Said {
            frame,
            title: said.0,
            texts: said.1,
            back: None,
        };
        self.page(visitor, status, &page)
    }

    /// Any address that leads nowhere; always the same page.
    pub(super) fn unknown(&self, visitor: &Visitor) -> Response {
        let words = &visitor.words;
        let said = (words.say("unknown-title"), vec![words.say("unknown-text")]);
        // Not the path that was asked for: it may hold a secret that was mistyped.
        self.say(visitor, StatusCode::NOT_FOUND, "/", said)
    }

    /// The session is over, or was never there.
    pub(super) fn no_session(&self, visitor: &Visitor, back: &str) -> Response {
        let words = &visitor.words;
        let said = (words.say("session-title"), vec![words.say("session-text")]);
        self.say(visitor, StatusCode::FORBIDDEN, back, said)
    }

    /// A form that was not shown to this visitor, or too long ago.
    pub(super) fn forbidden(&self, visitor: &Visitor, back: &str) -> Response {
        let words = &visitor.words;
        let page = Said {
            frame: self.frame(visitor, back),
            title: words.say("forbidden-title"),
            texts: vec![words.say("forbidden-text")],
            back: Some(back.to_owned()),
        };
        self.page(visitor, StatusCode::FORBIDDEN, &page)
    }

    /// Something failed, or there is no such message.
    pub(super) fn failed(&self, visitor: &Visitor, error: &PickupError) -> Response {
        if matches!(error, PickupError::Unknown | PickupError::Destroyed) {
            return self.unknown(visitor);
        }
        tracing::warn!(%error, "a page could not be shown");
        let words = &visitor.words;
        let said = (words.say("trouble-title"), vec![words.say("trouble-text")]);
        self.say(visitor, StatusCode::SERVICE_UNAVAILABLE, "/", said)
    }
}

/// Adds a cookie to an answer.
pub(super) fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// Leads on with a GET (RFC 9110, section 15.4.4).
pub(super) fn see_other(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, path.to_owned())]).into_response()
}
