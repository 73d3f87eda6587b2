//! The recipient before the code: link, landing, code.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use securemail_core::drive::pickup::{CodeRequested, Landing, PickupError, Step, Verified};
use securemail_core::mail::Reference;
use securemail_core::pickup::{LinkSecret, NoCode};
use securemail_core::vocab::{Address, UnixTime, VaultId};
use serde::Deserialize;

use super::cookie::{Link, is_right};
use super::page::{Frame, Wrong, see_other, set_cookie};
use super::visitor::Visitor;
use super::{Portal, reading};

/// A form of the recipient: its token, and the code where it asks for one.
#[derive(Deserialize)]
pub(super) struct Typed {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    code: String,
}

pub(super) type TypedForm = Result<Form<Typed>, FormRejection>;

#[derive(Template)]
#[template(path = "landing.html")]
struct LandingPage {
    frame: Frame,
    title: String,
    recipient: String,
    received: String,
    until: String,
    reference: String,
    why: String,
    id: VaultId,
    csrf: String,
}

#[derive(Template)]
#[template(path = "code.html")]
struct CodePage {
    frame: Frame,
    sent: String,
    hint: String,
    reference: String,
    id: VaultId,
    csrf: String,
}

/// A link from a mail. The secret goes into a cookie and out of the address; nothing else happens, and
/// it happens for every secret, so that nobody learns here which ones are right.
pub(super) async fn follow(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path((id, secret)): Path<(String, String)>,
) -> Response {
    let parsed = id.parse::<VaultId>().ok().zip(LinkSecret::parse(&secret));
    let Some((id, secret)) = parsed else {
        return portal.unknown(&visitor);
    };
    let cookie = match portal.link_cookie(&visitor, id, &secret) {
        Ok(cookie) => cookie,
        Err(error) => return portal.failed(&visitor, &error.into()),
    };
    let mut response = see_other(&page_of(id));
    for cookie in cookie.into_iter().chain(visitor.language_cookie()) {
        set_cookie(&mut response, &cookie);
    }
    response
}

/// The page of a message: the message for who is in a session, else what is to be done for one.
pub(super) async fn show(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    let Some(link) = portal.followed(&visitor, &id) else {
        return portal.unknown(&visitor);
    };
    if let Some(session) = portal.session(&visitor, link.id) {
        match portal.service.open(link.id, &link.secret, &session).await {
            Ok(opened) => return reading::show(&portal, &visitor, &link, &session, &opened).await,
            // The session is over; a code begins another one.
            Err(PickupError::Unknown) => {}
            Err(error) => return portal.failed(&visitor, &error),
        }
    }
    portal.landing(&visitor, &link, None).await
}

/// The button that sends a code.
pub(super) async fn request_code(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: TypedForm,
) -> Response {
    let Some(link) = portal.followed(&visitor, &id) else {
        return portal.unknown(&visitor);
    };
    let back = page_of(link.id);
    if typed(form, &link).is_none() {
        return portal.forbidden(&visitor, &back);
    }
    let requested = portal
        .service
        .request_code(link.id, &link.secret, visitor.client)
        .await;
    let words = &visitor.words;
    let wrong = match requested {
        Ok(
            CodeRequested::Sent { .. }
            | CodeRequested::Blocked(_)
            | CodeRequested::Refused(NoCode::Ended | NoCode::Locked),
        ) => return see_other(&back),
        Ok(CodeRequested::Refused(NoCode::TooSoonUntil(at))) => {
            Failing::Said(words.say1("code-too-soon", "time", &with_seconds(&words.clock(at), at)))
        }
        Ok(CodeRequested::Refused(NoCode::SpentUntil(at))) => {
            Failing::Said(words.say1("code-spent", "time", &words.moment(at)))
        }
        Ok(CodeRequested::Unavailable) => Failing::Said(words.say("code-unavailable")),
        Ok(CodeRequested::NumberWrong) => Failing::NumberWrong,
        Err(error) => return portal.failed(&visitor, &error),
    };
    portal.landing(&visitor, &link, Some(wrong)).await
}

