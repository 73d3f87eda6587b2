//! Canaries: names of which it is known what a validator must say about them.
//!
//! A validator that stops validating is not seen in ordinary answers: they go on looking well. So a name that is
//! signed, one whose signature is wrong, one that is not signed and one that does not exist are asked at the start and
//! each hour, and the root with them. What cannot be makes every answer a fault of our own until all is right again.
//! A zone that its owner changed is told from a validator that errs by what the others say at the same time.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};
use securemail_core::vocab::{
    Answer, DnsName, LookupFailure, NameError, Outcome, Question, RecordKind, Security,
};

use crate::probe::is_secure;
use crate::resolver::{Asked, HickoryResolver};

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
    /// Neither the signed name nor the root comes as signed.
    #[error(
        "neither the signed canary nor the root comes as signed: something on the way takes \
         signatures away, or the clock of this machine is wrong; look at both and at dns.servers"
    )]
    SignedNotSecure,
    /// The wrongly signed name is answered.
    #[error("the canary with a wrong signature is answered: nobody validates; look at dns.servers")]
    BogusAccepted,
    /// The second validator vouches for the wrongly signed name.
    #[error("dns.second_opinion vouches for the canary with a wrong signature; look at it")]
    SecondAcceptsBogus,
    /// The name that is not signed comes as signed, and so does the one with a wrong signature.
    #[error(
        "the unsigned canary comes as signed, and a wrong signature is not seen: the trust anchor \
         is not that of the public root, or the validator is at fault"
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
        let (validates, heard_signed, heard_bogus, heard_unsigned, heard_absent, second) = tokio::join!(
            Box::pin(self.root_is_proved()),
            Box::pin(self.canary(signed)),
            Box::pin(self.canary(bogus)),
            Box::pin(self.canary(unsigned)),
            Box::pin(self.canary(absent)),
            Box::pin(self.second_vouches_for(bogus)),
        );
        let bogus_says = bogus_says(&heard_bogus, validates);
        let accepts_bogus = matches!(bogus_says, Heard::Wrong(_));
        let heard = [
            (signed, signed_says(&heard_signed, validates)),
            (unsigned, unsigned_says(&heard_unsigned, accepts_bogus)),
            (bogus, bogus_says),
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
        self.conclude(&report);
        report
    }

    /// Believes names, or no longer does, and says so loudly.
    fn conclude(&self, report: &CanaryReport) {
        let is_wrong = report.alarm.is_some();
        let was_wrong = self.distrusted.load(Ordering::SeqCst);
        if was_wrong && !is_wrong {
            // What was believed just before the alarm may have been wrong too.
            self.cache.clear();
            tracing::warn!("the canaries are well again; mail goes on");
        }
        if let Some(alarm) = report.alarm {
            tracing::error!(%alarm, "ALARM: names cannot be trusted, so all mail is held");
        }
        self.distrusted.store(is_wrong, Ordering::SeqCst);
        if !report.unheard.is_empty() {
            let count = report.unheard.len();
            tracing::warn!(count, "canaries did not answer as they used to");
        }
    }

    /// Listens again an hour after the last time, or a minute while something is wrong; `heard` is told each
    /// time what was found. Never ends by itself.
    pub async fn keep_listening<F>(
        &self,
        canaries: &Canaries,
        heard: impl Fn(Option<CanaryAlarm>) -> F,
    ) where
        F: Future<Output = ()>,
    {
        loop {
            let is_wrong = self.distrusted.load(Ordering::SeqCst);
            let pause = if is_wrong { WHILE_WRONG } else { EVERY };
            let next = self.clock.now().plus(pause);
            self.clock.sleep_until(next).await;
            let report = Box::pin(self.listen(canaries)).await;
            heard(report.alarm).await;
        }
    }

    /// Nobody takes the signatures of the root away for good, as the owner of a name may.
    async fn root_is_proved(&self) -> bool {
        let asked = self.ask(Name::root(), RecordType::SOA);
        let heard = tokio::time::timeout(self.deadline, asked).await;
        matches!(heard, Ok(Ok(Asked::Accepted(message))) if is_secure(&message, RecordType::SOA))
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

/// Its owner may give up signatures, or err; where the root is proved, that is what happened. Where both are bogus the
/// clock is wrong, or something on the way takes signatures away.
fn signed_says(answer: &Answer, validates: bool) -> Heard {
    match (&answer.outcome, answer.security) {
        (Outcome::Failed(LookupFailure::Bogus), _) if !validates => {
            Heard::Wrong(CanaryAlarm::SignedNotSecure)
        }
        (Outcome::Failed(_), _) => Heard::Nothing,
        (_, Security::Secure) => Heard::Well,
        (_, _) if validates => Heard::Nothing,
        (_, _) => Heard::Wrong(CanaryAlarm::SignedNotSecure),
    }
}

/// Its owner may take the signature or the name away; where the root is proved, that is what happened. Rightly signed it
/// cannot be told from a validator that errs, so that is an alarm.
fn bogus_says(answer: &Answer, validates: bool) -> Heard {
    use LookupFailure as F;
    match (&answer.outcome, answer.security) {
        (Outcome::Failed(F::Bogus | F::Disagreement | F::ServFail), _) => Heard::Well,
        (Outcome::Failed(_) | Outcome::NoData | Outcome::NxDomain, _) => Heard::Nothing,
        (_, Security::Insecure) if validates => Heard::Nothing,
        (_, _) => Heard::Wrong(CanaryAlarm::BogusAccepted),
    }
}

/// Its owner may sign it one day; a validator that still sees a wrong signature is right about that.
fn unsigned_says(answer: &Answer, accepts_bogus: bool) -> Heard {
    match (&answer.outcome, answer.security) {
        (Outcome::Failed(_) | Outcome::NoData | Outcome::NxDomain, _) => Heard::Nothing,
        (_, Security::Secure) if accepts_bogus => Heard::Wrong(CanaryAlarm::UnsignedSecure),
        (_, Security::Secure) => Heard::Nothing,
        (_, Security::Bogus | Security::Indeterminate | Security::Insecure) => Heard::Well,
    }
}

fn absent_says(answer: &Answer) -> Heard {
    match &answer.outcome {
        Outcome::Failed(_) => Heard::Nothing,
        Outcome::NxDomain => Heard::Well,
        Outcome::Addresses(_)
        | Outcome::Alias(_)
        | Outcome::Caa(_)
        | Outcome::Mx(_)
        | Outcome::NameServers(_)
        | Outcome::NoData
        | Outcome::Tlsa(_)
        | Outcome::Txt(_) => Heard::Wrong(CanaryAlarm::AbsentAnswered),
    }
}

/// How often all is asked while it is well.
const EVERY: Duration = Duration::from_secs(3600);
/// How often it is asked while it is not.
const WHILE_WRONG: Duration = Duration::from_secs(60);
