//! Canaries: names of which it is known what a validator must say about them.
//!
//! A validator that stops validating is not seen in ordinary answers: they go on looking well. So a name that is
//! signed, one whose signature is wrong, one that is not signed and one that does not exist are asked at the start and
//! each hour. What is wrong about one of them makes every answer a fault of our own until all are right again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use securemail_core::vocab::{
    Answer, DnsName, LookupFailure, NameError, Outcome, Question, RecordKind, Security,
};

use crate::resolver::HickoryResolver;

/// Names whose state is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Canaries {
    /// Signed, with an address.
    pub signed: DnsName,
    /// Signed wrongly: it must not be answered.
    pub bogus: DnsName,
    /// Not signed, with an address.
    pub unsigned: DnsName,
    /// Of no zone: it must not exist.
    pub absent: DnsName,
}

/// A validator says what cannot be. Each says what to look at.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CanaryAlarm {
    /// The signed name does not come as signed.
    #[error(
        "the signed canary does not come as signed: something between here and the root takes \
         signatures away; look at dns.servers"
    )]
    SignedNotSecure,
    /// The wrongly signed name is answered.
    #[error("the canary with a wrong signature is answered: nobody validates; look at dns.servers")]
    BogusAccepted,
    /// The second validator vouches for the wrongly signed name.
    #[error("dns.second_opinion vouches for the canary with a wrong signature; look at it")]
    SecondAcceptsBogus,
    /// The name that is not signed comes as signed.
    #[error(
        "the unsigned canary comes as signed: the trust anchor is not that of the public root, or \
         the validator is at fault"
    )]
    UnsignedSecure,
    /// The name that does not exist is answered.
    #[error(
        "the canary that does not exist is answered: a resolver invents names; look at dns.servers"
    )]
    AbsentAnswered,
}

/// What was heard of the canaries.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CanaryReport {
    /// What cannot be.
    pub alarm: Option<CanaryAlarm>,
    /// Names that did not answer, or are no longer what they were. Holds nothing by itself: a zone of somebody else
    /// that is down must not stop mail.
    pub unheard: Vec<DnsName>,
}

impl Canaries {
    /// Names of the public DNS that stand there for this, or have been so for long.
    ///
    /// # Errors
    /// Never: the names are names.
    pub fn public() -> Result<Self, NameError> {
        Ok(Self {
            signed: DnsName::parse("ietf.org")?,
            bogus: DnsName::parse("dnssec-failed.org")?,
            unsigned: DnsName::parse("wikipedia.org")?,
            absent: DnsName::parse("securemail-canary-absent")?,
        })
    }
}

impl HickoryResolver {
    /// Asks all canaries, past every cache. After an alarm every answer of this resolver is a fault of our own
    /// (class F), until a later call finds nothing wrong.
    pub async fn listen(&self, canaries: &Canaries) -> CanaryReport {
        let Canaries {
            signed,
            bogus,
            unsigned,
            absent,
        } = canaries;
        let (heard_signed, heard_bogus, heard_unsigned, heard_absent, second) = tokio::join!(
            Box::pin(self.canary(signed)),
            Box::pin(self.canary(bogus)),
            Box::pin(self.canary(unsigned)),
            Box::pin(self.canary(absent)),
            Box::pin(self.second_vouches_for(bogus)),
        );
        let signs = heard_signed.security == Security::Secure;
        let heard = [
            (signed, signed_says(&heard_signed)),
            (bogus, bogus_says(&heard_bogus, signs)),
            (unsigned, unsigned_says(&heard_unsigned)),
            (absent, absent_says(&heard_absent)),
        ];
        let mut report = CanaryReport::default();
        if second {
            report.alarm = Some(CanaryAlarm::SecondAcceptsBogus);
        }
        for (name, heard) in heard {
            match heard {
                Heard::Well => {}
                Heard::Nothing => report.unheard.push(name.clone()),
                Heard::Wrong(alarm) => report.alarm = report.alarm.or(Some(alarm)),
            }
        }
        self.distrusted
            .store(report.alarm.is_some(), Ordering::SeqCst);
        report
    }

    /// Listens each hour, and each minute while something is wrong; says so loudly. Never ends by itself.
    pub async fn keep_listening(&self, canaries: &Canaries) {
        loop {
            let was_wrong = self.distrusted.load(Ordering::SeqCst);
            let report = Box::pin(self.listen(canaries)).await;
            match report.alarm {
                Some(alarm) => {
                    tracing::error!(%alarm, "ALARM: names cannot be trusted, so all mail is held");
                }
                None if was_wrong => {
                    tracing::warn!("the canaries are well again; mail goes on");
                }
                None => {}
            }
            if !report.unheard.is_empty() {
                let count = report.unheard.len();
                tracing::warn!(count, "canaries did not answer as they used to");
            }
            let pause = if report.alarm.is_some() {
                WHILE_WRONG
            } else {
                EVERY
            };
            let next = self.clock.now().plus(pause);
            self.clock.sleep_until(next).await;
        }
    }

    async fn canary(&self, name: &DnsName) -> Answer {
        let question = Question::new(name.clone(), RecordKind::A);
        self.in_time(self.answer_anew(&question)).await
    }

    async fn second_vouches_for(&self, name: &DnsName) -> bool {
        let Some(second) = &self.second else {
            return false;
        };
        let question = Question::new(name.clone(), RecordKind::A);
        second.is_sure_of(&question, self.clock.now()).await
    }
}

/// What one canary says.
enum Heard {
    Well,
    Nothing,
    Wrong(CanaryAlarm),
}

fn signed_says(answer: &Answer) -> Heard {
    match (&answer.outcome, answer.security) {
        (Outcome::Failed(_), _) => Heard::Nothing,
        (_, Security::Secure) => Heard::Well,
        (_, Security::Bogus | Security::Indeterminate | Security::Insecure) => {
            Heard::Wrong(CanaryAlarm::SignedNotSecure)
        }
    }
}

/// Its owner may take the signature or the name away; where the signed canary is proved, that is what happened.
fn bogus_says(answer: &Answer, validates: bool) -> Heard {
    use LookupFailure as F;
    match (&answer.outcome, answer.security) {
        (Outcome::Failed(F::Bogus | F::Disagreement | F::ServFail), _) => Heard::Well,
        (Outcome::Failed(_) | Outcome::NoData | Outcome::NxDomain, _) => Heard::Nothing,
        (_, Security::Insecure) if validates => Heard::Nothing,
        (_, _) => Heard::Wrong(CanaryAlarm::BogusAccepted),
    }
}

fn unsigned_says(answer: &Answer) -> Heard {
    match (&answer.outcome, answer.security) {
        (Outcome::Failed(_) | Outcome::NoData | Outcome::NxDomain, _) => Heard::Nothing,
        (_, Security::Secure) => Heard::Wrong(CanaryAlarm::UnsignedSecure),
        (_, Security::Bogus | Security::Indeterminate | Security::Insecure) => Heard::Well,
    }
}

fn absent_says(answer: &Answer) -> Heard {
    match &answer.outcome {
        Outcome::Failed(_) => Heard::Nothing,
        Outcome::NxDomain => Heard::Well,
        Outcome::Addresses(_)
        | Outcome::Alias(_)
        | Outcome::Mx(_)
        | Outcome::NoData
        | Outcome::Tlsa(_)
        | Outcome::Txt(_) => Heard::Wrong(CanaryAlarm::AbsentAnswered),
    }
}

/// How often all is asked while it is well.
const EVERY: Duration = Duration::from_secs(3600);
/// How often it is asked while it is not.
const WHILE_WRONG: Duration = Duration::from_secs(60);
