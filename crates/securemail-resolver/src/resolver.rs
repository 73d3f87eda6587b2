//! The resolver: validated here, agreed with a second validator, kept as long as TTLs and signatures allow.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use hickory_net::dnssec::DnssecDnsHandle;
use hickory_net::xfer::{DnsHandle as _, FirstAnswer as _};
use hickory_net::{DnsError, NetError};
use hickory_proto::dnssec::{Proof, TrustAnchors};
use hickory_proto::op::{DnsRequestOptions, DnsResponse, Query};
use hickory_proto::rr::{Name, RecordType};
use securemail_core::backend::{Clock, Resolver, VantageView};
use securemail_core::vocab::{Answer, LookupFailure, Outcome, Question, UnixTime};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::anchor::Anchors;
use crate::cache::Cache;
use crate::reading::{self, Reading};
use crate::records;
use crate::second::{SecondOpinion, View};
use crate::settings::{BuildError, ResolverSettings};
use crate::upstream::{Trouble, Upstream, note_failure, watched};
use crate::vantage::Vantage;

/// Validations that hickory remembers, and for how long at most: it does not look at the end of signatures.
const VALIDATIONS_KEPT: usize = 4096;
const VALIDATION_KEPT_MAX: Duration = Duration::from_secs(60);

/// Zones looked at between the root and a name whose answer is bogus.
const ZONES_MAX: usize = 12;

/// A [`Resolver`] that validates by itself, with hickory's validator.
pub struct HickoryResolver {
    pub(crate) upstream: Upstream,
    anchors: Anchors,
    validator: OnceCell<DnssecDnsHandle<Upstream>>,
    pub(crate) second: Option<SecondOpinion>,
    vantages: Vec<Vantage>,
    pub(crate) cache: Cache,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) deadline: Duration,
    /// A canary said what cannot be: no answer can be believed.
    pub(crate) distrusted: AtomicBool,
}

impl fmt::Debug for HickoryResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HickoryResolver")
            .field("upstream", &self.upstream)
            .field("second", &self.second)
            .field("vantages", &self.vantages)
            .finish_non_exhaustive()
    }
}

