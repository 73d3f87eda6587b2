//! A second validator on this machine, believed when it says AD.
//!
//! It guards against faults of the first: a wrong denial of TLSA would switch DANE off in silence.

use std::time::Duration;

use hickory_proto::op::Message;
use securemail_core::vocab::{
    Answer, LookupFailure, Mx, Outcome, Question, RecordKind, Security, UnixTime,
};

use crate::settings::BuildError;
use crate::upstream::Upstream;
use crate::{exchange, reading, records};

/// The second validator.
#[derive(Debug)]
pub(crate) struct SecondOpinion {
    servers: Upstream,
}

/// What the second validator says.
pub(crate) struct View {
    /// It validated the answer.
    authentic: bool,
    answer: Answer,
}

impl SecondOpinion {
    /// `None` where no server is named.
    pub(crate) fn new(
        servers: &[std::net::SocketAddr],
        limit: Duration,
    ) -> Result<Option<Self>, BuildError> {
        if let Some(remote) = servers.iter().find(|server| !server.ip().is_loopback()) {
            return Err(BuildError::RemoteValidator(remote.ip()));
        }
        Ok((!servers.is_empty()).then(|| Self {
            servers: Upstream::new(servers, limit),
        }))
    }

    /// Asks anything.
    pub(crate) async fn ask(&self, request: &Message) -> Result<Message, LookupFailure> {
        self.servers.ask(request).await
    }

    /// Checks an answer of the first validator. AD speaks for a whole chain of aliases, so where it is missing the
    /// alias is asked for by itself.
    pub(crate) async fn check(
        &self,
        question: &Question,
        first: &Answer,
        holds: fn(&View, &Answer) -> bool,
        now: UnixTime,
    ) -> Result<(), LookupFailure> {
        let whole = self.view(question, now).await;
        let view = match whole {
            Err(LookupFailure::Unusable) => return Err(LookupFailure::Unusable),
            Ok(view) if holds(&view, first) => return Ok(()),
            _ if matches!(first.outcome, Outcome::Alias(_)) => {
                let alias = Question::new(question.name.clone(), RecordKind::Cname);
                self.view(&alias, now).await?
            }
            other => other?,
        };
        if holds(&view, first) {
            Ok(())
        } else {
            Err(LookupFailure::Disagreement)
        }
    }

    /// Whether it says that it validated an answer to this.
    pub(crate) async fn is_sure_of(&self, question: &Question, now: UnixTime) -> bool {
        let view = self.view(question, now).await;
        view.is_ok_and(|view| {
            view.authentic && !matches!(view.answer.outcome, Outcome::NoData | Outcome::NxDomain)
        })
    }

    async fn view(&self, question: &Question, now: UnixTime) -> Result<View, LookupFailure> {
        let name = records::absolute(&question.name).ok_or(LookupFailure::Malformed)?;
        let request = exchange::request(name, records::record_type(question.kind));
        let message: Message = match self.ask(&request).await {
            Ok(message) => message,
            // It found something wrong where the first found nothing.
            Err(LookupFailure::Bogus) => return Err(LookupFailure::Disagreement),
            Err(LookupFailure::ServFail) => return Err(self.why_it_failed(request).await),
            Err(_) => return Err(LookupFailure::Unusable),
        };
        Ok(View {
            authentic: message.metadata.authentic_data,
            answer: reading::read_unsigned(&message, question, now),
        })
    }

    /// What a SERVFAIL without a reason means: who gives the answer when nothing is to be checked (CD; RFC 4035, section
    /// 3.2.2) finds it bogus; who then fails too does not reach the name servers, and accuses nobody.
    async fn why_it_failed(&self, mut request: Message) -> LookupFailure {
        request.metadata.checking_disabled = true;
        match self.ask(&request).await {
            Ok(_) | Err(LookupFailure::Bogus) => LookupFailure::Disagreement,
            Err(_) => LookupFailure::ServFail,
        }
    }
}

impl View {
    /// Whether both say the same. A denial that only the second finds secure is still a denial; nothing else may
    /// differ, or one of them is wrong.
    pub(crate) fn agrees(&self, first: &Answer) -> bool {
        let same = match (&first.outcome, &self.answer.outcome) {
            (Outcome::NoData, Outcome::NoData) | (Outcome::NxDomain, Outcome::NxDomain) => {
                return self.authentic || first.security != Security::Secure;
            }
            (Outcome::Alias(one), Outcome::Alias(other)) => one == other,
            // A null MX is a denial in the form of a record (RFC 7505).
            (Outcome::Mx(one), Outcome::Mx(other)) => {
                one.iter().all(Mx::is_null) == other.iter().all(Mx::is_null)
            }
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        };
        same && self.authentic == (first.security == Security::Secure)
    }

    /// Whether it validated exactly these records.
    pub(crate) fn vouches_for(&self, first: &Answer) -> bool {
        self.authentic && sorted(&self.answer.outcome) == sorted(&first.outcome)
    }
}

/// The order of records means nothing.
fn sorted(outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    match &mut outcome {
        Outcome::Addresses(addresses) => addresses.sort(),
        Outcome::Caa(properties) => properties.sort(),
        Outcome::Mx(exchangers) => exchangers.sort(),
        Outcome::NameServers(servers) => servers.sort(),
        Outcome::Tlsa(records) => records.sort(),
        Outcome::Txt(texts) => texts.sort(),
        Outcome::Alias(_) | Outcome::Failed(_) | Outcome::NoData | Outcome::NxDomain => {}
    }
    outcome
}
