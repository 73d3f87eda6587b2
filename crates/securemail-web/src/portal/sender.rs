//! The sender's form: a missing or wrong number, a locked message, a notice to be sent again.
//!
//! The token in the address is the right to do so; there is no cookie that a browser would add by
//! itself. The form carries a hash of it all the same.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use securemail_core::drive::pickup::{NumberGiven, Remember, SenderStep, SenderView};
use securemail_core::mail::Reference;
use securemail_core::pickup::SenderToken;
use serde::Deserialize;

use super::Portal;
use super::cookie::is_right;
use super::page::{Frame, Wrong};
use super::phone::{self, Unusable};
use super::visitor::Visitor;
use crate::words::Words;

/// A form of the sender: its token, and the number where it asks for one.
#[derive(Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    number: String,
    #[serde(default)]
    remember: String,
}

type GivenForm = Result<Form<Given>, FormRejection>;

#[derive(Template)]
#[template(path = "sender.html")]
struct SenderPage {
    frame: Frame,
    title: String,
    text: String,
    sent: String,
    kept: String,
    reason: String,
    reference: String,
    number_label: String,
    /// What was typed, so that nothing is asked twice.
    typed: String,
    can_release: bool,
    can_renew: bool,
    token: String,
    csrf: String,
}

/// The form.
pub(super) async fn show(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path(token): Path<String>,
) -> Response {
    portal.sender_page(&visitor, &token, None).await
}

/// A number is given.
pub(super) async fn number(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path(token): Path<String>,
    form: GivenForm,
) -> Response {
    let (sender, form) = match portal.given(&visitor, &token, form) {
        Ok(given) => given,
        Err(response) => return response,
    };
    let settings = &portal.settings;
    let phone = match phone::read(&form.number, &settings.country, &settings.countries) {
        Ok(phone) => phone,
        Err(unusable) => {
            let wrong = Some((unusable, form.number));
            return portal.sender_page(&visitor, &token, wrong).await;
        }
    };
    let remember = if form.remember == "organisation" {
        Remember::ForOrganisation
    } else {
        Remember::ThisMessage
    };
    let words = &visitor.words;
    let given = portal.service.set_number(&sender, &phone, remember).await;
    let text = match given {
        Ok(NumberGiven::LinkMade(_)) => words.say1("sender-saved-text", "number", phone.expose()),
        Ok(NumberGiven::Changed) => words.say1("sender-changed-text", "number", phone.expose()),
        Ok(NumberGiven::Ended) => return portal.sender_page(&visitor, &token, None).await,
        Err(error) => return portal.failed(&visitor, &error),
    };
    let said = (words.say("sender-saved-title"), vec![text]);
    portal.say(&visitor, StatusCode::OK, &form_of(&token), said)
}

/// A locked message is released.
pub(super) async fn release(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path(token): Path<String>,
    form: GivenForm,
) -> Response {
    let sender = match portal.given(&visitor, &token, form) {
        Ok((sender, _)) => sender,
        Err(response) => return response,
    };
    if let Err(error) = portal.service.release(&sender).await {
        return portal.failed(&visitor, &error);
    }
    let words = &visitor.words;
    let said = (
        words.say("sender-released-title"),
        vec![words.say("sender-released-text")],
    );
    portal.say(&visitor, StatusCode::OK, &form_of(&token), said)
}

/// The notice is to be sent again.
pub(super) async fn renew_notice(
    State(portal): State<Arc<Portal>>,
    visitor: Visitor,
    Path(token): Path<String>,
    form: GivenForm,
) -> Response {
    let sender = match portal.given(&visitor, &token, form) {
        Ok((sender, _)) => sender,
        Err(response) => return response,
    };
    let words = &visitor.words;
    let said = match portal.service.renew_notice(&sender).await {
        Ok(true) => (
            words.say("sender-again-title"),
            vec![words.say("sender-again-text")],
        ),
        Ok(false) => return portal.sender_page(&visitor, &token, None).await,
        Err(error) => return portal.failed(&visitor, &error),
    };
    portal.say(&visitor, StatusCode::OK, &form_of(&token), said)
}