impl HickoryResolver {
    /// Makes a resolver. Nothing is asked yet; see [`HickoryResolver::probe`].
    ///
    /// # Errors
    /// Where the settings cannot work; the sentence says what to change.
    pub fn new(settings: &ResolverSettings, clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        if settings.servers.is_empty() {
            return Err(BuildError::NoServers);
        }
        let anchors = match &settings.trust_anchor {
            Some(text) => Anchors::parse(text)?,
            None => Anchors::public_root(),
        };
        let vantages = settings
            .vantages
            .iter()
            .map(|vantage| Vantage::new(vantage, &settings.vantage_roots, settings.deadline))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            upstream: Upstream::new(&settings.servers, settings.try_timeout),
            anchors,
            validator: OnceCell::new(),
            second: SecondOpinion::new(&settings.second_opinion, settings.try_timeout)?,
            vantages,
            cache: Cache::new(settings.cache_bytes),
            clock,
            deadline: settings.deadline,
            distrusted: AtomicBool::new(false),
        })
    }

    /// Whether a second validator is configured. Without one, say so at start-up.
    #[must_use]
    pub const fn has_second_opinion(&self) -> bool {
        self.second.is_some()
    }

    /// How many vantages are configured.
    #[must_use]
    pub const fn vantage_count(&self) -> usize {
        self.vantages.len()
    }

    /// What a caller gets while a canary is wrong: a fault of our own (class F).
    fn held(&self) -> Option<Answer> {
        let failed = || reading::failed(LookupFailure::Unusable, self.clock.now());
        self.distrusted.load(Ordering::SeqCst).then(failed)
    }

    pub(crate) async fn in_time(&self, asked: impl Future<Output = Answer>) -> Answer {
        match timeout(self.deadline, asked).await {
            Ok(answer) => answer,
            Err(_) => reading::failed(LookupFailure::Timeout, self.clock.now()),
        }
    }

    async fn answer(&self, question: &Question) -> Answer {
        if let Some(kept) = self.cache.get(question, self.clock.now()) {
            return kept;
        }
        self.answer_anew(question).await
    }

    pub(crate) async fn answer_anew(&self, question: &Question) -> Answer {
        let asked = self.clock.now();
        let mut answer = match self.validated(question).await {
            Reading::Answer(answer) => self.confirmed(question, answer).await,
            Reading::WildcardUnproved(answer) => self.vouched(question, answer).await,
            Reading::Bogus => reading::failed(LookupFailure::Bogus, self.clock.now()),
        };
        answer.asked = Some(asked);
        reading::keep_shortly_unless_proved(&mut answer, asked);
        self.cache.put(question, &answer, self.clock.now());
        answer
    }

    /// Validates; once more where that fails, because a key that came too late looks like a forgery.
    async fn validated(&self, question: &Question) -> Reading {
        match self.validated_once(question).await {
            Reading::Bogus => {}
            Reading::Answer(answer) if is_failure(&answer) => {}
            reading => return reading,
        }
        self.validated_once(question).await
    }

    async fn validated_once(&self, question: &Question) -> Reading {
        let (reading, trouble) = watched(self.lookup(question)).await;
        let failed = |failure| reading::failed(failure, self.clock.now());
        let mut answer = match (reading, &trouble.failure) {
            (Ok(Reading::Answer(answer)), _) => answer,
            // Something that the proof needs did not come: nothing is known to be forged.
            (Ok(Reading::Bogus), Some(failure)) => failed(*failure),
            (Ok(Reading::Bogus), None) => failed(LookupFailure::Bogus),
            (Ok(other), _) => return other,
            (Err(Unanswered), failure) => failed(failure.unwrap_or(LookupFailure::Malformed)),
        };
        let Trouble { extended, .. } = trouble;
        answer.extended_errors = extended;
        Reading::Answer(answer)
    }

    async fn lookup(&self, question: &Question) -> Result<Reading, Unanswered> {
        let name = records::absolute(&question.name).ok_or(Unanswered)?;
        let kind = records::record_type(question.kind);
        let asked = self.ask(name.clone(), kind).await?;
        let now = self.clock.now();
        let reading = match &asked {
            Asked::Accepted(message) => reading::read(message, question, now),
            Asked::Denied { message, proof } => {
                reading::read_unproved(message, *proof, question, now)
            }
        };
        if !matches!(reading, Reading::Bogus) || !self.lies_below_unsigned(&name).await {
            return Ok(reading);
        }
        let (Asked::Accepted(message) | Asked::Denied { message, .. }) = &asked;
        let answer = reading::read_unsigned(message, question, now);
        Ok(Reading::Answer(answer))
    }

    /// Whether a zone above the name is proved to be unsigned. Then nothing below can be proved, since only the root
    /// has anchors, and nothing is bogus (RFC 4035, section 4.3). hickory calls a signed zone bogus whose DS record
    /// stands in an unsigned one.
    async fn lies_below_unsigned(&self, name: &Name) -> bool {
        let labels = usize::from(name.num_labels());
        for count in 1..=labels.min(ZONES_MAX) {
            let zone = name.trim_to(count);
            let Ok(Asked::Accepted(message)) = self.ask(zone.clone(), RecordType::SOA).await else {
                continue;
            };
            let mut apex = message
                .answers
                .iter()
                .filter(|record| record.record_type() == RecordType::SOA && record.name == zone);
            match apex.next().map(|soa| soa.proof) {
                Some(Proof::Insecure) => return true,
                Some(Proof::Bogus | Proof::Indeterminate) => return false,
                Some(Proof::Secure) | None => {}
            }
        }
        false
    }

    /// Asks through the validator.
    pub(crate) async fn ask(&self, name: Name, kind: RecordType) -> Result<Asked, Unanswered> {
        let validator = self
            .validator
            .get_or_try_init(|| self.start_validator())
            .await?;
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.edns_set_dnssec_ok = true;
        options.recursion_desired = true;
        let query = Query::query(name, kind);
        match validator.lookup(query, options).first_answer().await {
            Ok(message) => Ok(Asked::Accepted(message)),
            Err(NetError::Dns(DnsError::Nsec {
                response, proof, ..
            })) => Ok(Asked::Denied {
                message: *response,
                proof,
            }),
            Err(_) => Err(Unanswered),
        }
    }

    /// Finds the keys of the anchors, which for digests must be asked for, and starts the validator.
    async fn start_validator(&self) -> Result<DnssecDnsHandle<Upstream>, Unanswered> {
        let mut keys = Vec::new();
        if !self.anchors.digests.is_empty() {
            keys = self.root_keys().await?;
        }
        let trusted: TrustAnchors = self.anchors.trusted(keys.iter());
        if trusted.is_empty() {
            // The root has other keys than the anchor names, or these servers are of another root.
            note_failure(LookupFailure::Unusable);
            return Err(Unanswered);
        }
        // The size first: setting it forgets the times. What failed is not remembered at all, because hickory cannot
        // tell a key that did not come from one that does not fit.
        let validator =
            DnssecDnsHandle::with_trust_anchor(self.upstream.clone(), Arc::new(trusted))
                .validation_cache_size(VALIDATIONS_KEPT)
                .positive_validation_ttl(Duration::ZERO..=VALIDATION_KEPT_MAX)
                .negative_validation_ttl(Duration::ZERO..=Duration::ZERO);
        Ok(validator)
    }

    /// Believes an answer as far as the second validator does.
    async fn confirmed(&self, question: &Question, mut answer: Answer) -> Answer {
        let Some(second) = &self.second else {
            return answer;
        };
        if is_failure(&answer) {
            return answer;
        }
        let now = self.clock.now();
        match second.check(question, &answer, View::agrees, now).await {
            Ok(()) => {
                answer.validators = 2;
                answer
            }
            Err(failure) => reading::failed(failure, now),
        }
    }

    /// hickory does not accept some wildcards of NSEC zones whose records it validated. The second validator may
    /// vouch for exactly these records; without one they stay bogus.
    async fn vouched(&self, question: &Question, answer: Answer) -> Answer {
        let now = self.clock.now();
        let Some(second) = &self.second else {
            return reading::failed(LookupFailure::Bogus, now);
        };
        match second
            .check(question, &answer, View::vouches_for, now)
            .await
        {
            Ok(()) => answer,
            Err(failure) => reading::failed(failure, now),
        }
    }
}

#[async_trait]
impl Resolver for HickoryResolver {
    async fn resolve(&self, question: &Question) -> Answer {
        if let Some(held) = self.held() {
            return held;
        }
        self.in_time(Box::pin(self.answer(question))).await
    }

    async fn resolve_anew(&self, question: &Question) -> Answer {
        if let Some(held) = self.held() {
            return held;
        }
        self.in_time(Box::pin(self.answer_anew(question))).await
    }

    async fn vantages(&self, question: &Question) -> Vec<VantageView> {
        let now: UnixTime = self.clock.now();
        join_all(
            self.vantages
                .iter()
                .map(|vantage| vantage.view(question, now)),
        )
        .await
    }
}

/// What the validator gave.
pub(crate) enum Asked {
    /// A response whose denial, if it is one, was accepted; each record has its own proof.
    Accepted(DnsResponse),
    /// A response whose denial was not accepted.
    Denied { message: DnsResponse, proof: Proof },
}

/// No answer came. Why, [`watched`] knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unanswered;

const fn is_failure(answer: &Answer) -> bool {
    matches!(answer.outcome, Outcome::Failed(_))
}