/// The form with the code.
pub(super) async fn verify(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: TypedForm,
) -> Response {
    let Some(link) = portal.followed(&visitor, &id) else {
        return portal.unknown(&visitor);
    };
    let back = page_of(link.id);
    let Some(code) = typed(form, &link) else {
        return portal.forbidden(&visitor, &back);
    };
    let words = &visitor.words;
    if code.trim().is_empty() {
        let wrong = Failing::Code(words.say("code-empty"));
        return portal.landing(&visitor, &link, Some(wrong)).await;
    }
    let verified = portal
        .service
        .verify(link.id, &link.secret, &code, visitor.client)
        .await;
    let said = match verified {
        Ok(Verified::Open(grant)) => {
            return match portal.granted_cookie(link.id, &grant) {
                Ok(cookie) => {
                    let mut response = see_other(&back);
                    set_cookie(&mut response, &cookie);
                    response
                }
                Err(error) => portal.failed(&visitor, &error.into()),
            };
        }
        Ok(Verified::Blocked(_) | Verified::Ended | Verified::Locked) => return see_other(&back),
        Ok(Verified::Expired) => words.say("code-expired"),
        Ok(Verified::Malformed(malformed)) => words.count("code-malformed", malformed.digits),
        Ok(Verified::Wrong { left }) => words.count("code-wrong", usize::from(left)),
        Err(error) => return portal.failed(&visitor, &error),
    };
    portal
        .landing(&visitor, &link, Some(Failing::Code(said)))
        .await
}

/// The button that says that the number is somebody else's.
pub(super) async fn not_my_number(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: TypedForm,
) -> Response {
    let Some(link) = portal.followed(&visitor, &id) else {
        return portal.unknown(&visitor);
    };
    let back = page_of(link.id);
    if typed(form, &link).is_none() {
        return portal.forbidden(&visitor, &back);
    }
    let landing = portal
        .service
        .landing(link.id, &link.secret, visitor.client)
        .await;
    let told = portal.service.not_my_number(link.id, &link.secret).await;
    match landing.and_then(|landing| told.map(|()| landing)) {
        Ok(landing) => {
            let words = &visitor.words;
            let organisation = &landing.facts.organisation;
            let text = words.say1("doubt-text", "organisation", organisation);
            let said = (words.say("doubt-title"), vec![text]);
            let frame = portal.frame_of(&visitor, &back, &landing.facts);
            portal.say_in(&visitor, StatusCode::OK, frame, said)
        }
        Err(error) => portal.failed(&visitor, &error),
    }
}

/// What was typed, if the form is one of ours.
pub(super) fn typed(form: TypedForm, link: &Link) -> Option<String> {
    let Form(form) = form.ok()?;
    is_right(&link.csrf, &form.csrf).then_some(form.code)
}

/// The address of a message's page. There is no secret in it.
pub(super) fn page_of(id: VaultId) -> String {
    format!("/b/{id}")
}

/// What a page must say went wrong.
enum Failing {
    /// About the code.
    Code(String),
    /// The carrier refuses the number.
    NumberWrong,
    /// About anything else.
    Said(String),
}

impl Portal {
    /// The link that this visitor followed, by the id as it stands in an address.
    pub(super) fn followed(&self, visitor: &Visitor, id: &str) -> Option<Link> {
        self.link(visitor, id.parse().ok()?)
    }

    async fn landing(&self, visitor: &Visitor, link: &Link, failing: Option<Failing>) -> Response {
        let landing = self
            .service
            .landing(link.id, &link.secret, visitor.client)
            .await;
        match landing {
            Ok(landing) => self.landing_page(visitor, link, &landing, failing),
            Err(error) => self.failed(visitor, &error),
        }
    }

