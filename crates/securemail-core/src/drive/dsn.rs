//! Writes a DSN about one recipient: in full, and bland for a way that is not proved.

use super::Relay;
use super::own_mail::OwnMail;
use crate::backend::{ItemClass, NewEvent};
use crate::mail::{Dsn, DsnRecipient, Head, Language, Reference, ReturnRoute};
use crate::vocab::{Address, DeliveryKey, QueueId, RequireTls, ReversePath, UnixTime, VaultId};

/// What a DSN says, and to whom.
#[derive(Debug)]
pub(super) struct DsnNews<'a> {
    /// Its id: the same for the same news.
    pub queue: QueueId,
    /// The delivery that it is about.
    pub about: DeliveryKey,
    pub sender: &'a Address,
    pub language: Language,
    pub organisation: &'a str,
    /// When the message came.
    pub received: UnixTime,
    pub recipient: DsnRecipient<'a>,
    pub require_tls: RequireTls,
    /// Events to be logged with it.
    pub events: Vec<NewEvent>,
}

impl Relay {
    /// The mail of a DSN, from `<>`.
    pub(super) fn dsn(&self, news: DsnNews<'_>) -> OwnMail {
        let reference = Reference::of_vault(VaultId::of(&news.about));
        let recipients = [news.recipient];
        let mail = |route| {
            Dsn {
                head: Head {
                    id: news.queue,
                    host: &self.settings.hostname,
                    now: self.now(),
                    language: news.language,
                    organisation: news.organisation,
                    from: &self.settings.notice_from,
                    to: news.sender,
                },
                reference,
                received: news.received,
                route,
                recipients: &recipients,
            }
            .mail()
        };
        OwnMail {
            class: ItemClass::SenderMail,
            queue: news.queue,
            about: news.about,
            vault: None,
            arrives_quietly: false,
            reverse_path: ReversePath::Null,
            to: news.sender.clone(),
            mail: mail(ReturnRoute::Authenticated),
            bland: Some(mail(ReturnRoute::Unauthenticated)),
            require_tls: news.require_tls,
            events: news.events,
        }
    }
}