fn form_of(token: &str) -> String {
    format!("/s/{token}")
}

impl Portal {
    #[expect(
        clippy::result_large_err,
        reason = "the error is the page that is sent"
    )]
    fn given(
        &self,
        visitor: &Visitor,
        token: &str,
        form: GivenForm,
    ) -> Result<(SenderToken, Given), Response> {
        let sender = SenderToken::parse(token).ok_or_else(|| self.unknown(visitor))?;
        let form = form.ok().map(|Form(form)| form);
        match form.filter(|form| is_right(&self.csrf(token), &form.csrf)) {
            Some(form) => Ok((sender, form)),
            None => Err(self.forbidden(visitor, &form_of(token))),
        }
    }

    async fn sender_page(
        &self,
        visitor: &Visitor,
        token: &str,
        wrong: Option<(Unusable, String)>,
    ) -> Response {
        let Some(sender) = SenderToken::parse(token) else {
            return self.unknown(visitor);
        };
        let view = match self.service.sender_view(&sender).await {
            Ok(view) => view,
            Err(error) => return self.failed(visitor, &error),
        };
        let words = &visitor.words;
        let frame = || self.frame_of(visitor, &form_of(token), &view.facts);
        let mut page = SenderPage {
            typed: String::new(),
            token: token.to_owned(),
            csrf: self.csrf(token),
            ..match sender_page(words, frame(), &view) {
                Some(page) => page,
                None => {
                    let said = (
                        words.say("sender-ended-title"),
                        vec![words.say("sender-ended-text")],
                    );
                    return self.say_in(visitor, StatusCode::GONE, frame(), said);
                }
            }
        };
        let Some((unusable, typed)) = wrong else {
            return self.page(visitor, StatusCode::OK, &page);
        };
        page.typed = typed;
        page.frame.error = Some(Wrong {
            said: unusable_in_words(words, unusable),
            field: Some("number"),
        });
        self.page(visitor, StatusCode::UNPROCESSABLE_ENTITY, &page)
    }
}

/// The page of what is to be done; `None` where nothing is.
fn sender_page(words: &Words, frame: Frame, view: &SenderView) -> Option<SenderPage> {
    let facts = &view.facts;
    let recipient = facts.recipient.shown();
    let (title, text, number_label) = match &view.step {
        SenderStep::Ended => return None,
        SenderStep::Locked { .. } => (
            words.say1("sender-locked-title", "recipient", &recipient),
            words.say("sender-locked-text"),
            words.say("sender-number-other"),
        ),
        SenderStep::NumberMissing => (
            words.say("sender-missing-title"),
            words.say1("sender-missing-text", "recipient", &recipient),
            words.say("sender-number"),
        ),
        SenderStep::Waiting { last_two } => (
            words.say1("sender-waiting-title", "recipient", &recipient),
            words.say1("sender-waiting-text", "digits", last_two),
            words.say("sender-number-other"),
        ),
    };
    let kept = if view.step == SenderStep::NumberMissing {
        facts.number_until.min(facts.expires)
    } else {
        facts.expires
    };
    Some(SenderPage {
        frame,
        title,
        text,
        sent: words.moment(facts.deposited),
        kept: words.moment(kept),
        reason: facts.reason.clone(),
        reference: Reference::of_vault(facts.id).to_string(),
        number_label,
        typed: String::new(),
        can_release: matches!(view.step, SenderStep::Locked { .. }),
        can_renew: matches!(view.step, SenderStep::Waiting { .. }) && !facts.forget_link,
        token: String::new(),
        csrf: String::new(),
    })
}

fn unusable_in_words(words: &Words, unusable: Unusable) -> String {
    match unusable {
        Unusable::Country => words.say("number-country"),
        Unusable::Empty => words.say("number-empty"),
        Unusable::Fixed => words.say("number-fixed"),
        Unusable::Invalid => words.say("number-invalid"),
    }
}