    fn landing_page(
        &self,
        visitor: &Visitor,
        link: &Link,
        landing: &Landing,
        failing: Option<Failing>,
    ) -> Response {
        let words = &visitor.words;
        let path = page_of(link.id);
        let organisation = &landing.facts.organisation;
        let status = if failing.is_some() {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::OK
        };
        let mut frame = self.frame_of(visitor, &path, &landing.facts);
        frame.error = failing.map(|failing| wrong(visitor, landing, failing));
        // What help desks ask for.
        let reference = format!(
            "{}: {}",
            words.say("landing-reference"),
            Reference::of_vault(landing.facts.id)
        );
        let (status, title, mut texts) = match landing.step {
            Step::AskCode => {
                let page = landing_page(visitor, link, landing, frame);
                return self.page(visitor, status, &page);
            }
            Step::CodeSent { at, until } => {
                let page = code_page(visitor, link, landing, (frame, at, until));
                return self.page(visitor, status, &page);
            }
            Step::Blocked { until } => (
                StatusCode::TOO_MANY_REQUESTS,
                words.say("blocked-title"),
                vec![
                    words.say1("blocked-text", "time", &words.clock(until)),
                    words.say1("blocked-next", "organisation", organisation),
                ],
            ),
            Step::Locked => (
                StatusCode::LOCKED,
                words.say("locked-title"),
                vec![
                    words.say1("locked-text", "time", &words.moment(landing.until)),
                    words.say1("locked-next", "organisation", organisation),
                ],
            ),
            Step::Ended => (
                StatusCode::GONE,
                words.say("expired-title"),
                vec![words.say1("expired-text", "time", &words.moment(landing.until))],
            ),
        };
        texts.push(reference);
        self.say_in(visitor, status, frame, (title, texts))
    }
}

fn wrong(visitor: &Visitor, landing: &Landing, failing: Failing) -> Wrong {
    match failing {
        Failing::Code(said) => Wrong {
            said,
            // Without a code that is good there is no field to type one.
            field: matches!(landing.step, Step::CodeSent { .. }).then_some("code"),
        },
        Failing::NumberWrong => Wrong {
            said: visitor.words.say1(
                "code-number-wrong",
                "organisation",
                &landing.facts.organisation,
            ),
            field: None,
        },
        Failing::Said(said) => Wrong { said, field: None },
    }
}

fn landing_page(visitor: &Visitor, link: &Link, landing: &Landing, frame: Frame) -> LandingPage {
    let words = &visitor.words;
    LandingPage {
        frame,
        title: words.say1("landing-title", "organisation", &landing.facts.organisation),
        recipient: masked(&landing.facts.recipient),
        received: words.day(landing.facts.deposited),
        until: words.moment(landing.until),
        reference: Reference::of_vault(link.id).to_string(),
        why: words.say1("landing-why", "digits", &landing.last_two),
        id: link.id,
        csrf: link.csrf.clone(),
    }
}

fn code_page(
    visitor: &Visitor,
    link: &Link,
    landing: &Landing,
    (frame, at, until): (Frame, UnixTime, UnixTime),
) -> CodePage {
    let words = &visitor.words;
    CodePage {
        frame,
        sent: words.say2(
            "code-sent",
            ("time", &words.clock(at)),
            ("digits", &landing.last_two),
        ),
        hint: words.say1("code-hint", "time", &words.clock(until)),
        reference: Reference::of_vault(link.id).to_string(),
        id: link.id,
        csrf: link.csrf.clone(),
    }
}

/// `j***@example.nl`: enough for its owner to know it.
fn masked(address: &Address) -> String {
    let first = address.local().chars().next().unwrap_or('*');
    format!("{first}***@{}", address.domain().shown())
}

/// `14:05:30`: within a minute a time without seconds says nothing.
fn with_seconds(clock: &str, time: UnixTime) -> String {
    format!("{clock}:{:02}", time.civil().second)
}
