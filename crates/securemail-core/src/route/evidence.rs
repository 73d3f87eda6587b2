//! The whole input of a decision.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{StsPolicy, facts};
use crate::backend::{
    CachedPolicy, DomainHistory, FailedFetch, FetchError, RecipientOutcome, SessionOutcome,
    VantageView,
};
use crate::limits::ANSWER_GRACE_SECS;
use crate::vocab::{
    Answer, DnsName, NtaSettings, Outcome, Profile, Question, RecordKind, Reply, UnixTime,
};

/// Answers that a domain with two hosts usually needs.
const ANSWERS_USUAL: usize = 12;

/// Everything known about one recipient domain for one message, as it was asked and answered.
///
/// It holds facts, not judgements, and it serialises: a decision can be replayed from it at any time.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Evidence {
    /// The recipient domain.
    pub domain: DnsName,
    /// How sure the route must be.
    pub profile: Profile,
    /// The TCP port that hosts are asked at: 25, unless the operator's route says otherwise.
    pub port: u16,
    /// DNS answers, in the order in which they were asked.
    pub dns: Vec<Asked>,
    /// What other vantages answered where our own answer is not signed.
    pub vantages: Vec<Corroboration>,
    /// The MTA-STS policy, cached and fetched.
    pub sts: StsEvidence,
    /// What was seen of the domain before.
    pub history: Option<DomainHistory>,
    /// Sessions tried for this message, the latest last.
    pub attempts: Vec<AttemptEvidence>,
    /// Since when no host of any domain can be reached from here, where that is so: then the silence of
    /// this one says nothing of it.
    #[serde(default)]
    pub cut_off: Option<UnixTime>,
    /// What matters of the message.
    pub message: MessageFacts,
}

/// One question with its answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Asked {
    /// What was asked.
    pub question: Question,
    /// What came back.
    pub answer: Answer,
}

/// What other vantages answered to one question. No views: none is configured.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Corroboration {
    /// What was asked.
    pub question: Question,
    /// What each of them saw.
    pub views: Vec<VantageView>,
}

/// What is known of the domain's MTA-STS policy (RFC 8461).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct StsEvidence {
    /// From domain memory, expired or not.
    pub cached: Option<CachedPolicy>,
    /// The fetch made now, if the TXT record asked for one: the body, or why not.
    pub fetched: Option<Result<CachedPolicy, FetchError>>,
    /// When the announcement was asked for once more, past every cache, because something final was
    /// about to happen under a policy (RFC 8461, section 5.1).
    #[serde(default)]
    pub confirmed: Option<UnixTime>,
}

/// One session that was tried.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AttemptEvidence {
    /// The MX host.
    pub host: DnsName,
    /// When it ended.
    pub at: UnixTime,
    /// How far it came.
    pub outcome: SessionOutcome,
    /// How the recipient of this delivery fared; `None` where MAIL was not reached.
    pub recipient: Option<RecipientOutcome>,
}

/// What a decision must know of the message. Never its content.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MessageFacts {
    /// When it was accepted, or is being accepted.
    pub accepted: UnixTime,
    /// When the present round of attempts began: a host tried since then is not tried again in it.
    pub round_began: UnixTime,
    /// Its size in octets, as sent.
    pub size: u64,
    /// A scanner or the sender requires the vault way.
    pub vault_required: bool,
    /// The vault can be used: enabled, and the recipient can be told. Where not, hold and bounce.
    pub vault_possible: bool,
    /// The sender consents to the vault where a domain was better in history and publishes nothing now.
    pub divert_on_downgrade: bool,
    /// A permanent refusal that the peer gave on a proved session, if any.
    pub refusal: Option<Reply>,
    /// The sender demands REQUIRETLS (RFC 8689): proved hosts that promise it, or back to the sender.
    #[serde(default)]
    pub require_tls: bool,
    /// The organisation asks for NTA 7516: mail to domains that take part goes as that norm has it.
    #[serde(default)]
    pub nta7516: Option<NtaSettings>,
    /// A notice to this recipient needs SMTPUTF8 as well, since its address does.
    #[serde(default)]
    pub utf8_recipient: bool,
}

