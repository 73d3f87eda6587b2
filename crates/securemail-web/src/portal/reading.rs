//! The recipient after the code: the message, its body, its files, its end.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use securemail_core::StoreError;
use securemail_core::drive::pickup::{Opened, PickupError};
use securemail_core::limits::PORTAL_MESSAGE_OCTETS_MAX;
use securemail_core::mail::Reference;
use securemail_core::pickup::SessionToken;
use securemail_core::vocab::{MemoryContent, VaultId};

use super::Portal;
use super::cookie::{Link, forget_link, forget_session};
use super::page::{Frame, set_cookie};
use super::recipient::{TypedForm, page_of, typed};
use super::visitor::Visitor;
use crate::message::{self, Body, Shown, hex};
use crate::stream::{Download, download};

/// The policy of the frame that shows HTML of strangers: nothing runs, nothing is loaded, and links
/// open in a window of their own.
const BODY_POLICY: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; \
    default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'";

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    frame: Frame,
    subject: String,
    from: String,
    to: String,
    date: Option<String>,
    until: String,
    reference: String,
    body: ShownBody,
    files_title: String,
    files: Vec<ShownFile>,
    id: VaultId,
    csrf: String,
}

enum ShownBody {
    Framed,
    Plain { text: String, has_layout: bool },
    TooLarge,
}

struct ShownFile {
    number: usize,
    label: String,
    kind: String,
    size: String,
    sha256: String,
}

#[derive(Template)]
#[template(path = "destroy.html")]
struct DestroyPage {
    frame: Frame,
    id: VaultId,
    csrf: String,
}

#[derive(Template)]
#[template(path = "body.html")]
struct BodyPage<'a> {
    lang: &'static str,
    title: String,
    /// Sanitised.
    html: &'a str,
}

/// The page of an opened message.
pub(super) async fn show(
    portal: &Portal,
    visitor: &Visitor,
    link: &Link,
    session: &SessionToken,
    opened: &Opened,
) -> Response {
    let shown = match portal.take_apart(opened).await {
        Ok(shown) => shown,
        Err(error) => return portal.failed(visitor, &error),
    };
    let frame = portal.frame_of(visitor, &page_of(link.id), &opened.facts);
    let page = message_page(visitor, link, opened, (frame, shown));
    let mut response = portal.page(visitor, StatusCode::OK, &page);
    match portal.session_cookie(link.id, session) {
        Ok(cookie) => set_cookie(&mut response, &cookie),
        Err(error) => return portal.failed(visitor, &error.into()),
    }
    response
}

fn message_page(
    visitor: &Visitor,
    link: &Link,
    opened: &Opened,
    (frame, shown): (Frame, Option<Shown>),
) -> MessagePage {
    let words = &visitor.words;
    let mut page = MessagePage {
        frame,
        subject: words.say("message-no-subject"),
        from: opened.facts.sender.shown(),
        to: opened.facts.recipient.shown(),
        date: None,
        until: words.moment(opened.until),
        reference: Reference::of_vault(link.id).to_string(),
        body: ShownBody::TooLarge,
        files_title: String::new(),
        files: Vec::new(),
        id: link.id,
        csrf: link.csrf.clone(),
    };
    let Some(shown) = shown else {
        return page;
    };
    if !shown.subject.trim().is_empty() {
        page.subject = shown.subject;
    }
    if !shown.from.is_empty() {
        page.from = shown.from.join(", ");
    }
    if !shown.to.is_empty() {
        page.to = shown.to.join(", ");
    }
    page.date = shown.date.map(|date| words.moment(date));
    page.body = match shown.body {
        Body::Html { text, .. } if visitor.text_only => ShownBody::Plain {
            text,
            has_layout: true,
        },
        Body::Html { .. } => ShownBody::Framed,
        Body::Text(text) => ShownBody::Plain {
            text,
            has_layout: false,
        },
    };
    page.files_title = words.count("message-files", shown.files.len());
    let files = shown.files.into_iter().enumerate();
    page.files = files
        .map(|(number, file)| ShownFile {
            number,
            label: words.say1("message-download", "name", &file.name),
            size: words.size(file.octets.len() as u64),
            kind: file.kind,
            sha256: file.sha256,
        })
        .collect();
    page
}

