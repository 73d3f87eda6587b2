//! Which mail says what a pickup has to tell.

use super::Relay;
use super::hold::class_of;
use super::own_mail::OwnMail;
use crate::StoreError;
use crate::mail::{
    ContentFree, Dsn, DsnAction, DsnReason, DsnRecipient, Head, Language, Link, Notice, NoticeKind,
    Progress, Reference, ReturnRoute, SenderMail, SenderNews, verp,
};
use crate::pickup::{Tell, TellKind};
use crate::vocab::{Address, EnhancedStatus, RequireTls, ReversePath};

impl Relay {
    /// The mail of a tell. For the sender there are two: the second says nothing but "something needs
    /// you", for a way that is not proved.
    pub(super) fn mail_of(&self, tell: &Tell) -> Result<OwnMail, StoreError> {
        let facts = &tell.facts;
        let to = if tell.kind.is_notice() {
            &facts.recipient
        } else {
            &facts.sender
        };
        let (mail, bland) = if tell.kind.is_notice() {
            (self.notice(tell, to)?, None)
        } else {
            let mail = self.news(tell, to, ReturnRoute::Authenticated)?;
            (
                mail,
                Some(self.news(tell, to, ReturnRoute::Unauthenticated)?),
            )
        };
        let reverse_path = if tell.kind.is_notice() {
            let path = verp::make(&self.verp_key, facts.id, &self.settings.hostname);
            path.map_or(ReversePath::Null, ReversePath::Mailbox)
        } else {
            ReversePath::Null
        };
        Ok(OwnMail {
            class: class_of(tell),
            queue: tell.queue(),
            about: facts.delivery(),
            vault: Some(facts.id),
            arrives_quietly: tell.kind.arrives_quietly(),
            reverse_path,
            to: to.clone(),
            mail,
            bland,
            require_tls: RequireTls::No,
            events: Vec::new(),
        })
    }

    /// A recipient may be written in another language than the sender.
    fn head<'a>(&'a self, tell: &'a Tell, to: &'a Address) -> Head<'a> {
        let language = if tell.kind.is_notice() {
            tell.facts.language.parse().unwrap_or_default()
        } else {
            tell.facts.language_of_sender()
        };
        Head {
            id: tell.queue(),
            host: &self.settings.hostname,
            now: self.now(),
            language,
            organisation: &tell.facts.organisation,
            from: &self.settings.notice_from,
            to,
        }
    }

    fn notice(&self, tell: &Tell, to: &Address) -> Result<ContentFree, StoreError> {
        let facts = &tell.facts;
        let link = link_of(tell)?;
        let kind = match tell.kind {
            TellKind::Reminder => NoticeKind::Reminder,
            _ => NoticeKind::First,
        };
        let notice = Notice {
            head: self.head(tell, to),
            kind,
            link: &link,
            available_until: facts.expires,
            last_two: tell.last_two.as_deref().unwrap_or(""),
            reference: Reference::of_vault(facts.id),
            reason: &facts.reason,
        };
        Ok(notice.mail())
    }

    fn news(
        &self,
        tell: &Tell,
        to: &Address,
        route: ReturnRoute,
    ) -> Result<ContentFree, StoreError> {
        let facts = &tell.facts;
        let mail = SenderMail {
            head: self.head(tell, to),
            reference: Reference::of_vault(facts.id),
            received: facts.deposited,
            route,
        };
        Ok(match tell.kind {
            TellKind::NumberMissing | TellKind::NumberReminder | TellKind::NumberWrong => mail
                .mail(&SenderNews::PhoneMissing {
                    form: &link_of(tell)?,
                    recipients: &[(facts.recipient.clone(), Progress::PhoneMissing)],
                    why: facts.summary.as_ref(),
                    kept_until: facts.number_until,
                }),
            TellKind::Locked => mail.mail(&SenderNews::Locked {
                release: &link_of(tell)?,
                recipient: &facts.recipient,
                kept_until: facts.expires,
            }),
            TellKind::NoticeRefused => mail.mail(&SenderNews::NoticeBounced {
                recipient: &facts.recipient,
                status: None,
            }),
            TellKind::NumberNeverCame => self.given_back(tell, to, route, DsnReason::PhoneMissing),
            TellKind::Expired => self.given_back(tell, to, route, DsnReason::NotCollected),
            TellKind::Notice | TellKind::NoticeAgain | TellKind::Reminder => {
                return Err(StoreError::Corrupt("a notice is no sender mail"));
            }
        })
    }

    fn given_back(
        &self,
        tell: &Tell,
        to: &Address,
        route: ReturnRoute,
        reason: DsnReason,
    ) -> ContentFree {
        let recipient = DsnRecipient {
            address: &tell.facts.recipient,
            action: DsnAction::Failed,
            reason,
            why: tell.facts.summary.as_ref(),
            status: EnhancedStatus::new(5, 4, 7),
            host: None,
            reply: None,
            last_attempt: None,
        };
        let dsn = Dsn {
            head: self.head(tell, to),
            reference: Reference::of_vault(tell.facts.id),
            received: tell.facts.deposited,
            route,
            recipients: &[recipient],
        };
        dsn.mail()
    }

    /// The language that mail to a tenant's senders is written in.
    pub(super) fn language(languages: &[String]) -> Language {
        Language::pick(languages)
    }
}

fn link_of(tell: &Tell) -> Result<Link, StoreError> {
    let link = tell
        .link
        .as_ref()
        .ok_or(StoreError::Corrupt("a mail without its link"))?;
    Link::parse(link.expose()).map_err(|_| StoreError::Corrupt("the portal's url is no link"))
}