impl AttemptEvidence {
    /// What the peer said of the recipient, where it was proved and MAIL was reached. What stands beside a
    /// session that ended before that was said by anybody, and settles nothing (RFC 3207, section 6).
    #[must_use]
    pub const fn said(&self) -> Option<&RecipientOutcome> {
        match self.outcome {
            SessionOutcome::CalledOff | SessionOutcome::Completed => self.recipient.as_ref(),
            SessionOutcome::Incapable(_)
            | SessionOutcome::Injected
            | SessionOutcome::NoStartTls(_)
            | SessionOutcome::NotAuthenticated(_)
            | SessionOutcome::TlsFailed(_)
            | SessionOutcome::Unreachable(_) => None,
        }
    }
}

impl MessageFacts {
    /// A message of no size that is handed in now, without wishes; for asking what would become of it.
    #[must_use]
    pub const fn at(now: UnixTime) -> Self {
        Self {
            accepted: now,
            round_began: now,
            size: 0,
            vault_required: false,
            vault_possible: true,
            divert_on_downgrade: false,
            refusal: None,
            require_tls: false,
            nta7516: None,
            utf8_recipient: false,
        }
    }

    /// Whether the vault may take the place of a way that is not found. Not where REQUIRETLS is
    /// demanded: then the sender must learn that there is none (RFC 8689, section 4.2.1).
    #[must_use]
    pub const fn may_divert(&self) -> bool {
        self.vault_possible && !self.require_tls
    }
}

impl Evidence {
    /// An inquiry begins with this: nothing asked yet.
    #[must_use]
    pub fn new(domain: DnsName, profile: Profile, message: MessageFacts) -> Self {
        Self {
            domain,
            profile,
            port: 25,
            dns: Vec::with_capacity(ANSWERS_USUAL),
            vantages: Vec::new(),
            sts: StsEvidence::default(),
            history: None,
            attempts: Vec::new(),
            cut_off: None,
            message,
        }
    }

    /// The same, with hosts asked at another port.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The policy that was fetched now, if it is one; what is not must not replace one that is in force
    /// (RFC 8461, section 3.3).
    #[must_use]
    pub fn fetched_policy(&self) -> Option<&CachedPolicy> {
        let fetched = self.sts.fetched.as_ref()?.as_ref().ok()?;
        StsPolicy::parse(&fetched.body).is_ok().then_some(fetched)
    }

    /// The fetch that was made now, up to `at`, if it gave no policy. Remembered, it is not made again for
    /// five minutes (RFC 8461, section 3.3).
    #[must_use]
    pub fn failed_fetch(&self, at: UnixTime) -> Option<FailedFetch> {
        facts::failed_fetch(self, at)
    }

    /// Whether an answer has run out, by more than the grace of a round: what rests on it must be asked again before
    /// another host is tried. A failure is for its round.
    #[must_use]
    pub fn has_run_out(&self, now: UnixTime) -> bool {
        let grace = Duration::from_secs(ANSWER_GRACE_SECS);
        let is_failure = |answer: &Answer| matches!(answer.outcome, Outcome::Failed(_));
        self.dns
            .iter()
            .any(|asked| !is_failure(&asked.answer) && asked.answer.expires.plus(grace) <= now)
    }

    /// The answer to `question`, if it was asked.
    #[must_use]
    pub fn answer(&self, question: &Question) -> Option<&Answer> {
        self.asked(&question.name, question.kind)
            .map(|asked| &asked.answer)
    }

    /// What was asked of `name` last.
    pub(super) fn asked(&self, name: &DnsName, kind: RecordKind) -> Option<&Asked> {
        self.last(|question| question.kind == kind && question.name == *name)
    }

    /// What was asked of `base` below `label` last; the name need not be made for that.
    pub(super) fn asked_below(
        &self,
        label: &str,
        base: &DnsName,
        kind: RecordKind,
    ) -> Option<&Asked> {
        self.last(|question| question.kind == kind && question.name.is_below(label, base))
    }

    fn last(&self, is_it: impl Fn(&Question) -> bool) -> Option<&Asked> {
        self.dns.iter().rfind(|asked| is_it(&asked.question))
    }
}