/// The HTML of the message, in a document of its own with a policy of its own.
pub(super) async fn body(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    let shown = match portal.opened(&visitor, &id).await {
        Ok((_, opened)) => portal.take_apart(&opened).await,
        Err(response) => return response,
    };
    let html = match shown {
        Ok(Some(Shown {
            body: Body::Html { html, .. },
            ..
        })) => html,
        Ok(_) => return portal.unknown(&visitor),
        Err(error) => return portal.failed(&visitor, &error),
    };
    let page = BodyPage {
        lang: visitor.words.language().tag(),
        title: visitor.words.say("message-body"),
        html: &html,
    };
    match page.render() {
        Ok(html) => {
            let policy = [(header::CONTENT_SECURITY_POLICY, BODY_POLICY)];
            (policy, Html(html)).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// One attachment, or a range of it.
pub(super) async fn file(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path((id, number)): Path<(String, String)>,
) -> Response {
    let shown = match portal.opened(&visitor, &id).await {
        Ok((_, opened)) => portal.take_apart(&opened).await,
        Err(response) => return response,
    };
    let files = match shown {
        Ok(Some(shown)) => shown.files,
        Ok(None) => return portal.unknown(&visitor),
        Err(error) => return portal.failed(&visitor, &error),
    };
    let number = number.parse::<usize>().ok();
    let Some(file) = number.and_then(|number| files.into_iter().nth(number)) else {
        return portal.unknown(&visitor);
    };
    let wanted = Download {
        content: Arc::new(MemoryContent::new(file.octets)),
        name: &file.name,
        kind: &file.kind,
        etag: file.sha256,
    };
    download(visitor.headers(), wanted)
}

/// The whole message, as a mail program reads it, or a range of it.
pub(super) async fn whole(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    let (link, opened) = match portal.opened(&visitor, &id).await {
        Ok(opened) => opened,
        Err(response) => return response,
    };
    let wanted = Download {
        content: opened.content,
        name: &format!("{}.eml", Reference::of_vault(link.id)),
        kind: "message/rfc822",
        // The octets of a vault object never change (contract C2).
        etag: hex(link.id.as_bytes()),
    };
    download(visitor.headers(), wanted)
}

/// The question before the message is destroyed.
pub(super) async fn ask_destroy(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    match portal.opened(&visitor, &id).await {
        Ok((link, opened)) => {
            let path = format!("{}/destroy", page_of(link.id));
            let page = DestroyPage {
                frame: portal.frame_of(&visitor, &path, &opened.facts),
                id: link.id,
                csrf: link.csrf,
            };
            portal.page(&visitor, StatusCode::OK, &page)
        }
        Err(response) => response,
    }
}

/// The recipient wants it destroyed.
pub(super) async fn destroy(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: TypedForm,
) -> Response {
    let (link, session) = match portal.asked_in_session(&visitor, &id, form) {
        Ok(found) => found,
        Err(response) => return response,
    };
    let service = &portal.service;
    if let Err(error) = service.destroy_now(link.id, &link.secret, &session).await {
        return portal.failed_in_session(&visitor, &link, &error);
    }
    let mut response = portal.over(&visitor, "/", "destroyed-title", "destroyed-text");
    set_cookie(&mut response, &forget_session(link.id));
    set_cookie(&mut response, &forget_link(link.id));
    response
}

/// The recipient is done.
pub(super) async fn close(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: TypedForm,
) -> Response {
    let (link, session) = match portal.asked_in_session(&visitor, &id, form) {
        Ok(found) => found,
        Err(response) => return response,
    };
    let service = &portal.service;
    if let Err(error) = service.close(link.id, &link.secret, &session).await {
        return portal.failed_in_session(&visitor, &link, &error);
    }
    let path = page_of(link.id);
    let mut response = portal.over(&visitor, &path, "closed-title", "closed-text");
    set_cookie(&mut response, &forget_session(link.id));
    response
}

impl Portal {
    fn over(&self, visitor: &Visitor, path: &str, title: &str, text: &str) -> Response {
        let words = &visitor.words;
        let said = (words.say(title), vec![words.say(text)]);
        let mut response = self.say(visitor, StatusCode::OK, path, said);
        response.headers_mut().insert(
            HeaderName::from_static("clear-site-data"),
            HeaderValue::from_static("\"cache\""),
        );
        response
    }

    #[expect(
        clippy::result_large_err,
        reason = "the error is the page that is sent"
    )]
    fn in_session(&self, visitor: &Visitor, id: &str) -> Result<(Link, SessionToken), Response> {
        let link = self
            .followed(visitor, id)
            .ok_or_else(|| self.unknown(visitor))?;
        let session = self
            .session(visitor, link.id)
            .ok_or_else(|| self.no_session(visitor, &page_of(link.id)))?;
        Ok((link, session))
    }

    #[expect(
        clippy::result_large_err,
        reason = "the error is the page that is sent"
    )]
    fn asked_in_session(
        &self,
        visitor: &Visitor,
        id: &str,
        form: TypedForm,
    ) -> Result<(Link, SessionToken), Response> {
        let (link, session) = self.in_session(visitor, id)?;
        match typed(form, &link) {
            Some(_) => Ok((link, session)),
            None => Err(self.forbidden(visitor, &page_of(link.id))),
        }
    }

    async fn opened(&self, visitor: &Visitor, id: &str) -> Result<(Link, Opened), Response> {
        let (link, session) = self.in_session(visitor, id)?;
        match self.service.open(link.id, &link.secret, &session).await {
            Ok(opened) => Ok((link, opened)),
            Err(error) => Err(self.failed_in_session(visitor, &link, &error)),
        }
    }

    fn failed_in_session(&self, visitor: &Visitor, link: &Link, error: &PickupError) -> Response {
        if matches!(error, PickupError::Unknown) {
            return self.no_session(visitor, &page_of(link.id));
        }
        self.failed(visitor, error)
    }

    /// Takes a message apart, away from the threads that serve; `None` where it is too large.
    async fn take_apart(&self, opened: &Opened) -> Result<Option<Shown>, PickupError> {
        let _permit = self.taking_apart.acquire().await.map_err(unavailable)?;
        let max = self.settings.message_octets.min(PORTAL_MESSAGE_OCTETS_MAX);
        let Some(octets) = message::read_whole(&*opened.content, max).await? else {
            return Ok(None);
        };
        let taking_apart = tokio::task::spawn_blocking(move || message::take_apart(&octets));
        Ok(Some(taking_apart.await.map_err(unavailable)?))
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> PickupError {
    StoreError::Unavailable(Box::new(error)).into()
}
